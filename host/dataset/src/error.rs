//! Errors of datasets.

use std::path::PathBuf;

use crate::Place;

/// An error of a dataset. Every message names the file, and line or
/// row and column where there are some.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The header is missing.
    #[error("{}: the file is empty; the first line must name the columns", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The first line of a text is a row.
    #[error(
        "{}: the first line holds only numbers, but it must name the columns; put a line such as \
         `age,weight,outcome` before it",
        path.display()
    )]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// An index of pandas would become an input.
    #[error(
        "{}: `{column}` is an index that pandas wrote, not a measurement; write the file with \
         `to_parquet(..., index=False)`, or name the columns to learn from with `inputs`",
        path.display()
    )]
    Index {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// There is a header and nothing else.
    #[error("{}: there are no rows after the header", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Too many columns.
    #[error("{}: {got} columns, at most {max} are read", path.display())]
    TooManyColumns {
        /// The file.
        path: PathBuf,
        /// Its columns.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A column has no name, or one that another column has.
    #[error(
        "{}: column {number} is called `{name}`; names must be present and differ{}",
        path.display(),
        // As pandas writes its index.
        if name.is_empty() { " (in pandas: `to_csv(..., index=False)`)" } else { "" }
    )]
    BadName {
        /// The file.
        path: PathBuf,
        /// The column, from 1.
        number: usize,
        /// Its name.
        name: String,
    },
    /// No column, array or image field has this name.
    #[error("{}: there is no column `{column}`; {hint}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
        /// The column that may be meant, or those that are there.
        hint: String,
    },
    /// A column is both input and target, or input twice.
    #[error("{}: column `{column}` is used twice", path.display())]
    UsedTwice {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// Nothing is left to learn from.
    #[error("{}: the target is the only column, so no inputs are left", path.display())]
    NoInputs {
        /// The file.
        path: PathBuf,
    },
    /// A row has another number of cells than the header.
    #[error("{}: line {line} has {got} cells, the header has {expected}", path.display())]
    Ragged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Cells of the header.
        expected: u64,
        /// Cells of the row.
        got: u64,
    },
    /// A cell is empty.
    #[error(
        "{}: {place}, column `{column}`: the cell is empty\n\
         help: below [data.columns], write {}",
        path.display(),
        crate::hint::rule_for(column, "")
    )]
    EmptyCell {
        /// The file.
        path: PathBuf,
        /// Its row.
        place: Place,
        /// The column.
        column: String,
    },
    /// A cell is not text in UTF-8.
    #[error("{}: line {line}: `{column}` is not text in UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
    },
    /// A field has several numbers a row, where a text is wanted.
    #[error("{}: `{column}` has several numbers a row; name a column of one", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
        /// The field.
        column: String,
    },
    /// A cell is not a number.
    #[error(
        "{}: line {line}, column `{column}`: `{got}` is not a number\n\
         help: below [data.columns], write {}",
        path.display(),
        crate::hint::rule_for(column, got)
    )]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// The cell, cut.
        got: String,
    },
    /// A cell is NaN, infinite, or too large for float32.
    #[error(
        "{}: {place}, column `{column}`: `{got}` is not a finite float32{}",
        path.display(),
        crate::hint::of_missing(column, got)
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Its row.
        place: Place,
        /// The column.
        column: String,
        /// The cell, cut.
        got: String,
    },
    /// A cell is not as the column's rule says.
    #[error("{}: {place}, column `{column}`: `{got}` {expected}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Its row.
        place: Place,
        /// The column.
        column: String,
        /// The cell, cut.
        got: String,
        /// How it differs from the rule, and the cure.
        expected: String,
    },
    /// A value is missing, and the column's rule does not say what stands for it.
    #[error(
        "{}: {place}, column `{column}`: the value is missing\n\
         help: add `impute` to the column's rule in [data.columns]: \"median\", \"mean\", \
         \"most-frequent\" or a value",
        path.display()
    )]
    MissingValue {
        /// The file.
        path: PathBuf,
        /// Its row.
        place: Place,
        /// The column.
        column: String,
    },
    /// Rows have no target.
    #[error(
        "{}: {n} rows have no `{column}`, the first at {place}; take rows without a target out of \
         the file",
        path.display()
    )]
    MissingTargets {
        /// The file.
        path: PathBuf,
        /// The first such row.
        place: Place,
        /// The target.
        column: String,
        /// How many rows.
        n: u64,
    },
    /// Too many values repeat too rarely.
    #[error(
        "{}: column `{column}` has more than {max} different values, so `impute = \
         \"most-frequent\"` does not count them; write \"median\"",
        path.display()
    )]
    TooManyValues {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The bound.
        max: usize,
    },
    /// A logarithm does not exist.
    #[error(
        "{}: {place}, column `{column}`: {got} has no logarithm of 1 + x; add `clip = [0, LARGEST]` \
         to the column's rule",
        path.display()
    )]
    NoLogarithm {
        /// The file.
        path: PathBuf,
        /// Its row.
        place: Place,
        /// The column.
        column: String,
        /// The value after `clip` and `impute`.
        got: f64,
    },
    /// A target is not a class index.
    #[error(
        "{}: {place}, column `{column}`: {got} is not a class; classes are whole numbers, counted \
         from 0",
        path.display()
    )]
    NotAClass {
        /// The file.
        path: PathBuf,
        /// Its row.
        place: Place,
        /// The column.
        column: String,
        /// The value.
        got: f64,
    },
    /// A whole number that float64 does not hold.
    #[error("{}: {place}, column `{column}`: {got} is larger than 2^53, so it has no exact \
             representation", path.display())]
    NotExact {
        /// The file.
        path: PathBuf,
        /// Its row.
        place: Place,
        /// The column.
        column: String,
        /// The value.
        got: String,
    },
    /// More than is read.
    #[error("{}: {what}: {got}, at most {max} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The quantity that is too large.
        what: String,
        /// The quantity that the file has or announces.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// The file is shorter or longer than announced.
    #[error("{}: {what} announces {expected} bytes, but {got} were found", path.display())]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// The part of the file that announces it.
        what: String,
        /// The announced bytes.
        expected: u64,
        /// The bytes that there are.
        got: u64,
    },
    /// Parts of a dataset have different numbers of rows.
    #[error("{}: `{name}` has {got} rows, `{other}` has {expected}", path.display())]
    RowsDiffer {
        /// The file.
        path: PathBuf,
        /// The field.
        name: String,
        /// Its rows.
        got: u64,
        /// The first field.
        other: String,
        /// Its rows.
        expected: u64,
    },
    /// An image is not like the others.
    #[error("{}: the image has shape {got:?}, the first one has {expected:?}; all images must have \
             one shape",
        path.display())]
    ImageShape {
        /// The file.
        path: PathBuf,
        /// Its channels, height and width.
        got: Vec<u64>,
        /// Those of the first image.
        expected: Vec<u64>,
    },
    /// The file was written to while it was in use.
    #[error("{}: the file changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is well-formed and not offered.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The feature that it has, and the cure.
        what: String,
    },
    /// The file violates its format.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The column that it is about, to name it otherwise.
    pub(crate) fn column_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Index { column, .. }
            | Self::MissingColumn { column, .. }
            | Self::UsedTwice { column, .. }
            | Self::EmptyCell { column, .. }
            | Self::NotUtf8 { column, .. }
            | Self::NoText { column, .. }
            | Self::NotANumber { column, .. }
            | Self::NotFinite { column, .. }
            | Self::Mismatch { column, .. }
            | Self::MissingValue { column, .. }
            | Self::MissingTargets { column, .. }
            | Self::TooManyValues { column, .. }
            | Self::NoLogarithm { column, .. }
            | Self::NotAClass { column, .. }
            | Self::NotExact { column, .. } => Some(column),
            _ => None,
        }
    }
}
