//! The host of a component.

use crate::bindings::fedwasm::training_plan::monitor::{self, Level};
use crate::bindings::fedwasm::training_plan::random as randomness;
use crate::bindings::fedwasm::training_plan::types::AccessError;
use crate::{PlanError, Result};

fn refused(what: &'static str) -> impl Fn(AccessError) -> PlanError {
    move |error| match error {
        AccessError::Cancelled => PlanError::Cancelled,
        other => PlanError::Internal(format!("the host refused {what}: {}", other.name())),
    }
}

/// The next bytes of the session's randomness.
pub(crate) fn random(len: usize) -> Result<Vec<u8>> {
    randomness::bytes(len as u32).map_err(refused("random bytes"))
}

/// Reports numbers about the newest batch. A full monitor is no reason to stop training.
pub(crate) fn scalars(values: &[(String, f64)]) {
    let _ = monitor::scalars(values);
}

/// Writes a line to the host's log.
pub(crate) fn log(level: Level, line: &str) {
    monitor::log(level, line);
}

/// Tensors that cross as bytes.
#[cfg(feature = "in-guest")]
pub(crate) mod by_value {
    use super::refused;
    use crate::Result;
    use crate::bindings::fedwasm::training_plan::loader::{self, Batch};
    use crate::bindings::fedwasm::training_plan::predictions;
    use crate::bindings::fedwasm::training_plan::store::{self, Slot};
    use crate::bindings::fedwasm::training_plan::types::Tensor;

    /// Bytes of a tensor of a store.
    pub(crate) fn read(slot: Slot, index: u32, offset: u64, len: usize) -> Result<Vec<u8>> {
        store::read(slot, index, offset, len as u32).map_err(refused("to read a tensor"))
    }

    /// Replaces bytes of a tensor of a store.
    pub(crate) fn write(slot: Slot, index: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        store::write(slot, index, offset, bytes).map_err(refused("to write a tensor"))
    }

    /// The next batch by value.
    pub(crate) fn next() -> Result<Option<Batch>> {
        loader::next().map_err(refused("a batch"))
    }

    /// Gives the scores of a batch to the host.
    pub(crate) fn emit(index: u64, scores: &Tensor) -> Result<()> {
        predictions::emit(index, scores).map_err(refused("predictions"))
    }
}
