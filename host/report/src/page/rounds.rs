//! The table of rounds.

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, NodeId};
use fedwasm_record::{History, RoundRecord, ScoreRecord};
use maud::{Markup, html};

use super::metrics::{Chosen, left_out, metrics};
use super::numbers::{NONE, ms, opt};
use super::table::{self, Column, metric_cells};

/// The rounds that a page shows, and how many of them are the first ones:
/// readers want the beginning and the end, and no browser 10,000 rows.
pub(super) const ROUNDS_MAX: usize = 200;
const FIRST_ROUNDS: usize = 20;

/// The most dropped nodes of a round that are named, and the longest reason in
/// characters.
pub(super) const DROPPED_MAX: usize = 10;
pub(super) const REASON_CHARS_MAX: usize = 300;

/// Hexadecimal digits of a digest in a table; a tooltip has them all.
const DIGEST_CHARS: usize = 12;

pub(super) fn section(history: &History) -> Markup {
    let all = &history.rounds;
    let (first, hidden, last) = match all.len().checked_sub(ROUNDS_MAX) {
        None | Some(0) => (&all[..], &[][..], &[][..]),
        Some(n_hidden) => {
            let (first, rest) = all.split_at(FIRST_ROUNDS);
            let (hidden, last) = rest.split_at(n_hidden);
            (first, hidden, last)
        }
    };
    let chosen = metrics(first.iter().chain(last).filter_map(|round| round.evaluation.as_ref()));
    let gap = match hidden {
        [] => None,
        [from, ..] => {
            hidden.last().map(|to| format!("Rounds {} to {} are not shown", from.round, to.round))
        }
    };
    let is_private = all.iter().any(|round| round.privacy.is_some());
    let mut columns = vec![
        Column::Number("Round"),
        Column::Number("Nodes"),
        Column::Number("Wall ms"),
        Column::Number("Training loss"),
        Column::Group("Aggregated model, on all held-out rows", &chosen.names),
    ];
    if is_private {
        columns.extend([Column::Number("Clip"), Column::Number("Epsilon")]);
    }
    columns.extend([Column::Text("Parameters"), Column::Text("Dropped")]);
    let n_columns = columns.len() - 1 + chosen.names.len();
    let initial = history.initial.iter();
    let mut rows: Vec<Markup> =
        initial.map(|initial| row_0(history, initial, &chosen, is_private)).collect();
    rows.extend(first.iter().map(|round| row(round, &chosen, is_private)));
    rows.extend(gap.iter().map(|text| {
        html! { tr.hidden { td colspan=(n_columns) { (text) } } }
    }));
    rows.extend(last.iter().map(|round| row(round, &chosen, is_private)));
    let notes = html! {
        (left_out(&chosen))
        @if let Some(text) = gap { (text) "; " code { "history.json" } " has them. " }
        "Training loss: the mean over the nodes, weighted by their rows"
        @if are_means(history) { ", and so are scores" }
        ". "
        @if let Some(sum) = history.rounds.iter().find_map(|round| round.secagg.as_ref()) {
            "Secure aggregation (" (sum.scheme.name()) "): only sums over the nodes of a round are known. "
        }
        @if is_private {
            "Clip: the largest L2 norm of an update before noise. Epsilon: of the round and all before. "
        }
        "Parameters: SHA-256 of the aggregated ones."
    };
    table::section("Rounds", notes, &columns, &rows)
}

/// Whether scores are means over nodes, some of which tell no sums.
fn are_means(history: &History) -> bool {
    let mut scored = history.rounds.iter().filter_map(|round| round.evaluation.as_ref());
    scored.any(|evaluation| evaluation.sums.is_none())
}

fn row(round: &RoundRecord, chosen: &Chosen<'_>, is_private: bool) -> Markup {
    let privacy = round.privacy.as_ref();
    html! {
        tr {
            th.n scope="row" { (round.round) }
            td.n { (round.nodes.len()) }
            td.n { (ms(round.timing.wall_ms)) }
            td.n { (opt(round.train_loss())) }
            (metric_cells(chosen, round.evaluation.as_ref()))
            @if is_private {
                td.n { (opt(privacy.map(|privacy| privacy.clip))) }
                td.n { (opt(privacy.map(|privacy| privacy.epsilon))) }
            }
            td { (short(&round.params_sha256)) }
            td.words { (dropped(&round.dropped)) }
        }
    }
}

/// Scores before the first round, which is round 0 in charts, too.
fn row_0(
    history: &History,
    initial: &ScoreRecord,
    chosen: &Chosen<'_>,
    is_private: bool,
) -> Markup {
    let params = history.initial_sha256.as_ref();
    html! {
        tr {
            th.n scope="row" { "0" }
            @for _ in ["nodes", "wall ms", "training loss"] { td.n { (NONE) } }
            (metric_cells(chosen, initial.evaluation.as_ref()))
            @if is_private { @for _ in ["clip", "epsilon"] { td.n { (NONE) } } }
            td { @if let Some(params) = params { (short(params)) } @else { (NONE) } }
            td.words {}
        }
    }
}

pub(super) fn dropped(dropped: &BTreeMap<NodeId, String>) -> Markup {
    html! {
        @if !dropped.is_empty() {
            ul {
                @for (node, reason) in dropped.iter().take(DROPPED_MAX) {
                    li { b { (node) } ": " (cut(reason)) }
                }
                @if dropped.len() > DROPPED_MAX {
                    li { "and " (dropped.len() - DROPPED_MAX) " more" }
                }
            }
        }
    }
}

pub(super) fn cut(reason: &str) -> String {
    let mut cut: String = reason.chars().take(REASON_CHARS_MAX).collect();
    if cut.len() < reason.len() {
        cut.push('…');
    }
    cut
}

fn short(digest: &Digest) -> Markup {
    let digest = digest.to_string();
    html! { code title=(digest) { (digest[..DIGEST_CHARS]) "…" } }
}
