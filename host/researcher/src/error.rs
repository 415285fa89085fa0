//! Why an experiment or a local job has no result.

use std::path::PathBuf;

use fedwasm_protocol::{NodeId, Reason};

use crate::AggregateError;

/// Why an experiment or a local job has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The experiment's file.
    #[error("{}:{reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of parameters.
    #[error("{}: {source}", path.display())]
    Params {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: fedwasm_params::Error,
    },
    /// A local job cannot go on from what a directory holds.
    #[error("cannot resume from {}: {reason}", dir.display())]
    Resume {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A directory holds a run that was interrupted, which would be lost.
    #[error(
        "{} holds a run that was stopped {when}; `--out {} --resume` goes on with it; otherwise name another directory, or delete it",
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
        "{} holds a finished run; name another directory, go on with `--resume` and more `epochs`, \
         or write over it with `--force`",
        dir.display()
    )]
    Finished {
        /// The directory.
        dir: PathBuf,
    },
    /// There is nothing to go on from.
    #[error("--resume goes on from what --out DIR holds; name the directory")]
    ResumeWhat,
    /// The plan is not admitted.
    #[error("{}: {source}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: fedwasm_artifact::AdmissionError,
    },
    /// The plan, its arguments, the data or the round.
    #[error(transparent)]
    Training(#[from] fedwasm_training::Error),
    /// Broker or repository.
    #[error(transparent)]
    Transport(#[from] fedwasm_transport::Error),
    /// Keys and signatures.
    #[error(transparent)]
    Trust(#[from] fedwasm_trust::Error),
    /// An experiment is not what its files say.
    #[error("round {round}: {reason}")]
    Unverified {
        /// The round; 0 for what comes before the first.
        round: u32,
        /// What does not hold.
        reason: String,
    },
    /// There is nothing to compute an experiment again from.
    #[error("{}: {reason}", dir.display())]
    NoUploads {
        /// The directory of the run.
        dir: PathBuf,
        /// What it is, and what to do.
        reason: &'static str,
    },
    /// Nobody to ask as.
    #[error(
        "whose experiment is it? `fedwasm keys generate DIR --as researcher-NAME` makes a key; name \
         DIR as `identity` of [network], or with --identity; only a federation on this machine accepts any participant, and \
         {repository} is none"
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
        /// Whose key it is.
        participant: fedwasm_protocol::Participant,
    },
    /// A breakpoint of somebody else.
    #[error(
        "the breakpoint is of researcher {theirs}, and this is {ours}: nodes give their states to \
         the researcher alone whose they are; set `identity` of [network] to that one's"
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
    /// An aggregator that this program does not have.
    #[error(
        "{rounds} rounds cannot be computed again: `{name}` is an aggregator of the researcher's \
         own, which is not in this program; all else holds: the uploads are those that the history \
         names, {receipts} receipts say the same, and so do the scores"
    )]
    OwnAggregator {
        /// Its name.
        name: String,
        /// The rounds that it made.
        rounds: u32,
        /// The receipts that were checked.
        receipts: u32,
    },
    /// Parameters were given twice.
    #[error("parameters were given and so was the file {}; give one of them", file.display())]
    BothParameters {
        /// The file.
        file: PathBuf,
    },
    /// Parameters are not what the plan declares.
    #[error("the parameters are not those of the plan: {0}")]
    Shapes(fedwasm_params::Error),
    /// Aggregator and plan do not go together.
    #[error("auxiliary variables: {reason}")]
    AuxVars {
        /// Why not.
        reason: String,
    },
    /// The broker was gone when a deadline passed.
    #[error("the connection to the broker is lost, and nothing can be waited for: {reason}")]
    BrokerLost {
        /// What the connection said last.
        reason: String,
    },
    /// Early stopping looks at a metric that there is not.
    #[error("{0}")]
    EarlyStopping(String),
    /// Something is to be written, and nobody said where.
    #[error("`{key}` is set, but there is no directory for it; give one with --out")]
    NoOut {
        /// What wants to write.
        key: &'static str,
    },
    /// The directory for results is in use.
    #[error("another program writes into {}", dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
    },
    /// An experiment that failed is to go on.
    #[error("the experiment failed before; go on from its newest breakpoint")]
    Failed,
    /// Differential privacy is asked for.
    #[error("`dp_args` is given, but a local job enforces no differential privacy; leave it out")]
    DpArgs,
    /// A breakpoint.
    #[error("{}: {reason}", path.display())]
    Breakpoint {
        /// Its directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
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
        /// At what point.
        when: &'static str,
        /// The nodes that are not, and why.
        refused: Vec<(NodeId, Reason, String)>,
        /// The nodes that have no data for it, and what says so.
        strangers: Vec<(NodeId, String)>,
    },
    /// The directory for results.
    #[error("results cannot be written: {0}")]
    Out(std::io::Error),
    /// Aggregation.
    #[error("the updates cannot be aggregated: {0}")]
    Aggregation(#[from] AggregateError),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A curve cannot be drawn.
    #[error("the curve cannot be drawn: {reason}")]
    Curve {
        /// What the plotter says.
        reason: String,
    },
    /// A thread of ours broke off.
    #[error("internal error: {reason}")]
    Internal {
        /// What happened.
        reason: String,
    },
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

/// One line for each reason, with the nodes that gave it.
fn refusals(
    refused: &[(NodeId, Reason, String)],
    strangers: &[(NodeId, String)],
    got: usize,
) -> String {
    if refused.is_empty() && strangers.is_empty() && got == 0 {
        return "; no node is connected, is `fedwasm node start` running?".to_owned();
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
