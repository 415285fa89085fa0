//! The parts of a page that a local run has otherwise than an experiment: there
//! is one round at one place.

use fedwasm_record::History;

use super::metrics::{metric, metrics};
use super::numbers::{duration, grouped, number, opt};
use super::summary::tile;
use super::times::{sum, time_table};

/// Says what came of it.
pub(super) fn summary(history: &History) -> String {
    let Some(last) = history.rounds.last() else {
        return "<p>Nothing is trained yet.</p>\n".to_owned();
    };
    let held_out = last.evaluation.as_ref();
    let n_held_out = held_out.map_or(0, |evaluation| evaluation.n_rows);
    let mut tiles = String::new();
    for node in last.nodes.values() {
        let rows = grouped(node.n_samples);
        tiles += &tile("Steps", &grouped(node.n_steps), "");
        tiles += &tile("Training rows", &rows, &format!("{} held out", grouped(n_held_out)));
    }
    let train_ms = sum(history, |timing| timing.train_ms);
    let wall_ms = sum(history, |timing| timing.wall_ms);
    tiles += &tile("Time", &duration(wall_ms), &format!("{} of training", duration(train_ms)));
    if let Some(loss) = last.train_loss() {
        tiles += &tile("Training loss", &number(loss), "mean over training");
    }
    for name in metrics(held_out).names {
        let value = metric(held_out, name);
        tiles += &tile(&format!("Held-out {name}"), &opt(value), "");
    }
    format!("<dl class=\"tiles\">\n{tiles}</dl>\n")
}

/// Says where the time went.
pub(super) fn times(history: &History) -> String {
    let parts = vec![
        ("Compiling the plan, reading data", sum(history, |timing| timing.prepare_ms)),
        ("Training", sum(history, |timing| timing.train_ms)),
    ];
    time_table(history, parts, "Everything else, such as scoring", "")
}
