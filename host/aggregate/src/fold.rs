//! Updates as they come: a weighted sum that holds one model, and all of them for the methods that
//! look at them together.

use std::collections::VecDeque;

use fedwasm_params::{DType, Error, Params, SUMMABLE, Tensor};
use fedwasm_protocol::NodeId;

use crate::{AggregateError, Samples};

/// The nodes of a round whose updates are still to come, in order.
#[derive(Clone, Debug)]
struct Turns {
    aggregator: &'static str,
    left: VecDeque<NodeId>,
}

impl Turns {
    fn new(aggregator: &'static str, samples: &Samples) -> Self {
        Self { aggregator, left: samples.keys().cloned().collect() }
    }

    fn take(&mut self, node: &NodeId) -> Result<(), AggregateError> {
        match self.left.pop_front() {
            Some(next) if next == *node => Ok(()),
            next => {
                let next = next.map_or_else(|| "no node".to_owned(), |next| format!("`{next}`"));
                let reason = format!("the next update must come from {next}, but `{node}` came");
                Err(AggregateError::Order { aggregator: self.aggregator, reason })
            }
        }
    }

    fn end(&self) -> Result<(), AggregateError> {
        match self.left.front() {
            None => Ok(()),
            Some(next) => Err(AggregateError::Order {
                aggregator: self.aggregator,
                reason: format!("the update of `{next}` is missing"),
            }),
        }
    }
}

/// A round that was not begun.
pub(crate) fn not_begun(aggregator: &'static str) -> AggregateError {
    AggregateError::Order { aggregator, reason: "the round has not begun".into() }
}

/// The weights of an update's terms, `n_k / n`, by node.
pub(crate) fn shares(samples: &Samples) -> Result<Vec<(NodeId, f64)>, Error> {
    let total: f64 = samples.values().map(|n| *n as f64).sum();
    if samples.is_empty() {
        return Err(Error::Nothing);
    }
    if !total.is_finite() || total <= 0.0 {
        return Err(Error::BadWeights);
    }
    Ok(samples.iter().map(|(node, n)| (node.clone(), *n as f64 / total)).collect())
}

/// `Σ (n_k / n) w_k` so far, in float64 in the order of the global parameters.
#[derive(Clone, Debug)]
pub(crate) struct Mean {
    turns: Turns,
    shares: VecDeque<f64>,
    global: Params,
    /// None before the first update: 0.0 + -0.0 would lose a sign.
    sum: Option<Vec<f64>>,
}

impl Mean {
    pub(crate) fn begin(
        aggregator: &'static str,
        global: &Params,
        samples: &Samples,
    ) -> Result<Self, AggregateError> {
        let shares = shares(samples)?.into_iter().map(|(_, share)| share).collect();
        let turns = Turns::new(aggregator, samples);
        Ok(Self { turns, shares, global: global.clone(), sum: None })
    }

    pub(crate) fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.turns.take(node)?;
        let share = self.shares.pop_front().unwrap_or_default();
        match &mut self.sum {
            None => {
                let mut sum = Vec::with_capacity(n_elements(&self.global));
                each(update, &self.global, |value| sum.push(share * value))?;
                self.sum = Some(sum);
            }
            Some(sum) => {
                let mut sum = sum.iter_mut();
                each(update, &self.global, |value| {
                    if let Some(sum) = sum.next() {
                        *sum += share * value;
                    }
                })?;
            }
        }
        Ok(())
    }

    /// The global parameters that the round began with, and the mean.
    pub(crate) fn finish(self) -> Result<(Params, Vec<f64>), AggregateError> {
        self.turns.end()?;
        Ok((self.global, self.sum.unwrap_or_default()))
    }
}

/// `Σ f(w_k - x)` so far, with `x` the global parameters.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    turns: Turns,
    pub(crate) global: Params,
    sum: Vec<f64>,
}

impl Steps {
    pub(crate) fn begin(
        aggregator: &'static str,
        global: &Params,
        samples: &Samples,
    ) -> Result<Self, AggregateError> {
        drop(arranged(global, global)?);
        let sum = vec![0.0; n_elements(global)];
        Ok(Self { turns: Turns::new(aggregator, samples), global: global.clone(), sum })
    }

    /// Adds the result of `term` for each element of the update and of the global parameters.
    pub(crate) fn add(
        &mut self,
        node: &NodeId,
        update: &Params,
        term: impl Fn(f64, f64) -> f64,
    ) -> Result<(), AggregateError> {
        self.turns.take(node)?;
        let (global, mut sum) = (&self.global, self.sum.iter_mut());
        pairs(update, global, |y, x| {
            if let Some(sum) = sum.next() {
                *sum += term(y, x);
            }
        })?;
        Ok(())
    }

    /// The global parameters that the round began with, and the sum.
    pub(crate) fn finish(self) -> Result<(Params, Vec<f64>), AggregateError> {
        self.turns.end()?;
        Ok((self.global, self.sum))
    }
}

/// All updates of a round, for methods that look at them together.
#[derive(Clone, Debug)]
pub(crate) struct All {
    turns: Turns,
    pub(crate) global: Params,
    samples: VecDeque<u64>,
    updates: Vec<(u64, Params)>,
}

impl All {
    pub(crate) fn begin(aggregator: &'static str, global: &Params, samples: &Samples) -> Self {
        let turns = Turns::new(aggregator, samples);
        let samples = samples.values().copied().collect();
        Self { turns, global: global.clone(), samples, updates: Vec::new() }
    }

    pub(crate) fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        self.turns.take(node)?;
        let n_samples = self.samples.pop_front().unwrap_or_default();
        self.updates.push((n_samples, update.clone()));
        Ok(())
    }

    /// The global parameters that the round began with, and the updates in order with their rows.
    pub(crate) fn finish(self) -> Result<(Params, Vec<(u64, Params)>), AggregateError> {
        self.turns.end()?;
        Ok((self.global, self.updates))
    }
}

fn n_elements(params: &Params) -> usize {
    params.iter().map(|(_, tensor)| tensor.data().len() / tensor.dtype().size()).sum()
}

/// Calls `with` for each element of `params` in the order of `like`, whose names, element types
/// and shapes they must have. Nothing is copied.
fn each(params: &Params, like: &Params, mut with: impl FnMut(f64)) -> Result<(), Error> {
    for (_, tensor) in arranged(params, like)? {
        floats(&tensor, &mut with);
    }
    Ok(())
}

/// Calls `with` for each element of `params` and the one of `like` in its place.
pub(crate) fn pairs(
    params: &Params,
    like: &Params,
    mut with: impl FnMut(f64, f64),
) -> Result<(), Error> {
    for ((_, own), tensor) in like.iter().zip(arranged(params, like)?) {
        match own.dtype() {
            DType::Float32 => {
                let own = own.data().chunks_exact(4);
                for (y, x) in tensor.1.data().chunks_exact(4).zip(own) {
                    with(f64::from(single(y)), f64::from(single(x)));
                }
            }
            _ => {
                let own = own.data().chunks_exact(8);
                for (y, x) in tensor.1.data().chunks_exact(8).zip(own) {
                    with(double(y), double(x));
                }
            }
        }
    }
    Ok(())
}

fn floats(tensor: &Tensor, with: &mut impl FnMut(f64)) {
    match tensor.dtype() {
        DType::Float32 => {
            tensor.data().chunks_exact(4).for_each(|bytes| with(f64::from(single(bytes))));
        }
        _ => tensor.data().chunks_exact(8).for_each(|bytes| with(double(bytes))),
    }
}

fn single(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(bytes.try_into().unwrap_or_default())
}

fn double(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(bytes.try_into().unwrap_or_default())
}

/// The tensors of `params` in the order of `like`; all can be summed.
fn arranged(params: &Params, like: &Params) -> Result<Vec<(String, Tensor)>, Error> {
    let specs = like.iter().map(|(name, tensor)| (name, tensor.dtype(), tensor.shape()));
    let tensors = params.clone().arrange(specs)?;
    let named = like.iter().map(|(name, _)| name.to_owned());
    let arranged: Vec<(String, Tensor)> = named.zip(tensors).collect();
    match arranged.iter().find(|(_, tensor)| !SUMMABLE.contains(&tensor.dtype())) {
        Some((name, tensor)) => {
            Err(Error::NotSummable { name: name.clone(), dtype: tensor.dtype() })
        }
        None => Ok(arranged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::{node, params, start, updates};
    use crate::{Aggregator, AggregatorArgs};
    use fedwasm_params::{from_f64, weighted_mean_f64};
    use fedwasm_protocol::Fields;

    fn samples(n: usize) -> Samples {
        updates(0, n).into_iter().map(|(node, update)| (node, update.n_samples)).collect()
    }

    #[test]
    fn a_mean_of_updates_one_by_one_has_the_bits_of_one_over_all() {
        for n in [1, 2, 7] {
            let all = updates(0, n);
            let mut mean = Mean::begin("m", &start(), &samples(n)).unwrap();
            all.iter().for_each(|(node, update)| mean.add(node, &update.params).unwrap());
            let (global, sum) = mean.finish().unwrap();
            let sets: Vec<_> = all.values().map(|u| (u.n_samples as f64, &u.params)).collect();
            let expected = weighted_mean_f64(&sets, &start()).unwrap();
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&sum), bits(&expected));
            assert_eq!(from_f64(&sum, &global).unwrap(), from_f64(&expected, &global).unwrap());
        }
    }

    #[test]
    fn updates_come_in_their_order_and_all_of_them() {
        let aggregator = |name: &str| -> Box<dyn Aggregator> {
            let table = toml::from_str(&format!("name = \"{name}\"")).unwrap();
            AggregatorArgs::take(&mut Fields::new("aggregator", table)).build()
        };
        let all = updates(0, 3);
        for name in ["fedavg", "fedavgm", "fedadam", "scaffold", "median", "trimmed_mean"] {
            let mut it = aggregator(name);
            let add = |it: &mut Box<dyn Aggregator>, n: usize| {
                it.add(&node(n), &all[&node(n)].params).map_err(|error| error.to_string())
            };
            assert!(add(&mut it, 0).unwrap_err().ends_with("the round has not begun"));
            it.begin(&start(), &samples(3)).unwrap();
            add(&mut it, 0).unwrap();
            let error = add(&mut it, 2).unwrap_err();
            assert!(
                error.ends_with("the next update must come from `node-1`, but `node-2` came"),
                "{error}"
            );
            it.begin(&start(), &samples(3)).unwrap();
            (0..2).for_each(|n| add(&mut it, n).unwrap());
            let error = it.finish().unwrap_err().to_string();
            assert!(error.ends_with("the update of `node-2` is missing"), "{error}");
            // A round that was begun and abandoned changes nothing.
            let begun_again = it.aggregate(&start(), &all).unwrap();
            assert_eq!(begun_again, aggregator(name).aggregate(&start(), &all).unwrap());
            assert_eq!(it.needs_all(), ["median", "trimmed_mean"].contains(&name), "{name}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let mut mean = Mean::begin("m", &start(), &samples(2)).unwrap();
        let error = mean.add(&node(0), &params(&[1.0])).unwrap_err();
        assert!(matches!(error, AggregateError::Params(_)), "{error}");
    }
}
