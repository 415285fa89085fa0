//! Losses that compare each output with a number.

use std::cmp::Ordering;

use fedwasm_kernels::math;

use crate::{PlanError, Result, Targets, Tensor};

/// Returns the mean over all elements of `log(1 + exp(-s))` where the target is 1 and
/// `log(1 + exp(s))` where it is 0, or between, and its gradient with respect to `scores`, as
/// `torch.nn.functional.binary_cross_entropy_with_logits`. Targets are numbers in [0, 1] of the
/// shape of `scores`, or with one score a row classes 0 and 1.
///
/// # Errors
/// [`PlanError::BadData`] if targets are outside of [0, 1] or of another shape.
pub fn binary_cross_entropy(scores: &Tensor, targets: &Targets) -> Result<(f32, Tensor)> {
    mean(scores, targets, |score, target| {
        if !(0.0..=1.0).contains(&target) {
            let text = format!("target {target} is not between 0 and 1");
            return Err(PlanError::BadData(text));
        }
        let positive = if score > 0.0 { score } else { 0.0 };
        let loss = positive - score * target + math::ln_1p(math::exp(-score.abs()));
        Ok((loss, math::sigmoid(score) - target))
    })
}

/// Returns the mean squared error over all elements and its gradient with respect to `outputs`,
/// as `torch.nn.functional.mse_loss`.
///
/// # Errors
/// [`PlanError::BadData`] if targets have another shape.
pub fn mse(outputs: &Tensor, targets: &Targets) -> Result<(f32, Tensor)> {
    mean(outputs, targets, |output, target| {
        let error = output - target;
        Ok((error * error, 2.0 * error))
    })
}

/// Returns the mean absolute error over all elements and its gradient with respect to `outputs`
/// (0 where they are equal), as `torch.nn.functional.l1_loss`.
///
/// # Errors
/// [`PlanError::BadData`] if targets have another shape.
pub fn mae(outputs: &Tensor, targets: &Targets) -> Result<(f32, Tensor)> {
    mean(outputs, targets, |output, target| {
        let error = output - target;
        Ok((error.abs(), if error == 0.0 { 0.0 } else { error.signum() }))
    })
}

/// Returns the mean over all elements of `error²/2` where the error is at most `delta` in size and
/// `delta (|error| - delta/2)` beyond, and its gradient with respect to `outputs`, as
/// `torch.nn.functional.huber_loss` (Huber 1964).
///
/// # Errors
/// [`PlanError::InvalidArgument`] if `delta` is not more than 0; [`PlanError::BadData`] if targets
/// have another shape.
pub fn huber(outputs: &Tensor, targets: &Targets, delta: f32) -> Result<(f32, Tensor)> {
    // Also where it is NaN.
    if delta.partial_cmp(&0.0) != Some(Ordering::Greater) {
        let text = format!("huber: delta is {delta}, expected more than 0");
        return Err(PlanError::InvalidArgument(text));
    }
    mean(outputs, targets, |output, target| {
        let error = output - target;
        let size = error.abs();
        Ok(if size <= delta {
            (0.5 * error * error, error)
        } else {
            (delta * (size - 0.5 * delta), delta * error.signum())
        })
    })
}

/// The mean of losses, summed in float64 in ascending element, and of their gradients.
fn mean(
    outputs: &Tensor,
    targets: &Targets,
    loss: impl Fn(f32, f32) -> Result<(f32, f32)>,
) -> Result<(f32, Tensor)> {
    let targets = targets.reals(outputs.shape())?;
    let mut gradient = outputs.clone();
    let (mut total, n) = (0.0f64, targets.data().len());
    let share = 1.0 / n as f32;
    for (output, target) in gradient.data_mut().iter_mut().zip(targets.data()) {
        let (loss, slope) = loss(*output, *target)?;
        total += f64::from(loss);
        *output = slope * share;
    }
    Ok(((total / n as f64) as f32, gradient))
}
