//! Rows of any shape as lines.

use super::{Kept, Layer, check_gradient};
use crate::{PlanError, Result, Tensor};

/// Makes [rows, columns] of [rows, ...], as `torch.nn.Flatten`.
#[derive(Clone, Debug, Default)]
pub struct Flatten {
    shape: Kept<Vec<usize>>,
}

impl Flatten {
    /// Returns the layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Rows and columns; a tensor's axes do not overflow.
fn lines(shape: &[usize]) -> [usize; 2] {
    [shape.iter().take(1).product(), shape.iter().skip(1).product()]
}

impl Layer for Flatten {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        if inputs.shape().is_empty() {
            return Err(PlanError::BadData("Flatten takes [rows, ...], not []".into()));
        }
        self.shape.keep(inputs.shape().to_vec(), "Flatten")?;
        let lines = lines(inputs.shape());
        inputs.reshape(&lines)
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        let shape = self.shape.take("Flatten")?;
        check_gradient(&gradient, &lines(&shape), "Flatten")?;
        gradient.reshape(&shape)
    }

    fn set_training(&mut self, is_training: bool) {
        self.shape.set_training(is_training);
    }
}
