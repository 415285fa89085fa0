//! The durable records of a node: plans with their approvals, and the log of all decisions and
//! runs, with receipts. One SQLite file, `registry.db`, so that a decision and its entry in the log
//! are written together or not at all.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedwasm_protocol::{NodeId, Participant};
use fedwasm_trust::{Identity, KeyPair, Member};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::Error;
use crate::log::{Later, append};
use crate::privacy::{choices, ledger};
use crate::secagg::journal;

const FILE: &str = "registry.db";
/// How long one program waits for another that writes.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);
/// The digest of the state that a round left, in SQL: the expression of an index.
pub(crate) const STATE_OUT: &str = "json_extract(CAST(opening AS TEXT), '$.state_out')";
/// The layout of the tables: 2 since there is a ledger of privacy, 3 since pads are written down.
const VERSION: i64 = 3;

const SCHEMA: &str = "
CREATE TABLE plan (
    digest TEXT PRIMARY KEY,
    component BLOB NOT NULL,
    signatures TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    requested_by TEXT,
    first_seen_ms INTEGER NOT NULL,
    trusted INTEGER NOT NULL
) STRICT;
CREATE TABLE decision (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    signed BLOB NOT NULL
) STRICT;
CREATE INDEX decision_of_plan ON decision (digest, id);
CREATE TABLE receipt (
    digest TEXT PRIMARY KEY,
    signed BLOB NOT NULL,
    opening BLOB NOT NULL
) STRICT;
CREATE TABLE log (
    number INTEGER PRIMARY KEY,
    entry TEXT NOT NULL,
    leaf BLOB NOT NULL
) STRICT;
CREATE TABLE tree (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    tree TEXT NOT NULL,
    checkpoint BLOB NOT NULL
) STRICT;
";

/// The open database, and the key that signs its records.
#[derive(Clone)]
pub struct Database {
    connection: Arc<Mutex<Connection>>,
    /// Entries of the log that wait for the next transaction.
    later: Arc<Mutex<Vec<Later>>>,
    key: Arc<KeyPair>,
    node: NodeId,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database of a node, and creates it if it is absent.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn open(dir: &Path, identity: &Identity) -> Result<Self, Error> {
        Self::with_key(dir, &identity.key, &identity.participant)
    }

    /// The same, for a node that serves.
    pub(crate) fn of_member(dir: &Path, member: &Member) -> Result<Self, Error> {
        Self::with_key(dir, member.key(), member.participant())
    }

    fn with_key(dir: &Path, key: &Arc<KeyPair>, who: &Participant) -> Result<Self, Error> {
        let node = who.node_id().ok_or_else(|| {
            Error::damaged("identity", format!("the key is that of {who}, which is not a node"))
        })?;
        let mut connection = Connection::open(dir.join(FILE))?;
        connection.busy_timeout(BUSY_TIME_MAX)?;
        // All records that a reply refers to are on the disk before the reply is sent.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        let start = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = start.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > VERSION {
            let reason =
                format!("its schema has version {version}, this program reads version {VERSION}");
            return Err(Error::damaged(FILE, reason));
        }
        // A table for each version.
        for (added, schema) in [(1, SCHEMA), (2, ledger::SCHEMA), (VERSION, journal::SCHEMA)] {
            if version < added {
                start.execute_batch(schema)?;
            }
        }
        start.pragma_update(None, "user_version", VERSION)?;
        // An index changes no table: a registry that was made without it gets it.
        let index = format!("CREATE INDEX IF NOT EXISTS receipt_of_state ON receipt ({STATE_OUT})");
        start.execute_batch(&index)?;
        // Nor does a table that no older program looks at.
        start.execute_batch(choices::SCHEMA)?;
        start.commit()?;
        let connection = Arc::new(Mutex::new(connection));
        let later = Arc::default();
        Ok(Self { connection, later, key: Arc::clone(key), node })
    }

    /// The node that it belongs to.
    pub(crate) fn node(&self) -> &NodeId {
        &self.node
    }

    /// The node's key.
    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }

    /// Reads.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        read(&self.lock())
    }

    /// Writes all or nothing, after the entries that wait.
    pub(crate) fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (mut connection, mut later) = (self.lock(), self.later());
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Later { time_ms, kind, fields } in &*later {
            append(self, &transaction, *time_ms, kind, fields)?;
        }
        let written = write(&transaction)?;
        transaction.commit()?;
        later.clear();
        Ok(written)
    }

    pub(crate) fn later(&self) -> MutexGuard<'_, Vec<Later>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
