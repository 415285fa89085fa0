//! How an experiment gets its job, and what it does when nodes are missing.

use std::time::Duration;

use fedwasm_artifact::Component;
use fedwasm_protocol::{NodeId, Reason};
use fedwasm_sandbox::{Sandbox, Scope};
use tokio::sync::watch;

use crate::history::{RUNNING, WRITTEN_BY};
use crate::resume::arguments;
use crate::{
    AggregateError, Aggregator, Error, Event, Events, ExperimentFile, History, Job, JobOptions,
    JobState, PlanRecord, Selection,
};

/// Starts the job, or goes on from a breakpoint, again and again while the strategy allows it
/// and nodes are missing or nobody answers.
pub(crate) async fn start_job(
    options: &JobOptions,
    file: &ExperimentFile,
    breakpoint: Option<&JobState>,
    cancelled: &watch::Receiver<bool>,
    events: Events<'_>,
) -> Result<Job, Error> {
    let mut left = file.strategy.retries;
    loop {
        let started = match breakpoint {
            Some(state) => {
                Job::resume(options.clone(), state.clone(), cancelled.clone(), events).await
            }
            None => match Job::start(options.clone(), cancelled.clone(), events).await {
                Ok(job) => check_first_round(file, job, options.random_seed).await,
                Err(error) => Err(error),
            },
        };
        match started {
            Err(error) if left > 0 && is_worth_a_retry(&error) => {
                left -= 1;
                events(Event::Retry { round: 0, reason: error.to_string(), left });
                let pause = Duration::from_secs(file.strategy.retry_pause_s);
                let mut cancelled = cancelled.clone();
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    Ok(_) = cancelled.wait_for(|cancelled| *cancelled) => {
                        return Err(Error::Cancelled);
                    }
                }
            }
            result => return result,
        }
    }
}

/// Checks that the strategy finds enough nodes.
async fn check_first_round(
    file: &ExperimentFile,
    job: Job,
    random_seed: u64,
) -> Result<Job, Error> {
    let got = file.strategy.sample(&job.nodes(), random_seed, 1).len();
    let min = file.strategy.min_nodes;
    let enough = match got >= min {
        true => file.aggregator.check_nodes(got).map_err(Error::from),
        false => {
            let refused = missing(file, &job);
            Err(Error::NotEnoughNodes { got, min, when: "can be asked", refused })
        }
    };
    match enough {
        Ok(()) => Ok(job),
        Err(error) => {
            job.close().await;
            Err(error)
        }
    }
}

/// Who could take part and does not, and why.
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

/// What a job is told of an experiment.
pub(crate) fn job_options(
    file: &ExperimentFile,
    (component, signatures, sandbox): (&Component, &[Vec<u8>], &Sandbox),
    aggregator: &dyn Aggregator,
    random_seed: u64,
) -> JobOptions {
    JobOptions {
        component: component.clone(),
        signatures: signatures.to_vec(),
        sandbox: sandbox.clone(),
        strict: file.strict,
        limits: file.limits.clone(),
        data: file.data.clone(),
        training: file.training.clone(),
        model: file.model.clone(),
        aggregator: aggregator.arguments(),
        secagg: file.secagg.clone(),
        network: file.network.clone(),
        require_receipts: file.strategy.require_receipts,
        min_nodes: file.strategy.min_nodes,
        deadline: Duration::from_secs(file.strategy.round_deadline_s),
        random_seed,
    }
}

/// A history without rounds.
pub(crate) fn new_history(
    file: &ExperimentFile,
    component: &Component,
    job: &Job,
    random_seed: u64,
) -> History {
    let metadata = job.training_plan().metadata();
    History {
        name: file.name.clone(),
        plan: PlanRecord {
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            sha256: component.digest(),
        },
        random_seed,
        written_by: WRITTEN_BY.into(),
        experiment_id: job.id().to_string(),
        arguments: arguments(file),
        status: RUNNING.into(),
        rounds_max: file.rounds,
        initial_sha256: Some(job.params_sha256()),
        frozen: {
            let model = job.declaration().model.iter();
            let frozen = model.filter(|spec| !spec.trainable && spec.scope == Scope::Shared);
            frozen.map(|spec| spec.name.clone()).collect()
        },
        rounds: Vec::new(),
        steps: Vec::new(),
    }
}

/// Whether nodes that come back, or broker and repository, could make it good.
pub(crate) fn is_worth_a_retry(error: &Error) -> bool {
    if let Error::Transport(error) = error {
        return error.is_passing();
    }
    // Who has not allowed the plan does not do so for being asked again.
    if let Error::NotEnoughNodes { refused, .. } = error
        && !refused.is_empty()
        && refused.iter().all(|(_, reason, _)| *reason == Reason::NotApproved)
    {
        return false;
    }
    matches!(
        error,
        Error::BrokerLost { .. }
            | Error::NotEnoughNodes { .. }
            | Error::NotEnoughSamples { .. }
            | Error::Aggregation(AggregateError::TooFewNodes { .. })
    )
}
