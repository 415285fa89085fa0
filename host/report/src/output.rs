//! The files that a finished run leaves: parameters, history, curve and page.

use std::collections::BTreeSet;
use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_params::{Params, mpk};
use fedwasm_protocol::{Evaluation, Metric, NodeId};
use fedwasm_record::{
    Error as RecordError, History, RoundRecord, ValidationRecord, params_digest, write_history,
};

use crate::Error;
use crate::curve::{Chart, LINES_MAX, Line, draw, draw_over};
use crate::page::{self, Report};

/// A training loss of fewer points is drawn as it is, one of more over a mean of the last
/// twentieth of them: losses of single batches scatter.
const SCATTER_POINTS: usize = 40;
/// The most nodes of a chart, which has a line of all nodes beside them.
const NODES_MAX: usize = LINES_MAX - 1;
/// The most charts of metrics.
const METRICS_MAX: usize = 8;

/// Writes `params.mpk`, `params.safetensors`, `history.json`, `curve.svg` and
/// `report.html`.
pub fn write(
    dir: &Path,
    researcher_id: &str,
    params: &Params,
    history: &History,
) -> Result<Folder, Error> {
    let folder = Folder::create(dir)?;
    let mpk = mpk::write_params(researcher_id, params).map_err(RecordError::Shapes)?;
    folder.write("params.mpk", &mpk)?;
    folder.write("params.safetensors", &params_digest(params)?.1)?;
    write_history(dir, history)?;
    folder.write("curve.svg", curve(history)?.as_svg().as_bytes())?;
    folder.write("report.html", report(history)?.as_bytes())?;
    Ok(folder)
}

/// Returns an HTML page about an experiment or a local job: curves of every
/// node and round, and tables.
///
/// # Errors
/// [`Error::Curve`].
pub fn report(history: &History) -> Result<String, Error> {
    let mut curves = vec![("Loss".to_owned(), curve(history)?)];
    for (heading, lines) in metric_curves(history) {
        curves.push((heading.clone(), draw(&heading, "round", &heading, &lines)?));
    }
    for (heading, line) in epoch_curves(history) {
        curves.push((heading.clone(), draw(&heading, "epoch", &heading, &[line])?));
    }
    let n_not_drawn = match history.is_of_sums() {
        true => 0,
        false => all_nodes(history).len().saturating_sub(NODES_MAX),
    };
    Ok(page::html(&Report { history, status: &history.status, curves, n_not_drawn }))
}

/// A chart for every metric of held-out rows but the loss, in ascending order
/// of names: of all rows, and of each node. One round makes no curve.
fn metric_curves(history: &History) -> Vec<(String, Vec<Line>)> {
    let scored = history.rounds.iter().filter_map(|round| round.evaluation.as_ref());
    if scored.clone().count() < 2 {
        return Vec::new();
    }
    let names: BTreeSet<&String> = scored.flat_map(|e| e.metrics.keys()).collect();
    let names = names.into_iter().filter(|name| *name != "loss" && !Metric::is_error(name));
    let names = names.take(METRICS_MAX);
    let chart = |name: &String| {
        let of = |evaluation: Option<&Evaluation>| evaluation?.metrics.get(name).copied();
        let line = |label: String, value: &dyn Fn(&RoundRecord) -> Option<f64>| {
            let points = history.rounds.iter();
            let points = points.map(|round| (f64::from(round.round), gap(value(round))));
            Line { label, points: points.collect() }
        };
        let mut lines = vec![line("all nodes".into(), &|round| of(round.evaluation.as_ref()))];
        for node in nodes(history) {
            lines.push(line(node.to_string(), &|round: &RoundRecord| of(round.score_of(node))));
        }
        if let Some(initial) = &history.initial {
            let labels = [None].into_iter().chain(nodes(history).map(Some));
            for (line, node) in lines.iter_mut().zip(labels) {
                let scores = match node {
                    None => initial.evaluation.as_ref(),
                    Some(node) => initial.nodes.get(node),
                };
                line.points.splice(..0, of(scores).map(|value| (0.0, value)));
            }
        }
        (name.clone(), lines)
    };
    names.map(chart).collect()
}

/// A line for every metric of a local job but the loss, over its epochs.
fn epoch_curves(history: &History) -> Vec<(String, Line)> {
    let records = &history.validations;
    if records.len() < 2 {
        return Vec::new();
    }
    let names: BTreeSet<&String> =
        records.iter().flat_map(|record| record.evaluation.metrics.keys()).collect();
    let names = names.into_iter().filter(|name| *name != "loss").take(METRICS_MAX);
    let line = |name: &String| {
        let point = |record: &ValidationRecord| {
            (record.epoch as f64, gap(record.evaluation.metrics.get(name).copied()))
        };
        let points = records.iter().map(point).collect();
        (name.clone(), Line { label: "held-out rows".into(), points })
    };
    names.map(line).collect()
}

/// The entry of a line for a node that was absent or sent nothing.
fn gap(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

/// The nodes that trained or scored.
fn all_nodes(history: &History) -> BTreeSet<&NodeId> {
    let rounds = history.rounds.iter();
    rounds.flat_map(|round| round.nodes.keys().chain(round.scored.keys())).collect()
}

/// The nodes that charts show: none under secure aggregation, where results of single nodes are
/// unknown.
fn nodes(history: &History) -> impl Iterator<Item = &NodeId> {
    let n = if history.is_of_sums() { 0 } else { NODES_MAX };
    all_nodes(history).into_iter().take(n)
}

pub(crate) fn curve(history: &History) -> Result<Chart, Error> {
    let title = format!("{}: {} {}", history.name, history.plan.name, history.plan.version);
    if !history.steps.is_empty() {
        let points: Vec<_> =
            history.steps.iter().map(|point| (point.step as f64, point.loss)).collect();
        let all = Line { label: "training loss".into(), points };
        let (behind, first) = match all.points.len() {
            ..SCATTER_POINTS => (None, all),
            n => {
                let mean = moving_mean(&all.points, n / 20);
                (Some(all), mean)
            }
        };
        let mut lines = vec![first];
        let last = history.steps.last().map_or(0, |point| point.step) as f64;
        let held_out = history.rounds.last().and_then(|round| round.evaluation.as_ref());
        let loss = |evaluation: &Evaluation| evaluation.metrics.get("loss").copied();
        let mut points: Vec<(f64, f64)> = history
            .validations
            .iter()
            .filter_map(|record| Some((record.step as f64, loss(&record.evaluation)?)))
            .collect();
        if points.is_empty() {
            points.extend(held_out.and_then(loss).map(|loss| (last, loss)));
        }
        if !points.is_empty() {
            lines.push(Line { label: "held-out loss".into(), points });
        }
        return draw_over(&title, "step", "loss", behind.as_ref(), &lines);
    }
    let line = |label: &str, value: &dyn Fn(&RoundRecord) -> Option<f64>| {
        let points = history.rounds.iter();
        let points = points.map(|round| (f64::from(round.round), gap(value(round))));
        Line { label: label.to_owned(), points: points.collect() }
    };
    let mut lines = vec![line("held-out loss", &|round| {
        round.evaluation.as_ref()?.metrics.get("loss").copied()
    })];
    let initial = history.initial.as_ref().and_then(|initial| initial.evaluation.as_ref());
    let initial = initial.and_then(|evaluation| evaluation.metrics.get("loss"));
    lines[0].points.splice(..0, initial.map(|loss| (0.0, *loss)));
    if history.is_of_sums() {
        lines.push(line("training loss", &RoundRecord::train_loss));
    }
    for node in nodes(history) {
        let loss = |round: &RoundRecord| round.nodes.get(node)?.train_loss;
        lines.push(line(&format!("training loss, {node}"), &loss));
    }
    draw(&title, "round", "loss", &lines)
}

/// At each point the mean of the last `n` points, of fewer at the beginning.
fn moving_mean(points: &[(f64, f64)], n: usize) -> Line {
    let mean = |(at, point): (usize, &(f64, f64))| {
        let last = &points[(at + 1).saturating_sub(n.max(1))..=at];
        (point.0, last.iter().map(|point| point.1).sum::<f64>() / last.len() as f64)
    };
    let label = format!("mean of the last {n} points");
    Line { label, points: points.iter().enumerate().map(mean).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_mean_looks_back() {
        let points: Vec<(f64, f64)> = (1..=4).map(|n| (f64::from(n), f64::from(n * n))).collect();
        let Line { points: got, .. } = moving_mean(&points, 2);
        assert_eq!(got, [(1.0, 1.0), (2.0, 2.5), (3.0, 6.5), (4.0, 12.5)]);
        assert_eq!(moving_mean(&points, 0).points, points);
        assert!(moving_mean(&[], 3).points.is_empty());
    }
}
