//! Model parameters.

use crate::{Result, Tensor};

/// A tensor of the model and the gradient of the loss with respect to it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The value; any shape.
    pub value: Tensor,
    /// The gradient; the shape of `value`, and empty for a buffer. Zero at the start of each step.
    pub gradient: Tensor,
    /// Whether it stays at the node, whatever [`crate::TrainingPlan::scope`] says.
    pub is_local: bool,
    /// Whether training leaves it as it is. A frozen one is declared as not trainable; [`Layer::frozen`]
    /// freezes those of a layer.
    ///
    /// [`Layer::frozen`]: crate::Layer::frozen
    pub is_frozen: bool,
}

impl Parameter {
    /// Returns a parameter of zeros.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        let (value, gradient) = (Tensor::zeros(shape)?, Tensor::zeros(shape)?);
        Ok(Self { value, gradient, is_local: false, is_frozen: false })
    }

    /// Returns a buffer: training changes it, but not along a gradient, such as running means.
    /// No optimizer, proximal term or control variate applies to it.
    #[must_use]
    pub fn buffer(value: Tensor) -> Self {
        Self { value, gradient: Tensor::empty(), is_local: false, is_frozen: false }
    }

    /// Whether it has no gradient.
    #[must_use]
    pub fn is_buffer(&self) -> bool {
        self.gradient.data().len() != self.value.data().len()
    }

    /// Whether steps of the optimizer move it.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        !self.is_frozen && !self.is_buffer()
    }
}
