//! Adagrad at the researcher.

use fedwasm_params::Params;
use fedwasm_protocol::NodeId;

use crate::adaptive::Adaptive;
use crate::sums::take_mean;
use crate::{AggregateError, Aggregator, RoundSum, Samples, Weights};

/// The step of [`Adaptive`] with `v ← v + Δ²` (Reddi et al. 2021, Algorithm 2,
/// FedAdagrad). The paper's experiments and flwr have `beta_1` 0.
#[derive(Clone, Debug)]
pub(crate) struct FedAdagrad {
    lr: f64,
    moments: Adaptive,
}

impl FedAdagrad {
    pub(crate) fn new(lr: f64, beta_1: f64, tau: f64) -> Self {
        Self { lr, moments: Adaptive::new("fedadagrad", beta_1, tau) }
    }
}

impl Aggregator for FedAdagrad {
    fn name(&self) -> &str {
        "fedadagrad"
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.moments.begin(global, samples)
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.moments.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        self.moments.finish(self.lr, |v, square| v + square)
    }

    fn of_sums(&self) -> Option<Weights> {
        Some(Weights::Rows)
    }

    fn take_sum(&mut self, global: &Params, sum: &RoundSum) -> Result<Params, AggregateError> {
        take_mean(self, global, sum)
    }

    fn state(&self) -> Result<Params, AggregateError> {
        self.moments.state()
    }

    fn restore(&mut self, state: &Params) -> Result<(), AggregateError> {
        self.moments.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut FedAdagrad::new(0.1, 0.0, 1e-3), "fedadagrad");
        equals_flwr(&mut FedAdagrad::new(0.1, 0.9, 1e-3), "fedadagrad_beta");
    }

    #[test]
    fn steps_equal_declearn() {
        equals_declearn(&mut FedAdagrad::new(0.1, 0.0, 1e-3), "adagrad");
    }

    #[test]
    fn goes_on_after_a_restore() {
        goes_on(|| FedAdagrad::new(0.1, 0.9, 1e-3));
    }

    #[test]
    fn overflow_is_refused_and_changes_nothing() {
        overflow_changes_nothing(&mut FedAdagrad::new(1e300, 0.9, 1e-3), "fedadagrad");
    }
}
