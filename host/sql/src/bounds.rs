//! Bounds of snapshots. A database may be hostile, and an honest one may be larger than its
//! operator thought: each has an end that does not depend on it.

/// The longest query, in bytes: it is kept in the registry of a node.
pub const QUERY_BYTES_MAX: usize = 64 << 10;
/// The most columns of an answer: more than Postgres gives, and twice what SQLite does.
pub const COLUMNS_MAX: usize = 4_096;
/// The longest name of a column, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;
/// The longest text of a cell, in bytes. A page of Parquet with such texts stays below the bound of
/// its reader.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// The rows of a group are written once they take this much memory, in bytes.
pub const GROUP_BYTES: u64 = 32 << 20;
/// The most rows of a group.
pub const GROUP_ROWS_MAX: u64 = 1 << 17;

/// The longest footer of a snapshot, in bytes: longer ones are not read.
pub const FOOTER_BYTES_MAX: u64 = fedwasm_dataset::bounds::FOOTER_BYTES_MAX;
/// The most bytes that the footer has of a column in a group of rows, beside its name.
pub const FOOTER_CHUNK_BYTES: u64 = 160;

/// How long a snapshot may take unless it is told, in seconds.
pub const SECONDS: u64 = 600;
/// The longest that it can be told, in seconds: a day.
pub const SECONDS_MAX: u64 = 86_400;
/// The most rows of a snapshot unless it is told.
pub const ROWS: u64 = 100_000_000;
/// The largest snapshot unless it is told, in MiB.
pub const MIB: u64 = 16_384;
/// The largest that it can be told, in MiB: what the smaller groups of rows of the reader allow.
pub const MIB_MAX: u64 = 1 << 20;

/// The most memory of SQLite in this process, in bytes: pages, and rows that it sorts, since it
/// keeps these in memory and writes no temporary file.
pub const SQLITE_BYTES_MAX: u64 = 1 << 30;
/// The longest value that SQLite makes or reads, and the longest row, in bytes.
pub const SQLITE_VALUE_BYTES_MAX: i32 = 16 << 20;
/// How long SQLite waits for a program that writes, in seconds.
pub const SQLITE_BUSY_SECONDS: u64 = 10;

/// The longest message of a Postgres server, which is a row of an answer, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How long a connection to a Postgres server may take, in seconds.
pub const CONNECT_SECONDS: u64 = 15;
/// The largest file of passwords or certificates, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
