//! Federated averaging with momentum at the researcher.

use fedwasm_params::{DType, Params, to_f64};
use fedwasm_protocol::NodeId;

use crate::fold::{Mean, not_begun};
use crate::numbers::{ONE, at_least, groups, in_order_of, misfit, prefixed, rounded, zeros};
use crate::sums::take_mean;
use crate::{AggregateError, Aggregator, RoundSum, Samples, Weights};

const NAME: &str = "fedavgm";

/// With `Δ` the weighted mean of the updates minus the global parameters `x`,
/// and `m` zero before the first round (Hsu et al. 2019, FedAvgM; flwr
/// `FedAvgM`, declearn `momentum`, Fed-BioMed's `agg_optimizer`):
///
/// ```text
/// m ← momentum m + Δ
/// x ← x + lr m
/// ```
///
/// The paper has no `lr`, its 1. Momentum 0 and `lr` 1 make it `FedAvg`, up to
/// rounding.
#[derive(Clone, Debug)]
pub(crate) struct FedAvgM {
    lr: f64,
    momentum: f64,
    m: Params,
    round: Option<Mean>,
}

impl FedAvgM {
    pub(crate) fn new(lr: f64, momentum: f64) -> Self {
        Self { lr, momentum, m: Params::default(), round: None }
    }
}

impl Aggregator for FedAvgM {
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
        let mut x = to_f64(&global, &global)?;
        let mut m = in_order_of(&self.m, &global)?;
        for ((x, m), mean) in x.iter_mut().zip(&mut m).zip(mean) {
            *m = self.momentum * *m + (mean - *x);
            *x += self.lr * *m;
        }
        let m = rounded(NAME, &m, &zeros(DType::Float64, &global)?)?;
        let x = rounded(NAME, &x, &global)?;
        self.m = m;
        Ok(x)
    }

    fn of_sums(&self) -> Option<Weights> {
        Some(Weights::Rows)
    }

    fn take_sum(&mut self, global: &Params, sum: &RoundSum) -> Result<Params, AggregateError> {
        take_mean(self, global, sum)
    }

    fn state(&self) -> Result<Params, AggregateError> {
        Ok(Params::new(prefixed("m.", &self.m))?)
    }

    fn restore(&mut self, state: &Params) -> Result<(), AggregateError> {
        let mut moments = groups(state.iter(), |name| name.split_once('.'))?;
        let m = moments.remove("m").unwrap_or_default();
        match moments.keys().next() {
            Some(other) => Err(misfit(format!("`{other}.*` is unknown"))),
            None => {
                self.m = m;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::*;

    #[test]
    fn rounds_equal_flwr() {
        equals_flwr(&mut FedAvgM::new(0.7, 0.9), "fedavgm");
    }

    #[test]
    fn steps_equal_declearn() {
        equals_declearn(&mut FedAvgM::new(0.7, 0.9), "momentum");
    }

    #[test]
    fn goes_on_after_a_restore() {
        goes_on(|| FedAvgM::new(0.7, 0.9));
    }

    #[test]
    fn learning_rate_is_that_of_fedbiomed() {
        let lr = f64_of(&vectors()["fedbiomed"]["optimizer"]["lr"]);
        let updates = updates_of(&[("a", 1, &[3.0, -1.0])]);
        let scaled = FedAvgM::new(lr, 0.0).aggregate(&params(&[1.0, 1.0]), &updates).unwrap();
        assert_close(&scaled, &[1.0 + 2.0 * lr, 1.0 - 2.0 * lr]);
        let same = FedAvgM::new(1.0, 0.0).aggregate(&params(&[1.0, 1.0]), &updates).unwrap();
        assert_eq!(same, params(&[3.0, -1.0]));
    }

    #[test]
    fn states_that_do_not_fit_are_refused() {
        let adam = crate::fedadam::FedAdam::new(0.1, 0.9, 0.99, 1e-3);
        refuses_state_of(&mut FedAvgM::new(0.7, 0.9), adam);
    }

    #[test]
    fn overflow_is_refused_and_changes_nothing() {
        overflow_changes_nothing(&mut FedAvgM::new(1e300, 0.9), NAME);
    }
}
