//! Adagrad.

use fedwasm_kernels::elementwise::{add_scaled, decay_squares, step_scaled};

use super::{Optimizer, lr_argument, not_negative, positive, with_roots};
use crate::{Argument, Arguments, Result};

/// Adagrad (Duchi, Hazan and Singer 2011), as `torch.optim.Adagrad`: `s = s + g²` from 0,
/// `w = w - lr g / (√s + ε)`; in step t, `lr` is divided by `1 + (t - 1) lr_decay`. Weight decay
/// `d` adds `d w` to the gradient.
#[derive(Clone, Debug)]
pub struct Adagrad {
    pub(super) lr: f32,
    pub(super) lr_decay: f32,
    pub(super) epsilon: f32,
    pub(super) weight_decay: f32,
}

impl Optimizer for Adagrad {
    const COUNTS_STEPS: bool = true;

    fn arguments() -> Vec<Argument> {
        vec![
            lr_argument(0.01),
            Argument::with_default::<f64, _>(
                "optimizer.lr_decay",
                0.0,
                "decay of the learning rate, at least 0",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.eps",
                1e-10,
                "added to the root of the squares' sum",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.weight_decay",
                0.0,
                "weight decay, at least 0",
            ),
        ]
    }

    fn from_arguments(args: &Arguments) -> Result<Self> {
        Ok(Self {
            lr: positive(args, "optimizer.lr")?,
            lr_decay: not_negative(args, "optimizer.lr_decay")?,
            epsilon: positive(args, "optimizer.eps")?,
            weight_decay: not_negative(args, "optimizer.weight_decay")?,
        })
    }

    fn buffers(&self) -> &'static [&'static str] {
        &["squares"]
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn step(&self, nth: u64, value: &mut [f32], gradient: &mut [f32], buffers: &mut [Vec<f32>]) {
        let [squares] = buffers else { return };
        if self.weight_decay > 0.0 {
            add_scaled(gradient, self.weight_decay, value);
        }
        decay_squares(squares, 1.0, 1.0, gradient);
        let slower = 1.0 + (nth - 1) as f64 * f64::from(self.lr_decay);
        let rate = (f64::from(self.lr) / slower) as f32;
        with_roots(value, gradient, squares, |value, gradient, roots| {
            step_scaled(value, rate, self.epsilon, gradient, roots);
        });
    }
}
