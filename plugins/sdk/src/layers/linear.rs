//! The affine map `y = x Wᵀ + b`.

use crate::{Init, Layer, Parameter, Tensor, module};

module! {
    /// The affine map `y = x Wᵀ + b`, as `torch.nn.Linear`: takes [.., inputs], gives [.., outputs].
    #[derive(Clone, Debug)]
    pub struct Linear {
        /// Shape [outputs, inputs].
        pub weight: Parameter,
        /// Shape `[outputs]`.
        pub bias: Option<Parameter>,
    }
}

impl Linear {
    /// Returns the layer. Weights and biases start from U(-k, k) with k = 1/√inputs, PyTorch's
    /// default.
    #[must_use]
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize) -> Self {
        let bias = Parameter::new(&[outputs], Self::init(inputs));
        Self { bias: Some(bias), ..Self::without_bias(inputs, outputs) }
    }

    /// Returns the layer `y = x Wᵀ`.
    #[must_use]
    #[track_caller]
    pub fn without_bias(inputs: usize, outputs: usize) -> Self {
        Self { weight: Parameter::new(&[outputs, inputs], Self::init(inputs)), bias: None }
    }

    fn init(inputs: usize) -> Init {
        Init::Uniform(f64::from(1.0 / (inputs as f32).sqrt()))
    }

    /// The length of the last axis of its input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.weight.size(1)
    }

    /// The length of the last axis of its output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.weight.size(0)
    }
}

impl Layer for Linear {
    fn forward(&self, x: &Tensor) -> Tensor {
        match &self.bias {
            Some(bias) => x.linear(&self.weight.tensor(), Some(&bias.tensor())),
            None => x.linear(&self.weight.tensor(), None),
        }
    }
}
