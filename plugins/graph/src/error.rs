//! Why bytes are not a graph, or a graph cannot be run.

use alloc::string::String;
use core::fmt;

use crate::text::Shown;

/// Why bytes are not a graph, or a graph cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not a graph.
    Malformed {
        /// Where, in bytes from the start.
        offset: usize,
        /// The rule that they break.
        rule: &'static str,
    },
    /// A graph that breaks a rule.
    Refused {
        /// The part of the graph, such as "node 3 of predict".
        at: String,
        /// The rule that it breaks.
        rule: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { offset, rule } => write!(f, "byte {offset} of the graph: {rule}"),
            // Both may have words of the author in them.
            Self::Refused { at, rule } => write!(f, "{}: {}", Shown(at), Shown(rule)),
        }
    }
}

impl core::error::Error for Error {}
