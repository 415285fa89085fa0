//! What was done with missing, clipped and unknown values.

use serde::Serialize;

/// Counts of changes to the values of columns that have rules, over all rows of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// Rows with at least one missing value.
    pub rows_with_missing: u64,
    /// By column; those alone where something was done.
    pub columns: Vec<PreparedColumn>,
}

/// What was done in one column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PreparedColumn {
    /// Its name.
    pub name: String,
    /// Missing values.
    pub missing: u64,
    /// Missing values that got another one: all of them, or none.
    pub imputed: u64,
    /// Values that `clip` changed.
    pub clipped: u64,
    /// Texts that the category does not list.
    pub unknown: u64,
}

impl Prepared {
    /// Sentences about it, one a column.
    pub fn remarks(&self) -> Vec<String> {
        let sentence = |column: &PreparedColumn| {
            let PreparedColumn { name, missing, clipped, unknown, .. } = column;
            let counts = [
                (*missing, "missing and imputed"),
                (*clipped, "clipped"),
                (*unknown, "not listed (`other`)"),
            ];
            let counts = counts.iter().filter(|(n, _)| *n > 0);
            let counts: Vec<String> = counts.map(|(n, what)| format!("{n} {what}")).collect();
            format!("column `{name}`: values {}", counts.join(", "))
        };
        self.columns.iter().map(sentence).collect()
    }
}
