//! Scores on the held-out rows from epoch to epoch, and what follows from them.

use fedwasm_params::Params;
use fedwasm_protocol::{Digest, Evaluation};
use fedwasm_record::{BestRecord, Choice, Keep, LocalArgs, VALIDATIONS_MAX, ValidationRecord};
use fedwasm_training::{Length, Trained};

use super::LocalJob;
use crate::Error;

/// The scores so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Validated {
    /// Those after epochs, in order.
    pub(crate) records: Vec<ValidationRecord>,
    /// The best parameters, if they are the result.
    pub(crate) best: Option<(BestRecord, Params)>,
    /// The scores of the last parameters, if these were scored.
    pub(crate) last: Option<Evaluation>,
    /// Why no further epochs are needed.
    pub(crate) enough: Option<String>,
}

impl Validated {
    /// The parameters that are the result, and their scores.
    pub(super) fn result<'a>(
        &'a self,
        trained: &'a Trained,
    ) -> (&'a Params, Option<&'a Evaluation>) {
        let Some((best, params)) = &self.best else {
            return (&trained.params, self.last.as_ref());
        };
        let record = self.records.iter().rev().find(|record| record.epoch == best.at);
        (params, record.map(|record| &record.evaluation))
    }

    /// The batches after which there are scores already.
    pub(super) fn is_scored(&self, batches: u64) -> bool {
        self.records.last().is_some_and(|record| record.step == batches)
    }

    /// Takes scores after an epoch; returns whether the parameters are the best so far.
    ///
    /// # Errors
    /// [`Error::Metric`] if the metric that decides is not among the scores.
    pub(super) fn take(
        &mut self,
        record: ValidationRecord,
        (params, sha256): (&Params, Digest),
        rules: &Rules,
    ) -> Result<bool, Error> {
        let metrics = &record.evaluation.metrics;
        let key = "local.early_stopping.metric";
        let stopping = rules.args.early_stopping.as_ref();
        let wrong = stopping.and_then(|stopping| stopping.check(key, metrics));
        let choice = rules.choice.as_ref();
        if let Some(text) = wrong.or_else(|| choice?.check(metrics)) {
            return Err(Error::Metric(text));
        }
        let best = self.best.as_ref().map(|(best, _)| best);
        let better = choice.and_then(|choice| choice.better(best, record.epoch, metrics, sha256));
        let is_best = better.is_some();
        if let Some(better) = better {
            self.best = Some((better, params.clone()));
        }
        self.last = Some(record.evaluation.clone());
        self.records.push(record);
        self.decide(rules);
        Ok(is_best)
    }

    /// Decides whether further epochs are needed.
    pub(super) fn decide(&mut self, rules: &Rules) {
        let Some(stopping) = &rules.args.early_stopping else { return };
        let value = |record: &ValidationRecord| {
            Some((record.epoch, *record.evaluation.metrics.get(&stopping.metric)?))
        };
        self.enough = stopping.decide("epoch", self.records.iter().filter_map(value));
    }
}

/// When a local job is scored, and what for.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) args: LocalArgs,
    /// How the best parameters are chosen, if they are the result.
    choice: Option<Choice>,
    /// Batches from one score to the next; none: only at the end.
    pub(super) every: Option<u64>,
}

impl LocalJob {
    /// Checks that what is asked for can be had: scores after epochs need held-out rows, and a plan
    /// that pauses there.
    pub(super) fn rules(&self, length: &Length) -> Result<Rules, Error> {
        let args = self.options.local.clone();
        let can_pause = self.keeps_state();
        if let Some(key) = args.needs_scores() {
            if self.examples.n_test() == 0 {
                return Err(fedwasm_training::Error::NothingHeldOut.into());
            }
            if !can_pause {
                return Err(Error::NoPause { key });
            }
        }
        let per_epoch = length.per_epoch.max(1);
        let epochs = length.batches.div_ceil(per_epoch);
        let least = epochs.div_ceil(VALIDATIONS_MAX).max(1);
        let every = args.validate_every.unwrap_or(least);
        if (1..least).contains(&every) {
            return Err(Error::TooManyScores { every, epochs, least });
        }
        let scores = can_pause && every > 0 && self.examples.n_test() > 0;
        let by = (args.early_stopping.as_ref(), self.options.training.test_metric);
        let choice = (args.keep == Keep::Best).then(|| Choice::of(by.0, by.1));
        let every = scores.then(|| every.saturating_mul(per_epoch));
        Ok(Rules { args, choice, every })
    }
}
