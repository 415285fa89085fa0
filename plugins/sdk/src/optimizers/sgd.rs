//! Stochastic gradient descent.

use fedwasm_kernels::elementwise::{add_scaled, decay};

use super::{Optimizer, fraction, lr_argument, not_negative, positive};
use crate::{Argument, Arguments, PlanError, Result};

/// Stochastic gradient descent, as `torch.optim.SGD`: with weight decay `d` the gradient is
/// `g + d w`; with momentum `m` a buffer `b = m b + g` from 0 takes its place, or with Nesterov's
/// `g + m b`; `w = w - lr g`.
#[derive(Clone, Debug)]
pub struct Sgd {
    pub(crate) lr: f32,
    pub(crate) momentum: f32,
    pub(crate) is_nesterov: bool,
    pub(crate) weight_decay: f32,
}

impl Sgd {
    /// Returns the plain rule `w = w - lr g`.
    #[must_use]
    pub fn with_lr(lr: f32) -> Self {
        Self { lr, momentum: 0.0, is_nesterov: false, weight_decay: 0.0 }
    }
}

impl Optimizer for Sgd {
    fn arguments() -> Vec<Argument> {
        vec![
            lr_argument(0.01),
            Argument::with_default::<f64, _>(
                "optimizer.momentum",
                0.0,
                "momentum, 0 <= momentum < 1",
            ),
            Argument::with_default::<bool, _>(
                "optimizer.nesterov",
                false,
                "whether the momentum is Nesterov's",
            ),
            Argument::with_default::<f64, _>(
                "optimizer.weight_decay",
                0.0,
                "weight decay, at least 0",
            ),
        ]
    }

    fn from_arguments(args: &Arguments) -> Result<Self> {
        let sgd = Self {
            lr: positive(args, "optimizer.lr")?,
            momentum: fraction(args, "optimizer.momentum")?,
            is_nesterov: args.boolean("optimizer.nesterov")?,
            weight_decay: not_negative(args, "optimizer.weight_decay")?,
        };
        if sgd.is_nesterov && sgd.momentum == 0.0 {
            let text = "optimizer.nesterov needs a momentum: set optimizer.momentum, such as 0.9";
            return Err(PlanError::InvalidArgument(text.into()));
        }
        Ok(sgd)
    }

    fn buffers(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["momentum"] } else { &[] }
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn step(&self, _nth: u64, value: &mut [f32], gradient: &mut [f32], buffers: &mut [Vec<f32>]) {
        if self.weight_decay > 0.0 {
            add_scaled(gradient, self.weight_decay, value);
        }
        match buffers {
            [momentum] if self.is_nesterov => {
                decay(momentum, self.momentum, 1.0, gradient);
                add_scaled(gradient, self.momentum, momentum);
                add_scaled(value, -self.lr, gradient);
            }
            [momentum] => {
                decay(momentum, self.momentum, 1.0, gradient);
                add_scaled(value, -self.lr, momentum);
            }
            _ => add_scaled(value, -self.lr, gradient),
        }
    }
}
