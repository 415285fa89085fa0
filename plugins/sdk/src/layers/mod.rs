//! Modules with a function.

mod activation;
mod linear;
mod sequential;
#[cfg(test)]
mod tests;

use crate::{Module, Tensor};

pub use activation::{Elu, Flatten, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
pub use linear::Linear;
pub use sequential::Sequential;

/// A module that is a function of one tensor.
///
/// The first axis of input and output counts the rows of a batch.
pub trait Layer: Module {
    /// Computes the output.
    #[must_use]
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor;
}

impl<L: Layer + ?Sized> Layer for Box<L> {
    fn forward(&self, x: &Tensor) -> Tensor {
        (**self).forward(x)
    }
}
