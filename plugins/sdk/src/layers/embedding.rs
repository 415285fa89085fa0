//! Rows of a table, looked up by number.

use super::refuse;
use crate::{Dtype, Init, Layer, Parameter, Tensor, engine, module};

module! {
    /// Replaces whole numbers by rows of a table, as `torch.nn.Embedding`: takes [rows, ..], int64
    /// or floating-point, gives [rows, .., width]. A number that is not one of the table's entries,
    /// 0 to `entries - 1`, or is not whole is bad data.
    #[derive(Clone, Debug)]
    pub struct Embedding {
        /// Shape [entries, width].
        pub weight: Parameter,
        padding: Option<usize>,
    }
}

impl Embedding {
    /// The table. Weights start from the standard normal distribution, PyTorch's default.
    #[must_use]
    #[track_caller]
    pub fn new(entries: usize, width: usize) -> Self {
        let weight = Parameter::new(&[entries, width], Init::Normal(1.0));
        Self { weight, padding: None }
    }

    /// The table in which one entry stands for nothing (`padding_idx`): it gives zeros, whatever its
    /// weights are, and has no gradient.
    #[must_use]
    #[track_caller]
    pub fn padding(self, entry: usize) -> Self {
        let entries = self.weight.size(0);
        if entry >= entries {
            let text = format!("Embedding of {entries} entries has no entry {entry} for padding");
            engine::note_argument(text);
        }
        Self { padding: Some(entry), ..self }
    }
}

impl Layer for Embedding {
    fn forward(&self, x: &Tensor) -> Tensor {
        if x.rank() == 0 || x.dtype() == Dtype::Bool {
            return refuse(x, "Embedding", "numbers of shape [rows, ..]");
        }
        let mut entries = x.to_i64();
        if x.dtype() != Dtype::I64 {
            // A fraction becomes a number that no table has.
            let none = Tensor::full_of(&[], -1.0, Dtype::I64);
            entries = entries.to(x.dtype()).eq(x).where_(entries, none);
        }
        let found = self.weight.tensor().embedding(&entries);
        let Some(padding) = self.padding else { return found };
        let padding = Tensor::full_of(&[], padding as f64, Dtype::I64);
        found * entries.ne(padding).to_f32().unsqueeze(-1)
    }
}
