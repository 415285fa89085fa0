//! Federated averaging with a proximal term at the nodes.

use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, Value};

use crate::numbers::{ONE, at_least, mean, rounded};
use crate::{AggregateError, Aggregator, Updates};

/// Averages as `FedAvg` does; nodes add `mu / 2 ‖w - x‖²` to their losses,
/// with `x` the parameters they got (Li et al. 2020, Algorithm 2). The plan is
/// told of `mu` and refuses to train if it does not know it.
#[derive(Clone, Debug)]
pub(crate) struct FedProx {
    mu: f64,
}

impl FedProx {
    pub(crate) fn new(mu: f64) -> Self {
        Self { mu }
    }
}

impl Aggregator for FedProx {
    fn name(&self) -> &str {
        "fedprox"
    }

    fn aggregate(&mut self, global: &Params, updates: &Updates) -> Result<Params, AggregateError> {
        at_least("fedprox", 1, ONE, updates)?;
        rounded("fedprox", &mean(global, updates.values())?, global)
    }

    fn arguments(&self) -> Arguments {
        Arguments::from([("aggregator.fedprox_mu".into(), Value::Real(self.mu))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert!(error.to_string().starts_with("fedprox needs at least 1 nodes"), "{error}");
    }
}
