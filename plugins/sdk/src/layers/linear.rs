//! The affine map `y = b + x Wᵀ`.

use fedwasm_kernels::{Matrix, add_product, elementwise, reduction};

use super::{Kept, Layer, check_gradient};
use crate::{Parameter, PlanError, Random, Result, Tensor};

/// The affine map `y = b + x Wᵀ`: `weight` of shape [outputs, inputs] and `bias` of shape
/// [outputs], as `torch.nn.Linear`. Takes [rows, inputs], gives [rows, outputs].
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Parameter,
    n_inputs: usize,
    n_outputs: usize,
    inputs: Kept<Tensor>,
}

impl Linear {
    /// Returns a layer of zeros.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if a number is 0 or the number of weights overflows.
    pub fn new(n_inputs: usize, n_outputs: usize) -> Result<Self> {
        if n_inputs == 0 || n_outputs == 0 {
            let text = format!(
                "Linear of {n_inputs} inputs and {n_outputs} outputs: both must be at least 1"
            );
            return Err(PlanError::InvalidArgument(text));
        }
        let weight = Parameter::zeros(&[n_outputs, n_inputs])?;
        let bias = Parameter::zeros(&[n_outputs])?;
        Ok(Self { weight, bias, n_inputs, n_outputs, inputs: Kept::default() })
    }

    /// Takes the inputs that were kept and adds the gradients of weights and bias.
    fn parameter_gradients(&mut self, gradient: &Tensor) -> Result<usize> {
        let inputs = self.inputs.take("Linear")?;
        let rows = inputs.rows();
        check_gradient(gradient, &[rows, self.n_outputs], "Linear")?;
        let outputs = Matrix::new(gradient.data(), rows, self.n_outputs);
        let inputs = Matrix::new(inputs.data(), rows, self.n_inputs);
        add_product(self.weight.gradient.data_mut(), outputs.transposed(), inputs);
        reduction::add_rows(self.bias.gradient.data_mut(), gradient.data());
        Ok(rows)
    }
}

impl Layer for Linear {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        let rows = inputs.rows_of(&[self.n_inputs], "Linear")?;
        let mut outputs = Tensor::zeros(&[rows, self.n_outputs])?;
        elementwise::add_row(outputs.data_mut(), self.bias.value.data());
        let weight = Matrix::new(self.weight.value.data(), self.n_outputs, self.n_inputs);
        let left = Matrix::new(inputs.data(), rows, self.n_inputs);
        add_product(outputs.data_mut(), left, weight.transposed());
        self.inputs.keep(inputs, "Linear")?;
        Ok(outputs)
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        let rows = self.parameter_gradients(&gradient)?;
        let mut inputs = Tensor::zeros(&[rows, self.n_inputs])?;
        let left = Matrix::new(gradient.data(), rows, self.n_outputs);
        let weight = Matrix::new(self.weight.value.data(), self.n_outputs, self.n_inputs);
        add_product(inputs.data_mut(), left, weight);
        Ok(inputs)
    }

    fn backward_first(&mut self, gradient: Tensor) -> Result<()> {
        self.parameter_gradients(&gradient).map(drop)
    }

    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        vec![("weight", &mut self.weight), ("bias", &mut self.bias)]
    }

    /// Draws weights and biases from U(-k, k) with k = 1/√inputs, the default of
    /// `torch.nn.Linear`.
    fn init(&mut self, random: &mut Random) -> Result<()> {
        let bound = 1.0 / (self.n_inputs as f32).sqrt();
        for parameter in [&mut self.weight, &mut self.bias] {
            random.fill_uniform(parameter.value.data_mut(), bound)?;
        }
        Ok(())
    }

    fn set_training(&mut self, is_training: bool) {
        self.inputs.set_training(is_training);
    }

    fn input_shape(&self) -> Option<Vec<usize>> {
        Some(vec![self.n_inputs])
    }
}
