//! The median of each element.

use fedwasm_params::Params;

use crate::numbers::{ONE, at_least, coordinatewise, median, rounded};
use crate::{AggregateError, Aggregator, Updates};

/// Gives the median of each element over the nodes, whatever their sample
/// counts; of an even number of nodes the mean of the middle two (Yin et al.
/// 2018, Definition 1 and Algorithm 1, option I; flwr `FedMedian`).
#[derive(Clone, Debug)]
pub(crate) struct Median;

impl Median {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Aggregator for Median {
    fn name(&self) -> &str {
        "median"
    }

    fn aggregate(&mut self, global: &Params, updates: &Updates) -> Result<Params, AggregateError> {
        at_least("median", 1, ONE, updates)?;
        let sets: Vec<&Params> = updates.values().map(|update| &update.params).collect();
        rounded("median", &coordinatewise(global, &sets, median)?, global)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut Median, "median_odd");
        equals_flwr(&mut Median, "median_even");
    }

    #[test]
    fn sample_counts_do_not_count() {
        let updates = updates_of(&[("a", 1, &[1.0]), ("b", 1000, &[9.0]), ("c", 1, &[2.0])]);
        assert_eq!(Median.aggregate(&params(&[0.0]), &updates).unwrap(), params(&[2.0]));
    }

    #[test]
    fn names_of_nodes_do_not_matter() {
        ignores_names_of_nodes(|| Box::new(Median), &updates(1, 6));
    }

    #[test]
    fn two_extremes_do_not_overflow() {
        let huge = [f64::MAX, f64::MAX / 2.0].map(|value| doubles(&[value]));
        let updates = update_of("a", 1, huge[0].clone()).into_iter();
        let updates = updates.chain(update_of("b", 1, huge[1].clone())).collect();
        let result = Median.aggregate(&doubles(&[0.0]), &updates).unwrap();
        assert_eq!(result, doubles(&[f64::MAX * 0.75]));
    }

    #[test]
    fn no_node_is_refused() {
        let error = Median.aggregate(&start(), &Updates::new()).unwrap_err();
        assert!(error.to_string().starts_with("median needs at least 1 nodes"), "{error}");
    }
}
