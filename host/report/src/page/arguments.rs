//! What was asked for, and what of it was changed between rounds.

use fedwasm_record::{Difference, History};
use serde_json::Value;

use super::escape::escape;
use super::table::{Column, number_cell, section};

/// The most arguments that are shown.
const ARGUMENTS_MAX: usize = 500;

/// What was asked for, a row a value.
pub(super) fn arguments(history: &History) -> String {
    let mut rows = Vec::new();
    for (section, value) in &history.arguments {
        flatten(section, value, &mut rows);
    }
    if rows.is_empty() {
        return String::new();
    }
    let row = |(name, value): &(String, String)| {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(value))
    };
    let rows: String = rows.iter().take(ARGUMENTS_MAX).map(row).collect();
    section("Arguments", "", &[Column::Text("Argument"), Column::Text("Value")], &rows)
}

/// What was changed between rounds.
pub(super) fn changes(history: &History) -> String {
    let changes = history.changes.iter();
    let all = changes.flat_map(|change| change.differences.iter().map(|d| (change.round, d)));
    let row = |(round, Difference { name, a, b }): (u32, &Difference)| {
        let cells = [name, a, b].map(|text| format!("<td>{}</td>", escape(text)));
        format!("<tr>{}{}</tr>\n", number_cell(&round.to_string()), cells.concat())
    };
    let rows: String = all.take(ARGUMENTS_MAX).map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    let columns = [
        Column::Number("From round"),
        Column::Text("Argument"),
        Column::Text("Before"),
        Column::Text("After"),
    ];
    section("Changes", "The arguments above are those of the newest round.", &columns, &rows)
}

/// Nested tables get dotted names; what was not given is left out.
fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
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
