//! Events of a running plan.

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

/// An event of a running plan.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanEvent {
    /// A line from the plan, without control characters, cut to the limit.
    Log(Level, String),
    /// Numbers from the plan about the batch that it was given last.
    Scalars {
        /// Batches given so far.
        step: u64,
        /// The finite ones among the numbers.
        values: Vec<(String, f64)>,
    },
}
