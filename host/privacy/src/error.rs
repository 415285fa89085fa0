//! Why something does not leave a node, or does not count at the researcher.

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
        /// What it must be.
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
        /// What the lane says; any number if a mask is wrong.
        got: u64,
        /// How many nodes there are.
        expected: u32,
    },
    /// The sum of weights is larger than it can be.
    #[error("the weights sum to {got}, at most {max} are possible: a part is wrong or altered")]
    Weight {
        /// What the lane says.
        got: u64,
        /// The most there can be.
        max: u64,
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
