//! From `forward` to `backward`.

use crate::{PlanError, Result, session};

/// What `forward` keeps for `backward`.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    /// The number of the batch, and what is kept of it.
    of_batch: Option<(u64, T)>,
    is_training: bool,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { of_batch: None, is_training: false }
    }
}

impl<T> Kept<T> {
    pub(super) fn is_training(&self) -> bool {
        self.is_training
    }

    /// As [`super::Layer::set_training`]; what was kept is forgotten.
    pub(super) fn set_training(&mut self, is_training: bool) {
        *self = Self { of_batch: None, is_training };
    }

    /// Keeps it. In training `backward` must have taken what was kept of the same batch.
    pub(super) fn keep(&mut self, value: T, layer: &str) -> Result<()> {
        let batch = session::batch();
        if self.is_training && self.of_batch.as_ref().is_some_and(|(of, _)| *of == batch) {
            let text = format!(
                "{layer} ran twice without `backward` between, and keeps the inputs of one: take \
                 two layers, or `set_training(false)` where no `backward` follows"
            );
            return Err(PlanError::Unsupported(text));
        }
        self.of_batch = Some((batch, value));
        Ok(())
    }

    /// Takes what `forward` kept.
    pub(super) fn take(&mut self, layer: &str) -> Result<T> {
        let missing =
            || PlanError::Internal(format!("{layer}: backward without forward before it"));
        self.of_batch.take().map(|(_, value)| value).ok_or_else(missing)
    }
}
