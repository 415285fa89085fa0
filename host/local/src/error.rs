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
    /// The inputs of a model were scaled by each site by its own rows.
    #[error(
        "{}: each site scaled its inputs by its own rows (`standardize` of [data]), so the model \
         has no scales; give those of the site with the rows (experiments/ID/preprocessing.json of \
         its node) by `--scales FILE`, or train with `standardize = \"federation\"`",
        dir.display()
    )]
    NoScales {
        /// The directory of the model.
        dir: PathBuf,
    },
    /// A model cannot be written as ONNX.
    #[error("the plan {plan} cannot be exported to ONNX, which does not cover {what}")]
    Onnx {
        /// Its name.
        plan: String,
        /// The part of it that is not covered.
        what: String,
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
    /// Scores after epochs are asked for, and the plan cannot pause there.
    #[error(
        "`{key}` needs scores after epochs, and the plan cannot pause between them: it does not \
         announce `optimizer.keep_state`, or `keep_state` is false"
    )]
    NoPause {
        /// The key that asks for them.
        key: &'static str,
    },
    /// Scores after so many epochs would fill the history.
    #[error(
        "`local.validate_every = {every}` scores {epochs} epochs too often; use {least} or more"
    )]
    TooManyScores {
        /// Epochs from one score to the next.
        every: u64,
        /// Epochs in all.
        epochs: u64,
        /// The least that is taken.
        least: u64,
    },
    /// A metric that decides is not among the scores.
    #[error("{0}")]
    Metric(String),
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
