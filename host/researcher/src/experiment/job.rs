//! Starts the job of an experiment, and retries when nodes are missing.

use std::collections::BTreeMap;
use std::time::Duration;

use fedwasm_artifact::Component;
use fedwasm_protocol::{NodeId, Reason};
use fedwasm_sandbox::{Sandbox, Scope};
use serde_json::Value;
use tokio::sync::watch;

use crate::experiment::retry::{Trial, outage_at_start};
use crate::secagg::check_start;
use crate::{
    Aggregator, AggregatorArgs, Error, Events, ExperimentFile, History, Job, JobOptions, JobState,
    PlanRecord, Selection,
};

/// Starts the job, or resumes from a breakpoint, again and again while the strategy allows it and
/// nodes are missing or do not answer. An experiment that goes on waits for a hub that is away; a new
/// one says at once that there is none.
pub(crate) async fn start_job(
    options: &JobOptions,
    (file, aggregator): (&ExperimentFile, Option<&AggregatorArgs>),
    breakpoint: Option<&JobState>,
    cancelled: &watch::Receiver<bool>,
    events: Events<'_>,
) -> Result<Job, Error> {
    let trial = Trial::new(&file.strategy);
    let mut trial = if breakpoint.is_some() { trial } else { trial.without_patience() };
    loop {
        let (options, watch) = (options.clone(), cancelled.clone());
        let started = match breakpoint {
            Some(state) => Job::resume(options, state.clone(), watch, events).await,
            None => start(options, (file, aggregator), watch, events).await,
        };
        let error = match started {
            Ok(job) => return Ok(job),
            Err(error) => error,
        };
        let outage = outage_at_start(&error);
        let pause = trial.again(0, error, outage, events)?;
        let mut cancelled = cancelled.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(_) = cancelled.wait_for(|cancelled| *cancelled) => return Err(Error::Cancelled),
        }
    }
}

/// Starts the job, with enough nodes for the first round.
async fn start(
    options: JobOptions,
    (file, aggregator): (&ExperimentFile, Option<&AggregatorArgs>),
    cancelled: watch::Receiver<bool>,
    events: Events<'_>,
) -> Result<Job, Error> {
    let random_seed = options.random_seed;
    let job = Job::start(options, cancelled, events).await?;
    match check_first_round(file, aggregator, &job, random_seed) {
        Ok(()) => Ok(job),
        Err(error) => {
            job.close().await;
            Err(error)
        }
    }
}

/// Checks that the strategy finds enough nodes, and enough for the aggregator of the file, unless
/// another one takes its place.
pub(crate) fn check_first_round(
    file: &ExperimentFile,
    aggregator: Option<&AggregatorArgs>,
    job: &Job,
    random_seed: u64,
) -> Result<(), Error> {
    let got = match &file.strategy.selection {
        // It is asked in its round.
        Selection::Own(_) => job.nodes().len(),
        _ => file.strategy.sample(&job.nodes(), random_seed, 1)?.len(),
    };
    let min = file.strategy.needed(file.strategy.expected(job.found()).len());
    match got >= min {
        true => {
            if let Some(settings) = &file.secagg {
                check_start(settings, aggregator, job, got)?;
            }
            let checked = aggregator.map(|aggregator| aggregator.check_nodes(got));
            checked.transpose().map(drop).map_err(Error::from)
        }
        false => {
            let (refused, strangers) = (missing(file, job), Vec::new());
            Err(Error::NotEnoughNodes { got, min, when: "can be asked", refused, strangers })
        }
    }
}

/// The nodes that could take part and do not, and why.
pub(crate) fn missing(file: &ExperimentFile, job: &Job) -> Vec<(NodeId, Reason, String)> {
    let mut missing = job.refused();
    if let Selection::List { nodes } = &file.strategy.selection {
        missing.retain(|(node, ..)| nodes.contains(node));
        for node in nodes {
            let is_known = missing.iter().any(|(known, ..)| known == node);
            if !is_known && !job.nodes().contains(node) {
                missing.push((node.clone(), Reason::Expired, "it is not connected".into()));
            }
        }
    }
    missing
}

/// The options of a job, from an experiment.
pub(crate) fn job_options(
    file: &ExperimentFile,
    (component, signatures, sandbox): (&Component, &[Vec<u8>], &Sandbox),
    aggregator: &dyn Aggregator,
    random_seed: u64,
) -> JobOptions {
    JobOptions {
        component: component.clone(),
        signatures: signatures.to_vec(),
        description: file.description.clone(),
        sandbox: sandbox.clone(),
        strict: file.strict,
        limits: file.limits.clone(),
        data: file.data.clone(),
        training: file.training.clone(),
        model: file.model.clone(),
        aggregator: aggregator.arguments(),
        secagg: file.secagg.clone(),
        network: file.network.clone(),
        link: None,
        require_receipts: file.strategy.require_receipts,
        // Of nodes that are drawn or listed, only those count.
        min_nodes: match file.strategy.selection {
            Selection::All => file.strategy.min_nodes,
            Selection::Random { .. } | Selection::List { .. } | Selection::Own(_) => Some(1),
        },
        deadline: Duration::from_secs(file.strategy.round_deadline_s),
        patience: Duration::from_secs(file.strategy.patience_s),
        random_seed,
        rounds: file.rounds,
        params: None,
        init_only: file.init_only.clone(),
    }
}

impl ExperimentFile {
    /// The options of a job that works as this experiment does, for a caller who decides about its
    /// rounds.
    pub fn job_options(
        &self,
        component: &Component,
        signatures: &[Vec<u8>],
        sandbox: &Sandbox,
        random_seed: u64,
    ) -> JobOptions {
        let aggregator = self.aggregator.build();
        job_options(self, (component, signatures, sandbox), &*aggregator, random_seed)
    }
}

/// A history without rounds.
pub(crate) fn new_history(
    file: &ExperimentFile,
    arguments: BTreeMap<String, Value>,
    component: &Component,
    job: &Job,
    random_seed: u64,
) -> History {
    let metadata = job.training_plan().metadata();
    let expected = file.strategy.expected(job.found());
    let left_out = missing(file, job).into_iter().map(|(node, _, reason)| (node, reason));
    let model = job.declaration().model.iter();
    let frozen = model.filter(|spec| !spec.trainable && spec.scope == Scope::Shared);
    let plan = PlanRecord {
        name: metadata.name.clone(),
        version: metadata.version.clone(),
        sha256: component.digest(),
    };
    History {
        experiment_id: job.id().to_string(),
        arguments,
        initial_sha256: Some(job.params_sha256()),
        left_out: left_out.filter(|(node, _)| expected.contains(node)).collect(),
        expected,
        frozen: frozen.map(|spec| spec.name.clone()).collect(),
        ..History::new(file.name.clone(), plan, random_seed, file.rounds)
    }
}
