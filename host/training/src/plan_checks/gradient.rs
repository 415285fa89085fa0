//! Checks the gradient from outside of the plan.
//!
//! One step of stochastic gradient descent on one batch gives `w' = w - lr g`, so a step with
//! lr = 1 gives `g = w - w'` with the fewest roundings. `validate` gives the loss of the same
//! batch for any `w`, and so central differences, which `g` must equal. The plan is called only as
//! in every round.
//!
//! Optimizers that divide the gradient by its size (Adam, RMSprop, Adagrad) add a small number to
//! the size, `optimizer.eps`. With a huge one they divide by that number alone, and their first
//! step is one of gradient descent.
//!
//! A rule of the plan's own has no such argument. Then its law is found from the steps and the
//! differences ([`super::law`]), and what it leaves of the gradient is compared: all but weight
//! decay, all but a factor, directions, or signs. The verdict says which.

use std::ops::Range;

use fedwasm_params::{DType, Params, Tensor};
use fedwasm_protocol::{Arguments, Value, ValueKind};
use fedwasm_sandbox::{Error, FaultKind, Outcome, Profile, Session, TensorSpec};

use super::CheckVerdict::{Failed, NotApplicable, Passed};
use super::elements::{
    Elements, Step, difference, evenly, have_same_lengths, kind_of_step, largest, loss, shifted,
};
use super::law::{self, Sample};
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
/// How many times longer than the gradient steps are where only the rate is huge.
const FAR: f64 = 1_000.0;
/// How far a difference may be from the gradient, relative to the larger.
const RELATIVE: f64 = 2e-2;
/// And beside it: the rounding error of a float32 loss, relative to the loss, over the step.
const ROUNDING: f64 = 4e-7;
/// The rates that are tried, since a plan may refuse large ones: powers of two, which take no digit.
const RATES: [f64; 3] = [1.0, 0.0625, 0.000_976_562_5];
/// A rate at which the gradient after a step is nearly that before.
const SMALL: f64 = 0.000_976_562_5;
/// How much the second of two small steps differs from the first under another rate.
const ANOTHER: f64 = 0.1;
/// The most rows of the batch.
pub(super) const ROWS: usize = 16;

pub(super) fn check(suite: &Suite) -> Result<CheckVerdict, Error> {
    if suite.argument(LR, ValueKind::Real).is_none() {
        return Ok(NotApplicable(format!("the plan does not take the argument `{LR}`")));
    }
    let model = &suite.session.declaration().model;
    if !model.iter().all(|spec| spec.dtype == DType::Float32) {
        return Ok(NotApplicable("not all parameters are float32".into()));
    }
    let start = suite.init(suite.options.random_seed)?;
    let [n_rows] = suite.one_batch();
    let at = Point { suite, start: &start, rows: 0..n_rows };
    let Some(loss) = at.loss(start.clone())? else {
        return Ok(NotApplicable("`validate` reports no `loss`".into()));
    };
    if suite.argument(EPS, ValueKind::Real).is_none() {
        return at.judge(loss, false, true);
    }
    match at.judge(loss, true, false)? {
        NotApplicable(_) => at.judge(loss, false, true),
        verdict => Ok(verdict),
    }
}

/// Initial parameters and one batch.
struct Point<'a> {
    suite: &'a Suite,
    start: &'a Params,
    rows: Range<usize>,
}

/// The settings of a step.
#[derive(Clone, Copy)]
struct Rate {
    lr: f64,
    /// With a huge `eps`, or the plan's own.
    is_huge: bool,
}

impl Point<'_> {
    /// The loss of the batch with these parameters.
    fn loss(&self, params: Params) -> Result<Option<f64>, Error> {
        let batch = self.suite.rows.batches(std::slice::from_ref(&self.rows));
        Ok(loss(&self.suite.validate_on(params, batch)?))
    }

    /// A session with these settings and without the parts that add to a step beside the gradient,
    /// as far as the plan takes them; none if it refuses the rate.
    fn session(&self, Rate { lr, is_huge }: Rate) -> Result<Option<Session>, Error> {
        let mut rate = Arguments::from([(LR.to_owned(), Value::Real(lr))]);
        if is_huge {
            rate.insert(LR.to_owned(), Value::Real(lr * HUGE));
            rate.insert(EPS.to_owned(), Value::Real(HUGE));
        }
        let mut given = rate.clone();
        let zero = [("momentum", Value::Real(0.0)), ("weight_decay", Value::Real(0.0))];
        for (name, value) in zero.into_iter().chain([("nesterov", Value::Boolean(false))]) {
            let name = format!("optimizer.{name}");
            if self.suite.argument(&name, value.kind()).is_some() {
                given.insert(name, value);
            }
        }
        // An optimizer of the plan's own may have other rules.
        for given in [given, rate] {
            match self.suite.other(Profile::Standard, given) {
                Err(Error::Fault(fault)) if fault.kind == FaultKind::InvalidArgument => {}
                session => return session.map(Some),
            }
        }
        Ok(None)
    }

    /// So many steps on the batch.
    fn steps(&self, session: &Session, n: usize) -> Result<Outcome, Error> {
        let batches = self.suite.rows.batches(&vec![self.rows.clone(); n]);
        let seed = self.suite.options.random_seed;
        self.suite.train_on(session, self.start.clone(), seed, batches)
    }

    /// What one step subtracts from each trainable element, over the learning rate.
    fn step(&self, rate: Rate) -> Result<Option<(Elements, Outcome)>, Error> {
        let Some(session) = self.session(rate)? else { return Ok(None) };
        let outcome = self.steps(&session, 1)?;
        Ok(Some((self.difference(&outcome.model, rate.lr), outcome)))
    }

    fn difference(&self, after: &Params, lr: f64) -> Elements {
        let trainable = |spec: &&TensorSpec| spec.trainable;
        let model = self.suite.session.declaration().model.iter().filter(trainable);
        let names: Vec<&str> = model.map(|spec| spec.name.as_str()).collect();
        difference(self.start, after, &names, lr)
    }

    /// Compares a step with the loss; where all steps have one size, their signs if `by_signs`.
    fn judge(&self, at: f64, is_huge: bool, by_signs: bool) -> Result<CheckVerdict, Error> {
        // The larger a rate, the fewer digits are lost.
        for lr in RATES.into_iter().take(if is_huge { 1 } else { RATES.len() }) {
            let (rate, less) = (Rate { lr, is_huge }, Rate { lr: lr / 2.0, is_huge });
            let Some((gradients, one)) = self.step(rate)? else { continue };
            let Some((halves, _)) = self.step(less)? else { continue };
            match loss(&one) {
                Some(trained) if (trained - at).abs() <= 1e-4 * at.abs().max(1e-3) => {}
                _ => {
                    let text =
                        "training and validation compute different losses (dropout, a penalty)";
                    return Ok(NotApplicable(text.into()));
                }
            }
            return match kind_of_step(&gradients, &halves) {
                Step::Plain => match self.compare(&gradients, at, lr)? {
                    Failed(why) => self.of_unknown_law(rate, &gradients, at, why),
                    passed => Ok(passed),
                },
                Step::OneSize if by_signs => self.compare_signs(&gradients, at),
                Step::OneSize => Ok(NotApplicable("all steps have the same size".into())),
                Step::Other(why) => Ok(NotApplicable(why.into())),
            };
        }
        Ok(NotApplicable(format!("the plan refuses every `{LR}` that is tried")))
    }

    /// Steps are not the gradient of the loss. Either it is wrong, or the optimizer does more than
    /// to subtract it.
    fn of_unknown_law(
        &self,
        rate: Rate,
        steps: &Elements,
        at: f64,
        why: String,
    ) -> Result<CheckVerdict, Error> {
        let samples = self.samples(steps, at, rate.lr)?;
        let n = samples.len();
        if let Some(law) = law::fit(&samples) {
            if law.is_plain() {
                let decay = format!("beside a weight decay of {:.3}", law.decay);
                return Ok(Passed(format!("{n} elements, {decay}")));
            }
            if !rate.is_huge && self.is_second_step_another()? {
                return Ok(Passed(format!(
                    "{n} elements, but only up to a factor: the first step is {:.3} times the \
                     gradient, and the second is not",
                    law.factor
                )));
            }
        }
        if rate.is_huge {
            // The number changed nothing but the rate, or a fixed weight decay is on top.
            let is_far = law::is_far_above(&samples, FAR);
            let text = format!("`{EPS}` makes no plain steps");
            return Ok(if is_far { NotApplicable(text) } else { Failed(why) });
        }
        let (from, end) = (self.rows.end, self.suite.n_rows().min(self.rows.end + ROWS));
        if from >= end {
            return Ok(Failed(why));
        }
        let other = Point { rows: from..end, ..*self };
        let (Some((others, _)), Some(other_at)) =
            (other.step(rate)?, other.loss(self.start.clone())?)
        else {
            return Ok(Failed(why));
        };
        if have_same_lengths(steps, &others) && law::is_along_each(&samples) {
            return Ok(Passed(format!(
                "only the directions of {n} elements; all steps of a parameter have one length"
            )));
        }
        let other_samples = other.samples(&others, other_at, rate.lr)?;
        if law::is_normalising(&samples, &other_samples) {
            return self.compare_signs(steps, at);
        }
        Ok(Failed(why))
    }

    /// Whether a small second step on the same batch is another one than the first, as by a rate
    /// that follows a schedule, or by a mean of gradients.
    fn is_second_step_another(&self) -> Result<bool, Error> {
        let rate = Rate { lr: SMALL, is_huge: false };
        let Some(session) = self.session(rate)? else { return Ok(false) };
        let one = self.difference(&self.steps(&session, 1)?.model, SMALL);
        let two = self.difference(&self.steps(&session, 2)?.model, SMALL);
        let length = |steps: &Elements| {
            steps.iter().flat_map(|(_, values)| values).map(|x| x * x).sum::<f64>().sqrt()
        };
        Ok((length(&two) - 2.0 * length(&one)).abs() > ANOTHER * length(&one))
    }

    /// Some elements of each tensor, evenly spaced, with their slopes. Both batches of a check give
    /// the same ones.
    fn samples(&self, steps: &Elements, at: f64, lr: f64) -> Result<Vec<Sample>, Error> {
        let h = STEPS[1];
        let mut samples = Vec::new();
        for (tensor, (name, step)) in steps.iter().enumerate() {
            let values = self.start.tensor(name).and_then(Tensor::floats).unwrap_or_default();
            for index in evenly(step.len()) {
                let value = values.get(index).copied().unwrap_or_default();
                let Some(slope) = self.slope(name, index, h)? else { continue };
                let rounding = ROUNDING * at.abs() / h + ROUNDING * value.abs() / lr;
                samples.push(Sample { tensor, step: step[index], slope, rounding, value });
            }
        }
        Ok(samples)
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

    fn compare(&self, gradients: &Elements, at: f64, lr: f64) -> Result<CheckVerdict, Error> {
        let (mut n, mut worst) = (0, 0.0_f64);
        for (name, gradient) in gradients {
            let values = self.start.tensor(name).and_then(Tensor::floats).unwrap_or_default();
            for index in largest(gradient) {
                let got = gradient[index];
                let lost = values.get(index).map_or(0.0, |value| ROUNDING * value.abs() / lr);
                let mut near = (f64::INFINITY, 0.0);
                for h in STEPS {
                    let Some(wanted) = self.slope(name, index, h)? else { continue };
                    let rounding = ROUNDING * at.abs() / h + lost;
                    let allowed = RELATIVE * got.abs().max(wanted.abs()) + rounding;
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
            for index in evenly(step.len()) {
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
