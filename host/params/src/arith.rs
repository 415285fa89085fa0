//! Weighted arithmetic.

use crate::{DType, Error, Params, Tensor};

/// Element types that can be averaged.
pub const SUMMABLE: [DType; 2] = [DType::Float32, DType::Float64];

/// Returns the elements of all tensors in float64, one tensor after the other
/// in the order of `like`.
///
/// # Errors
/// Those of [`Params::arrange`] unless names, element types and shapes are
/// those of `like`; [`Error::NotSummable`].
pub fn to_f64(params: &Params, like: &Params) -> Result<Vec<f64>, Error> {
    let specs = like.iter().map(|(name, tensor)| (name, tensor.dtype(), tensor.shape()));
    let tensors = params.clone().arrange(specs)?;
    // Reserved at once: a large model would be copied again and again while a vector grows.
    let n = tensors.iter().map(|tensor| tensor.data().len() / tensor.dtype().size()).sum();
    let mut values = Vec::with_capacity(n);
    for ((name, _), tensor) in like.iter().zip(tensors) {
        if !tensor.extend_floats(&mut values) {
            return Err(Error::NotSummable { name: name.to_owned(), dtype: tensor.dtype() });
        }
    }
    Ok(values)
}

/// Returns parameters with the names, element types and shapes of `like` from
/// their elements, one tensor after the other. Each element is rounded once,
/// to the nearest; one beyond the range of float32 becomes infinite.
///
/// # Errors
/// [`Error::NotSummable`], and [`Error::WrongLength`] unless there are as many
/// values as `like` has elements.
pub fn from_f64(values: &[f64], like: &Params) -> Result<Params, Error> {
    let n_elements = |tensor: &Tensor| tensor.data().len() / tensor.dtype().size();
    let total: usize = like.iter().map(|(_, tensor)| n_elements(tensor)).sum();
    if values.len() != total {
        let (dtype, got) = (DType::Float64, values.len() * DType::Float64.size());
        return Err(Error::WrongLength { dtype, shape: vec![total as u64], got });
    }
    let mut values = values.iter();
    let rounded = |(name, tensor): (&str, &Tensor)| {
        let (dtype, own) = (tensor.dtype(), values.by_ref().take(n_elements(tensor)));
        // Reserved at once: a large model would be held twice while a vector grows.
        let mut data = vec![0; tensor.data().len()];
        match dtype {
            DType::Float32 => {
                let bytes = data.as_chunks_mut().0.iter_mut().zip(own);
                bytes.for_each(|(bytes, value)| *bytes = (*value as f32).to_le_bytes());
            }
            DType::Float64 => {
                let bytes = data.as_chunks_mut().0.iter_mut().zip(own);
                bytes.for_each(|(bytes, value)| *bytes = value.to_le_bytes());
            }
            _ => return Err(Error::NotSummable { name: name.to_owned(), dtype }),
        }
        Ok((name.to_owned(), Tensor::new(dtype, tensor.shape().to_vec(), data)?))
    };
    Params::new(like.iter().map(rounded).collect::<Result<_, Error>>()?)
}

/// Returns `Σ (w_k / Σ w) p_k` over the sets `p_k`, which all have the names,
/// element types and shapes of `like`, as elements in float64 in the order of
/// `like`. Sums run in the given order; one set alone keeps its bits.
///
/// # Errors
/// [`Error::Nothing`], [`Error::BadWeights`], and those of [`to_f64`].
pub fn weighted_mean_f64(sets: &[(f64, &Params)], like: &Params) -> Result<Vec<f64>, Error> {
    if sets.is_empty() {
        return Err(Error::Nothing);
    }
    let total: f64 = sets.iter().map(|(weight, _)| weight).sum();
    let weight_ok = |weight: &f64| weight.is_finite() && *weight >= 0.0;
    if !sets.iter().all(|(weight, _)| weight_ok(weight)) || !total.is_finite() || total <= 0.0 {
        return Err(Error::BadWeights);
    }
    let mut sums: Option<Vec<f64>> = None;
    for (weight, params) in sets {
        let values = to_f64(params, like)?;
        let terms = values.iter().map(|value| weight / total * value);
        // The first term starts the sum: 0.0 + -0.0 would lose a sign.
        match &mut sums {
            None => sums = Some(terms.collect()),
            Some(sums) => sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term),
        }
    }
    Ok(sums.unwrap_or_default())
}

/// Returns `Σ (w_k / Σ w) p_k` over the sets `p_k`, which all have the names,
/// element types and shapes of the first. Accumulates in float64 in the given
/// order and rounds once at the end, so one set alone comes back bit for bit.
///
/// # Errors
/// Those of [`weighted_mean_f64`].
pub fn weighted_mean(sets: &[(f64, &Params)]) -> Result<Params, Error> {
    let Some((_, first)) = sets.first() else { return Err(Error::Nothing) };
    from_f64(&weighted_mean_f64(sets, first)?, first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(values: &[f32]) -> Params {
        let tensor = Tensor::from_f32(vec![values.len() as u64], values).unwrap();
        Params::new(vec![("w".into(), tensor)]).unwrap()
    }

    fn floats(params: &Params) -> Vec<f64> {
        params.tensor("w").unwrap().floats().unwrap()
    }

    // The vectors of Fed-BioMed's own test of FedAverage.
    #[test]
    fn mean_equals_fedbiomed() {
        let sets = [
            params(&[3., 8., 8., 3., 1., 4.]),
            params(&[0.4, 1.6, 2., 1., 0.1, 1.]),
            params(&[2., 5., 5., 3., 1., 6.]),
        ];
        let mean = weighted_mean(&[(0.2, &sets[0]), (0.2, &sets[1]), (0.6, &sets[2])]).unwrap();
        for (got, expected) in floats(&mean).iter().zip([1.88, 4.92, 5.0, 2.6, 0.82, 4.6]) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn bad_weights_are_refused() {
        let p = params(&[1.0]);
        for weights in [[0.0, 0.0], [-1.0, 2.0], [f64::NAN, 1.0], [f64::INFINITY, 1.0]] {
            let sets = weights.map(|weight| (weight, &p));
            assert!(matches!(weighted_mean(&sets), Err(Error::BadWeights)), "{weights:?}");
        }
        assert!(matches!(weighted_mean(&[]), Err(Error::Nothing)));
    }

    #[test]
    fn other_shapes_are_refused() {
        let (a, b) = (params(&[1.0]), params(&[1.0, 2.0]));
        let error = weighted_mean(&[(1.0, &a), (1.0, &b)]).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }));
    }

    #[test]
    fn integers_are_refused() {
        let tensor = Tensor::from_i64(vec![1], &[3]).unwrap();
        let p = Params::new(vec![("steps".into(), tensor)]).unwrap();
        assert!(matches!(weighted_mean(&[(1.0, &p)]), Err(Error::NotSummable { .. })));
    }

    #[test]
    fn elements_follow_the_order_of_the_pattern() {
        let tensor = |value| Tensor::from_f32(vec![1], &[value]).unwrap();
        let set = |names: [&str; 2], values: [f32; 2]| {
            let tensors = names.iter().zip(values).map(|(name, v)| ((*name).to_owned(), tensor(v)));
            Params::new(tensors.collect()).unwrap()
        };
        let (like, other) = (set(["a", "b"], [0.0; 2]), set(["b", "a"], [2.0, 1.0]));
        assert_eq!(to_f64(&other, &like).unwrap(), [1.0, 2.0]);
        assert_eq!(from_f64(&[1.0, 2.0], &like).unwrap(), set(["a", "b"], [1.0, 2.0]));
        assert_eq!(weighted_mean_f64(&[(1.0, &other)], &like).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn too_few_and_too_many_values_are_refused() {
        let like = params(&[0.0; 3]);
        for values in [&[1.0; 2][..], &[1.0; 4]] {
            let error = from_f64(values, &like).unwrap_err();
            assert!(matches!(error, Error::WrongLength { shape, .. } if shape == [3]));
        }
    }

    proptest! {
        #[test]
        fn one_set_comes_back_bit_for_bit(values in prop::collection::vec(
            prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 1..40),
            weight in 1u32..1_000_000) {
            let p = params(&values);
            prop_assert_eq!(weighted_mean(&[(f64::from(weight), &p)]).unwrap(), p);
        }
    }
}
