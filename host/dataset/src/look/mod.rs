//! A look at all cells of a dataset in one pass, with memory that does not grow with the file: the
//! kind of each column, what is missing, what is odd; and the rules that would make numbers of them.

mod cells;
mod check;
mod kept;
mod kind;
mod number;
mod proposal;
mod remarks;
mod scan;
mod tally;

use std::collections::BTreeMap;

use fedwasm_protocol::DateFormat;

pub use check::{Check, ColumnCheck, Fault, FaultKind};
pub use proposal::Proposal;

use crate::Element;

/// A dataset as a look at it found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Rows that were looked at.
    pub n_rows: u64,
    /// Whether those are all.
    pub is_whole: bool,
    /// Its columns, arrays or images in order.
    pub columns: Vec<ColumnLook>,
    /// Rows with more or fewer cells than the header.
    pub n_ragged: u64,
    /// Line and cells of the first of them.
    pub ragged: Vec<(u64, u64)>,
}

/// A column as a look at it found it.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnLook {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: LookKind,
    /// Cells, missing ones among them.
    pub n_rows: u64,
    /// Words that mean a missing value, and how often each occurs.
    pub missing: Vec<(String, u64)>,
    /// Cells with one of them.
    pub n_missing: u64,
    /// Different cells that are not missing.
    pub n_distinct: u64,
    /// Whether there are more than `n_distinct`.
    pub has_more: bool,
    /// Of numbers, and of dates in days since 1970-01-01.
    pub range: Option<Range>,
    /// The different cells that are not missing with their counts, if a rule can list them.
    pub values: BTreeMap<String, u64>,
    /// Texts among numbers or dates that are neither.
    pub odd: Vec<Odd>,
    /// Cells that are not of the kind: those of `odd`, and numbers or dates written in another way.
    pub n_odd: u64,
    /// Another reading that fits as many cells and gives other values.
    pub other: Option<String>,
    /// Cells that are not UTF-8.
    pub n_not_utf8: u64,
    /// Whether its cells are the numbers of the rows, from 0 or 1.
    pub counts_rows: bool,
}

/// The kind of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum LookKind {
    /// Numbers, with a decimal point and perhaps a character between groups of three digits.
    Number {
        /// The decimal point.
        decimal: char,
        /// The character between groups.
        thousands: Option<char>,
    },
    /// Words for true and for false, as cells have them.
    Boolean {
        /// Those for true.
        yes: Vec<String>,
        /// Those for false.
        no: Vec<String>,
    },
    /// Dates.
    Date {
        /// How they are written.
        format: DateFormat,
    },
    /// A few texts.
    Category,
    /// Many texts.
    Text,
    /// Cells that tell one row from another: all differ, or count the rows.
    Id,
    /// No value at all.
    Empty,
    /// An array or image with several values a row.
    Array {
        /// Its element type.
        element: Element,
        /// Lengths of the axes of a row.
        shape: Vec<u64>,
    },
    /// Cells that are not read.
    Unread {
        /// The first error of the reader.
        reason: String,
    },
}

/// The values of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
}

/// A text among numbers or dates.
#[derive(Clone, Debug, PartialEq)]
pub struct Odd {
    /// The text.
    pub text: String,
    /// How often it occurs.
    pub n: u64,
    /// Its first line, or its first row counted from 1.
    pub line: u64,
}

impl ColumnLook {
    /// A column of which nothing else is known.
    fn of(name: String, kind: LookKind, n_rows: u64) -> Self {
        Self {
            name,
            kind,
            n_rows,
            missing: Vec::new(),
            n_missing: 0,
            n_distinct: 0,
            has_more: true,
            range: None,
            values: BTreeMap::new(),
            odd: Vec::new(),
            n_odd: 0,
            other: None,
            n_not_utf8: 0,
            counts_rows: false,
        }
    }
}
