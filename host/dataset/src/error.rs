//! What can be wrong with a data set.

use std::path::PathBuf;

/// What can be wrong with a data set. Every message names the file, and line
/// and column where there are some.
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
    #[error("{}: line {line}, column `{column}`: the cell is empty", path.display())]
    EmptyCell {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
    },
    /// A cell is no number.
    #[error("{}: line {line}, column `{column}`: `{got}` is not a number", path.display())]
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
    #[error("{}: line {line}, column `{column}`: `{got}` is not a finite float32", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// The cell, cut.
        got: String,
    },
    /// A target is no class index.
    #[error(
        "{}: line {line}, column `{column}`: {got} is not a class; classes are whole numbers from 0 on",
        path.display()
    )]
    NotAClass {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// The value.
        got: f64,
    },
    /// The file is no CSV in UTF-8.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
