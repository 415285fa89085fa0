//! Datasets that are the answer of a database to a query: a snapshot in the node's directory, which
//! changes only when its operator asks again.

use std::path::{Path, PathBuf};

use fedwasm_dataset::Renames;
use fedwasm_folder::Folder;
use fedwasm_protocol::{DatasetId, Digest};
use fedwasm_sql::{Passwords, Snapshot, SnapshotLimits, Source, take_snapshot};
use fedwasm_transport::now_ms;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The directory of snapshots, in that of the node.
const FOLDER: &str = "snapshots";

/// A query that the operator registered, and when it was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The database; it has no password.
    pub from: Source,
    /// One SELECT.
    pub sql: String,
    /// What its answer may cost.
    #[serde(default)]
    pub limits: SnapshotLimits,
    /// When it was answered, in milliseconds of Unix time.
    pub taken_ms: u64,
    /// SHA-256 of the snapshot.
    pub digest: Digest,
}

/// A query that is going to be registered.
#[derive(Clone, Debug)]
pub struct NewQuery {
    /// The name of its answer as a dataset.
    pub name: DatasetId,
    /// The database.
    pub from: Source,
    /// One SELECT.
    pub sql: String,
    /// What its answer may cost.
    pub limits: SnapshotLimits,
    /// The tags that researchers search for.
    pub tags: Vec<String>,
    /// The names of its columns for researchers, by those of the query, where they differ.
    pub renames: Renames,
}

/// Where a node's snapshots lie, and the passwords of databases.
#[derive(Clone, Copy, Debug)]
pub struct Snapshots<'a> {
    /// The node's directory.
    pub dir: &'a Path,
    /// The passwords; never kept.
    pub passwords: &'a Passwords,
}

impl Snapshots<'_> {
    /// The file of a dataset's snapshot.
    pub(crate) fn path(&self, name: &DatasetId) -> Result<PathBuf, Error> {
        Ok(self.dir.canonicalize()?.join(FOLDER).join(file(name)))
    }

    /// Asks a database, and keeps the answer unless it is that of `before`, which lies there.
    pub(crate) fn take(
        &self,
        folder: &Folder,
        name: &DatasetId,
        (from, sql, limits): (Source, String, SnapshotLimits),
        before: Option<Digest>,
    ) -> Result<(Query, Snapshot), Error> {
        let snapshots = folder.folder(FOLDER)?;
        let taken = snapshots.write_private(&file(name), |into| -> Result<_, Error> {
            let taken = take_snapshot(&from, &sql, limits, self.passwords, into)?;
            let is_new = before != Some(taken.digest);
            Ok((taken, is_new))
        })?;
        let query = Query { from, sql, limits, taken_ms: now_ms(), digest: taken.digest };
        Ok((query, taken))
    }
}

/// Removes the snapshot of a dataset; there is nothing to do if it is absent.
pub(crate) fn remove(folder: &Folder, name: &DatasetId) -> Result<(), Error> {
    Ok(folder.folder(FOLDER)?.remove(&file(name))?)
}

fn file(name: &DatasetId) -> String {
    format!("{name}.parquet")
}
