//! Checks the gradient from outside of the plan.
//!
//! One step of stochastic gradient descent on one batch gives `w' = w - lr g`, so a step with
//! lr = 1 gives `g = w - w'` with the fewest roundings. `validate` gives the loss of the same
//! batch for any `w`, and so central differences, which `g` must equal. The plan is called only as
//! in every round.
//!
//! Optimizers that divide the gradient by its size (Adam, RMSprop, Adagrad) add a small number to
//! the size, `optimizer.eps`. With a huge one they divide by that number alone, and their first
//! step is one of gradient descent. Of one that has no such argument the signs are compared.

use fedwasm_params::{DType, Params, Tensor};
use fedwasm_protocol::{Arguments, Value, ValueKind};
use fedwasm_sandbox::{Error, FaultKind, Outcome, Profile, TensorSpec};

use super::CheckVerdict::{Failed, NotApplicable, Passed};
use super::{CheckVerdict, Suite};

/// The argument of the learning rate.
const LR: &str = "optimizer.lr";
/// The number added to the size by which an optimizer divides.
const EPS: &str = "optimizer.eps";
/// A power of two, so that it takes no digit, and far above the size of any gradient of interest.
const HUGE: f64 = 1_048_576.0;
/// Steps of the differences: the first is better where the loss is curved, the second where it is
/// nearly flat. One of them must agree, since the loss may have a kink within the other.
const STEPS: [f64; 3] = [1e-2, 2e-3, 5e-4];
/// How far a difference may be from the gradient, relative to the larger.
const RELATIVE: f64 = 2e-2;
/// And beside it: the rounding error of a float32 loss, relative to the loss, over the step.
const ROUNDING: f64 = 4e-7;
/// How far steps of a normalising optimizer are from one size, relative to it.
const ONE_SIZE: f64 = 5e-2;
/// Coordinates of each tensor, those with the largest gradients.
const COORDINATES: usize = 3;
/// Coordinates of each tensor whose signs are compared, evenly spaced.
const SIGNS: usize = 16;
/// The most rows of the batch.
pub(super) const ROWS: usize = 16;

/// Tensors by name, each with one number an element.
type Elements = Vec<(String, Vec<f64>)>;

pub(super) fn check(suite: &Suite) -> Result<CheckVerdict, Error> {
    if suite.argument(LR, ValueKind::Real).is_none() {
        return Ok(NotApplicable(format!("the plan does not take the argument `{LR}`")));
    }
    let model = &suite.session.declaration().model;
    if !model.iter().all(|spec| spec.dtype == DType::Float32) {
        return Ok(NotApplicable("not all parameters are float32".into()));
    }
    let start = suite.init(suite.options.random_seed)?;
    let at = Point { suite, start: &start };
    let Some(loss) = at.loss(start.clone())? else {
        return Ok(NotApplicable("`validate` reports no `loss`".into()));
    };
    if suite.argument(EPS, ValueKind::Real).is_none() {
        return at.judge(loss, false, true);
    }
    match at.judge(loss, true, false)? {
        NotApplicable(_) => at.judge(loss, false, true),
        // The argument may mean something else in an optimizer that takes plain steps.
        Failed(why) => match at.judge(loss, false, false)? {
            passed @ Passed(_) => Ok(passed),
            _ => Ok(Failed(why)),
        },
        passed => Ok(passed),
    }
}

/// Initial parameters and one batch.
struct Point<'a> {
    suite: &'a Suite,
    start: &'a Params,
}

impl Point<'_> {
    /// The loss of the batch with these parameters.
    fn loss(&self, params: Params) -> Result<Option<f64>, Error> {
        Ok(loss(&self.suite.validate(params, &self.suite.one_batch())?))
    }

    /// One step with this learning rate, with a huge `eps` or the plan's own.
    fn step(&self, lr: f64, is_huge: bool) -> Result<Outcome, Error> {
        let Self { suite, start } = self;
        let rate = Arguments::from([(LR.to_owned(), Value::Real(lr))]);
        let mut given = rate.clone();
        // The parts that add to a step beside the gradient.
        let zero = [("momentum", Value::Real(0.0)), ("weight_decay", Value::Real(0.0))];
        for (name, value) in zero.into_iter().chain([("nesterov", Value::Boolean(false))]) {
            let name = format!("optimizer.{name}");
            if suite.argument(&name, value.kind()).is_some() {
                given.insert(name, value);
            }
        }
        if is_huge {
            given.insert(LR.to_owned(), Value::Real(lr * HUGE));
            given.insert(EPS.to_owned(), Value::Real(HUGE));
        }
        let session = match suite.other(Profile::Standard, given) {
            // An optimizer of the plan's own may have other rules.
            Err(Error::Fault(fault)) if fault.kind == FaultKind::InvalidArgument => {
                suite.other(Profile::Standard, rate)?
            }
            session => session?,
        };
        let seed = suite.options.random_seed;
        suite.train_in(&session, (*start).clone(), seed, &suite.one_batch())
    }

    /// Compares a step with the loss; where all steps have one size, their signs if `by_signs`.
    fn judge(&self, at: f64, is_huge: bool, by_signs: bool) -> Result<CheckVerdict, Error> {
        let (one, half) = (self.step(1.0, is_huge)?, self.step(0.5, is_huge)?);
        match loss(&one) {
            Some(trained) if (trained - at).abs() <= 1e-4 * at.abs().max(1e-3) => {}
            _ => {
                let text = "training and validation compute different losses (dropout, a penalty)";
                return Ok(NotApplicable(text.into()));
            }
        }
        let trainable = |spec: &&TensorSpec| spec.trainable;
        let model = self.suite.session.declaration().model.iter().filter(trainable);
        let names: Vec<&str> = model.map(|spec| spec.name.as_str()).collect();
        let gradients = difference(self.start, &one.model, &names);
        match kind_of_step(&gradients, &difference(self.start, &half.model, &names)) {
            Step::Plain => self.compare(&gradients, at),
            Step::OneSize if by_signs => self.compare_signs(&gradients, at),
            Step::OneSize => Ok(NotApplicable("all steps have the same size".into())),
            Step::Other(why) => Ok(NotApplicable(why.into())),
        }
    }

    /// The central difference of the loss in one coordinate; none if a loss is absent.
    fn slope(&self, name: &str, index: usize, h: f64) -> Result<Option<f64>, Error> {
        let moved = |by: f64| {
            let one = |at| if at == index { by } else { 0.0 };
            self.loss(shifted(self.start, name, one)?)
        };
        let (up, down) = (moved(h)?, moved(-h)?);
        Ok(up.zip(down).map(|(up, down)| (up - down) / (2.0 * h)))
    }

    fn compare(&self, gradients: &Elements, at: f64) -> Result<CheckVerdict, Error> {
        let (mut n, mut worst) = (0, 0.0_f64);
        for (name, gradient) in gradients {
            for index in largest(gradient) {
                let got = gradient[index];
                let mut near = (f64::INFINITY, 0.0);
                for h in STEPS {
                    let Some(wanted) = self.slope(name, index, h)? else { continue };
                    let allowed = RELATIVE * got.abs().max(wanted.abs()) + ROUNDING * at.abs() / h;
                    let off = (got - wanted).abs() / allowed;
                    near = if off < near.0 { (off, wanted) } else { near };
                }
                if near.0 > 1.0 {
                    return Ok(Failed(format!(
                        "element {index} of `{name}`: training steps along {got:.6}, the loss of \
                         `validate` changes by {:.6}; check the backward pass, and whether a mean \
                         stands where a sum belongs",
                        near.1
                    )));
                }
                (n, worst) = (n + 1, worst.max(near.0));
            }
        }
        Ok(Passed(format!("{n} elements, the worst at {:.0} % of the tolerance", worst * 100.0)))
    }

    /// Where the loss clearly rises or falls, a step must go the other way.
    fn compare_signs(&self, steps: &Elements, at: f64) -> Result<CheckVerdict, Error> {
        let h = STEPS[0];
        let clear = 10.0 * ROUNDING * at.abs() / h;
        let mut n = 0;
        for (name, step) in steps {
            for index in (0..step.len()).step_by(step.len().div_ceil(SIGNS).max(1)) {
                let Some(wanted) = self.slope(name, index, h)? else { continue };
                if wanted.abs() <= clear {
                    continue;
                }
                if step[index] * wanted <= 0.0 {
                    return Ok(Failed(format!(
                        "element {index} of `{name}`: training steps along {:.6}, the loss of \
                         `validate` changes by {wanted:.6}; check the backward pass",
                        step[index]
                    )));
                }
                n += 1;
            }
        }
        match n {
            0 => Ok(NotApplicable("the loss of `validate` is flat here".into())),
            n => Ok(Passed(format!(
                "only the signs of {n} elements; all steps of the optimizer have the same size"
            ))),
        }
    }
}

/// The relation of a step to its gradient.
enum Step {
    /// `lr` times it.
    Plain,
    /// Steps of the same size for every gradient.
    OneSize,
    /// Something else.
    Other(&'static str),
}

fn kind_of_step(gradients: &Elements, halves: &Elements) -> Step {
    let all = || gradients.iter().flat_map(|(_, values)| values);
    let pairs = all().zip(halves.iter().flat_map(|(_, values)| values));
    let most = all().fold(0.0_f64, |most, value| most.max(value.abs()));
    if most == 0.0 {
        return Step::Other("one step changes nothing");
    }
    let mut linear = pairs.map(|(one, half)| (one - 2.0 * half).abs() <= 1e-3 * most);
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

fn difference(before: &Params, after: &Params, names: &[&str]) -> Elements {
    let pairs = before.iter().filter_map(|(name, tensor)| {
        let (before, after) = (tensor.floats()?, after.tensor(name)?.floats()?);
        let steps = before.iter().zip(after).map(|(b, a)| b - a).collect();
        names.contains(&name).then(|| (name.to_owned(), steps))
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
