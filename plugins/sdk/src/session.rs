//! The host's side of a session, in this crate's types.

use crate::batch::{INPUTS, TARGETS};
use crate::bindings::fedwasm::training_plan::loader;
use crate::bindings::fedwasm::training_plan::store::{self, Slot};
use crate::bindings::fedwasm::training_plan::types::{self as wit, AccessError, Dtype};
use crate::bindings::fedwasm::training_plan::{predictions, random};
use crate::{Batch, Parameter, PlanError, Result, Targets, Tensor};

/// The most that the host takes or gives in one call, in bytes.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Randomness from the host: the same seed gives the same numbers.
#[derive(Debug)]
pub struct Random(());

impl Random {
    pub(crate) fn new() -> Self {
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

/// Reads node state.
pub(crate) fn read_state(state: &mut [Vec<f32>]) -> Result<()> {
    let mut state = state.iter_mut().enumerate();
    state.try_for_each(|(index, values)| read(Slot::State, index, values))
}

/// Writes node state.
pub(crate) fn write_state(state: &[Vec<f32>]) -> Result<()> {
    let mut state = state.iter().enumerate();
    state.try_for_each(|(index, values)| write(Slot::State, index, values))
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

/// Returns the next batch's index and inputs, for `predict`.
pub(crate) fn next_inputs() -> Result<Option<(u64, Tensor)>> {
    let Some(batch) = loader::next().map_err(access("a batch"))? else {
        return Ok(None);
    };
    let inputs = floats(named(&batch.inputs, INPUTS)?)?;
    Ok(Some((batch.index, inputs)))
}

/// Returns the next batch and its rows.
pub(crate) fn next_batch() -> Result<Option<(Batch, u32)>> {
    let Some(batch) = loader::next().map_err(access("a batch"))? else {
        return Ok(None);
    };
    let inputs = floats(named(&batch.inputs, INPUTS)?)?;
    let target = named(&batch.targets, TARGETS)?;
    let targets = match target.dtype {
        Dtype::Int64 => Targets::Classes(integers(&target.data)),
        _ => Targets::Reals(floats(target)?),
    };
    Ok(Some((Batch { inputs, targets }, batch.rows)))
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

fn named<'a>(tensors: &'a [(String, wit::Tensor)], name: &str) -> Result<&'a wit::Tensor> {
    let found = tensors.iter().find(|(key, _)| key == name);
    let missing = || PlanError::BadData(format!("the batch holds no `{name}`"));
    found.map(|(_, tensor)| tensor).ok_or_else(missing)
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
