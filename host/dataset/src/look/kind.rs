//! The kind of a column, from the counts over its cells.

use std::collections::BTreeMap;

use super::number::STYLES;
use super::tally::{Column, Lexicon, Seen, Span, Tally};
use super::{ColumnLook, LookKind, Odd, Range};
use crate::is_index;

/// The most different texts of a category.
const CATEGORY_VALUES_MAX: usize = 50;
/// The share of numbers, or of dates, that makes other texts of a column words for missing values.
const SHARE_MIN: f64 = 0.9;
/// The fewest rows of a column that is taken for their numbers.
const COUNTED_ROWS_MIN: u64 = 10;
/// From 1900 to 2100, as days since 1970-01-01: whole numbers of eight digits between may be dates.
const COMPACT_DAYS: (f64, f64) = (-25_567.0, 47_846.0);
/// Words for true and for false, in lower case.
const TRUTHS: [(&str, &str); 8] = [
    ("true", "false"),
    ("yes", "no"),
    ("t", "f"),
    ("y", "n"),
    ("1", "0"),
    ("ja", "nein"),
    ("oui", "non"),
    ("si", "no"),
];
/// Parts of names of columns that tell one row from another.
const IDS: [&str; 7] = ["id", "uid", "uuid", "mrn", "index", "key", "nr"];

/// A reading of a column as numbers or dates, with their values.
struct Fit {
    kind: LookKind,
    span: Span,
    /// Another reading that fits as well.
    other: Option<String>,
}

/// Decides on a column that was read to its end.
pub(super) fn decide(
    name: String,
    mut column: Column,
    lexicon: &Lexicon,
    is_comma_delimited: bool,
) -> ColumnLook {
    column.read(lexicon);
    let Column { seen, n_max, are_different, counts, tally } = column;
    let words = lexicon.missing.iter().zip(&tally.missing).filter(|(_, n)| **n > 0);
    let missing: Vec<(String, u64)> = words.map(|(word, n)| (word.clone(), *n)).collect();
    let n_missing = missing.iter().map(|(_, n)| n).sum();
    let values = seen.map(|seen| {
        let is_value = |cell: &[u8]| !lexicon.missing.iter().any(|word| word.as_bytes() == cell);
        let of = |(cell, seen): (Box<[u8]>, &Seen)| {
            is_value(&cell).then(|| (String::from_utf8_lossy(&cell).into_owned(), seen.n))
        };
        seen.sorted().into_iter().filter_map(of).collect::<BTreeMap<_, _>>()
    });
    let counts_rows = counts.is_some() && tally.n >= COUNTED_ROWS_MIN;
    let facts = Facts {
        name: &name,
        n: tally.n - n_missing,
        n_distinct: values.as_ref().map_or(n_max, BTreeMap::len) as u64,
        values: values.as_ref(),
        are_different,
        counts_rows,
    };
    let (kind, span, other) = choose(&facts, &tally, lexicon, is_comma_delimited);
    let (n, n_distinct, can_be_listed) = (facts.n, facts.n_distinct, facts.can_be_listed(&tally));
    let is_measured = matches!(kind, LookKind::Number { .. } | LookKind::Date { .. });
    let odd = tally.odd.iter().filter(|_| is_measured).map(|(cell, Seen { n, line })| Odd {
        text: String::from_utf8_lossy(cell).into_owned(),
        n: *n,
        line: *line,
    });
    let range = span.filter(|_| is_measured);
    let range = range.map(|Span { n, min, max, sum }| Range { min, max, mean: sum / n as f64 });
    ColumnLook {
        n_rows: tally.n,
        missing,
        n_missing,
        n_distinct,
        has_more: values.is_none(),
        range,
        values: if can_be_listed { values.unwrap_or_default() } else { BTreeMap::new() },
        odd: odd.collect(),
        n_odd: span.filter(|_| is_measured).map_or(0, |span| n - span.n),
        other,
        n_not_utf8: tally.n_not_utf8,
        counts_rows,
        name,
        kind,
    }
}

/// A column beside its tally.
struct Facts<'a> {
    name: &'a str,
    /// Cells that are not missing.
    n: u64,
    n_distinct: u64,
    /// The different ones, if all were kept.
    values: Option<&'a BTreeMap<String, u64>>,
    are_different: bool,
    counts_rows: bool,
}

impl Facts<'_> {
    /// Whether a rule can list its texts.
    fn can_be_listed(&self, tally: &Tally) -> bool {
        tally.n_not_utf8 == 0
            && self.values.is_some_and(|values| {
                values.len() <= CATEGORY_VALUES_MAX && values.keys().all(|value| is_word(value))
            })
    }

    /// Whether a text has blanks within, as sentences have.
    fn has_blanks(&self, tally: &Tally) -> bool {
        let in_values = self.values.is_some_and(|of| of.keys().any(|value| value.contains(' ')));
        in_values || tally.odd.keys().any(|cell| cell.contains(&b' '))
    }

    /// Whether whole numbers tell one row from another.
    fn are_ids(&self, tally: &Tally) -> bool {
        let are_whole = tally.whole.n == self.n && self.n >= COUNTED_ROWS_MIN;
        self.counts_rows
            || is_index(self.name)
            || (are_whole && self.are_different && is_id_name(self.name))
    }
}

/// The kind of a column; of numbers and dates their values, and another reading that fits as well.
fn choose(
    facts: &Facts<'_>,
    tally: &Tally,
    lexicon: &Lexicon,
    is_comma_delimited: bool,
) -> (LookKind, Option<Span>, Option<String>) {
    let numbers = numbers(tally, is_comma_delimited);
    let dates = dates(tally, lexicon);
    let is_most = |fit: &Fit| fit.span.n as f64 >= SHARE_MIN * facts.n as f64;
    let best = [numbers, dates].into_iter().flatten().max_by_key(|fit| fit.span.n);
    let kind = match (best.filter(is_most), facts.values.and_then(truths)) {
        _ if facts.n == 0 => LookKind::Empty,
        (_, Some((yes, no))) => LookKind::Boolean { yes, no },
        (Some(_), _) if facts.are_ids(tally) => LookKind::Id,
        (Some(fit), _) => return (fit.kind, Some(fit.span), fit.other),
        _ if facts.can_be_listed(tally) && facts.n > facts.n_distinct => LookKind::Category,
        _ if facts.are_different && !tally.is_long && !facts.has_blanks(tally) => LookKind::Id,
        _ => LookKind::Text,
    };
    (kind, None, None)
}

/// Whether a rule can name this text: it has no control characters, and no blanks around it.
fn is_word(text: &str) -> bool {
    text.trim() == text && !text.chars().any(char::is_control)
}

/// Whether a part of a name says that the column tells one row from another.
fn is_id_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).any(|part| IDS.contains(&part))
}

/// The cells that mean true and false, if there is no other and more than one of them.
fn truths(values: &BTreeMap<String, u64>) -> Option<(Vec<String>, Vec<String>)> {
    TRUTHS.iter().find_map(|(yes, no)| {
        let of = |word: &str| {
            let is_word = |value: &&String| value.to_lowercase() == word;
            values.keys().filter(is_word).cloned().collect::<Vec<_>>()
        };
        let (yes, no) = (of(yes), of(no));
        let are_all = !yes.is_empty() && !no.is_empty() && yes.len() + no.len() == values.len();
        are_all.then_some((yes, no))
    })
}

/// The style that fits most cells, the first of several.
fn numbers(tally: &Tally, is_comma_delimited: bool) -> Option<Fit> {
    let span = |at: usize| {
        let own = tally.styled.get(at).copied().unwrap_or_default();
        let point = if STYLES[at].0 == '.' { tally.point } else { Span::default() };
        tally.whole.with(point).with(own)
    };
    let most = (0..STYLES.len()).map(|at| span(at).n).max().filter(|n| *n > 0)?;
    let mut fits = (0..STYLES.len()).filter(|at| span(*at).n == most).collect::<Vec<_>>();
    // `1,234` alone: a file whose cells are not apart by commas is from where they are decimal.
    if is_comma_delimited && fits.contains(&2) && fits.first() == Some(&1) {
        fits.retain(|at| *at != 1);
        fits.push(1);
    }
    let first = *fits.first()?;
    // Whole numbers, or one reading of their marks.
    let differs = |at: &&usize| span(**at) != span(first);
    let other = fits.iter().skip(1).find(differs).map(|at| style(STYLES[*at]));
    let (decimal, thousands) = STYLES[first];
    Some(Fit { kind: LookKind::Number { decimal, thousands }, span: span(first), other })
}

/// A style as a rule writes it.
fn style((decimal, thousands): (char, Option<char>)) -> String {
    match thousands {
        Some(thousands) => format!("decimal = \"{decimal}\", thousands = \"{thousands}\""),
        None => format!("decimal = \"{decimal}\""),
    }
}

/// The pattern of dates that fits most cells, the first of several.
fn dates(tally: &Tally, lexicon: &Lexicon) -> Option<Fit> {
    let is_compact = |at: usize| at + 1 == tally.dates.len();
    let is_near = |span: &Span| span.min >= COMPACT_DAYS.0 && span.max <= COMPACT_DAYS.1;
    let fits = tally.dates.iter().zip(lexicon.dates()).enumerate();
    // Numbers among dates are neither odd words nor dates.
    let n_numbers = tally.whole.n + tally.point.n;
    let fits: Vec<_> = fits
        .filter(|(at, (span, _))| {
            span.n > 0 && (if is_compact(*at) { is_near(span) } else { n_numbers == 0 })
        })
        .map(|(_, fit)| fit)
        .collect();
    let most = fits.iter().map(|(span, _)| span.n).max()?;
    let mut best = fits.into_iter().filter(|(span, _)| span.n == most);
    let (span, format) = best.next()?;
    let differs = |(other, _): &(&Span, _)| *other != span;
    let other = best.find(differs).map(|(_, other)| format!("format = \"{}\"", other.pattern()));
    Some(Fit { kind: LookKind::Date { format: format.clone() }, span: *span, other })
}
