//! The steps of a round as types. Each step takes the result of the one before, so that none can be
//! left out or done twice: nodes are asked, train, their updates are aggregated, the model is
//! stored and the round counts, it is scored, and only then there is a record of it.

use std::collections::BTreeMap;
use std::time::Duration;

use fedwasm_aggregate::{AuxVars, Samples};
use fedwasm_params::Params;
use fedwasm_protocol::{BlobRef, Digest, Evaluation, NodeId, RoundReply};
use fedwasm_record::{Reply, RoundRecord, SecaggRecord, combine};

/// The nodes of a round, and the auxiliary variables for them.
#[must_use]
#[derive(Debug)]
pub(crate) struct Sampled {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) aux: AuxVars,
}

/// Nodes have trained; what they uploaded lies in the repository, or came with their answers.
/// Nothing has changed yet.
#[must_use = "a round that is not fetched and counted did not happen"]
#[derive(Debug)]
pub struct TrainedRound {
    pub(crate) round: u32,
    pub(crate) answers: BTreeMap<NodeId, (RoundReply, Duration)>,
    /// Of those whose updates were fetched, without their parameters.
    pub(crate) replies: BTreeMap<NodeId, Reply>,
    pub(crate) send_ms: f64,
    pub(crate) download_ms: f64,
}

impl TrainedRound {
    pub(crate) fn new(
        round: u32,
        answers: BTreeMap<NodeId, (RoundReply, Duration)>,
        send_ms: f64,
    ) -> Self {
        Self { round, answers, replies: BTreeMap::new(), send_ms, download_ms: 0.0 }
    }

    /// The rows that each node trained on.
    pub fn samples(&self) -> Samples {
        self.answers.iter().map(|(node, (reply, _))| (node.clone(), reply.n_samples)).collect()
    }

    /// The answer of each node.
    pub fn answers(&self) -> impl Iterator<Item = (&NodeId, &RoundReply)> {
        self.answers.iter().map(|(node, (reply, _))| (node, reply))
    }

    /// Nodes whose updates are in the round.
    pub fn n_nodes(&self) -> usize {
        self.answers.len()
    }

    pub(crate) fn into_replies(self) -> Replies {
        let Self { answers, replies: by_node, send_ms, download_ms, .. } = self;
        let uploaded = |(node, (reply, _))| Some((node, Uploaded::of(reply)?));
        let uploads = answers.into_iter().filter_map(uploaded).collect();
        Replies { by_node, uploads, send_ms, download_ms }
    }
}

/// Where the parameters of a reply are: in the repository, unless the message carried them.
#[derive(Clone, Debug)]
pub(crate) struct Uploaded {
    pub(crate) blob: BlobRef,
    pub(crate) inline: Option<Vec<u8>>,
}

impl Uploaded {
    /// None if the reply has no parameters.
    pub(crate) fn of(reply: RoundReply) -> Option<Self> {
        Some(Self { blob: reply.params?, inline: reply.params_inline })
    }
}

/// The replies of the nodes whose updates were fetched.
#[must_use = "`Job::count` has nodes go on from here"]
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// By node.
    pub by_node: BTreeMap<NodeId, Reply>,
    pub(crate) uploads: BTreeMap<NodeId, Uploaded>,
    /// Time that storing and sending took, in milliseconds.
    pub send_ms: f64,
    /// Time that fetching took, in milliseconds.
    pub download_ms: f64,
}

/// One model was made of the updates. The aggregator has moved on; nodes and parameters have not.
#[must_use]
#[derive(Debug)]
pub(crate) struct Aggregated {
    pub(crate) replies: Replies,
    pub(crate) receipts: BTreeMap<NodeId, Vec<u8>>,
    pub(crate) params: Params,
    /// The sum that it comes from, under secure aggregation.
    pub(crate) secagg: Option<SecaggRecord>,
}

/// The model is stored, and nodes continue from the states of this round.
#[must_use]
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) params_sha256: Digest,
    pub(crate) receipts: BTreeMap<NodeId, Vec<u8>>,
    pub(crate) secagg: Option<SecaggRecord>,
}

/// Scores of one model: of each node, or the sum of them under secure aggregation.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    pub(crate) of_nodes: BTreeMap<NodeId, RoundReply>,
    pub(crate) sum: Option<SecaggRecord>,
}

impl Scores {
    /// Puts them into the record of their round.
    pub(crate) fn put(self, record: &mut RoundRecord) {
        record.evaluation = self.evaluation();
        record.scored_secagg = self.sum;
        for (node, reply) in self.of_nodes {
            match record.nodes.get_mut(&node) {
                Some(trained) => trained.global_evaluation = reply.evaluation,
                None => record.scored.extend(reply.evaluation.map(|of_node| (node, of_node))),
            }
        }
    }

    /// On all held-out rows.
    pub(crate) fn evaluation(&self) -> Option<Evaluation> {
        if let Some(sum) = &self.sum {
            return sum.evaluation.clone();
        }
        let all = self.of_nodes.values().filter_map(|reply| reply.evaluation.as_ref());
        combine(&all.collect::<Vec<_>>())
    }
}

/// Nodes have scored the model, or were not asked to, or failed to.
#[must_use]
#[derive(Debug)]
pub(crate) struct Scored {
    pub(crate) counted: Counted,
    pub(crate) scores: Scores,
    /// The round counts, with or without scores.
    pub(crate) failed: Option<crate::Error>,
}
