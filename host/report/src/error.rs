//! Why a run cannot be drawn.

/// Why a run cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files of a run.
    #[error(transparent)]
    Record(#[from] fedwasm_record::Error),
    /// A curve cannot be drawn.
    #[error("the curve cannot be drawn: {reason}")]
    Curve {
        /// The plotter's message.
        reason: String,
    },
    /// The operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
