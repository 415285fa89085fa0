//! `report.html`: a history as one page that needs nothing else, on a screen
//! and on paper. Equal histories give equal bytes. Nodes and plans wrote some
//! of its texts: templates escape them by type, and what is `PreEscaped` says
//! why. The page forbids itself scripts all the same.

pub(crate) mod arguments;
mod classes;
pub(crate) mod comparison;
mod curves;
mod local;
pub(crate) mod metrics;
mod nodes;
pub(crate) mod numbers;
mod rounds;
pub(crate) mod shell;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod times;

use fedwasm_record::History;
use maud::html;

use crate::curve::Chart;

use self::shell::{Shell, kind};

/// The contents of a page.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) history: &'a History,
    /// Such as `running`, `finished`, `failed: 1 node, at least 2 are needed`.
    pub(crate) status: &'a str,
    /// Headings with charts.
    pub(crate) curves: Vec<(String, Chart)>,
    /// Nodes that have no line in the charts.
    pub(crate) n_not_drawn: usize,
}

/// Returns the page.
pub(crate) fn html(report: &Report<'_>) -> String {
    let history = report.history;
    let is_local = history.is_local();
    let body = html! {
        (summary::header(history, report.status))
        @if is_local { (local::tiles(history)) } @else { (summary::tiles(history)) }
        (curves::section(report))
        (classes::sections(history))
        (arguments::section(history))
        (arguments::changes(history))
        (nodes::left_out(history))
        @if history.rounds.is_empty() {
        } @else if is_local {
            (local::times(history))
        } @else {
            (rounds::section(history))
            (nodes::sections(history))
            (times::section(history))
        }
    };
    let shell = Shell { title: &history.name, kind: kind(history), source: "history.json" };
    shell::page(&shell, &body)
}
