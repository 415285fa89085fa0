//! Rows of any shape as lines.

use super::{Layer, kept};
use crate::{Result, Tensor};

/// Makes [rows, columns] of [rows, ...], as `torch.nn.Flatten`.
#[derive(Clone, Debug, Default)]
pub struct Flatten {
    shape: Option<Vec<usize>>,
}

impl Flatten {
    /// Returns the layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Layer for Flatten {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        self.shape = Some(inputs.shape().to_vec());
        let (rows, columns) = (inputs.rows(), inputs.shape().iter().skip(1).product());
        inputs.reshape(&[rows, columns])
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        gradient.reshape(&kept(self.shape.take(), "Flatten")?)
    }
}
