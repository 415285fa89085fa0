//! Where a job stands.

use std::collections::BTreeMap;

use fedwasm_params::Params;
use fedwasm_protocol::{
    DatasetId, Digest, Evaluation, ExperimentId, Metrics, NodeId, NodeTiming, ResearcherId, StateId,
};
use serde::{Deserialize, Serialize};

use crate::NodeStates;

/// The state that a job needs to continue where another one, now gone, had arrived
/// (Fed-BioMed `Job.save_state_breakpoint`): `Job::state` gives it, `Job::resume` takes it,
/// with the same options or others. These may differ: training arguments, aggregator arguments,
/// deadline and number of nodes. Plan and columns must be the same, or nodes refuse their states.
#[derive(Clone, Debug, PartialEq)]
pub struct JobState {
    /// The experiment's id at the nodes, which their states belong to.
    pub experiment_id: ExperimentId,
    /// The researcher's id.
    pub researcher_id: ResearcherId,
    /// The input columns.
    pub inputs: Vec<String>,
    /// Values of a row in them.
    pub n_inputs: usize,
    /// The nodes that take part, and those that did and are away for a while or for good.
    pub nodes: BTreeMap<NodeId, Member>,
    /// The reason why each of them is away. A resumed job asks it again.
    pub away: BTreeMap<NodeId, String>,
    /// The state from which each node continues.
    pub node_states: NodeStates,
    /// The states that the kept breakpoints name, the newest last: nodes also keep those states.
    pub saved: Vec<NodeStates>,
    /// The parameters.
    pub params: Params,
    /// The scales of the federation, the bytes of a `preprocessing.json`; none before they are made,
    /// and if sites have their own.
    pub scales: Option<Vec<u8>>,
    /// The replies of the newest training round. A breakpoint has those whose uploads were kept.
    pub replies: BTreeMap<NodeId, Reply>,
}

/// A node that has the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The dataset that it trains on.
    pub dataset_id: DatasetId,
    /// Its rows.
    pub n_rows: u64,
}

/// A node's results in a round, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its trained parameters: exactly the declared tensors, all finite. None where they were
    /// added to a sum and dropped: the repository has them under `upload`.
    pub params: Option<Params>,
    /// Its auxiliary variables: exactly the declared tensors, all finite.
    pub aux: Params,
    /// The digest of the parameters that it uploaded.
    pub upload: Digest,
    /// The same of its auxiliary variables.
    pub upload_aux: Option<Digest>,
    /// The state from which it continues next time, by its own name.
    pub state_id: Option<StateId>,
    /// Rows of its training part (Fed-BioMed `sample_size`).
    pub n_samples: u64,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Mean training loss, if the plan reports one.
    pub train_loss: Option<f64>,
    /// Scores of its own update on its held-out rows, if asked for.
    pub evaluation: Option<Evaluation>,
    /// The optimizer's numbers that the plan reports, such as `lr`.
    pub optimizer_args: Metrics,
    /// The device that it ran on.
    pub device: String,
    /// The ways in which it departed from the request.
    pub warnings: Vec<String>,
    /// Its times, as it reports them.
    pub timing: NodeTiming,
    /// From sending the request to its answer, in milliseconds.
    pub total_ms: f64,
}
