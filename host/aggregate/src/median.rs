//! The median of each element.

use fedwasm_params::Params;

use fedwasm_protocol::NodeId;

use crate::fold::{All, not_begun};
use crate::numbers::{ONE, at_least, coordinatewise, median, rounded};
use crate::{AggregateError, Aggregator, Samples};

const NAME: &str = "median";

/// Gives the median of each element over the nodes, regardless of their sample
/// counts; of an even number of nodes the mean of the middle two (Yin et al.
/// 2018, Definition 1 and Algorithm 1, option I; flwr `FedMedian`).
#[derive(Clone, Debug)]
pub(crate) struct Median {
    round: Option<All>,
}

impl Median {
    pub(crate) fn new() -> Self {
        Self { round: None }
    }
}

impl Aggregator for Median {
    fn name(&self) -> &str {
        NAME
    }

    fn needs_all(&self) -> bool {
        true
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        at_least(NAME, 1, ONE, samples)?;
        self.round = Some(All::begin(NAME, global, samples));
        Ok(())
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.round.as_mut().ok_or_else(|| not_begun(NAME))?.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let round = self.round.take().ok_or_else(|| not_begun(NAME))?;
        let (global, updates) = round.finish()?;
        let sets: Vec<&Params> = updates.iter().map(|(_, update)| update).collect();
        rounded(NAME, &coordinatewise(&global, &sets, median)?, &global)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Updates;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut Median::new(), "median_odd");
        equals_flwr(&mut Median::new(), "median_even");
    }

    #[test]
    fn sample_counts_do_not_count() {
        let updates = updates_of(&[("a", 1, &[1.0]), ("b", 1000, &[9.0]), ("c", 1, &[2.0])]);
        assert_eq!(Median::new().aggregate(&params(&[0.0]), &updates).unwrap(), params(&[2.0]));
    }

    #[test]
    fn names_of_nodes_do_not_matter() {
        ignores_names_of_nodes(|| Box::new(Median::new()), &updates(1, 6));
    }

    #[test]
    fn two_extremes_do_not_overflow() {
        let huge = [f64::MAX, f64::MAX / 2.0].map(|value| doubles(&[value]));
        let updates = update_of("a", 1, huge[0].clone()).into_iter();
        let updates = updates.chain(update_of("b", 1, huge[1].clone())).collect();
        let result = Median::new().aggregate(&doubles(&[0.0]), &updates).unwrap();
        assert_eq!(result, doubles(&[f64::MAX * 0.75]));
    }

    #[test]
    fn no_node_is_refused() {
        let error = Median::new().aggregate(&start(), &Updates::new()).unwrap_err();
        assert!(error.to_string().starts_with("median needs at least 1 node"), "{error}");
    }
}
