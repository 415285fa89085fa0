//! `experiment.toml`, the file that an experiment and a local job read.

use std::path::{Path, PathBuf};

use fedwasm_protocol::{Arguments, DataArgs, TrainingArgs};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::Error;

const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest time that a round may wait for a node: a week.
const ROUND_DEADLINE_S_MAX: u64 = 7 * 24 * 3_600;

/// A whole experiment (Fed-BioMed `Experiment`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentFile {
    /// What people call it.
    pub name: String,
    /// The component; relative to the file.
    pub plan: PathBuf,
    /// Rounds, at least 1.
    pub rounds: u32,
    /// Which columns, and how.
    pub data: DataArgs,
    /// How a round trains.
    pub training: TrainingArgs,
    /// Model arguments, keys starting with `model.`.
    #[serde(default, deserialize_with = "model")]
    pub model: Arguments,
    /// How updates become one model.
    #[serde(default)]
    pub aggregator: AggregatorArgs,
    /// Which nodes take part.
    #[serde(default)]
    pub strategy: StrategyArgs,
    /// Where the federation is.
    #[serde(default)]
    pub network: NetworkArgs,
}

/// What a local job reads of the same file; the rest may be there or not.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalFile {
    /// Which columns, and how.
    pub data: Option<DataArgs>,
    /// How to train; [`standard_training`] if none.
    pub training: Option<TrainingArgs>,
    /// Model arguments, keys starting with `model.`.
    #[serde(default, deserialize_with = "model")]
    pub model: Arguments,
    // The rest of an experiment is not used here, and no mistake.
    #[serde(rename = "name")]
    _name: Option<IgnoredAny>,
    #[serde(rename = "plan")]
    _plan: Option<IgnoredAny>,
    #[serde(rename = "rounds")]
    _rounds: Option<IgnoredAny>,
    #[serde(rename = "aggregator")]
    _aggregator: Option<IgnoredAny>,
    #[serde(rename = "strategy")]
    _strategy: Option<IgnoredAny>,
    #[serde(rename = "network")]
    _network: Option<IgnoredAny>,
}

/// How updates become one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "name", rename_all = "lowercase")]
pub enum AggregatorArgs {
    /// The mean, weighted by sample counts.
    #[default]
    FedAvg,
}

/// Which nodes take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrategyArgs {
    /// How nodes are selected.
    pub name: Selection,
    /// With fewer the experiment ends. Default 1.
    pub min_nodes: usize,
    /// How long a round waits for a node, in seconds. Default 60.
    pub round_deadline_s: u64,
}

/// How nodes are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// All that have the data, in every round.
    All,
}

impl Default for StrategyArgs {
    fn default() -> Self {
        Self { name: Selection::All, min_nodes: 1, round_deadline_s: 60 }
    }
}

/// Where the federation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkArgs {
    /// The broker.
    pub mqtt: String,
    /// The repository.
    pub repository: String,
}

impl Default for NetworkArgs {
    fn default() -> Self {
        Self { mqtt: "mqtt://127.0.0.1:1883".into(), repository: "http://127.0.0.1:8844".into() }
    }
}

fn model<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arguments, D::Error> {
    fedwasm_protocol::arguments_with_prefix("model", deserializer)
}

impl ExperimentFile {
    /// Reads and checks an experiment.
    ///
    /// # Errors
    /// [`Error::File`] with the place in the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file: Self = read(path)?;
        let wrong =
            |reason: &str| Error::File { path: path.to_owned(), reason: format!(" {reason}") };
        if file.rounds == 0 {
            return Err(wrong("`rounds` is 0, expected at least 1"));
        }
        if file.strategy.min_nodes == 0 {
            return Err(wrong("`strategy.min_nodes` is 0, expected at least 1"));
        }
        if !(1..=ROUND_DEADLINE_S_MAX).contains(&file.strategy.round_deadline_s) {
            return Err(wrong("`strategy.round_deadline_s` must be from 1 to 604800, a week"));
        }
        if file.data.tags.is_empty() {
            return Err(wrong("`data.tags` is empty; name the tags that datasets must have"));
        }
        let plan = path.parent().unwrap_or(Path::new("")).join(&file.plan);
        Ok(Self { plan, ..file })
    }
}

impl LocalFile {
    /// Reads what a local job needs.
    ///
    /// # Errors
    /// [`Error::File`] with the place in the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        read(path)
    }

    /// The column to predict: `given`, or that of `[data]`.
    pub fn target(&self, given: Option<&str>) -> Option<String> {
        given.or_else(|| Some(&self.data.as_ref()?.target)).map(str::to_owned)
    }
}

/// Returns how a local job trains when nobody says it: ten epochs of batches of
/// 32 rows, a fifth of the rows held out.
///
/// # Errors
/// Never in practice: the text is a constant.
pub fn standard_training() -> Result<TrainingArgs, Error> {
    let text = "epochs = 10\ntest_ratio = 0.2\ntest_on_local_updates = true";
    let internal = |error: toml::de::Error| Error::Internal { reason: error.to_string() };
    toml::from_str(text).map_err(internal)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
    let text = fedwasm_folder::read_file(path, FILE_BYTES_MAX)?;
    let text = String::from_utf8(text).map_err(|_| wrong(" not UTF-8".into()))?;
    toml::from_str(&text).map_err(|error| wrong(format!("\n{}", error.to_string().trim_end())))
}

/// Draws a random seed.
///
/// # Errors
/// [`Error::Internal`] if the operating system gives no randomness.
pub fn random_seed() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    let failed = |error: getrandom::Error| Error::Internal { reason: error.to_string() };
    getrandom::fill(&mut bytes).map_err(failed)?;
    // Short enough to be typed again.
    Ok(u64::from_le_bytes(bytes) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        name = "t"
        plan = "p.wasm"
        rounds = 2
        [data]
        tags = ["a"]
        target = "y"
        [training]
        epochs = 1
        [model]
        n_features = 3
        [aggregator]
        name = "fedavg"
        [strategy]
        name = "all"
        min_nodes = 2
        [network]
        mqtt = "mqtt://127.0.0.1:1"
        repository = "http://127.0.0.1:2"
    "#;

    fn parse(text: &str) -> Result<ExperimentFile, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.toml");
        std::fs::write(&path, text).unwrap();
        ExperimentFile::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_file_is_read_by_both() {
        let file = parse(FILE).unwrap();
        assert_eq!(file.model.len(), 1);
        assert!(file.plan.ends_with("p.wasm") && file.plan.is_absolute());
        let local: LocalFile = toml::from_str(FILE).unwrap();
        assert_eq!(local.training, Some(file.training));
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, expected) in [
            ("rounds = 2", "rounds = 0", "`rounds` is 0"),
            ("min_nodes = 2", "min_nodes = 0", "`strategy.min_nodes` is 0"),
            ("min_nodes = 2", "round_deadline_s = 604801", "must be from 1 to 604800"),
            ("min_nodes = 2", "max_nodes = 2", "unknown field `max_nodes`"),
            ("tags = [\"a\"]", "", "`data.tags` is empty"),
            ("\"fedavg\"", "\"fedsgd\"", "unknown variant `fedsgd`"),
            ("target = \"y\"", "", "missing field `target`"),
            ("epochs = 1", "epochs = \"one\"", "invalid type"),
        ] {
            let error = parse(&FILE.replace(from, to)).unwrap_err();
            assert!(error.contains(expected) && error.contains("e.toml"), "{error}");
        }
        let local = toml::from_str::<LocalFile>(&FILE.replace("[model]", "[modle]"));
        assert!(local.unwrap_err().to_string().contains("unknown field `modle`"));
    }
}
