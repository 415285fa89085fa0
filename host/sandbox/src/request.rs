//! One call of a plan as plain data: what goes in and what comes out, in this
//! process or through the pipes of a worker.

use fedwasm_params::{DType, Tensor};
use fedwasm_protocol::{Arguments, Limits};
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

/// A tensor on its way; what it says of itself is checked where it arrives.
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
    pub(crate) tensors: Vec<PlainTensor>,
    /// Whether training may write each.
    pub(crate) trainable: Vec<bool>,
}

impl PlainSlot {
    /// Pairs tensors with what was declared of them.
    pub(crate) fn new(specs: &[TensorSpec], tensors: Vec<Tensor>) -> Self {
        let trainable = specs.iter().map(|spec| spec.trainable).collect();
        Self { tensors: tensors.into_iter().map(PlainTensor::from).collect(), trainable }
    }
}

/// All that one call needs beside the plan and its data.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) export: Export,
    pub(crate) arguments: Arguments,
    pub(crate) limits: Limits,
    pub(crate) seed: [u8; 32],
    pub(crate) model: PlainSlot,
    pub(crate) aux_in: PlainSlot,
    pub(crate) aux_out: PlainSlot,
    pub(crate) state: PlainSlot,
}

impl Request {
    /// A call that has nothing to compute on.
    pub(crate) fn pure(export: Export, limits: &Limits, arguments: Arguments) -> Self {
        Self {
            export,
            arguments,
            limits: limits.pure(),
            seed: [0; 32],
            model: PlainSlot::default(),
            aux_in: PlainSlot::default(),
            aux_out: PlainSlot::default(),
            state: PlainSlot::default(),
        }
    }
}

/// What an export returned.
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

/// What a call that ended well left behind. Nothing of it was checked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
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
    /// What it used.
    pub(crate) usage: Usage,
}

/// A tensor that comes back: its elements, or none if the call could not
/// write it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Returned(pub(crate) Option<serde_bytes::ByteBuf>);

/// What one call used. All but the time is the same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Most bytes of all memories together.
    pub memory_bytes: u64,
    /// Calls of the host.
    pub host_calls: u64,
    /// Fuel; only in the strict profile.
    pub fuel: Option<u64>,
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
