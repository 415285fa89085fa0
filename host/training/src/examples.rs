//! Rows made ready for a plan: split, scaled, in float32.

use std::sync::Arc;

use fedwasm_dataset::{Dataset, Selection, Table};
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
    /// Axes of a row of inputs, as the plan declares them.
    pub(crate) shape: Vec<u64>,
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
    file: &Dataset,
    data: &DataArgs,
    metadata: &Metadata,
    given: &Arguments,
) -> Result<DataFacts, Error> {
    let selection = select(file, data)?;
    let asks = |argument: &Argument| {
        argument.default == Default::TargetClasses && !given.contains_key(&argument.name)
    };
    let n_classes = match metadata.arguments.iter().any(asks) {
        true => Some(selection.n_classes()?),
        false => None,
    };
    Ok(DataFacts { n_inputs: Some(selection.n_inputs()), n_classes })
}

fn select<'a>(file: &'a Dataset, data: &DataArgs) -> Result<Selection<'a>, Error> {
    Ok(file.select(data.inputs.as_deref(), std::slice::from_ref(&data.target))?)
}

impl Examples {
    /// Reads the columns of a run, holds out `test_ratio` of the rows and fits
    /// the scales on the rest. The same rows are held out in every round,
    /// unless `shuffle_testing_dataset` wants others.
    ///
    /// # Errors
    /// [`Error::Dataset`], [`Error::EmptyPart`], and those of a plan that
    /// wants other columns.
    pub fn read(file: &Dataset, data: &DataArgs, run: &Round, turn: &Turn) -> Result<Self, Error> {
        let TrainingArgs { test_ratio, shuffle_testing_dataset, .. } = *run.training();
        let selection = select(file, data)?;
        let kind = target_kind(run.plan(), run.declaration(), &selection)?;
        let table = selection.table()?;
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
        Self::of_parts(&table, kind, data, run, [&train, &test])
    }

    /// Reads the columns of a run and holds out one fold of the rows, whatever
    /// `test_ratio` says.
    ///
    /// # Errors
    /// As [`Examples::read`], and [`Error::Folds`].
    pub fn read_fold(
        file: &Dataset,
        data: &DataArgs,
        run: &Round,
        turn: &Turn,
        fold: Fold,
    ) -> Result<Self, Error> {
        let selection = select(file, data)?;
        let kind = target_kind(run.plan(), run.declaration(), &selection)?;
        let table = selection.table()?;
        let (train, test) = fold.split(table.n_rows(), turn.random_seed)?;
        Self::of_parts(&table, kind, data, run, [&train, &test])
    }

    fn of_parts(
        table: &Table,
        kind: TargetKind,
        data: &DataArgs,
        run: &Round,
        [train, test]: [&[usize]; 2],
    ) -> Result<Self, Error> {
        let preprocessing = match data.standardize {
            true => fit(table, train),
            false => Preprocessing::identity(&table.scales()),
        };
        let shape = shape(run.declaration());
        let rows = |which: &[usize]| rows(table, which, &preprocessing, shape, kind).map(Arc::new);
        Ok(Self { train: rows(train)?, test: rows(test)?, preprocessing })
    }

    /// Reads the columns of a run and holds all rows out, scaled as
    /// `preprocessing` says.
    ///
    /// # Errors
    /// As [`Examples::read`], and [`Error::Preprocessing`].
    pub fn read_held_out(
        file: &Dataset,
        data: &DataArgs,
        plan: &Described,
        declaration: &Declaration,
        preprocessing: Option<&Preprocessing>,
    ) -> Result<Self, Error> {
        let selection = select(file, data)?;
        let kind = target_kind(plan, declaration, &selection)?;
        let table = selection.table()?;
        let preprocessing = match preprocessing {
            Some(preprocessing) => preprocessing.arranged(&table.scales())?,
            None => Preprocessing::identity(&table.scales()),
        };
        let shape = shape(declaration);
        let all: Vec<usize> = (0..table.n_rows()).collect();
        let test = Arc::new(rows(&table, &all, &preprocessing, shape, kind)?);
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

fn fit(table: &Table, which: &[usize]) -> Preprocessing {
    let mut values = Vec::new();
    let rows = |take: &mut dyn FnMut(&[f64])| -> Result<(), std::convert::Infallible> {
        for row in which {
            values.clear();
            table.input_row(*row, &mut values);
            take(&values);
        }
        Ok(())
    };
    match Preprocessing::fit(&table.scales(), rows) {
        Ok(fitted) => fitted,
    }
}

fn rows(
    table: &Table,
    which: &[usize],
    preprocessing: &Preprocessing,
    shape: &[u64],
    kind: TargetKind,
) -> Result<Rows, Error> {
    let (n_inputs, scales) = (table.n_inputs(), table.scales());
    let mut inputs = Vec::with_capacity(which.len() * n_inputs);
    let mut values = Vec::new();
    for row in which {
        values.clear();
        table.input_row(*row, &mut values);
        preprocessing.apply(&scales, &values, &mut inputs);
    }
    let targets = match kind {
        TargetKind::Class => {
            let classes = which.iter().map(|row| Ok(table.class(*row, 0)?));
            Targets::Classes(classes.collect::<Result<_, Error>>()?)
        }
        TargetKind::Real => {
            let mut values = Vec::with_capacity(which.len());
            which.iter().for_each(|row| table.target_row(*row, &mut values));
            Targets::Reals(values.into_iter().map(|value| value as f32).collect())
        }
    };
    Ok(Rows { n_inputs, shape: shape.to_vec(), inputs, targets })
}

/// Axes of a row of the only input.
fn shape(declaration: &Declaration) -> &[u64] {
    declaration.inputs.first().map_or(&[], |input| &input.shape)
}

/// Checks that the plan takes these fields, and says what it takes for a
/// target. A data set gives one input, float32 of as many numbers as there are
/// in a row, whatever its axes, and one target, int64 [] or float32 [1].
fn target_kind(
    plan: &Described,
    declaration: &Declaration,
    selection: &Selection<'_>,
) -> Result<TargetKind, Error> {
    let not_offered = |what: String| not_offered(plan, what);
    for dependency in &plan.metadata().dependencies {
        if let Dependency::DataColumn(column) = dependency
            && !selection.inputs().any(|field| field.name == *column)
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
        (DType::Float32, shape) if !shape.is_empty() => {
            let n = shape.iter().try_fold(1_u64, |n, axis| n.checked_mul(*axis));
            let (expected, got) = (n.unwrap_or(u64::MAX), selection.n_inputs());
            if expected != got as u64 {
                return Err(Error::Inputs { expected, got });
            }
        }
        (dtype, shape) => return Err(not_offered(format!("inputs of {dtype} {shape:?}"))),
    }
    match (targets.dtype, &targets.shape[..]) {
        (DType::Int64, []) => Ok(TargetKind::Class),
        (DType::Float32, [1]) => Ok(TargetKind::Real),
        (dtype, shape) => Err(not_offered(format!("targets of {dtype} {shape:?}"))),
    }
}
