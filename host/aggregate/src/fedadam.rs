//! Adam at the researcher.

use fedwasm_params::Params;
use fedwasm_protocol::NodeId;

use crate::adaptive::Adaptive;
use crate::sums::take_mean;
use crate::{AggregateError, Aggregator, RoundSum, Samples, Weights};

/// The step of [`Adaptive`] with `v ← beta_2 v + (1 - beta_2) Δ²` (Reddi et al.
/// 2021, Algorithm 2, FedAdam) and, in round `t` from 1, the learning rate
/// `lr √(1 - beta_2^(t+1)) / (1 - beta_1^(t+1))`.
///
/// The paper corrects no bias. The correction is flwr's, whose exponent is one
/// more than that of Kingma and Ba 2015, section 2: with 0.9 and 0.99 the first
/// step is 0.74 of theirs, and the difference fades with `beta_2^t`.
#[derive(Clone, Debug)]
pub(crate) struct FedAdam {
    lr: f64,
    beta_1: f64,
    beta_2: f64,
    moments: Adaptive,
}

impl FedAdam {
    pub(crate) fn new(lr: f64, beta_1: f64, beta_2: f64, tau: f64) -> Self {
        Self { lr, beta_1, beta_2, moments: Adaptive::new("fedadam", beta_1, tau) }
    }
}

impl Aggregator for FedAdam {
    fn name(&self) -> &str {
        "fedadam"
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.moments.begin(global, samples)
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.moments.add(node, update)
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let exponent = self.moments.round() + 1.0;
        let bias = |beta: f64| 1.0 - beta.powf(exponent);
        let lr = self.lr * bias(self.beta_2).sqrt() / bias(self.beta_1);
        let beta_2 = self.beta_2;
        self.moments.finish(lr, |v, square| beta_2 * v + (1.0 - beta_2) * square)
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

    fn fedadam() -> FedAdam {
        FedAdam::new(0.1, 0.9, 0.99, 1e-3)
    }

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut fedadam(), "fedadam");
    }

    #[test]
    fn moments_equal_declearn() {
        equals_declearn(&mut fedadam(), "adam");
    }

    #[test]
    fn goes_on_after_a_restore() {
        goes_on(fedadam);
    }

    #[test]
    fn first_step_is_flwrs_share_of_the_learning_rate() {
        // m / √v is 1 after one step of a constant gradient, before correction 0.1 / √0.01.
        let mut adam = FedAdam::new(1.0, 0.9, 0.99, 0.0);
        let x = adam.aggregate(&params(&[0.0]), &updates_of(&[("a", 1, &[5.0])])).unwrap();
        assert_close(&x, &[(1.0 - 0.99f64.powi(2)).sqrt() / (1.0 - 0.9f64.powi(2))]);
    }

    #[test]
    fn overflow_is_refused_and_changes_nothing() {
        overflow_changes_nothing(&mut FedAdam::new(1e300, 0.9, 0.99, 1e-3), "fedadam");
    }
}
