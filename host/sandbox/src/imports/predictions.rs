//! `predictions`: where `predict` puts its answers.

use fedwasm_params::{DType, Tensor};
use wasmtime::Result;

use crate::contract::AccessError;
use crate::host::Host;
use crate::request::Export;
use crate::slot::CHUNK_BYTES_MAX;

impl Host {
    /// Takes the scores of batch `index`, once a batch.
    pub(crate) fn emit_scores(
        &mut self,
        index: u64,
        dtype: DType,
        shape: Vec<u64>,
        data: Vec<u8>,
    ) -> Result<Result<(), AccessError>> {
        self.enter()?;
        if self.export != Export::Predict {
            return Ok(Err(AccessError::Closed));
        }
        if data.len() > CHUNK_BYTES_MAX {
            return Ok(Err(AccessError::TooLarge));
        }
        Ok(self.take_scores(index, dtype, shape, data))
    }

    /// Takes scores, where they may be taken, and are not counted as a call.
    pub(super) fn take_scores(
        &mut self,
        index: u64,
        dtype: DType,
        shape: Vec<u64>,
        data: Vec<u8>,
    ) -> Result<(), AccessError> {
        let scores = Tensor::new(dtype, shape, data).map_err(|_| AccessError::Mismatch)?;
        let index = usize::try_from(index).map_err(|_| AccessError::Mismatch)?;
        let rows = *self.batch_rows.get(index).ok_or(AccessError::Mismatch)?;
        if !are_scores(&scores, rows) {
            return Err(AccessError::Mismatch);
        }
        self.prediction_bytes = self.prediction_bytes.saturating_add(scores.data().len());
        if self.prediction_bytes > self.limits.prediction_bytes_max {
            return Err(AccessError::Exhausted);
        }
        self.predictions.resize(self.batch_rows.len(), None);
        let slot = self.predictions.get_mut(index).ok_or(AccessError::Mismatch)?;
        if slot.is_some() {
            return Err(AccessError::Mismatch);
        }
        *slot = Some(scores);
        Ok(())
    }
}

/// Whether `emit` accepts this for a batch of `rows` rows.
pub(crate) fn are_scores(scores: &Tensor, rows: u32) -> bool {
    let is_table =
        matches!(scores.shape(), [got, columns] if *got == u64::from(rows) && *columns > 0);
    scores.dtype() == DType::Float32 && is_table && scores.is_finite()
}
