//! The job: rounds one by one, for a caller who decides about them.

use std::path::{Path, PathBuf};

use fedwasm_protocol::NodeId;
use fedwasm_protocol::seed::random_seed;
use fedwasm_researcher::{AuxVars, Error, ExperimentFile, Job, Reply};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::json;

use super::attend::Attended;
use super::failure::{mistake, raised};
use super::place::sandbox;
use super::slot::Slot;
use super::values::file;
use super::{Component, Params};

/// The running job of an object of Python.
#[pyclass(module = "fedwasm._native", frozen, name = "Job")]
pub(crate) struct PyJob(Slot<Job>);

/// The result of a call that was not interrupted.
pub(crate) fn settled<T>((done, interrupted): Attended<Result<T, Error>>) -> PyResult<T> {
    match interrupted {
        Some(interrupted) => Err(interrupted),
        None => done.map_err(raised),
    }
}

/// The nodes of these names; all that take part if none.
fn nodes_of(job: &Job, given: Option<Vec<NodeId>>) -> Vec<NodeId> {
    given.unwrap_or_else(|| job.nodes())
}

fn parsed(nodes: Option<Vec<String>>) -> PyResult<Option<Vec<NodeId>>> {
    let parse = |nodes: Vec<String>| nodes.iter().map(|node| node.parse()).collect();
    nodes.map(parse).transpose().map_err(|error: fedwasm_protocol::IdError| mistake(error))
}

/// A reply without its parameters, as JSON.
fn told(reply: &Reply) -> String {
    json!({
        "n_samples": reply.n_samples, "n_steps": reply.n_steps, "train_loss": reply.train_loss,
        "evaluation": reply.evaluation, "optimizer_args": reply.optimizer_args,
        "device": reply.device, "warnings": reply.warnings, "timing": reply.timing,
        "total_ms": reply.total_ms, "upload": reply.upload,
    })
    .to_string()
}

#[pymethods]
impl PyJob {
    /// Connects, finds the nodes, and stores plan and initial parameters.
    #[new]
    fn new(
        py: Python<'_>,
        component: &Component,
        arguments: &Bound<'_, PyDict>,
        program: PathBuf,
        on_event: Py<PyAny>,
    ) -> PyResult<Self> {
        let file = ExperimentFile::parse(&file(arguments)?, Path::new("Job")).map_err(raised)?;
        let seed = match file.training.random_seed {
            Some(seed) => seed,
            None => random_seed().map_err(raised)?,
        };
        let sandbox = sandbox(program, file.strict).map_err(raised)?;
        let Component { component, signatures, .. } = component;
        let options = file.job_options(component, signatures, &sandbox, seed);
        let slot = Slot::new();
        let stopped = slot.stopped();
        let started = slot.attend_alone(py, on_event, |runtime, events| {
            runtime.block_on(Job::start(options, stopped, events))
        })?;
        slot.put(settled(started)?);
        Ok(Self(slot))
    }

    /// Has nodes train a round, which counts: each node, its reply as JSON, and its parameters.
    fn train(
        &self,
        py: Python<'_>,
        round: u32,
        nodes: Option<Vec<String>>,
        on_event: Py<PyAny>,
    ) -> PyResult<Vec<(String, String, Params)>> {
        let nodes = parsed(nodes)?;
        settled(self.0.attend(py, on_event, move |runtime, job, events| {
            runtime.block_on(async {
                let nodes = nodes_of(job, nodes);
                let trained = job.train(round, &nodes, &AuxVars::default(), events).await?;
                let replies = job.fetch_all(trained, events).await?;
                let all = replies.by_node.iter().map(|(node, reply)| {
                    let params = reply.params.clone().unwrap_or_default();
                    (node.to_string(), told(reply), Params(params))
                });
                let all = all.collect();
                job.count(replies);
                Ok(all)
            })
        })?)
    }

    /// Has nodes score the current parameters; evaluations by node, as JSON.
    fn validate(
        &self,
        py: Python<'_>,
        round: u32,
        nodes: Option<Vec<String>>,
        on_event: Py<PyAny>,
    ) -> PyResult<String> {
        let nodes = parsed(nodes)?;
        settled(self.0.attend(py, on_event, move |runtime, job, events| {
            let nodes = nodes_of(job, nodes);
            let scores = runtime.block_on(job.validate(round, &nodes, events))?;
            let scores =
                scores.into_iter().map(|(node, reply)| (node.to_string(), reply.evaluation));
            Ok(json!(scores.collect::<std::collections::BTreeMap<_, _>>()).to_string())
        })?)
    }

    /// Replaces the parameters and stores them for the nodes; their SHA-256.
    fn update_parameters(&self, py: Python<'_>, params: &Params) -> PyResult<String> {
        let params = params.0.clone();
        self.0.with(py, |runtime, job| {
            let stored = runtime.block_on(job.update_parameters(Some(params), None))?;
            Ok(stored.to_string())
        })
    }

    /// Lets the rounds from here on train otherwise.
    fn set_training_args(&self, py: Python<'_>, arguments: &Bound<'_, PyDict>) -> PyResult<()> {
        let file = ExperimentFile::parse(&file(arguments)?, Path::new("Job")).map_err(raised)?;
        self.0.with(py, |runtime, job| runtime.block_on(job.set_training_args(file.training)))
    }

    /// The current parameters.
    fn params(&self, py: Python<'_>) -> PyResult<Params> {
        self.0.with(py, |_, job| Ok(Params(job.params().clone())))
    }

    /// The nodes that take part, with the rows that they announced.
    fn nodes(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        self.0.with(py, |_, job| {
            Ok(job.n_rows().into_iter().map(|(node, n_rows)| (node.to_string(), n_rows)).collect())
        })
    }

    /// The nodes that do not take part, and why.
    fn refused(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        self.0.with(py, |_, job| {
            let refused = job.refused().into_iter();
            Ok(refused.map(|(node, _, reason)| (node.to_string(), reason)).collect())
        })
    }

    /// Its id at the nodes.
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        self.0.with(py, |_, job| Ok(job.id().to_string()))
    }

    /// Leaves; nodes cancel what they still do for it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let (job, runtime) = (self.0.take()?, super::slot::runtime()?);
        py.detach(|| {
            runtime.block_on(async {
                // Its blobs are pruned later then.
                let _ = job.finish().await;
                job.close().await;
            });
        });
        Ok(())
    }
}
