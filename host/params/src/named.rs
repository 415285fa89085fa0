//! A set of named tensors.

use std::collections::BTreeMap;

use crate::{DType, Error, TENSORS_MAX, Tensor};

/// Named tensors in a fixed order; names are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    tensors: Vec<(String, Tensor)>,
    /// Positions of the tensors in the order of their names.
    by_name: Vec<usize>,
}

impl Params {
    /// Returns the set of these tensors, in this order.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Duplicate`].
    pub fn new(tensors: Vec<(String, Tensor)>) -> Result<Self, Error> {
        if tensors.len() > TENSORS_MAX {
            return Err(Error::TooMany { got: tensors.len(), max: TENSORS_MAX });
        }
        let mut by_name: Vec<usize> = (0..tensors.len()).collect();
        by_name.sort_unstable_by_key(|at| tensors[*at].0.as_str());
        if let Some(pair) = by_name.windows(2).find(|pair| tensors[pair[0]].0 == tensors[pair[1]].0)
        {
            return Err(Error::Duplicate { name: tensors[pair[0]].0.clone() });
        }
        Ok(Self { tensors, by_name })
    }

    /// The tensors in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether it has no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Returns the tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        let found = self.by_name.binary_search_by_key(&name, |at| self.tensors[*at].0.as_str());
        found.ok().map(|at| &self.tensors[self.by_name[at]].1)
    }

    /// Returns the tensors in the order of `specs`, without their names.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Unknown`] and [`Error::Mismatch`] unless
    /// names, element types and shapes are exactly those of `specs`.
    pub fn arrange<'a>(
        self,
        specs: impl IntoIterator<Item = (&'a str, DType, &'a [u64])>,
    ) -> Result<Vec<Tensor>, Error> {
        let mut arranged = Vec::with_capacity(self.len());
        let mut left: BTreeMap<String, Tensor> = self.tensors.into_iter().collect();
        for (name, dtype, shape) in specs {
            let Some(tensor) = left.remove(name) else {
                return Err(Error::Missing { name: name.to_owned() });
            };
            if (tensor.dtype(), tensor.shape()) != (dtype, shape) {
                return Err(Error::Mismatch {
                    name: name.to_owned(),
                    got: tensor.dtype(),
                    got_shape: tensor.shape().to_vec(),
                    expected: dtype,
                    expected_shape: shape.to_vec(),
                });
            }
            arranged.push(tensor);
        }
        match left.into_iter().next() {
            Some((name, _)) => Err(Error::Unknown { name }),
            None => Ok(arranged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(names: &[&str]) -> Result<Params, Error> {
        let zero = || Tensor::zeros(DType::Float32, vec![1]).unwrap();
        Params::new(names.iter().map(|name| ((*name).to_owned(), zero())).collect())
    }

    #[test]
    fn duplicate_name_is_refused() {
        assert!(matches!(params(&["a", "b", "a"]), Err(Error::Duplicate { name }) if name == "a"));
    }

    #[test]
    fn arrange_wants_exactly_the_declared_tensors() {
        let one = [1u64];
        let spec = |name| (name, DType::Float32, &one[..]);
        let arrange = |names: &[&str], specs: &[&'static str]| {
            params(names).unwrap().arrange(specs.iter().map(|name| spec(*name)))
        };
        assert_eq!(arrange(&["b", "a"], &["a", "b"]).unwrap().len(), 2);
        assert!(
            matches!(arrange(&["a"], &["a", "b"]), Err(Error::Missing { name }) if name == "b")
        );
        assert!(
            matches!(arrange(&["a", "b"], &["a"]), Err(Error::Unknown { name }) if name == "b")
        );
        let two = [2u64];
        let error = params(&["a"]).unwrap().arrange([("a", DType::Float32, &two[..])]).unwrap_err();
        assert_eq!(error.to_string(), "tensor `a` is float32 [1], expected float32 [2]");
    }
}
