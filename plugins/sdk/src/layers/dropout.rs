//! Units that are left out by chance.

use fedwasm_kernels::elementwise;

use super::{Kept, Layer, check_gradient};
use crate::{PlanError, Random, Result, Tensor};

/// In training sets each element to 0 with a probability and divides the others by 1 minus it, as
/// `torch.nn.Dropout` (Srivastava et al. 2014); in prediction does nothing. The chance is the
/// host's: the same seed leaves out the same units.
#[derive(Clone, Debug)]
pub struct Dropout {
    probability: f32,
    /// 0, or what the others are multiplied by. None outside of training.
    mask: Kept<Tensor>,
}

impl Dropout {
    /// Returns the layer for a probability of at least 0 and less than 1.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is not that.
    pub fn new(probability: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&probability) {
            let text = format!("dropout of {probability}, expected 0 <= probability < 1");
            return Err(PlanError::InvalidArgument(text));
        }
        Ok(Self { probability: probability as f32, mask: Kept::default() })
    }

    /// Multiplies by the mask that draws from U(-1, 1) give.
    pub(super) fn apply(&mut self, mut inputs: Tensor, mut draws: Tensor) -> Result<Tensor> {
        let (threshold, kept) = (2.0 * self.probability - 1.0, 1.0 / (1.0 - self.probability));
        for draw in draws.data_mut() {
            *draw = if *draw < threshold { 0.0 } else { kept };
        }
        elementwise::multiply(inputs.data_mut(), draws.data());
        self.mask.keep(draws, "Dropout")?;
        Ok(inputs)
    }
}

impl Layer for Dropout {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        if !self.mask.is_training() {
            return Ok(inputs);
        }
        let mut draws = Tensor::zeros(inputs.shape())?;
        Random::new().fill_uniform(draws.data_mut(), 1.0)?;
        self.apply(inputs, draws)
    }

    fn backward(&mut self, mut gradient: Tensor) -> Result<Tensor> {
        if self.mask.is_training() {
            let mask = self.mask.take("Dropout")?;
            check_gradient(&gradient, mask.shape(), "Dropout")?;
            elementwise::multiply(gradient.data_mut(), mask.data());
        }
        Ok(gradient)
    }

    fn set_training(&mut self, is_training: bool) {
        self.mask.set_training(is_training);
    }
}
