//! The options, events and result of a local job.

use std::path::PathBuf;

use fedwasm_artifact::Component;
use fedwasm_dataset::{Format, Renames, Volumes};
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, DataArgs, Digest, Evaluation, TrainingArgs};
use fedwasm_record::{BestRecord, History, LocalArgs, ValidationRecord};
use fedwasm_sandbox::{Cancel, Level, LimitArgs, Sandbox};
use fedwasm_training::{Fold, Preprocessing};

/// The settings of a local job.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The plan.
    pub component: Component,
    /// Where it runs.
    pub sandbox: Sandbox,
    /// Limits instead of the standard ones; of time, a day a call.
    pub limits: LimitArgs,
    /// The data file or folder.
    pub path: PathBuf,
    /// Its format; found by its content if none.
    pub format: Option<Format>,
    /// How its volumes are read.
    pub volumes: Volumes,
    /// The names of its columns, by those that the file has, where they differ.
    pub renames: Renames,
    /// Which columns, and how.
    pub data: DataArgs,
    /// How to train; `random_seed` is given.
    pub training: TrainingArgs,
    /// Model arguments.
    pub model: Arguments,
    /// Parameters to start from; drawn by the plan if none.
    pub params: Option<Params>,
    /// Patterns of the names of those that start so, such as `net.0.*`; all if there are none.
    pub init_only: Vec<String>,
    /// Where the files go; none are written if none.
    pub out: Option<PathBuf>,
    /// The `random_seed` of `training`.
    pub random_seed: u64,
    /// How it is scored while it trains, and which parameters are its result.
    pub local: LocalArgs,
    /// The fold that is held out, regardless of `test_ratio`.
    pub fold: Option<Fold>,
    /// Whether to continue the run in `out`.
    pub resume: bool,
    /// Whether to write over a run that `out` holds.
    pub force: bool,
    /// Ends training after the batches on their way; the result so far is scored and written.
    pub stop: Cancel,
}

/// An event during a local job.
#[derive(Clone, Debug, PartialEq)]
pub enum LocalEvent {
    /// Plan and data are ready.
    Ready {
        /// Rows of the training part.
        n_train: usize,
        /// Rows that are held out.
        n_test: usize,
        /// Batches of an epoch.
        per_epoch: u64,
        /// Batches that were trained on before a break.
        batches: u64,
    },
    /// The plan reported on a batch.
    Step {
        /// Batches so far, from 1.
        step: u64,
        /// Batches in all.
        steps_max: u64,
        /// The loss, if the plan reports one.
        loss: Option<f64>,
    },
    /// The held-out rows were scored after an epoch.
    Validated {
        /// The scores.
        record: ValidationRecord,
        /// Whether these parameters are the best so far, with `keep = "best"`.
        is_best: bool,
    },
    /// A line from the plan.
    Log(Level, String),
    /// Something about the data that should be known before a score is believed.
    Warning(String),
}

/// The result of a local job.
#[derive(Clone, Debug)]
pub struct LocalResult {
    /// The trained parameters: the last ones, or the best.
    pub params: Params,
    /// The SHA-256 of their safetensors bytes.
    pub params_sha256: Digest,
    /// The scales of the inputs, which other rows need too.
    pub preprocessing: Preprocessing,
    /// Their scores on the held-out rows, if there are some.
    pub evaluation: Option<Evaluation>,
    /// The history of the job.
    pub history: History,
    /// Batches that were trained on, those before a break among them.
    pub batches: u64,
    /// Batches that were asked for.
    pub batches_max: u64,
    /// Why it ended before them, if early stopping did.
    pub enough: Option<String>,
    /// Which parameters are the best, with `keep = "best"`.
    pub best: Option<BestRecord>,
}
