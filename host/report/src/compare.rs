//! Charts alone: of two runs, of one, of lines.

use std::path::Path;

use fedwasm_record::{History, RoundRecord, load_history};

use crate::Error;
use crate::curve::{Line, draw};
use crate::output::curve;

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
    let chart = match is_over_rounds {
        true => draw("held-out loss", "round", "loss", &lines)?,
        false => draw("training loss", "step", "loss", &lines)?,
    };
    Ok(chart.into_svg())
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
