//! The files that an experiment and a local job leave behind.

use std::collections::BTreeSet;
use std::path::Path;

use fedwasm_folder::{Folder, Lock};
use fedwasm_params::{Params, mpk, to_safetensors};
use fedwasm_protocol::{Digest, Evaluation, NodeId, printable_json};

use crate::curve::{Line, draw, draw_over};
use crate::report::{self, Report};
use crate::{Error, History, RoundRecord};

const HISTORY: &str = "history.json";
/// The largest history that is read, in bytes.
const HISTORY_BYTES_MAX: u64 = 1 << 30;
/// A training loss of fewer points is drawn as it is, one of more over a mean of the last
/// twentieth of them: losses of single batches scatter.
const SCATTER_POINTS: usize = 40;
/// The most nodes of a chart, and the most charts of metrics.
const NODES_MAX: usize = 8;
const METRICS_MAX: usize = 8;

/// Returns the identity of parameters: the SHA-256 of `params.safetensors`.
pub(crate) fn params_digest(params: &Params) -> Result<(Digest, Vec<u8>), Error> {
    let bytes = to_safetensors(params).map_err(Error::Shapes)?;
    Ok((Digest::of(&bytes), bytes))
}

/// Makes the directory, and fails if files could not be written there later, or
/// if another program writes there.
pub(crate) fn prepare(dir: &Path) -> Result<Lock, Error> {
    let folder = Folder::create(dir).map_err(Error::Out)?;
    folder.check_writable().map_err(Error::Out)?;
    let lock = folder.lock_itself().map_err(Error::Out)?;
    lock.ok_or_else(|| Error::Busy { dir: dir.to_owned() })
}

/// Writes `history.json`.
pub(crate) fn write_history(dir: &Path, history: &History) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(history).map_err(std::io::Error::from)?;
    Ok(Folder::create(dir)?.write(HISTORY, printable_json(&json).as_bytes())?)
}

/// Reads `history.json` of a finished or running experiment, or of a local job.
///
/// # Errors
/// [`Error::Io`], [`Error::File`].
pub fn load_history(dir: &Path) -> Result<History, Error> {
    let path = dir.join(HISTORY);
    if !path.is_file() && dir.join("summary.json").is_file() {
        let reason = " is not there: the directory holds several runs; name one of them".into();
        return Err(Error::File { path, reason });
    }
    let bytes = fedwasm_folder::read_file(&path, HISTORY_BYTES_MAX)?;
    let damaged = |error: serde_json::Error| Error::File { path, reason: format!(" {error}") };
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// Writes `params.mpk`, `params.safetensors`, `history.json`, `curve.svg` and
/// `report.html`.
pub(crate) fn write(
    dir: &Path,
    researcher_id: &str,
    params: &Params,
    history: &History,
) -> Result<Folder, Error> {
    let folder = Folder::create(dir)?;
    let mpk = mpk::write_params(researcher_id, params).map_err(Error::Shapes)?;
    folder.write("params.mpk", &mpk)?;
    folder.write("params.safetensors", &params_digest(params)?.1)?;
    write_history(dir, history)?;
    folder.write("curve.svg", curve(history)?.as_bytes())?;
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
    Ok(report::html(&Report { history, status: &history.status, curves }))
}

/// A chart for every metric of held-out rows but the loss, in ascending order
/// of names: of all rows, and of each node. One round makes no curve.
fn metric_curves(history: &History) -> Vec<(String, Vec<Line>)> {
    let scored = history.rounds.iter().filter_map(|round| round.evaluation.as_ref());
    if scored.clone().count() < 2 {
        return Vec::new();
    }
    let names: BTreeSet<&String> = scored.flat_map(|e| e.metrics.keys()).collect();
    let names = names.into_iter().filter(|name| *name != "loss").take(METRICS_MAX);
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

/// What a line has where a node was not there, or told nothing.
fn gap(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

/// The nodes that charts show: more lines than colours would say nothing.
fn nodes(history: &History) -> impl Iterator<Item = &NodeId> {
    let nodes: BTreeSet<&NodeId> = history
        .rounds
        .iter()
        .flat_map(|round| round.nodes.keys().chain(round.scored.keys()))
        .collect();
    nodes.into_iter().take(NODES_MAX)
}

fn curve(history: &History) -> Result<String, Error> {
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
        if let Some(loss) = held_out.and_then(|evaluation| evaluation.metrics.get("loss")) {
            let points = vec![(last, *loss)];
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
    fn texts_of_strangers_in_history_command_no_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let status = "failed: a\u{9b}2J\u{202e}b\u{200b}".to_owned();
        let history = History { status, ..crate::history::tests::empty_history() };
        write_history(dir.path(), &history).unwrap();
        let text = std::fs::read_to_string(dir.path().join(HISTORY)).unwrap();
        assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{200b}']), "{text}");
        assert_eq!(load_history(dir.path()).unwrap().status, history.status);
    }

    #[test]
    fn moving_mean_looks_back() {
        let points: Vec<(f64, f64)> = (1..=4).map(|n| (f64::from(n), f64::from(n * n))).collect();
        let Line { points: got, .. } = moving_mean(&points, 2);
        assert_eq!(got, [(1.0, 1.0), (2.0, 2.5), (3.0, 6.5), (4.0, 12.5)]);
        assert_eq!(moving_mean(&points, 0).points, points);
        assert!(moving_mean(&[], 3).points.is_empty());
    }
}
