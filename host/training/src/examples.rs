//! Rows prepared for a plan: split, scaled, in float32.

use std::sync::Arc;

use fedwasm_dataset::{Block, Dataset, Error as DataError, Packed};
use fedwasm_protocol::{Arguments, DataArgs, TrainingArgs, seed};
use fedwasm_sandbox::{Argument, DataFacts, Declaration, Default, Described, Metadata};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::blocks::{BlockSplit, Blocks, Held, Which};
use crate::classes::Classes;
use crate::cross_validation::Fold;
use crate::layout::{Chosen, Layout, PartKind};
use crate::loader::Source;
use crate::preprocessing::{Fit, scale_names};
use crate::rows::{CLASS_MAX, Converter, Rows};
use crate::shuffle::split;
use crate::{Error, Preprocessing, Round, Turn};

/// Rows prepared for a plan. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Examples {
    /// The training part.
    pub(crate) train: Source,
    /// The held-out part; may be empty.
    pub(crate) test: Source,
    preprocessing: Preprocessing,
    /// Rows by class, if the only target is one and all rows were read.
    classes: Option<Classes>,
}

/// Returns the facts from which a plan derives the arguments that are not `given`. Classes
/// are counted only for a plan that asks for them: the largest class of the
/// first target plus one, and at least two, since nothing can be learned from one class alone.
///
/// # Errors
/// [`Error::Dataset`], also if classes are asked for and the target has none.
pub fn facts(
    dataset: &Dataset,
    data: &DataArgs,
    metadata: &Metadata,
    given: &Arguments,
) -> Result<DataFacts, Error> {
    let chosen = Chosen::new(dataset, data)?;
    let asks = |argument: &Argument| {
        argument.default == Default::TargetClasses && !given.contains_key(&argument.name)
    };
    let n_classes = match (metadata.arguments.iter().any(asks), chosen.targets.first()) {
        (true, Some(target)) => Some(n_classes(dataset, *target)?),
        _ => None,
    };
    Ok(DataFacts { n_inputs: Some(chosen.n_inputs(dataset)), n_classes })
}

fn n_classes(dataset: &Dataset, target: usize) -> Result<usize, Error> {
    let (mut largest, field) = (0.0f64, &dataset.fields()[target]);
    for block in 0..dataset.n_blocks() {
        let block = dataset.read(block, &[target])?;
        let width = field.width();
        for row in 0..block.n_rows {
            let mut wrong = None;
            block.columns[0].each(row * width..(row + 1) * width, |class| {
                if class.fract() != 0.0 || !(0.0..=CLASS_MAX).contains(&class) {
                    wrong = Some(class);
                }
                largest = largest.max(class);
            });
            if let Some(got) = wrong {
                let (path, place) = (dataset.path().to_owned(), block.place(row));
                let column = field.name.clone();
                return Err(DataError::NotAClass { path, place, column, got }.into());
            }
        }
    }
    Ok((largest as usize + 1).max(2))
}

impl Examples {
    /// Reads the columns of a run, holds out `test_ratio` of the rows and fits
    /// the scales on the rest. The same rows are held out in every round,
    /// unless `shuffle_testing_dataset` wants others.
    ///
    /// A dataset whose fields of this run take more than `data.memory_mib`, as
    /// they are read and as they are kept, is read once for the scales, and then when its rows are
    /// wanted.
    ///
    /// # Errors
    /// [`Error::Dataset`], [`Error::EmptyPart`], and those of a plan that
    /// wants other columns.
    pub fn read(
        dataset: &Dataset,
        data: &DataArgs,
        run: &Round,
        turn: &Turn,
    ) -> Result<Self, Error> {
        let TrainingArgs { test_ratio, shuffle_testing_dataset, .. } = *run.training();
        let layout = Layout::new(run.plan(), run.declaration(), dataset, data)?;
        let seed = if shuffle_testing_dataset {
            seed::split_of_round(turn.random_seed, turn.round)
        } else {
            seed::split(turn.random_seed)
        };
        let by_block = BlockSplit { seed, held: Held::Share(test_ratio) };
        let n_rows = dataset.n_rows();
        let n_test = by_block.n_test(n_rows);
        for (part, left, wanted) in
            [("train on", n_rows - n_test, true), ("score", n_test, test_ratio > 0.0)]
        {
            if wanted && left == 0 {
                return Err(Error::EmptyPart { rows: n_rows, test_ratio, part });
            }
        }
        let test = || Ok(split(n_rows as usize, test_ratio, &mut ChaCha20Rng::from_seed(seed)).1);
        Self::of_parts(run.plan(), dataset, data, layout, test, by_block)
    }

    /// Reads the columns of a run and holds out one fold of the rows, regardless of `test_ratio`.
    ///
    /// # Errors
    /// As [`Examples::read`], and [`Error::Folds`].
    pub fn read_fold(
        dataset: &Dataset,
        data: &DataArgs,
        run: &Round,
        turn: &Turn,
        fold: Fold,
    ) -> Result<Self, Error> {
        let layout = Layout::new(run.plan(), run.declaration(), dataset, data)?;
        fold.check(dataset.n_rows())?;
        let seed = seed::folds(turn.random_seed);
        let test = || Ok(fold.split(dataset.n_rows() as usize, turn.random_seed)?.1);
        Self::of_parts(
            run.plan(),
            dataset,
            data,
            layout,
            test,
            BlockSplit { seed, held: Held::Fold(fold) },
        )
    }

    /// Holds out the rows `test` of a dataset that fits into memory, or those of `by_block`.
    fn of_parts(
        plan: &Described,
        dataset: &Dataset,
        data: &DataArgs,
        layout: Layout,
        test: impl FnOnce() -> Result<Vec<usize>, Error>,
        by_block: BlockSplit,
    ) -> Result<Self, Error> {
        let fit = data.standardize;
        if !fits_into_memory(dataset, &layout, data) {
            let (preprocessing, classes) = if fit {
                fit_by_block(plan, dataset, &layout, by_block)?
            } else {
                (identity(dataset, &layout), None)
            };
            let examples = Self::in_blocks(dataset, layout, preprocessing, by_block);
            return Ok(Self { classes, ..examples });
        }
        let mut held_out = vec![false; dataset.n_rows() as usize];
        test()?.into_iter().for_each(|row| held_out[row] = true);
        Self::in_memory(plan, dataset, layout, &held_out, |blocks, layout| {
            if !fit {
                return Ok(identity(dataset, layout));
            }
            let mut fit = Fit::new(inputs(dataset, layout));
            let each = |take: &mut dyn FnMut(&Block)| {
                blocks.iter().for_each(|block| take(&block.unpack()));
            };
            fit.add(each, |row| !held_out[row as usize]);
            Ok(fit.finish())
        })
    }

    /// Reads the columns of a run and holds all rows out, scaled as
    /// `preprocessing` says.
    ///
    /// # Errors
    /// As [`Examples::read`], and [`Error::Preprocessing`].
    pub fn read_held_out(
        dataset: &Dataset,
        data: &DataArgs,
        plan: &Described,
        declaration: &Declaration,
        preprocessing: Option<&Preprocessing>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(plan, declaration, dataset, data)?;
        let scales = |layout: &Layout| match preprocessing {
            Some(preprocessing) => preprocessing.arranged(&scale_names(inputs(dataset, layout))),
            None => Ok(identity(dataset, layout)),
        };
        if fits_into_memory(dataset, &layout, data) {
            let held_out = vec![true; dataset.n_rows() as usize];
            Self::in_memory(plan, dataset, layout, &held_out, |_, layout| scales(layout))
        } else {
            let scales = scales(&layout)?;
            let all = BlockSplit { seed: [0; 32], held: Held::Share(1.0) };
            Ok(Self::in_blocks(dataset, layout, scales, all))
        }
    }

    fn in_memory(
        plan: &Described,
        dataset: &Dataset,
        layout: Layout,
        held_out: &[bool],
        scales: impl FnOnce(&[Packed], &Layout) -> Result<Preprocessing, Error>,
    ) -> Result<Self, Error> {
        let read = |block| Ok::<_, Error>(read(plan, dataset, block, &layout.fields)?.pack());
        let blocks = (0..dataset.n_blocks()).map(read).collect::<Result<Vec<_>, _>>()?;
        let preprocessing = scales(&blocks, &layout)?;
        let converter = Arc::new(Converter::new(layout, dataset, &preprocessing));
        let n_test = held_out.iter().filter(|held_out| **held_out).count();
        let mut test = converter.rows(n_test);
        let mut train = converter.rows(held_out.len() - n_test);
        let mut held_out = held_out.iter();
        let mut classes = target_class(&converter.layout).map(|_| Classes::default());
        // Each block is dropped once its rows are converted.
        for block in blocks {
            let block = block.unpack();
            for (row, held_out) in (0..block.n_rows).zip(&mut held_out) {
                let part = if *held_out { &mut test } else { &mut train };
                converter.push(&block, row, part)?;
            }
        }
        if let Some(classes) = &mut classes {
            for (rows, is_held_out) in [(&train, false), (&test, true)] {
                rows.target_classes().for_each(|class| classes.add(class, is_held_out));
            }
        }
        let source = |rows: Rows| Source::Memory(Arc::new(rows), Arc::clone(&converter));
        Ok(Self { train: source(train), test: source(test), preprocessing, classes })
    }

    fn in_blocks(
        dataset: &Dataset,
        layout: Layout,
        preprocessing: Preprocessing,
        split: BlockSplit,
    ) -> Self {
        let converter = Arc::new(Converter::new(layout, dataset, &preprocessing));
        let blocks = |which| Source::Blocks(Blocks::new(Arc::clone(&converter), split, which));
        let (train, test) = (blocks(Which::Train), blocks(Which::Test));
        Self { train, test, preprocessing, classes: None }
    }

    /// How the inputs were scaled.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Rows by class, where the only target is one. None of a dataset that is read block by block
    /// without having been read once for its scales.
    pub fn classes(&self) -> Option<&Classes> {
        self.classes.as_ref()
    }

    /// Rows of the training part.
    pub fn n_train(&self) -> usize {
        self.train.n_rows() as usize
    }

    /// Rows of the held-out part.
    pub fn n_test(&self) -> usize {
        self.test.n_rows() as usize
    }
}

fn inputs<'a>(
    dataset: &'a Dataset,
    layout: &'a Layout,
) -> impl Iterator<Item = &'a fedwasm_dataset::Field> + Clone {
    layout.fields.iter().take(layout.n_input_fields).map(|at| &dataset.fields()[*at])
}

/// Where the only target is among [`Layout::fields`], if it is a class.
fn target_class(layout: &Layout) -> Option<usize> {
    match &layout.targets[..] {
        [target] if target.kind == PartKind::Class => target.columns.first().copied(),
        _ => None,
    }
}

fn identity(dataset: &Dataset, layout: &Layout) -> Preprocessing {
    Preprocessing::identity(&scale_names(inputs(dataset, layout)))
}

/// Counts values as they are read and as they are kept, and 16 bytes a row for orders.
fn fits_into_memory(dataset: &Dataset, layout: &Layout, data: &DataArgs) -> bool {
    let fields = layout.fields.iter().map(|at| &dataset.fields()[*at]);
    let read: u64 = fields.map(|field| field.width() as u64 * field.element.size()).sum();
    let parts = layout.inputs.iter().chain(&layout.targets);
    let kept: u64 = parts.map(|part| part.width as u64 * part.kept_bytes(dataset, layout)).sum();
    dataset.n_rows().saturating_mul(read + kept + 16) <= data.memory_bytes()
}

/// Reads a block, unless the plan's calls must end: a large dataset takes long.
fn read(
    plan: &Described,
    dataset: &Dataset,
    block: usize,
    fields: &[usize],
) -> Result<Block, Error> {
    match plan.cancelled() {
        Some(fault) => Err(fedwasm_sandbox::Error::from(fault).into()),
        None => Ok(dataset.read(block, fields)?),
    }
}

fn fit_by_block(
    plan: &Described,
    dataset: &Dataset,
    layout: &Layout,
    split: BlockSplit,
) -> Result<(Preprocessing, Option<Classes>), Error> {
    let target = target_class(layout);
    let mut classes = target.map(|_| Classes::default());
    let mut fit = Fit::new(inputs(dataset, layout));
    for index in 0..dataset.n_blocks() {
        let held_out = split.held_out(index, dataset.rows(index));
        let block = read(plan, dataset, index, &layout.fields)?;
        let start = block.first_row;
        fit.add(|take| take(&block), |row| !held_out[(row - start) as usize]);
        if let (Some(classes), Some(column)) = (&mut classes, target) {
            let mut held_out = held_out.iter();
            block.columns[column].each(0..block.n_rows, |class| {
                // A value that is not a class is found when its row is used.
                let is_class = class.fract() == 0.0 && (0.0..=CLASS_MAX).contains(&class);
                let is_held_out = held_out.next().is_some_and(|held_out| *held_out);
                if is_class {
                    classes.add(class as i64, is_held_out);
                }
            });
        }
    }
    Ok((fit.finish(), classes))
}
