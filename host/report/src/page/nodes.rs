//! The results of each node in all rounds, and its scores.

use std::collections::BTreeMap;

use fedwasm_protocol::{Evaluation, NodeId};
use fedwasm_record::{History, NodeRecord};
use maud::{Markup, html};

use super::metrics::{self, metrics};
use super::numbers::{NONE, grouped, ms, opt};
use super::rounds::cut;
use super::table::{self, Column, metric_cells};

/// The most rows of the table of nodes.
const NODES_MAX: usize = 200;

/// The results of a node in all rounds.
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

pub(super) fn sections(history: &History) -> Markup {
    let lives = lives(history);
    let of_sums = history.is_of_sums();
    let row = |(node, life): (&&NodeId, &Life<'_>)| {
        let n_samples = life.last.map_or(NONE.to_owned(), |last| grouped(last.n_samples));
        let mean_ms = (life.n_rounds > 0).then(|| ms(life.train_ms / life.n_rounds as f64));
        html! {
            tr {
                th scope="row" { (node) }
                td.n { (life.n_rounds) }
                td.n { (life.n_dropped) }
                @if !of_sums {
                    td.n { (n_samples) }
                    td.n { (grouped(life.n_steps)) }
                }
                td.n { (mean_ms.as_deref().unwrap_or(NONE)) }
                @if !of_sums { td.n { (opt(life.train_loss)) } }
            }
        }
    };
    let rows: Vec<Markup> = lives.iter().take(NODES_MAX).map(row).collect();
    let mut notes = further_nodes(&lives);
    notes += match of_sums {
        true => {
            "Under secure aggregation rows, steps, losses and scores of single nodes are unknown."
        }
        false => "Training rows and loss are those of the last round that has them.",
    };
    let mut columns =
        vec![Column::Text("Node"), Column::Number("Rounds"), Column::Number("Dropped")];
    if !of_sums {
        columns.extend([Column::Number("Training rows"), Column::Number("Steps in all")]);
    }
    columns.push(Column::Number("Training ms a round"));
    if !of_sums {
        columns.push(Column::Number("Training loss"));
    }
    html! {
        (table::section("Nodes", notes, &columns, &rows))
        (scores(&lives))
    }
}

/// A node's own update above the aggregated model, to be compared.
fn scores(lives: &BTreeMap<&NodeId, Life<'_>>) -> Markup {
    let scored = lives.iter().take(NODES_MAX);
    let scored = scored.filter(|(_, life)| life.own.is_some() || life.global.is_some());
    let chosen =
        metrics(scored.clone().flat_map(|(_, life)| life.own.into_iter().chain(life.global)));
    let rows = |(node, life): (&&NodeId, &Life<'_>)| {
        let models = [("own update", life.own), ("aggregated", life.global)];
        let models = models.into_iter().filter_map(|(model, scores)| Some((model, scores?)));
        let models: Vec<(&str, &Evaluation)> = models.collect();
        html! {
            @for (nth, (model, scores)) in models.iter().enumerate() {
                tr {
                    @if nth == 0 { th scope="rowgroup" rowspan=(models.len()) { (node) } }
                    td { (model) }
                    td.n { (grouped(scores.n_rows)) }
                    (metric_cells(&chosen, Some(scores)))
                }
            }
        }
    };
    let rows: Vec<Markup> = scored.map(rows).collect();
    let mut notes = further_nodes(lives) + &metrics::left_out(&chosen);
    notes += "Of the last round that has them, on the rows that each node holds out.";
    let mut columns = vec![Column::Text("Node"), Column::Text("Model"), Column::Number("Rows")];
    columns.extend(chosen.names.iter().map(|name| Column::Number(name)));
    html! {
        @if !rows.is_empty() { (table::section("Scores at the nodes", notes, &columns, &rows)) }
    }
}

/// The nodes that took no part from the start, and why.
pub(super) fn left_out(history: &History) -> Markup {
    let row = |(node, reason): (&NodeId, &String)| {
        html! { tr { th scope="row" { (node) } td.words { (cut(reason)) } } }
    };
    let rows: Vec<Markup> = history.left_out.iter().take(NODES_MAX).map(row).collect();
    let notes = "Nodes that were to take part and were left out before the first round.";
    let columns = [Column::Text("Node"), Column::Text("Why")];
    html! { @if !rows.is_empty() { (table::section("Left out", notes, &columns, &rows)) } }
}

fn further_nodes(lives: &BTreeMap<&NodeId, Life<'_>>) -> String {
    match lives.len().saturating_sub(NODES_MAX) {
        0 => String::new(),
        n => format!("{n} further nodes are not shown. "),
    }
}
