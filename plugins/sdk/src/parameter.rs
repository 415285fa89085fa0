//! Model parameters.

use crate::{Result, Tensor};

/// A trainable tensor and the gradient of the loss with respect to it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The value; any shape.
    pub value: Tensor,
    /// The gradient; the shape of `value`. Zero at the start of each step.
    pub gradient: Tensor,
}

impl Parameter {
    /// Returns a parameter of zeros.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        Ok(Self { value: Tensor::zeros(shape)?, gradient: Tensor::zeros(shape)? })
    }
}
