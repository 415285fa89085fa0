//! Averaging of updates that are cut to a norm.

use std::collections::BTreeMap;

use fedwasm_params::{Error, Params};
use fedwasm_protocol::NodeId;

use crate::fold::{Steps, not_begun, pairs, shares};
use crate::numbers::{ONE, at_least, rounded};
use crate::{AggregateError, Aggregator, Samples};

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
    /// The round that was begun, and the weight of each node.
    round: Option<(Steps, BTreeMap<NodeId, f64>)>,
}

impl NormBound {
    pub(crate) fn new(bound: f64) -> Self {
        Self { bound, round: None }
    }
}

impl Aggregator for NormBound {
    fn name(&self) -> &str {
        NAME
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        at_least(NAME, 1, ONE, samples)?;
        let shares = shares(samples)?.into_iter().collect();
        self.round = Some((Steps::begin(NAME, global, samples)?, shares));
        Ok(())
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        let (steps, shares) = self.round.as_mut().ok_or_else(|| not_begun(NAME))?;
        let share = shares.get(node).copied().unwrap_or_default();
        let scale = share * factor(update, &steps.global, self.bound)?;
        steps.add(node, update, |y, x| scale * (y - x))
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let (steps, _) = self.round.take().ok_or_else(|| not_begun(NAME))?;
        let (global, mut sum) = steps.finish()?;
        let mut moved = sum.iter_mut();
        pairs(&global, &global, |x, _| {
            if let Some(sum) = moved.next() {
                *sum += x;
            }
        })?;
        rounded(NAME, &sum, &global)
    }
}

/// Returns the factor that scales the difference of `update` from `global` to a norm of at most
/// `bound`. The norm is that of the difference over its largest element, times the latter: squares
/// of large elements alone would overflow, and a node could zero its factor.
fn factor(update: &Params, global: &Params, bound: f64) -> Result<f64, Error> {
    let mut largest: f64 = 0.0;
    pairs(update, global, |y, x| largest = largest.max((y - x).abs()))?;
    if largest == 0.0 {
        return Ok(1.0);
    }
    let mut squares = 0.0;
    pairs(update, global, |y, x| squares += ((y - x) / largest).powi(2))?;
    Ok((bound / squares.sqrt() / largest).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Updates;
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
        assert!(error.to_string().starts_with("norm_bound needs at least 1 node"), "{error}");
        let empty = updates_of(&[("a", 0, &[1.0])]);
        let error = NormBound::new(1.0).aggregate(&params(&[1.0]), &empty).unwrap_err();
        assert!(matches!(error, AggregateError::Params(Error::BadWeights)), "{error}");
    }
}
