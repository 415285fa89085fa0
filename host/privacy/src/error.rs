//! Why something does not leave a node, or does not count at the researcher.

use fedwasm_protocol::{Digest, NodeId};

use crate::Stream;

/// An error of another room, kept as the source of one of this room.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why something does not leave a node, or does not count at the researcher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside of what it may be.
    #[error("`{name}` is {got}, it must be {rule}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        got: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Tensors of an update do not fit those it started from.
    #[error(transparent)]
    Params(#[from] fedwasm_params::Error),
    /// A value of an update is NaN or infinite.
    #[error("value {at} of the update of `{name}` is not finite")]
    NotFinite {
        /// The parameter.
        name: String,
        /// Position in the parameter, row-major, from 0.
        at: usize,
    },
    /// A value of an update is NaN or infinite.
    #[error("value {at} is not finite")]
    NotFiniteAt {
        /// Position among all values, from 0.
        at: usize,
    },
    /// A value does not fit into the range that was agreed upon.
    #[error("value {at} is beyond ± {range}")]
    BeyondRange {
        /// Position among all values, from 0.
        at: usize,
        /// The range.
        range: f64,
    },
    /// Something has another length than it must.
    #[error("{got} {what}, expected {expected}")]
    Length {
        /// Of these things.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The sum is of another number of nodes.
    #[error("the sum counts {got} nodes and not {expected}: a part is missing, wrong or altered")]
    Count {
        /// The value of the lane; any number if a mask is wrong.
        got: u64,
        /// How many nodes there are.
        expected: u32,
    },
    /// The sum of weights is larger than it can be.
    #[error("the weights sum to {got}, at most {max} are possible: a part is wrong or altered")]
    Weight {
        /// The value of the lane.
        got: u64,
        /// The most there can be.
        max: u64,
    },
    /// Noise is to be added to an update of a weight that tells of the data.
    #[error("noise is for updates of weight 1, this one has {got}")]
    NoisyWeight {
        /// The weight.
        got: u64,
    },
    /// No node has any weight.
    #[error("all weights are 0, so there is no mean")]
    NoWeight,
    /// A sum is outside of what values within the range can sum to.
    #[error("sum {at} is beyond what the nodes can sum to: a part is missing, wrong or altered")]
    Sum {
        /// Position of the lane, from 0.
        at: usize,
    },
    /// The sum has another check value than the nodes were given.
    #[error("the check value is {got} and not {expected}: a part is missing, wrong or altered")]
    Check {
        /// The mean of what nodes masked.
        got: f64,
        /// The value that they were given.
        expected: f64,
    },
    /// Arguments cannot be written as the bytes that masks are bound to.
    #[error(transparent)]
    Encoding(#[from] fedwasm_protocol::EnvelopeError),
    /// Too few or too many nodes for a sum.
    #[error("{got} nodes, a sum needs {min} to {max}: of two, each learns the other's part")]
    Parties {
        /// Nodes that there are.
        got: usize,
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A node is not one of those that were agreed upon.
    #[error("node `{node}` is not one of this sum")]
    NotAParty {
        /// The node.
        node: NodeId,
    },
    /// A node is named twice, or sent something twice.
    #[error("{what} of node `{node}` twice")]
    Twice {
        /// The node.
        node: NodeId,
        /// The repeated object, such as `keys`.
        what: &'static str,
    },
    /// Nodes have not sent something.
    #[error("{what} of {} missing", names(nodes))]
    Missing {
        /// The missing object, such as `keys`.
        what: &'static str,
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// A vector is missing, or was not asked for.
    #[error("the vector {stream:?} {fault}")]
    Stream {
        /// The purpose of the vector.
        stream: Stream,
        /// The reason.
        fault: &'static str,
    },
    /// The vectors are to have another layout than masks are bound to.
    #[error("the layout of vectors is not the one that masks are bound to")]
    Layout,
    /// A signature is not the node's, or of something else: another context, roster, set of nodes,
    /// scheme or round.
    #[error("the signature of `{node}` on its {what} does not fit this round")]
    Signature {
        /// The node.
        node: NodeId,
        /// The signed object.
        what: &'static str,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The node's identity does not sign.
    #[error("cannot sign")]
    CannotSign {
        /// Why.
        #[source]
        cause: Cause,
    },
    /// Two nodes have one key.
    #[error("nodes `{node}` and `{other}` have the same key")]
    SameKey {
        /// A node.
        node: NodeId,
        /// The one whose key was seen first.
        other: NodeId,
    },
    /// The keys passed on as this node's are not its own.
    #[error("this node's own keys are missing or altered")]
    OwnKeys,
    /// A key gives the same secret to everybody.
    #[error("the key of node `{node}` is of small order")]
    WeakKey {
        /// The node.
        node: NodeId,
    },
    /// Fewer shares than give the secret.
    #[error("{got} shares, {needed} are needed")]
    TooFewShares {
        /// Shares that there are.
        got: usize,
        /// The threshold.
        needed: usize,
    },
    /// A share does not fit the others.
    #[error("the share at point {point} {fault}")]
    SharePoint {
        /// Its point.
        point: u8,
        /// The reason.
        fault: &'static str,
    },
    /// So low a threshold lets a researcher unmask single updates.
    #[error("a threshold of {got} of {n} nodes, at least {min} are needed")]
    Threshold {
        /// The threshold.
        got: usize,
        /// The least.
        min: usize,
        /// How many nodes there are.
        n: usize,
    },
    /// Too few nodes are left.
    #[error("{step} of {got} nodes, {needed} are needed; lost: {}", names(lost))]
    TooFewLeft {
        /// The objects that are counted, such as `shares`.
        step: &'static str,
        /// How many are left.
        got: usize,
        /// The threshold.
        needed: usize,
        /// The others.
        lost: Vec<NodeId>,
    },
    /// The shares of a node are not one for each other node, or do not open: they are altered, of
    /// another sender, for another node, or of another round.
    #[error("the shares of `{node}` are missing, altered, or of something else")]
    SharesOf {
        /// The node that they should be of.
        node: NodeId,
    },
    /// A node is said to have survived and to be lost: both its secrets would be revealed.
    #[error("node `{node}` is listed as alive and as dropped")]
    AliveAndDropped {
        /// The node.
        node: NodeId,
    },
    /// This node sent its vectors and is said to be lost.
    #[error("this node is listed as dropped")]
    DroppedMyself,
    /// A node does not reveal one share of each other node, of the right secret.
    #[error("`{node}` does not reveal the shares that are asked for")]
    Revealed {
        /// The node that held the shares.
        node: NodeId,
    },
    /// A revealed share is not the one that its owner committed to.
    #[error("`{holder}` reveals another share of `{owner}` than it was given")]
    ShareAltered {
        /// The owner of the secret.
        owner: NodeId,
        /// The node that held the share.
        holder: NodeId,
    },
    /// Shares that are as their owner gave them out are not of the secret that it committed to.
    #[error("`{node}` gave out shares of something else than its secret")]
    SecretAltered {
        /// The owner.
        node: NodeId,
    },
    /// A node's masked vectors cannot be loaded, or are not those of the sum.
    #[error("the masked vectors of `{node}` cannot be taken")]
    Upload {
        /// The node.
        node: NodeId,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The keys are of another sum.
    #[error("the keys are of the sum {signed}, and the round is of {asked}")]
    Context {
        /// The sum of the round.
        asked: Digest,
        /// The sum of the keys.
        signed: Digest,
    },
    /// The pads of a round are used up.
    #[error("the pads of round {round} have been used: they serve once")]
    PadUsed {
        /// The round.
        round: u64,
    },
    /// The use of a pad was not written down, so it is not used.
    #[error("the use of a pad is not on disk")]
    Journal {
        /// Why.
        #[source]
        cause: Cause,
    },
}

/// Nodes, for a sentence.
fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| format!("`{node}`")).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// A [`Error::Setting`].
    pub(crate) fn setting(
        name: &'static str,
        got: impl std::fmt::Display,
        rule: &'static str,
    ) -> Self {
        Self::Setting { name, got: got.to_string(), rule }
    }
}
