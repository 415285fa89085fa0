//! `report.html`: a history as one page that needs nothing else, on a screen
//! and on paper. Equal histories give equal bytes. Nodes and plans wrote some
//! of its texts, so every text passes through [`escape::escape`]; the page forbids
//! itself scripts all the same.

mod arguments;
mod curves;
mod escape;
mod local;
mod metrics;
mod nodes;
mod numbers;
mod rounds;
mod shell;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod times;

use fedwasm_record::History;

use crate::curve::Chart;

/// What a page shows.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) history: &'a History,
    /// Such as `running`, `finished`, `failed: 1 node, at least 2 are needed`.
    pub(crate) status: &'a str,
    /// Headings with charts.
    pub(crate) curves: Vec<(String, Chart)>,
}

/// Returns the page.
pub(crate) fn html(report: &Report<'_>) -> String {
    let history = report.history;
    let mut page = shell::head(history) + &summary::header(history, report.status);
    page += &match history.is_local() {
        true => local::summary(history),
        false => summary::summary(history),
    };
    page += &curves::curves(&report.curves);
    page += &arguments::arguments(history);
    page += &arguments::changes(history);
    if !history.rounds.is_empty() {
        page += &match history.is_local() {
            true => local::times(history),
            false => rounds::rounds(history) + &nodes::nodes(history) + &times::times(history),
        };
    }
    page + "<footer><p>Made by fedwasm; <code>history.json</code> holds the same and more.</p>\
            </footer>\n</main>\n</body>\n</html>\n"
}
