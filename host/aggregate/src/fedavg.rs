//! Federated averaging.

use fedwasm_params::Params;

use fedwasm_protocol::NodeId;

use crate::fold::{Mean, not_begun};
use crate::numbers::{ONE, at_least, rounded};
use crate::sums::take_mean;
use crate::{AggregateError, Aggregator, RoundSum, Samples, Weights};

const NAME: &str = "fedavg";

/// Gives `Σ (n_k / n) w_k` over the nodes `k`, with `n_k` the samples of node
/// `k` and `n` their sum (McMahan et al. 2017, Algorithm 1; Fed-BioMed
/// `FedAverage`).
#[derive(Clone, Debug)]
pub(crate) struct FedAvg {
    round: Option<Mean>,
}

impl FedAvg {
    pub(crate) fn new() -> Self {
        Self { round: None }
    }
}

impl Aggregator for FedAvg {
    fn name(&self) -> &str {
        NAME
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        at_least(NAME, 1, ONE, samples)?;
        self.round = Some(Mean::begin(NAME, global, samples)?);
        Ok(())
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.round.as_mut().ok_or_else(|| not_begun(NAME))?.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let round = self.round.take().ok_or_else(|| not_begun(NAME))?;
        let (global, mean) = round.finish()?;
        rounded(NAME, &mean, &global)
    }

    fn of_sums(&self) -> Option<Weights> {
        Some(Weights::Rows)
    }

    fn take_sum(&mut self, global: &Params, sum: &RoundSum) -> Result<Params, AggregateError> {
        take_mean(self, global, sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Updates;
    use crate::numbers::testing::*;
    use fedwasm_params::{DType, Error, Tensor};

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut FedAvg::new(), "fedavg");
    }

    #[test]
    fn weights_are_sample_counts() {
        let updates = updates_of(&[("a", 1, &[0.0]), ("b", 3, &[8.0])]);
        assert_eq!(FedAvg::new().aggregate(&params(&[5.0]), &updates).unwrap(), params(&[6.0]));
    }

    #[test]
    fn one_node_keeps_its_bits() {
        let updates = updates_of(&[("a", 7, &[-0.1, -0.0, 1e-45])]);
        let mean = FedAvg::new().aggregate(&params(&[0.0; 3]), &updates).unwrap();
        assert_eq!(mean, params(&[-0.1, -0.0, 1e-45]));
    }

    #[test]
    fn vectors_of_fedbiomed_hold() {
        let fedbiomed = &vectors()["fedbiomed"]["fedavg"];
        let row =
            |k: usize| [floats(&fedbiomed["coef"][k]), vec![f64_of(&fedbiomed["intercept"][k])]];
        let updates = [("a", 1, row(0)), ("b", 1, row(1)), ("c", 3, row(2))];
        let updates = updates.map(|(node, n_samples, row)| {
            (node, n_samples, row.concat().iter().map(|value| *value as f32).collect::<Vec<_>>())
        });
        let updates = updates.each_ref().map(|(node, n, values)| (*node, *n, &values[..]));
        let mean = FedAvg::new().aggregate(&params(&[0.0; 6]), &updates_of(&updates)).unwrap();
        let expected =
            [floats(&fedbiomed["expected_coef"]), vec![f64_of(&fedbiomed["expected_intercept"])]];
        assert_close(&mean, &expected.concat());
    }

    #[test]
    fn names_of_nodes_do_not_matter() {
        ignores_names_of_nodes(|| Box::new(FedAvg::new()), &updates(1, 7));
    }

    #[test]
    fn order_of_tensors_is_that_of_the_global_parameters() {
        let mut updates = updates(0, 3);
        let straight = FedAvg::new().aggregate(&start(), &updates).unwrap();
        for update in updates.values_mut() {
            update.params = reversed(&update.params);
        }
        assert_eq!(FedAvg::new().aggregate(&start(), &updates).unwrap(), straight);
    }

    #[test]
    fn what_cannot_be_averaged_is_refused() {
        let aggregate = |global: &Params, updates: &Updates| {
            FedAvg::new().aggregate(global, updates).unwrap_err().to_string()
        };
        assert_eq!(
            aggregate(&start(), &Updates::new()),
            "fedavg needs at least 1 node (there is nothing to aggregate without one), 0 took part"
        );
        let longer = updates_of(&[("a", 1, &[1.0]), ("b", 1, &[1.0, 2.0])]);
        let error = FedAvg::new().aggregate(&params(&[1.0]), &longer).unwrap_err();
        assert!(matches!(error, AggregateError::Params(Error::Mismatch { .. })), "{error}");
        let steps =
            Params::new(vec![("n".into(), Tensor::from_i64(vec![1], &[3]).unwrap())]).unwrap();
        let updates = update_of("a", 1, steps.clone());
        assert!(aggregate(&steps, &updates).contains("`n` is int64"));
        let nothing = updates_of(&[("a", 0, &[1.0])]);
        assert!(aggregate(&params(&[1.0]), &nothing).contains("weights"));
        assert_eq!(start().iter().next().unwrap().1.dtype(), DType::Float32);
    }
}
