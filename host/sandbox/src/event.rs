//! What a plan tells while it runs.

use serde::{Deserialize, Serialize};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// For the plan's author.
    Debug,
    /// Worth reading.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}

/// What happens while a plan runs.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanEvent {
    /// A line from the plan, without control characters, cut to the limit.
    Log(Level, String),
    /// Numbers from the plan about the batch that it was given last.
    Scalars {
        /// Batches handed out so far.
        step: u64,
        /// The finite ones among the numbers.
        values: Vec<(String, f64)>,
    },
}
