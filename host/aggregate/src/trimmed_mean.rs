//! The mean of each element without its extremes.

use fedwasm_params::Params;

use fedwasm_protocol::NodeId;

use crate::fold::{All, not_begun};
use crate::numbers::{at_least, coordinatewise, plain_mean, rounded};
use crate::{AggregateError, Aggregator, Samples};

const NAME: &str = "trimmed_mean";

/// Gives, of the `n` values of each element, the mean without the `k` smallest
/// and the `k` largest, `k = floor(beta n)`, regardless of sample counts (Yin et
/// al. 2018, Definition 2; flwr `FedTrimmedAvg`). The product is a float64, so
/// that 0.29 of 100 nodes are 28 as in flwr and SciPy.
#[derive(Clone, Debug)]
pub(crate) struct TrimmedMean {
    /// From 0 to less than 1/2.
    beta: f64,
    round: Option<All>,
}

impl TrimmedMean {
    pub(crate) fn new(beta: f64) -> Self {
        Self { beta, round: None }
    }

    /// How many values go at either end of `n`.
    fn cut(&self, n: usize) -> usize {
        (self.beta * n as f64).floor() as usize
    }
}

impl Aggregator for TrimmedMean {
    fn name(&self) -> &str {
        NAME
    }

    fn needs_all(&self) -> bool {
        true
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        let n = samples.len();
        let k = self.cut(n);
        let rule = format!("2 k + 1 with k = {k}, {} of {n}", self.beta);
        at_least(NAME, k.saturating_mul(2).saturating_add(1), &rule, samples)?;
        self.round = Some(All::begin(NAME, global, samples));
        Ok(())
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.round.as_mut().ok_or_else(|| not_begun(NAME))?.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let round = self.round.take().ok_or_else(|| not_begun(NAME))?;
        let (global, updates) = round.finish()?;
        let (n, k) = (updates.len(), self.cut(updates.len()));
        let sets: Vec<&Params> = updates.iter().map(|(_, update)| update).collect();
        let trimmed = |ascending: &[f64]| {
            plain_mean(ascending.get(k..n.saturating_sub(k)).unwrap_or_default())
        };
        rounded(NAME, &coordinatewise(&global, &sets, trimmed)?, &global)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Updates;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut TrimmedMean::new(0.3), "trimmed_mean");
        equals_flwr(&mut TrimmedMean::new(0.1), "trimmed_mean_0");
    }

    #[test]
    fn as_many_go_at_both_ends() {
        let values = [-1e30, 1.0, 2.0, 6.0, 1e30].map(|value| [value]);
        let nodes = ["c", "a", "e", "b", "d"].into_iter().zip(&values);
        let updates: Vec<_> = nodes.map(|(node, value)| (node, 1, &value[..])).collect();
        let result = TrimmedMean::new(0.2).aggregate(&params(&[0.0]), &updates_of(&updates));
        assert_eq!(result.unwrap(), params(&[3.0]));
    }

    #[test]
    fn equal_values_are_interchangeable() {
        let updates = updates_of(&[("a", 1, &[1.0]), ("b", 1, &[1.0]), ("c", 1, &[1.0])]);
        let result = TrimmedMean::new(0.4).aggregate(&params(&[0.0]), &updates).unwrap();
        assert_eq!(result, params(&[1.0]));
    }

    #[test]
    fn names_of_nodes_do_not_matter() {
        ignores_names_of_nodes(|| Box::new(TrimmedMean::new(0.3)), &updates(1, 7));
    }

    #[test]
    fn too_few_nodes_are_refused() {
        let error = TrimmedMean::new(0.2).aggregate(&start(), &Updates::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "trimmed_mean needs at least 1 node (2 k + 1 with k = 0, 0.2 of 0), 0 took part"
        );
        let error = TrimmedMean::new(0.5).aggregate(&start(), &updates(0, 4)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "trimmed_mean needs at least 5 nodes (2 k + 1 with k = 2, 0.5 of 4), 4 took part"
        );
    }

    #[test]
    fn overflow_is_refused() {
        let updates = update_of("a", 1, doubles(&[f64::MAX])).into_iter();
        let updates = updates.chain(update_of("b", 1, doubles(&[f64::MAX]))).collect();
        let error = TrimmedMean::new(0.0).aggregate(&doubles(&[0.0]), &updates).unwrap_err();
        assert!(matches!(error, AggregateError::NotFinite { .. }), "{error}");
    }
}
