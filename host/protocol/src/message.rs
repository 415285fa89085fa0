//! The messages between researcher and node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Arguments, BlobRef, ColumnRules, DataArgs, DatasetId, ExperimentId, LimitArgs, Payload,
    RequestId, ScoreSums, SecaggArgs, SecaggTerms, StateId, TrainingArgs,
};

/// The most earlier states of an experiment that a node keeps.
pub const KEPT_STATES_MAX: usize = 64;

/// The most signatures of a plan that a node looks at.
pub const SIGNATURES_MAX: usize = 8;

/// The most characters of a description of a plan's purpose.
pub const DESCRIPTION_CHARS_MAX: usize = 500;

/// Named numbers, such as `accuracy`.
pub type Metrics = BTreeMap<String, f64>;

/// A node's retained presence, and its last will; the header names the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
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
    /// [`crate::Columns`] of those whose columns do not fit into the message.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<DatasetId, Payload>,
}

/// A node's facts about a dataset. Never a path, never a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetEntry {
    /// Its id at the node.
    pub dataset_id: DatasetId,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its rows.
    pub n_rows: u64,
    /// Its columns, arrays or image fields, in order.
    pub columns: Vec<String>,
    /// The shapes of columns with more than one number a row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Vec<u64>>,
}

impl DatasetEntry {
    /// Values of a row in these columns as `rules` read them, saturating at 2^64 - 1.
    pub fn n_values(&self, columns: &[String], rules: &ColumnRules) -> u64 {
        let width = |column: &String| match (rules.get(column), self.shapes.get(column)) {
            (Some(rule), _) => rule.width() as u64,
            (None, Some(shape)) => {
                shape.iter().fold(1, |product: u64, n| product.saturating_mul(*n))
            }
            (None, None) => 1,
        };
        columns.iter().fold(0, |sum, column| sum.saturating_add(width(column)))
    }
}

/// The work of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Trains, and scores the trained parameters if asked to.
    Train,
    /// Scores the given parameters on held-out rows (Fed-BioMed
    /// `training = false`).
    Validate,
    /// Sums up the input columns over the training part: the scales of a federation are made of
    /// such sums. The plan is opened, and sees no row.
    Scale,
    /// Sums up all columns over all rows for a secure sum: statistics. No plan runs. In the clear
    /// they are asked for by [`crate::StatisticsRequest`].
    Statistics,
}

/// Asks a node for one round (Fed-BioMed `train`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRequest {
    /// The work to do.
    pub mode: Mode,
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// The round, from 1; 0 to score what the first one starts from.
    pub round: u32,
    /// The number of rounds, for plans that ask for it. 0: unknown.
    #[serde(default)]
    pub rounds: u32,
    /// The dataset to use.
    pub dataset_id: DatasetId,
    /// The component.
    pub plan: BlobRef,
    /// The model parameters to start from, as safetensors.
    pub params: BlobRef,
    /// Their bytes, if they ride along (see [`crate::carried`]); otherwise the repository has them.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_bytes")]
    pub params_inline: Option<Vec<u8>>,
    /// Columns; `inputs` is given, here or in `wide_inputs`.
    pub data: DataArgs,
    /// `data.inputs` where the names do not fit into the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wide_inputs: Option<Payload>,
    /// Training arguments; `random_seed` is given.
    pub training: TrainingArgs,
    /// Model arguments, keys starting with `model.`.
    pub model: Arguments,
    /// Aggregator arguments, keys starting with `aggregator.`.
    pub aggregator: Arguments,
    /// The node state to continue from, as the node named it after an earlier
    /// round; none: from a fresh one.
    pub state_id: Option<StateId>,
    /// Earlier states that breakpoints name, at most [`KEPT_STATES_MAX`]; the
    /// node deletes the others of the experiment.
    pub kept_state_ids: Vec<StateId>,
    /// Auxiliary variables that all nodes of the round get, as safetensors.
    pub aux_shared: Option<Payload>,
    /// Auxiliary variables for this node alone, as safetensors.
    pub aux_own: Option<Payload>,
    /// How inputs are scaled if `data.standardize` is `federation`: the bytes of a
    /// `preprocessing.json`. None while the sums are asked for that they are made of. For statistics the
    /// [`crate::Edges`] of histograms, if they have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<Payload>,
    /// Secure aggregation, if it is asked for: nothing of a single node leaves in the clear then.
    pub secagg: Option<SecaggArgs>,
    /// Whether the plan runs in the strict profile: NaNs of one form, fuel counted.
    pub strict: bool,
    /// Limits below the node's own.
    pub limits: LimitArgs,
}

/// A node's answer to a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundReply {
    /// The trained parameters, as safetensors; none after validation. Under secure aggregation the
    /// masked vectors, whatever the round was.
    pub params: Option<BlobRef>,
    /// Their bytes, if they ride along (see [`crate::carried`]); otherwise the repository has them.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_bytes")]
    pub params_inline: Option<Vec<u8>>,
    /// The update as it travels, with `training.compression`: `params` are then those that it leads
    /// to from the received ones, and lie nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<Payload>,
    /// Auxiliary variables for the researcher, as safetensors, if the plan
    /// declares some.
    pub aux: Option<Payload>,
    /// The [`crate::Sums`] of the input columns, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<Payload>,
    /// The node state that the round left behind, if the plan has one.
    pub state_id: Option<StateId>,
    /// The optimizer's numbers that the plan reports, such as `lr`.
    pub optimizer_args: Metrics,
    /// The masked lanes of the check value of secure aggregation, little-endian; none without one.
    pub encryption_factor: Option<Vec<u8>>,
    /// The terms of secure aggregation; none in the clear. With them counts are 0, and losses,
    /// scores and the optimizer's numbers absent: they are in the sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secagg: Option<SecaggTerms>,
    /// The device that it ran on: `cpu`.
    pub device: String,
    /// The ways in which the node departed from the request, in words.
    pub warnings: Vec<String>,
    /// Rows of the training part, the weight in the mean.
    pub n_samples: u64,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Mean training loss of the round, if the plan reports one.
    pub train_loss: Option<f64>,
    /// Scores on the held-out rows, if asked for.
    pub evaluation: Option<Evaluation>,
    /// The node's signed receipt of the run.
    pub receipt: Option<Payload>,
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
    /// The sums that the host's metrics follow from, where a node tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<ScoreSums>,
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
    /// Processor time of the same (Fed-BioMed `ptime_training`).
    pub process_ms: f64,
    /// Storing the trained parameters.
    pub upload_ms: f64,
}

/// How far a round is; sent while it runs, may be lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The request that is running.
    pub request_id: RequestId,
    /// Batches given to the plan.
    pub steps: u64,
    /// Batches of the whole round.
    pub steps_max: u64,
    /// The newest loss, if the plan reports one.
    pub loss: Option<f64>,
    /// Numbers that the plan reported at some of the batches since the last
    /// message, in ascending order of steps.
    pub points: Vec<Point>,
}

/// A number that a plan reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The batch of the round, from 1.
    pub step: u64,
    /// Its name, such as `loss`.
    pub name: String,
    /// The number.
    pub value: f64,
}

/// Asks a node whether it would run a plan (Fed-BioMed `training-plan-status`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The component.
    pub plan: BlobRef,
    /// Its signatures, Sigstore bundles, at most [`SIGNATURES_MAX`].
    pub signatures: Vec<BlobRef>,
    /// Its purpose, in the researcher's words, for the operator who decides; may be empty. Nodes
    /// keep the first [`DESCRIPTION_CHARS_MAX`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How columns of the data become numbers for it.
    #[serde(default, skip_serializing_if = "ColumnRules::is_empty")]
    pub columns: ColumnRules,
}

/// Whether the node would run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalReply {
    /// The plan's standing at the node.
    pub status: ApprovalStatus,
    /// The reason, in the operator's words; may be empty.
    pub note: String,
}

/// A plan's standing at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalStatus {
    /// The node runs any plan that is admitted.
    NotRequired,
    /// The node's operator approved it.
    Approved,
    /// The node's operator rejected it.
    Rejected,
    /// The node's operator revoked its approval.
    Revoked,
    /// Its approval is over.
    Expired,
    /// The node's operator has not decided yet.
    Pending,
    /// The node never saw it.
    NotRegistered,
}

impl ApprovalStatus {
    /// Whether a round with the plan would run.
    pub fn may_run(self) -> bool {
        matches!(self, Self::NotRequired | Self::Approved)
    }
}

impl std::fmt::Display for ApprovalStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotRequired => "approval not required",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
            Self::Expired => "no longer approved",
            Self::Pending => "pending",
            Self::NotRegistered => "not registered",
        })
    }
}

/// The reason why a node refused a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: the failure, its place and the cure.
    pub message: String,
}

/// The reason why a node refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Other work fills the node's queue.
    Busy,
    /// The plan is being compiled; asked again, the node continues from there.
    Compiling,
    /// The deadline passed before the work began.
    Expired,
    /// The request is not well formed or contradicts itself.
    BadRequest,
    /// No such dataset, or not with these columns.
    Dataset,
    /// A blob is absent or does not match its digest.
    Blob,
    /// The plan is not approved at the node, or not with these arguments.
    NotApproved,
    /// The plan is not admitted.
    PlanRefused,
    /// The plan failed: panic, limit, bad output.
    PlanFailed,
    /// The plan's process was killed, or a call that needs no data took longer than it may: a
    /// machine without memory or time to spare, or a plan that does it every time.
    PlanKilled,
    /// The node state that the request names is not here.
    State,
    /// It would tell about too few rows.
    Privacy,
    /// The node cannot meet a demand of the request, and does not do less.
    Unsupported,
    /// Something at the node itself.
    Internal,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Busy => "busy",
            Self::Compiling => "compiling",
            Self::Expired => "expired",
            Self::BadRequest => "bad request",
            Self::Dataset => "dataset",
            Self::Blob => "blob",
            Self::NotApproved => "not approved",
            Self::PlanRefused => "plan refused",
            Self::PlanFailed => "plan failed",
            Self::PlanKilled => "plan killed",
            Self::State => "state",
            Self::Privacy => "privacy",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        })
    }
}
