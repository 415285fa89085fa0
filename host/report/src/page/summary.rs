//! The beginning of what a page tells: the plan, how it went, the last numbers.

use fedwasm_record::{History, RoundRecord};

use super::escape::escape;
use super::metrics::{metric, metrics};
use super::nodes::lives;
use super::numbers::{duration, number, opt};
use super::shell::kind;
use super::times::sum;

pub(super) fn header(history: &History, status: &str) -> String {
    let plan = &history.plan;
    let class = if status.starts_with("failed") { " class=\"bad\"" } else { "" };
    format!(
        "<header>\n<p class=\"kind\">{}</p>\n<h1>{}</h1>\n<dl class=\"facts\">\n\
         <dt>Status</dt><dd{class}>{}</dd>\n<dt>Training plan</dt><dd>{} {}</dd>\n\
         <dt>Plan SHA-256</dt><dd><code>{}</code></dd>\n\
         <dt>Random seed</dt><dd>{}</dd>\n</dl>\n</header>\n",
        kind(history),
        escape(&history.name),
        escape(status),
        escape(&plan.name),
        escape(&plan.version),
        plan.sha256,
        history.random_seed,
    )
}

pub(super) fn summary(history: &History) -> String {
    let Some(last) = history.rounds.last() else {
        return "<p>No round is done yet.</p>\n".to_owned();
    };
    let wall_ms = sum(history, |timing| timing.wall_ms);
    let a_round = format!("{} a round", duration(wall_ms / history.rounds.len() as f64));
    let in_last = format!("{} in round {}", last.nodes.len(), last.round);
    let n_nodes = lives(history).values().filter(|life| life.n_rounds > 0).count();
    let mut tiles = tile("Rounds done", &history.rounds.len().to_string(), "")
        + &tile("Nodes", &n_nodes.to_string(), &in_last)
        + &tile("Time", &duration(wall_ms), &a_round);
    if let Some(loss) = last.train_loss() {
        tiles += &tile("Training loss", &number(loss), &before(history, RoundRecord::train_loss));
    }
    let held_out = last.evaluation.as_ref();
    for name in metrics(held_out).names {
        let value = |round: &RoundRecord| metric(round.evaluation.as_ref(), name);
        let label = format!("Held-out {name}");
        tiles += &tile(&label, &opt(value(last)), &before(history, value));
    }
    format!("<dl class=\"tiles\">\n{tiles}</dl>\n")
}

/// Says what a number was in the first round that has it, unless that is the
/// last round.
fn before(history: &History, value: impl Fn(&RoundRecord) -> Option<f64>) -> String {
    let (_, earlier) = history.rounds.split_last().unzip();
    let first = earlier.unwrap_or_default().iter().find_map(|r| Some((r.round, value(r)?)));
    first.map_or(String::new(), |(round, value)| format!("{} in round {round}", number(value)))
}

pub(super) fn tile(label: &str, value: &str, note: &str) -> String {
    let (label, value, note) = (escape(label), escape(value), escape(note));
    let note = if note.is_empty() { note } else { format!("<dd class=\"note\">{note}</dd>") };
    format!("<div><dt>{label}</dt><dd>{value}</dd>{note}</div>\n")
}
