//! What can be wrong with a data set.

use std::path::PathBuf;

/// Where in a file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The line of a text, from 1.
    Line(u64),
    /// The row of a file without lines, from 1.
    Row(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// What can be wrong with a data set. Every message names the file, and line
/// or row and column where there are some.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// There is no header.
    #[error("{}: the file is empty; the first line must name the columns", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
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
    #[error("{}: column {number} is called `{name}`; names must be there and differ", path.display())]
    BadName {
        /// The file.
        path: PathBuf,
        /// The column, from 1.
        number: usize,
        /// Its name.
        name: String,
    },
    /// No column has this name.
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
    #[error("{}: there are no input columns beside the target", path.display())]
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
    #[error("{}: {place}, column `{column}`: the cell is empty", path.display())]
    EmptyCell {
        /// The file.
        path: PathBuf,
        /// The line or row.
        place: Place,
        /// The column.
        column: String,
    },
    /// A cell is no number.
    #[error("{}: {place}, column `{column}`: `{got}` is not a number", path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The line or row.
        place: Place,
        /// The column.
        column: String,
        /// The cell, cut.
        got: String,
    },
    /// A cell is NaN, infinite, or too large for float32.
    #[error("{}: {place}, column `{column}`: `{got}` is not a finite float32", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The line or row.
        place: Place,
        /// The column.
        column: String,
        /// The cell, cut.
        got: String,
    },
    /// A target is no class index.
    #[error(
        "{}: {place}, column `{column}`: {got} is not a class; classes are whole numbers from 0 on",
        path.display()
    )]
    NotAClass {
        /// The file.
        path: PathBuf,
        /// The line or row.
        place: Place,
        /// The column.
        column: String,
        /// The value.
        got: f64,
    },
    /// The file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There are fewer bytes, or more, than the header says.
    #[error("{}: {got} bytes, its header says {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header asks for.
        expected: u64,
        /// Bytes that there are.
        got: u64,
    },
    /// A header or a folder announces more than is read.
    #[error("{}: more than {max} {what}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// Arrays of one data set differ in their rows.
    #[error("{}: `{name}` has {got} rows where `{other}` has {expected}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// Its rows.
        got: u64,
        /// The first array.
        other: String,
        /// The rows of that one.
        expected: u64,
    },
    /// An image has another size than the first one.
    #[error("{}: an image of shape {got:?}, the first one has {expected:?}", path.display())]
    OtherShape {
        /// The image.
        path: PathBuf,
        /// Channels, lines, columns.
        got: Vec<usize>,
        /// Those of the first image.
        expected: Vec<usize>,
    },
    /// The file is not what it was when it was opened.
    #[error("{}: it has changed since it was opened", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}
