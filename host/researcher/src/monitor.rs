//! Passes progress reports of nodes to TensorBoard (Fed-BioMed
//! `Monitor`). Files for people, never a result: they hold times, and an
//! error here is a warning.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use fedwasm_protocol::{Evaluation, NodeId};

use crate::{Event, History, RoundRecord};
use fedwasm_report::TensorBoard;

/// The run of sums.
const ALL_NODES: &str = "all-nodes";

/// Watches events.
#[derive(Debug)]
pub(crate) struct Monitor {
    tensorboard: Option<TensorBoard>,
    /// Steps of each node in the rounds that are over: the steps of a round go
    /// on from there.
    steps: BTreeMap<NodeId, u64>,
}

impl Monitor {
    /// Watches without writing anything.
    pub(crate) fn off() -> Self {
        Self { tensorboard: None, steps: BTreeMap::new() }
    }

    /// Writes event files into `dir`, after the rounds of `history`.
    pub(crate) fn new(dir: &Path, history: &History) -> Self {
        let mut monitor = Self { tensorboard: Some(TensorBoard::new(dir)), ..Self::off() };
        history.rounds.iter().for_each(|record| monitor.count(record));
        monitor
    }

    /// Takes an event; returns a warning, once, if it cannot be written.
    pub(crate) fn see(&mut self, event: &Event) -> Option<String> {
        let written = match event {
            Event::Progress { node, points, .. } => {
                let before = self.steps.get(node).copied().unwrap_or(0);
                let tensorboard = self.tensorboard.as_mut()?;
                points.iter().try_for_each(|point| {
                    let step = before.saturating_add(point.step);
                    tensorboard.training(node, step, &point.name, point.value, SystemTime::now())
                })
            }
            Event::Round(record) => {
                self.count(record);
                self.round(record)
            }
            Event::Initial(record) => match record.secagg.as_ref().map(|sum| &sum.evaluation) {
                Some(of_all) => self.sum(0, None, of_all.as_ref()),
                None => self.scores(0, record.nodes.iter()),
            },
            _ => Ok(()),
        };
        let error = written.err()?;
        self.tensorboard = None;
        Some(format!("event files for TensorBoard are no longer written: {error}"))
    }

    fn round(&mut self, record: &RoundRecord) -> std::io::Result<()> {
        if let Some(sum) = &record.secagg {
            return self.sum(record.round, sum.evaluation.as_ref(), record.evaluation.as_ref());
        }
        let Some(tensorboard) = &mut self.tensorboard else { return Ok(()) };
        let now = SystemTime::now();
        for (node, of_node) in &record.nodes {
            if let Some(local) = &of_node.evaluation {
                tensorboard.on_local_updates(node, record.round, &local.metrics, now)?;
            }
        }
        self.scores(record.round, record.scores().into_iter())
    }

    /// Scores of all nodes together, under secure aggregation.
    fn sum(
        &mut self,
        round: u32,
        local: Option<&Evaluation>,
        global: Option<&Evaluation>,
    ) -> std::io::Result<()> {
        let (Some(tensorboard), Ok(all)) = (&mut self.tensorboard, ALL_NODES.parse()) else {
            return Ok(());
        };
        let now = SystemTime::now();
        if let Some(local) = local {
            tensorboard.on_local_updates(&all, round, &local.metrics, now)?;
        }
        if let Some(global) = global {
            tensorboard.on_global_updates(&all, round, &global.metrics, now)?;
        }
        tensorboard.flush()
    }

    /// Scores of one model at nodes.
    fn scores<'a>(
        &mut self,
        round: u32,
        scores: impl Iterator<Item = (&'a NodeId, &'a Evaluation)>,
    ) -> std::io::Result<()> {
        let Some(tensorboard) = &mut self.tensorboard else { return Ok(()) };
        let now = SystemTime::now();
        for (node, evaluation) in scores {
            tensorboard.on_global_updates(node, round, &evaluation.metrics, now)?;
        }
        tensorboard.flush()
    }

    fn count(&mut self, record: &RoundRecord) {
        for (node, of_node) in &record.nodes {
            let steps = self.steps.entry(node.clone()).or_default();
            *steps = steps.saturating_add(of_node.n_steps);
        }
    }
}
