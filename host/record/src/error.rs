//! Why a record cannot be read, written or believed.

use std::path::PathBuf;

use fedwasm_aggregate::AggregateError;

/// Why a record cannot be read, written or believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A TOML file, such as the experiment's.
    #[error(transparent)]
    Toml(#[from] fedwasm_protocol::FileMistakes),
    /// Another file of a run.
    #[error("{}:{reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A file of parameters.
    #[error("{}: {source}", path.display())]
    Params {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: fedwasm_params::Error,
    },
    /// An experiment contradicts its files.
    #[error("round {round}: {reason}")]
    Unverified {
        /// The round; 0 before the first.
        round: u32,
        /// The contradiction.
        reason: String,
    },
    /// The files to compute an experiment again are missing.
    #[error("{}: {reason}", dir.display())]
    NoUploads {
        /// The directory of the run.
        dir: PathBuf,
        /// The reason, and the cure.
        reason: &'static str,
    },
    /// An aggregator that this program does not have.
    #[error(
        "{rounds} rounds cannot be computed again: `{name}` is an aggregator of the researcher's \
         own, which this program does not have; everything else matches: the uploads are those \
         that the history names, and {receipts} receipts and the scores agree"
    )]
    OwnAggregator {
        /// Its name.
        name: String,
        /// The rounds that it made.
        rounds: u32,
        /// The receipts that were checked.
        receipts: u32,
    },
    /// The seed of the aggregator's noise is missing.
    #[error(
        "{rounds} rounds cannot be computed again: their noise comes from the secret seed of \
         {file}, which is not in this directory; everything else matches: the uploads are those \
         that the history names, and {receipts} receipts, the scores and epsilon agree"
    )]
    NoNoiseSeed {
        /// The name of its file.
        file: &'static str,
        /// The rounds that have noise.
        rounds: u32,
        /// The receipts that were checked.
        receipts: u32,
    },
    /// Parameters do not fit the plan's declaration.
    #[error("the parameters do not fit the plan: {0}")]
    Shapes(fedwasm_params::Error),
    /// A breakpoint.
    #[error("{}: {reason}", path.display())]
    Breakpoint {
        /// Its directory.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The directory for results.
    #[error("results cannot be written: {0}")]
    Out(std::io::Error),
    /// The directory for results is in use.
    #[error("another program is writing into {}", dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory of a model.
    #[error("{}: {reason}", path.display())]
    Model {
        /// The directory.
        path: PathBuf,
        /// The file that is wrong, and the reason.
        reason: String,
    },
    /// A signature could not be made.
    #[error("the model cannot be signed: {reason}")]
    Signing {
        /// The reason.
        reason: String,
    },
    /// Aggregation.
    #[error("the updates cannot be aggregated: {0}")]
    Aggregation(#[from] AggregateError),
    /// Keys and signatures.
    #[cfg(feature = "verify")]
    #[error(transparent)]
    Trust(#[from] fedwasm_trust::Error),
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
