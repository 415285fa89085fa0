//! Queries whose answers become files: what several commands take, and where passwords are.

use std::path::PathBuf;

use fedwasm_sql::{Passwords, SnapshotLimits, Source, Zeroizing, bounds};

use crate::command_error::{CommandError, USAGE};

/// Bounds of the answer to a query.
#[derive(Debug, clap::Args)]
pub(crate) struct Limits {
    /// The seconds that a query may take.
    #[arg(long, default_value_t = bounds::SECONDS)]
    seconds: u64,
    /// The most rows of its answer.
    #[arg(long, default_value_t = bounds::ROWS)]
    rows_max: u64,
    /// The largest snapshot, in MiB.
    #[arg(long, default_value_t = bounds::MIB)]
    mib_max: u64,
}

impl From<Limits> for SnapshotLimits {
    fn from(limits: Limits) -> Self {
        let Limits { seconds, rows_max, mib_max } = limits;
        Self { seconds, rows: rows_max, mib: mib_max }
    }
}

/// A query: the text, or that of a file whose name ends with `.sql`.
pub(crate) fn query(text: String) -> Result<String, CommandError> {
    if !text.ends_with(".sql") {
        return Ok(text);
    }
    let path = PathBuf::from(text);
    let bytes = fedwasm_folder::read_file(&path, bounds::QUERY_BYTES_MAX as u64)?;
    String::from_utf8(bytes)
        .map_err(|_| CommandError::new(USAGE, format!("{}: it is not UTF-8", path.display())))
}

/// A database, by paths that hold in any directory. The parser of arguments would repeat a mistake
/// with all of the text, a password in it among it.
pub(crate) fn source(from: &str) -> Result<Source, CommandError> {
    Ok(from.parse::<Source>()?.absolute()?)
}

/// The passwords of this user: `PGPASSWORD`, and the file `PGPASSFILE` or `~/.pgpass`.
pub(crate) fn passwords() -> Passwords {
    let password = std::env::var("PGPASSWORD").ok().map(Zeroizing::new);
    let of_home = || {
        let path = PathBuf::from(std::env::var_os("HOME")?).join(".pgpass");
        path.exists().then_some(path)
    };
    let file = std::env::var_os("PGPASSFILE").map(PathBuf::from).or_else(of_home);
    Passwords { password, file }
}
