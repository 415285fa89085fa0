//! Learning rates that change from step to step.

use crate::error::Rule;

/// How a rate goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Times `factor` after each `every` steps, as `torch.optim.lr_scheduler.StepLR`.
    Step {
        /// At least 1.
        every: u64,
        /// More than 0.
        factor: f64,
    },
    /// Along half a cosine to `least` times the rate in `steps` steps, and then stays; as
    /// `torch.optim.lr_scheduler.CosineAnnealingLR` up to there.
    Cosine {
        /// At least 1.
        steps: u64,
        /// In [0, 1].
        least: f64,
    },
}

/// Before a schedule: from `first` times the rate to all of it in `steps` steps, as
/// `torch.optim.lr_scheduler.LinearLR`. The schedule starts after them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    /// 0 for none.
    pub steps: u64,
    /// In [0, 1].
    pub first: f64,
}

impl Schedule {
    /// Checks that all numbers are in range.
    ///
    /// # Errors
    /// [`Rule::Attribute`].
    pub fn check(&self) -> Result<(), Rule> {
        match *self {
            Self::Step { every, factor } if every == 0 || !(factor > 0.0 && factor.is_finite()) => {
                Err(Rule::Attribute("steps must be at least 1 and the factor more than 0"))
            }
            Self::Cosine { steps, least } if steps == 0 || !(0.0..=1.0).contains(&least) => {
                Err(Rule::Attribute("steps must be at least 1 and the least in 0..=1"))
            }
            _ => Ok(()),
        }
    }

    /// What the rate is multiplied by after `done` steps, from 0 on.
    #[must_use]
    pub fn factor(&self, done: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Step { every, factor } => power(factor, done / every.max(1)),
            Self::Cosine { steps, least } => {
                let part = done.min(steps) as f64 / steps.max(1) as f64;
                least + (1.0 - least) * (1.0 + cosine_of_pi(part)) / 2.0
            }
        }
    }

    /// As [`factor`](Self::factor), after a warm-up.
    #[must_use]
    pub fn factor_after(&self, warmup: Warmup, done: u64) -> f64 {
        match done.checked_sub(warmup.steps) {
            Some(done) => self.factor(done),
            None => warmup.first + (1.0 - warmup.first) * (done as f64 / warmup.steps as f64),
        }
    }
}

fn power(base: f64, mut n: u64) -> f64 {
    let (mut square, mut result) = (base, 1.0);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}

/// `cos(π x)` for x in [0, 1], within 1e-15: Taylor's series of the sine around ½.
fn cosine_of_pi(x: f64) -> f64 {
    let angle = (0.5 - x) * core::f64::consts::PI;
    let square = angle * angle;
    let (mut term, mut sum) = (angle, angle);
    for nth in 1..=12u32 {
        let n = f64::from(2 * nth);
        term *= -square / (n * (n + 1.0));
        sum += term;
    }
    sum
}
