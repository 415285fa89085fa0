//! The answer of a database to one query, as a Parquet file: a snapshot. SQLite files and Postgres
//! servers are read and never written; rows stream from one to the other. Knows nothing of nodes,
//! terminals or the environment: passwords and bounds come from the caller.

pub mod bounds;
mod error;
mod passwords;
mod postgres;
mod rows;
mod snapshot;
mod source;
mod sqlite;

pub use error::Error;
pub use passwords::Passwords;
pub use snapshot::{Snapshot, SnapshotLimits, take_snapshot};
pub use source::{Host, PostgresAddress, Source, Tls};
pub use zeroize::Zeroizing;

/// Makes a text of a database fit for a message.
fn cut(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}
