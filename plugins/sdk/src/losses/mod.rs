//! Losses: each returns its mean over a batch, and the gradient of that mean.

mod cross_entropy;
mod elementwise;
#[cfg(test)]
mod tests;

pub use cross_entropy::cross_entropy;
pub use elementwise::{binary_cross_entropy, huber, mae, mse};
