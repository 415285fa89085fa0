//! Rows of a table, looked up by number.

use super::{Kept, Layer, check_gradient};
use crate::{Parameter, PlanError, Random, Result, Tensor};

/// Replaces whole numbers by rows of a table, as `torch.nn.Embedding`: `weight` of shape
/// [entries, width]. Takes [rows, ...], gives [rows, ..., width].
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Parameter,
    width: usize,
    /// The entries that were looked up, and the inputs' shape.
    entries: Kept<(Vec<usize>, Vec<usize>)>,
}

impl Embedding {
    /// Returns a table of zeros.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if a number is 0 or the number of weights overflows.
    pub fn new(n_entries: usize, width: usize) -> Result<Self> {
        if n_entries == 0 || width == 0 {
            let text = format!(
                "Embedding of {n_entries} entries of width {width}: both must be at least 1"
            );
            return Err(PlanError::InvalidArgument(text));
        }
        let weight = Parameter::zeros(&[n_entries, width])?;
        Ok(Self { weight, width, entries: Kept::default() })
    }
}

impl Layer for Embedding {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        let n_entries = self.weight.value.rows();
        if inputs.shape().is_empty() {
            return Err(PlanError::BadData("Embedding takes [rows, ...], not []".into()));
        }
        let entry = |number: &f32| {
            let is_entry = *number >= 0.0 && number.fract() == 0.0 && *number < n_entries as f32;
            let wrong = || {
                let last = n_entries - 1;
                let text =
                    format!("Embedding: {number} is none of the table's entries 0 to {last}");
                PlanError::BadData(text)
            };
            is_entry.then_some(*number as usize).ok_or_else(wrong)
        };
        let entries: Vec<usize> = inputs.data().iter().map(entry).collect::<Result<_>>()?;
        let table: Vec<&[f32]> = self.weight.value.data().chunks_exact(self.width).collect();
        let data = entries.iter().flat_map(|entry| table[*entry]).copied().collect();
        let mut shape = inputs.shape().to_vec();
        self.entries.keep((entries, shape.clone()), "Embedding")?;
        shape.push(self.width);
        Tensor::new(&shape, data)
    }

    /// The gradient of the inputs, which are numbers of entries, is zero.
    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        let (entries, shape) = self.entries.take("Embedding")?;
        check_gradient(&gradient, &[&shape[..], &[self.width]].concat(), "Embedding")?;
        let table = self.weight.gradient.data_mut();
        for (entry, line) in entries.into_iter().zip(gradient.data().chunks_exact(self.width)) {
            let weights = &mut table[entry * self.width..][..self.width];
            weights.iter_mut().zip(line).for_each(|(to, from)| *to += from);
        }
        Tensor::zeros(&shape)
    }

    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        vec![("weight", &mut self.weight)]
    }

    /// Draws from the standard normal distribution, the default of `torch.nn.Embedding`.
    fn init(&mut self, random: &mut Random) -> Result<()> {
        random.fill_normal(self.weight.value.data_mut())
    }

    fn set_training(&mut self, is_training: bool) {
        self.entries.set_training(is_training);
    }
}
