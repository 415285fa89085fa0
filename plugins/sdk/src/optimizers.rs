//! Optimizers: their arguments. The arithmetic is that of `fedwasm_compute`.

use fedwasm_compute::Optimizer as Rule;

use crate::{Argument, Arguments, PlanError, Result};

/// A rule that moves parameters along gradients.
///
/// What it keeps for each parameter starts from 0 in every round, unless `optimizer.keep_state` is
/// true: then it is node state and goes on from round to round.
pub trait Optimizer: 'static {
    /// Whether a step depends on how many there were before.
    const COUNTS_STEPS: bool = false;

    /// As [`COUNTS_STEPS`](Self::COUNTS_STEPS), of an optimizer that is chosen by data.
    #[doc(hidden)]
    fn counts_steps() -> bool {
        Self::COUNTS_STEPS
    }

    /// The arguments that [`read`](Self::read) reads, keys starting with `optimizer.`.
    fn arguments() -> Vec<Argument>;

    /// Reads the rule from its arguments.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if one is out of range.
    fn read(args: &Arguments) -> Result<Rule>;
}

/// The learning rate, and the argument that every optimizer has.
pub(crate) const LR: &str = "optimizer.lr";
const WEIGHT_DECAY: &str = "optimizer.weight_decay";
const MOMENTUM: &str = "optimizer.momentum";
const EPSILON: &str = "optimizer.eps";

fn real(name: &str, default: f64, doc: &str) -> Argument {
    Argument::with_default::<f64, _>(name, default, doc)
}

fn lr(default: f64) -> Argument {
    real(LR, default, "learning rate, more than 0")
}

fn weight_decay(default: f64) -> Argument {
    real(WEIGHT_DECAY, default, "weight decay, at least 0")
}

/// A finite number more than 0.
pub(crate) fn positive(args: &Arguments, name: &str) -> Result<f64> {
    in_range(args, name, |value| value > 0.0 && value.is_finite(), "more than 0")
}

/// A finite number, at least 0.
pub(crate) fn not_negative(args: &Arguments, name: &str) -> Result<f64> {
    in_range(args, name, |value| value >= 0.0 && value.is_finite(), "at least 0")
}

/// A number in [0, 1).
fn fraction(args: &Arguments, name: &str) -> Result<f64> {
    in_range(args, name, |value| (0.0..1.0).contains(&value), "at least 0 and less than 1")
}

/// The number must be in range after it was rounded to float32: 1e-60 is 0 then, 0.99999999 is 1.
fn in_range(args: &Arguments, name: &str, is_in: fn(f32) -> bool, range: &str) -> Result<f64> {
    let value = args.real(name)?;
    let rounded = value as f32;
    if is_in(rounded) {
        return Ok(value);
    }
    let mut text = format!("{name} is {value}, ");
    if rounded.to_string() != value.to_string() {
        text += &format!("{rounded} in float32, ");
    }
    Err(PlanError::InvalidArgument(format!("{text}expected {range}")))
}

/// Stochastic gradient descent, as `torch.optim.SGD`: with weight decay `d` the gradient is
/// `g + d w`; with momentum `m` a buffer `b = m b + g` from 0 takes its place, or with Nesterov's
/// `g + m b`; `w = w - lr g`.
#[derive(Clone, Copy, Debug)]
pub struct Sgd;

impl Optimizer for Sgd {
    fn arguments() -> Vec<Argument> {
        let nesterov = "whether the momentum is Nesterov's";
        vec![
            lr(0.01),
            real(MOMENTUM, 0.0, "momentum, 0 <= momentum < 1"),
            Argument::with_default::<bool, _>("optimizer.nesterov", false, nesterov),
            weight_decay(0.0),
        ]
    }

    fn read(args: &Arguments) -> Result<Rule> {
        let momentum = fraction(args, MOMENTUM)?;
        let is_nesterov = args.boolean("optimizer.nesterov")?;
        if is_nesterov && momentum == 0.0 {
            let text = "optimizer.nesterov needs a momentum: set optimizer.momentum, such as 0.9";
            return Err(PlanError::InvalidArgument(text.into()));
        }
        Ok(Rule::Sgd { momentum, is_nesterov, weight_decay: not_negative(args, WEIGHT_DECAY)? })
    }
}

fn adam_arguments(decay: f64) -> Vec<Argument> {
    vec![
        lr(0.001),
        real("optimizer.beta1", 0.9, "decay of the gradients' mean, in [0, 1)"),
        real("optimizer.beta2", 0.999, "decay of their squares' mean, in [0, 1)"),
        real(EPSILON, 1e-8, "added to the root of the squares' mean"),
        weight_decay(decay),
    ]
}

fn adam(args: &Arguments, is_decoupled: bool) -> Result<Rule> {
    Ok(Rule::Adam {
        betas: [fraction(args, "optimizer.beta1")?, fraction(args, "optimizer.beta2")?],
        epsilon: positive(args, EPSILON)?,
        weight_decay: not_negative(args, WEIGHT_DECAY)?,
        is_decoupled,
    })
}

/// Adam (Kingma and Ba 2015), as `torch.optim.Adam`: `m = β₁ m + (1 - β₁) g`,
/// `v = β₂ v + (1 - β₂) g²`, and `w = w - lr m̂ / (√v̂ + ε)` with `m̂ = m / (1 - β₁ᵗ)` and
/// `v̂ = v / (1 - β₂ᵗ)`. Weight decay `d` adds `d w` to the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Adam;

impl Optimizer for Adam {
    const COUNTS_STEPS: bool = true;

    fn arguments() -> Vec<Argument> {
        adam_arguments(0.0)
    }

    fn read(args: &Arguments) -> Result<Rule> {
        adam(args, false)
    }
}

/// Adam with weight decay by itself (Loshchilov and Hutter 2019), as `torch.optim.AdamW`:
/// `w = w - lr d w`, and then the step of [`Adam`] without it.
#[derive(Clone, Copy, Debug)]
pub struct AdamW;

impl Optimizer for AdamW {
    const COUNTS_STEPS: bool = true;

    fn arguments() -> Vec<Argument> {
        adam_arguments(0.01)
    }

    fn read(args: &Arguments) -> Result<Rule> {
        adam(args, true)
    }
}

/// Adagrad (Duchi, Hazan and Singer 2011), as `torch.optim.Adagrad`: `s = s + g²` from 0,
/// `w = w - lr g / (√s + ε)`; in step t, `lr` is divided by `1 + (t - 1) lr_decay`. Weight decay
/// `d` adds `d w` to the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Adagrad;

impl Optimizer for Adagrad {
    const COUNTS_STEPS: bool = true;

    fn arguments() -> Vec<Argument> {
        vec![
            lr(0.01),
            real("optimizer.lr_decay", 0.0, "decay of the learning rate, at least 0"),
            real(EPSILON, 1e-10, "added to the root of the squares' sum"),
            weight_decay(0.0),
        ]
    }

    fn read(args: &Arguments) -> Result<Rule> {
        Ok(Rule::Adagrad {
            rate_decay: not_negative(args, "optimizer.lr_decay")?,
            epsilon: positive(args, EPSILON)?,
            weight_decay: not_negative(args, WEIGHT_DECAY)?,
        })
    }
}

/// RMSprop (Tieleman and Hinton 2012), as `torch.optim.RMSprop`: `s = α s + (1 - α) g²` from 0,
/// `w = w - lr g / (√s + ε)`; with momentum `m` a buffer `b = m b + g / (√s + ε)` from 0 is stepped
/// along instead. Weight decay `d` adds `d w` to the gradient.
#[derive(Clone, Copy, Debug)]
pub struct RmsProp;

impl Optimizer for RmsProp {
    fn arguments() -> Vec<Argument> {
        vec![
            lr(0.01),
            real("optimizer.alpha", 0.99, "decay of the squares' mean, in [0, 1)"),
            real(EPSILON, 1e-8, "added to the root of the squares' mean"),
            real(MOMENTUM, 0.0, "momentum, 0 <= momentum < 1"),
            weight_decay(0.0),
        ]
    }

    fn read(args: &Arguments) -> Result<Rule> {
        Ok(Rule::RmsProp {
            alpha: fraction(args, "optimizer.alpha")?,
            epsilon: positive(args, EPSILON)?,
            momentum: fraction(args, MOMENTUM)?,
            weight_decay: not_negative(args, WEIGHT_DECAY)?,
        })
    }
}
