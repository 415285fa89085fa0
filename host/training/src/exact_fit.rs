//! Exact sums of the values of columns: the same integers however rows are cut into blocks or dealt to
//! sites.

use std::ops::Range;

use fedwasm_dataset::{Block, Dataset, Field, Values};
use fedwasm_protocol::{ColumnSums, DataArgs, Moments, NUMBER_MAX, Sums, VALUE_MAX};

use crate::column_fit::{ColumnFit, Pass};
use crate::examples::inputs;
use crate::layout::Layout;
use crate::preprocessing::{n_scales, scale_names};
use crate::treatment::Treatment;
use crate::{Error, Pooled, Preprocessing};

/// The sums of each scale of some fields.
pub(crate) struct ExactFit {
    names: Vec<String>,
    fields: Vec<FieldSums>,
    /// Rows.
    n_rows: u64,
}

struct FieldSums {
    width: usize,
    values: Vec<Adder>,
}

/// Adds up the values of a column.
#[derive(Clone, Debug)]
enum Adder {
    Reals(Box<Reals>),
    /// Pixels by their 256 values, each value / 255.
    Pixels(Box<[u64; 256]>),
    /// Values that are not scaled: zeros stand for them.
    Still,
}

/// The sums of numbers.
#[derive(Clone, Debug, Default)]
struct Reals {
    /// The steps before scaling; none for values as they are read.
    steps: Option<Treatment>,
    moments: Moments,
    missing: u64,
    /// The smallest and the largest, if the scale is made of them.
    extremes: Option<[f64; 2]>,
    is_of_extremes: bool,
    /// Whether one was too large to be added.
    is_beyond: bool,
}

/// What becomes of the values of a field before they are added up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Steps {
    /// They stay as they are read.
    Plain,
    /// The first is a number with these steps; others are not scaled.
    Number(Treatment),
    /// The same, and the smallest and the largest value are looked for.
    Range(Treatment),
    /// None is scaled.
    Still,
}

impl ExactFit {
    /// Begins with the fields, in their order.
    pub(crate) fn new<'a>(fields: impl Iterator<Item = (&'a Field, Steps)> + Clone) -> Self {
        let of = |(field, steps): (&Field, Steps)| {
            let adder = match (steps, field.is_image()) {
                (Steps::Plain, true) => Adder::Pixels(Box::new([0; 256])),
                (Steps::Plain, false) => Adder::Reals(Box::default()),
                (Steps::Number(_) | Steps::Range(_) | Steps::Still, _) => Adder::Still,
            };
            let mut values = vec![adder; n_scales(field)];
            let is_of_extremes = matches!(steps, Steps::Range(_));
            if let (Steps::Number(steps) | Steps::Range(steps), Some(first)) =
                (steps, values.first_mut())
            {
                let steps = Some(steps);
                *first =
                    Adder::Reals(Box::new(Reals { steps, is_of_extremes, ..Reals::default() }));
            }
            FieldSums { width: field.width(), values }
        };
        let names = scale_names(fields.clone().map(|(field, _)| field));
        Self { names, fields: fields.map(of).collect(), n_rows: 0 }
    }

    /// Adds the rows of a block that are `wanted`: numbers of rows of the dataset.
    pub(crate) fn add(&mut self, block: &Block, wanted: impl Fn(u64) -> bool) {
        let rows: Vec<usize> =
            (0..block.n_rows).filter(|row| wanted(block.first_row + *row as u64)).collect();
        self.n_rows += rows.len() as u64;
        for (FieldSums { width, values: adders }, values) in
            self.fields.iter_mut().zip(&block.columns)
        {
            let plane = (*width / adders.len().max(1)).max(1);
            for (at, adder) in adders.iter_mut().enumerate() {
                for row in &rows {
                    let start = row * *width + at * plane;
                    adder.add(values, start..start + plane);
                }
            }
        }
    }

    /// The sums; `missing` are the values that no step made a number of.
    ///
    /// # Errors
    /// [`Error::Statistics`] for values that are too large, or too many.
    pub(crate) fn finish(self) -> Result<Vec<ColumnSums>, Error> {
        let (all, n_rows) = (self.fields.into_iter().flat_map(|field| field.values), self.n_rows);
        let sums = |(name, adder): (String, Adder)| adder.finish(name, n_rows);
        self.names.into_iter().zip(all).map(sums).collect()
    }
}

impl Adder {
    fn add(&mut self, values: &Values, range: Range<usize>) {
        match (self, values) {
            (Self::Still, _) => {}
            (Self::Pixels(counts), Values::UInt8(pixels)) => {
                pixels[range].iter().for_each(|pixel| counts[usize::from(*pixel)] += 1);
            }
            // An image has no other values.
            (Self::Pixels(_), _) => {}
            (Self::Reals(reals), values) => values.each(range, |value| reals.add(value)),
        }
    }

    fn finish(self, name: String, n_rows: u64) -> Result<ColumnSums, Error> {
        let mut reals = Reals::default();
        match self {
            Self::Still => reals.moments = Moments::of_zeros(n_rows),
            Self::Reals(own) => reals = *own,
            Self::Pixels(counts) => {
                for (pixel, n) in counts.iter().enumerate() {
                    reals.is_beyond |= !reals.moments.add(pixel as f64 / 255.0, *n);
                }
            }
        }
        let Reals { moments, missing, extremes, is_beyond, .. } = reals;
        if is_beyond {
            let reason = format!(
                "column `{name}` has values beyond {VALUE_MAX:e}, and sums of a federation end \
                 there: leave it out of `inputs`"
            );
            return Err(Error::Statistics { reason });
        }
        if moments.n() > NUMBER_MAX {
            let reason = format!("column `{name}` has more than {NUMBER_MAX} values");
            return Err(Error::Statistics { reason });
        }
        Ok(ColumnSums { missing, extremes, ..ColumnSums::of(name, moments) })
    }
}

impl Reals {
    fn add(&mut self, value: f64) {
        let value = self.steps.map_or(value, |steps| steps.number(value));
        match value.is_nan() {
            true => self.missing += 1,
            false => self.is_beyond |= !self.moments.add(value, 1),
        }
        if self.is_of_extremes && !value.is_nan() {
            let [low, high] = self.extremes.get_or_insert([value; 2]);
            (*low, *high) = (low.min(value), high.max(value));
        }
    }
}

/// The exact sums of the inputs over the training rows, and the scales as if no other site took part.
pub(crate) fn by_sums(
    (dataset, layout, data): (&Dataset, &Layout, &DataArgs),
    pass: &Pass<'_>,
) -> Result<(Vec<ColumnSums>, Preprocessing), Error> {
    let rules = ColumnFit::new(dataset, layout);
    if let Some(reason) = rules.unsummable() {
        return Err(Error::Statistics { reason });
    }
    let steps = rules.steps();
    let steps = |at: usize| steps.get(&at).copied().unwrap_or(Steps::Plain);
    let mut fit =
        ExactFit::new(inputs(dataset, layout).enumerate().map(|(at, field)| (field, steps(at))));
    pass(&mut |block, is_training| {
        fit.add(block, is_training);
        Ok(())
    })?;
    let columns = fit.finish()?;
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let sums = Sums { columns, ..Sums::default() };
    let scales = Pooled::new([&sums], None).preprocessing(&names, &data.columns)?;
    Ok((sums.columns, scales))
}
