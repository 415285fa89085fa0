//! One call of a plan as plain data: its request and its response, in this
//! process or through the pipes of a worker. On the way through a pipe the
//! elements of parameters follow their message ([`crate::worker`]), so that
//! neither end holds them twice.

use std::io::{self, Read};
use std::marker::PhantomData;

use fedwasm_params::{DType, Tensor};
use fedwasm_protocol::{Arguments, DECLARE_MS_MAX, DESCRIBE_BYTES_MAX, DESCRIBE_MS_MAX, Limits};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::FaultKind;
use crate::declaration::{Declaration, TensorSpec};
use crate::metadata::Metadata;

/// Which export is called, and so which imports are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Export {
    Describe,
    Declare,
    Init,
    Train,
    Predict,
    Validate,
}

impl Export {
    /// Behind the time of a call: the setting that gives it more, if there is
    /// one.
    pub(crate) fn time_setting(self, time_ms_max: u64) -> &'static str {
        let fixed = match self {
            Self::Describe => DESCRIBE_MS_MAX,
            Self::Declare => DECLARE_MS_MAX,
            _ => return "`time_ms_max`",
        };
        if time_ms_max == fixed { FIXED } else { "`time_ms_max`" }
    }

    /// Behind the memory of a call: the setting that gives it more, if there is
    /// one.
    pub(crate) fn memory_setting(self, memory_bytes_max: usize) -> &'static str {
        let is_fixed = self == Self::Describe && memory_bytes_max == DESCRIBE_BYTES_MAX;
        if is_fixed { FIXED } else { "`memory_bytes_max`" }
    }
}

/// The text for a limit that no setting raises.
const FIXED: &str = "the same for every plan";

/// A tensor in transit; its type and shape are checked by the receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlainTensor {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u64>,
    #[serde(with = "serde_bytes")]
    pub(crate) data: Vec<u8>,
}

impl From<Tensor> for PlainTensor {
    fn from(tensor: Tensor) -> Self {
        let (dtype, shape, data) = tensor.into_parts();
        Self { dtype, shape, data }
    }
}

impl TryFrom<PlainTensor> for Tensor {
    type Error = fedwasm_params::Error;

    fn try_from(tensor: PlainTensor) -> Result<Self, Self::Error> {
        Self::new(tensor.dtype, tensor.shape, tensor.data)
    }
}

/// The tensors of one slot, as `declare` announced them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PlainSlot {
    /// In a message they have shapes; their elements follow.
    #[serde(with = "hollow")]
    pub(crate) tensors: Vec<Tensor>,
    /// Whether training may write each.
    pub(crate) trainable: Vec<bool>,
}

impl PlainSlot {
    /// Pairs tensors with their declarations.
    pub(crate) fn new(specs: &[TensorSpec], tensors: Vec<Tensor>) -> Self {
        let trainable = specs.iter().map(|spec| spec.trainable).collect();
        Self { tensors, trainable }
    }

    /// Bytes of the tensors that a call can write; `any` if it can write all.
    fn writable_bytes(&self, any: bool) -> u64 {
        let writable = self.tensors.iter().zip(&self.trainable);
        let writable = writable.filter(|(_, trainable)| any || **trainable);
        writable.map(|(tensor, _)| tensor.data().len() as u64).sum()
    }
}

/// Tensors without their elements. They are restored as zeros, which take no memory until they are
/// written.
mod hollow {
    use super::*;

    pub(super) fn serialize<S: Serializer>(tensors: &[Tensor], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(tensors.iter().map(|tensor| (tensor.dtype(), tensor.shape())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Tensor>, D::Error> {
        let shapes = Vec::<(DType, Vec<u64>)>::deserialize(from)?;
        let zeros = |(dtype, shape)| Tensor::zeros(dtype, shape).map_err(serde::de::Error::custom);
        shapes.into_iter().map(zeros).collect()
    }
}

/// Arguments with their kinds: an empty list by itself does not tell what it is a list of.
mod of_kinds {
    use fedwasm_protocol::{Arguments, Value, ValueKind};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        arguments: &Arguments,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(arguments.iter().map(|(name, value)| (name, value.kind(), value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arguments, D::Error> {
        let wrong = |name: String| serde::de::Error::custom(format!("`{name}` has another kind"));
        let argument = |(name, kind, value): (String, ValueKind, Value)| {
            let value = value.into_kind(kind).ok_or_else(|| wrong(name.clone()))?;
            Ok((name, value))
        };
        Vec::<(String, ValueKind, Value)>::deserialize(from)?.into_iter().map(argument).collect()
    }
}

/// All that one call needs beside the plan and its data.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) export: Export,
    #[serde(with = "of_kinds")]
    pub(crate) arguments: Arguments,
    pub(crate) limits: Limits,
    pub(crate) seed: [u8; 32],
    /// Bytes of its stream that were drawn before.
    pub(crate) drawn: u64,
    pub(crate) model: PlainSlot,
    pub(crate) aux_in: PlainSlot,
    pub(crate) aux_out: PlainSlot,
    pub(crate) state: PlainSlot,
}

impl Request {
    /// A call that has nothing to compute on.
    pub(crate) fn pure(export: Export, limits: Limits, arguments: Arguments) -> Self {
        Self {
            export,
            arguments,
            limits,
            seed: [0; 32],
            drawn: 0,
            model: PlainSlot::default(),
            aux_in: PlainSlot::default(),
            aux_out: PlainSlot::default(),
            state: PlainSlot::default(),
        }
    }
}

impl Request {
    /// The most bytes that may follow the response: those of the tensors that the call can write.
    pub(crate) fn answer_bytes_max(&self) -> u64 {
        match self.export {
            Export::Describe | Export::Declare | Export::Validate => 0,
            Export::Predict => self.limits.prediction_bytes_max as u64,
            Export::Init => self.model.writable_bytes(true),
            Export::Train => {
                let slots = [&self.model, &self.aux_out, &self.state];
                slots.iter().map(|slot| slot.writable_bytes(false)).sum()
            }
        }
    }

    /// The bytes that follow the message.
    pub(crate) fn tail(&self) -> Vec<&[u8]> {
        let slots = [&self.model, &self.aux_in, &self.aux_out, &self.state];
        slots.iter().flat_map(|slot| &slot.tensors).map(Tensor::data).collect()
    }

    /// Takes the bytes that follow the message. The host is trusted, so they have no bound.
    pub(crate) fn read_tail(&mut self, from: &mut impl Read) -> io::Result<()> {
        let slots = [&mut self.model, &mut self.aux_in, &mut self.aux_out, &mut self.state];
        let mut tensors = slots.into_iter().flat_map(|slot| &mut slot.tensors);
        tensors.try_for_each(|tensor| from.read_exact(tensor.data_mut()))
    }
}

/// The return value of an export.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Metadata(Metadata),
    Declaration(Declaration),
    Report(PlainReport),
    Nothing,
}

/// A report as a plan gave it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PlainReport {
    pub(crate) steps: u64,
    pub(crate) rows: u64,
    #[serde(deserialize_with = "few")]
    pub(crate) metrics: Vec<(String, f64)>,
}

/// The results of a successful call, unchecked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Response {
    pub(crate) said: Said,
    #[serde(deserialize_with = "few")]
    pub(crate) model: Vec<Returned>,
    #[serde(deserialize_with = "few")]
    pub(crate) aux_out: Vec<Returned>,
    #[serde(deserialize_with = "few")]
    pub(crate) state: Vec<Returned>,
    /// Scores by batch.
    #[serde(deserialize_with = "many")]
    pub(crate) predictions: Vec<Option<PlainTensor>>,
    /// Batches that the plan took.
    pub(crate) n_batches: u64,
    /// The resources that it used.
    pub(crate) usage: Usage,
}

impl Response {
    /// The bytes that follow the message.
    pub(crate) fn tail(&self) -> Vec<&[u8]> {
        let lists = [&self.model, &self.aux_out, &self.state];
        let returned = lists.into_iter().flatten();
        returned.filter_map(|Returned(bytes)| bytes.as_ref().map(|b| b.bytes.as_slice())).collect()
    }

    /// Takes the bytes that follow the message, at most `bytes_max`.
    pub(crate) fn read_tail(&mut self, from: &mut impl Read, bytes_max: u64) -> io::Result<()> {
        let lists = [&mut self.model, &mut self.aux_out, &mut self.state];
        let elements = lists.into_iter().flatten().filter_map(|Returned(bytes)| bytes.as_mut());
        let mut left = bytes_max;
        for Elements { announced, bytes } in elements {
            left = left.checked_sub(*announced).ok_or_else(|| {
                let text = format!("more than {bytes_max} bytes of tensors");
                io::Error::new(io::ErrorKind::FileTooLarge, text)
            })?;
            // Memory for the declared tensors at most; the message alone allocates none.
            let len = usize::try_from(*announced).map_err(io::Error::other)?;
            bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
            if from.take(*announced).read_to_end(bytes)? != len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// A tensor that comes back: its elements, or none if the call could not
/// write it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Returned(pub(crate) Option<Elements>);

/// The elements of a tensor; in a message their number of bytes.
#[derive(Debug, Default)]
pub(crate) struct Elements {
    /// Bytes that follow the message.
    announced: u64,
    pub(crate) bytes: Vec<u8>,
}

impl From<Vec<u8>> for Elements {
    fn from(bytes: Vec<u8>) -> Self {
        Self { announced: bytes.len() as u64, bytes }
    }
}

impl Serialize for Elements {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.announced.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self { announced: u64::deserialize(from)?, bytes: Vec::new() })
    }
}

/// The resources that one call used. All but the time is the same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Most bytes of all memories together.
    pub memory_bytes: u64,
    /// Calls of the host.
    pub host_calls: u64,
    /// Fuel; only in the strict profile.
    pub fuel: Option<u64>,
    /// Bytes of the random stream that were drawn so far, those before a break among them.
    pub random_bytes: u64,
    /// Processor time in microseconds; never the same twice.
    pub processor_us: u64,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// The plan is to blame.
    Plan(FaultKind, String),
    /// The loader failed.
    Loader(String),
}

/// The most tensors, metrics and numbers of a message.
const FEW: usize = 1 << 17;
/// The most batches of a prediction.
const MANY: usize = 1 << 24;

/// Reads a list that cannot be long: an element takes more room here than it
/// took on its way.
pub(crate) fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(AtMost::<T, FEW>(PhantomData))
}

fn many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(AtMost::<T, MANY>(PhantomData))
}

struct AtMost<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for AtMost<T, N> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a list of at most {N}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = from.next_element()? {
            if list.len() == N {
                return Err(serde::de::Error::invalid_length(N + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}
