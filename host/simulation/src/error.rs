//! Why a simulation cannot run.

/// Why a simulation cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rule that deals rows does not fit the data or the number of nodes.
    #[error("--split {split}: {reason}")]
    Split {
        /// The rule.
        split: String,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// The number of nodes.
    #[error("--nodes {got}: a simulation has 1 to {max} nodes")]
    Nodes {
        /// How many are asked for.
        got: usize,
        /// The most.
        max: usize,
    },
    /// The experiment asks for something that needs keys.
    #[error(
        "{what}, and simulated nodes have no keys: leave `{key}` out of the experiment's file for a \
         simulation"
    )]
    NeedsKeys {
        /// What it asks for.
        what: &'static str,
        /// Where.
        key: &'static str,
    },
    /// The data.
    #[error(transparent)]
    Data(#[from] fedwasm_dataset::Error),
    /// The nodes.
    #[error(transparent)]
    Node(#[from] fedwasm_node::Error),
    /// The experiment.
    #[error(transparent)]
    Researcher(#[from] Box<fedwasm_researcher::Error>),
    /// The picture.
    #[error(transparent)]
    Report(#[from] fedwasm_report::Error),
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<fedwasm_researcher::Error> for Error {
    fn from(error: fedwasm_researcher::Error) -> Self {
        Self::Researcher(Box::new(error))
    }
}
