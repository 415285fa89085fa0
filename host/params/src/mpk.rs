//! `.mpk`, the file format of Fed-BioMed: MessagePack as its `Serializer`
//! writes it, byte for byte, checked against PyPI `fedbiomed` 6.4.1.
//!
//! A value without a type in MessagePack becomes a map of two entries, `__type__`
//! and `value`, in this order. An aggregated-parameters file is the map
//! `{researcher_id, model_weights: {name: tensor}}`, of torch's tensors or of NumPy's arrays.

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::{DType, Error, Params, Tensor};

/// The deepest nesting that is read; Fed-BioMed's files need 4.
const DEPTH_MAX: usize = 32;

const TYPE: &str = "__type__";
const VALUE: &str = "value";

/// Anything that Fed-BioMed's `Serializer` reads and writes, without the
/// types of declearn.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int` below 2^63.
    Int(i64),
    /// `int` from 2^63 on, below 2^64.
    UInt(u64),
    /// `float`.
    Float(f64),
    /// `str`.
    Str(String),
    /// `bytes`.
    Bin(Vec<u8>),
    /// `list`.
    List(Vec<Value>),
    /// `dict`, in order.
    Map(Vec<(Value, Value)>),
    /// `tuple`.
    Tuple(Vec<Value>),
    /// `numpy.ndarray`.
    NumpyArray(Tensor),
    /// `torch.Tensor`.
    TorchTensor(Tensor),
    /// A NumPy scalar, such as `numpy.float64(1.5)`: a tensor of no axes.
    NumpyScalar(Tensor),
}

/// Writes one value.
///
/// # Errors
/// [`Error::Mpk`] if the value holds a bfloat16 tensor, which NumPy cannot name.
pub fn encode(value: &Value) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec(value).map_err(reason)
}

/// Reads one value; bytes after it are an error.
///
/// # Errors
/// [`Error::Mpk`] with the reason.
pub fn decode(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(bytes));
    reader.set_max_depth(DEPTH_MAX);
    let value = Value::deserialize(&mut reader).map_err(reason)?;
    match bytes.len() as u64 - reader.position() {
        0 => Ok(value),
        left => Err(Error::Mpk { reason: format!("{left} bytes follow the value").into() }),
    }
}

/// Writes the aggregated-parameters file of Fed-BioMed: `torch.Tensor`s, which its Torch plans
/// load, or `np.ndarray`s for its scikit-learn plans, if all names end with `_`, as those of
/// fitted attributes do (`coef_`, `intercept_`). Neither kind of plan loads the other type.
///
/// # Errors
/// As [`encode`].
pub fn write_params(researcher_id: &str, params: &Params) -> Result<Vec<u8>, Error> {
    let text = |text: &str| Value::Str(text.to_owned());
    let array = match params.iter().all(|(name, _)| name.ends_with('_')) {
        true => Value::NumpyArray,
        false => Value::TorchTensor,
    };
    let weights = params.iter().map(|(name, tensor)| (text(name), array(tensor.clone())));
    encode(&Value::Map(vec![
        (text("researcher_id"), text(researcher_id)),
        (text("model_weights"), Value::Map(weights.collect())),
    ]))
}

/// Reads the `model_weights` of an aggregated-parameters file, or a bare map
/// of tensors (Fed-BioMed's local job and its version 6 write that).
///
/// # Errors
/// [`Error::Mpk`] if the file holds something else, and those of [`Params::new`].
pub fn read_params(bytes: &[u8]) -> Result<Params, Error> {
    let expected = |what: &str| Error::Mpk { reason: format!("expected {what}").into() };
    let Value::Map(mut entries) = decode(bytes)? else {
        return Err(expected("a map of model weights"));
    };
    let is_weights = |key: &Value| matches!(key, Value::Str(key) if key == "model_weights");
    if entries.iter().filter(|(key, _)| is_weights(key)).count() > 1 {
        return Err(Error::Mpk { reason: "`model_weights` appears twice".into() });
    }
    if let Some(at) = entries.iter().position(|(key, _)| is_weights(key)) {
        let Value::Map(weights) = entries.swap_remove(at).1 else {
            return Err(expected("a map under `model_weights`"));
        };
        entries = weights;
    }
    let tensors = entries.into_iter().map(|entry| match entry {
        (
            Value::Str(name),
            Value::NumpyArray(tensor) | Value::TorchTensor(tensor) | Value::NumpyScalar(tensor),
        ) => Ok((name, tensor)),
        (key, _) => Err(expected(&format!("an array under {key:?}"))),
    });
    Params::new(tensors.collect::<Result<_, _>>()?)
}

fn reason(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Mpk { reason: error.into() }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::UInt(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Bin(value) => serializer.serialize_bytes(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Tuple(values) => tagged(serializer, "tuple", values),
            Self::NumpyArray(tensor) => tagged(serializer, "np.ndarray", &Array(tensor)),
            Self::TorchTensor(tensor) => tagged(serializer, "torch.Tensor", &Array(tensor)),
            Self::NumpyScalar(tensor) => tagged(serializer, "np.generic", &Scalar(tensor)),
        }
    }
}

fn tagged<S: Serializer>(
    serializer: S,
    tag: &str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry(TYPE, tag)?;
    map.serialize_entry(VALUE, value)?;
    map.end()
}

/// `[bytes, dtype, [axes]]`
struct Array<'a>(&'a Tensor);

impl Serialize for Array<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(3))?;
        list.serialize_element(serde_bytes::Bytes::new(self.0.data()))?;
        list.serialize_element(numpy_name(self.0)?)?;
        list.serialize_element(self.0.shape())?;
        list.end()
    }
}

/// [bytes, dtype]
struct Scalar<'a>(&'a Tensor);

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(2))?;
        list.serialize_element(serde_bytes::Bytes::new(self.0.data()))?;
        list.serialize_element(numpy_name(self.0)?)?;
        list.end()
    }
}

fn numpy_name<E: serde::ser::Error>(tensor: &Tensor) -> Result<&'static str, E> {
    match tensor.dtype() {
        DType::BFloat16 => Err(E::custom("NumPy has no bfloat16; write safetensors instead")),
        dtype => Ok(dtype.name()),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value that Fed-BioMed's Serializer writes")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::UInt(value), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bin(value.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        // Not sized by the file's own word for its length.
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<Value, Value>()? {
            entries.push(entry);
        }
        untag(entries).map_err(de::Error::custom)
    }
}

/// Turns a map with `__type__` and `value` into the value that it encodes. A map
/// with an unknown `__type__` stays a map, as in Fed-BioMed.
fn untag(mut entries: Vec<(Value, Value)>) -> Result<Value, Error> {
    let key = |name: &str| Value::Str(name.to_owned());
    let is_tagged = entries.len() == 2 && entries[0].0 == key(TYPE) && entries[1].0 == key(VALUE);
    let (true, Some((_, Value::Str(tag)))) = (is_tagged, entries.first()) else {
        return Ok(Value::Map(entries));
    };
    let tag = tag.clone();
    match (tag.as_str(), entries.pop()) {
        ("tuple", Some((_, Value::List(values)))) => Ok(Value::Tuple(values)),
        ("np.ndarray", Some((_, value))) => Ok(Value::NumpyArray(tensor(value, 3)?)),
        ("torch.Tensor", Some((_, value))) => Ok(Value::TorchTensor(tensor(value, 3)?)),
        ("np.generic", Some((_, value))) => Ok(Value::NumpyScalar(tensor(value, 2)?)),
        (_, value) => {
            entries.extend(value);
            Ok(Value::Map(entries))
        }
    }
}

fn tensor(value: Value, n_parts: usize) -> Result<Tensor, Error> {
    let malformed = || Error::Mpk { reason: "an array is not [bytes, dtype, axes]".into() };
    let Value::List(parts) = value else { return Err(malformed()) };
    if parts.len() != n_parts {
        return Err(malformed());
    }
    let mut parts = parts.into_iter();
    let (Some(Value::Bin(data)), Some(Value::Str(name))) = (parts.next(), parts.next()) else {
        return Err(malformed());
    };
    let dtype = DType::from_name(&name)
        .filter(|dtype| *dtype != DType::BFloat16)
        .ok_or_else(|| Error::Mpk { reason: format!("unknown dtype `{name}`").into() })?;
    let shape = match parts.next() {
        None => Vec::new(),
        Some(Value::List(axes)) => {
            let axis = |axis| match axis {
                Value::Int(axis) => u64::try_from(axis).map_err(|_| malformed()),
                _ => Err(malformed()),
            };
            axes.into_iter().map(axis).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(malformed()),
    };
    Tensor::new(dtype, shape, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unhex(text: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }

    fn float64(shape: Vec<u64>, value: f64) -> Tensor {
        Tensor::new(DType::Float64, shape, value.to_le_bytes().to_vec()).unwrap()
    }

    // Serializer.dumps of (4, 2), torch.tensor([1., 2.]), np.array([[1.]]) and
    // np.float64(1.5), from Fed-BioMed; tests/oracles/mpk_fedbiomed.py prints them.
    #[test]
    fn bytes_equal_fedbiomed() {
        let float32 = Tensor::from_f32(vec![2], &[1.0, 2.0]).unwrap();
        for (value, expected) in [
            (
                Value::Tuple(vec![Value::Int(4), Value::Int(2)]),
                "82a85f5f747970655f5fa57475706c65a576616c7565920402",
            ),
            (
                Value::TorchTensor(float32),
                "82a85f5f747970655f5fac746f7263682e54656e736f72a576616c7565\
                 93c4080000803f00000040a7666c6f617433329102",
            ),
            (
                Value::NumpyArray(float64(vec![1, 1], 1.0)),
                "82a85f5f747970655f5faa6e702e6e646172726179a576616c7565\
                 93c408000000000000f03fa7666c6f61743634920101",
            ),
            (
                Value::NumpyScalar(float64(vec![], 1.5)),
                "82a85f5f747970655f5faa6e702e67656e65726963a576616c7565\
                 92c408000000000000f83fa7666c6f61743634",
            ),
        ] {
            let expected = unhex(expected);
            assert_eq!(encode(&value).unwrap(), expected, "{value:?}");
            assert_eq!(decode(&expected).unwrap(), value);
        }
    }

    // Their files for a Torch plan's `w` and for a scikit-learn plan's `w_`, both [1, 2].
    #[test]
    fn whole_file_equals_fedbiomed() {
        for (name, expected) in [
            (
                "w",
                "82ad726573656172636865725f6964a172ad6d6f64656c5f77656967687473\
                 81a17782a85f5f747970655f5fac746f7263682e54656e736f72a576616c7565\
                 93c4080000803f00000040a7666c6f617433329102",
            ),
            (
                "w_",
                "82ad726573656172636865725f6964a172ad6d6f64656c5f77656967687473\
                 81a2775f82a85f5f747970655f5faa6e702e6e646172726179a576616c7565\
                 93c4080000803f00000040a7666c6f617433329102",
            ),
        ] {
            let w = Tensor::from_f32(vec![2], &[1.0, 2.0]).unwrap();
            let params = Params::new(vec![(name.into(), w)]).unwrap();
            let bytes = write_params("r", &params).unwrap();
            assert_eq!(bytes, unhex(expected), "{name}");
            assert_eq!(read_params(&bytes).unwrap(), params);
        }
    }

    // `coef_` of their linear regression is a float64 array, `intercept_` may be a scalar.
    #[test]
    fn files_of_scikit_learn_plans_are_read() {
        let weights = Value::Map(vec![
            (Value::Str("coef_".into()), Value::NumpyArray(float64(vec![1, 1], 1.0))),
            (Value::Str("intercept_".into()), Value::NumpyScalar(float64(vec![], 1.5))),
        ]);
        let file = Value::Map(vec![
            (Value::Str("researcher_id".into()), Value::Str("r".into())),
            (Value::Str("model_weights".into()), weights),
        ]);
        let params = read_params(&encode(&file).unwrap()).unwrap();
        assert_eq!(params.tensor("coef_"), Some(&float64(vec![1, 1], 1.0)));
        assert_eq!(params.tensor("intercept_"), Some(&float64(vec![], 1.5)));
    }

    // Fed-BioMed's local job writes a map of arrays, without a wrapper.
    #[test]
    fn bare_parameters_are_read_too() {
        let w = Tensor::from_f32(vec![2], &[1.0, 2.0]).unwrap();
        let params = Params::new(vec![("w".into(), w.clone())]).unwrap();
        let bare = Value::Map(vec![(Value::Str("w".into()), Value::NumpyArray(w))]);
        assert_eq!(read_params(&encode(&bare).unwrap()).unwrap(), params);
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        let w = || Value::NumpyArray(Tensor::from_f32(vec![1], &[1.0]).unwrap());
        let twice = |key: &str, value: &dyn Fn() -> Value| {
            let entry = || (Value::Str(key.into()), value());
            encode(&Value::Map(vec![entry(), entry()])).unwrap()
        };
        let error = read_params(&twice("w", &w)).unwrap_err();
        assert!(matches!(&error, Error::Duplicate { name } if name == "w"), "{error}");
        let weights = || Value::Map(vec![(Value::Str("w".into()), w())]);
        let error = read_params(&twice("model_weights", &weights)).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[test]
    fn unknown_type_stays_a_map() {
        let entry = |key: &str, value| (Value::Str(key.into()), value);
        let map =
            Value::Map(vec![entry(TYPE, Value::Str("toto".into())), entry(VALUE, Value::Int(3))]);
        assert_eq!(decode(&encode(&map).unwrap()).unwrap(), map);
    }

    #[test]
    fn hostile_bytes_are_errors() {
        // A list that claims 2^32 - 1 entries, a byte string that claims 4 GiB,
        // nesting without end, an array that lies about its shape, a leftover.
        let lying = "82a85f5f747970655f5faa6e702e6e646172726179a576616c7565\
                     93c4080000803f00000040a7666c6f617433329103";
        for bytes in [
            vec![0xdd, 0xff, 0xff, 0xff, 0xff],
            vec![0xc6, 0xff, 0xff, 0xff, 0xff, 0x00],
            vec![0x91; 100_000],
            unhex(lying),
            vec![0x01, 0x02],
            vec![],
        ] {
            assert!(decode(&bytes).is_err(), "{:x?}", &bytes[..bytes.len().min(8)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
