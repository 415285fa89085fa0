//! Layers with forward and backward.

mod activation;
mod batch_norm;
mod conv2d;
mod dropout;
mod embedding;
mod flatten;
mod frozen;
mod kept;
mod linear;
mod pooling;
mod sequential;
#[cfg(test)]
mod tests;

use crate::{Parameter, PlanError, Random, Result, Tensor};
use kept::Kept;

pub use activation::{Relu, Sigmoid, Tanh};
pub use batch_norm::BatchNorm;
pub use conv2d::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use frozen::Frozen;
pub use linear::Linear;
pub use pooling::{AvgPool2d, MaxPool2d};
pub use sequential::Sequential;

/// Layers by name.
pub type Layers<'a> = Vec<(&'static str, &'a mut dyn Layer)>;

/// A function of tensors, with parameters or without.
///
/// The first axis of inputs and outputs counts the rows of a batch. `forward` keeps what
/// `backward` needs, so each call of `backward` belongs to the `forward` before it. In training a
/// layer of this crate refuses a second `forward` of a batch before the `backward` of the first,
/// whose gradients would be those of the wrong inputs. Call `set_training(false)` around a
/// `forward` that no `backward` follows.
pub trait Layer {
    /// Computes the outputs.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if the inputs have another shape than the layer takes.
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor>;

    /// Adds the gradients of the parameters and returns that of the inputs, given that of the
    /// outputs.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if `gradient` has another shape than the outputs.
    fn backward(&mut self, gradient: Tensor) -> Result<Tensor>;

    /// As [`backward`], where nobody asks for the gradient of the inputs: in the first layer.
    ///
    /// # Errors
    /// As [`backward`].
    ///
    /// [`backward`]: Self::backward
    fn backward_first(&mut self, gradient: Tensor) -> Result<()> {
        self.backward(gradient).map(drop)
    }

    /// The parameters by name, always the same in the same order.
    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        Vec::new()
    }

    /// Draws initial values.
    ///
    /// # Errors
    /// Those of [`Random`].
    fn init(&mut self, _random: &mut Random) -> Result<()> {
        Ok(())
    }

    /// Says whether what follows is training, where dropout and batch normalisation do something
    /// else than in prediction. A new layer is not in training.
    fn set_training(&mut self, _is_training: bool) {}

    /// Shape of one row of inputs, where it is always the same.
    fn input_shape(&self) -> Option<Vec<usize>> {
        None
    }

    /// This layer, which training leaves as it is if `is_frozen`, such as the first layers of a
    /// model that was trained before.
    fn frozen(self, is_frozen: bool) -> Frozen<Self>
    where
        Self: Sized,
    {
        Frozen::new(self, is_frozen)
    }
}

/// Refuses a gradient of another length than the outputs.
fn check_gradient(gradient: &Tensor, shape: &[usize], layer: &str) -> Result<()> {
    if gradient.shape() == shape {
        return Ok(());
    }
    let got = gradient.shape();
    Err(PlanError::BadData(format!("{layer}: gradient of shape {got:?}, outputs of {shape:?}")))
}
