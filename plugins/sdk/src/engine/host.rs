//! Tensors at the host.

use fedwasm_compute::{Id, Kind, Op, Optimizer, Shape, Tensor};

use super::{Rows, dtype};
use crate::bindings::fedwasm::training_plan::compute::{self, ComputeError};
use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::bindings::fedwasm::training_plan::types::{AccessError, DataSpec};
use crate::{PlanError, Result};

/// The most bytes in one call.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// The interface `compute`: nothing is here but a buffer.
pub(super) struct Home {
    /// The bytes of an operation.
    code: Vec<u8>,
}

/// Why the host did not do it.
fn failed(error: ComputeError) -> PlanError {
    failed_for("tensors")(error)
}

/// As [`failed`], of a call for `what`.
fn failed_for(what: &str) -> impl Fn(ComputeError) -> PlanError {
    move |error| match error {
        ComputeError::Access(AccessError::Cancelled) => PlanError::Cancelled,
        ComputeError::Access(error) => {
            PlanError::Internal(format!("the host refused {what}: {}", error.name()))
        }
        ComputeError::Mistake(text) => PlanError::Internal(text),
        ComputeError::BadData(text) => PlanError::BadData(text),
    }
}

impl Home {
    pub(super) fn new() -> Self {
        Self { code: Vec::new() }
    }

    pub(super) fn apply(&mut self, op: &Op, inputs: &[Id]) -> Result<Id> {
        self.code.clear();
        op.write(&mut self.code);
        compute::apply(&self.code, inputs).map_err(failed)
    }

    pub(super) fn insert(&mut self, tensor: &Tensor) -> Result<Id> {
        let Kind { dtype, shape } = tensor.kind();
        let id = self.apply(&Op::Full { shape, dtype, value: 0.0 }, &[])?;
        for (nth, chunk) in tensor.to_bytes().chunks(CHUNK_BYTES_MAX).enumerate() {
            compute::write(id, (nth * CHUNK_BYTES_MAX) as u64, chunk).map_err(failed)?;
        }
        Ok(id)
    }

    pub(super) fn value(&mut self, id: Id, kind: Kind) -> Result<Tensor> {
        let mut bytes = Vec::with_capacity(kind.bytes());
        while bytes.len() < kind.bytes() {
            let len = CHUNK_BYTES_MAX.min(kind.bytes() - bytes.len());
            bytes.extend(compute::read(id, bytes.len() as u64, len as u32).map_err(failed)?);
        }
        let mut tensor = Tensor::zeros(kind);
        let filled = tensor.fill_from_bytes(&bytes);
        filled.map(|()| tensor).map_err(|rule| PlanError::Internal(rule.to_string()))
    }

    pub(super) fn item(&mut self, id: Id) -> Result<f64> {
        compute::item(id).map_err(failed)
    }

    pub(super) fn keep_mask(&mut self, shape: Shape, rate: f64) -> Result<Id> {
        let shape: Vec<u32> = shape.sizes().map(|size| size as u32).collect();
        compute::keep_mask(&shape, rate).map_err(failed)
    }

    pub(super) fn keep(&mut self, id: Id) -> Result<()> {
        compute::keep(id).map_err(failed)
    }

    pub(super) fn release(&mut self, ids: &[Id]) -> Result<()> {
        compute::release(ids).map_err(failed)
    }

    pub(super) fn detach(&mut self, id: Id) -> Result<Id> {
        compute::detach(id).map_err(failed)
    }

    pub(super) fn want_gradient(&mut self, id: Id, is_wanted: bool) -> Result<()> {
        compute::want_gradient(id, is_wanted).map_err(failed)
    }

    pub(super) fn set_recording(&mut self, is_recording: bool) -> Result<()> {
        compute::set_recording(is_recording).map_err(failed)
    }

    pub(super) fn backward(&mut self, loss: Id) -> Result<()> {
        compute::backward(loss).map_err(failed)
    }

    pub(super) fn take_gradient(&mut self, id: Id) -> Result<Option<Id>> {
        compute::take_gradient(id).map_err(failed)
    }

    pub(super) fn add_gradient(&mut self, id: Id, gradient: Id) -> Result<()> {
        compute::add_gradient(id, gradient).map_err(failed)
    }

    pub(super) fn clip_by_value(&mut self, ids: &[Id], most: f64) -> Result<()> {
        compute::clip_by_value(ids, most).map_err(failed)
    }

    pub(super) fn clip_by_norm(&mut self, ids: &[Id], most: f64) -> Result<f64> {
        compute::clip_by_norm(ids, most).map_err(failed)
    }

    pub(super) fn step(
        &mut self,
        optimizer: &Optimizer,
        rate: f64,
        nth: u64,
        values: &[Id],
        kept: &[Id],
    ) -> Result<()> {
        compute::step(rule(optimizer)?, rate, nth, values, kept).map_err(failed)
    }

    pub(super) fn load(&mut self, slot: Slot, index: u32, _kind: Kind) -> Result<Id> {
        compute::load(slot, index).map_err(failed)
    }

    pub(super) fn save(&mut self, slot: Slot, index: u32, id: Id) -> Result<()> {
        compute::save(slot, index, id).map_err(failed)
    }

    /// The kinds are those that the plan declared.
    pub(super) fn next(
        &mut self,
        inputs: &[DataSpec],
        targets: &[DataSpec],
    ) -> Result<Option<Rows<(Id, Kind)>>> {
        let Some(batch) = compute::next().map_err(failed)? else { return Ok(None) };
        let with_kinds = |ids: Vec<Id>, specs: &[DataSpec]| {
            let with_kind = |(id, spec)| Ok((id, kind_of(spec, batch.rows)?));
            ids.into_iter().zip(specs).map(with_kind).collect::<Result<_>>()
        };
        let inputs = with_kinds(batch.inputs, inputs)?;
        let targets = with_kinds(batch.targets, targets)?;
        Ok(Some(Rows { index: batch.index, rows: batch.rows, inputs, targets }))
    }

    pub(super) fn emit(&mut self, index: u64, id: Id) -> Result<()> {
        compute::emit(index, id).map_err(failed_for("predictions"))
    }
}

/// What so many rows of an input or target are.
fn kind_of(spec: &DataSpec, rows: u32) -> Result<Kind> {
    let sizes = std::iter::once(rows as usize).chain(spec.shape.iter().map(|size| *size as usize));
    let shape = Shape::new(&sizes.collect::<Vec<_>>());
    let shape = shape.map_err(|rule| PlanError::BadData(format!("`{}`: {rule}", spec.name)))?;
    Ok(Kind { dtype: dtype(spec.dtype)?, shape })
}

/// The optimizer in the contract's words.
fn rule(optimizer: &Optimizer) -> Result<compute::Optimizer> {
    Ok(match *optimizer {
        Optimizer::Sgd { momentum, is_nesterov, weight_decay } => {
            let nesterov = is_nesterov;
            compute::Optimizer::Sgd(compute::Sgd { momentum, nesterov, weight_decay })
        }
        Optimizer::Adam { betas: [beta1, beta2], epsilon, weight_decay, is_decoupled } => {
            let decoupled = is_decoupled;
            let rule = compute::Adam { beta1, beta2, epsilon, weight_decay, decoupled };
            compute::Optimizer::Adam(rule)
        }
        Optimizer::Adagrad { rate_decay, epsilon, weight_decay } => {
            compute::Optimizer::Adagrad(compute::Adagrad { rate_decay, epsilon, weight_decay })
        }
        Optimizer::RmsProp { alpha, epsilon, momentum, weight_decay } => {
            let rule = compute::RmsProp { alpha, epsilon, momentum, weight_decay };
            compute::Optimizer::RmsProp(rule)
        }
        _ => return Err(PlanError::Unsupported("the host does not know this optimizer".into())),
    })
}
