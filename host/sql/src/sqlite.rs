//! Files of SQLite. The query runs twice in one transaction: the first time finds what the cells of
//! each column are, since SQLite has kinds of values and not of columns; the second time writes.
//!
//! A file may be hostile: views, triggers and generated columns of its schema are code. The
//! connection only reads (`SQLITE_OPEN_READONLY`, `query_only`, an authorizer that knows four
//! actions), believes no schema (`trusted_schema`), writes no temporary file, has bounds for
//! values, programs and memory, and ends at a deadline.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fedwasm_dataset::CellKind;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement};

use crate::bounds::{SQLITE_BUSY_SECONDS, SQLITE_BYTES_MAX, SQLITE_VALUE_BYTES_MAX};
use crate::rows::{Cell, Rows, Written, check_names};
use crate::snapshot::Clock;
use crate::{Error, cut};

/// Functions that reach out of the database.
const FUNCTIONS_DENIED: [&str; 6] =
    ["load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "sqlite_log"];
/// Beyond it float64 does not hold every whole number.
const EXACT_MAX: u64 = 1 << 53;
/// After how many instructions the clock is looked at: far less than a millisecond.
const INSTRUCTIONS: i32 = 1_000;

/// Writes the answer of a file to a query.
pub(crate) fn take(
    path: &Path,
    query: &str,
    clock: &Clock,
    into: &mut (dyn Write + Send),
) -> Result<(Written, Vec<String>), Error> {
    let failed = |reason: String| Error::Sqlite { path: path.to_owned(), reason };
    let stamp = stamp(path).map_err(|error| failed(error.to_string()))?;
    let database = match Database::open(path, clock, false) {
        // A file in WAL mode in a directory that cannot be written to: it is as it lies there.
        Err(Opening::Directory) if !has_journal(path) => Database::open(path, clock, true),
        opened => opened,
    };
    let database = database.map_err(|error| match error {
        Opening::Failed(error) => error,
        Opening::Directory => failed("it needs its journal, and that cannot be opened".into()),
    })?;
    // The library panics where SQLite has no memory left for a text.
    let taken = catch_unwind(AssertUnwindSafe(|| database.answer(query, clock, into)));
    let taken = taken.unwrap_or_else(|_| Err(failed(MEMORY.to_owned())))?;
    if database.is_immutable && self::stamp(path).ok() != Some(stamp) {
        return Err(failed("it was written to while it was read".into()));
    }
    Ok(taken)
}

/// Said where SQLite has no memory left.
const MEMORY: &str = "the query needs more memory than it may have (1 GiB, for rows that it sorts \
                      among others), or gives texts that cannot be read";

/// Length and time of a regular file.
fn stamp(path: &Path) -> std::io::Result<(u64, SystemTime)> {
    let metadata = std::fs::metadata(path)?;
    match metadata.is_file() {
        true => Ok((metadata.len(), metadata.modified()?)),
        false => Err(std::io::Error::other("it is not a regular file")),
    }
}

/// Whether there is more of a database than its file.
fn has_journal(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        Path::new(&name).exists()
    })
}

struct Database {
    path: PathBuf,
    connection: Connection,
    is_immutable: bool,
    /// The first thing that the authorizer denied.
    denied: Arc<Mutex<Option<String>>>,
}

/// Why a file is not opened.
enum Opening {
    /// Files beside it would have to be made.
    Directory,
    Failed(Error),
}

impl Database {
    /// Opens a file and begins to read it.
    fn open(path: &Path, clock: &Clock, is_immutable: bool) -> Result<Self, Opening> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = match is_immutable {
            false => Connection::open_with_flags(path, flags),
            true => {
                let mut uri = "file:".to_owned();
                std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
                    .iter()
                    .for_each(|byte| uri.push_str(&format!("%{byte:02X}")));
                let flags = flags | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(uri + "?immutable=1", flags)
            }
        };
        let began = opened.and_then(|connection| {
            restrict(&connection, clock)?;
            connection.execute_batch("BEGIN")?;
            let is_utf8 = has_utf8_names(&connection)?;
            Ok((connection, is_utf8))
        });
        let denied = Arc::default();
        match began {
            Ok((_, false)) => {
                let reason = "its tables or columns have names that are not UTF-8".to_owned();
                Err(Opening::Failed(Error::Sqlite { path: path.to_owned(), reason }))
            }
            Ok((connection, true)) => {
                let path = path.to_owned();
                Ok(Self { path, connection, is_immutable, denied })
            }
            Err(error) => Err(match error.sqlite_error_code() {
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) if !is_immutable => {
                    Opening::Directory
                }
                _ => Opening::Failed(explained(error, path, clock, &denied)),
            }),
        }
    }

    fn failed(&self, error: rusqlite::Error, clock: &Clock) -> Error {
        explained(error, &self.path, clock, &self.denied)
    }

    /// Runs the query and writes its answer.
    fn answer(
        &self,
        query: &str,
        clock: &Clock,
        into: &mut (dyn Write + Send),
    ) -> Result<(Written, Vec<String>), Error> {
        let failed = |error| self.failed(error, clock);
        let denied = Arc::clone(&self.denied);
        self.connection.authorizer(Some(move |of: AuthContext<'_>| authorize(&of, &denied)));
        let mut statement = self.connection.prepare(query).map_err(failed)?;
        if statement.column_count() == 0 {
            return Err(Error::NotAQuery { reason: "has no answer" });
        }
        if !statement.readonly() || statement.is_explain() != 0 {
            return Err(Error::NotAQuery { reason: "writes or explains" });
        }
        if statement.parameter_count() != 0 {
            return Err(Error::NotAQuery { reason: "has parameters" });
        }
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        check_names(&names)?;
        let seen = self.look(&mut statement, &names, clock)?;
        let (kinds, remarks) = kinds(&names, &seen);
        let columns = names.iter().cloned().zip(kinds.iter().copied()).collect();
        let mut rows = Rows::new(columns, clock, into)?;
        let mut found = statement.query(()).map_err(failed)?;
        while let Some(row) = found.next().map_err(failed)? {
            for (at, name) in names.iter().enumerate() {
                let value = row.get_ref(at).map_err(failed)?;
                push(&mut rows, at, name, kinds[at], value)?;
            }
            rows.end_row()?;
        }
        Ok((rows.finish()?, remarks))
    }

    /// The kinds of values that the columns have.
    fn look(
        &self,
        statement: &mut Statement<'_>,
        names: &[String],
        clock: &Clock,
    ) -> Result<Vec<Seen>, Error> {
        let failed = |error| self.failed(error, clock);
        let mut seen = vec![Seen::default(); names.len()];
        let (mut rows, mut n) = (statement.query(()).map_err(failed)?, 0);
        while let Some(row) = rows.next().map_err(failed)? {
            n += 1;
            clock.check_rows(n)?;
            for (at, seen) in seen.iter_mut().enumerate() {
                match row.get_ref(at).map_err(failed)? {
                    ValueRef::Null => {}
                    ValueRef::Integer(value) => {
                        seen.integers = true;
                        seen.large |= value.unsigned_abs() > EXACT_MAX;
                    }
                    ValueRef::Real(_) => seen.reals = true,
                    ValueRef::Text(_) => seen.texts = true,
                    ValueRef::Blob(_) => {
                        let (column, what) = (cut(&names[at], 100), format!("has blobs (row {n})"));
                        return Err(Error::Unsupported { column, what });
                    }
                }
            }
        }
        if n == 0 { Err(Error::NoRows) } else { Ok(seen) }
    }
}

/// The kinds of values of a column.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    integers: bool,
    /// Integers that float64 does not hold.
    large: bool,
    reals: bool,
    texts: bool,
}

/// The kind of each column, and remarks on those that are not what they seem.
fn kinds(names: &[String], seen: &[Seen]) -> (Vec<CellKind>, Vec<String>) {
    let mut remarks = Vec::new();
    let kinds = names.iter().zip(seen).map(|(name, seen)| {
        let name = cut(name, 100);
        let Seen { integers, large, reals, texts } = *seen;
        if texts || (reals && large) {
            if integers || reals {
                let what = if texts { "numbers and texts" } else { "reals and large integers" };
                remarks.push(format!("column `{name}` has {what}; all are kept as texts"));
            }
            CellKind::Text
        } else if integers && !reals {
            CellKind::Integer
        } else {
            if !reals {
                remarks.push(format!("column `{name}` has no value in any row"));
            }
            CellKind::Real
        }
    });
    (kinds.collect(), remarks)
}

/// Adds a value to a row as its column has it.
fn push(
    rows: &mut Rows<'_>,
    at: usize,
    name: &str,
    kind: CellKind,
    value: ValueRef<'_>,
) -> Result<(), Error> {
    let text;
    let cell = match (value, kind) {
        (ValueRef::Null, _) => Cell::Missing,
        (ValueRef::Text(bytes), CellKind::Text) => match std::str::from_utf8(bytes) {
            Ok(text) => Cell::Text(text),
            Err(_) => return Err(Error::value(name, rows.row(), "the text is not UTF-8")),
        },
        (ValueRef::Integer(value), CellKind::Text) => {
            text = value.to_string();
            Cell::Text(&text)
        }
        (ValueRef::Real(value), CellKind::Text) => {
            text = format!("{value:?}");
            Cell::Text(&text)
        }
        (ValueRef::Integer(value), CellKind::Integer) => Cell::Integer(value),
        (ValueRef::Integer(value), _) if value.unsigned_abs() <= EXACT_MAX => {
            Cell::Real(value as f64)
        }
        (ValueRef::Real(value), _) => Cell::Real(value),
        _ => return Err(unstable(name)),
    };
    if rows.push(at, cell)? { Ok(()) } else { Err(unstable(name)) }
}

fn unstable(name: &str) -> Error {
    let name = cut(name, 100);
    Error::Unstable { what: format!("column `{name}` had other kinds of values") }
}

/// Takes everything away from a connection that reading does not need.
fn restrict(connection: &Connection, clock: &Clock) -> rusqlite::Result<()> {
    for (what, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    ] {
        connection.set_db_config(what, on)?;
    }
    for (what, max) in [
        (Limit::SQLITE_LIMIT_LENGTH, SQLITE_VALUE_BYTES_MAX),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (Limit::SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(what, max)?;
    }
    let end = clock.end();
    connection.progress_handler(INSTRUCTIONS, Some(move || Instant::now() >= end));
    connection.busy_timeout(Duration::from_secs(SQLITE_BUSY_SECONDS))?;
    // The limit of memory is one of the process, and can only be lowered.
    connection.execute_batch(&format!(
        "PRAGMA hard_heap_limit = {SQLITE_BYTES_MAX}; PRAGMA temp_store = MEMORY; \
         PRAGMA mmap_size = 0; PRAGMA query_only = ON; PRAGMA cell_size_check = ON"
    ))
}

/// Reads the schema, which fixes what the transaction sees. Whether all of it is UTF-8: the library
/// takes names for granted, and panics otherwise.
fn has_utf8_names(connection: &Connection) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare("SELECT name, tbl_name, sql FROM sqlite_schema")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        for at in 0..3 {
            // SQLite reads a blob there as a text.
            if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(at)?
                && std::str::from_utf8(bytes).is_err()
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Reading is allowed, and functions of numbers and texts.
fn authorize(of: &AuthContext<'_>, denied: &Mutex<Option<String>>) -> Authorization {
    let what = match of.action {
        AuthAction::Select | AuthAction::Recursive | AuthAction::Read { .. } => {
            return Authorization::Allow;
        }
        AuthAction::Function { function_name }
            if !FUNCTIONS_DENIED.contains(&&*function_name.to_ascii_lowercase()) =>
        {
            return Authorization::Allow;
        }
        AuthAction::Function { function_name } => format!("the function {function_name}"),
        AuthAction::Pragma { pragma_name, .. } => format!("PRAGMA {pragma_name}"),
        AuthAction::Attach { .. } => "ATTACH".to_owned(),
        AuthAction::Detach { .. } => "DETACH".to_owned(),
        AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. } => {
            "writing".to_owned()
        }
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => "a transaction".to_owned(),
        _ => "changing the database".to_owned(),
    };
    denied.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cut(&what, 100));
    Authorization::Deny
}

/// An error of SQLite with its facts.
fn explained(
    error: rusqlite::Error,
    path: &Path,
    clock: &Clock,
    denied: &Mutex<Option<String>>,
) -> Error {
    let failed = |reason: &str| Error::Sqlite { path: path.to_owned(), reason: cut(reason, 500) };
    if let rusqlite::Error::MultipleStatement = error {
        return Error::Statements;
    }
    if let Some(what) = denied.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Error::Denied { what };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => clock.time_limit(),
        Some(ErrorCode::TooBig) => Error::TooLarge {
            what: "bytes of a value that SQLite reads or makes".into(),
            max: SQLITE_VALUE_BYTES_MAX as u64,
        },
        Some(ErrorCode::OutOfMemory) => failed(MEMORY),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => failed(&format!(
            "another program kept it locked for {SQLITE_BUSY_SECONDS} s; try again, or register a \
             copy of it"
        )),
        _ => failed(&error.to_string()),
    }
}
