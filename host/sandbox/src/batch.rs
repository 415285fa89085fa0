//! The rows that a plan is handed.

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

/// Where batches come from. It alone decides how many there are and in which
/// order; it reads nothing that a plan chose.
pub trait Loader: Send {
    /// Returns the next batch, or none when there are no more.
    ///
    /// # Errors
    /// A text for people. The run then ends without a result.
    fn next(&mut self) -> Result<Option<Batch>, String>;
}
