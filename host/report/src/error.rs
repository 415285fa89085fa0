//! Why a run cannot be drawn.

/// Why a run cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What a run left.
    #[error(transparent)]
    Record(#[from] fedwasm_record::Error),
    /// A curve cannot be drawn.
    #[error("the curve cannot be drawn: {reason}")]
    Curve {
        /// What the plotter says.
        reason: String,
    },
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
