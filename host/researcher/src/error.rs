//! Errors of experiments.

use std::path::PathBuf;

use fedwasm_protocol::{NodeId, Reason};

use crate::AggregateError;

/// Why an experiment has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan, its arguments, the data or the round.
    #[error(transparent)]
    Training(#[from] fedwasm_training::Error),
    /// Broker or repository.
    #[error(transparent)]
    Transport(#[from] fedwasm_transport::Error),
    /// Keys and signatures.
    #[error(transparent)]
    Trust(#[from] fedwasm_trust::Error),
    /// The researcher's key is missing.
    #[error(
        "the researcher's key is missing; create one with `fedwasm keys generate DIR --as \
         researcher-NAME`, and name DIR as `identity` of [network] or with --identity; only a \
         federation on this machine accepts any participant, and {repository} is not on this \
         machine"
    )]
    NoIdentity {
        /// The repository.
        repository: String,
    },
    /// The key is a node's, or another's.
    #[error("{} holds the key of {participant}, which is not a researcher", dir.display())]
    NoResearcher {
        /// The directory.
        dir: PathBuf,
        /// The owner of the key.
        participant: fedwasm_protocol::Participant,
    },
    /// The breakpoint belongs to another researcher.
    #[error(
        "the breakpoint belongs to researcher {theirs}, and this is {ours}: nodes give a state \
         only to its own researcher; set `identity` of [network] to that researcher's key"
    )]
    OtherResearcher {
        /// Of the breakpoint.
        theirs: fedwasm_protocol::ResearcherId,
        /// Of the identity.
        ours: fedwasm_protocol::ResearcherId,
    },
    /// Arguments cannot be changed between rounds.
    #[error("these arguments cannot be changed: {reason}")]
    Change {
        /// Why not.
        reason: String,
    },
    /// A strategy of the caller's own chooses no nodes.
    #[error("{strategy}: {source}")]
    Strategy {
        /// The strategy.
        strategy: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Parameters were given twice.
    #[error("parameters were given beside the file {}; give only one of them", file.display())]
    BothParameters {
        /// The file.
        file: PathBuf,
    },
    /// Aggregator and plan do not go together.
    #[error("auxiliary variables: {reason}")]
    AuxVars {
        /// Why not.
        reason: String,
    },
    /// The broker was gone when a deadline passed.
    #[error("the connection to the broker is lost, so no reply can arrive: {reason}")]
    BrokerLost {
        /// The last error of the connection.
        reason: String,
    },
    /// Broker or repository were away for too long.
    #[error("{source}; waited for {patience_s} s (`strategy.patience_s`), in vain")]
    Outage {
        /// How long the experiment waited.
        patience_s: u64,
        /// The failure that it waited for to pass.
        source: Box<Error>,
    },
    /// Early stopping uses a metric that does not exist.
    #[error("{0}")]
    EarlyStopping(String),
    /// Files are to be written, but no directory is given.
    #[error("`{key}` is set, but its files need a directory; give one with --out")]
    NoOut {
        /// The setting that writes files.
        key: &'static str,
    },
    /// A failed experiment cannot continue.
    #[error("the experiment failed before; resume it from its newest breakpoint")]
    Failed,
    /// Too few rows.
    #[error("{got} training rows of at least {min} took part in round {round}")]
    NotEnoughSamples {
        /// The round.
        round: u32,
        /// Rows.
        got: u64,
        /// `strategy.min_samples`.
        min: u64,
    },
    /// Too few nodes.
    #[error("{got} of at least {min} nodes {when}{}", refusals(refused, strangers, *got))]
    NotEnoughNodes {
        /// Nodes that are left.
        got: usize,
        /// `strategy.min_nodes`, or how many nodes that means.
        min: usize,
        /// The stage of the experiment.
        when: &'static str,
        /// The nodes that are not, and why.
        refused: Vec<(NodeId, Reason, String)>,
        /// The nodes without data for it, and the reason.
        strangers: Vec<(NodeId, String)>,
    },
    /// A secure sum: settings, keys, or a part that is wrong.
    #[error("secure aggregation: {0}")]
    Secagg(#[from] fedwasm_privacy::Error),
    /// The plan, the aggregator or a setting does not go together with secure aggregation.
    #[error("secure aggregation: {reason}")]
    Unsummable {
        /// Why not.
        reason: String,
    },
    /// Nodes whose masks are in a sum did not deliver, and no other set may be asked.
    #[error(
        "the secure sum of round {round} lacks the part of {}; every part of its {n} nodes carries \
         masks for the others, and no smaller set is asked for the same round: a part that is only \
         late would then be told by the difference of two sums\nhelp: wait until {} and \
         continue with --resume, or start anew with another `random_seed`",
        with_reasons(missing),
        match missing.len() { 1 => "this node is back", _ => "these nodes are back" }
    )]
    PartMissing {
        /// The round.
        round: u32,
        /// How many nodes the sum is of.
        n: usize,
        /// The nodes whose parts are missing, and why.
        missing: Vec<(NodeId, String)>,
    },
    /// Aggregation.
    #[error("the updates cannot be aggregated: {0}")]
    Aggregation(#[from] AggregateError),
    /// The experiment was told to stop.
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
    /// A file of an experiment, or one that it reads.
    #[error(transparent)]
    Record(#[from] fedwasm_record::Error),
    /// A curve or a page.
    #[error(transparent)]
    Report(#[from] fedwasm_report::Error),
}

impl Error {
    /// Whether the experiment ended for something that was away or for the caller, and can go on
    /// from here.
    pub(crate) fn is_resumable(&self) -> bool {
        match self {
            Self::Cancelled | Self::Outage { .. } | Self::BrokerLost { .. } => true,
            Self::Transport(error) => error.is_passing(),
            _ => false,
        }
    }
}

impl From<fedwasm_sandbox::Error> for Error {
    fn from(error: fedwasm_sandbox::Error) -> Self {
        Self::Training(error.into())
    }
}

/// Nodes with their reasons, in one sentence.
fn with_reasons(nodes: &[(NodeId, String)]) -> String {
    let each = nodes.iter().map(|(node, reason)| format!("{node} ({reason})"));
    each.collect::<Vec<_>>().join(", ")
}

/// One line for each reason, with the nodes that gave it.
fn refusals(
    refused: &[(NodeId, Reason, String)],
    strangers: &[(NodeId, String)],
    got: usize,
) -> String {
    if refused.is_empty() && strangers.is_empty() && got == 0 {
        return "; no node is connected: check that `fedwasm node start` is running".to_owned();
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    let refused = refused.iter().map(|(node, _, message)| (node, message));
    for (node, message) in refused.chain(strangers.iter().map(|(node, text)| (node, text))) {
        match reasons.iter_mut().find(|(known, _)| known == message) {
            Some((_, nodes)) => nodes.push(node.as_str()),
            None => reasons.push((message, vec![node.as_str()])),
        }
    }
    let line =
        |(message, nodes): &(&str, Vec<&str>)| format!("\n  {}: {message}", nodes.join(", "));
    reasons.iter().map(line).collect()
}
