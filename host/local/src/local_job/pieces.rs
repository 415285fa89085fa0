//! Training in pieces, with a checkpoint after each: the result is the same as in one piece.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_record::params_digest;
use fedwasm_sandbox::Cancel;
use fedwasm_training::{Before, RoundEvent, Trained};

use crate::Error;

use super::history::SoFar;
use super::{KEEP_STATE, LocalJob, ms};

/// Pieces of a run, after each of which a checkpoint is written; fewer if that were fewer batches.
/// They follow from the arguments and from no clock: a plan may see where they are.
const PIECES: u64 = 20;
const PIECE_BATCHES_MIN: u64 = 256;
/// Checkpoints are further apart than this, and than so many times the time of writing the last
/// one.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(2);
const CHECKPOINT_SHARE: u32 = 20;

impl LocalJob {
    /// Trains to the end, piece by piece where the plan's state between batches is known: then a
    /// checkpoint can be written after each, and the result is the same as in one piece.
    pub(super) fn train<E: FnMut(RoundEvent) + Send + 'static>(
        &self,
        mut before: Before,
        collect: E,
        so_far: &SoFar<'_>,
        cancel: &Cancel,
    ) -> Result<Trained, Error> {
        let Self { options, round, examples, turn, .. } = self;
        let length = round.length(examples);
        let piece = (options.out.is_some() && self.keeps_state())
            .then(|| length.batches.div_ceil(PIECES).max(PIECE_BATCHES_MIN));
        let collect = Arc::new(Mutex::new(collect));
        let (start_train, mut whole) = (Instant::now(), None);
        // When the last one was written, and how long that took.
        let (mut written, mut took) = (Instant::now(), Duration::ZERO);
        loop {
            before.until = piece.map(|piece| (before.batches / piece + 1).saturating_mul(piece));
            let (end, batches) = (before.until, before.batches);
            let collect = Arc::clone(&collect);
            let events = Box::new(move |event| {
                (collect.lock().unwrap_or_else(PoisonError::into_inner))(event);
            });
            let trained = round.train(examples, before, turn, events, cancel)?;
            let at = batches + trained.n_batches;
            let rows = |until| length.rows_until(until) - length.rows_until(so_far.done);
            let trained = match whole {
                Some(whole) => join(whole, trained, rows(batches), rows(at)),
                None => trained,
            };
            let is_over = end.is_none_or(|end| at < end) || at >= length.batches;
            if is_over || options.stop.is_cancelled() {
                return Ok(trained);
            }
            if written.elapsed() > CHECKPOINT_PAUSE.max(CHECKPOINT_SHARE * took) {
                let begun = Instant::now();
                self.write_piece(&trained, so_far, ms(start_train))?;
                (written, took) = (Instant::now(), begun.elapsed());
            }
            let (params, kept, drawn) =
                (trained.params.clone(), trained.kept.clone(), trained.drawn);
            before = Before { params, kept, drawn, batches: at, ..Before::default() };
            whole = Some(trained);
        }
    }

    /// Whether the optimizer's state is kept from one piece to the next.
    fn keeps_state(&self) -> bool {
        let given = self.round.arguments().get(KEEP_STATE);
        given == Some(&fedwasm_protocol::Value::Boolean(true))
    }

    fn write_piece(
        &self,
        trained: &Trained,
        so_far: &SoFar<'_>,
        train_ms: f64,
    ) -> Result<(), Error> {
        let (Some(dir), Some(data)) = (&self.options.out, self.data) else { return Ok(()) };
        let history = self.history_of(trained, so_far, train_ms, None)?;
        let (sha256, params) = params_digest(&trained.params)?;
        let batches = so_far.done + trained.n_batches;
        let checkpoint = self.checkpoint(data, (batches, trained.drawn), sha256);
        checkpoint.write_piece(dir, &params, trained.kept.as_ref(), &history)
    }
}

/// Puts two pieces of one training together, the first of `rows_before` of the `rows` of both.
fn join(first: Trained, then: Trained, rows_before: u64, rows: u64) -> Trained {
    let mut metrics = then.metrics;
    for (name, value) in &mut metrics {
        if let Some(before) = first.metrics.get(name) {
            let share = rows_before as f64 / rows.max(1) as f64;
            *value = before * share + *value * (1.0 - share);
        }
    }
    Trained {
        n_steps: first.n_steps.saturating_add(then.n_steps),
        n_batches: first.n_batches + then.n_batches,
        metrics,
        ..then
    }
}
