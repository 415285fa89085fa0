//! Experiments on a federation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedwasm_explain::of_experiment;
use fedwasm_protocol::NodeId;
use fedwasm_protocol::seed::random_seed;
use fedwasm_researcher::{
    Aggregator, Error, Event, Experiment, ExperimentFile, ExperimentOptions, NodeChecked,
    OwnSampler, Selection, StrategyArgs, check_experiment,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};

use super::aggregator::{PyAggregator, PySampler, Raised};
use super::attend::Sink;
use super::failure::raised;
use super::job::settled;
use super::place::sandbox;
use super::slot::{Slot, runtime};
use super::values::file;
use super::{Component, Params};

/// The running experiment of an object of Python.
#[pyclass(module = "fedwasm._native", frozen, name = "Experiment")]
pub(crate) struct PyExperiment {
    slot: Slot<Experiment>,
    component: fedwasm_artifact::Component,
    signatures: Vec<Vec<u8>>,
    program: PathBuf,
    /// What own code raised.
    raised: Raised,
}

/// The arguments of an experiment, and the objects of Python in them.
fn read(
    arguments: &Bound<'_, PyDict>,
    sampler: Option<&Bound<'_, PyAny>>,
    raised_here: &Raised,
) -> PyResult<ExperimentFile> {
    let file = ExperimentFile::parse(&file(arguments)?, Path::new("Experiment")).map_err(raised)?;
    let Some(sampler) = sampler else { return Ok(file) };
    let sampler = OwnSampler(Arc::new(PySampler::new(sampler, raised_here)?));
    let strategy = StrategyArgs { selection: Selection::Own(sampler), ..file.strategy };
    Ok(ExperimentFile { strategy, ..file })
}

#[pymethods]
impl PyExperiment {
    #[new]
    fn new(component: &Component, program: PathBuf) -> Self {
        let Component { component, signatures, .. } = component;
        let (component, signatures) = (component.clone(), signatures.clone());
        Self { slot: Slot::new(), component, signatures, program, raised: Raised::default() }
    }

    /// Everything short of the first round, as JSON.
    fn check(
        &self,
        py: Python<'_>,
        arguments: &Bound<'_, PyDict>,
        on_event: Py<PyAny>,
    ) -> PyResult<String> {
        let options = self.options(read(arguments, None, &self.raised)?)?;
        let stopped = self.slot.stopped();
        let checked = settled(self.slot.attend_alone(py, on_event, |runtime, _| {
            runtime.block_on(check_experiment(options, stopped))
        })?)?;
        let node = |(node, found): (&NodeId, &NodeChecked)| {
            json!({
                "node": node, "dataset": found.dataset_id, "n_rows": found.n_rows,
                "standing": found.standing, "reason": found.reason,
            })
        };
        let nodes: Vec<Value> = checked.nodes.iter().map(node).collect();
        let stranger =
            |(node, reason): &(NodeId, String)| json!({ "node": node, "reason": reason });
        let strangers: Vec<Value> = checked.strangers.iter().map(stranger).collect();
        Ok(json!({
            "plan": checked.plan, "initial_sha256": checked.initial_sha256,
            "n_parameters": checked.n_parameters, "nodes": nodes, "strangers": strangers,
            "needed": checked.needed, "obstacle": checked.obstacle.map(|error| error.to_string()),
        })
        .to_string())
    }

    /// Finds the nodes and makes everything ready for the first round.
    #[pyo3(signature = (arguments, on_event, *, aggregator=None, sampler=None, params=None, out=None, resume=false, change=false, force=false))]
    #[expect(clippy::too_many_arguments, reason = "the arguments of Python, by name")]
    fn start(
        &self,
        py: Python<'_>,
        arguments: &Bound<'_, PyDict>,
        on_event: Py<PyAny>,
        aggregator: Option<&Bound<'_, PyAny>>,
        sampler: Option<&Bound<'_, PyAny>>,
        params: Option<&Params>,
        out: Option<PathBuf>,
        resume: bool,
        change: bool,
        force: bool,
    ) -> PyResult<()> {
        let file = read(arguments, sampler, &self.raised)?;
        let params = params.map(|Params(params)| params.clone());
        let options = self.options(file)?;
        let options = ExperimentOptions { out, resume, change, force, params, ..options };
        let own = aggregator.map(|object| PyAggregator::new(object, &self.raised)).transpose()?;
        let (strategy, stopped) = (options.file.strategy.clone(), self.slot.stopped());
        let started = self.slot.attend_alone(py, on_event, |runtime, events| {
            runtime.block_on(async {
                match own {
                    Some(own) => {
                        let own: Box<dyn Aggregator> = Box::new(own);
                        Experiment::start_with(options, own, stopped, events).await
                    }
                    None => Experiment::start(options, stopped, events).await,
                }
            })
        })?;
        match started {
            (Ok(experiment), interrupted) => {
                self.slot.put(experiment);
                interrupted.map_or(Ok(()), Err)
            }
            (Err(_), Some(interrupted)) => Err(interrupted),
            (Err(error), None) => Err(self.failed(error, &strategy)),
        }
    }

    /// Runs the next round; false if all are done.
    fn run_once(&self, py: Python<'_>, on_event: Py<PyAny>) -> PyResult<bool> {
        let ran = self.slot.attend(py, on_event, |runtime, experiment, events| {
            let strategy = experiment.file().strategy.clone();
            (runtime.block_on(experiment.run_once(events)), strategy)
        })?;
        match ran {
            (_, Some(interrupted)) => Err(interrupted),
            ((Ok(record), _), None) => Ok(record.is_some()),
            ((Err(error), strategy), None) => Err(self.failed(error, &strategy)),
        }
    }

    /// Continues with other arguments from the next round on.
    #[pyo3(signature = (arguments, sampler=None))]
    fn change(
        &self,
        py: Python<'_>,
        arguments: &Bound<'_, PyDict>,
        sampler: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let file = read(arguments, sampler, &self.raised)?;
        self.slot.with(py, move |runtime, experiment| runtime.block_on(experiment.change(file)))
    }

    /// Writes the files of the rounds so far.
    fn save(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |_, experiment| experiment.save())
    }

    /// Leaves, and writes the files.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let (experiment, runtime) = (self.slot.take()?, runtime()?);
        py.detach(|| {
            let is_done = experiment.round() >= experiment.file().rounds;
            runtime.block_on(async {
                match is_done {
                    true => experiment.finish().await.map(drop),
                    false => {
                        experiment.abandon(&Error::Cancelled).await;
                        Ok(())
                    }
                }
            })
        })
        .map_err(raised)
    }

    /// Its history, as JSON.
    fn history(&self, py: Python<'_>) -> PyResult<String> {
        self.slot.with(py, |_, experiment| {
            let json = serde_json::to_string(&experiment.history()?);
            Ok(json.map_err(std::io::Error::from)?)
        })
    }

    /// Rounds that are done.
    fn round(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot.with(py, |_, experiment| Ok(experiment.round()))
    }

    /// The current parameters.
    fn params(&self, py: Python<'_>) -> PyResult<Params> {
        self.slot.with(py, |_, experiment| Ok(Params(experiment.job().params().clone())))
    }

    /// The nodes that take part, with the rows that they announced.
    fn nodes(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        self.slot.with(py, |_, experiment| {
            let rows = experiment.job().n_rows();
            Ok(rows.into_iter().map(|(node, n_rows)| (node.to_string(), n_rows)).collect())
        })
    }
}

impl PyExperiment {
    fn options(&self, file: ExperimentFile) -> PyResult<ExperimentOptions> {
        let seed = match file.training.random_seed {
            Some(seed) => seed,
            None => random_seed().map_err(raised)?,
        };
        Ok(ExperimentOptions {
            component: self.component.clone(),
            signatures: self.signatures.clone(),
            sandbox: sandbox(self.program.clone(), file.strict).map_err(raised)?,
            file,
            random_seed: seed,
            out: None,
            resume: false,
            change: false,
            force: false,
            params: None,
        })
    }

    /// The exception of the caller's own code, if that is the reason.
    fn failed(&self, error: Error, strategy: &StrategyArgs) -> PyErr {
        self.raised.take().unwrap_or_else(|| raised(of_experiment(error, strategy)))
    }
}

/// Tells an event of an experiment as JSON.
pub(crate) fn tell(sink: &Sink, event: Event) {
    match event {
        Event::Started { experiment_id, nodes, random_seed, rounds_done } => sink.tell(json!({
            "event": "started", "experiment_id": experiment_id, "nodes": nodes,
            "random_seed": random_seed, "rounds_done": rounds_done,
        })),
        Event::Dropped { node, round, reason } => sink.tell(json!({
            "event": "dropped", "node": node, "round": round, "reason": reason,
        })),
        Event::Returned { node, round } => {
            sink.tell(json!({ "event": "returned", "node": node, "round": round }));
        }
        Event::Progress { node, round, steps, steps_max, loss, .. } => sink.tell_if_free(json!({
            "event": "progress", "node": node, "round": round, "step": steps,
            "steps_max": steps_max, "loss": loss,
        })),
        Event::Warning(text) => sink.tell(json!({ "event": "warning", "message": text })),
        Event::Retry { round, reason, left } => sink.tell(json!({
            "event": "retry", "round": round, "reason": reason, "left": left,
        })),
        Event::Waiting { round, reason, left_s } => sink.tell(json!({
            "event": "waiting", "round": round, "reason": reason, "left_s": left_s,
        })),
        Event::Initial(record) => sink.tell(json!({ "event": "initial", "record": record })),
        Event::Round(record) => sink.tell(json!({ "event": "round", "record": record })),
        Event::Stopped { reason } => sink.tell(json!({ "event": "stopped", "reason": reason })),
        Event::Agreed { round, n_nodes, ms, .. } => sink.tell(json!({
            "event": "agreed", "round": round, "n_nodes": n_nodes, "ms": ms,
        })),
        // Further kinds of events say nothing here.
        _ => {}
    }
}
