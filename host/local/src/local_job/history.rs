//! The history of a local job.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fedwasm_protocol::{Digest, Evaluation, NodeTiming};
use fedwasm_record::{
    FINISHED, History, NodeRecord, PlanRecord, RoundRecord, RoundTiming, StepRecord, Steps,
    WRITTEN_BY, params_digest,
};
use fedwasm_sandbox::Profile;
use fedwasm_training::Trained;
use serde_json::Value;

use crate::Error;
use crate::checkpoint::{Checkpoint, Earlier};

use super::{LocalJob, LocalOptions, STOPPED, ms};

/// The history before this call, and the one that it collects.
pub(super) struct SoFar<'a> {
    pub(super) start: Instant,
    pub(super) steps: &'a Mutex<Steps>,
    pub(super) earlier: Option<&'a Earlier>,
    pub(super) initial_sha256: Option<Digest>,
    /// Batches before a break.
    pub(super) done: u64,
}

impl LocalJob {
    /// The history until now, also before a break.
    pub(super) fn history_of(
        &self,
        trained: &Trained,
        so_far: &SoFar<'_>,
        train_ms: f64,
        evaluation: Option<Evaluation>,
    ) -> Result<History, Error> {
        let SoFar { start, steps, earlier, initial_sha256, done } = so_far;
        let length = self.round.length(&self.examples);
        let steps = steps.lock().unwrap_or_else(PoisonError::into_inner).points().to_vec();
        let timing = NodeTiming { prepare_ms: self.prepare_ms, train_ms, ..NodeTiming::default() };
        let mut history = self.history(trained, steps, timing, ms(*start), evaluation)?;
        history.initial_sha256 = *initial_sha256;
        let batches = done + trained.n_batches;
        if batches < length.batches {
            history.status = format!("{STOPPED}after {batches} of {} batches", length.batches);
        }
        if let Some(earlier) = earlier {
            earlier.prepend_to(&mut history, length.rows_until(*done), length.rows_until(batches));
        }
        Ok(history)
    }

    pub(super) fn checkpoint(
        &self,
        data: Digest,
        (batches, drawn): (u64, u64),
        params_sha256: Digest,
    ) -> Checkpoint {
        Checkpoint {
            plan: self.options.component.digest(),
            data,
            arguments: self.arguments(),
            random_seed: self.options.random_seed,
            fold: self.options.fold,
            per_epoch: self.round.length(&self.examples).per_epoch,
            batches,
            drawn,
            params_sha256,
        }
    }

    fn arguments(&self) -> BTreeMap<String, Value> {
        let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
        let options = &self.options;
        let LocalOptions { data, training, model, .. } = options;
        [
            ("data", json(serde_json::to_value(data))),
            ("training", json(serde_json::to_value(training))),
            ("model", json(serde_json::to_value(model))),
            ("strict", Value::from(options.sandbox.profile() == Profile::Strict)),
        ]
        .map(|(section, value)| (section.to_owned(), value))
        .into()
    }

    fn history(
        &self,
        trained: &Trained,
        steps: Vec<StepRecord>,
        timing: NodeTiming,
        total_ms: f64,
        evaluation: Option<Evaluation>,
    ) -> Result<History, Error> {
        let metadata = self.training_plan().metadata();
        let record = NodeRecord {
            upload: None,
            upload_aux: None,
            receipt: None,
            n_samples: trained.n_samples,
            n_steps: trained.n_steps,
            train_loss: trained.metrics.get("loss").copied(),
            optimizer_args: trained.optimizer_args.clone(),
            device: "cpu".into(),
            warnings: self.warnings.clone(),
            evaluation: evaluation.clone(),
            global_evaluation: None,
            timing,
            total_ms,
        };
        let timing = RoundTiming {
            wall_ms: self.prepare_ms + total_ms,
            prepare_ms: self.prepare_ms,
            train_ms: timing.train_ms,
            ..RoundTiming::default()
        };
        let round = RoundRecord {
            round: 1,
            timing,
            nodes: [(self.turn.node.clone(), record)].into(),
            dropped: [].into(),
            params_sha256: params_digest(&trained.params)?.0,
            evaluation,
            scored: [].into(),
            secagg: None,
            scored_secagg: None,
            privacy: None,
        };
        Ok(History {
            name: "local".into(),
            plan: PlanRecord {
                name: metadata.name.clone(),
                version: metadata.version.clone(),
                sha256: self.options.component.digest(),
            },
            random_seed: self.options.random_seed,
            written_by: WRITTEN_BY.into(),
            experiment_id: String::new(),
            arguments: self.arguments(),
            changes: Vec::new(),
            status: FINISHED.into(),
            rounds_max: 1,
            initial_sha256: None,
            expected: [].into(),
            left_out: [].into(),
            frozen: Vec::new(),
            noise_sha256: None,
            initial: None,
            rounds: vec![round],
            steps,
        })
    }
}
