//! Modules with a function.

mod activation;
mod attention;
mod conv;
mod dropout;
mod embedding;
mod linear;
#[cfg(test)]
mod module_tests;
mod norm;
mod pooling;
mod recurrent;
mod sequential;
#[cfg(test)]
mod tests;

use crate::{Init, Module, PlanError, Tensor, engine};

pub use activation::{Elu, Flatten, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
pub use attention::{Attention, MultiheadAttention, TransformerEncoderLayer};
pub use conv::{Conv, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm};
pub use pooling::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AdaptiveMaxPool3d, AdaptivePool, AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d,
    MaxPool3d, Pool, Upsample,
};
#[doc(hidden)]
pub use recurrent::Cell as RecurrentCell;
pub use recurrent::{Gru, Lstm, Recurrent, Rnn, States};
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

/// Sizes along `N` axes: one number for all of them, or an array.
pub trait Along<const N: usize> {
    /// A size for each axis.
    fn along(self) -> [usize; N];
}

impl<const N: usize> Along<N> for usize {
    fn along(self) -> [usize; N] {
        [self; N]
    }
}

impl<const N: usize> Along<N> for [usize; N] {
    fn along(self) -> [usize; N] {
        self
    }
}

/// Where the weights of so many inputs start, PyTorch's default: U(-k, k), k = 1/√inputs.
fn fan_in(inputs: usize) -> Init {
    Init::Uniform(f64::from(1.0 / (inputs as f32).sqrt()))
}

/// Notes that a layer does not take a tensor.
#[track_caller]
fn refuse(x: &Tensor, layer: &str, takes: &str) -> Tensor {
    if x.held().is_some() {
        let text = format!("{layer} takes {takes}, not {:?}", x.shape());
        engine::note(PlanError::Internal(text));
    }
    Tensor::failed()
}
