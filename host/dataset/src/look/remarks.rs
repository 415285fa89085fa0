//! Remarks of a look: what a person would want to know before rows are trained on.

use fedwasm_protocol::Day;

use super::{ColumnLook, Look, LookKind};
use crate::cut;

/// How many odd texts a remark names.
const TEXTS_SHOWN: usize = 5;

impl Look {
    /// Remarks about columns, in their order; `today` tells dates in the future.
    pub fn remarks(&self, today: Option<Day>) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some((line, n)) = self.ragged.first() {
            remarks.push(format!(
                "{} have another number of cells than the header; the first is line {line} with {n}",
                counted(self.n_ragged, "row")
            ));
        }
        for column in &self.columns {
            let of = column.remarks(self, today);
            remarks.extend(of.into_iter().map(|text| format!("`{}`: {text}", cut(&column.name))));
        }
        remarks
    }
}

impl ColumnLook {
    fn remarks(&self, look: &Look, today: Option<Day>) -> Vec<String> {
        let mut remarks = Vec::new();
        match &self.kind {
            LookKind::Id if self.counts_rows => remarks.push("counts the rows".to_owned()),
            LookKind::Id => remarks.push("tells one row from another, as an id does".to_owned()),
            LookKind::Text => remarks.push(format!(
                "text of {}; for a category, list its values in a rule",
                self.distinct("different cell")
            )),
            LookKind::Empty => remarks.push("has no value in any row".to_owned()),
            LookKind::Unread { reason } => remarks.push(format!("is not read: {reason}")),
            LookKind::Date { .. } => {
                let latest = self.range.map(|range| range.max);
                if let (Some(latest), Some(today)) = (latest, today)
                    && latest > f64::from(today.number() + 1)
                {
                    remarks.push(format!("has dates in the future, up to {}", day(latest)));
                }
            }
            _ => {}
        }
        if self.is_constant() && look.n_rows > 1 {
            remarks.push("has one value in all rows".to_owned());
        }
        if let Some(other) = &self.other {
            remarks.push(format!("could also be read with {other}"));
        }
        if self.n_odd > 0 {
            remarks.push(self.odd_remark());
        }
        if self.n_not_utf8 > 0 {
            remarks.push(format!(
                "{} not UTF-8; save the file in UTF-8",
                if self.n_not_utf8 == 1 {
                    "1 cell is".into()
                } else {
                    format!("{} cells are", self.n_not_utf8)
                }
            ));
        }
        remarks
    }

    fn odd_remark(&self) -> String {
        let kind = if matches!(self.kind, LookKind::Date { .. }) { "date" } else { "number" };
        let (n, are) = match self.n_odd {
            1 => ("1 cell".to_owned(), format!("is not such a {kind}")),
            n => (format!("{n} cells"), format!("are not such {kind}s")),
        };
        let shown = self.odd.iter().take(TEXTS_SHOWN);
        let shown = shown.map(|odd| format!("`{}` ({})", cut(&odd.text), odd.n));
        let shown: Vec<String> = shown.collect();
        let first = self.odd.iter().map(|odd| odd.line).min();
        match first {
            Some(line) => format!("{n} {are}: {}, first in line {line}", shown.join(", ")),
            None => format!("{n} {are}; `fedwasm data check` names them"),
        }
    }

    /// Whether all rows have the same value.
    pub fn is_constant(&self) -> bool {
        self.n_distinct == 1 && !self.has_more && self.n_missing == 0
    }

    /// How many different cells there are, in words.
    fn distinct(&self, noun: &str) -> String {
        let counted = counted(self.n_distinct, noun);
        if self.has_more { format!("more than {counted}") } else { counted }
    }
}

/// A day as a date.
pub(super) fn day(number: f64) -> String {
    Day::of_number(number).map_or_else(|| number.to_string(), |day| day.to_string())
}

/// A number of things.
fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
