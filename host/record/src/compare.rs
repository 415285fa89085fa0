//! Two runs side by side.

use std::collections::BTreeMap;
use std::path::Path;

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::{Difference, Error, History, differences, load_history};

/// The largest checkpoint that is read, in bytes.
const CHECKPOINT_BYTES_MAX: u64 = 64 << 20;

/// The comparison of two runs, local jobs or experiments.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The differences.
    pub differences: Vec<Difference>,
    /// The names of compared things, such as `plan` or `rows`.
    pub compared: Vec<String>,
    /// The things that could not be compared, and why.
    pub not_compared: Vec<String>,
    /// Scores after the last round on held-out rows, and the training loss.
    pub metrics: Vec<MetricPair>,
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

/// The facts about the data in `checkpoint.json` of a local run.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Marks {
    pub(crate) data: Digest,
    pub(crate) fold: Option<RunFold>,
}

/// Which of how many folds a local run held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RunFold {
    /// Which one, from 1.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

impl Marks {
    /// None of an experiment, which does not know the data.
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        let path = dir.join("checkpoint.json");
        let bytes = fedwasm_folder::read_file(&path, CHECKPOINT_BYTES_MAX).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Compares the runs in two directories.
///
/// # Errors
/// Those of [`load_history`].
pub fn compare(a: &Path, b: &Path) -> Result<Comparison, Error> {
    let marks = [a, b].map(Marks::of);
    let (a, b) = (load_history(a)?, load_history(b)?);
    let [of_a, of_b] = marks.each_ref().map(Option::as_ref);
    Ok(compare_loaded((&a, of_a), (&b, of_b)))
}

pub(crate) fn compare_loaded(
    (a, of_a): (&History, Option<&Marks>),
    (b, of_b): (&History, Option<&Marks>),
) -> Comparison {
    let (mut found, mut compared, mut not_compared) = (Vec::new(), Vec::new(), Vec::new());
    let mut differ = |name: &str, a: String, b: String| {
        if a != b {
            found.push(Difference { name: name.to_owned(), a, b });
        }
    };
    compared.push("plan".to_owned());
    let plan = |history: &History| {
        let plan = &history.plan;
        format!("{} {} sha256:{}", plan.name, plan.version, plan.sha256)
    };
    differ("plan", plan(a), plan(b));
    match (of_a, of_b) {
        (Some(a), Some(b)) => {
            compared.push("data".to_owned());
            differ("data", format!("sha256:{}", a.data), format!("sha256:{}", b.data));
            let fold = |fold: Option<RunFold>| match fold {
                Some(RunFold { index, count }) => format!("{index} of {count}"),
                None => "none".to_owned(),
            };
            differ("fold", fold(a.fold), fold(b.fold));
        }
        _ if a.is_local() && b.is_local() => {
            not_compared.push("data: a directory has no checkpoint.json".to_owned());
        }
        _ => not_compared.push("data: nodes report their number of rows, not the rows".to_owned()),
    }
    match (a.initial_sha256, b.initial_sha256) {
        (Some(a), Some(b)) => {
            compared.push("start".to_owned());
            differ("start", format!("parameters sha256:{a}"), format!("parameters sha256:{b}"));
        }
        _ => not_compared.push("start: a run does not name its initial parameters".to_owned()),
    }
    compared.extend(["seed", "arguments", "rows"].map(str::to_owned));
    let (of_a, of_b) = (rows(a), rows(b));
    let nodes: std::collections::BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    for node in nodes {
        let of = |rows: &BTreeMap<String, String>| {
            rows.get(node).cloned().unwrap_or_else(|| "not there".into())
        };
        let name = if a.is_local() && b.is_local() { "rows" } else { &format!("rows of {node}") };
        differ(name, of(&of_a), of(&of_b));
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
    let (of_a, of_b) = (metrics(a), metrics(b));
    let names: std::collections::BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    let pair = |name: &String| MetricPair {
        name: name.clone(),
        a: of_a.get(name).copied(),
        b: of_b.get(name).copied(),
    };
    let metrics = names.into_iter().map(pair).collect();
    Comparison { differences: found, compared, not_compared, metrics }
}

/// The rows that each node trained on and held out, when it took part last.
fn rows(history: &History) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    // Those of single nodes are unknown under secure aggregation.
    for round in history.rounds.iter().filter(|round| round.secagg.is_some()) {
        let held_out = round.evaluation.as_ref().map_or(0, |evaluation| evaluation.n_rows);
        let text = format!("{} trained on, {held_out} scored", round.n_samples());
        rows.insert("all nodes".to_owned(), text);
    }
    let in_the_clear = history.rounds.iter().filter(|round| round.secagg.is_none());
    for (node, record) in in_the_clear.flat_map(|round| &round.nodes) {
        let scored = record.global_evaluation.as_ref().or(record.evaluation.as_ref());
        let held_out = scored.map_or(0, |evaluation| evaluation.n_rows);
        let text = format!("{} trained on, {held_out} scored", record.n_samples);
        rows.insert(node.to_string(), text);
    }
    rows
}

/// Scores of the result, and the training loss.
pub(crate) fn metrics(history: &History) -> fedwasm_protocol::Metrics {
    let Some(last) = history.kept() else { return fedwasm_protocol::Metrics::default() };
    let mut metrics = last.evaluation.as_ref().map_or_else(Default::default, |e| e.metrics.clone());
    if let Some(loss) = last.train_loss() {
        metrics.insert("training loss".into(), loss);
    }
    metrics
}
