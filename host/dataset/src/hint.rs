//! The rule that a cell without one asks for.

use fedwasm_protocol::{DateFormat, MISSING_WORDS};

use crate::cell::number;
use crate::cut;

/// The line below `[data.columns]` that reads a column with such a cell.
pub(crate) fn rule_for(column: &str, cell: &str) -> String {
    let lower = cell.to_lowercase();
    let rule = if MISSING_WORDS.contains(&cell) {
        "{ kind = \"number\", impute = \"median\" }".to_owned()
    } else if ["true", "false", "yes", "no"].contains(&lower.as_str()) {
        "\"boolean\"".to_owned()
    } else if DateFormat::default().read(cell).is_some() {
        "\"date\"".to_owned()
    } else if number(cell, '.', Some(',')).is_some() {
        "{ kind = \"number\", thousands = \",\" }".to_owned()
    } else if number(cell, ',', Some('.')).is_some() {
        "{ kind = \"number\", decimal = \",\", thousands = \".\" }".to_owned()
    } else {
        let quoted = toml_text(cell);
        return format!(
            "`{key} = {{ kind = \"category\", values = [{quoted}, ...] }}` (a target: `kind = \
             \"class\"`; to leave it out: `{key} = \"drop\"`)",
            key = key(column)
        );
    };
    format!("`{} = {rule}`", key(column))
}

/// A line about a cell that means that a value is missing; nothing of another cell.
pub(crate) fn of_missing(column: &str, cell: &str) -> String {
    if !MISSING_WORDS.contains(&cell) {
        return String::new();
    }
    format!("\nhelp: below [data.columns], write {}", rule_for(column, cell))
}

/// A column as a key of TOML.
fn key(column: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !column.is_empty() && column.chars().all(is_bare) {
        column.into()
    } else {
        toml_text(column)
    }
}

fn toml_text(text: &str) -> String {
    format!("{:?}", cut(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_fits_the_cell() {
        for (cell, expected) in [
            ("", "`x = { kind = \"number\", impute = \"median\" }`"),
            ("TRUE", "`x = \"boolean\"`"),
            ("2020-01-31", "`x = \"date\"`"),
            ("1,234.5", "`x = { kind = \"number\", thousands = \",\" }`"),
            ("1,5", "`x = { kind = \"number\", decimal = \",\", thousands = \".\" }`"),
        ] {
            assert_eq!(rule_for("x", cell), expected, "{cell}");
        }
        assert!(
            rule_for("a b", "M").starts_with("`\"a b\" = { kind = \"category\", values = [\"M\"")
        );
    }
}
