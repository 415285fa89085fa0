//! Why there is no snapshot.

use std::path::PathBuf;

/// Why there is no snapshot. No message has a password or a value of a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of a database is not one.
    #[error(
        "the address of the database: {reason}; write sqlite:FILE or postgres://USER@HOST/DATABASE"
    )]
    Address {
        /// The mistake. The address is not repeated: a password may be in it, at any place.
        reason: String,
    },
    /// The address has a password, which would be kept and shown.
    #[error(
        "the address of the database has a password; give it in the environment as PGPASSWORD, or \
         in the file that PGPASSFILE names"
    )]
    PasswordInAddress,
    /// The query is empty or too long.
    #[error("the query {reason}")]
    Query {
        /// The mistake.
        reason: String,
    },
    /// The query is several statements.
    #[error("the query has several statements; a snapshot is the answer to one SELECT")]
    Statements,
    /// The statement has no answer, or writes.
    #[error("the statement is not a query: it {reason}; a snapshot is the answer to one SELECT")]
    NotAQuery {
        /// What it does instead.
        reason: &'static str,
    },
    /// The statement, or a view below it, does something that is not reading.
    #[error("the query is refused: {what} is not allowed")]
    Denied {
        /// What it does.
        what: String,
    },
    /// A bound is not one.
    #[error("{what} must be from 1 to {max}")]
    Bound {
        /// Which bound.
        what: &'static str,
        /// The largest.
        max: u64,
    },
    /// The answer is too large.
    #[error("{what}: more than {max}")]
    TooLarge {
        /// Of what.
        what: String,
        /// The bound.
        max: u64,
    },
    /// It took too long.
    #[error("the query did not end within {seconds} s")]
    TimeLimit {
        /// The bound.
        seconds: u64,
    },
    /// The answer has no rows.
    #[error("the query gives no rows")]
    NoRows,
    /// A name of a column.
    #[error("column {number} of the answer {reason}; name it by `AS`")]
    Name {
        /// From 1.
        number: usize,
        /// The mistake.
        reason: String,
    },
    /// A column of a kind that is not read.
    #[error("column `{column}` {what}; leave it out, or write it as a number or a text")]
    Unsupported {
        /// The column.
        column: String,
        /// What it has.
        what: String,
    },
    /// A value that cannot be kept.
    #[error("column `{column}`, row {row}: {what}")]
    Value {
        /// The column.
        column: String,
        /// From 1.
        row: u64,
        /// The mistake.
        what: String,
    },
    /// The answer was another one when the query ran again.
    #[error(
        "the query gave another answer when it ran again: {what}; a query with random values \
         cannot be kept"
    )]
    Unstable {
        /// The difference.
        what: String,
    },
    /// A SQLite file.
    #[error("{}: {reason}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        reason: String,
    },
    /// There is no connection to a Postgres server.
    #[error("the Postgres server {host}: {source}")]
    Connect {
        /// The server.
        host: String,
        /// The reason.
        source: std::io::Error,
    },
    /// TLS cannot be set up, or is refused.
    #[error("the Postgres server {host}: TLS: {reason}")]
    Tls {
        /// The server.
        host: String,
        /// The reason.
        reason: String,
    },
    /// The server wants a proof that cannot be given.
    #[error("the Postgres server {host}: {reason}")]
    Login {
        /// The server.
        host: String,
        /// The reason, and the cure.
        reason: String,
    },
    /// The server refused.
    #[error("the Postgres server says: {message} (SQLSTATE {code})")]
    Server {
        /// Its message, cut.
        message: String,
        /// Its code.
        code: String,
    },
    /// The server does not keep to the protocol.
    #[error("the Postgres server does not keep to the protocol: {reason}")]
    Protocol {
        /// The mistake.
        reason: String,
    },
    /// A file of passwords or certificates.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The snapshot cannot be written.
    #[error("the snapshot cannot be written: {0}")]
    Write(std::io::Error),
}

impl Error {
    pub(crate) fn value(column: &str, row: u64, what: impl Into<String>) -> Self {
        Self::Value { column: crate::cut(column, 100), row, what: what.into() }
    }

    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol { reason: reason.into() }
    }
}
