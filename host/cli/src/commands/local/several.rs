//! Several runs: a line each, mean and deviation.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_local::{LocalOptions, LocalResult};
use fedwasm_protocol::{Metric, Metrics};
use fedwasm_record::{Spread, summarise};
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::printer::Printer;

/// Whether a run came to its end, or early stopping ended it.
pub(super) fn is_whole(result: &LocalResult) -> bool {
    result.batches == result.batches_max || result.enough.is_some()
}

/// The metrics of all runs: those of one, and those that others may have beside its accuracy.
pub(super) fn columns(metrics: &Metrics) -> BTreeSet<String> {
    let has = |metric: Metric| metrics.contains_key(metric.key());
    // Two classes, or no row of class 1.
    let is_binary = has(Metric::PrAuc) || (has(Metric::Accuracy) && !has(Metric::Precision));
    let keys = Metric::ALL.map(Metric::key);
    let others = keys.into_iter().filter(|key| is_binary && Metric::may_be_absent(key));
    metrics.keys().cloned().chain(others.map(str::to_owned)).collect()
}

/// A line of one of several runs: its distinguishing name, its metrics, a remark.
pub(super) fn columns_of(names: &BTreeSet<String>) -> Columns {
    let metrics = names
        .iter()
        .fold(Columns::new(2).left(14), |columns, name| columns.right(name.len().max(10)));
    metrics.left(0)
}

/// The distinguishing name of one of several runs.
pub(super) fn name_of(options: &LocalOptions) -> String {
    match options.fold {
        Some(fold) => format!("fold {}/{}", fold.index, fold.count),
        None => format!("seed {}", options.random_seed),
    }
}

/// One line of several runs; returns it for programs.
pub(super) fn print_run(
    names: &BTreeSet<String>,
    options: &LocalOptions,
    result: &LocalResult,
    metrics: &Metrics,
    printer: &Printer,
) -> Value {
    let what = name_of(options);
    let value =
        |name| metrics.get(name).map_or("-".to_owned(), |value: &f64| format!("{value:.4}"));
    let end = match (is_whole(result), &result.best) {
        (false, _) => "(stopped)".to_owned(),
        (true, Some(best)) => format!("epoch {}", best.at),
        (true, None) => String::new(),
    };
    let row = [what].into_iter().chain(names.iter().map(value)).chain([end]);
    printer.line(columns_of(names).line(&row.collect::<Vec<_>>()));
    let fields = json!({
        "seed": options.random_seed,
        "fold": options.fold.map(|fold| fold.index),
        "metrics": metrics,
        "params_sha256": result.params_sha256,
        "stopped": !is_whole(result),
    });
    printer.event("run", &fields);
    fields
}

/// Mean and standard deviation of the runs that came to their end.
pub(super) fn print_spread(
    names: &BTreeSet<String>,
    options: &LocalOptions,
    asked: usize,
    scores: &[Metrics],
    printer: &Printer,
) -> Value {
    let spread = summarise(scores);
    let row = |what: &str, of: &dyn Fn(&Spread) -> Option<f64>| {
        let values = names.iter().map(|name| {
            let value = spread.get(name).and_then(of);
            value.map_or("-".into(), |value| format!("{value:.4}"))
        });
        let row: Vec<String> = [what.to_owned()].into_iter().chain(values).collect();
        printer.line(columns_of(names).line(&row));
    };
    row("mean", &|spread| Some(spread.mean));
    row("deviation", &|spread| spread.std);
    for (name, of) in spread.iter().filter(|(_, of)| of.runs < scores.len()) {
        let (runs, all) = (of.runs, scores.len());
        printer.line(format!(
            "{name} covers {runs} of {all} runs: the others hold out rows of one class"
        ));
    }
    if scores.len() < asked {
        printer.line(format!("{} of {asked} runs finished", scores.len()));
    }
    let means: Metrics = spread.iter().map(|(name, of)| (name.clone(), of.mean)).collect();
    let stds: Metrics =
        spread.iter().filter_map(|(name, of)| Some((name.clone(), of.std?))).collect();
    let runs_with: BTreeMap<&String, usize> =
        spread.iter().map(|(name, of)| (name, of.runs)).collect();
    json!({
        "plan_sha256": options.component.digest(),
        "metrics": means,
        "std": stds,
        "runs_with": runs_with,
        "runs": scores.len(),
        "stopped": scores.len() < asked,
    })
}
