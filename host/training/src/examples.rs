//! Rows made ready for a plan: split, scaled, in float32.

use std::sync::Arc;

use fedwasm_dataset::{CsvFile, Table};
use fedwasm_params::DType;
use fedwasm_protocol::{Arguments, DataArgs, TrainingArgs, seed};
use fedwasm_sandbox::{Argument, DataFacts, Declaration, Default, Dependency, Described, Metadata};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::fold::Fold;
use crate::round::not_offered;
use crate::shuffle::split;
use crate::{Error, Preprocessing, Round, Turn};

/// The name of the only input of a batch in this version.
pub(crate) const INPUTS: &str = "inputs";
/// The name of the only target of a batch in this version.
pub(crate) const TARGETS: &str = "targets";

/// Rows made ready for a plan.
#[derive(Clone, Debug)]
pub struct Examples {
    /// The training part.
    pub(crate) train: Arc<Rows>,
    /// The held-out part; may be empty.
    pub(crate) test: Arc<Rows>,
    preprocessing: Preprocessing,
}

/// Inputs and targets of some rows.
#[derive(Debug, std::default::Default)]
pub(crate) struct Rows {
    pub(crate) n_inputs: usize,
    /// float32, row-major.
    pub(crate) inputs: Vec<f32>,
    pub(crate) targets: Targets,
}

/// Targets of some rows.
#[derive(Debug)]
pub(crate) enum Targets {
    Classes(Vec<i64>),
    Reals(Vec<f32>),
}

impl std::default::Default for Targets {
    fn default() -> Self {
        Self::Reals(Vec::new())
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match &self.targets {
            Targets::Classes(classes) => classes.len(),
            Targets::Reals(reals) => reals.len(),
        }
    }
}

/// What a target is to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Class,
    Real,
}

/// Returns what a plan derives the arguments from that are not `given`. Classes
/// are counted only for a plan that asks for them.
///
/// # Errors
/// [`Error::Dataset`], also if classes are asked for and the target has none.
pub fn facts(
    file: &CsvFile,
    data: &DataArgs,
    metadata: &Metadata,
    given: &Arguments,
) -> Result<DataFacts, Error> {
    let table = file.table(data.inputs.as_deref(), &data.target)?;
    let asks = |argument: &Argument| {
        argument.default == Default::TargetClasses && !given.contains_key(&argument.name)
    };
    let n_classes = match metadata.arguments.iter().any(asks) {
        true => Some(table.n_classes()?),
        false => None,
    };
    Ok(DataFacts { n_inputs: Some(table.input_names().len()), n_classes })
}

impl Examples {
    /// Reads the columns of a run, holds out `test_ratio` of the rows and fits
    /// the scales on the rest. The same rows are held out in every round,
    /// unless `shuffle_testing_dataset` wants others.
    ///
    /// # Errors
    /// [`Error::Dataset`], [`Error::EmptyPart`], and those of a plan that
    /// wants other columns.
    pub fn read(file: &CsvFile, data: &DataArgs, run: &Round, turn: &Turn) -> Result<Self, Error> {
        let TrainingArgs { test_ratio, shuffle_testing_dataset, .. } = *run.training();
        let table = file.table(data.inputs.as_deref(), &data.target)?;
        let seed = match shuffle_testing_dataset {
            true => seed::split_of_round(turn.random_seed, turn.round),
            false => seed::split(turn.random_seed),
        };
        let mut random = ChaCha20Rng::from_seed(seed);
        let (train, test) = split(table.n_rows(), test_ratio, &mut random);
        for (part, rows, wanted) in [("train on", &train, true), ("score", &test, test_ratio > 0.0)]
        {
            if wanted && rows.is_empty() {
                return Err(Error::EmptyPart { rows: table.n_rows(), test_ratio, part });
            }
        }
        Self::of_parts(&table, data, run, &train, &test)
    }

    /// Reads the columns of a run and holds out one fold of the rows, whatever
    /// `test_ratio` says.
    ///
    /// # Errors
    /// As [`Examples::read`], and [`Error::Folds`].
    pub fn read_fold(
        file: &CsvFile,
        data: &DataArgs,
        run: &Round,
        turn: &Turn,
        fold: Fold,
    ) -> Result<Self, Error> {
        let table = file.table(data.inputs.as_deref(), &data.target)?;
        let (train, test) = fold.split(table.n_rows(), turn.random_seed)?;
        Self::of_parts(&table, data, run, &train, &test)
    }

    fn of_parts(
        table: &Table,
        data: &DataArgs,
        run: &Round,
        train: &[usize],
        test: &[usize],
    ) -> Result<Self, Error> {
        let kind = target_kind(run.plan(), run.declaration(), table.input_names())?;
        let preprocessing = match data.standardize {
            true => Preprocessing::fit(table.input_names(), table.inputs(), train),
            false => Preprocessing::identity(table.input_names()),
        };
        let rows = |which: &[usize]| rows(table, which, &preprocessing, kind).map(Arc::new);
        Ok(Self { train: rows(train)?, test: rows(test)?, preprocessing })
    }

    /// Reads the columns of a run and holds all rows out, scaled as
    /// `preprocessing` says.
    ///
    /// # Errors
    /// As [`Examples::read`], and [`Error::Preprocessing`].
    pub fn read_held_out(
        file: &CsvFile,
        data: &DataArgs,
        plan: &Described,
        declaration: &Declaration,
        preprocessing: Option<&Preprocessing>,
    ) -> Result<Self, Error> {
        let table = file.table(data.inputs.as_deref(), &data.target)?;
        let kind = target_kind(plan, declaration, table.input_names())?;
        let preprocessing = match preprocessing {
            Some(preprocessing) => preprocessing.arranged(table.input_names())?,
            None => Preprocessing::identity(table.input_names()),
        };
        let all: Vec<usize> = (0..table.n_rows()).collect();
        let test = Arc::new(rows(&table, &all, &preprocessing, kind)?);
        Ok(Self { train: Arc::default(), test, preprocessing })
    }

    /// How the inputs were scaled.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Rows of the training part.
    pub fn n_train(&self) -> usize {
        self.train.len()
    }

    /// Rows of the held-out part.
    pub fn n_test(&self) -> usize {
        self.test.len()
    }
}

fn rows(
    table: &Table,
    which: &[usize],
    preprocessing: &Preprocessing,
    kind: TargetKind,
) -> Result<Rows, Error> {
    let n_inputs = table.input_names().len();
    let mut inputs = Vec::with_capacity(which.len() * n_inputs);
    for row in which {
        preprocessing.apply(&table.inputs()[row * n_inputs..(row + 1) * n_inputs], &mut inputs);
    }
    let targets = match kind {
        TargetKind::Class => {
            let classes = table.classes()?;
            Targets::Classes(which.iter().map(|row| classes[*row]).collect())
        }
        TargetKind::Real => {
            Targets::Reals(which.iter().map(|row| table.targets()[*row] as f32).collect())
        }
    };
    Ok(Rows { n_inputs, inputs, targets })
}

/// Checks that the plan takes these columns, and says what it takes for a
/// target. A table gives one input, float32 [columns], and one target,
/// int64 [] or float32 [1].
fn target_kind(
    plan: &Described,
    declaration: &Declaration,
    columns: &[String],
) -> Result<TargetKind, Error> {
    let not_offered = |what: String| not_offered(plan, what);
    for dependency in &plan.metadata().dependencies {
        if let Dependency::DataColumn(column) = dependency
            && !columns.contains(column)
        {
            return Err(Error::MissingColumn { column: column.clone() });
        }
    }
    let (inputs, targets) = match (&declaration.inputs[..], &declaration.targets[..]) {
        ([inputs], [targets]) if inputs.name == INPUTS && targets.name == TARGETS => {
            (inputs, targets)
        }
        _ => return Err(not_offered(format!("other data than `{INPUTS}` and `{TARGETS}`"))),
    };
    match (inputs.dtype, &inputs.shape[..]) {
        (DType::Float32, [n]) if *n == columns.len() as u64 => {}
        (DType::Float32, [n]) => {
            return Err(Error::Inputs { expected: *n, got: columns.len() });
        }
        (dtype, shape) => return Err(not_offered(format!("inputs of {dtype} {shape:?}"))),
    }
    match (targets.dtype, &targets.shape[..]) {
        (DType::Int64, []) => Ok(TargetKind::Class),
        (DType::Float32, [1]) => Ok(TargetKind::Real),
        (dtype, shape) => Err(not_offered(format!("targets of {dtype} {shape:?}"))),
    }
}
