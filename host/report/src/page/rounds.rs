//! The table of rounds.

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, NodeId};
use fedwasm_record::{History, RoundRecord};

use super::escape::escape;
use super::metrics::{Chosen, left_out, metrics};
use super::numbers::{ms, opt};
use super::table::{Column, metric_cells, number_cell, section};

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

pub(super) fn rounds(history: &History) -> String {
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
    let mut notes = left_out(&chosen);
    let mut rows: String = first.iter().map(|round| round_row(round, &chosen)).collect();
    if let [from, ..] = hidden
        && let [.., to] = hidden
    {
        let text = format!("Rounds {} to {} are not shown", from.round, to.round);
        notes += &format!("{text}; <code>history.json</code> has them. ");
        let n_columns = 6 + chosen.names.len();
        rows += &format!("<tr class=\"hidden\"><td colspan=\"{n_columns}\">{text}</td></tr>\n");
        rows.extend(last.iter().map(|round| round_row(round, &chosen)));
    }
    let columns = [
        Column::Number("Round"),
        Column::Number("Nodes"),
        Column::Number("Wall ms"),
        Column::Number("Training loss"),
        Column::Group("Aggregated model, mean over nodes by rows", &chosen.names),
        Column::Text("Parameters"),
        Column::Text("Dropped"),
    ];
    notes += "Training loss: the mean over the nodes, weighted by their rows. Parameters: \
              SHA-256 of the aggregated ones.";
    section("Rounds", &notes, &columns, &rows)
}

fn round_row(round: &RoundRecord, chosen: &Chosen<'_>) -> String {
    let cells = [
        number_cell(&round.round.to_string()),
        number_cell(&round.nodes.len().to_string()),
        number_cell(&ms(round.timing.wall_ms)),
        number_cell(&opt(round.train_loss())),
        metric_cells(chosen, round.evaluation.as_ref()),
        format!("<td>{}</td>", short(&round.params_sha256)),
        format!("<td class=\"reasons\">{}</td>", dropped(&round.dropped)),
    ];
    format!("<tr>{}</tr>\n", cells.concat())
}

pub(super) fn dropped(dropped: &BTreeMap<NodeId, String>) -> String {
    let line = |(node, reason): (&NodeId, &String)| {
        let mut cut: String = reason.chars().take(REASON_CHARS_MAX).collect();
        if cut.len() < reason.len() {
            cut.push('…');
        }
        format!("<li><b>{}</b>: {}</li>", escape(node.as_str()), escape(&cut))
    };
    let mut lines: String = dropped.iter().take(DROPPED_MAX).map(line).collect();
    if dropped.len() > DROPPED_MAX {
        lines += &format!("<li>and {} more</li>", dropped.len() - DROPPED_MAX);
    }
    if lines.is_empty() { lines } else { format!("<ul>{lines}</ul>") }
}

fn short(digest: &Digest) -> String {
    let digest = digest.to_string();
    format!("<code title=\"{digest}\">{}…</code>", &digest[..DIGEST_CHARS])
}
