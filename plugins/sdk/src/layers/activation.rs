//! Functions of single elements as layers, for [`Sequential`](crate::Sequential).

use crate::{Layer, Module, Tensor, Visitor};

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $(($field:ident))? $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name $((
            #[doc = concat!("The ", stringify!($field), ".")]
            pub f64
        ))?;

        impl Module for $name {
            fn visit(&self, _: &mut Visitor<'_>) {}
        }

        impl Layer for $name {
            fn forward(&self, x: &Tensor) -> Tensor {
                $(let Self($field) = *self;)?
                x.$method($($field)?)
            }
        }
    )*};
}

activations! {
    /// `max(x, 0)`, as `torch.nn.ReLU`.
    Relu relu;
    /// `x`, or a slope times `x` below 0, as `torch.nn.LeakyReLU`.
    LeakyRelu(slope) leaky_relu;
    /// `x`, or `alpha (e^x - 1)` below 0, as `torch.nn.ELU`.
    Elu(alpha) elu;
    /// `x/2 (1 + erf(x/√2))`, as `torch.nn.GELU`.
    Gelu gelu;
    /// `x / (1 + e^-x)`, as `torch.nn.SiLU`.
    Silu silu;
    /// `1 / (1 + e^-x)`, as `torch.nn.Sigmoid`.
    Sigmoid sigmoid;
    /// The hyperbolic tangent, as `torch.nn.Tanh`.
    Tanh tanh;
    /// `ln(1 + e^x)`, as `torch.nn.Softplus`.
    Softplus softplus;
}

/// All axes behind the rows as one, as `torch.nn.Flatten`.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Module for Flatten {
    fn visit(&self, _: &mut Visitor<'_>) {}
}

impl Layer for Flatten {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.flatten(1)
    }
}
