//! Why a node cannot serve.

use std::path::PathBuf;

use fedwasm_protocol::NodeId;

/// Why a node cannot be set up or cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is a node already.
    #[error("{} holds a node already", dir.display())]
    Exists {
        /// The node's directory.
        dir: PathBuf,
    },
    /// The node serves already.
    #[error("node {id} in {} is running already", dir.display())]
    Running {
        /// The node.
        id: NodeId,
        /// Its directory.
        dir: PathBuf,
    },
    /// The directory is a copy, and the node serves elsewhere.
    #[error(
        "another program serves as node {id} and did so before this one: {} is a copy of its \
         directory; stop the other one first, or make a node of another id with `fedwasm node init`",
        dir.display()
    )]
    Copy {
        /// The node.
        id: NodeId,
        /// Its directory.
        dir: PathBuf,
    },
    /// Nobody believes it any more.
    #[error(
        "the key of node {id} was revoked: nobody believes it any more; the operator's guide says \
         how to make and enrol another one"
    )]
    Revoked {
        /// The node.
        id: NodeId,
    },
    /// There is no node.
    #[error("{} holds no node; make one with `fedwasm node init`", dir.display())]
    NoNode {
        /// The directory.
        dir: PathBuf,
    },
    /// A file of the node is damaged.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A dataset of this name is registered already.
    #[error("a dataset called `{name}` is registered already")]
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
    #[error("{max} datasets are registered already, which is the most")]
    TooManyDatasets {
        /// The bound.
        max: usize,
    },
    /// A tag is empty, or there are none.
    #[error("a dataset needs tags, none of them empty")]
    Tags,
    /// An id.
    #[error(transparent)]
    Id(#[from] fedwasm_protocol::IdError),
    /// A data file.
    #[error(transparent)]
    Data(#[from] fedwasm_dataset::Error),
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
        /// What was given.
        digits: String,
        /// Why not.
        reason: &'static str,
    },
    /// Somebody decided on the plan.
    #[error("plan {digest} was decided on, and stays with its decisions")]
    Decided {
        /// The digest.
        digest: String,
    },
    /// Too many plans wait for a decision.
    #[error("{max} plans {whose}, or {mib_max} MiB of them, wait for a decision already")]
    TooManyPlans {
        /// Of this researcher or in all.
        whose: &'static str,
        /// The most plans.
        max: u64,
        /// The most MiB.
        mib_max: u64,
    },
    /// The registry.
    #[error("registry.db: {0}")]
    Database(#[from] rusqlite::Error),
    /// The log is not what it was.
    #[error("the log was tampered with: {reason}")]
    Log {
        /// What is wrong with it.
        reason: String,
    },
    /// Keys and signatures.
    #[error(transparent)]
    Trust(#[from] fedwasm_trust::Error),
    /// The engine.
    #[error(transparent)]
    Sandbox(#[from] fedwasm_sandbox::Error),
}
