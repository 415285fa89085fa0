//! What researcher and node tell each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Arguments, BlobRef, DataArgs, DatasetId, ExperimentId, NodeId, RequestId, TrainingArgs,
};

/// Named numbers, such as `accuracy`.
pub type Metrics = BTreeMap<String, f64>;

/// A node's retained presence, and its last will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The node.
    pub node_id: NodeId,
    /// Whether it serves.
    pub online: bool,
}

/// Asks a node for datasets with these tags (Fed-BioMed `search`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// All of them must be present.
    pub tags: Vec<String>,
}

/// The datasets that a search found; a node always answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchReply {
    /// The datasets.
    pub datasets: Vec<DatasetEntry>,
}

/// What a node tells about a dataset. Never a path, never a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetEntry {
    /// Its id at the node.
    pub dataset_id: DatasetId,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its rows.
    pub n_rows: u64,
    /// Its columns in order.
    pub columns: Vec<String>,
}

/// What a round does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Trains, and scores the trained parameters if asked to.
    Train,
    /// Scores the given parameters on held-out rows (Fed-BioMed
    /// `training = false`).
    Validate,
}

/// Asks a node for one round (Fed-BioMed `train`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRequest {
    /// What to do.
    pub mode: Mode,
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// The round, from 1.
    pub round: u32,
    /// The dataset to use.
    pub dataset_id: DatasetId,
    /// The component.
    pub plan: BlobRef,
    /// The model parameters to start from, as safetensors.
    pub params: BlobRef,
    /// Columns; `inputs` is given.
    pub data: DataArgs,
    /// Training arguments; `random_seed` is given.
    pub training: TrainingArgs,
    /// Model arguments, keys starting with `model.`.
    pub model: Arguments,
}

/// A node's answer to a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundReply {
    /// The trained parameters, as safetensors; none after validation.
    pub params: Option<BlobRef>,
    /// Rows of the training part, the weight in the mean.
    pub n_samples: u64,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Mean training loss of the round, if the plan reports one.
    pub train_loss: Option<f64>,
    /// Scores on the held-out rows, if asked for.
    pub evaluation: Option<Evaluation>,
    /// Where the node's time went.
    pub timing: NodeTiming,
}

/// Scores on held-out rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Rows that were scored.
    pub n_rows: u64,
    /// The metrics; `loss` is the plan's own.
    pub metrics: Metrics,
}

/// Where a node's time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTiming {
    /// Fetching plan and parameters.
    pub download_ms: f64,
    /// Compiling the plan and reading the data; 0 when both were at hand.
    pub prepare_ms: f64,
    /// Training and scoring in the sandbox.
    pub train_ms: f64,
    /// Storing the trained parameters.
    pub upload_ms: f64,
}

/// How far a round is; sent while it runs, may be lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The request that is running.
    pub request_id: RequestId,
    /// Batches handed to the plan.
    pub steps: u64,
    /// Batches of the whole round.
    pub steps_max: u64,
    /// The newest loss, if the plan reports one.
    pub loss: Option<f64>,
}

/// Why a node did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: what, where, what to do.
    pub message: String,
}

/// Why a node did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Other work fills the node's queue.
    Busy,
    /// The deadline passed before the work began.
    Expired,
    /// The request is not well formed or contradicts itself.
    BadRequest,
    /// No such dataset, or not with these columns.
    Dataset,
    /// A blob is absent or not what its digest says.
    Blob,
    /// The plan is not admitted.
    PlanRefused,
    /// The plan failed: panic, limit, bad output.
    PlanFailed,
    /// Something at the node itself.
    Internal,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Busy => "busy",
            Self::Expired => "expired",
            Self::BadRequest => "bad request",
            Self::Dataset => "dataset",
            Self::Blob => "blob",
            Self::PlanRefused => "plan refused",
            Self::PlanFailed => "plan failed",
            Self::Internal => "internal",
        })
    }
}
