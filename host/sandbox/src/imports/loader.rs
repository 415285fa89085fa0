//! `loader`: the batches of a session.

use wasmtime::Result;

use crate::batch::Batch;
use crate::contract::AccessError;
use crate::host::Host;
use crate::request::Export;

impl Host {
    /// Returns the next batch and its index, counted from 0, or none when the
    /// round is over.
    pub(crate) fn next_batch(&mut self) -> Result<Result<Option<(u64, Batch)>, AccessError>> {
        self.enter()?;
        Ok(self.take_batch())
    }

    /// The next batch, not counted as a call.
    pub(super) fn take_batch(&mut self) -> std::result::Result<Option<(u64, Batch)>, AccessError> {
        if !matches!(self.export, Export::Train | Export::Predict | Export::Validate) {
            return Err(AccessError::Closed);
        }
        if self.watch.cancel.is_cancelled() {
            return Err(AccessError::Cancelled);
        }
        if self.loader_error.is_some() {
            return Err(AccessError::Unavailable);
        }
        let loader = self.loader.as_mut().ok_or(AccessError::Closed)?;
        let batch = match loader.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(None),
            Err(reason) => {
                self.loader_error = Some(reason);
                return Err(AccessError::Unavailable);
            }
        };
        let index = self.n_batches;
        self.n_batches += 1;
        if self.export == Export::Predict {
            self.batch_rows.push(batch.rows);
        }
        Ok(Some((index, batch)))
    }
}
