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

/// The most bytes of the sentence that a site tells.
const TOLD_BYTES_MAX: usize = 400;

impl Prepared {
    /// The same in one sentence for others: no count in it is of fewer than `min_rows` values, and a
    /// smaller one is told as that. None if nothing was done.
    pub fn told(&self, min_rows: u64) -> Option<String> {
        let count = |n: u64| match n {
            0 => None,
            n if n < min_rows => Some(format!("fewer than {min_rows}")),
            n => Some(n.to_string()),
        };
        let of = |column: &PreparedColumn| {
            let counts = [
                (column.missing, "missing and imputed"),
                (column.clipped, "clipped"),
                (column.unknown, "not listed (`other`)"),
            ];
            let counts =
                counts.iter().filter_map(|(n, what)| Some(format!("{} {what}", count(*n)?)));
            format!("`{}` {}", column.name, counts.collect::<Vec<_>>().join(", "))
        };
        if self.columns.is_empty() {
            return None;
        }
        let rows = count(self.rows_with_missing).unwrap_or_else(|| "no".to_owned());
        let mut text = format!("{rows} rows with a missing value");
        for (at, column) in self.columns.iter().enumerate() {
            let more = format!("; {}", of(column));
            if text.len() + more.len() > TOLD_BYTES_MAX {
                let left = self.columns.len() - at;
                text.push_str(&format!("; and {left} more columns"));
                break;
            }
            text.push_str(&more);
        }
        Some(text)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_are_told_as_that_and_a_sentence_is_short() {
        assert_eq!(Prepared::default().told(10), None);
        let column = |name: &str, missing, clipped, unknown| PreparedColumn {
            name: name.into(),
            missing,
            imputed: missing,
            clipped,
            unknown,
        };
        let columns = vec![column("age", 12, 3, 0), column("ward", 0, 0, 40)];
        let mut prepared = Prepared { rows_with_missing: 12, columns };
        let text = "12 rows with a missing value; `age` 12 missing and imputed, fewer than 10 clipped; \
                    `ward` 40 not listed (`other`)";
        assert_eq!(prepared.told(10).unwrap(), text);
        let all = prepared.told(0).unwrap();
        assert!(all.contains("3 clipped"), "{all}");
        prepared.columns = (0..100).map(|n| column(&format!("c{n}"), 0, 11, 0)).collect();
        let text = prepared.told(10).unwrap();
        assert!(text.len() < 450 && text.ends_with(" more columns"), "{text}");
    }
}
