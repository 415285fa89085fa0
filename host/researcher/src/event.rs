//! Events of an experiment.

use std::collections::BTreeMap;

use fedwasm_protocol::{ExperimentId, NodeId, Point, SecaggScheme};

use crate::{RoundRecord, ScoreRecord};

/// An event of an experiment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The nodes are chosen and the rounds begin.
    Started {
        /// The experiment's id at the nodes.
        experiment_id: ExperimentId,
        /// Rows of each node.
        nodes: BTreeMap<NodeId, u64>,
        /// Where all randomness comes from.
        random_seed: u64,
        /// The rounds that an earlier run did; 0 without a breakpoint.
        rounds_done: u32,
    },
    /// A node does not take part, or no longer.
    Dropped {
        /// The node.
        node: NodeId,
        /// The round; 0 before the first.
        round: u32,
        /// Why.
        reason: String,
    },
    /// A node that was gone takes part again.
    Returned {
        /// The node.
        node: NodeId,
        /// The round.
        round: u32,
    },
    /// A node is at work.
    Progress {
        /// The node.
        node: NodeId,
        /// The round.
        round: u32,
        /// Batches so far.
        steps: u64,
        /// Batches of the round.
        steps_max: u64,
        /// The newest loss.
        loss: Option<f64>,
        /// Numbers of some of the batches since the last such event.
        points: Vec<Point>,
    },
    /// A node does something otherwise than asked for, or a file of ours is
    /// not as it should be.
    Warning(String),
    /// Nodes agreed upon the keys of a secure sum.
    Agreed {
        /// The round.
        round: u32,
        /// How their parts are hidden.
        scheme: SecaggScheme,
        /// The nodes.
        n_nodes: usize,
        /// Milliseconds that it took.
        ms: f64,
    },
    /// A round did not count and is tried again.
    Retry {
        /// The round.
        round: u32,
        /// Why it did not count.
        reason: String,
        /// How often it will still be tried.
        left: u32,
    },
    /// Something is away, and waited for: it costs none of the retries.
    Waiting {
        /// The round; 0 before the first.
        round: u32,
        /// The part that is away, and why.
        reason: String,
        /// For how many seconds it is still waited for.
        left_s: u64,
    },
    /// The initial parameters were scored.
    Initial(Box<ScoreRecord>),
    /// A round is over.
    Round(Box<RoundRecord>),
    /// No further rounds are needed.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Takes events.
pub type Events<'a> = &'a mut (dyn FnMut(Event) + Send);
