//! Tests a plan before others run it: the contract suite, and golden metrics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Renames, Volumes};
use fedwasm_protocol::{
    Arguments, DataArgs, FieldSelection, FileMistakes, Metrics, Mistake, NodeId, Place,
    TrainingArgs,
};
use fedwasm_record::Error as RecordError;
use fedwasm_sandbox::{Cancel, DataFacts, Limits, Sandbox};
use fedwasm_training::{Examples, Round, Suite, SuiteOptions, TestRows, Turn, facts};
use serde::{Deserialize, Serialize};

use crate::{Error, LocalFile, LocalJob, LocalOptions, standard_training};

/// The largest golden file that is read.
const GOLDEN_BYTES_MAX: u64 = 64 << 10;
/// The default tolerance between a metric and the golden one: other compilers
/// round alike, but a plan may be built from other sources of the same arithmetic.
const TOLERANCE: f64 = 1e-6;
/// The shape of random rows where arguments do not determine it.
const FACTS: DataFacts = DataFacts { n_inputs: Some(4), n_classes: Some(3) };

/// A plan to test, and the data.
#[derive(Clone, Debug)]
pub struct PlanTestOptions {
    /// The plan.
    pub component: Component,
    /// Another build of it, which must give the same bytes.
    pub twin: Option<Component>,
    /// Where it runs.
    pub sandbox: Sandbox,
    /// Model arguments and limits.
    pub file: LocalFile,
    /// A data file; rows are drawn if none.
    pub data: Option<(PathBuf, DataArgs)>,
    /// Where all randomness comes from.
    pub random_seed: u64,
}

/// Makes the contract suite ready.
///
/// # Errors
/// [`Error`] if the plan or the data cannot be used at all.
pub fn plan_suite(options: PlanTestOptions, cancel: &Cancel) -> Result<Suite, Error> {
    let PlanTestOptions { component, twin, sandbox, file, data, random_seed } = options;
    let limits = Limits::default().with(&file.limits);
    let mut suite = SuiteOptions {
        component,
        twin,
        sandbox,
        limits,
        arguments: file.model,
        facts: FACTS,
        random_seed,
    };
    if let Some(training) = &file.training {
        suite.arguments.extend(training.optimizer_args.clone());
    }
    let rows = data.map(|(path, data)| -> Result<TestRows, Error> {
        let table = Dataset::open(&path, None)?;
        let plan = suite.sandbox.describe(&suite.component, suite.limits.clone())?;
        suite.facts = facts(&table, &data, plan.metadata(), &suite.arguments)?;
        let training = TrainingArgs { test_ratio: 0.0, ..standard_training()? };
        let none = Arguments::new();
        let round = Round::new(&plan, &suite.arguments, &training, &none, &suite.facts)?;
        let turn = Turn { random_seed, round: 1, node: node()? };
        Ok(TestRows::of(&Examples::read(&table, &data, &round, &turn)?)?)
    });
    Ok(Suite::new(suite, rows.transpose()?, cancel)?)
}

/// The golden metrics of a plan, trained on known data: `PLAN.golden.toml`.
///
/// Paths are relative to the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The data, as a local job takes them.
    pub data: PathBuf,
    /// The column to predict.
    pub target: FieldSelection,
    /// A file with `[data]`, `[training]` and `[model]`, as `local --args` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<PathBuf>,
    /// Where all randomness comes from.
    pub seed: u64,
    /// How far a metric may be off, absolutely.
    #[serde(default = "tolerance")]
    pub tolerance: f64,
    /// Metrics of the held-out rows.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

fn tolerance() -> f64 {
    TOLERANCE
}

impl Golden {
    /// A file without metrics yet.
    pub fn new(data: PathBuf, target: FieldSelection, args: Option<PathBuf>, seed: u64) -> Self {
        Self { data, target, args, seed, tolerance: TOLERANCE, metrics: BTreeMap::new() }
    }

    /// Reads a golden file.
    ///
    /// # Errors
    /// [`RecordError::Toml`], [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fedwasm_folder::read_file(path, GOLDEN_BYTES_MAX)?;
        let wrong = |mistakes: FileMistakes| Error::from(RecordError::from(mistakes));
        let text = String::from_utf8(bytes).map_err(|_| wrong(FileMistakes::not_utf8(path)))?;
        let golden: Self = match toml::from_str(&text) {
            Ok(golden) => golden,
            Err(error) => return Err(wrong(FileMistakes::of_toml(path, text, &error))),
        };
        if golden.tolerance >= 0.0 && golden.tolerance.is_finite() {
            return Ok(golden);
        }
        let message = format!("tolerance is {}, expected 0 or more", golden.tolerance);
        let mistake = Mistake { place: Place::Value("tolerance".into()), message };
        Err(wrong(FileMistakes::new(path, text, vec![mistake])))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = toml::to_string(self);
        let text = text.map_err(|error| Error::Internal { reason: error.to_string() })?;
        let text = format!(
            "# The golden metrics of the plan; `fedwasm plan test --bless` writes them.\n{text}"
        );
        Ok(fedwasm_folder::write_file(path, text.as_bytes())?)
    }

    /// Trains on the data as `local` does, and returns the metrics of the held-out rows. `here` is
    /// the directory of the file.
    ///
    /// # Errors
    /// As [`LocalJob`], and [`RecordError::File`] if nothing is held out.
    pub fn train(
        &self,
        component: &Component,
        sandbox: &Sandbox,
        here: &Path,
        cancel: &Cancel,
    ) -> Result<Metrics, Error> {
        let file = match &self.args {
            Some(args) => LocalFile::read(&here.join(args))?,
            None => LocalFile::default(),
        };
        let target = self.target.clone();
        let data = match file.data {
            Some(data) => DataArgs { target, ..data },
            None => DataArgs::of(target),
        };
        let training = file.training.map_or_else(standard_training, Ok)?;
        let mut job = LocalJob::new(LocalOptions {
            component: component.clone(),
            sandbox: sandbox.clone(),
            limits: file.limits,
            path: here.join(&self.data),
            data,
            format: None,
            volumes: Volumes::default(),
            renames: Renames::new(),
            training: TrainingArgs { random_seed: Some(self.seed), ..training },
            local: file.local,
            fold: None,
            resume: false,
            force: false,
            stop: Cancel::new(),
            model: file.model,
            params: None,
            init_only: Vec::new(),
            out: None,
            random_seed: self.seed,
        })?;
        let scored = job.start_training(drop, cancel)?.evaluation;
        Ok(scored.ok_or(fedwasm_training::Error::NothingHeldOut)?.metrics)
    }

    /// Returns the metrics that differ from the golden ones, in words.
    pub fn deviations(&self, got: &Metrics) -> Vec<String> {
        let mut found = Vec::new();
        for (name, wanted) in &self.metrics {
            match got.get(name) {
                Some(value) if (value - wanted).abs() <= self.tolerance => {}
                Some(value) => {
                    let tolerance = self.tolerance;
                    found.push(format!("{name} is {value}, expected {wanted} to {tolerance:e}"));
                }
                None => found.push(format!("the plan has no metric `{name}`")),
            }
        }
        if self.metrics.is_empty() {
            found.push("the file names no metrics; write them with --bless".into());
        }
        found
    }
}

fn node() -> Result<NodeId, Error> {
    let wrong = |error: fedwasm_protocol::IdError| Error::Internal { reason: error.to_string() };
    "local".parse().map_err(wrong)
}
