//! The host's side of a session, in this crate's types.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::bindings::fedwasm::training_plan::loader;
use crate::bindings::fedwasm::training_plan::store::{self, Slot};
use crate::bindings::fedwasm::training_plan::types::{self as wit, AccessError, Dtype};
use crate::bindings::fedwasm::training_plan::{predictions, random};
use fedwasm_kernels::math;

use crate::{Batch, Parameter, PlanError, Result, Targets, Tensor};

/// The most that the host takes or gives in one call, in bytes.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Randomness from the host: the same seed gives the same numbers.
#[derive(Debug, Default)]
pub struct Random(());

impl Random {
    /// Returns the randomness of this call. There is one stream: who draws first gets its first
    /// numbers. Training draws others in every round and at every node, scoring always the same.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// Fills `values` with draws from U(-bound, bound): the upper 24 bits of
    /// a little-endian u32 each, scaled to [-1, 1).
    ///
    /// # Errors
    /// [`PlanError::Internal`] if the host gives no randomness here.
    pub fn fill_uniform(&mut self, values: &mut [f32], bound: f32) -> Result<()> {
        for chunk in values.chunks_mut(CHUNK_BYTES_MAX / 4) {
            let bytes = random::bytes(4 * chunk.len() as u32).map_err(access("random bytes"))?;
            for (value, bytes) in chunk.iter_mut().zip(bytes.chunks_exact(4)) {
                let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let unit = (bits >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0;
                *value = unit * bound;
            }
        }
        Ok(())
    }
}

impl Random {
    /// Fills `values` with draws from the standard normal distribution by the polar method
    /// (Marsaglia and Bray 1964): two of each pair of uniform ones inside the unit circle.
    ///
    /// # Errors
    /// [`PlanError::Internal`] if the host gives no randomness here.
    pub fn fill_normal(&mut self, values: &mut [f32]) -> Result<()> {
        let mut filled = 0;
        while filled < values.len() {
            let mut uniform = vec![0.0; (values.len() - filled).next_multiple_of(2)];
            self.fill_uniform(&mut uniform, 1.0)?;
            for pair in uniform.chunks_exact(2) {
                let square = pair[0] * pair[0] + pair[1] * pair[1];
                if square >= 1.0 || square == 0.0 {
                    continue;
                }
                let factor = (-2.0 * math::ln(square) / square).sqrt();
                for (value, uniform) in values[filled..].iter_mut().zip(pair) {
                    *value = uniform * factor;
                }
                filled = values.len().min(filled + 2);
            }
        }
        Ok(())
    }
}

/// Reads the parameters, whose order is that of `declare`.
pub(crate) fn read_parameters(parameters: &mut [&mut Parameter]) -> Result<()> {
    for (index, parameter) in parameters.iter_mut().enumerate() {
        read(Slot::Model, index, parameter.value.data_mut())?;
    }
    Ok(())
}

/// Writes the parameters, whose order is that of `declare`.
pub(crate) fn write_parameters(parameters: &[&mut Parameter]) -> Result<()> {
    for (index, parameter) in parameters.iter().enumerate() {
        write(Slot::Model, index, parameter.value.data())?;
    }
    Ok(())
}

/// As [`write_parameters`], without those that are frozen: the host keeps them, and in training
/// takes no others.
pub(crate) fn write_trained(parameters: &[&mut Parameter]) -> Result<()> {
    let all = parameters.iter().enumerate();
    for (index, parameter) in all.filter(|(_, parameter)| !parameter.is_frozen) {
        write(Slot::Model, index, parameter.value.data())?;
    }
    Ok(())
}

/// Reads an auxiliary variable of `len` numbers.
pub(crate) fn read_aux(index: usize, len: usize) -> Result<Vec<f32>> {
    let mut values = vec![0.0; len];
    read(Slot::AuxIn, index, &mut values)?;
    Ok(values)
}

/// Writes an auxiliary variable.
pub(crate) fn write_aux(index: usize, values: &[f32]) -> Result<()> {
    write(Slot::AuxOut, index, values)
}

/// Reads a tensor of node state.
pub(crate) fn read_state(index: usize, values: &mut [f32]) -> Result<()> {
    read(Slot::State, index, values)
}

/// Writes a tensor of node state.
pub(crate) fn write_state(index: usize, values: &[f32]) -> Result<()> {
    write(Slot::State, index, values)
}

fn read(slot: Slot, index: usize, into: &mut [f32]) -> Result<()> {
    for (n, chunk) in into.chunks_mut(CHUNK_BYTES_MAX / 4).enumerate() {
        let offset = (n * CHUNK_BYTES_MAX) as u64;
        let bytes = store::read(slot, index as u32, offset, 4 * chunk.len() as u32)
            .map_err(access("to read a tensor"))?;
        copy_floats(&bytes, chunk);
    }
    Ok(())
}

fn write(slot: Slot, index: usize, from: &[f32]) -> Result<()> {
    for (n, chunk) in from.chunks(CHUNK_BYTES_MAX / 4).enumerate() {
        let offset = (n * CHUNK_BYTES_MAX) as u64;
        store::write(slot, index as u32, offset, &to_bytes(chunk))
            .map_err(access("to write a tensor"))?;
    }
    Ok(())
}

/// Batches that were asked for.
static BATCHES: AtomicU64 = AtomicU64::new(0);

/// The number of the batch that was handed out last.
pub(crate) fn batch() -> u64 {
    BATCHES.load(Ordering::Relaxed)
}

/// Returns the next batch, its index and its rows. In `predict` it has no targets.
pub(crate) fn next_batch() -> Result<Option<(Batch, u64, u32)>> {
    BATCHES.fetch_add(1, Ordering::Relaxed);
    let Some(wit) = loader::next().map_err(access("a batch"))? else {
        return Ok(None);
    };
    let mut inputs = wit.inputs.iter().map(|(name, tensor)| Ok((name.clone(), floats(tensor)?)));
    let no_input = || PlanError::BadData("the batch holds no input".into());
    let (_, first) = inputs.next().ok_or_else(no_input)??;
    let other_inputs = inputs.collect::<Result<_>>()?;
    let mut others = wit.targets.iter().map(|(name, tensor)| Ok((name.clone(), targets(tensor)?)));
    let targets = others.next().transpose()?.map_or(Targets::Absent, |(_, targets)| targets);
    let other_targets = others.collect::<Result<_>>()?;
    let batch = Batch { inputs: first, targets, other_inputs, other_targets };
    Ok(Some((batch, wit.index, wit.rows)))
}

fn targets(tensor: &wit::Tensor) -> Result<Targets> {
    Ok(match (tensor.dtype, &tensor.shape[..]) {
        (Dtype::Int64, [_]) => Targets::Classes(integers(&tensor.data)),
        _ => Targets::Reals(floats(tensor)?),
    })
}

/// Gives the scores of batch `index` to the host.
pub(crate) fn emit(index: u64, scores: &Tensor) -> Result<()> {
    let shape = scores.shape().iter().map(|axis| *axis as u64).collect();
    let data = to_bytes(scores.data());
    let scores = wit::Tensor { dtype: Dtype::Float32, shape, data };
    predictions::emit(index, &scores).map_err(access("predictions"))
}

fn access(what: &'static str) -> impl Fn(AccessError) -> PlanError {
    move |error| match error {
        AccessError::Cancelled => PlanError::Cancelled,
        other => PlanError::Internal(format!("the host refused {what}: {}", other.name())),
    }
}

fn floats(tensor: &wit::Tensor) -> Result<Tensor> {
    if tensor.dtype != Dtype::Float32 {
        return Err(PlanError::BadData("expected float32".into()));
    }
    let shape: Vec<usize> = tensor.shape.iter().map(|axis| *axis as usize).collect();
    let mut data = vec![0.0; tensor.data.len() / 4];
    copy_floats(&tensor.data, &mut data);
    Tensor::new(&shape, data)
}

fn integers(bytes: &[u8]) -> Vec<i64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

fn copy_floats(bytes: &[u8], floats: &mut [f32]) {
    let (chunks, _) = bytes.as_chunks::<4>();
    for (float, bytes) in floats.iter_mut().zip(chunks) {
        *float = f32::from_le_bytes(*bytes);
    }
}

fn to_bytes(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}
