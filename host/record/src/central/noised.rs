//! An aggregator around another one: updates are clipped and summed as whole numbers, their sum
//! gets discrete Gaussian noise, and the other one sees no more than the noised mean.
//!
//! Sum and noise are exact integers, so that the proof for the discrete Gaussian holds (Canonne,
//! Kamath, Steinke 2020); all that is rounded afterwards follows from them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fedwasm_aggregate::{
    AggregateError, Aggregator, AuxVars, ReceivedAuxVars, RoundSum, Samples, Weights,
};
use fedwasm_params::{DType, Params, Tensor, to_f64};
use fedwasm_privacy::{
    AdaptiveClip, Clip, DiscreteGaussian, Variance, moved, multiplier_of_update, update,
};
use fedwasm_protocol::{Arguments, Metrics, NodeId};
use rand_chacha::ChaCha20Rng;

use super::{CLIP_USED, CentralArgs, NoiseSeed};

/// The name of errors.
const NAME: &str = "[privacy]";
/// Steps of the grid in a clip, as nodes have them: noise of the least multiplier is 5,000 steps.
const STEPS_OF_CLIP: f64 = (1u64 << 19) as f64;
/// Steps of the noise on a count, in a node.
const STEPS_OF_COUNT: f64 = (1u64 << 10) as f64;
/// The most by which a node that quantises with 20 bits or more changes a value, in clips.
const NODE_ROUNDING: f64 = 1.0 / (1u64 << 20) as f64;
/// The largest number of steps that float64 counts one by one.
const LEVEL_MAX: f64 = (1u64 << 52) as f64;
/// The first of the numbers that noise follows from: the use of the noise.
const OF_UPDATE: u64 = 0;
const OF_COUNT: u64 = 1;
/// The name of the bound in a state, and the start of those of the other aggregator.
const BOUND: &str = "privacy.clip";
const INNER: &str = "inner.";

/// Puts the noise of `[privacy]` before an aggregator.
///
/// # Errors
/// [`AggregateError::Other`] if the aggregator must see more than a mean, or for a setting out of
/// range.
pub fn noised(
    args: &CentralArgs,
    seed: &NoiseSeed,
    inner: Box<dyn Aggregator>,
) -> Result<Box<dyn Aggregator>, AggregateError> {
    CentralArgs::check(&*inner)?;
    args.check_ranges()?;
    let bound = match &args.adaptive {
        Some(adaptive) => Bound::Adaptive(adaptive.bound(args.clip).map_err(other)?),
        None => Bound::Fixed(Clip::new(args.clip).map_err(other)?),
    };
    let (args, seed) = (args.clone(), seed.clone());
    let last = Metrics::new();
    Ok(Box::new(Noised { args, seed, inner, bound, round: None, last }))
}

/// The part of a state with which another method goes on: the bound on updates. None without noise.
pub fn carried(
    args: Option<&CentralArgs>,
    state: &Params,
) -> Result<Option<Params>, AggregateError> {
    if args.is_none() {
        return Ok(None);
    }
    let kept = state.iter().filter(|(name, _)| *name == BOUND);
    let kept = kept.map(|(name, tensor)| (name.to_owned(), tensor.clone()));
    Ok(Some(Params::new(kept.collect())?))
}

/// The bound on updates.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Fixed(Clip),
    Adaptive(AdaptiveClip),
}

impl Bound {
    fn clip(&self) -> Result<Clip, AggregateError> {
        match self {
            Self::Fixed(clip) => Ok(*clip),
            Self::Adaptive(bound) => bound.clip().map_err(other),
        }
    }
}

#[derive(Debug)]
struct Noised {
    args: CentralArgs,
    seed: NoiseSeed,
    inner: Box<dyn Aggregator>,
    bound: Bound,
    round: Option<Round>,
    /// The numbers of the round that ended last.
    last: Metrics,
}

/// A round that was begun.
#[derive(Debug)]
struct Round {
    global: Params,
    /// The same in the order of names.
    start: Params,
    clip: Clip,
    nodes: BTreeSet<NodeId>,
    /// Those whose updates are still to come, in order.
    left: VecDeque<NodeId>,
    /// The sum of clipped updates in steps.
    levels: Vec<i64>,
    /// Updates within the clip.
    within: i64,
}

impl Aggregator for Noised {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        let clip = self.bound.clip()?;
        let nodes: BTreeSet<NodeId> = samples.keys().cloned().collect();
        check_some(&nodes)?;
        let levels = vec![0; to_f64(global, global)?.len()];
        let left = nodes.iter().cloned().collect();
        let (global, start) = (global.clone(), by_name(global)?);
        self.round = Some(Round { global, start, clip, nodes, left, levels, within: 0 });
        Ok(())
    }

    fn add(&mut self, node: &NodeId, trained: &Params) -> Result<(), AggregateError> {
        let round = self.round.as_mut().ok_or_else(|| order("the round has not begun".into()))?;
        match round.left.front() {
            Some(next) if next == node => {}
            next => {
                let next = next.map_or_else(|| "no node".to_owned(), |next| format!("`{next}`"));
                let text = format!("the next update must come from {next}, but `{node}` came");
                return Err(order(text));
            }
        }
        let mut values = update(trained, &round.start).map_err(other)?;
        let clipped = round.clip.apply(&mut values).map_err(other)?;
        let step = step_of(round.clip);
        // At most 2^19 steps each, so that no sum of nodes overflows.
        let levels = round.levels.iter_mut().zip(&values);
        levels.for_each(|(level, value)| *level += (value / step).round_ties_even() as i64);
        round.within += i64::from(clipped.is_unclipped());
        round.left.pop_front();
        Ok(())
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        let round = self.round.take().ok_or_else(|| order("the round has not begun".into()))?;
        if let Some(next) = round.left.front() {
            return Err(order(format!("the update of `{next}` is missing")));
        }
        let Round { global, start, clip, nodes, levels, within, .. } = round;
        // Rounding to whole steps moves each value of an update by half a step at most.
        let n_values = levels.len() as f64;
        let sensitivity = STEPS_OF_CLIP * (1.0 + n_values * f64::EPSILON) + n_values.sqrt() / 2.0;
        let (bound, multiplier) = self.next_bound(nodes.len() as u32, within, &start, &levels)?;
        let mean = self.noised_mean(&start, clip, nodes.len(), levels, multiplier * sensitivity)?;
        self.pass_on((&global, &start), nodes, &mean, (clip, bound))
    }

    fn numbers(&self) -> Metrics {
        let mut numbers = self.inner.numbers();
        numbers.extend(self.last.clone());
        numbers
    }

    fn arguments(&self) -> Arguments {
        self.inner.arguments()
    }

    fn aux_vars(&self, global: &Params, nodes: &[NodeId]) -> Result<AuxVars, AggregateError> {
        self.inner.aux_vars(global, nodes)
    }

    fn take_aux_vars(&mut self, received: &ReceivedAuxVars) -> Result<(), AggregateError> {
        self.inner.take_aux_vars(received)
    }

    fn of_sums(&self) -> Option<Weights> {
        match self.bound {
            Bound::Fixed(_) => Some(Weights::Equal),
            Bound::Adaptive(_) => None,
        }
    }

    fn expect_sums(&mut self) -> Result<(), AggregateError> {
        match self.bound {
            Bound::Fixed(_) => self.inner.expect_sums(),
            Bound::Adaptive(_) => Err(AggregateError::Other {
                aggregator: NAME.into(),
                source: "`adaptive` needs the norm of every update, and only their sum is known"
                    .into(),
            }),
        }
    }

    /// Adds the noise to a mean of updates that nodes clipped. What nodes and the mean's own type
    /// rounded counts as part of the sensitivity.
    fn take_sum(&mut self, global: &Params, sum: &RoundSum) -> Result<Params, AggregateError> {
        let clip = match self.bound {
            Bound::Fixed(clip) => clip,
            Bound::Adaptive(_) => return Err(order("a sum came, and updates are expected".into())),
        };
        check_some(&sum.nodes)?;
        let start = by_name(global)?;
        let (n, step) = (sum.nodes.len() as f64, step_of(clip));
        let mean = update(&sum.params, &start).map_err(other)?;
        let rounding = rounding(global, clip.norm_max())?;
        let n_values = mean.len() as f64;
        let relative = 1.0 + n_values * f64::EPSILON + n_values.sqrt() * NODE_ROUNDING;
        // A node rounds its update to the type, too.
        let of_node = clip.norm_max() * relative + rounding;
        let norm = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm > of_node + rounding {
            return Err(AggregateError::Other {
                aggregator: NAME.into(),
                source: "the mean is longer than the clip: a node did not clip its update".into(),
            });
        }
        // Rounded twice: the mean to its type, the sum to whole steps; each in both of two sums.
        let sensitivity = (of_node + 2.0 * n * rounding) / step + n_values.sqrt();
        let levels: Vec<f64> =
            mean.iter().map(|value| (value * n / step).round_ties_even()).collect();
        if levels.iter().any(|level| level.abs() > LEVEL_MAX) {
            return Err(order("the sum is beyond the range of its grid".into()));
        }
        let levels = levels.into_iter().map(|level| level as i64).collect();
        let sigma = self.args.noise_multiplier * sensitivity;
        let mean = self.noised_mean(&start, clip, sum.nodes.len(), levels, sigma)?;
        self.pass_on((global, &start), sum.nodes.clone(), &mean, (clip, self.bound))
    }

    fn state(&self) -> Result<Params, AggregateError> {
        let inner = self.inner.state()?;
        let inner = inner.iter().map(|(name, tensor)| (format!("{INNER}{name}"), tensor.clone()));
        let mut tensors: Vec<(String, Tensor)> = inner.collect();
        if let Bound::Adaptive(_) = self.bound {
            let clip = self.bound.clip()?.norm_max();
            let tensor = Tensor::new(DType::Float64, Vec::new(), clip.to_le_bytes().to_vec())?;
            tensors.push((BOUND.to_owned(), tensor));
        }
        Ok(Params::new(tensors)?)
    }

    /// A state without parts of the other aggregator leaves that one at its start: another method
    /// goes on with the bound alone.
    fn restore(&mut self, state: &Params) -> Result<(), AggregateError> {
        let misfit = |reason: String| AggregateError::State { reason };
        let mut inner = Vec::new();
        let mut clip = None;
        for (name, tensor) in state.iter() {
            match name.strip_prefix(INNER) {
                Some(name) => inner.push((name.to_owned(), tensor.clone())),
                None if name == BOUND && tensor.shape().is_empty() => {
                    clip = tensor.floats().and_then(|values| values.first().copied());
                }
                None => return Err(misfit(format!("`{name}` is unknown"))),
            }
        }
        let bound = match (&self.args.adaptive, clip) {
            (Some(adaptive), Some(clip)) => {
                let bound = adaptive.bound(clip).map_err(|error| misfit(error.to_string()))?;
                Bound::Adaptive(bound)
            }
            (None, None) => self.bound,
            (Some(_), None) => return Err(misfit(format!("`{BOUND}` is absent"))),
            (None, Some(_)) => return Err(misfit(format!("`{BOUND}` is unknown"))),
        };
        if !inner.is_empty() {
            self.inner.restore(&Params::new(inner)?)?;
        }
        (self.bound, self.round) = (bound, None);
        Ok(())
    }
}

impl Noised {
    /// The bound of the next round, and the noise multiplier that is left for the updates.
    fn next_bound(
        &self,
        nodes: u32,
        within: i64,
        start: &Params,
        levels: &[i64],
    ) -> Result<(Bound, f64), AggregateError> {
        let z = self.args.noise_multiplier;
        let (Bound::Adaptive(mut bound), Some(adaptive)) = (self.bound, &self.args.adaptive) else {
            return Ok((self.bound, z));
        };
        // Counted as 1 for within and -1 for beyond, over 2: a node changes that by a half, so the
        // noise is worth twice its deviation (section 3 of the paper).
        let sigma = adaptive.count_sigma(z, nodes);
        let multiplier = multiplier_of_update(z, sigma).map_err(other)?;
        let variance = Variance::at_least(2.0 * sigma * STEPS_OF_COUNT).map_err(other)?;
        let clip = bound.clip().map_err(other)?;
        let mut rng = self.rng_of([OF_COUNT, nodes.into(), within as u64], start, levels, clip)?;
        let noise = DiscreteGaussian::new(variance).draw(&mut rng) as f64 / STEPS_OF_COUNT;
        let n = f64::from(nodes);
        let balance = (2 * within) as f64 - n;
        bound.observe(((balance + noise) / n + 1.0) / 2.0).map_err(other)?;
        Ok((Bound::Adaptive(bound), multiplier))
    }

    /// The mean of updates from their sum in steps, with noise of this deviation on the sum.
    fn noised_mean(
        &self,
        start: &Params,
        clip: Clip,
        nodes: usize,
        mut levels: Vec<i64>,
        sigma: f64,
    ) -> Result<Vec<f64>, AggregateError> {
        let gaussian = DiscreteGaussian::new(Variance::at_least(sigma).map_err(other)?);
        let mut rng = self.rng_of([OF_UPDATE, nodes as u64, 0], start, &levels, clip)?;
        for level in &mut levels {
            *level = level.saturating_add(gaussian.draw(&mut rng));
        }
        let (n, step) = (nodes as f64, step_of(clip));
        Ok(levels.into_iter().map(|level| level as f64 * step / n).collect())
    }

    /// The generator for noise on these numbers, and on no others.
    ///
    /// * `counts` — the use of the noise, the nodes, and the updates within the clip if it is on that.
    fn rng_of(
        &self,
        counts: [u64; 3],
        start: &Params,
        levels: &[i64],
        clip: Clip,
    ) -> Result<ChaCha20Rng, AggregateError> {
        let settings = [self.args.noise_multiplier, clip.norm_max()].map(f64::to_bits);
        let settings = counts.into_iter().chain(settings);
        let start = to_f64(start, start)?.into_iter().map(f64::to_bits);
        let levels = levels.iter().map(|level| *level as u64);
        Ok(self.seed.rng(settings.chain(start).chain(levels)))
    }

    /// Ends a round: the other aggregator takes the noised mean.
    fn pass_on(
        &mut self,
        (global, start): (&Params, &Params),
        nodes: BTreeSet<NodeId>,
        mean: &[f64],
        (clip, bound): (Clip, Bound),
    ) -> Result<Params, AggregateError> {
        let params = moved(start, mean).map_err(other)?;
        let n_samples = nodes.len() as u64;
        let sum = RoundSum { nodes, n_samples, params, aux: Params::default() };
        let params = self.inner.take_sum(global, &sum)?;
        self.bound = bound;
        self.last = Metrics::from([(CLIP_USED.to_owned(), clip.norm_max())]);
        Ok(params)
    }
}

/// The same in the order of names: noise must not depend on the order in which tensors came.
fn by_name(params: &Params) -> Result<Params, AggregateError> {
    let named = params.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone()));
    let named: BTreeMap<String, Tensor> = named.collect();
    Ok(Params::new(named.into_iter().collect())?)
}

/// The distance of two points of the grid.
fn step_of(clip: Clip) -> f64 {
    clip.norm_max() / STEPS_OF_CLIP
}

/// The L2 norm of what rounding to the types of the parameters changes at a mean of updates: half a
/// unit in the last place of a value that is at most `clip` away from the global one.
fn rounding(global: &Params, clip: f64) -> Result<f64, AggregateError> {
    let mut squares = 0.0;
    for (_, tensor) in global.iter() {
        let unit = match tensor.dtype() {
            DType::Float32 => f64::from(f32::EPSILON) / 2.0,
            _ => f64::EPSILON / 2.0,
        };
        let values = tensor.floats().unwrap_or_default();
        squares += values.iter().map(|x| (unit * (x.abs() + clip)).powi(2)).sum::<f64>();
    }
    Ok(squares.sqrt())
}

fn check_some(nodes: &BTreeSet<NodeId>) -> Result<(), AggregateError> {
    match nodes.is_empty() {
        false => Ok(()),
        true => Err(AggregateError::TooFewNodes {
            aggregator: NAME,
            needed: 1,
            rule: "there is nothing to aggregate without one".into(),
            got: 0,
        }),
    }
}

fn other(source: fedwasm_privacy::Error) -> AggregateError {
    AggregateError::Other { aggregator: NAME.into(), source: source.into() }
}

fn order(reason: String) -> AggregateError {
    AggregateError::Order { aggregator: NAME, reason }
}
