//! Numbers of elements of tensors: steps, their kinds and places; parameters with some moved.

use fedwasm_params::{DType, Params, Tensor};
use fedwasm_sandbox::{Error, Outcome};

/// How far steps of a normalising optimizer are from one size, relative to it.
const ONE_SIZE: f64 = 5e-2;
/// Coordinates of each tensor, those with the largest gradients.
const COORDINATES: usize = 3;
/// Coordinates of each tensor whose signs are compared, evenly spaced.
const SIGNS: usize = 16;
/// How far steps of one length are from it, relative to it.
const ONE_LENGTH: f64 = 1e-3;

/// Tensors by name, each with one number an element.
pub(super) type Elements = Vec<(String, Vec<f64>)>;

/// The relation of a step to its gradient.
pub(super) enum Step {
    /// `lr` times it.
    Plain,
    /// Steps of the same size for every gradient.
    OneSize,
    /// Something else.
    Other(&'static str),
}

pub(super) fn kind_of_step(gradients: &Elements, halves: &Elements) -> Step {
    let all = || gradients.iter().flat_map(|(_, values)| values);
    let pairs = all().zip(halves.iter().flat_map(|(_, values)| values));
    let most = all().fold(0.0_f64, |most, value| most.max(value.abs()));
    if most == 0.0 {
        return Step::Other("one step changes nothing");
    }
    let mut linear = pairs.map(|(one, half)| (one - half).abs() <= 1e-3 * most);
    if !linear.all(|same| same) {
        return Step::Other("the step is not in proportion to the learning rate");
    }
    // Most of them: the number added to the size by which the optimizer divides shortens steps
    // along small gradients, and weight decay is added to all.
    let moved = || all().filter(|value| **value != 0.0);
    let of_one_size = moved().filter(|value| value.abs() >= (1.0 - ONE_SIZE) * most).count();
    if of_one_size > 1 && 2 * of_one_size > moved().count() { Step::OneSize } else { Step::Plain }
}

/// The loss of a report.
pub(super) fn loss(outcome: &Outcome) -> Option<f64> {
    outcome.report.as_ref()?.metrics.get("loss").copied()
}

pub(super) fn difference(before: &Params, after: &Params, names: &[&str], lr: f64) -> Elements {
    let pairs = before.iter().filter_map(|(name, tensor)| {
        let (before, after) = (tensor.floats()?, after.tensor(name)?.floats()?);
        let steps = before.iter().zip(after).map(|(b, a)| (b - a) / lr).collect();
        names.contains(&name).then(|| (name.to_owned(), steps))
    });
    pairs.collect()
}

/// Whether the steps of each tensor have the same length in both, and more than one element.
pub(super) fn have_same_lengths(first: &Elements, second: &Elements) -> bool {
    let length = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut pairs = first.iter().zip(second).map(|(a, b)| (length(&a.1), length(&b.1)));
    pairs.all(|(a, b)| (a - b).abs() <= ONE_LENGTH * a.max(b))
}

/// Places of some elements, evenly spaced.
pub(super) fn evenly(n: usize) -> impl Iterator<Item = usize> {
    (0..n).step_by(n.div_ceil(SIGNS).max(1))
}

/// The places of the largest elements, ties in order of place.
pub(super) fn largest(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()).then(a.cmp(b)));
    order.truncate(COORDINATES);
    order
}

/// The same parameters with the elements of one tensor moved, each by its own number.
pub(super) fn shifted(
    params: &Params,
    name: &str,
    by: impl Fn(usize) -> f64,
) -> Result<Params, Error> {
    let tensors = params.iter().map(|(known, tensor)| {
        let tensor = match (known == name, tensor.dtype(), tensor.floats()) {
            (true, DType::Float32, Some(values)) => {
                let moved = values.iter().enumerate().map(|(at, value)| (value + by(at)) as f32);
                let values: Vec<f32> = moved.collect();
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
