//! Rows prepared for a plan: split, scaled, in float32.

use std::sync::Arc;

use fedwasm_dataset::{Block, Dataset, Packed};
use fedwasm_protocol::{
    ColumnRule, ColumnRules, ColumnSums, DataArgs, Standardize, TrainingArgs, seed,
};
use fedwasm_sandbox::{Declaration, Described};

use crate::augment::Augmenter;
use crate::blocks::{BlockSplit, Blocks, Held, Which};
use crate::classes::Classes;
use crate::column_fit::{ColumnFit, Pass, Visit};
use crate::cross_validation::Fold;
use crate::exact_fit::by_sums;
use crate::held_out::{check_parts, sides};
use crate::layout::{Layout, PartKind};
use crate::loader::Source;
use crate::prepared::Prepared;
use crate::preprocessing::{Fit, scale_names};
use crate::rows::{CLASS_MAX, Converter, Rows};
use crate::sides::Side;
use crate::statistics::packed;
use crate::{Error, Preprocessing, Round, Turn};

/// Rows prepared for a plan. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Examples {
    /// The training part.
    pub(crate) train: Source,
    /// The held-out part; may be empty.
    pub(crate) test: Source,
    preprocessing: Preprocessing,
    /// The sums that they were fitted on, if the scales of a federation are to be made of them.
    sums: Vec<ColumnSums>,
    /// With sums, a bit a row: whether it is one of the training part.
    training_rows: Vec<u8>,
    /// Rows by class, if the only target is one and all rows were read.
    classes: Option<Classes>,
    /// What was done by the rules of columns.
    prepared: Prepared,
    /// How training rows are changed each time they are given.
    pub(crate) augmenter: Option<Arc<Augmenter>>,
}

/// The dataset as its columns' rules read it.
pub(crate) fn ruled(dataset: &Dataset, data: &DataArgs) -> Result<Dataset, Error> {
    Ok(dataset.with_rules(&data.columns, &data.missing_words())?)
}

/// Rules and columns of the inputs alone.
pub(crate) fn of_inputs(data: &DataArgs) -> DataArgs {
    let targets = data.target.names();
    let is_input = |(name, _): &(&String, &ColumnRule)| !targets.contains(name);
    let mut columns = ColumnRules::default();
    for (name, rule) in data.columns.iter().filter(is_input) {
        columns.insert(name.clone(), rule.clone());
    }
    DataArgs { columns, ..data.clone() }
}

impl Examples {
    /// Reads the columns of a run, holds out `test_ratio` of the rows and fits
    /// the scales on the rest, as `data.split` says. The same rows are held out in every round,
    /// unless `shuffle_testing_dataset` wants others.
    ///
    /// A dataset whose fields of this run take more than `data.memory_mib`, as
    /// they are read and as they are kept, is read once for the scales, and then when its rows are
    /// wanted.
    ///
    /// # Errors
    /// [`Error::Dataset`], [`Error::EmptyPart`], those of [`fedwasm_protocol::Split`], and those of
    /// a plan that wants other columns.
    pub fn read(
        dataset: &Dataset,
        data: &DataArgs,
        run: &Round,
        turn: &Turn,
    ) -> Result<Self, Error> {
        Self::read_scaled(dataset, data, run, turn, None)
    }

    /// The same with the scales of a federation, if `data` wants some.
    ///
    /// * `scales` — none: the scales are fitted on the training rows here, as if no other site took
    ///   part, and [`Examples::sums`] has the sums of a federation's.
    ///
    /// # Errors
    /// As [`Examples::read`], and [`Error::Preprocessing`].
    pub fn read_scaled(
        dataset: &Dataset,
        data: &DataArgs,
        run: &Round,
        turn: &Turn,
        scales: Option<&Preprocessing>,
    ) -> Result<Self, Error> {
        let TrainingArgs { test_ratio, shuffle_testing_dataset, .. } = *run.training();
        let dataset = &ruled(dataset, data)?;
        let layout = Layout::new(run.plan(), run.declaration(), dataset, data)?;
        let seed = if shuffle_testing_dataset {
            seed::split_of_round(turn.random_seed, turn.round)
        } else {
            seed::split(turn.random_seed)
        };
        let by_block = BlockSplit { seed, held: Held::Share(test_ratio) };
        check_parts(dataset.n_rows(), by_block.n_test(dataset.n_rows()), test_ratio)?;
        let augmenter = Augmenter::new(dataset, data, &layout)?.map(Arc::new);
        let examples = Self::of_parts((run.plan(), dataset, data, layout), by_block, scales)?;
        Ok(Self { augmenter, ..examples })
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
        let dataset = &ruled(dataset, data)?;
        let layout = Layout::new(run.plan(), run.declaration(), dataset, data)?;
        fold.check(dataset.n_rows())?;
        let by_block = BlockSplit { seed: seed::folds(turn.random_seed), held: Held::Fold(fold) };
        let augmenter = Augmenter::new(dataset, data, &layout)?.map(Arc::new);
        let examples = Self::of_parts((run.plan(), dataset, data, layout), by_block, None)?;
        Ok(Self { augmenter, ..examples })
    }

    /// Holds out rows of the whole dataset if it fits into memory, otherwise of each block.
    fn of_parts(
        (plan, dataset, data, layout): (&Described, &Dataset, &DataArgs, Layout),
        by_block: BlockSplit,
        scales: Option<&Preprocessing>,
    ) -> Result<Self, Error> {
        let sums_up = scales.is_none() && data.is_scaled_by_all();
        let given = scales.map(|scales| scales.arranged(&scale_names(inputs(dataset, &layout))));
        let given = given.transpose()?;
        let fits = data.standardize != Standardize::None;
        if !fits_into_memory(dataset, &layout, data) {
            if !data.split.is_random() {
                let (split, memory_mib) = (data.split.clone(), data.memory_mib());
                return Err(Error::SplitByBlock { split, memory_mib });
            }
            return Self::of_blocks((plan, dataset, data, layout), by_block, given, sums_up);
        }
        let sides = sides(plan, dataset, data, &layout, by_block)?;
        let is_training = |row: u64| sides[row as usize] == Side::Train;
        let mut sums = Vec::new();
        let examples = Self::in_memory(plan, dataset, layout, &sides, |blocks, layout| {
            let pass: &Pass<'_> =
                &|visit| blocks.iter().try_for_each(|block| visit(&block.unpack(), &is_training));
            if let Some(given) = given {
                return ColumnFit::new(dataset, layout).given(given, pass);
            }
            if sums_up {
                let scales;
                (sums, scales) = by_sums((dataset, layout, data), pass)?;
                return ColumnFit::new(dataset, layout).given(scales, pass);
            }
            let mut preprocessing = if fits {
                let mut fit = Fit::new(inputs(dataset, layout));
                let each = |take: &mut dyn FnMut(&Block)| {
                    blocks.iter().for_each(|block| take(&block.unpack()));
                };
                fit.add(each, is_training);
                fit.finish()
            } else {
                identity(dataset, layout)
            };
            let prepared = by_rules((dataset, layout), data.standardize, &mut preprocessing, pass)?;
            Ok((preprocessing, prepared))
        })?;
        let training_rows = match sums_up {
            true => packed(sides.iter().map(|side| *side != Side::Train)),
            false => Vec::new(),
        };
        Ok(Self { sums, training_rows, ..examples })
    }

    /// The same of a dataset that does not fit into memory.
    fn of_blocks(
        (plan, dataset, data, layout): (&Described, &Dataset, &DataArgs, Layout),
        by_block: BlockSplit,
        given: Option<Preprocessing>,
        sums_up: bool,
    ) -> Result<Self, Error> {
        let pass: &Pass<'_> = &|visit| visit_blocks(plan, dataset, &layout, by_block, visit);
        if let Some(given) = given {
            let (scales, prepared) = ColumnFit::new(dataset, &layout).given(given, pass)?;
            let examples = Self::in_blocks(dataset, layout, scales, by_block);
            return Ok(Self { prepared, ..examples });
        }
        if sums_up {
            let target = target_class(&layout);
            let mut classes = target.map(|_| Classes::default());
            let (sums, scales) = by_sums((dataset, &layout, data), pass)?;
            if let (Some(classes), Some(column)) = (&mut classes, target) {
                pass(&mut |block, is_training| {
                    add_classes(classes, block, column, is_training);
                    Ok(())
                })?;
            }
            let (scales, prepared) = ColumnFit::new(dataset, &layout).given(scales, pass)?;
            let held_out = |block| by_block.held_out(block, dataset.rows(block));
            let training_rows = packed((0..dataset.n_blocks()).flat_map(held_out));
            let examples = Self::in_blocks(dataset, layout, scales, by_block);
            return Ok(Self { sums, training_rows, classes, prepared, ..examples });
        }
        let (mut preprocessing, classes) = match data.standardize {
            Standardize::None => (identity(dataset, &layout), None),
            Standardize::Site | Standardize::Federation => {
                let (fit, classes) = fit_by_block(plan, dataset, &layout, by_block)?;
                (fit.finish(), classes)
            }
        };
        let prepared = by_rules((dataset, &layout), data.standardize, &mut preprocessing, pass)?;
        let examples = Self::in_blocks(dataset, layout, preprocessing, by_block);
        Ok(Self { classes, prepared, ..examples })
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
        let dataset = &ruled(dataset, data)?;
        let layout = Layout::new(plan, declaration, dataset, data)?;
        Self::all_held_out(dataset, data, plan, layout, preprocessing)
    }

    /// The same without targets, which the dataset need not have.
    ///
    /// # Errors
    /// As [`Examples::read_held_out`].
    pub(crate) fn read_inputs(
        dataset: &Dataset,
        data: &DataArgs,
        plan: &Described,
        declaration: &Declaration,
        preprocessing: Option<&Preprocessing>,
    ) -> Result<Self, Error> {
        let dataset = &ruled(dataset, &of_inputs(data))?;
        let layout = Layout::of_inputs(plan, declaration, dataset, data)?;
        Self::all_held_out(dataset, data, plan, layout, preprocessing)
    }

    fn all_held_out(
        dataset: &Dataset,
        data: &DataArgs,
        plan: &Described,
        layout: Layout,
        preprocessing: Option<&Preprocessing>,
    ) -> Result<Self, Error> {
        let scales = |layout: &Layout, pass: &Pass<'_>| {
            let scales = match preprocessing {
                Some(given) => given.arranged(&scale_names(inputs(dataset, layout)))?,
                None => identity(dataset, layout),
            };
            let prepared = ColumnFit::new(dataset, layout).given(scales, pass)?;
            Ok::<_, Error>(prepared)
        };
        if fits_into_memory(dataset, &layout, data) {
            let sides = vec![Side::HeldOut; dataset.n_rows() as usize];
            Self::in_memory(plan, dataset, layout, &sides, |blocks, layout| {
                scales(layout, &|visit| {
                    blocks.iter().try_for_each(|block| visit(&block.unpack(), &|_| false))
                })
            })
        } else {
            let all = BlockSplit { seed: [0; 32], held: Held::Share(1.0) };
            let (preprocessing, prepared) =
                scales(&layout, &|visit| visit_blocks(plan, dataset, &layout, all, visit))?;
            Ok(Self { prepared, ..Self::in_blocks(dataset, layout, preprocessing, all) })
        }
    }

    fn in_memory(
        plan: &Described,
        dataset: &Dataset,
        layout: Layout,
        sides: &[Side],
        scales: impl FnOnce(&[Packed], &Layout) -> Result<(Preprocessing, Prepared), Error>,
    ) -> Result<Self, Error> {
        let read = |block| Ok::<_, Error>(read(plan, dataset, block, &layout.fields)?.pack());
        let blocks = (0..dataset.n_blocks()).map(read).collect::<Result<Vec<_>, _>>()?;
        let (preprocessing, prepared) = scales(&blocks, &layout)?;
        let converter = Arc::new(Converter::new(layout, dataset, &preprocessing));
        let n_rows = |of: Side| sides.iter().filter(|side| **side == of).count();
        let mut test = converter.rows(n_rows(Side::HeldOut));
        let mut train = converter.rows(n_rows(Side::Train));
        let mut sides = sides.iter();
        let mut classes = target_class(&converter.layout).map(|_| Classes::default());
        // Each block is dropped once its rows are converted.
        for block in blocks {
            let block = block.unpack();
            for (row, side) in (0..block.n_rows).zip(&mut sides) {
                let part = match side {
                    Side::Train => &mut train,
                    Side::HeldOut => &mut test,
                    Side::Unused => continue,
                };
                converter.push(&block, row, part)?;
            }
        }
        if let Some(classes) = &mut classes {
            for (rows, is_held_out) in [(&train, false), (&test, true)] {
                rows.target_classes().for_each(|class| classes.add(class, is_held_out));
            }
        }
        let source = |rows: Rows| Source::Memory(Arc::new(rows), Arc::clone(&converter));
        let (train, test) = (source(train), source(test));
        let (sums, training_rows, augmenter) = (Vec::new(), Vec::new(), None);
        Ok(Self { train, test, preprocessing, sums, training_rows, classes, prepared, augmenter })
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
        let (sums, training_rows) = (Vec::new(), Vec::new());
        let (prepared, classes, augmenter) = (Prepared::default(), None, None);
        Self { train, test, preprocessing, sums, training_rows, classes, prepared, augmenter }
    }

    /// How the inputs were scaled.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The sums of the input columns over the training part, of which the scales of a federation are
    /// made; none if they are not wanted, or scales were given.
    pub fn sums(&self) -> &[ColumnSums] {
        &self.sums
    }

    /// With sums, a bit a row, the lowest of a byte first: whether it is one of the training part.
    pub fn training_rows(&self) -> &[u8] {
        &self.training_rows
    }

    /// What was done with missing, clipped and unknown values, over all rows.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// The input columns, in order.
    pub fn inputs(&self) -> Vec<String> {
        let Converter { layout, dataset, .. } = &**self.train.converter();
        inputs(dataset, layout).map(|field| field.name.clone()).collect()
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

pub(crate) fn inputs<'a>(
    dataset: &'a Dataset,
    layout: &'a Layout,
) -> impl Iterator<Item = &'a fedwasm_dataset::Field> + Clone {
    layout.fields.iter().take(layout.n_input_fields).map(|at| &dataset.fields()[*at])
}

/// Where the only target is among [`Layout::fields`], if it is a class.
pub(crate) fn target_class(layout: &Layout) -> Option<usize> {
    match &layout.targets[..] {
        [target] if target.kind == PartKind::Class => target.columns.first().copied(),
        _ => None,
    }
}

fn identity(dataset: &Dataset, layout: &Layout) -> Preprocessing {
    Preprocessing::identity(&scale_names(inputs(dataset, layout)))
}

/// Fits what rules say, and puts it into the scales of the other columns.
fn by_rules(
    (dataset, layout): (&Dataset, &Layout),
    standardize: Standardize,
    preprocessing: &mut Preprocessing,
    pass: &Pass<'_>,
) -> Result<Prepared, Error> {
    let rules = ColumnFit::new(dataset, layout);
    if rules.is_empty() {
        return Ok(Prepared::default());
    }
    let (scales, prepared) = rules.fit(standardize, pass)?;
    preprocessing.put(inputs(dataset, layout), scales);
    Ok(prepared)
}

/// Reads all blocks of a dataset, one after the other.
fn visit_blocks(
    plan: &Described,
    dataset: &Dataset,
    layout: &Layout,
    split: BlockSplit,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    for index in 0..dataset.n_blocks() {
        let held_out = split.held_out(index, dataset.rows(index));
        let block = read(plan, dataset, index, &layout.fields)?;
        let start = block.first_row;
        visit(&block, &|row| !held_out[(row - start) as usize])?;
    }
    Ok(())
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
pub(crate) fn read(
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
) -> Result<(Fit, Option<Classes>), Error> {
    let target = target_class(layout);
    let mut classes = target.map(|_| Classes::default());
    let mut fit = Fit::new(inputs(dataset, layout));
    for index in 0..dataset.n_blocks() {
        let held_out = split.held_out(index, dataset.rows(index));
        let block = read(plan, dataset, index, &layout.fields)?;
        let start = block.first_row;
        fit.add(|take| take(&block), |row| !held_out[(row - start) as usize]);
        if let (Some(classes), Some(column)) = (&mut classes, target) {
            add_classes(classes, &block, column, &|row| !held_out[(row - start) as usize]);
        }
    }
    Ok((fit, classes))
}

/// Counts the classes of a block's target.
fn add_classes(
    classes: &mut Classes,
    block: &Block,
    column: usize,
    is_training: &dyn Fn(u64) -> bool,
) {
    let mut row = block.first_row;
    block.columns[column].each(0..block.n_rows, |class| {
        // A value that is not a class is found when its row is used.
        if class.fract() == 0.0 && (0.0..=CLASS_MAX).contains(&class) {
            classes.add(class as i64, !is_training(row));
        }
        row += 1;
    });
}
