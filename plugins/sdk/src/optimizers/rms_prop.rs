//! RMSprop.

use fedwasm_kernels::elementwise::{add_scaled, decay_squares, scale, step_scaled};

use super::{Optimizer, fraction, lr_argument, not_negative, positive, with_roots};
use crate::{Argument, Arguments, Result};

/// RMSprop (Tieleman and Hinton 2012), as `torch.optim.RMSprop`: `s = α s + (1 - α) g²`,
/// `w = w - lr g / (√s + ε)`; with momentum `m`, `b = m b + g / (√s + ε)` and `w = w - lr b`.
/// Weight decay `d` adds `d w` to the gradient.
#[derive(Clone, Debug)]
pub struct RmsProp {
    pub(super) lr: f32,
    pub(super) alpha: f32,
    pub(super) epsilon: f32,
    pub(super) momentum: f32,
    pub(super) weight_decay: f32,
}

impl Optimizer for RmsProp {
    fn arguments() -> Vec<Argument> {
        vec![
            lr_argument(0.01),
            Argument::with_default::<f64, _>(
                "optimizer.alpha",
                0.99,
                "decay of the squares' mean, in [0, 1)",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.eps",
                1e-8,
                "added to the root of the squares' mean",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.momentum",
                0.0,
                "momentum, 0 <= momentum < 1",
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
            alpha: fraction(args, "optimizer.alpha")?,
            epsilon: positive(args, "optimizer.eps")?,
            momentum: fraction(args, "optimizer.momentum")?,
            weight_decay: not_negative(args, "optimizer.weight_decay")?,
        })
    }

    fn buffers(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["squares", "momentum"] } else { &["squares"] }
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn step(&self, _nth: u64, value: &mut [f32], gradient: &mut [f32], buffers: &mut [Vec<f32>]) {
        let Some((squares, momentum)) = buffers.split_first_mut() else { return };
        if self.weight_decay > 0.0 {
            add_scaled(gradient, self.weight_decay, value);
        }
        decay_squares(squares, self.alpha, 1.0 - self.alpha, gradient);
        if let [momentum] = momentum {
            scale(momentum, self.momentum);
            with_roots(momentum, gradient, squares, |momentum, gradient, roots| {
                step_scaled(momentum, -1.0, self.epsilon, gradient, roots);
            });
            add_scaled(value, -self.lr, momentum);
        } else {
            with_roots(value, gradient, squares, |value, gradient, roots| {
                step_scaled(value, self.lr, self.epsilon, gradient, roots);
            });
        }
    }
}
