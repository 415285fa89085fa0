//! Layers that training leaves as they are.

use super::{Kept, Layer};
use crate::{Parameter, Random, Result, Tensor};

/// A layer that training leaves as it is: what [`Layer::frozen`] returns.
///
/// Its parameters are declared as not trainable. It computes as in prediction, also in training:
/// batch normalisation takes its running mean and variance and leaves them, dropout does nothing.
/// Gradients go through it to the layers before.
#[derive(Clone, Debug)]
pub struct Frozen<L> {
    layer: L,
    is_frozen: bool,
    kept: Kept<()>,
}

impl<L: Layer> Frozen<L> {
    /// Returns the layer; it is as any other if not `is_frozen`.
    #[must_use]
    pub fn new(layer: L, is_frozen: bool) -> Self {
        Self { layer, is_frozen, kept: Kept::default() }
    }
}

impl<L: Layer> Layer for Frozen<L> {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        let outputs = self.layer.forward(inputs)?;
        if self.is_frozen {
            self.kept.keep((), "Frozen")?;
        }
        Ok(outputs)
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        let gradient = self.layer.backward(gradient)?;
        if self.is_frozen {
            self.kept.take("Frozen")?;
            for (_, parameter) in self.layer.parameters() {
                parameter.gradient.data_mut().fill(0.0);
            }
        }
        Ok(gradient)
    }

    fn backward_first(&mut self, gradient: Tensor) -> Result<()> {
        match self.is_frozen {
            true => self.kept.take("Frozen"),
            false => self.layer.backward_first(gradient),
        }
    }

    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        let mut parameters = self.layer.parameters();
        for (_, parameter) in &mut parameters {
            parameter.is_frozen |= self.is_frozen;
        }
        parameters
    }

    fn init(&mut self, random: &mut Random) -> Result<()> {
        self.layer.init(random)
    }

    fn set_training(&mut self, is_training: bool) {
        self.kept.set_training(is_training);
        self.layer.set_training(is_training && !self.is_frozen);
    }

    fn input_shape(&self) -> Option<Vec<usize>> {
        self.layer.input_shape()
    }
}
