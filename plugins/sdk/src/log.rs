//! Lines for those who watch.

pub use crate::bindings::fedwasm::training_plan::monitor::Level;

/// Writes a line to the host's log. Lines are bounded in number and length; what is beyond is cut
/// or dropped. At a node they stay there, in its log.
///
/// Printing goes nowhere: a plan has no standard output.
pub fn log(level: Level, line: &str) {
    crate::imports::log(level, line);
}
