//! Errors of local jobs.

use std::path::PathBuf;

/// Why a local job has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A local job cannot continue the run in a directory.
    #[error("cannot resume from {}: {reason}", dir.display())]
    Resume {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A directory holds a run that was interrupted, which would be lost.
    #[error(
        "{} holds a run that was stopped {when}; continue it with `--out {} --resume`, name \
         another directory, or delete this one",
        dir.display(),
        dir.display()
    )]
    Interrupted {
        /// The directory.
        dir: PathBuf,
        /// When it was stopped.
        when: String,
    },
    /// A directory holds a finished run, which would be lost.
    #[error(
        "{} holds a finished run; name another directory, continue with `--resume` and more \
         `epochs`, or overwrite it with `--force`",
        dir.display()
    )]
    Finished {
        /// The directory.
        dir: PathBuf,
    },
    /// `--resume` is given without a directory.
    #[error("--resume continues the run in --out DIR; name the directory")]
    ResumeWhat,
    /// The plan, its arguments, the data or the round.
    #[error(transparent)]
    Training(#[from] fedwasm_training::Error),
    /// Differential privacy is asked for.
    #[error(
        "`dp_args` is given, but a local job does not enforce differential privacy; leave it out"
    )]
    DpArgs,
    /// The job was told to stop.
    #[error("cancelled")]
    Cancelled,
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A thread of ours broke off.
    #[error("internal error: {reason}")]
    Internal {
        /// The reason.
        reason: String,
    },
    /// A file of a run, or one that it reads.
    #[error(transparent)]
    Record(#[from] fedwasm_record::Error),
    /// A curve or a page.
    #[error(transparent)]
    Report(#[from] fedwasm_report::Error),
}

impl From<fedwasm_sandbox::Error> for Error {
    fn from(error: fedwasm_sandbox::Error) -> Self {
        Self::Training(error.into())
    }
}

impl From<fedwasm_dataset::Error> for Error {
    fn from(error: fedwasm_dataset::Error) -> Self {
        Self::Training(error.into())
    }
}
