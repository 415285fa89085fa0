//! Two runs side by side.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{data_of, differences};
use crate::curve::{Line, draw};
use crate::report::train_loss;
use crate::{Error, History, RoundRecord, load_history};

/// What two runs, local jobs or experiments, have in common and what not.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What differs: plan, data, the parameters that it started from, seed and arguments.
    pub differences: Vec<Difference>,
    /// Scores after the last round on held-out rows, and the training loss.
    pub metrics: Vec<MetricPair>,
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Dotted, such as `training.epochs`.
    pub name: String,
    /// In the first run, or before a change.
    pub a: String,
    /// In the second run, or after the change.
    pub b: String,
}

/// A metric of two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricPair {
    /// Its name.
    pub name: String,
    /// In the first run.
    pub a: Option<f64>,
    /// In the second run.
    pub b: Option<f64>,
}

/// Compares what two directories hold.
///
/// # Errors
/// Those of [`load_history`].
pub fn compare(a: &Path, b: &Path) -> Result<Comparison, Error> {
    let data = [a, b].map(data_of);
    let (a, b) = (load_history(a)?, load_history(b)?);
    let mut found = Vec::new();
    let mut differ = |name: &str, a: String, b: String| {
        if a != b {
            found.push(Difference { name: name.to_owned(), a, b });
        }
    };
    let plan = |history: &History| {
        let plan = &history.plan;
        format!("{} {} sha256:{}", plan.name, plan.version, plan.sha256)
    };
    differ("plan", plan(&a), plan(&b));
    // Experiments do not know the data of their nodes.
    if let [Some(a), Some(b)] = data {
        differ("data", format!("sha256:{a}"), format!("sha256:{b}"));
    }
    if let (Some(a), Some(b)) = (a.initial_sha256, b.initial_sha256) {
        differ("start", format!("parameters sha256:{a}"), format!("parameters sha256:{b}"));
    }
    differ("seed", a.random_seed.to_string(), b.random_seed.to_string());
    differ("rounds", a.rounds.len().to_string(), b.rounds.len().to_string());
    differ("status", a.status.clone(), b.status.clone());
    for (name, a, b) in differences(&a.arguments, &b.arguments) {
        // It stands above.
        if name != "training.random_seed" {
            differ(&name, a, b);
        }
    }
    let (of_a, of_b) = (metrics(&a), metrics(&b));
    let names: std::collections::BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    let pair = |name: &String| MetricPair {
        name: name.clone(),
        a: of_a.get(name).copied(),
        b: of_b.get(name).copied(),
    };
    Ok(Comparison { differences: found, metrics: names.into_iter().map(pair).collect() })
}

/// Draws the losses of two runs in one chart, as SVG: those of held-out rows for two experiments,
/// otherwise those of training over the steps.
///
/// # Errors
/// Those of [`load_history`], and [`Error::Curve`].
pub fn compare_curves(a: &Path, b: &Path) -> Result<String, Error> {
    let histories = [load_history(a)?, load_history(b)?];
    let is_over_rounds = histories.iter().all(|history| history.steps.is_empty());
    let line = |(dir, history): (&Path, &History)| {
        let points = match (is_over_rounds, history.steps.is_empty()) {
            (true, _) => held_out_losses(history),
            (false, true) => training_losses(history),
            (false, false) => {
                history.steps.iter().map(|point| (point.step as f64, point.loss)).collect()
            }
        };
        Line { label: dir.display().to_string(), points }
    };
    let lines: Vec<Line> = [a, b].into_iter().zip(&histories).map(line).collect();
    match is_over_rounds {
        true => draw("held-out loss", "round", "loss", &lines),
        false => draw("training loss", "step", "loss", &lines),
    }
}

fn held_out_losses(history: &History) -> Vec<(f64, f64)> {
    let loss = |round: &RoundRecord| {
        Some((f64::from(round.round), *round.evaluation.as_ref()?.metrics.get("loss")?))
    };
    history.rounds.iter().filter_map(loss).collect()
}

/// The training loss of each round of an experiment, over the steps of one node so far, in the
/// mean over the nodes.
fn training_losses(history: &History) -> Vec<(f64, f64)> {
    let mut steps = 0.0;
    let point = |round: &RoundRecord| {
        let n_steps: u64 = round.nodes.values().map(|node| node.n_steps).sum();
        steps += n_steps as f64 / round.nodes.len().max(1) as f64;
        Some((steps, train_loss(round)?))
    };
    history.rounds.iter().filter_map(point).collect()
}

fn metrics(history: &History) -> fedwasm_protocol::Metrics {
    let Some(last) = history.rounds.last() else { return fedwasm_protocol::Metrics::default() };
    let mut metrics = last.evaluation.as_ref().map_or_else(Default::default, |e| e.metrics.clone());
    if let Some(loss) = train_loss(last) {
        metrics.insert("training loss".into(), loss);
    }
    metrics
}
