//! The arguments, and their changes between rounds.

use fedwasm_record::{Difference, History};
use maud::{Markup, html};
use serde_json::Value;

use super::table::{self, Column};

/// The most arguments that are shown.
const ARGUMENTS_MAX: usize = 500;

/// The arguments, a row for each value.
pub(super) fn section(history: &History) -> Markup {
    let mut all = Vec::new();
    for (section, value) in &history.arguments {
        flatten(section, value, &mut all);
    }
    let row = |(name, value): &(String, String)| html! { tr { th scope="row" { (name) } td.words { (value) } } };
    let rows: Vec<Markup> = all.iter().take(ARGUMENTS_MAX).map(row).collect();
    let columns = [Column::Text("Argument"), Column::Text("Value")];
    html! { @if !rows.is_empty() { (table::section("Arguments", "", &columns, &rows)) } }
}

/// The changes between rounds.
pub(super) fn changes(history: &History) -> Markup {
    let changes = history.changes.iter();
    let all = changes.flat_map(|change| change.differences.iter().map(|d| (change.round, d)));
    let row = |(round, Difference { name, a, b }): (u32, &Difference)| {
        html! {
            tr {
                th.n scope="row" { (round) }
                td { (name) }
                @for text in [a, b] { td.words { (text) } }
            }
        }
    };
    let rows: Vec<Markup> = all.take(ARGUMENTS_MAX).map(row).collect();
    let notes = "The arguments above are those of the newest round.";
    let columns = [
        Column::Number("From round"),
        Column::Text("Argument"),
        Column::Text("Before"),
        Column::Text("After"),
    ];
    html! { @if !rows.is_empty() { (table::section("Changes", notes, &columns, &rows)) } }
}

/// Nested tables get dotted names; arguments that were not given are left out.
pub(crate) fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(table) => {
            for (key, value) in table {
                // Arguments of plans have their section in their name.
                let is_whole = key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
                let name = if is_whole { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, rows);
            }
        }
        Value::String(text) => rows.push((name.to_owned(), text.clone())),
        value => rows.push((name.to_owned(), value.to_string())),
    }
}
