//! Federated averaging with a proximal term at the nodes.

use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, NodeId, Value};

use crate::fold::{Mean, not_begun};
use crate::numbers::{ONE, at_least, rounded};
use crate::sums::take_mean;
use crate::{AggregateError, Aggregator, RoundSum, Samples, Weights};

const NAME: &str = "fedprox";

/// Averages as `FedAvg` does; nodes add `mu / 2 ‖w - x‖²` to their losses,
/// with `x` the parameters they got (Li et al. 2020, Algorithm 2). The plan is
/// told of `mu` and refuses to train if it does not know it.
#[derive(Clone, Debug)]
pub(crate) struct FedProx {
    mu: f64,
    round: Option<Mean>,
}

impl FedProx {
    pub(crate) fn new(mu: f64) -> Self {
        Self { mu, round: None }
    }
}

impl Aggregator for FedProx {
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

    fn arguments(&self) -> Arguments {
        Arguments::from([("aggregator.fedprox_mu".into(), Value::Real(self.mu))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Updates;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut FedProx::new(0.1), "fedprox");
    }

    #[test]
    fn plan_is_told_of_mu() {
        let arguments = FedProx::new(0.25).arguments();
        assert_eq!(arguments.len(), 1);
        assert_eq!(arguments["aggregator.fedprox_mu"], Value::Real(0.25));
    }

    #[test]
    fn no_node_is_refused() {
        let error = FedProx::new(0.1).aggregate(&start(), &Updates::new()).unwrap_err();
        assert!(error.to_string().starts_with("fedprox needs at least 1 node"), "{error}");
    }
}
