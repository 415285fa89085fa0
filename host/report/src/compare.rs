//! Runs side by side: a chart, a page. Charts alone: of one run, of lines.

use std::collections::BTreeSet;
use std::path::Path;

use fedwasm_record::{History, Method, Overview, RoundRecord, load_history};

use crate::Error;
use crate::curve::{Chart, LINES_MAX, Line, draw};
use crate::output::curve;
use crate::page::comparison;

/// The most charts of metrics by run.
const METRICS_MAX: usize = 8;

/// Draws the losses of runs in one chart, as SVG: those of held-out rows for experiments, otherwise
/// those of training over the steps. At most 7 have a line.
///
/// # Errors
/// Those of [`load_history`], and [`Error::Curve`].
pub fn compare_curves(dirs: &[&Path]) -> Result<String, Error> {
    let load = |dir: &&Path| Ok((dir.display().to_string(), load_history(dir)?));
    let all = dirs.iter().map(load).collect::<Result<Vec<_>, Error>>()?;
    let all: Vec<(&str, &History)> = all.iter().map(|(label, h)| (&**label, h)).collect();
    Ok(losses(&all)?.into_svg())
}

/// Returns an HTML page of runs and methods side by side.
///
/// # Errors
/// [`Error::Curve`].
pub fn compare_page(methods: &[Method], overview: &Overview) -> Result<String, Error> {
    let single = methods.iter().filter(|method| !method.has_several());
    let single: Vec<(&str, &History)> = single
        .flat_map(|method| method.runs.iter().map(|run| (&*method.label, &run.history)))
        .collect();
    let mut curves = Vec::new();
    if !single.is_empty() {
        curves.push(("Loss".to_owned(), losses(&single)?));
    }
    let several: Vec<&Method> = methods.iter().filter(|method| method.has_several()).collect();
    let runs = several.iter().flat_map(|method| &method.runs);
    let names: BTreeSet<&String> = runs.flat_map(|run| run.metrics.keys()).collect();
    for name in names.into_iter().take(METRICS_MAX) {
        let line = |method: &&Method| {
            let value = |run: &fedwasm_record::Run| run.metrics.get(name).copied();
            let points = method.runs.iter().map(|run| value(run).unwrap_or(f64::NAN));
            Line { label: method.label.clone(), points: (1..).map(f64::from).zip(points).collect() }
        };
        let lines: Vec<Line> = several.iter().take(LINES_MAX).map(line).collect();
        curves.push((format!("{name} by run"), draw(name, "run", name, &lines)?));
    }
    Ok(comparison::html(methods, overview, &curves))
}

fn losses(all: &[(&str, &History)]) -> Result<Chart, Error> {
    let is_over_rounds = all.iter().all(|(_, history)| history.steps.is_empty());
    let line = |(label, history): &(&str, &History)| {
        let points = match (is_over_rounds, history.steps.is_empty()) {
            (true, _) => held_out_losses(history),
            (false, true) => training_losses(history),
            (false, false) => {
                history.steps.iter().map(|point| (point.step as f64, point.loss)).collect()
            }
        };
        Line { label: (*label).to_owned(), points }
    };
    let lines: Vec<Line> = all.iter().take(LINES_MAX).map(line).collect();
    match is_over_rounds {
        true => draw("held-out loss", "round", "loss", &lines),
        false => draw("training loss", "step", "loss", &lines),
    }
}

/// Draws lines over whole numbers, such as rounds or steps, as SVG; each has a name and points. A
/// value that is not a number is a gap.
///
/// # Errors
/// [`Error::Curve`].
pub fn draw_lines(
    title: &str,
    [x_label, y_label]: [&str; 2],
    lines: Vec<(String, Vec<(f64, f64)>)>,
) -> Result<String, Error> {
    let line = |(label, points)| Line { label, points };
    let lines: Vec<Line> = lines.into_iter().map(line).collect();
    Ok(draw(title, x_label, y_label, &lines)?.into_svg())
}

/// The same curve as `curve.svg` of a run.
///
/// # Errors
/// [`Error::Curve`].
pub fn draw_history(history: &History) -> Result<String, Error> {
    Ok(curve(history)?.into_svg())
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
        Some((steps, round.train_loss()?))
    };
    history.rounds.iter().filter_map(point).collect()
}
