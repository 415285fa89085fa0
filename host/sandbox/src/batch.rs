//! The rows that a plan gets.

use fedwasm_params::Tensor;

/// Rows for a plan.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Rows, at least 1.
    pub rows: u32,
    /// Inputs by name; the first axis of each is `rows`.
    pub inputs: Vec<(String, Tensor)>,
    /// Targets by name; empty for predictions.
    pub targets: Vec<(String, Tensor)>,
}

/// A source of batches. It alone decides their number and order; it reads nothing that a plan
/// chose.
pub trait Loader: Send {
    /// Returns the next batch, or none after the last.
    ///
    /// # Errors
    /// A text for people. The run then ends without a result.
    fn next(&mut self) -> Result<Option<Batch>, String>;
}
