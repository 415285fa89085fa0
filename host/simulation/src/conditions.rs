//! The fates of nodes that are asked to train: they drop out, and some are slow. Everything is drawn
//! from the seed, and time is a number: no thread waits.

use std::str::FromStr;

use fedwasm_protocol::{NodeId, seed};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::Serialize;

use crate::draw::{exponential, normal, uniform};

/// The most seconds of a round, as written in a rule: a year.
const SECONDS_MAX: f64 = 3.2e7;

/// What befalls nodes that are asked to train.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conditions {
    /// The probability that a node does not answer, in [0, 1]. Drawn anew each time that it is asked.
    pub drop_out: f64,
    /// How long a node takes for a round. None: no time passes, and none is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_time: Option<RoundTime>,
    /// The nodes that take longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
}

/// How many seconds a node takes for a round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RoundTime {
    /// Always as many.
    Fixed {
        /// Seconds.
        s: f64,
    },
    /// Exponentially distributed.
    Exponential {
        /// Seconds.
        mean_s: f64,
    },
    /// Log-normally distributed.
    LogNormal {
        /// Seconds.
        median_s: f64,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
}

/// A share of nodes that is slow in all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slow {
    /// The probability that a node is one of them, in [0, 1].
    pub share: f64,
    /// How many times as long they take, at least 1.
    pub factor: f64,
}

/// What becomes of a node that is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It answers after so many seconds.
    Answers { s: f64 },
    /// It does not answer.
    DropsOut,
}

impl Conditions {
    /// What becomes of a node that is asked for the `attempt`th time, from 0, in a round.
    pub(crate) fn fate(&self, random_seed: u64, round: u32, attempt: u32, node: &NodeId) -> Fate {
        let seed = seed::fate(random_seed, round, attempt, node);
        let random = &mut ChaCha20Rng::from_seed(seed);
        if uniform(random) < self.drop_out {
            return Fate::DropsOut;
        }
        let factor = match self.slow {
            Some(Slow { share, factor }) => {
                let random = &mut ChaCha20Rng::from_seed(seed::speed(random_seed, node));
                if uniform(random) < share { factor } else { 1.0 }
            }
            None => 1.0,
        };
        let s = self.round_time.map_or(0.0, |time| time.draw(random));
        Fate::Answers { s: (s * factor).min(SECONDS_MAX) }
    }

    /// Whether time passes.
    pub(crate) fn has_time(&self) -> bool {
        self.round_time.is_some()
    }
}

impl RoundTime {
    fn draw(self, random: &mut ChaCha20Rng) -> f64 {
        match self {
            Self::Fixed { s } => s,
            Self::Exponential { mean_s } => mean_s * exponential(random),
            Self::LogNormal { median_s, sigma } => median_s * libm::exp(sigma * normal(random)),
        }
    }
}

fn number(text: &str, what: &str, max: f64) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=max).contains(number));
    number.ok_or_else(|| format!("`{text}` is not {what} from 0 to {max}"))
}

impl FromStr for RoundTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = |text: &str| number(text, "a number of seconds", SECONDS_MAX);
        match text.split_once('=') {
            None => Ok(Self::Fixed { s: seconds(text)? }),
            Some(("exponential", mean)) => Ok(Self::Exponential { mean_s: seconds(mean)? }),
            Some(("lognormal", of)) => {
                let (median, sigma) = of.split_once(',').ok_or_else(|| {
                    format!("`{text}` lacks a part: write lognormal=MEDIAN_SECONDS,SIGMA")
                })?;
                let sigma = number(sigma, "a deviation", 10.0)?;
                Ok(Self::LogNormal { median_s: seconds(median)?, sigma })
            }
            Some(_) => Err(format!(
                "`{text}` is not a distribution; write SECONDS, exponential=MEAN_SECONDS or \
                 lognormal=MEDIAN_SECONDS,SIGMA"
            )),
        }
    }
}

impl FromStr for Slow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lacks = || format!("`{text}` lacks a part: write SHARE,FACTOR, such as 0.1,5");
        let (share, factor) = text.split_once(',').ok_or_else(lacks)?;
        let share = number(share, "a share of the nodes", 1.0)?;
        let factor = number(factor, "a factor", 1e6)?;
        if factor < 1.0 {
            return Err(format!("`{factor}` is below 1: slow nodes take longer"));
        }
        Ok(Self { share, factor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> impl Iterator<Item = NodeId> {
        (0..2_000).map(|n| format!("node-{n}").parse().unwrap())
    }

    #[test]
    fn fates_follow_from_the_seed_and_differ_between_attempts() {
        let time = Some("lognormal=10,0.5".parse().unwrap());
        let of =
            Conditions { drop_out: 0.3, round_time: time, slow: Some("0.2,4".parse().unwrap()) };
        let fates = |seed, round, attempt| -> Vec<Fate> {
            nodes().map(|node| of.fate(seed, round, attempt, &node)).collect()
        };
        let first = fates(42, 1, 0);
        assert_eq!(first, fates(42, 1, 0));
        for other in [fates(43, 1, 0), fates(42, 2, 0), fates(42, 1, 1)] {
            assert_ne!(first, other);
        }
        let out = first.iter().filter(|fate| **fate == Fate::DropsOut).count();
        assert!((520..680).contains(&out), "{out}");
        let mut times: Vec<f64> = first
            .iter()
            .filter_map(|fate| match fate {
                Fate::Answers { s } => Some(*s),
                Fate::DropsOut => None,
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        // A fifth takes four times as long, which moves the median up.
        assert!((10.5..13.5).contains(&median), "{median}");
        let slow = times.iter().filter(|s| **s > 30.0).count();
        assert!((180..380).contains(&slow), "{slow}");
    }

    #[test]
    fn a_slow_node_is_slow_in_every_round() {
        let of = Conditions {
            round_time: Some("2".parse().unwrap()),
            slow: Some("0.5,3".parse().unwrap()),
            ..Conditions::default()
        };
        for node in nodes().take(20) {
            let first = of.fate(42, 1, 0, &node);
            assert!([2.0, 6.0].map(|s| Fate::Answers { s }).contains(&first));
            assert!((2..9).all(|round| of.fate(42, round, 0, &node) == first));
        }
    }

    #[test]
    fn mistakes_in_rules_are_named() {
        for (text, why) in [
            ("weibull=2", "is not a distribution"),
            ("lognormal=2", "lacks a part"),
            ("-1", "is not a number of seconds"),
            ("exponential=inf", "is not a number of seconds"),
        ] {
            assert!(text.parse::<RoundTime>().unwrap_err().contains(why), "{text}");
        }
        for (text, why) in
            [("0.5", "lacks a part"), ("2,3", "a share of the nodes"), ("0.1,0.5", "is below 1")]
        {
            assert!(text.parse::<Slow>().unwrap_err().contains(why), "{text}");
        }
    }
}
