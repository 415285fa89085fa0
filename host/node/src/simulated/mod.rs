//! Many nodes in one process, for simulations. Each has an id, rows and node state of its own, and
//! runs a round by the code of a node that serves, from the check of the request to what may leave.
//! The rest is held once for all: the compiled plan, its shapes, parameters and the rows of the file.
//! There is no network, and so there are no messages, keys, approvals, receipts, logs and ledgers;
//! rounds under secure aggregation are refused.

mod question;
mod rows;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fedwasm_artifact::Component;
use fedwasm_dataset::Dataset;
use fedwasm_protocol::{
    ApprovalReply, ApprovalStatus, Body, DatasetEntry, DatasetId, Limits, NodeId, Reason,
    SearchReply,
};
use fedwasm_sandbox::{Described, Profile, Sandbox};

use self::rows::PreparedRows;
use crate::datasets::{columns_of, shapes_of};
use crate::refusal::refusal;
use crate::round::MemoryStates;
use crate::{Error, Privacy};

pub use self::question::{Question, Ran};

/// What simulated nodes have in common.
#[derive(Debug)]
pub struct SimulatedOptions {
    /// The plan. Nodes know it; no operator decides.
    pub component: Component,
    /// Where it runs.
    pub sandbox: Sandbox,
    /// The limits of each node.
    pub limits: Limits,
    /// Whether it runs in the strict profile.
    pub strict: bool,
    /// What leaves each node.
    pub privacy: Privacy,
    /// The most MiB of a node's dataset that are kept in memory.
    pub memory_mib_max: u64,
    /// Rounds that run at once, at least 1: so many callers may have a seat each.
    pub seats: usize,
    /// The seed of noise that nodes add; at a node that serves it comes from the system.
    pub random_seed: u64,
    /// The dataset of each node, and its tags.
    pub dataset: DatasetId,
    /// As researchers search for them.
    pub tags: Vec<String>,
}

/// Nodes in this process.
#[derive(Debug)]
pub struct SimulatedNodes {
    options: SimulatedOptions,
    sites: BTreeMap<NodeId, Dataset>,
    /// The plan of each seat: where plans run in processes, one of these runs one call at a time.
    plans: Vec<Described>,
    states: Arc<MemoryStates>,
    rows: Mutex<PreparedRows>,
}

impl SimulatedNodes {
    /// Nodes with these rows, which have the same columns. The plan is compiled once. Blocks.
    ///
    /// # Errors
    /// [`Error::Sandbox`].
    pub fn new(options: SimulatedOptions, sites: BTreeMap<NodeId, Dataset>) -> Result<Self, Error> {
        let profile = if options.strict { Profile::Strict } else { Profile::Standard };
        let sandbox = options.sandbox.with_profile(profile);
        let describe = || sandbox.describe(&options.component, options.limits.clone());
        let first = describe()?;
        let mut plans = vec![first.clone()];
        for _ in 1..options.seats.max(1) {
            plans.push(match sandbox.program() {
                Some(_) => describe()?,
                None => first.clone(),
            });
        }
        let (states, rows) = (Arc::default(), Mutex::default());
        Ok(Self { options, sites, plans, states, rows })
    }

    /// Their ids, in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = &NodeId> {
        self.sites.keys()
    }

    /// Seats of callers.
    pub fn seats(&self) -> usize {
        self.plans.len()
    }

    /// Answers a question that is not about a round.
    pub fn answer(&self, node: &NodeId, body: &Body) -> Body {
        let refused = |reason, text: String| Body::Refused(refusal(reason, text));
        let Some(dataset) = self.sites.get(node) else {
            return refused(Reason::BadRequest, format!("there is no node {node}"));
        };
        match body {
            Body::Search(request) => {
                let has_all = request.tags.iter().all(|tag| self.options.tags.contains(tag));
                let datasets = has_all.then(|| self.entry(dataset)).into_iter().collect();
                Body::SearchReply(SearchReply { datasets, columns: BTreeMap::new() })
            }
            Body::Approval(request) if request.plan.sha256 == self.options.component.digest() => {
                let (status, note) = (ApprovalStatus::NotRequired, String::new());
                Body::ApprovalReply(ApprovalReply { status, note })
            }
            Body::Ping => Body::Pong,
            _ => {
                let text = "simulated nodes neither take part in secure sums nor tell statistics";
                refused(Reason::Unsupported, text.to_owned())
            }
        }
    }

    /// The facts about a dataset that researchers may know.
    fn entry(&self, dataset: &Dataset) -> DatasetEntry {
        DatasetEntry {
            dataset_id: self.options.dataset.clone(),
            tags: self.options.tags.clone(),
            n_rows: dataset.n_rows(),
            columns: columns_of(dataset.fields()),
            shapes: shapes_of(dataset.fields()),
        }
    }
}
