//! Yogi at the researcher.

use fedwasm_params::Params;
use fedwasm_protocol::NodeId;

use crate::adaptive::Adaptive;
use crate::sums::take_mean;
use crate::{AggregateError, Aggregator, RoundSum, Samples, Weights};

/// The step of [`Adaptive`] with `v ← v - (1 - beta_2) Δ² sign(v - Δ²)` (Reddi
/// et al. 2021, Algorithm 2, FedYogi). No bias is corrected, as in the paper
/// and in flwr.
#[derive(Clone, Debug)]
pub(crate) struct FedYogi {
    lr: f64,
    beta_2: f64,
    moments: Adaptive,
}

impl FedYogi {
    pub(crate) fn new(lr: f64, beta_1: f64, beta_2: f64, tau: f64) -> Self {
        Self { lr, beta_2, moments: Adaptive::new("fedyogi", beta_1, tau) }
    }
}

impl Aggregator for FedYogi {
    fn name(&self) -> &str {
        "fedyogi"
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.moments.begin(global, samples)
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.moments.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let beta_2 = self.beta_2;
        self.moments.finish(self.lr, |v, square| v - (1.0 - beta_2) * square * sign(v - square))
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

/// The sign, 0 for 0; `f64::signum` has 1 there.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::*;

    fn fedyogi() -> FedYogi {
        FedYogi::new(0.05, 0.9, 0.99, 1e-3)
    }

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut fedyogi(), "fedyogi");
    }

    #[test]
    fn moments_equal_declearn() {
        equals_declearn(&mut fedyogi(), "yogi");
    }

    #[test]
    fn goes_on_after_a_restore() {
        goes_on(fedyogi);
    }

    #[test]
    fn second_moment_stays_where_it_equals_the_square() {
        // beta_2 = 0 makes v = Δ² = 4 in the first round; the second is at the fixed point.
        let mut yogi = FedYogi::new(0.1, 0.0, 0.0, 1e-3);
        for _ in 0..2 {
            yogi.aggregate(&params(&[1.0]), &updates_of(&[("a", 1, &[3.0])])).unwrap();
            let state = yogi.state().unwrap();
            assert_eq!(state.tensor("v.w").unwrap().floats().unwrap(), [4.0]);
        }
    }

    #[test]
    fn overflow_is_refused_and_changes_nothing() {
        overflow_changes_nothing(&mut FedYogi::new(1e300, 0.9, 0.99, 1e-3), "fedyogi");
    }
}
