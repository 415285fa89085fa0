//! Central differential privacy: `[privacy]` of an experiment, the noise that its aggregator adds,
//! and what that is worth. The researcher runs it, and a verifier runs it again from the seed.

mod noised;
mod seed;

use fedwasm_aggregate::{AggregateError, Aggregator, Weights};
use fedwasm_privacy::AdaptiveClip;
use fedwasm_privacy::account::{Accountant, Mechanism};
use fedwasm_protocol::{DpArgs, DpKind, Fields, Metrics};
use serde::{Deserialize, Serialize};

pub use self::noised::{carried, noised};
pub use self::seed::{NOISE_SEED, NoiseSeed};

/// The least and the largest noise multiplier, as at nodes: below, noise hides nothing; above, its
/// variance would leave the sampler's range.
const NOISE_MULTIPLIER: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// The same of a clip.
const CLIP: std::ops::RangeInclusive<f64> = 1e-9..=1e9;
/// The largest deviation of the noise on a count: so many nodes in doubt hide any federation.
const COUNT_SIGMA_MAX: f64 = 10_000.0;
const DELTA: f64 = 1e-6;
/// The key of the bound of a round among the numbers of an aggregator.
const CLIP_USED: &str = "clip";

/// The reason for which a method cannot have noise.
pub const NEEDS_A_MEAN: &str = "noise of the aggregator is added to the mean of clipped updates, and this method sees more \
     than that; a mean is enough for fedavg, fedprox, fedavgm, fedadagrad, fedadam, fedyogi";

/// `[privacy]` of an experiment: the aggregator clips updates and adds noise to their mean, in which
/// all nodes weigh alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentralArgs {
    /// z: the standard deviation of the noise on the sum of updates over the clip, 0.01 to 100.
    pub noise_multiplier: f64,
    /// C: the largest L2 norm of an update, 1e-9 to 1e9; with `adaptive` that of the first round.
    pub clip: f64,
    /// How the clip follows the norms of updates; none if it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveArgs>,
    /// Delta of (epsilon, delta), above 0 and at most 0.5. Default 1e-6.
    pub delta: f64,
    /// The largest epsilon of all rounds together; no bound by default. As the number of rounds, it
    /// ends an experiment and changes no result.
    #[serde(skip)]
    pub epsilon: Option<f64>,
}

/// How the clip follows the norms of updates (Andrew et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveArgs {
    /// The share of updates that is to be within the clip, between 0 and 1. Default 0.5.
    pub quantile: f64,
    /// Above 0 and at most 10. Default 0.2.
    pub learning_rate: f64,
    /// The standard deviation of the noise on the count of updates within the clip, more than half
    /// of the noise multiplier. Default: a twentieth of the nodes of a round, as in the paper, but
    /// at least the noise multiplier, which leaves the count a quarter of the privacy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count_sigma: Option<f64>,
}

/// The privacy of a round, and of all rounds up to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrivacyRecord {
    /// The clip of this round.
    pub clip: f64,
    /// The noise multiplier.
    pub noise_multiplier: f64,
    /// Epsilon of this round and all before, for the update of a node against none.
    pub epsilon: f64,
    /// Its delta.
    pub delta: f64,
}

impl CentralArgs {
    /// Reads `[privacy]`.
    pub fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("privacy") {
            return None;
        }
        let mut table = fields.table("privacy");
        for key in ["noise_multiplier", "clip"] {
            if !table.has(key) {
                table.mistake(key, "is missing");
            }
        }
        let within =
            |range: std::ops::RangeInclusive<f64>| move |value: f64| range.contains(&value);
        let noise_multiplier =
            table.real("noise_multiplier", "0.01 to 100", within(NOISE_MULTIPLIER));
        let clip = table.real("clip", "1e-9 to 1e9", within(CLIP));
        let adaptive = adaptive(&mut table, noise_multiplier);
        let rule = "a number, above 0 and at most 0.5";
        let delta = table.real("delta", rule, |delta| delta > 0.0 && delta <= 0.5);
        let epsilon = table.real("epsilon", "a number, more than 0", |epsilon| epsilon > 0.0);
        let delta = delta.unwrap_or(DELTA);
        let args = noise_multiplier.zip(clip).map(|(noise_multiplier, clip)| Self {
            noise_multiplier,
            clip,
            adaptive,
            delta,
            epsilon,
        });
        if let Some((args, budget)) = args.as_ref().zip(epsilon)
            && args.epsilon_after(1) > budget
        {
            let one = args.epsilon_after(1);
            let what = format!(
                "is {budget}, but a single round is worth {one:.4}: more noise makes it less"
            );
            table.mistake("epsilon", what);
        }
        fields.absorb(table);
        args
    }

    /// Whether its numbers are in range: those of a history are a stranger's.
    ///
    /// # Errors
    /// [`AggregateError::Other`].
    fn check_ranges(&self) -> Result<(), AggregateError> {
        let Self { noise_multiplier, clip, .. } = self;
        let wrong = |text: String| {
            Err(AggregateError::Other { aggregator: "[privacy]".into(), source: text.into() })
        };
        if !NOISE_MULTIPLIER.contains(noise_multiplier) {
            return wrong(format!(
                "`noise_multiplier` is {noise_multiplier}, expected 0.01 to 100"
            ));
        }
        match CLIP.contains(clip) {
            true => Ok(()),
            false => wrong(format!("`clip` is {clip}, expected 1e-9 to 1e9")),
        }
    }

    /// The same from `training.dp_args` of type `central`.
    ///
    /// # Errors
    /// The key that is out of range, and its rule.
    pub fn of_dp_args(dp: DpArgs) -> Result<Self, (&'static str, String)> {
        let DpArgs { sigma, clip, .. } = dp;
        if !NOISE_MULTIPLIER.contains(&sigma) {
            return Err(("sigma", format!("is {sigma}, expected 0.01 to 100")));
        }
        if !CLIP.contains(&clip) {
            return Err(("clip", format!("is {clip}, expected 1e-9 to 1e9")));
        }
        let (adaptive, epsilon) = (None, None);
        Ok(Self { noise_multiplier: sigma, clip, adaptive, delta: DELTA, epsilon })
    }

    /// The demand on nodes: to clip, and to add no noise. None with an adaptive clip, since a node
    /// that clips would hide which updates are beyond the bound.
    pub fn at_nodes(&self) -> Option<DpArgs> {
        let Self { clip, adaptive, .. } = *self;
        adaptive.is_none().then_some(DpArgs { kind: DpKind::Central, sigma: 0.0, clip })
    }

    /// Checks that noise can be added to what an aggregator sees.
    ///
    /// # Errors
    /// [`AggregateError::Other`], which names the methods that it can be added to.
    pub fn check(aggregator: &dyn Aggregator) -> Result<(), AggregateError> {
        match aggregator.of_sums() {
            Some(Weights::Rows) => Ok(()),
            _ => Err(AggregateError::Other {
                aggregator: aggregator.name().into(),
                source: NEEDS_A_MEAN.into(),
            }),
        }
    }

    /// Returns epsilon of so many rounds in all of which every node takes part. A draw of nodes in
    /// each round makes it no less here: the draw follows from a seed that is in the history.
    pub fn epsilon_after(&self, rounds: u32) -> f64 {
        let mechanism = Mechanism {
            noise_multiplier: self.noise_multiplier,
            sampling_rate: 1.0,
            steps: u64::from(rounds),
        };
        let mut accountant = Accountant::default();
        let epsilon = accountant.add(&mechanism).and_then(|()| accountant.epsilon(self.delta));
        epsilon.unwrap_or(f64::INFINITY)
    }

    /// Why there is no round after so many, if there is none.
    pub fn is_spent(&self, rounds: u32) -> Option<String> {
        let budget = self.epsilon?;
        let (spent, next) = (self.epsilon_after(rounds), self.epsilon_after(rounds + 1));
        (next > budget).then(|| {
            format!(
                "the next round would take epsilon from {spent:.4} to {next:.4}, above \
                 `privacy.epsilon` = {budget}"
            )
        })
    }

    /// The record of round `round`, given the numbers that its aggregator tells.
    pub fn record(&self, round: u32, numbers: &Metrics) -> PrivacyRecord {
        PrivacyRecord {
            clip: numbers.get(CLIP_USED).copied().unwrap_or(self.clip),
            noise_multiplier: self.noise_multiplier,
            epsilon: self.epsilon_after(round),
            delta: self.delta,
        }
    }
}

fn adaptive(fields: &mut Fields, noise_multiplier: Option<f64>) -> Option<AdaptiveArgs> {
    if !fields.has("adaptive") {
        return None;
    }
    let mut table = fields.table("adaptive");
    let quantile = table.real("quantile", "between 0 and 1", |q| q > 0.0 && q < 1.0);
    let rule = "a number, above 0 and at most 10";
    let rate = table.real("learning_rate", rule, |rate| rate > 0.0 && rate <= 10.0);
    let least = noise_multiplier.unwrap_or(0.0) / 2.0;
    let rule = format!("more than half of the noise multiplier, at most {COUNT_SIGMA_MAX}");
    let is_enough = |sigma: f64| sigma > least && sigma <= COUNT_SIGMA_MAX;
    let count_sigma = table.real("count_sigma", &rule, is_enough);
    fields.absorb(table);
    let (quantile, learning_rate) = (quantile.unwrap_or(0.5), rate.unwrap_or(0.2));
    Some(AdaptiveArgs { quantile, learning_rate, count_sigma })
}

impl AdaptiveArgs {
    /// The deviation of the noise on the count of `nodes` updates.
    fn count_sigma(&self, noise_multiplier: f64, nodes: u32) -> f64 {
        let usual = (f64::from(nodes) / 20.0).max(noise_multiplier);
        self.count_sigma.unwrap_or(usual.min(COUNT_SIGMA_MAX))
    }

    /// # Errors
    /// Those of the settings, which a history may have from elsewhere.
    fn bound(&self, clip: f64) -> Result<AdaptiveClip, fedwasm_privacy::Error> {
        AdaptiveClip::new(clip, self.quantile, self.learning_rate)
    }
}

#[cfg(test)]
mod tests;
