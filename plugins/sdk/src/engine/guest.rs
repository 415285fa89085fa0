//! Tensors in this component.

use fedwasm_compute::{
    Apply as _, Dtype, Id, Kind, Op, Optimizer, Session, Shape, Tensor, Trained, compose,
};

use super::{Rows, dtype, refused};
use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::bindings::fedwasm::training_plan::types::{self as wit, DataSpec};
use crate::imports::{self, CHUNK_BYTES_MAX};
use crate::{PlanError, Result};

/// A session.
pub(super) struct Home(Session);

impl Home {
    /// The memory of the component is the bound.
    pub(super) fn new() -> Self {
        Self(Session::new(usize::MAX))
    }

    /// Bytes of all tensors.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.buffers().bytes()
    }

    pub(super) fn apply(&mut self, op: &Op, inputs: &[Id]) -> Result<Id> {
        self.0.apply(*op, inputs).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn insert(&mut self, tensor: &Tensor) -> Result<Id> {
        self.0.insert(tensor).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn value(&mut self, id: Id, _kind: Kind) -> Result<Tensor> {
        self.0.get(id).cloned().map_err(|mistake| refused(&mistake))
    }

    pub(super) fn item(&mut self, id: Id) -> Result<f64> {
        let value = self.value_of(id)?;
        let no_item =
            || PlanError::Internal(format!("item of {}: there must be one", value.kind()));
        value.item().ok_or_else(no_item)
    }

    fn value_of(&self, id: Id) -> Result<&Tensor> {
        self.0.get(id).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn keep_mask(&mut self, shape: Shape, rate: f64) -> Result<Id> {
        let mut random = Vec::new();
        let bytes = 4 * shape.len();
        while random.len() < bytes {
            random.extend(imports::random(CHUNK_BYTES_MAX.min(bytes - random.len()))?);
        }
        let fill = |mask: &mut Tensor| {
            compose::keep_mask(mask.get_mut::<bool>().unwrap_or_default(), rate, &random)
        };
        let made = self.0.create(Kind { dtype: Dtype::Bool, shape }, fill);
        made.map_err(|mistake| refused(&mistake))
    }

    pub(super) fn keep(&mut self, id: Id) -> Result<()> {
        self.0.keep(id).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn release(&mut self, ids: &[Id]) -> Result<()> {
        let mut ids = ids.iter();
        ids.try_for_each(|id| self.0.release(*id)).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn detach(&mut self, id: Id) -> Result<Id> {
        self.0.detach(id).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn want_gradient(&mut self, id: Id, is_wanted: bool) -> Result<()> {
        self.0.want_gradient(id, is_wanted).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn set_recording(&mut self, is_recording: bool) -> Result<()> {
        self.0.set_recording(is_recording);
        Ok(())
    }

    pub(super) fn backward(&mut self, loss: Id) -> Result<()> {
        self.0.backward(loss).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn take_gradient(&mut self, id: Id) -> Result<Option<Id>> {
        self.0.take_gradient(id).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn add_gradient(&mut self, id: Id, gradient: Id) -> Result<()> {
        self.0.add_gradient(id, gradient).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn clip_by_value(&mut self, ids: &[Id], most: f64) -> Result<()> {
        self.0.clip_by_value(ids, most).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn clip_by_norm(&mut self, ids: &[Id], most: f64) -> Result<f64> {
        self.0.clip_by_norm(ids, most).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn step(
        &mut self,
        optimizer: &Optimizer,
        rate: f64,
        nth: u64,
        values: &[Id],
        kept: &[Id],
    ) -> Result<()> {
        let n_kept = optimizer.buffers().len();
        let trained = values.iter().enumerate().map(|(at, value)| Trained {
            value: *value,
            buffers: kept.get(at * n_kept..(at + 1) * n_kept).unwrap_or_default(),
        });
        let trained: Vec<Trained> = trained.collect();
        self.0.step(optimizer, rate, nth, &trained).map_err(|mistake| refused(&mistake))
    }

    pub(super) fn load(&mut self, slot: Slot, index: u32, kind: Kind) -> Result<Id> {
        let mut failed = Ok(());
        let fill = |tensor: &mut Tensor| {
            let elements = tensor.get_mut::<f32>().unwrap_or_default();
            failed = read(slot, index, elements);
            Ok(())
        };
        let id = self.0.create(kind, fill).map_err(|mistake| refused(&mistake))?;
        failed?;
        self.keep(id).map(|()| id)
    }

    pub(super) fn save(&mut self, slot: Slot, index: u32, id: Id) -> Result<()> {
        let elements = self.value_of(id)?.get::<f32>().unwrap_or_default();
        for (nth, chunk) in elements.chunks(CHUNK_BYTES_MAX / 4).enumerate() {
            // The host knows one NaN.
            let bits = |x: &f32| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() };
            let bytes: Vec<u8> = chunk.iter().flat_map(|x| bits(x).to_le_bytes()).collect();
            imports::write(slot, index, (nth * CHUNK_BYTES_MAX) as u64, &bytes)?;
        }
        Ok(())
    }

    /// The kinds are those of the batch.
    pub(super) fn next(
        &mut self,
        _inputs: &[DataSpec],
        _targets: &[DataSpec],
    ) -> Result<Option<Rows<(Id, Kind)>>> {
        self.0.next_batch();
        let Some(batch) = imports::next()? else { return Ok(None) };
        let mut take = |tensors: Vec<(String, wit::Tensor)>| {
            tensors.iter().map(|(_, tensor)| self.take(tensor)).collect::<Result<_>>()
        };
        let (inputs, targets) = (take(batch.inputs)?, take(batch.targets)?);
        Ok(Some(Rows { index: batch.index, rows: batch.rows, inputs, targets }))
    }

    fn take(&mut self, tensor: &wit::Tensor) -> Result<(Id, Kind)> {
        let sizes: Vec<usize> = tensor.shape.iter().map(|size| *size as usize).collect();
        let shape = Shape::new(&sizes).map_err(|rule| PlanError::BadData(rule.to_string()))?;
        let kind = Kind { dtype: dtype(tensor.dtype)?, shape };
        let id = self.0.create(kind, |to| to.fill_from_bytes(&tensor.data));
        Ok((id.map_err(|mistake| PlanError::BadData(mistake.to_string()))?, kind))
    }

    pub(super) fn emit(&mut self, index: u64, id: Id) -> Result<()> {
        let scores = self.value_of(id)?;
        let shape = scores.shape().sizes().map(|size| size as u64).collect();
        let dtype = match scores.dtype() {
            Dtype::F32 => wit::Dtype::Float32,
            other => return Err(PlanError::Internal(format!("scores must be f32, not {other}"))),
        };
        imports::emit(index, &wit::Tensor { dtype, shape, data: scores.to_bytes() })
    }
}

fn read(slot: Slot, index: u32, into: &mut [f32]) -> Result<()> {
    for (nth, chunk) in into.chunks_mut(CHUNK_BYTES_MAX / 4).enumerate() {
        let offset = (nth * CHUNK_BYTES_MAX) as u64;
        let bytes = imports::read(slot, index, offset, 4 * chunk.len())?;
        let (bytes, _) = bytes.as_chunks::<4>();
        chunk.iter_mut().zip(bytes).for_each(|(to, from)| *to = f32::from_le_bytes(*from));
    }
    Ok(())
}
