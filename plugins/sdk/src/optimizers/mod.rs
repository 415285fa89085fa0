//! Optimizers.

mod adagrad;
mod adam;
mod rms_prop;
mod sgd;
mod stepper;
#[cfg(test)]
mod tests;

use crate::{Argument, Arguments, PlanError, Result};

pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use rms_prop::RmsProp;
pub use sgd::Sgd;
pub(crate) use stepper::{KEEP_STATE, Stepper, state};

/// A rule that moves parameters along gradients.
///
/// The buffers that it keeps for each parameter start from [`INITIAL`] in every round, unless
/// `optimizer.keep_state` is true: then they are node state and go on from round to round.
///
/// [`INITIAL`]: Self::INITIAL
pub trait Optimizer: Sized + 'static {
    /// What buffers start from.
    const INITIAL: f32 = 0.0;

    /// Whether a step depends on how many there were before.
    const COUNTS_STEPS: bool = false;

    /// The arguments that [`from_arguments`] reads, keys starting with `optimizer.`.
    ///
    /// [`from_arguments`]: Self::from_arguments
    fn arguments() -> Vec<Argument>;

    /// Builds the optimizer from its arguments.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if one is out of range.
    fn from_arguments(args: &Arguments) -> Result<Self>;

    /// The names of the buffers that it keeps for each parameter, each of the parameter's length.
    fn buffers(&self) -> &'static [&'static str];

    /// The learning rate.
    fn lr(&self) -> f32;

    /// Takes the `nth` step, from 1 on, of one parameter. `gradient` may be changed on the way.
    fn step(&self, nth: u64, value: &mut [f32], gradient: &mut [f32], buffers: &mut [Vec<f32>]);
}

/// The argument for the learning rate.
fn lr_argument(default: f64) -> Argument {
    Argument::with_default::<f64, _>("optimizer.lr", default, "learning rate, more than 0")
}

/// A finite number more than 0.
fn positive(args: &Arguments, name: &str) -> Result<f32> {
    in_range(args, name, |value| value > 0.0 && value.is_finite(), "more than 0")
}

/// A finite number, at least 0.
fn not_negative(args: &Arguments, name: &str) -> Result<f32> {
    in_range(args, name, |value| value >= 0.0 && value.is_finite(), "at least 0")
}

/// A number in [0, 1).
fn fraction(args: &Arguments, name: &str) -> Result<f32> {
    in_range(args, name, |value| (0.0..1.0).contains(&value), "at least 0 and less than 1")
}

/// The number must be in range after it was rounded to float32: 1e-60 is 0 then, 0.99999999 is 1.
fn in_range(args: &Arguments, name: &str, is_in: fn(f32) -> bool, range: &str) -> Result<f32> {
    let value = args.real(name)?;
    let rounded = value as f32;
    if is_in(rounded) {
        return Ok(rounded);
    }
    let mut text = format!("{name} is {value}, ");
    if rounded.to_string() != value.to_string() {
        text += &format!("{rounded} in float32, ");
    }
    Err(PlanError::InvalidArgument(format!("{text}expected {range}")))
}

/// `base` to the power of `n`, by squaring, in float64.
fn power(base: f32, mut n: u64) -> f64 {
    let (mut square, mut result) = (f64::from(base), 1.0);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}

/// Runs `f` on the pieces of slices of one length, with the square roots of the last one's.
fn with_roots(
    value: &mut [f32],
    other: &[f32],
    squares: &[f32],
    mut f: impl FnMut(&mut [f32], &[f32], &mut [f32]),
) {
    const PIECE: usize = 256;
    let mut roots = [0.0; PIECE];
    let pieces = value.chunks_mut(PIECE).zip(other.chunks(PIECE)).zip(squares.chunks(PIECE));
    for ((value, other), squares) in pieces {
        let roots = &mut roots[..squares.len()];
        roots.copy_from_slice(squares);
        fedwasm_kernels::elementwise::sqrt(roots);
        f(value, other, roots);
    }
}
