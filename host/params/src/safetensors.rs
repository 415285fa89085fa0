//! The safetensors format.

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors, serialize};

use crate::{DType, Error, Params, Tensor};

/// Writes the canonical bytes of a set of parameters: safetensors without
/// metadata, whose order does not depend on the order of `params`. Their
/// SHA-256 is what `params_sha256` names everywhere.
///
/// # Errors
/// [`Error::SafeTensors`] if the writer refuses the tensors.
pub fn to_safetensors(params: &Params) -> Result<Vec<u8>, Error> {
    let mut views = Vec::with_capacity(params.len());
    for (name, tensor) in params.iter() {
        let shape = tensor.shape().iter().map(|axis| *axis as usize).collect();
        let view = TensorView::new(to_format(tensor.dtype()), shape, tensor.data());
        views.push((name, view.map_err(reason)?));
    }
    serialize(views, None).map_err(reason)
}

/// Reads safetensors bytes; the order is that of the file.
///
/// # Errors
/// [`Error::SafeTensors`] for anything that is not a well-formed file of
/// known element types, and those of [`Params::new`].
pub fn from_safetensors(bytes: &[u8]) -> Result<Params, Error> {
    let file = SafeTensors::deserialize(bytes).map_err(reason)?;
    let mut named: Vec<(String, TensorView<'_>)> = file.tensors();
    // The reader keeps the entries in a hash map; data offsets give the file's order.
    named.sort_by_key(|(name, view)| (view.data().as_ptr() as usize, name.clone()));
    let mut tensors = Vec::with_capacity(named.len());
    for (name, view) in named {
        let dtype = from_format(view.dtype()).ok_or_else(|| Error::SafeTensors {
            reason: format!("tensor `{name}` has the unknown element type {:?}", view.dtype()),
        })?;
        let shape = view.shape().iter().map(|axis| *axis as u64).collect();
        tensors.push((name, Tensor::new(dtype, shape, view.data().to_vec())?));
    }
    Params::new(tensors)
}

fn reason(error: impl std::fmt::Display) -> Error {
    Error::SafeTensors { reason: error.to_string() }
}

const NAMES: [(DType, Dtype); 10] = [
    (DType::Boolean, Dtype::BOOL),
    (DType::UInt8, Dtype::U8),
    (DType::Int8, Dtype::I8),
    (DType::Int16, Dtype::I16),
    (DType::Int32, Dtype::I32),
    (DType::Int64, Dtype::I64),
    (DType::Float16, Dtype::F16),
    (DType::BFloat16, Dtype::BF16),
    (DType::Float32, Dtype::F32),
    (DType::Float64, Dtype::F64),
];

fn to_format(dtype: DType) -> Dtype {
    NAMES.iter().find(|(ours, _)| *ours == dtype).map_or(Dtype::U8, |(_, theirs)| *theirs)
}

fn from_format(dtype: Dtype) -> Option<DType> {
    NAMES.iter().find(|(_, theirs)| *theirs == dtype).map(|(ours, _)| *ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        let w = Tensor::from_f32(vec![2, 1], &[1.0, -2.5]).unwrap();
        let n = Tensor::from_i64(vec![], &[7]).unwrap();
        Params::new(vec![("w".into(), w), ("n".into(), n)]).unwrap()
    }

    #[test]
    fn bytes_do_not_depend_on_the_order() {
        let params = params();
        let reversed: Vec<_> =
            params.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).rev().collect();
        let reversed = Params::new(reversed).unwrap();
        assert_eq!(to_safetensors(&params).unwrap(), to_safetensors(&reversed).unwrap());
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = to_safetensors(&params()).unwrap();
        let read = from_safetensors(&bytes).unwrap();
        for (name, tensor) in params().iter() {
            assert_eq!(read.tensor(name), Some(tensor));
        }
        assert_eq!(to_safetensors(&read).unwrap(), bytes);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = to_safetensors(&params()).unwrap();
        for len in 0..bytes.len() {
            assert!(matches!(from_safetensors(&bytes[..len]), Err(Error::SafeTensors { .. })));
        }
    }
}
