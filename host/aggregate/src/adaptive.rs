//! The common part of FedAdagrad, FedAdam and FedYogi (Reddi et al. 2021, Algorithm 2).

use fedwasm_params::{DType, Params, Tensor, to_f64};
use fedwasm_protocol::NodeId;

use crate::fold::{Mean, not_begun};
use crate::numbers::{ONE, at_least, groups, in_order_of, misfit, prefixed, rounded, zeros};
use crate::{AggregateError, Samples};

/// Holds the number of rounds done in a state.
const ROUND: &str = "round";
/// The most rounds that float64 counts one by one.
const ROUNDS_MAX: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// Moments of `Δ`, the weighted mean of the updates minus the global
/// parameters `x`, both zero before the first round:
///
/// ```text
/// m ← beta_1 m + (1 - beta_1) Δ
/// v ← next_v(v, Δ²)
/// x ← x + lr m / (√v + tau)
/// ```
///
/// The paper starts `v` at `tau²` or more. We start at zero as flwr does, which
/// makes a step at most twice as long, where `v` is much less than `tau²`.
#[derive(Clone, Debug)]
pub(crate) struct Adaptive {
    aggregator: &'static str,
    beta_1: f64,
    tau: f64,
    rounds: f64,
    m: Params,
    v: Params,
    begun: Option<Mean>,
}

impl Adaptive {
    pub(crate) fn new(aggregator: &'static str, beta_1: f64, tau: f64) -> Self {
        let (m, v) = Default::default();
        Self { aggregator, beta_1, tau, rounds: 0.0, m, v, begun: None }
    }

    /// The number of the round that comes next, from 1.
    pub(crate) fn round(&self) -> f64 {
        self.rounds + 1.0
    }

    pub(crate) fn begin(
        &mut self,
        global: &Params,
        samples: &Samples,
    ) -> Result<(), AggregateError> {
        self.begun = None;
        at_least(self.aggregator, 1, ONE, samples)?;
        self.begun = Some(Mean::begin(self.aggregator, global, samples)?);
        Ok(())
    }

    pub(crate) fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.begun.as_mut().ok_or_else(|| not_begun(self.aggregator))?.add(node, update)
    }

    /// Returns the parameters after a step of `lr`.
    pub(crate) fn finish(
        &mut self,
        lr: f64,
        next_v: impl Fn(f64, f64) -> f64,
    ) -> Result<Params, AggregateError> {
        let begun = self.begun.take().ok_or_else(|| not_begun(self.aggregator))?;
        let (global, mean) = begun.finish()?;
        let mut x = to_f64(&global, &global)?;
        let (mut m, mut v) = (in_order_of(&self.m, &global)?, in_order_of(&self.v, &global)?);
        for (((x, m), v), mean) in x.iter_mut().zip(&mut m).zip(&mut v).zip(mean) {
            let delta = mean - *x;
            *m = self.beta_1 * *m + (1.0 - self.beta_1) * delta;
            *v = next_v(*v, delta * delta);
            *x += lr * *m / (v.sqrt() + self.tau);
        }
        let kept = zeros(DType::Float64, &global)?;
        let m = rounded(self.aggregator, &m, &kept)?;
        let v = rounded(self.aggregator, &v, &kept)?;
        let x = rounded(self.aggregator, &x, &global)?;
        (self.rounds, self.m, self.v) = (self.round(), m, v);
        Ok(x)
    }

    /// `round`, `m.*` and `v.*`; nothing before the first round.
    pub(crate) fn state(&self) -> Result<Params, AggregateError> {
        if self.rounds == 0.0 {
            return Ok(Params::default());
        }
        let round = Tensor::new(DType::Float64, Vec::new(), self.rounds.to_le_bytes().to_vec())?;
        let mut state = vec![(ROUND.to_owned(), round)];
        state.extend(prefixed("m.", &self.m));
        state.extend(prefixed("v.", &self.v));
        Ok(Params::new(state)?)
    }

    /// Continues from a result of `state`.
    pub(crate) fn restore(&mut self, state: &Params) -> Result<(), AggregateError> {
        let mut restored = Self::new(self.aggregator, self.beta_1, self.tau);
        if !state.is_empty() {
            restored.rounds = rounds(state)?;
            let moments = state.iter().filter(|(name, _)| *name != ROUND);
            let mut moments = groups(moments, |name| name.split_once('.'))?;
            let (m, v) = (moments.remove("m"), moments.remove("v"));
            if let Some(other) = moments.keys().next() {
                return Err(misfit(format!("`{other}.*` is unknown")));
            }
            let absent = || misfit("`m.*` or `v.*` is absent".into());
            (restored.m, restored.v) = (m.ok_or_else(absent)?, v.ok_or_else(absent)?);
            if to_f64(&restored.v, &restored.v)?.iter().any(|v| *v < 0.0) {
                return Err(misfit("`v.*` is negative somewhere".into()));
            }
        }
        *self = restored;
        Ok(())
    }
}

/// Reads the number of rounds done.
fn rounds(state: &Params) -> Result<f64, AggregateError> {
    let wrong = || misfit(format!("`{ROUND}` is not a {} number of rounds", DType::Float64));
    let tensor = state.tensor(ROUND).ok_or_else(wrong)?;
    let scalar = tensor.dtype() == DType::Float64 && tensor.shape().is_empty();
    match tensor.floats().as_deref() {
        Some([n]) if scalar && (1.0..ROUNDS_MAX).contains(n) && n.fract() == 0.0 => Ok(*n),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Updates;
    use crate::numbers::testing::{params, start, updates};

    fn step(
        adaptive: &mut Adaptive,
        global: &Params,
        updates: &Updates,
    ) -> Result<Params, AggregateError> {
        let samples = updates.iter().map(|(node, update)| (node.clone(), update.n_samples));
        adaptive.begin(global, &samples.collect())?;
        for (node, update) in updates {
            adaptive.add(node, &update.params)?;
        }
        adaptive.finish(0.1, |v, square| v + square)
    }

    fn after_a_round() -> Adaptive {
        let mut adaptive = Adaptive::new("fedyogi", 0.9, 1e-3);
        step(&mut adaptive, &start(), &updates(0, 3)).unwrap();
        adaptive
    }

    fn reason(tensors: Vec<(String, Tensor)>) -> String {
        let mut adaptive = after_a_round();
        let before = adaptive.state().unwrap();
        let error = adaptive.restore(&Params::new(tensors).unwrap()).unwrap_err();
        assert_eq!(adaptive.state().unwrap(), before);
        error.to_string()
    }

    #[test]
    fn states_that_do_not_fit_are_refused() {
        let state = after_a_round().state().unwrap();
        let tensors = || prefixed("", &state);
        let scalar = |n: f64| Tensor::new(DType::Float64, vec![], n.to_le_bytes().into()).unwrap();
        let replaced = |at: usize, tensor| {
            let mut tensors = tensors();
            tensors[at].1 = tensor;
            reason(tensors)
        };
        let zeros = |dtype, shape: &[u64]| Tensor::zeros(dtype, shape.into()).unwrap();
        for n in [0.0, 0.5, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(replaced(0, scalar(n)).ends_with("not a float64 number of rounds"), "{n}");
        }
        assert!(replaced(0, zeros(DType::Float64, &[1])).ends_with("number of rounds"));
        let (weight, bias) = (zeros(DType::Float32, &[2, 3]), zeros(DType::Float64, &[2]));
        assert!(replaced(1, weight).ends_with("`m.linear.weight` is not finite float64"));
        assert!(replaced(2, bias).contains("tensor `linear.bias` is float64"));
        let nan = Tensor::new(DType::Float64, vec![3], f64::NAN.to_le_bytes().repeat(3)).unwrap();
        assert!(replaced(4, nan).ends_with("`v.linear.bias` is not finite float64"));
        let low = Tensor::new(DType::Float64, vec![3], (-1f64).to_le_bytes().repeat(3)).unwrap();
        assert!(replaced(4, low).ends_with("`v.*` is negative somewhere"));
        assert!(reason(tensors()[..3].to_vec()).ends_with("`m.*` or `v.*` is absent"));
        assert!(reason([tensors(), vec![("c.w".into(), scalar(1.0))]].concat()).contains("`w`"));
        assert!(reason([tensors(), vec![("w".into(), scalar(1.0))]].concat()).contains("`w`"));
    }

    #[test]
    fn state_of_other_parameters_is_refused_when_it_is_used() {
        let other = params(&[1.0]);
        let one = updates(0, 1).into_iter().map(|(node, mut update)| {
            update.params = other.clone();
            (node, update)
        });
        let mut adaptive = after_a_round();
        let before = adaptive.state().unwrap();
        let error = step(&mut adaptive, &other, &one.collect()).unwrap_err();
        assert!(matches!(error, AggregateError::State { .. }), "{error}");
        assert_eq!(adaptive.state().unwrap(), before);
    }
}
