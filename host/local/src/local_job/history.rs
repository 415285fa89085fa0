//! The history of a local job.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fedwasm_protocol::{Digest, Evaluation, NodeTiming};
use fedwasm_record::{
    FINISHED, History, Keep, NodeRecord, PlanRecord, RoundRecord, RoundTiming, StepRecord, Steps,
    params_digest,
};
use fedwasm_sandbox::Profile;
use fedwasm_training::Trained;
use serde_json::Value;

use crate::Error;
use crate::checkpoint::{Checkpoint, Earlier};

use super::validated::Validated;
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
        (trained, validated): (&Trained, &Validated),
        so_far: &SoFar<'_>,
        train_ms: f64,
    ) -> Result<History, Error> {
        let SoFar { start, steps, earlier, initial_sha256, done } = so_far;
        let length = self.round.length(&self.examples);
        let steps = steps.lock().unwrap_or_else(PoisonError::into_inner).points().to_vec();
        let timing = NodeTiming { prepare_ms: self.prepare_ms, train_ms, ..NodeTiming::default() };
        let (params, evaluation) = validated.result(trained);
        let result = (params_digest(params)?.0, evaluation.cloned());
        let mut history = self.history(trained, steps, timing, ms(*start), result);
        history.validations = validated.records.clone();
        history.best = validated.best.as_ref().map(|(best, _)| best.clone());
        history.initial_sha256 = *initial_sha256;
        let batches = done + trained.n_batches;
        if let Some(reason) = &validated.enough {
            history.status = format!("{FINISHED} early: {reason}");
        } else if batches < length.batches {
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
        let LocalOptions { data, training, model, local, .. } = options;
        let mut arguments: BTreeMap<String, Value> = [
            ("data", json(serde_json::to_value(data))),
            ("training", json(serde_json::to_value(training))),
            ("model", json(serde_json::to_value(model))),
            ("strict", Value::from(options.sandbox.profile() == Profile::Strict)),
        ]
        .map(|(section, value)| (section.to_owned(), value))
        .into();
        // Left out where nothing is given, as older runs do.
        let given = [
            ("validate_every", local.validate_every.map(Value::from)),
            (
                "early_stopping",
                local.early_stopping.as_ref().map(|s| json(serde_json::to_value(s))),
            ),
            ("keep", (local.keep == Keep::Best).then(|| Value::from("best"))),
        ];
        let given = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let given: serde_json::Map<String, Value> = given.collect();
        if !given.is_empty() {
            arguments.insert("local".into(), Value::Object(given));
        }
        arguments
    }

    fn history(
        &self,
        trained: &Trained,
        steps: Vec<StepRecord>,
        timing: NodeTiming,
        total_ms: f64,
        (params_sha256, evaluation): (Digest, Option<Evaluation>),
    ) -> History {
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
            params_sha256,
            evaluation,
            scored: [].into(),
            secagg: None,
            scored_secagg: None,
            privacy: None,
        };
        let plan = PlanRecord {
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            sha256: self.options.component.digest(),
        };
        History {
            arguments: self.arguments(),
            status: FINISHED.into(),
            rounds: vec![round],
            steps,
            ..History::new("local".into(), plan, self.options.random_seed, 1)
        }
    }
}
