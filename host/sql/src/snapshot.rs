//! One query, one file.

use std::io::Write;
use std::time::{Duration, Instant};

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::bounds::{MIB, MIB_MAX, QUERY_BYTES_MAX, ROWS, SECONDS, SECONDS_MAX};
use crate::{Error, Passwords, Source, postgres, sqlite};

/// Bounds of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotLimits {
    /// How long it may take, in seconds.
    pub seconds: u64,
    /// The most rows.
    pub rows: u64,
    /// The largest file, in MiB.
    pub mib: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { seconds: SECONDS, rows: ROWS, mib: MIB }
    }
}

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Rows, at least 1.
    pub n_rows: u64,
    /// Length of the file.
    pub n_bytes: u64,
    /// SHA-256 of the file. Equal rows in the same order have the same one.
    pub digest: Digest,
    /// What its operator should know about it.
    pub remarks: Vec<String>,
}

/// Asks a database one question, and writes the answer as Parquet. The database is only read.
///
/// # Errors
/// Any [`Error`]; then what was written is worth nothing.
pub fn take_snapshot(
    source: &Source,
    query: &str,
    limits: SnapshotLimits,
    passwords: &Passwords,
    into: &mut (dyn Write + Send),
) -> Result<Snapshot, Error> {
    let clock = Clock::new(limits)?;
    let reason = match query.trim().is_empty() {
        true => "is empty".to_owned(),
        false if query.len() > QUERY_BYTES_MAX => format!("is longer than {QUERY_BYTES_MAX} bytes"),
        false if query.contains('\0') => "has a zero".to_owned(),
        false => String::new(),
    };
    if !reason.is_empty() {
        return Err(Error::Query { reason });
    }
    let (written, mut remarks) = match source {
        Source::Sqlite(path) => sqlite::take(path, query, &clock, into)?,
        Source::Postgres(address) => postgres::take(address, query, &clock, passwords, into)?,
    };
    if !query.to_ascii_lowercase().contains("order by") {
        remarks.push(
            "the query has no ORDER BY: the database may give the rows in another order next time, \
             and which rows are held out follows from it"
                .into(),
        );
    }
    let crate::rows::Written { n_rows, n_bytes, digest } = written;
    Ok(Snapshot { n_rows, n_bytes, digest, remarks })
}

/// The bounds of a snapshot that runs.
#[derive(Debug)]
pub(crate) struct Clock {
    limits: SnapshotLimits,
    end: Instant,
}

impl Clock {
    pub(crate) fn new(limits: SnapshotLimits) -> Result<Self, Error> {
        let SnapshotLimits { seconds, rows, mib } = limits;
        let bounds = [
            ("the time limit in seconds", seconds, SECONDS_MAX),
            ("the most rows", rows, u64::MAX >> 1),
            ("the most MiB", mib, MIB_MAX),
        ];
        match bounds.into_iter().find(|(_, given, max)| !(1..=*max).contains(given)) {
            Some((what, _, max)) => Err(Error::Bound { what, max }),
            None => Ok(Self { limits, end: Instant::now() + Duration::from_secs(seconds) }),
        }
    }

    /// The end of the time.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// Its length in seconds.
    pub(crate) fn seconds(&self) -> u64 {
        self.limits.seconds
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Result<Duration, Error> {
        match self.end.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.time_limit()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.left().map(drop)
    }

    pub(crate) fn time_limit(&self) -> Error {
        Error::TimeLimit { seconds: self.limits.seconds }
    }

    pub(crate) fn check_rows(&self, n: u64) -> Result<(), Error> {
        let (what, max) = ("rows of the answer".to_owned(), self.limits.rows);
        if n > max { Err(Error::TooLarge { what, max }) } else { Ok(()) }
    }

    pub(crate) fn check_bytes(&self, n: u64) -> Result<(), Error> {
        let (what, max) = ("MiB of the snapshot".to_owned(), self.limits.mib);
        if n > max << 20 { Err(Error::TooLarge { what, max }) } else { Ok(()) }
    }
}
