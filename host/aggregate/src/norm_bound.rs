//! Averaging of updates that are cut to a norm.

use fedwasm_params::{Error, Params, to_f64};

use crate::numbers::{ONE, at_least, rounded};
use crate::{AggregateError, Aggregator, Updates};

const NAME: &str = "norm_bound";

/// Scales each update's difference `Δ_k` from the global parameters `x` to an
/// L2 norm of at most `bound`, over all tensors, and gives
/// `x + Σ (n_k / n) Δ_k / max(1, ‖Δ_k‖ / bound)` with the sample counts `n_k`
/// and their sum `n` (Sun et al. 2019, without noise).
///
/// An update without difference stays: its factor is 1.
#[derive(Clone, Debug)]
pub(crate) struct NormBound {
    /// Above 0.
    bound: f64,
}

impl NormBound {
    pub(crate) fn new(bound: f64) -> Self {
        Self { bound }
    }
}

impl Aggregator for NormBound {
    fn name(&self) -> &str {
        NAME
    }

    fn aggregate(&mut self, global: &Params, updates: &Updates) -> Result<Params, AggregateError> {
        at_least(NAME, 1, ONE, updates)?;
        let total: f64 = updates.values().map(|update| update.n_samples as f64).sum();
        if total == 0.0 {
            return Err(Error::BadWeights.into());
        }
        let x = to_f64(global, global)?;
        let mut sum = vec![0.0; x.len()];
        for update in updates.values() {
            let y = to_f64(&update.params, global)?;
            let delta: Vec<f64> = y.iter().zip(&x).map(|(y, x)| y - x).collect();
            let scale = update.n_samples as f64 / total * factor(&delta, self.bound);
            sum.iter_mut().zip(delta).for_each(|(sum, delta)| *sum += scale * delta);
        }
        let moved: Vec<f64> = x.iter().zip(sum).map(|(x, sum)| x + sum).collect();
        rounded(NAME, &moved, global)
    }
}

/// Returns what scales `delta` to a norm of at most `bound`. The norm is that
/// of `delta` over its largest element, times the latter: squares of large
/// elements alone would overflow, and a node could zero its factor.
fn factor(delta: &[f64], bound: f64) -> f64 {
    let largest = delta.iter().fold(0.0, |largest: f64, delta| largest.max(delta.abs()));
    if largest == 0.0 {
        return 1.0;
    }
    let relative = delta.iter().map(|delta| (delta / largest).powi(2)).sum::<f64>().sqrt();
    (bound / relative / largest).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr_without_noise() {
        equals_flwr(&mut NormBound::new(1.5), "norm_bound");
    }

    #[test]
    fn short_and_absent_differences_stay() {
        let updates = updates_of(&[("a", 1, &[1.0, 1.0]), ("b", 1, &[1.5, 1.0])]);
        let result = NormBound::new(1.0).aggregate(&params(&[1.0, 1.0]), &updates).unwrap();
        assert_eq!(result, params(&[1.25, 1.0]));
        let still = updates_of(&[("a", 1, &[1.0, 1.0])]);
        let result = NormBound::new(1.0).aggregate(&params(&[1.0, 1.0]), &still).unwrap();
        assert_eq!(result, params(&[1.0, 1.0]));
    }

    #[test]
    fn long_differences_get_the_bound_as_norm() {
        let updates = updates_of(&[("a", 1, &[3.0, 4.0]), ("b", 3, &[0.0, -100.0])]);
        let result = NormBound::new(1.0).aggregate(&params(&[0.0, 0.0]), &updates).unwrap();
        assert_close(&result, &[0.15, 0.2 - 0.75]);
    }

    #[test]
    fn norm_beyond_float64_is_bounded_all_the_same() {
        let huge = update_of("a", 1, doubles(&[f64::MAX, -f64::MAX]));
        let result = NormBound::new(2.0).aggregate(&doubles(&[0.0, 0.0]), &huge).unwrap();
        assert_close(&result, &[2f64.sqrt(), -2f64.sqrt()]);
    }

    #[test]
    fn names_of_nodes_do_not_matter() {
        ignores_names_of_nodes(|| Box::new(NormBound::new(1.5)), &updates(1, 7));
    }

    #[test]
    fn no_node_and_no_sample_are_refused() {
        let error = NormBound::new(1.0).aggregate(&start(), &Updates::new()).unwrap_err();
        assert!(error.to_string().starts_with("norm_bound needs at least 1 nodes"), "{error}");
        let empty = updates_of(&[("a", 0, &[1.0])]);
        let error = NormBound::new(1.0).aggregate(&params(&[1.0]), &empty).unwrap_err();
        assert!(matches!(error, AggregateError::Params(Error::BadWeights)), "{error}");
    }
}
