//! Why a node cannot serve.

use std::path::PathBuf;

use fedwasm_protocol::NodeId;

/// Why a node cannot be set up or cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory already holds a node.
    #[error("{} already holds a node", dir.display())]
    Exists {
        /// The node's directory.
        dir: PathBuf,
    },
    /// The node serves already.
    #[error("node {id} in {} is already running", dir.display())]
    Running {
        /// The node.
        id: NodeId,
        /// Its directory.
        dir: PathBuf,
    },
    /// The directory is a copy, and the node serves elsewhere.
    #[error(
        "another program already serves as node {id}, so {} is a copy of its directory; stop the \
         other program first, or create a node with another id by `fedwasm node init`",
        dir.display()
    )]
    Copy {
        /// The node.
        id: NodeId,
        /// Its directory.
        dir: PathBuf,
    },
    /// The node's key was revoked.
    #[error(
        "the key of node {id} was revoked and no participant accepts it any more; the operator's \
         guide explains how to create and enrol a new key"
    )]
    Revoked {
        /// The node.
        id: NodeId,
    },
    /// The directory does not hold a node.
    #[error("{} does not hold a node; create one with `fedwasm node init`", dir.display())]
    NoNode {
        /// The directory.
        dir: PathBuf,
    },
    /// A file of the node is malformed.
    #[error("{file} is damaged: {source}")]
    Malformed {
        /// The file.
        file: String,
        /// The mistake and its place.
        source: FormError,
    },
    /// `node.toml`.
    #[error(transparent)]
    File(#[from] fedwasm_protocol::FileMistakes),
    /// A file of the node is damaged.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// The reason.
        reason: String,
        /// The error behind it, if there is one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A dataset of this name is registered already.
    #[error("a dataset called `{name}` is already registered")]
    DatasetExists {
        /// The name.
        name: String,
    },
    /// No dataset has this name.
    #[error("no dataset is called `{name}`; `fedwasm node dataset list` shows them")]
    NoDataset {
        /// The name.
        name: String,
    },
    /// Too many datasets.
    #[error("{max} datasets are already registered, which is the maximum")]
    TooManyDatasets {
        /// The bound.
        max: usize,
    },
    /// The names of the columns of all datasets together are too many.
    #[error(
        "datasets.json would have {bytes} bytes, at most {max} are read: the columns of all datasets \
         together are too many; remove a dataset, or register this one at another node"
    )]
    RegistryTooLarge {
        /// Its bytes.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A tag is empty, or the list of tags is.
    #[error("a dataset needs tags, none of them empty")]
    Tags,
    /// An id.
    #[error(transparent)]
    Id(#[from] fedwasm_protocol::IdError),
    /// A data file.
    #[error(transparent)]
    Data(#[from] fedwasm_dataset::Error),
    /// A database that a dataset comes from.
    #[error(transparent)]
    Sql(#[from] fedwasm_sql::Error),
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Broker or repository.
    #[error(transparent)]
    Transport(#[from] fedwasm_transport::Error),
    /// No plan of this digest.
    #[error("no plan {digest} is registered; `fedwasm node plan list` shows them")]
    NoPlan {
        /// The digest.
        digest: String,
    },
    /// No receipt of this digest.
    #[error("there is no receipt {digest}")]
    NoReceipt {
        /// The digest.
        digest: String,
    },
    /// These digits do not name one receipt.
    #[error("receipt `{digits}`: {reason}")]
    ReceiptDigits {
        /// The digits that were given.
        digits: String,
        /// Why not.
        reason: &'static str,
    },
    /// The plan has decisions.
    #[error("plan {digest} has decisions, so it cannot be removed")]
    Decided {
        /// The digest.
        digest: String,
    },
    /// Too many plans wait for a decision.
    #[error("{max} plans {whose}, or {mib_max} MiB of them, are already waiting for a decision")]
    TooManyPlans {
        /// Of this researcher or in all.
        whose: &'static str,
        /// The most plans.
        max: u64,
        /// The most MiB.
        mib_max: u64,
    },
    /// The registry.
    #[error("registry.db: {}", said_by_sqlite(.0))]
    Database(#[from] rusqlite::Error),
    /// The log was tampered with.
    #[error("the log was tampered with: {0}")]
    Log(#[from] Tampering),
    /// Keys and signatures.
    #[error(transparent)]
    Trust(#[from] fedwasm_trust::Error),
    /// What noise is worth.
    #[error(transparent)]
    Privacy(#[from] fedwasm_privacy::Error),
    /// The engine.
    #[error(transparent)]
    Sandbox(#[from] fedwasm_sandbox::Error),
}

impl Error {
    pub(crate) fn damaged(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), reason: reason.into(), source: None }
    }
}

/// Where a text is not of its form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// TOML that is written.
    #[error(transparent)]
    TomlValue(#[from] toml::ser::Error),
    /// JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The kind of tampering with a log, or with the registry beside it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Tampering {
    /// The tree is gone.
    #[error("there are {entries} entries, but the tree is missing")]
    NoTree {
        /// Entries that there are.
        entries: i64,
    },
    /// An entry is gone.
    #[error("entry {number} is missing")]
    Missing {
        /// Its number.
        number: u64,
    },
    /// An entry has other bytes.
    #[error("entry {number} was changed")]
    Changed {
        /// Its number.
        number: i64,
    },
    /// The tree is of other entries.
    #[error("its {entries} entries do not match the tree of {of_tree} entries")]
    OtherTree {
        /// Entries that there are.
        entries: u64,
        /// Entries of the tree.
        of_tree: u64,
    },
    /// The checkpoint is of another tree.
    #[error("the newest checkpoint belongs to another tree")]
    OtherCheckpoint,
    /// The checkpoint is not signed by a known key.
    #[error("the checkpoint is not this node's: {source}")]
    NotSigned {
        /// The error of the last key that was tried.
        source: Box<Error>,
    },
    /// The key to verify the checkpoint is missing.
    #[error("the key is missing")]
    NoKey,
    /// A decision is gone.
    #[error("the decision of entry {number} (plan {plan} {kind}) is not in the registry")]
    NoDecision {
        /// The entry.
        number: i64,
        /// The plan.
        plan: String,
        /// The ruling.
        kind: String,
    },
    /// A decision has no entry in the log.
    #[error("decision {digest} is in the registry, but no entry of the log names it")]
    UnknownDecision {
        /// Its digest.
        digest: String,
    },
    /// An earlier checkpoint is of other entries.
    #[error("the first {entries} entries do not match the checkpoint")]
    OtherBeginning {
        /// Entries of the checkpoint.
        entries: u64,
    },
}

/// A full disk has one name, whatever part of SQLite met it.
fn said_by_sqlite(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode as C;
    match error.sqlite_error_code() {
        Some(C::DiskFull) => NO_SPACE.to_owned(),
        Some(C::SystemIoFailure) => format!("{error}; its disk may be full, or failing"),
        _ => error.to_string(),
    }
}

/// The words of a full disk.
pub(crate) const NO_SPACE: &str = "no space is left on its disk";
