//! Counts over the cells of a column: which readings fit how many of them.

use std::collections::BTreeMap;

use fedwasm_protocol::DateFormat;

use super::kept::Kept;
use super::number::{STYLES, plain};
use crate::cell::number;

/// The longest cell that is kept, in bytes; a longer one is free text.
const KEPT_BYTES_MAX: usize = 100;
/// How many different texts that are not numbers are kept of a column with many different cells.
const ODD_MAX: usize = 16;
/// How dates are written; of several that fit a column, the first is taken.
const DATES: [&str; 14] = [
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%Y/%m/%d",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
];
/// Dates without marks between, which are also whole numbers.
const COMPACT: &str = "%Y%m%d";

/// The readings that a column may have, and the words that mean that a cell has no value.
pub(crate) struct Lexicon {
    pub(crate) missing: Vec<String>,
    dates: Vec<DateFormat>,
    compact: Option<DateFormat>,
}

impl Lexicon {
    pub(crate) fn new(missing: Vec<String>) -> Self {
        let dates = DATES.iter().filter_map(|pattern| DateFormat::new(pattern).ok()).collect();
        Self { missing, dates, compact: DateFormat::new(COMPACT).ok() }
    }

    /// The patterns of dates, the compact one last.
    pub(crate) fn dates(&self) -> impl Iterator<Item = &DateFormat> {
        self.dates.iter().chain(&self.compact)
    }
}

/// How many cells a reading fits, and their values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Span {
    pub(crate) n: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) sum: f64,
}

impl Span {
    pub(crate) fn add(&mut self, value: f64, n: u64) {
        let is_first = self.n == 0;
        self.min = if is_first { value } else { self.min.min(value) };
        self.max = if is_first { value } else { self.max.max(value) };
        self.n += n;
        self.sum += value * n as f64;
    }

    /// Both together.
    pub(crate) fn with(mut self, other: Self) -> Self {
        match (self.n, other.n) {
            (_, 0) => self,
            (0, _) => other,
            _ => {
                self.min = self.min.min(other.min);
                self.max = self.max.max(other.max);
                self.n += other.n;
                self.sum += other.sum;
                self
            }
        }
    }
}

/// A text, how often it occurs, and the line where it does so first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) n: u64,
    pub(crate) line: u64,
}

/// The counts over the cells of a column.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) n: u64,
    /// By the words of the lexicon.
    pub(crate) missing: Vec<u64>,
    /// Whole numbers as every style writes them.
    pub(crate) whole: Span,
    /// Numbers with a decimal point.
    pub(crate) point: Span,
    /// By the styles.
    pub(crate) styled: Vec<Span>,
    /// By the dates of the lexicon; those of the compact pattern are also whole numbers.
    pub(crate) dates: Vec<Span>,
    /// Cells that no reading fits, the first different ones.
    pub(crate) odd: BTreeMap<Box<[u8]>, Seen>,
    pub(crate) n_not_utf8: u64,
    pub(crate) is_long: bool,
}

impl Tally {
    /// Counts a cell that occurs `n` times.
    pub(crate) fn add(&mut self, lexicon: &Lexicon, cell: &[u8], seen: Seen) {
        self.n += seen.n;
        match plain(cell) {
            Some((value, 0)) => {
                self.whole.add(value, seen.n);
                if cell.len() == 8 && (1e7..1e8).contains(&value) {
                    self.compact(lexicon, cell, seen.n);
                }
            }
            Some((value, decimals)) => {
                self.point.add(value, seen.n);
                if decimals == 3 {
                    // The point may be between groups.
                    self.styles(cell, seen.n, |style| style == (',', Some('.')));
                }
            }
            None => self.text(lexicon, cell, seen),
        }
    }

    fn compact(&mut self, lexicon: &Lexicon, cell: &[u8], n: u64) {
        let format = lexicon.compact.as_ref().zip(std::str::from_utf8(cell).ok());
        if let Some(day) = format.and_then(|(format, cell)| format.read(cell)) {
            let at = lexicon.dates.len();
            self.dates(lexicon).get_mut(at).into_iter().for_each(|span| span.add(day, n));
        }
    }

    fn dates(&mut self, lexicon: &Lexicon) -> &mut [Span] {
        self.dates.resize(lexicon.dates.len() + 1, Span::default());
        &mut self.dates
    }

    /// Counts a cell for each style but the plain one that it is of; says whether there is one.
    fn styles(
        &mut self,
        cell: &[u8],
        n: u64,
        is_tried: impl Fn((char, Option<char>)) -> bool,
    ) -> bool {
        let Ok(cell) = std::str::from_utf8(cell) else { return false };
        let mut fits = false;
        for (at, style) in STYLES.into_iter().enumerate().skip(1) {
            if is_tried(style)
                && let Some(value) = number(cell, style.0, style.1)
            {
                self.styled.resize(STYLES.len(), Span::default());
                self.styled[at].add(value, n);
                fits = true;
            }
        }
        fits
    }

    fn text(&mut self, lexicon: &Lexicon, cell: &[u8], seen: Seen) {
        let is_word = |word: &String| word.as_bytes() == cell;
        if let Some(at) = lexicon.missing.iter().position(is_word) {
            self.missing.resize(lexicon.missing.len(), 0);
            self.missing[at] += seen.n;
            return;
        }
        let fits = match std::str::from_utf8(cell) {
            // As every style and date begins.
            Ok(text) if text.starts_with(|c: char| c.is_ascii_digit() || "-+,".contains(c)) => {
                let is_number = self.styles(cell, seen.n, |_| true);
                self.is_date(lexicon, text, seen.n) || is_number
            }
            Ok(_) => false,
            Err(_) => {
                self.n_not_utf8 += seen.n;
                false
            }
        };
        if cell.len() > KEPT_BYTES_MAX {
            self.is_long = true;
        } else if let Some(known) = self.odd.get_mut(cell) {
            known.n += seen.n;
        } else if !fits && self.odd.len() < ODD_MAX {
            self.odd.insert(cell.into(), seen);
        }
    }

    /// Counts a cell for each pattern of dates that it is of; says whether there is one.
    fn is_date(&mut self, lexicon: &Lexicon, text: &str, n: u64) -> bool {
        let mut fits = false;
        for (at, format) in lexicon.dates.iter().enumerate() {
            if let Some(day) = format.read(text) {
                self.dates(lexicon)[at].add(day, n);
                fits = true;
            }
        }
        fits
    }
}

/// A column that is looked at.
pub(crate) struct Column {
    /// Its cells, as long as few of them differ: then each different one is read once.
    pub(crate) seen: Option<Kept<Seen>>,
    /// How many different cells are kept at most.
    pub(crate) n_max: usize,
    /// Whether all cells differed as long as they were kept.
    pub(crate) are_different: bool,
    /// The next number, of a column that counts its rows.
    pub(crate) counts: Option<u64>,
    pub(crate) tally: Tally,
}

impl Column {
    /// No cells yet; at most `n_max` different ones are kept.
    pub(crate) fn new(n_max: usize) -> Self {
        let (seen, tally) = (Some(Kept::default()), Tally::default());
        Self { seen, n_max, are_different: true, counts: None, tally }
    }

    /// Takes cells with their lines.
    pub(crate) fn take<'a>(
        &mut self,
        lexicon: &Lexicon,
        cells: impl Iterator<Item = &'a [u8]>,
        lines: &[u64],
        first_row: u64,
    ) {
        for (row, (cell, line)) in (first_row..).zip(cells.zip(lines)) {
            self.count(row, cell);
            self.add(lexicon, cell, *line);
        }
    }

    /// Takes the cell of a row, counted from 0; its line is the row counted from 1.
    pub(crate) fn take_one(&mut self, lexicon: &Lexicon, cell: &[u8], row: u64) {
        self.count(row, cell);
        self.add(lexicon, cell, row + 1);
    }

    /// Compares a cell with the number of its row, which begins with 0 or 1.
    fn count(&mut self, row: u64, cell: &[u8]) {
        if row == 0 {
            self.counts =
                [&b"0"[..], b"1"].iter().position(|first| *first == cell).map(|n| n as u64);
        } else if let Some(last) = self.counts {
            let is_next = plain(cell) == Some(((last + 1) as f64, 0));
            self.counts = is_next.then_some(last + 1);
        }
    }

    fn add(&mut self, lexicon: &Lexicon, cell: &[u8], line: u64) {
        let Some(seen) = &mut self.seen else {
            return self.tally.add(lexicon, cell, Seen { n: 1, line });
        };
        if let Some(known) = seen.get_mut(cell) {
            known.n += 1;
            self.are_different = false;
        } else if seen.len() < self.n_max && cell.len() <= KEPT_BYTES_MAX {
            seen.insert(cell, Seen { n: 1, line });
        } else {
            self.read(lexicon);
            self.seen = None;
            self.tally.add(lexicon, cell, Seen { n: 1, line });
        }
    }

    /// Reads the cells that are kept.
    pub(crate) fn read(&mut self, lexicon: &Lexicon) {
        // Sums depend on the order.
        for (cell, seen) in self.seen.iter().flat_map(Kept::sorted) {
            self.tally.add(lexicon, &cell, *seen);
        }
    }
}
