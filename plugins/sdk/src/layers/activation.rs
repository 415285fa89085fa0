//! Functions of single elements. They take any shape and give the same.

use fedwasm_kernels::elementwise;

use super::{Kept, Layer, check_gradient};
use crate::{Result, Tensor};

/// Declares a layer from its function and its gradient in terms of the outputs.
macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident, $forward:path, $backward:path;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $name {
            outputs: Kept<Tensor>,
        }

        impl $name {
            /// Returns the layer.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }
        }

        impl Layer for $name {
            fn forward(&mut self, mut inputs: Tensor) -> Result<Tensor> {
                $forward(inputs.data_mut());
                self.outputs.keep(inputs.clone(), stringify!($name))?;
                Ok(inputs)
            }

            fn backward(&mut self, mut gradient: Tensor) -> Result<Tensor> {
                let outputs = self.outputs.take(stringify!($name))?;
                check_gradient(&gradient, outputs.shape(), stringify!($name))?;
                $backward(gradient.data_mut(), outputs.data());
                Ok(gradient)
            }

            fn set_training(&mut self, is_training: bool) {
                self.outputs.set_training(is_training);
            }
        }
    )*};
}

activations! {
    /// Rectified linear: `max(x, 0)`, as `torch.nn.ReLU`. Its gradient at 0 is 0.
    Relu, elementwise::relu, elementwise::relu_gradient;
    /// The logistic function `1 / (1 + exp(-x))`, as `torch.nn.Sigmoid`.
    Sigmoid, elementwise::sigmoid, elementwise::sigmoid_gradient;
    /// The hyperbolic tangent, as `torch.nn.Tanh`.
    Tanh, elementwise::tanh, elementwise::tanh_gradient;
}
