//! Layers one after the other.

use super::{Layer, Layers};
use crate::{PlanError, Result, Tensor};

/// Layers one after the other, as `torch.nn.Sequential`.
#[derive(Default)]
pub struct Sequential(Vec<(&'static str, Box<dyn Layer>)>);

impl Sequential {
    /// None yet: the outputs are the inputs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer. Its parameters are called `name.parameter`.
    #[must_use]
    pub fn then(mut self, name: &'static str, layer: impl Layer + 'static) -> Self {
        self.0.push((name, Box::new(layer)));
        self
    }

    /// The layers by name, in their order: what [`crate::TrainingPlan::layers`] returns.
    pub fn layers(&mut self) -> Layers<'_> {
        self.0.iter_mut().map(|(name, layer)| (*name, layer.as_mut() as &mut dyn Layer)).collect()
    }

    /// Computes the outputs of the last layer.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        self.0.iter_mut().try_fold(inputs, |inputs, (name, layer)| {
            layer.forward(inputs).map_err(|error| in_layer(name, error))
        })
    }

    /// Adds the gradients of all parameters, given that of the last layer's outputs.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn backward(&mut self, gradient: Tensor) -> Result<()> {
        let Some(((name, first), rest)) = self.0.split_first_mut() else { return Ok(()) };
        let gradient = rest.iter_mut().rev().try_fold(gradient, |gradient, (name, layer)| {
            layer.backward(gradient).map_err(|error| in_layer(name, error))
        })?;
        first.backward_first(gradient).map_err(|error| in_layer(name, error))
    }
}

/// Says in which layer it happened: a chain may have many of a kind.
fn in_layer(name: &str, error: PlanError) -> PlanError {
    let put = |text: String| format!("layer `{name}`: {text}");
    match error {
        PlanError::Cancelled => PlanError::Cancelled,
        PlanError::InvalidArgument(text) => PlanError::InvalidArgument(put(text)),
        PlanError::BadData(text) => PlanError::BadData(put(text)),
        PlanError::NonFinite(text) => PlanError::NonFinite(put(text)),
        PlanError::Unsupported(text) => PlanError::Unsupported(put(text)),
        PlanError::Internal(text) => PlanError::Internal(put(text)),
    }
}
