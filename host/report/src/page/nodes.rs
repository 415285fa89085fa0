//! What each node did in all rounds, and its scores.

use std::collections::BTreeMap;

use fedwasm_protocol::{Evaluation, NodeId};
use fedwasm_record::{History, NodeRecord};

use super::escape::escape;
use super::metrics::{left_out, metrics};
use super::numbers::{NONE, grouped, ms, opt};
use super::table::{Column, metric_cells, number_cell, section};

/// The most rows of the table of nodes.
const NODES_MAX: usize = 200;

/// What a node did in all rounds.
#[derive(Debug, Default)]
pub(super) struct Life<'a> {
    pub(super) n_rounds: u64,
    n_dropped: u64,
    n_steps: u64,
    train_ms: f64,
    /// Of the last round that has one.
    last: Option<&'a NodeRecord>,
    train_loss: Option<f64>,
    own: Option<&'a Evaluation>,
    global: Option<&'a Evaluation>,
}

pub(super) fn lives(history: &History) -> BTreeMap<&NodeId, Life<'_>> {
    let mut lives: BTreeMap<_, Life<'_>> = BTreeMap::new();
    for round in &history.rounds {
        for (node, record) in &round.nodes {
            let life = lives.entry(node).or_default();
            life.n_rounds += 1;
            life.n_steps = life.n_steps.saturating_add(record.n_steps);
            life.train_ms += record.timing.train_ms;
            life.last = Some(record);
            life.train_loss = record.train_loss.or(life.train_loss);
            life.own = record.evaluation.as_ref().or(life.own);
            life.global = record.global_evaluation.as_ref().or(life.global);
        }
        for (node, evaluation) in &round.scored {
            lives.entry(node).or_default().global = Some(evaluation);
        }
        for node in round.dropped.keys() {
            lives.entry(node).or_default().n_dropped += 1;
        }
    }
    lives
}

pub(super) fn nodes(history: &History) -> String {
    let lives = lives(history);
    let row = |(node, life): (&&NodeId, &Life<'_>)| {
        let n_samples = life.last.map_or(NONE.to_owned(), |last| grouped(last.n_samples));
        let mean_ms = (life.n_rounds > 0).then(|| ms(life.train_ms / life.n_rounds as f64));
        let cells = [
            format!("<th scope=\"row\">{}</th>", escape(node.as_str())),
            number_cell(&life.n_rounds.to_string()),
            number_cell(&life.n_dropped.to_string()),
            number_cell(&n_samples),
            number_cell(&grouped(life.n_steps)),
            number_cell(mean_ms.as_deref().unwrap_or(NONE)),
            number_cell(&opt(life.train_loss)),
        ];
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let rows: String = lives.iter().take(NODES_MAX).map(row).collect();
    let mut notes = further_nodes(&lives);
    notes += "Training rows and loss are those of the last round that has them.";
    let columns = [
        Column::Text("Node"),
        Column::Number("Rounds"),
        Column::Number("Dropped"),
        Column::Number("Training rows"),
        Column::Number("Steps in all"),
        Column::Number("Training ms a round"),
        Column::Number("Training loss"),
    ];
    section("Nodes", &notes, &columns, &rows) + &scores(&lives)
}

/// A node's own update above the aggregated model, to be compared.
fn scores(lives: &BTreeMap<&NodeId, Life<'_>>) -> String {
    let scored = lives.iter().take(NODES_MAX);
    let scored = scored.filter(|(_, life)| life.own.is_some() || life.global.is_some());
    let chosen =
        metrics(scored.clone().flat_map(|(_, life)| life.own.into_iter().chain(life.global)));
    let row = |(node, life): (&&NodeId, &Life<'_>)| {
        let models = [("own update", life.own), ("aggregated", life.global)];
        let models = models.into_iter().filter_map(|(model, scores)| Some((model, scores?)));
        let cells = |(model, scores): (&str, &Evaluation)| {
            let n_rows = number_cell(&grouped(scores.n_rows));
            format!("<td>{model}</td>{n_rows}{}", metric_cells(&chosen, Some(scores)))
        };
        let lines: Vec<String> = models.map(cells).collect();
        let (node, n, lines) = (escape(node.as_str()), lines.len(), lines.join("</tr>\n<tr>"));
        format!("<tr><th scope=\"rowgroup\" rowspan=\"{n}\">{node}</th>{lines}</tr>\n")
    };
    let rows: String = scored.map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    let mut notes = further_nodes(lives) + &left_out(&chosen);
    notes += "Of the last round that has them, on the rows that each node holds out.";
    let mut columns = vec![Column::Text("Node"), Column::Text("Model"), Column::Number("Rows")];
    columns.extend(chosen.names.iter().map(|name| Column::Number(name)));
    section("Scores at the nodes", &notes, &columns, &rows)
}

fn further_nodes(lives: &BTreeMap<&NodeId, Life<'_>>) -> String {
    match lives.len().saturating_sub(NODES_MAX) {
        0 => String::new(),
        n => format!("{n} further nodes are not shown. "),
    }
}
