//! Batches of the loader as tensors.

use fedwasm_compute::{Id, Session};
use fedwasm_params::Tensor;

use super::{Done, copy_work, kind_of};
use crate::batch::Batch;
use crate::host::Host;

/// Rows of the loader that stay at the host.
pub(crate) struct HostBatch {
    pub(crate) index: u64,
    pub(crate) rows: u32,
    pub(crate) inputs: Vec<Id>,
    pub(crate) targets: Vec<Id>,
}

impl Host {
    /// Returns the next batch, or none when the round is over; tensors that are not kept are gone.
    pub(crate) fn next_tensors(&mut self, session: &mut Session) -> Done<Option<HostBatch>> {
        let next = self.take_batch()?;
        session.next_batch();
        let Some((index, Batch { rows, inputs, targets })) = next else { return Ok(None) };
        let mut all = |tensors: Vec<(String, Tensor)>| -> Done<Vec<Id>> {
            tensors.into_iter().map(|(_, tensor)| insert(session, &tensor)).collect()
        };
        Ok(Some(HostBatch { index, rows, inputs: all(inputs)?, targets: all(targets)? }))
    }
}

fn insert(session: &mut Session, tensor: &Tensor) -> Done<Id> {
    let kind = kind_of(tensor.dtype(), tensor.shape())?;
    session.charge_work(copy_work(kind.shape.len()))?;
    Ok(session.create(kind, |to| to.fill_from_bytes(tensor.data()))?)
}
