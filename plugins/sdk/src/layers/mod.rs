//! Layers with forward and backward.

mod linear;

use crate::{Parameter, Random, Result};

pub use linear::Linear;

/// Layers by name.
pub type Layers<'a> = Vec<(&'static str, &'a mut dyn Layer)>;

/// Something that has parameters.
pub trait Layer {
    /// Columns of the inputs that it takes.
    fn n_inputs(&self) -> usize;

    /// The parameters by name, always the same in the same order.
    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)>;

    /// Draws initial values.
    ///
    /// # Errors
    /// Those of [`Random`].
    fn init(&mut self, random: &mut Random) -> Result<()>;
}
