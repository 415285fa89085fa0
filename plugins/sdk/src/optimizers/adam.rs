//! Adam.

use fedwasm_kernels::elementwise::{add_scaled, decay, decay_squares, scale, step_scaled};

use super::{Optimizer, fraction, lr_argument, not_negative, positive, power, with_roots};
use crate::{Argument, Arguments, Result};

/// Adam (Kingma and Ba 2015), as `torch.optim.Adam`: `m = β₁ m + (1 - β₁) g`,
/// `v = β₂ v + (1 - β₂) g²`, and `w = w - lr m̂ / (√v̂ + ε)` with `m̂ = m / (1 - β₁ᵗ)` and
/// `v̂ = v / (1 - β₂ᵗ)`. Weight decay `d` adds `d w` to the gradient.
#[derive(Clone, Debug)]
pub struct Adam {
    pub(super) lr: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) epsilon: f32,
    pub(super) weight_decay: f32,
}

impl Adam {
    fn read(args: &Arguments) -> Result<Self> {
        Ok(Self {
            lr: positive(args, "optimizer.lr")?,
            beta1: fraction(args, "optimizer.beta1")?,
            beta2: fraction(args, "optimizer.beta2")?,
            epsilon: positive(args, "optimizer.eps")?,
            weight_decay: not_negative(args, "optimizer.weight_decay")?,
        })
    }

    fn announce(weight_decay: f64) -> Vec<Argument> {
        vec![
            lr_argument(0.001),
            Argument::with_default::<f64, _>(
                "optimizer.beta1",
                0.9,
                "decay of the gradients' mean, in [0, 1)",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.beta2",
                0.999,
                "decay of their squares' mean, in [0, 1)",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.eps",
                1e-8,
                "added to the root of the squares' mean",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.weight_decay",
                weight_decay,
                "weight decay, at least 0",
            ),
        ]
    }

    fn update(&self, nth: u64, value: &mut [f32], gradient: &[f32], buffers: &mut [Vec<f32>]) {
        let [mean, squares] = buffers else { return };
        decay(mean, self.beta1, 1.0 - self.beta1, gradient);
        decay_squares(squares, self.beta2, 1.0 - self.beta2, gradient);
        let rate = (f64::from(self.lr) / (1.0 - power(self.beta1, nth))) as f32;
        let unbias = (1.0 / (1.0 - power(self.beta2, nth)).sqrt()) as f32;
        with_roots(value, mean, squares, |value, mean, roots| {
            scale(roots, unbias);
            step_scaled(value, rate, self.epsilon, mean, roots);
        });
    }
}

impl Optimizer for Adam {
    const COUNTS_STEPS: bool = true;

    fn arguments() -> Vec<Argument> {
        Self::announce(0.0)
    }

    fn from_arguments(args: &Arguments) -> Result<Self> {
        Self::read(args)
    }

    fn buffers(&self) -> &'static [&'static str] {
        &["mean", "squares"]
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn step(&self, nth: u64, value: &mut [f32], gradient: &mut [f32], buffers: &mut [Vec<f32>]) {
        if self.weight_decay > 0.0 {
            add_scaled(gradient, self.weight_decay, value);
        }
        self.update(nth, value, gradient, buffers);
    }
}

/// Adam with weight decay by itself (Loshchilov and Hutter 2019), as `torch.optim.AdamW`:
/// `w = w - lr d w`, and then the step of [`Adam`] without it.
#[derive(Clone, Debug)]
pub struct AdamW(pub(super) Adam);

impl Optimizer for AdamW {
    const COUNTS_STEPS: bool = true;

    fn arguments() -> Vec<Argument> {
        Adam::announce(0.01)
    }

    fn from_arguments(args: &Arguments) -> Result<Self> {
        Adam::read(args).map(Self)
    }

    fn buffers(&self) -> &'static [&'static str] {
        self.0.buffers()
    }

    fn lr(&self) -> f32 {
        self.0.lr
    }

    fn step(&self, nth: u64, value: &mut [f32], gradient: &mut [f32], buffers: &mut [Vec<f32>]) {
        scale(value, 1.0 - self.0.lr * self.0.weight_decay);
        self.0.update(nth, value, gradient, buffers);
    }
}
