//! Checks the gradient from outside of the plan.
//!
//! One step of stochastic gradient descent on one batch gives `w' = w - lr g`, so a step with
//! lr = 1 gives `g = w - w'` with the fewest roundings. `validate` gives the loss of the same
//! batch for any `w`, and so central differences, which `g` must equal. Nothing is asked of the
//! plan but what every round asks.

use fedwasm_params::{DType, Params, Tensor};
use fedwasm_protocol::{Arguments, Value, ValueKind};
use fedwasm_sandbox::{Error, Outcome, Profile};

use super::Verdict::{Failed, NotApplicable, Passed};
use super::{Suite, Verdict};

/// The argument of the learning rate.
const LR: &str = "optimizer.lr";
/// Steps of the differences: the first is better where the loss is curved, the second where it is
/// nearly flat. One of them must agree, since the loss may have a kink within the other.
const STEPS: [f64; 3] = [1e-2, 2e-3, 5e-4];
/// How far a difference may be from the gradient, relative to the larger.
const RELATIVE: f64 = 2e-2;
/// And besides: what the rounding of a float32 loss leaves, relative to the loss, over the step.
const ROUNDING: f64 = 4e-7;
/// Coordinates of each tensor, those with the largest gradients.
const COORDINATES: usize = 3;
/// The most rows of the batch.
const ROWS: usize = 16;

pub(super) fn check(suite: &Suite) -> Result<Verdict, Error> {
    if suite.argument(LR, ValueKind::Real).is_none() {
        return Ok(NotApplicable(format!("the plan has no argument `{LR}`")));
    }
    let float32 = |spec: &fedwasm_sandbox::TensorSpec| spec.dtype == DType::Float32;
    if !suite.session.declaration().model.iter().all(float32) {
        return Ok(NotApplicable("not all parameters are float32".into()));
    }
    let batch = [ROWS.min(suite.n_rows())];
    let seed = suite.options.random_seed;
    let start = suite.init(seed)?;
    let step = |lr: f64| -> Result<Outcome, Error> {
        let lr = Arguments::from([(LR.to_owned(), Value::Real(lr))]);
        let session = suite.other(Profile::Standard, lr)?;
        suite.train_in(&session, start.clone(), seed, &batch)
    };
    let (one, half) = (step(1.0)?, step(0.5)?);
    let loss = |params: Params| -> Result<Option<f64>, Error> {
        Ok(metric(&suite.validate(params, &batch)?, "loss"))
    };
    let Some(at) = loss(start.clone())? else {
        return Ok(NotApplicable("`validate` reports no `loss`".into()));
    };
    match metric(&one, "loss") {
        Some(trained) if (trained - at).abs() <= 1e-4 * at.abs().max(1e-3) => {}
        _ => {
            let text = "training and validation compute different losses (dropout, a penalty)";
            return Ok(NotApplicable(text.into()));
        }
    }
    let gradients: Vec<(String, Vec<f64>)> = difference(&start, &one.model);
    let halves = difference(&start, &half.model);
    if let Some(why) = is_no_plain_step(&gradients, &halves) {
        return Ok(NotApplicable(why.into()));
    }
    let (mut n, mut worst) = (0, 0.0_f64);
    for (name, gradient) in &gradients {
        for index in largest(gradient) {
            let got = gradient[index];
            let mut near = (f64::INFINITY, 0.0);
            for h in STEPS {
                let moved = |by| loss(shifted(&start, name, index, by)?);
                let (Some(up), Some(down)) = (moved(h)?, moved(-h)?) else { continue };
                let wanted = (up - down) / (2.0 * h);
                let allowed = RELATIVE * got.abs().max(wanted.abs()) + ROUNDING * at.abs() / h;
                let off = (got - wanted).abs() / allowed;
                near = if off < near.0 { (off, wanted) } else { near };
            }
            if near.0 > 1.0 {
                return Ok(Failed(format!(
                    "element {index} of `{name}`: training steps along {got:.6}, the loss of \
                     `validate` changes by {:.6}; look at the backward pass, and at a mean where \
                     there should be a sum",
                    near.1
                )));
            }
            (n, worst) = (n + 1, worst.max(near.0));
        }
    }
    Ok(Passed(format!("{n} elements, the worst at {:.0} % of the tolerance", worst * 100.0)))
}

/// Whether the optimizer did anything but subtract `lr` times a gradient.
fn is_no_plain_step(
    gradients: &[(String, Vec<f64>)],
    halves: &[(String, Vec<f64>)],
) -> Option<&'static str> {
    let all = || gradients.iter().flat_map(|(_, values)| values);
    let pairs = all().zip(halves.iter().flat_map(|(_, values)| values));
    let most = all().fold(0.0_f64, |most, value| most.max(value.abs()));
    let mut moved = all().filter(|value| **value != 0.0);
    if most == 0.0 {
        return Some("one step changes nothing");
    }
    // Adam's first step is the learning rate in every direction, whatever the gradient.
    if moved.all(|value| (value.abs() - most).abs() < 1e-3 * most) && all().count() > 1 {
        return Some("the optimizer normalises its steps, as Adam does");
    }
    let mut linear = pairs.map(|(one, half)| (one - 2.0 * half).abs() <= 1e-3 * most);
    if !linear.all(|same| same) {
        return Some("the step is not in proportion to the learning rate");
    }
    None
}

fn metric(outcome: &Outcome, name: &str) -> Option<f64> {
    outcome.report.as_ref()?.metrics.get(name).copied()
}

fn difference(before: &Params, after: &Params) -> Vec<(String, Vec<f64>)> {
    let pairs = before.iter().filter_map(|(name, tensor)| {
        let (before, after) = (tensor.floats()?, after.tensor(name)?.floats()?);
        Some((name.to_owned(), before.iter().zip(after).map(|(b, a)| b - a).collect()))
    });
    pairs.collect()
}

/// The places of the largest elements, ties in order of place.
fn largest(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()).then(a.cmp(b)));
    order.truncate(COORDINATES);
    order
}

/// The same parameters with one element moved.
fn shifted(params: &Params, name: &str, index: usize, by: f64) -> Result<Params, Error> {
    let tensors = params.iter().map(|(known, tensor)| {
        let tensor = match (known == name, tensor.floats()) {
            (true, Some(mut values)) => {
                values[index] += by;
                let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                Tensor::from_f32(tensor.shape().to_vec(), &values)?
            }
            _ => tensor.clone(),
        };
        Ok((known.to_owned(), tensor))
    });
    let tensors: Result<Vec<_>, fedwasm_params::Error> = tensors.collect();
    let moved = tensors.and_then(Params::new);
    moved.map_err(|error| Error::Loader { reason: error.to_string() })
}
