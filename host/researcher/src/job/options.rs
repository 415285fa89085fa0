//! The options of a job.

use std::time::Duration;

use fedwasm_artifact::Component;
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, DataArgs, TrainingArgs};
use fedwasm_sandbox::{LimitArgs, Sandbox};

use crate::{Connection, NetworkArgs, SecaggSettings};

/// The options of a job.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// The plan.
    pub component: Component,
    /// Its signatures, Sigstore bundles as JSON.
    pub signatures: Vec<Vec<u8>>,
    /// Its purpose, for the operator who decides at a node whether it may run (Fed-BioMed
    /// `training_plan_approve(description)`); may be empty.
    pub description: String,
    /// Where the researcher asks it for its shapes and initial parameters.
    pub sandbox: Sandbox,
    /// Whether nodes run it in the strict profile.
    pub strict: bool,
    /// Limits that nodes are asked to keep, below their own.
    pub limits: LimitArgs,
    /// The columns and datasets, and their use.
    pub data: DataArgs,
    /// How a round trains.
    pub training: TrainingArgs,
    /// Model arguments, keys starting with `model.`.
    pub model: Arguments,
    /// Aggregator arguments, keys starting with `aggregator.`.
    pub aggregator: Arguments,
    /// Secure aggregation, if it is asked for.
    pub secagg: Option<SecaggSettings>,
    /// Where the federation is.
    pub network: NetworkArgs,
    /// A connection of the caller's own, instead of one to the addresses in `network`.
    pub link: Option<Connection>,
    /// Whether replies without a signed receipt are refused.
    pub require_receipts: bool,
    /// With fewer nodes it does not start, at least 1; none: with fewer than all that have data
    /// with the tags.
    pub min_nodes: Option<usize>,
    /// How long a round waits for a node, and for the repository.
    pub deadline: Duration,
    /// How long broker and repository are waited for while they are away.
    pub patience: Duration,
    /// Where all randomness comes from.
    pub random_seed: u64,
    /// The number of rounds, for plans that ask for it.
    pub rounds: u32,
    /// The parameters to start from; drawn by the plan if none.
    pub params: Option<Params>,
    /// Patterns of the names of those that start so, such as `net.0.*`; all if there are none.
    pub init_only: Vec<String>,
}
