//! The safetensors format.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors, serialize};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::buffer::Buffer;
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
/// known element types, [`Error::Duplicate`] for a name that is there twice,
/// and those of [`Params::new`].
pub fn from_safetensors(bytes: &[u8]) -> Result<Params, Error> {
    read(bytes, |data| Some(Buffer::new(data.to_vec())))
}

/// As [`from_safetensors`]; the tensors are parts of `bytes` and take no room
/// of their own.
///
/// # Errors
/// As [`from_safetensors`].
pub fn from_shared_safetensors(bytes: &Arc<Vec<u8>>) -> Result<Params, Error> {
    let start = bytes.as_ptr() as usize;
    read(bytes, |data| {
        let from = (data.as_ptr() as usize).checked_sub(start)?;
        Buffer::part(bytes, from..from.checked_add(data.len())?)
    })
}

fn read(bytes: &[u8], hold: impl Fn(&[u8]) -> Option<Buffer>) -> Result<Params, Error> {
    check_names(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(reason)?;
    let mut named: Vec<(String, TensorView<'_>)> = file.tensors();
    // The reader keeps the entries in a hash map; data offsets give the file's order.
    named.sort_by_key(|(name, view)| (view.data().as_ptr() as usize, name.clone()));
    let mut tensors = Vec::with_capacity(named.len());
    for (name, view) in named {
        let dtype = from_format(view.dtype()).ok_or_else(|| Error::SafeTensors {
            reason: format!("tensor `{name}` has the unknown element type {:?}", view.dtype())
                .into(),
        })?;
        let shape = view.shape().iter().map(|axis| *axis as u64).collect();
        let data = match view.data() {
            // An empty part may begin anywhere.
            [] => Buffer::new(Vec::new()),
            data => hold(data).ok_or_else(|| reason("a tensor lies outside of the file"))?,
        };
        tensors.push((name, Tensor::of(dtype, shape, data)?));
    }
    Params::new(tensors)
}

/// Refuses a name that is there twice: the reader would take the later one.
fn check_names(bytes: &[u8]) -> Result<(), Error> {
    // The reader reports a malformed header.
    let header = bytes
        .split_first_chunk::<8>()
        .and_then(|(len, rest)| rest.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?));
    let Some(Ok(Names(twice))) = header.map(serde_json::from_slice) else { return Ok(()) };
    twice.map_or(Ok(()), |name| Err(Error::Duplicate { name }))
}

/// The keys of a map: one that is there twice, if there is one.
struct Names(Option<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let (mut seen, mut twice) = (BTreeSet::new(), None);
                while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                    if !seen.insert(name.clone()) {
                        twice.get_or_insert(name);
                    }
                }
                Ok(Names(twice))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

fn reason(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::SafeTensors { reason: error.into() }
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
    fn tensors_of_a_shared_file_are_parts_of_it() {
        let bytes = Arc::new(to_safetensors(&params()).unwrap());
        let shared = from_shared_safetensors(&bytes).unwrap();
        assert_eq!(shared, from_safetensors(&bytes).unwrap());
        let range = bytes.as_ptr_range();
        assert!(shared.iter().all(|(_, tensor)| range.contains(&tensor.data().as_ptr())));
        assert_eq!(to_safetensors(&shared).unwrap(), *bytes);
    }

    /// The reader itself takes the later one, whose range is the whole file.
    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        let entry =
            |name: &str| format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#);
        for second in ["w", "\\u0077"] {
            let header = format!("{{{},{}}}", entry("w"), entry(second));
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(&1f32.to_le_bytes());
            assert!(SafeTensors::deserialize(&bytes).is_ok());
            let error = from_safetensors(&bytes).unwrap_err();
            assert!(matches!(&error, Error::Duplicate { name } if name == "w"), "{error}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = to_safetensors(&params()).unwrap();
        for len in 0..bytes.len() {
            assert!(matches!(from_safetensors(&bytes[..len]), Err(Error::SafeTensors { .. })));
        }
    }
}
