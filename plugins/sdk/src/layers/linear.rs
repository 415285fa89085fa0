//! The affine map `y = x Wᵀ + b`.

use super::Layer;
use crate::{Parameter, PlanError, Random, Result, Tensor};

/// The affine map `y = x Wᵀ + b`: `weight` of shape [outputs, inputs] and
/// `bias` of shape [outputs], float32, as `torch.nn.Linear`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Parameter,
    n_inputs: usize,
    n_outputs: usize,
}

impl Linear {
    /// Returns a layer of zeros.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if the number of weights overflows.
    pub fn new(n_inputs: usize, n_outputs: usize) -> Result<Self> {
        let weight = Parameter::zeros(&[n_outputs, n_inputs])?;
        let bias = Parameter::zeros(&[n_outputs])?;
        Ok(Self { weight, bias, n_inputs, n_outputs })
    }

    /// Returns `x Wᵀ + b`, shape [rows, outputs], for `inputs` of shape
    /// [rows, inputs]. Each sum runs in ascending input index into one
    /// accumulator; the bias is added last.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if `inputs` has another shape.
    pub fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let rows = self.rows(inputs, self.n_inputs)?;
        let mut outputs = Tensor::zeros(&[rows, self.n_outputs])?;
        // Columns of W side by side: the inner loop then runs along independent outputs.
        let mut transposed = vec![0.0; self.n_inputs * self.n_outputs];
        for (o, line) in self.weight.value.data().chunks_exact(self.n_inputs).enumerate() {
            for (i, weight) in line.iter().enumerate() {
                transposed[i * self.n_outputs + o] = *weight;
            }
        }
        let lines = inputs.data().chunks_exact(self.n_inputs);
        for (x, y) in lines.zip(outputs.data_mut().chunks_exact_mut(self.n_outputs)) {
            for (x, weights) in x.iter().zip(transposed.chunks_exact(self.n_outputs)) {
                add_scaled(y, *x, weights);
            }
            add_scaled(y, 1.0, self.bias.value.data());
        }
        Ok(outputs)
    }

    /// Adds the gradients of the weights and the bias, given the gradient of
    /// the loss with respect to the outputs, shape [rows, outputs]. Each sum
    /// runs in ascending row.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if a shape is another one.
    pub fn backward(&mut self, inputs: &Tensor, gradient: &Tensor) -> Result<()> {
        let rows = self.rows(inputs, self.n_inputs)?;
        if self.rows(gradient, self.n_outputs)? != rows {
            return Err(PlanError::BadData("inputs and gradient differ in rows".into()));
        }
        let lines = inputs.data().chunks_exact(self.n_inputs);
        for (x, g) in lines.zip(gradient.data().chunks_exact(self.n_outputs)) {
            let weights = self.weight.gradient.data_mut().chunks_exact_mut(self.n_inputs);
            for (g, line) in g.iter().zip(weights) {
                add_scaled(line, *g, x);
            }
            add_scaled(self.bias.gradient.data_mut(), 1.0, g);
        }
        Ok(())
    }

    fn rows(&self, tensor: &Tensor, columns: usize) -> Result<usize> {
        match tensor.rows_and_columns()? {
            (rows, got) if got == columns => Ok(rows),
            (_, got) => {
                Err(PlanError::BadData(format!("got {got} columns, the layer has {columns}")))
            }
        }
    }
}

impl Layer for Linear {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        vec![("weight", &mut self.weight), ("bias", &mut self.bias)]
    }

    /// Draws weights and biases from U(-k, k) with k = 1/√inputs, the default
    /// of `torch.nn.Linear`.
    fn init(&mut self, random: &mut Random) -> Result<()> {
        let bound = 1.0 / (self.n_inputs as f32).sqrt();
        for parameter in [&mut self.weight, &mut self.bias] {
            random.fill_uniform(parameter.value.data_mut(), bound)?;
        }
        Ok(())
    }
}

/// `y += a x`, each product rounded before it is added.
fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * *x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Linear {
        let mut layer = Linear::new(3, 2).unwrap();
        layer.weight.value.data_mut().copy_from_slice(&[0.5, -1.0, 2.0, 0.25, 3.0, -0.5]);
        layer.bias.value.data_mut().copy_from_slice(&[0.1, -0.2]);
        layer
    }

    /// torch.nn.functional.linear on the same numbers.
    #[test]
    fn forward_is_affine() {
        let x = Tensor::new(&[2, 3], vec![1.0, 2.0, 3.0, -1.0, 0.5, 4.0]).unwrap();
        let y = layer().forward(&x).unwrap();
        assert_eq!(y.shape(), [2, 2]);
        for (got, expected) in y.data().iter().zip([4.6, 4.55, 7.1, -0.95]) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn backward_equals_finite_differences() {
        let x = Tensor::new(&[2, 3], vec![1.0, 2.0, 3.0, -1.0, 0.5, 4.0]).unwrap();
        let weights = [0.3, -0.7, 1.1, 0.2];
        let loss = |layer: &Linear| -> f64 {
            let y = layer.forward(&x).unwrap();
            y.data().iter().zip(weights).map(|(y, w)| f64::from(*y) * w).sum()
        };
        let mut layer = layer();
        let upstream = weights.map(|w| w as f32).to_vec();
        layer.backward(&x, &Tensor::new(&[2, 2], upstream).unwrap()).unwrap();
        for p in 0..2 {
            let analytic = layer.parameters()[p].1.gradient.clone();
            for (i, analytic) in analytic.data().iter().enumerate() {
                let mut moved = layer.clone();
                let mut at = |delta: f32| {
                    moved.parameters()[p].1.value.data_mut()[i] += delta;
                    loss(&moved)
                };
                let numeric = (at(0.5) - at(-1.0)) / 1.0;
                assert!((numeric - f64::from(*analytic)).abs() < 1e-4, "{numeric} {analytic}");
            }
        }
    }

    #[test]
    fn another_number_of_columns_is_an_error() {
        let x = Tensor::zeros(&[2, 4]).unwrap();
        assert!(matches!(layer().forward(&x), Err(PlanError::BadData(_))));
    }
}
