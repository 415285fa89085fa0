//! Layers one after the other.

use std::panic::Location;

use crate::{Layer, Module, Tensor, Visitor, engine};

/// Layers one after the other, as `torch.nn.Sequential`.
#[derive(Default)]
pub struct Sequential(Vec<(String, Box<dyn Layer>)>);

impl Sequential {
    /// None yet: the output is the input.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer. Its parameters are called `name.parameter`.
    #[must_use]
    pub fn then(mut self, name: impl Into<String>, layer: impl Layer + 'static) -> Self {
        self.0.push((name.into(), Box::new(layer)));
        self
    }

    /// How many layers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Module for Sequential {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (name, layer) in &self.0 {
            visitor.field(name, layer);
        }
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Tensor) -> Tensor {
        let place = Location::caller();
        self.0.iter().fold(x.clone(), |x, (name, layer)| {
            engine::enter(name, place);
            let y = layer.forward(&x);
            engine::leave();
            y
        })
    }
}
