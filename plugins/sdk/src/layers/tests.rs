//! Every layer against PyTorch and finite differences, what it says of wrong input, and all of
//! them together in a model that is trained.

mod frozen;
mod gradients;
mod mistakes;
mod model;
mod values;

use super::{Dropout, Layer};
use crate::{Result, Tensor};

/// Dropout whose chance is given: draws from U(-1, 1), one tensor for each batch.
struct Drawn {
    dropout: Dropout,
    draws: std::vec::IntoIter<Tensor>,
}

impl Drawn {
    fn new(probability: f64, draws: Vec<Tensor>) -> Self {
        let mut dropout = Dropout::new(probability).unwrap();
        dropout.set_training(true);
        Self { dropout, draws: draws.into_iter() }
    }
}

impl Layer for Drawn {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        self.dropout.apply(inputs, self.draws.next().unwrap())
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        self.dropout.backward(gradient)
    }
}
