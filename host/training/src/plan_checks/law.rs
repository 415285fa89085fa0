//! The law of an optimizer, from samples of its steps and of the loss's slopes.

/// How far a step may be from what a law says, relative to the larger.
const RELATIVE: f64 = 2e-2;
/// The fewest samples that a law with one number is believed from; two for each further number.
const SAMPLES_MIN: usize = 5;
/// How much the slopes of an element must differ between two batches to tell how steps follow them.
const APART: f64 = 1.5;

/// One element: its step, the slope of the loss, and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Which tensor it is of.
    pub(super) tensor: usize,
    /// What was subtracted from it, over the learning rate.
    pub(super) step: f64,
    /// The central difference of the loss.
    pub(super) slope: f64,
    /// The error of the slope, from rounding.
    pub(super) rounding: f64,
    /// The value before the step.
    pub(super) value: f64,
}

/// `step = factor * slope + decay * value`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Law {
    /// Of the slope.
    pub(super) factor: f64,
    /// Of the value: weight decay.
    pub(super) decay: f64,
}

impl Law {
    /// Whether steps are the gradient itself, beside decay.
    pub(super) fn is_plain(self) -> bool {
        (self.factor - 1.0).abs() <= RELATIVE
    }

    fn explains(self, samples: &[Sample]) -> bool {
        samples.iter().all(|sample| {
            let said = self.factor * sample.slope + self.decay * sample.value;
            let of_larger = RELATIVE * (self.factor * sample.slope).abs().max(sample.step.abs());
            (sample.step - said).abs() <= of_larger + self.factor.abs() * sample.rounding
        })
    }
}

/// The law that explains all samples, with a factor above 0; the one without decay if it does.
pub(super) fn fit(samples: &[Sample]) -> Option<Law> {
    let sum = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    let (gg, gw) = (sum(|s| s.slope * s.slope), sum(|s| s.slope * s.value));
    let (ww, sg) = (sum(|s| s.value * s.value), sum(|s| s.step * s.slope));
    let sw = sum(|s| s.step * s.value);
    let determinant = gg * ww - gw * gw;
    let one = Law { factor: sg / gg, decay: 0.0 };
    let two =
        Law { factor: (sg * ww - sw * gw) / determinant, decay: (sw * gg - sg * gw) / determinant };
    // Slopes in proportion to the values do not tell one number from the other.
    let is_two = samples.len() >= SAMPLES_MIN + 2 && determinant > 1e-3 * gg * ww;
    let laws = [(one, samples.len() >= SAMPLES_MIN), (two, is_two)];
    let mut laws = laws.into_iter().filter(|(law, is_known)| *is_known && law.factor > 0.0);
    laws.find(|(law, _)| law.explains(samples)).map(|(law, _)| law)
}

/// Whether steps are so many times as long as the slopes.
pub(super) fn is_far_above(samples: &[Sample], times: f64) -> bool {
    let length = |of: fn(&Sample) -> f64| samples.iter().map(of).map(|x| x * x).sum::<f64>().sqrt();
    length(|sample| sample.step) > times * length(|sample| sample.slope)
}

/// Whether the steps of each tensor are along its slopes, each with a factor of its own.
pub(super) fn is_along_each(samples: &[Sample]) -> bool {
    let n = samples.iter().map(|sample| sample.tensor + 1).max().unwrap_or(0);
    samples.len() >= SAMPLES_MIN
        && (0..n).all(|tensor| {
            let own: Vec<Sample> =
                samples.iter().filter(|sample| sample.tensor == tensor).copied().collect();
            let (gg, sg) = own.iter().fold((0.0, 0.0), |(gg, sg), sample| {
                (gg + sample.slope * sample.slope, sg + sample.step * sample.slope)
            });
            let law = Law { factor: sg / gg, decay: 0.0 };
            own.is_empty() || (law.factor > 0.0 && law.explains(&own))
        })
}

/// Whether steps hardly follow the size of slopes: the median of the exponent `p` in
/// `|step| ~ |slope|^p` over two batches is less than a half. It is 1 where each tensor's steps are
/// some multiple of its slopes, so a gradient that is wrong by a factor is not taken for this.
pub(super) fn is_normalising(first: &[Sample], second: &[Sample]) -> bool {
    let pairs = first.iter().zip(second).filter_map(|(a, b)| {
        let is_clear = |sample: &Sample| sample.slope.abs() > 10.0 * sample.rounding;
        let slopes = (a.slope / b.slope).abs();
        let is_apart = slopes.max(1.0 / slopes) >= APART;
        let exponent = (a.step / b.step).abs().ln() / slopes.ln();
        (is_clear(a) && is_clear(b) && is_apart && exponent.is_finite()).then_some(exponent)
    });
    let mut exponents: Vec<f64> = pairs.collect();
    exponents.sort_by(f64::total_cmp);
    exponents.len() >= SAMPLES_MIN && exponents[exponents.len() / 2] < 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tensors of four elements, whose steps a rule gives.
    fn samples(scale: f64, rule: fn(usize, f64, f64) -> f64) -> Vec<Sample> {
        let of = |index: usize| {
            let tensor = index / 4;
            let slope = [0.3, -0.05, 0.11, -0.2, 0.02, 0.4, -0.07, 0.09][index];
            let slope = slope * if index.is_multiple_of(2) { scale } else { 1.0 / scale };
            let value = [0.1, 0.2, -0.3, 0.15, -0.1, 0.25, 0.3, -0.2][index];
            Sample { tensor, step: rule(tensor, slope, value), slope, rounding: 1e-6, value }
        };
        (0..8).map(of).collect()
    }

    fn is(law: Option<Law>, factor: f64, decay: f64) -> bool {
        law.is_some_and(|law| {
            (law.factor - factor).abs() < 1e-9 && (law.decay - decay).abs() < 1e-9
        })
    }

    #[test]
    fn factor_and_decay_are_found() {
        assert!(is(fit(&samples(1.0, |_, slope, _| slope)), 1.0, 0.0));
        assert!(is(fit(&samples(1.0, |_, slope, _| 0.1 * slope)), 0.1, 0.0));
        assert!(is(fit(&samples(1.0, |_, slope, value| slope + 0.05 * value)), 1.0, 0.05));
    }

    #[test]
    fn mistakes_are_no_law() {
        assert_eq!(fit(&samples(1.0, |_, slope, _| -slope)), None);
        assert_eq!(fit(&samples(1.0, |tensor, slope, _| slope * [2.0, 1.0][tensor])), None);
        assert_eq!(fit(&samples(1.0, |tensor, slope, _| slope * [-1.0, 1.0][tensor])), None);
        let few = &samples(1.0, |_, slope, _| slope)[..SAMPLES_MIN - 1];
        assert_eq!(fit(few), None);
    }

    #[test]
    fn directions_are_of_each_tensor() {
        assert!(is_along_each(&samples(1.0, |tensor, slope, _| slope * [2.0, 0.3][tensor])));
        assert!(!is_along_each(&samples(1.0, |tensor, slope, _| slope * [2.0, -1.0][tensor])));
        assert!(!is_along_each(&samples(1.0, |_, slope, _| slope.signum())));
    }

    #[test]
    fn only_a_rule_that_divides_by_size_is_normalising() {
        let is = |rule| is_normalising(&samples(1.0, rule), &samples(2.0, rule));
        assert!(is(|_, slope, _| slope.signum()));
        assert!(is(|_, slope, _| slope / (slope.abs() + 0.02)));
        assert!(!is(|tensor, slope, _| slope * [2.0, 1.0][tensor]));
        assert!(!is(|tensor, slope, _| slope * [-1.0, 1.0][tensor]));
    }
}
