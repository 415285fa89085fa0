//! How many batches a round has, and how many rows they have.

use fedwasm_protocol::{Budget, LoaderArgs};

/// How many batches a round has (Fed-BioMed's iteration accountant).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Batches of an epoch.
    pub(crate) per_epoch: u64,
    /// Batches of the round.
    pub(crate) total: u64,
    /// Rows of a full batch.
    batch_rows: u64,
    /// Rows of an epoch.
    epoch_rows: u64,
}

impl Schedule {
    pub(crate) fn new(n_rows: u64, args: &LoaderArgs, budget: Budget) -> Self {
        let size = u64::from(args.batch_size);
        let all = if args.drop_last { n_rows / size } else { n_rows.div_ceil(size) };
        let of = |per_epoch: u64, total: u64| {
            let epoch_rows = n_rows.min(per_epoch.saturating_mul(size));
            Self { per_epoch, total, batch_rows: size, epoch_rows }
        };
        match budget {
            Budget::Epochs { epochs, batch_maxnum } => {
                let per_epoch = batch_maxnum.map_or(all, |max| all.min(max));
                of(per_epoch, per_epoch.saturating_mul(epochs))
            }
            // Without a full batch there is nothing to give, however often.
            Budget::Updates { .. } if all == 0 => of(0, 0),
            Budget::Updates { num_updates } => of(all, num_updates),
        }
    }

    /// Rows of the first `batches`, repetitions counted.
    pub(crate) fn rows_until(&self, batches: u64) -> u64 {
        let Some(epochs) = batches.checked_div(self.per_epoch) else { return 0 };
        let rest = (batches % self.per_epoch).saturating_mul(self.batch_rows);
        epochs.saturating_mul(self.epoch_rows).saturating_add(rest.min(self.epoch_rows))
    }

    /// Whether the loss of this batch, counted from 1, is worth reporting: one
    /// in `interval`, the first and the last of an epoch, and the last of all.
    pub(crate) fn is_logged(&self, step: u64, interval: u64) -> bool {
        let in_epoch = step.checked_rem(self.per_epoch);
        step.is_multiple_of(interval.max(1))
            || matches!(in_epoch, Some(0 | 1))
            || step >= self.total
    }
}
