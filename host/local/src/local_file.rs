//! The part of `experiment.toml` that a local job reads.

use std::path::{Path, PathBuf};

use fedwasm_artifact::Component;
use fedwasm_protocol::{
    Arguments, DataArgs, FieldSelection, Fields, FileMistakes, LimitArgs, TrainingArgs,
};
use fedwasm_record::sections::{data, init, limits, model, read, table, training};
use fedwasm_record::{Keep, LocalArgs, load_history};
use toml::{Table, Value};

use crate::Error;

/// The part of the file that a local job reads; the rest is optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalFile {
    /// Which columns, and how.
    pub data: Option<DataArgs>,
    /// How to train, a fifth of the rows held out unless `test_ratio` says otherwise;
    /// [`standard_training`] if none.
    pub training: Option<TrainingArgs>,
    /// Model arguments, keys starting with `model.`.
    pub model: Arguments,
    /// A model, or a file of parameters, to start from.
    pub init: Option<PathBuf>,
    /// Patterns of the names of the parameters that start so; all if there are none.
    pub init_only: Vec<String>,
    /// Whether the plan runs in the strict profile.
    pub strict: bool,
    /// Limits below the standard ones.
    pub limits: LimitArgs,
    /// How it is scored while it trains, and which parameters are its result.
    pub local: LocalArgs,
    /// The keys of the file that a local job ignores, such as `rounds`.
    pub unused: Vec<&'static str>,
}

impl LocalFile {
    /// Reads the part that a local job needs. The path of `init` is relative to the file.
    ///
    /// # Errors
    /// [`Error::Record`] with all mistakes of the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = Self::parse(&read(path)?, path)?;
        let here = path.parent().unwrap_or(Path::new(""));
        Ok(Self { init: file.init.as_ref().map(|init| here.join(init)), ..file })
    }

    /// Checks the text of a file; messages call it `path`.
    ///
    /// # Errors
    /// [`Error::Record`] with all mistakes of the file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut fields = Fields::new("", table(text, path)?);
        let is_there = fields.has("data");
        let data = is_there.then(|| data(&mut fields, false)).flatten();
        let (training, lr_schedule) = training(&mut fields, Some(TEST_RATIO));
        let model = model(&mut fields);
        let (init, init_only) = init(&mut fields);
        let strict = fields.boolean("strict").unwrap_or(false);
        let limits = limits(&mut fields);
        let keep = Keep::take(&mut fields);
        let local = LocalArgs::take(&mut fields, keep);
        // The rest of an experiment is not used here, and no mistake.
        for key in ["name", "description", "plan", "tensorboard", "data", "training", "network"] {
            fields.value(key);
        }
        let experiments = [
            "rounds",
            "save_breakpoints",
            "keep_breakpoints",
            "keep_uploads",
            "keep_params",
            "params",
            "score_initial",
            "aggregator",
            "strategy",
            "secagg",
            "privacy",
        ];
        let unused = experiments.into_iter().filter(|key| fields.value(key).is_some());
        let unused = unused.chain(lr_schedule.map(|_| "training.lr_schedule")).collect();
        match fields.finish() {
            mistakes if mistakes.is_empty() => {
                Ok(Self { data, training, model, init, init_only, strict, limits, local, unused })
            }
            mistakes => {
                Err(fedwasm_record::Error::from(FileMistakes::new(path, text.into(), mistakes))
                    .into())
            }
        }
    }

    /// The column to predict: `given`, or that of `[data]`.
    pub fn target(&self, given: Option<&str>) -> Option<FieldSelection> {
        given.map(FieldSelection::from).or_else(|| Some(self.data.as_ref()?.target.clone()))
    }

    /// `[data]` and `[model]` of the run whose files are in `dir`; none if no run of this plan is
    /// there.
    pub fn of_run(dir: &Path, plan: &Component) -> Option<Self> {
        let history = load_history(dir).ok()?;
        let section = |name: &str| history.arguments.get(name).cloned().unwrap_or_default();
        let data = serde_json::from_value(section("data")).ok()?;
        let model = serde_json::from_value(section("model")).ok()?;
        let is_of_plan = history.plan.sha256 == plan.digest();
        is_of_plan.then(|| Self { data: Some(data), model, ..Self::default() })
    }
}

/// The default share of rows that a local job holds out: without a network there is no other score.
const TEST_RATIO: f64 = 0.2;

/// Returns the default training of a local job: ten epochs of batches of
/// 32 rows, a fifth of the rows held out.
///
/// # Errors
/// Never in practice: the arguments are constants.
pub fn standard_training() -> Result<TrainingArgs, Error> {
    let table = Table::from_iter([
        ("epochs".to_owned(), Value::Integer(10)),
        ("test_ratio".to_owned(), Value::Float(TEST_RATIO)),
        ("test_on_local_updates".to_owned(), Value::Boolean(true)),
    ]);
    TrainingArgs::parse(table).map_err(|error| Error::Internal { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        name = "t"
        plan = "p.wasm"
        rounds = 2
        keep_params = 3
        params = "a/b.mpk"
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
        [network]
        mqtt = "mqtt://127.0.0.1:1"
    "#;

    fn parse(text: &str) -> Result<LocalFile, Error> {
        LocalFile::parse(text, Path::new("e.toml"))
    }

    #[test]
    fn a_fifth_is_held_out_unless_the_file_says_otherwise() {
        let training = parse(FILE).unwrap().training.unwrap();
        assert_eq!(training.test_ratio, 0.2);
        let told = FILE.replace("[training]", "[training]\ntest_ratio = 0");
        let told = parse(&told).unwrap().training;
        assert_eq!(told, Some(TrainingArgs { test_ratio: 0.0, ..training }));
    }

    #[test]
    fn sections_of_an_experiment_are_not_used_and_misspelt_ones_are_mistakes() {
        let file = parse(FILE).unwrap();
        assert_eq!(file.model.len(), 1);
        assert_eq!(file.unused, ["rounds", "keep_params", "params", "aggregator", "strategy"]);
        let error = parse(&FILE.replace("[model]", "[modle]")).unwrap_err();
        assert!(error.to_string().contains("did you mean `model`?"), "{error}");
    }
}
