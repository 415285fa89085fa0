//! Units that are left out by chance.

use crate::{Layer, Mode, Tensor, engine, module};

module! {
    /// In training sets each element to 0 with probability `rate` and divides the others by 1 less
    /// it, as `torch.nn.Dropout` (Srivastava et al. 2014); in prediction does nothing. The chance is
    /// the host's: the same seed leaves out the same units.
    #[derive(Clone, Debug)]
    pub struct Dropout {
        rate: f64,
        mode: Mode,
    }
}

impl Dropout {
    /// The layer for a rate of at least 0 and less than 1.
    #[must_use]
    #[track_caller]
    pub fn new(rate: f64) -> Self {
        if !(0.0..1.0).contains(&rate) {
            engine::note_argument(format!("dropout of {rate}, expected 0 <= rate < 1"));
        }
        Self { rate, mode: Mode::default() }
    }
}

impl Layer for Dropout {
    fn forward(&self, x: &Tensor) -> Tensor {
        match self.mode.is_training() && self.rate != 0.0 {
            true => x.dropout(self.rate),
            false => x.clone(),
        }
    }
}
