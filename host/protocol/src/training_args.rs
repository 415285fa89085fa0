//! How a round trains (Fed-BioMed `TrainingArgs`).

use serde::{Deserialize, Serialize};

use crate::Arguments;
use crate::arguments::arguments_with_prefix;

/// How a round trains (Fed-BioMed `TrainingArgs`). Exists only if every rule
/// holds; see the fields for the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct TrainingArgs {
    /// Passes over the training rows; `num_updates` wins over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Optimizer steps in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_updates: Option<u64>,
    /// How batches are made.
    pub loader_args: LoaderArgs,
    /// Arguments of the optimizer, keys starting with `optimizer.`.
    #[serde(serialize_with = "without_prefix")]
    pub optimizer_args: Arguments,
    /// The share of rows that is held out, in [0, 1).
    pub test_ratio: f64,
    /// Whether the parameters trained at a node are scored there.
    pub test_on_local_updates: bool,
    /// Whether the aggregated parameters are scored at the nodes.
    pub test_on_global_updates: bool,
    /// The metric that curves and tables lead with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_metric: Option<Metric>,
    /// Where all randomness of the run comes from; below 2^63, so that every
    /// file format can hold it. Drawn and recorded if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_seed: Option<u64>,
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderArgs {
    /// Rows of a batch, at least 1. Default 32.
    pub batch_size: u32,
    /// Whether rows are shuffled anew in every epoch. Default true.
    pub shuffle: bool,
    /// Whether an incomplete last batch is dropped. Default false.
    pub drop_last: bool,
}

impl Default for LoaderArgs {
    fn default() -> Self {
        Self { batch_size: 32, shuffle: true, drop_last: false }
    }
}

/// A metric that the host computes (Fed-BioMed `MetricTypes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Metric {
    /// Share of rows whose class is right.
    Accuracy,
    /// Mean of squared differences.
    MeanSquareError,
    /// Mean of absolute differences.
    MeanAbsoluteError,
}

impl Metric {
    /// The metric's key in results.
    pub fn key(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanSquareError => "mean_square_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
        }
    }
}

/// When a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// After so many passes over the training rows.
    Epochs(u64),
    /// After so many optimizer steps.
    Updates(u64),
}

impl TrainingArgs {
    /// When a round ends: `num_updates` before `epochs` (Fed-BioMed's
    /// iteration accountant).
    pub fn budget(&self) -> Budget {
        match (self.num_updates, self.epochs) {
            (Some(updates), _) => Budget::Updates(updates),
            (None, Some(epochs)) => Budget::Epochs(epochs),
            // `Raw` refuses this case.
            (None, None) => Budget::Epochs(0),
        }
    }
}

/// Training arguments that break a rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingArgsError {
    /// Nothing says how long to train.
    #[error("neither `epochs` nor `num_updates` is given; say how long a round trains")]
    NoBudget,
    /// The share of held-out rows is out of range.
    #[error("`test_ratio` is {got}, expected 0 <= test_ratio < 1")]
    TestRatio {
        /// What was given.
        got: f64,
    },
    /// A batch without rows.
    #[error("`loader_args.batch_size` is 0, expected at least 1")]
    BatchSize,
    /// The seed does not fit a signed 64-bit integer.
    #[error("`random_seed` is {got}, expected at most 2^63 - 1")]
    RandomSeed {
        /// What was given.
        got: u64,
    },
    /// Scoring without held-out rows.
    #[error("`{flag}` is set but `test_ratio` is 0; hold rows out, such as `test_ratio = 0.2`")]
    NothingHeldOut {
        /// The flag.
        flag: &'static str,
    },
}

/// What a file says, before the rules are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    epochs: Option<u64>,
    num_updates: Option<u64>,
    #[serde(default)]
    loader_args: LoaderArgs,
    #[serde(default, deserialize_with = "with_prefix")]
    optimizer_args: Arguments,
    #[serde(default)]
    test_ratio: f64,
    #[serde(default)]
    test_on_local_updates: bool,
    #[serde(default)]
    test_on_global_updates: bool,
    test_metric: Option<Metric>,
    random_seed: Option<u64>,
}

const PREFIX: &str = "optimizer";

fn with_prefix<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arguments, D::Error> {
    arguments_with_prefix(PREFIX, deserializer)
}

fn without_prefix<S: serde::Serializer>(
    args: &Arguments,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let strip = |key: &str| key.trim_start_matches(PREFIX).trim_start_matches('.').to_owned();
    serializer.collect_map(args.iter().map(|(key, value)| (strip(key), value)))
}

impl TryFrom<Raw> for TrainingArgs {
    type Error = TrainingArgsError;

    fn try_from(raw: Raw) -> Result<Self, TrainingArgsError> {
        if raw.epochs.is_none() && raw.num_updates.is_none() {
            return Err(TrainingArgsError::NoBudget);
        }
        if !(0.0..1.0).contains(&raw.test_ratio) {
            return Err(TrainingArgsError::TestRatio { got: raw.test_ratio });
        }
        if raw.loader_args.batch_size == 0 {
            return Err(TrainingArgsError::BatchSize);
        }
        if let Some(got) = raw.random_seed.filter(|seed| *seed > i64::MAX as u64) {
            return Err(TrainingArgsError::RandomSeed { got });
        }
        for (flag, set) in [
            ("test_on_local_updates", raw.test_on_local_updates),
            ("test_on_global_updates", raw.test_on_global_updates),
        ] {
            if set && raw.test_ratio == 0.0 {
                return Err(TrainingArgsError::NothingHeldOut { flag });
            }
        }
        Ok(Self {
            epochs: raw.epochs,
            num_updates: raw.num_updates,
            loader_args: raw.loader_args,
            optimizer_args: raw.optimizer_args,
            test_ratio: raw.test_ratio,
            test_on_local_updates: raw.test_on_local_updates,
            test_on_global_updates: raw.test_on_global_updates,
            test_metric: raw.test_metric,
            random_seed: raw.random_seed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn parse(text: &str) -> Result<TrainingArgs, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let args = parse("epochs = 1").unwrap();
        assert_eq!(args.test_ratio, 0.0);
        assert!(!args.test_on_local_updates && !args.test_on_global_updates);
        assert_eq!(args.budget(), Budget::Epochs(1));
        assert_eq!(args.loader_args.batch_size, 32);
    }

    #[test]
    fn num_updates_wins_over_epochs() {
        let args = parse("epochs = 3\nnum_updates = 7").unwrap();
        assert_eq!(args.budget(), Budget::Updates(7));
    }

    #[test]
    fn optimizer_arguments_get_dotted_keys() {
        let args = parse("epochs = 1\noptimizer_args = { lr = 0.1, adam = { beta = [1, 2] } }");
        let args = args.unwrap().optimizer_args;
        assert_eq!(args["optimizer.lr"], Value::Real(0.1));
        assert_eq!(args["optimizer.adam.beta"], Value::Integers(vec![1, 2]));
    }

    #[test]
    fn every_rule_is_an_error_of_its_own() {
        for (text, expected) in [
            ("", "neither `epochs` nor `num_updates`"),
            ("epochs = 1\ntest_ratio = 1.0", "`test_ratio` is 1"),
            ("epochs = 1\ntest_ratio = nan", "`test_ratio` is NaN"),
            ("epochs = -1", "integer `-1`"),
            ("epochs = 1\nloader_args = { batch_size = 0 }", "`loader_args.batch_size` is 0"),
            ("epochs = 1\ntest_on_local_updates = true", "`test_on_local_updates` is set"),
            ("epochs = 1\ntest_metric = \"RULE_OF_THUMB\"", "RULE_OF_THUMB"),
            ("epoch = 1", "unknown field `epoch`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_sent_is_received() {
        let args = parse(
            "epochs = 2\noptimizer_args = { lr = 0.5 }\ntest_ratio = 0.25\n\
             test_metric = \"ACCURACY\"\nrandom_seed = 9",
        )
        .unwrap();
        let bytes = rmp_serde::to_vec_named(&args).unwrap();
        assert_eq!(rmp_serde::from_slice::<TrainingArgs>(&bytes).unwrap(), args);
    }
}
