//! Training in pieces, with scores and a checkpoint after them: the result is the same as in one
//! piece.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_record::{ValidationRecord, params_digest};
use fedwasm_sandbox::Cancel;
use fedwasm_training::{Before, Trained};

use crate::Error;
use crate::checkpoint::Earlier;

use super::events::Told;
use super::history::SoFar;
use super::validated::{Rules, Validated};
use super::{KEEP_STATE, LocalJob, ms};

/// Pieces of a run, after each of which a checkpoint is written; fewer if that were fewer batches.
/// They follow from the arguments and from no clock: a plan may see where they are.
const PIECES: u64 = 100;
const PIECE_BATCHES_MIN: u64 = 256;
/// Checkpoints are further apart than this, and than so many times the time of writing the last
/// one.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(2);
const CHECKPOINT_SHARE: u32 = 20;

impl LocalJob {
    /// Trains to the end, piece by piece where the plan's state between batches is known: then it
    /// can be scored and a checkpoint be written after each, and the result is the same as in one
    /// piece.
    pub(super) fn train<E: FnMut(Told) + Send + 'static>(
        &self,
        mut before: Before,
        tell: E,
        so_far: &SoFar<'_>,
        cancel: &Cancel,
    ) -> Result<(Trained, Validated), Error> {
        let Self { options, round, examples, turn, .. } = self;
        let length = round.length(examples);
        let rules = self.rules(&length)?;
        let piece = (options.out.is_some() && self.keeps_state())
            .then(|| length.batches.div_ceil(PIECES).max(PIECE_BATCHES_MIN));
        let tell = Arc::new(Mutex::new(tell));
        let (start_train, mut whole) = (Instant::now(), None);
        let mut validated = so_far.earlier.map(Earlier::validated).unwrap_or_default();
        validated.decide(&rules);
        // When the last one was written, and how long that took.
        let (mut written, mut took) = (Instant::now(), Duration::ZERO);
        loop {
            let batches = before.batches;
            let stops = [piece, rules.every].into_iter().flatten().filter(|every| *every > 0);
            let next = stops.map(|every| (batches / every + 1).saturating_mul(every)).min();
            before.until = if validated.enough.is_some() { Some(batches) } else { next };
            let end = before.until;
            let told = Arc::clone(&tell);
            let events = Box::new(move |event| {
                (told.lock().unwrap_or_else(PoisonError::into_inner))(Told::Round(event));
            });
            let trained = round.train(examples, before, turn, events, cancel)?;
            let at = batches + trained.n_batches;
            let rows = |until| length.rows_until(until) - length.rows_until(so_far.done);
            let trained = match whole {
                Some(whole) => join(whole, trained, rows(batches), rows(at)),
                None => trained,
            };
            let is_over = end.is_none_or(|end| at < end) || at >= length.batches;
            let is_over = is_over || options.stop.is_cancelled() || validated.enough.is_some();
            let told = self.validate((&trained, at, is_over), &mut validated, &rules, cancel)?;
            if let Some(told) = told {
                (tell.lock().unwrap_or_else(PoisonError::into_inner))(told);
            }
            if is_over || validated.enough.is_some() {
                return Ok((trained, validated));
            }
            if written.elapsed() > CHECKPOINT_PAUSE.max(CHECKPOINT_SHARE * took) {
                let begun = Instant::now();
                self.write_piece((&trained, &validated), so_far, ms(start_train))?;
                (written, took) = (Instant::now(), begun.elapsed());
            }
            let (params, kept, drawn) =
                (trained.params.clone(), trained.kept.clone(), trained.drawn);
            before = Before { params, kept, drawn, batches: at, ..Before::default() };
            whole = Some(trained);
        }
    }

    /// Scores the parameters after `at` batches: after an epoch whose turn it is, and at the end.
    fn validate(
        &self,
        (trained, at, is_over): (&Trained, u64, bool),
        validated: &mut Validated,
        rules: &Rules,
        cancel: &Cancel,
    ) -> Result<Option<Told>, Error> {
        let Self { options, round, examples, .. } = self;
        validated.last = None;
        let length = round.length(examples);
        let is_due = at > 0
            && !validated.is_scored(at)
            && rules.every.is_some_and(|every| at % every == 0 || at >= length.batches);
        if examples.n_test() == 0 || !is_due && !is_over {
            return Ok(None);
        }
        let seed = options.random_seed;
        let evaluation = round.evaluate(examples, &trained.params, None, seed, cancel)?;
        if !is_due {
            validated.last = Some(evaluation);
            return Ok(None);
        }
        let epoch = at.div_ceil(length.per_epoch.max(1));
        let record = ValidationRecord { epoch, step: at, evaluation };
        let sha256 = params_digest(&trained.params)?.0;
        let is_best = validated.take(record.clone(), (&trained.params, sha256), rules)?;
        Ok(Some(Told::Scored(record, is_best)))
    }

    /// Whether the optimizer's state is kept from one piece to the next.
    pub(super) fn keeps_state(&self) -> bool {
        let given = self.round.arguments().get(KEEP_STATE);
        given == Some(&fedwasm_protocol::Value::Boolean(true))
    }

    fn write_piece(
        &self,
        reached: (&Trained, &Validated),
        so_far: &SoFar<'_>,
        train_ms: f64,
    ) -> Result<(), Error> {
        let (Some(dir), Some(data)) = (&self.options.out, self.data) else { return Ok(()) };
        let history = self.history_of(reached, so_far, train_ms)?;
        let (trained, validated) = reached;
        let (sha256, last) = params_digest(&trained.params)?;
        let (_, result) = params_digest(validated.result(trained).0)?;
        let batches = so_far.done + trained.n_batches;
        let checkpoint = self.checkpoint(data, (batches, trained.drawn), sha256);
        checkpoint.write_piece(dir, (&result, &last), trained.kept.as_ref(), &history)
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
