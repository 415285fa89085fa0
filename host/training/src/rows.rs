//! Rows as a plan gets them, and batches of them.

use std::sync::Arc;

use fedwasm_dataset::{Block, Dataset, Error as DataError, Field, Place, Values};
use fedwasm_params::{DType, Tensor};
use fedwasm_sandbox::Batch;

use crate::augment::Augmenter;
use crate::layout::{Layout, Part, PartKind};
use crate::preprocessing::{n_scales, scale_names};
use crate::treatment::Treatment;
use crate::{ColumnScale, Error, Preprocessing};

/// Beyond it float32 does not represent every whole number.
pub(crate) const CLASS_MAX: f64 = (1 << 24) as f64;

/// Turns values of a dataset into those of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Converter {
    pub(crate) layout: Layout,
    pub(crate) dataset: Dataset,
    inputs: Vec<How>,
    targets: Vec<How>,
}

/// The way in which the values of a part are computed.
#[derive(Clone, Debug)]
enum How {
    /// Treated in float64 and rounded once: the steps of each value.
    Treated(Vec<Treatment>),
    /// Looked up: the value of each of 256 pixels, for each channel.
    Pixels(Arc<Vec<[f32; 256]>>),
    /// Whole numbers, classes among them: the steps of each value.
    Whole(Vec<Treatment>),
}

/// Inputs and targets of some rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) n_rows: usize,
    pub(crate) inputs: Vec<PartValues>,
    pub(crate) targets: Vec<PartValues>,
}

/// Values of a part, row-major.
#[derive(Clone, Debug)]
pub(crate) enum PartValues {
    /// float32.
    Reals(Vec<f32>),
    /// uint8, looked up when a batch is made: a quarter of the memory.
    Pixels(Vec<u8>, Arc<Vec<[f32; 256]>>),
    /// int64.
    Classes(Vec<i64>),
}

impl Rows {
    /// Bytes of all values.
    pub(crate) fn n_bytes(&self) -> u64 {
        let all = self.inputs.iter().chain(&self.targets);
        all.map(PartValues::n_bytes).fold(0, u64::saturating_add)
    }

    /// The whole numbers of the first target.
    pub(crate) fn target_classes(&self) -> impl Iterator<Item = i64> {
        let classes = match self.targets.first() {
            Some(PartValues::Classes(classes)) => &classes[..],
            _ => &[],
        };
        classes.iter().copied()
    }
}

impl Converter {
    /// Inputs are scaled as `preprocessing` says, which has their columns in
    /// order; targets are not.
    pub(crate) fn new(layout: Layout, dataset: &Dataset, preprocessing: &Preprocessing) -> Self {
        let fields: Vec<&Field> = layout.fields.iter().map(|at| &dataset.fields()[*at]).collect();
        let mut known = preprocessing.columns.iter().cloned();
        // The scales of each field: those of targets change nothing.
        let scales = fields.iter().enumerate().map(|(at, field)| {
            if at < layout.n_input_fields {
                known.by_ref().take(n_scales(field)).collect()
            } else {
                scale_names([*field]).into_iter().map(ColumnScale::identity).collect()
            }
        });
        let scales: Vec<Vec<ColumnScale>> = scales.collect();
        let each = |column: &usize| {
            let (scales, width) = (&scales[*column], fields[*column].width());
            let plane = (width / scales.len().max(1)).max(1);
            let rule = dataset.rule(layout.fields[*column]);
            let steps = scales.iter().enumerate().map(move |(at, scale)| match rule {
                Some(rule) => Treatment::new(rule, at, scale),
                None => Treatment::scaled(scale.mean, scale.std),
            });
            steps.flat_map(move |steps| std::iter::repeat_n(steps, plane))
        };
        let table = |ColumnScale { mean, std, .. }: &ColumnScale| {
            std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / std) as f32)
        };
        let how = |part: &Part| match (part.kind, &part.columns[..]) {
            (PartKind::Class | PartKind::Whole, columns) => {
                How::Whole(columns.iter().flat_map(each).collect())
            }
            (PartKind::Real, [column]) if fields[*column].is_image() => {
                How::Pixels(Arc::new(scales[*column].iter().map(table).collect()))
            }
            (PartKind::Real, columns) => How::Treated(columns.iter().flat_map(each).collect()),
        };
        let inputs = layout.inputs.iter().map(how).collect();
        let targets = layout.targets.iter().map(how).collect();
        Self { dataset: dataset.clone(), inputs, targets, layout }
    }

    /// No rows, with room for some.
    pub(crate) fn rows(&self, n_rows: usize) -> Rows {
        let column = |(part, how): (&Part, &How)| {
            let n = n_rows.saturating_mul(part.width);
            match how {
                How::Treated(_) => PartValues::Reals(Vec::with_capacity(n)),
                How::Pixels(tables) => {
                    PartValues::Pixels(Vec::with_capacity(n), Arc::clone(tables))
                }
                How::Whole(_) => PartValues::Classes(Vec::with_capacity(n)),
            }
        };
        let Layout { inputs, targets, .. } = &self.layout;
        Rows {
            n_rows: 0,
            inputs: inputs.iter().zip(&self.inputs).map(column).collect(),
            targets: targets.iter().zip(&self.targets).map(column).collect(),
        }
    }

    /// Appends row `row` of a block that was read with the layout's fields.
    ///
    /// # Errors
    /// [`DataError::NotAClass`], [`DataError::NotFinite`], [`DataError::MissingValue`],
    /// [`DataError::NoLogarithm`].
    pub(crate) fn push(&self, block: &Block, row: usize, into: &mut Rows) -> Result<(), Error> {
        let Layout { inputs, targets, .. } = &self.layout;
        for ((part, how), column) in inputs.iter().zip(&self.inputs).zip(&mut into.inputs) {
            self.push_part(block, row, part, how, column)?;
        }
        for ((part, how), column) in targets.iter().zip(&self.targets).zip(&mut into.targets) {
            self.push_part(block, row, part, how, column)?;
        }
        into.n_rows += 1;
        Ok(())
    }

    fn push_part(
        &self,
        block: &Block,
        row: usize,
        part: &Part,
        how: &How,
        into: &mut PartValues,
    ) -> Result<(), Error> {
        let field = |column: usize| &self.dataset.fields()[self.layout.fields[column]];
        let range = |column: usize| {
            let width = field(column).width();
            row * width..(row + 1) * width
        };
        match (how, into) {
            (How::Pixels(_), PartValues::Pixels(pixels, _)) => {
                if let Values::UInt8(values) = &block.columns[part.columns[0]] {
                    pixels.extend_from_slice(&values[range(part.columns[0])]);
                }
            }
            (How::Treated(steps), PartValues::Reals(reals)) => {
                let (mut steps, mut wrong) = (steps.iter(), None);
                for column in &part.columns {
                    let unit = if field(*column).is_image() { 255.0 } else { 1.0 };
                    block.columns[*column].each(range(*column), |value| {
                        let steps = steps.next().copied().unwrap_or(Treatment::scaled(0.0, 1.0));
                        let treated = steps.apply(value / unit) as f32;
                        if !treated.is_finite() {
                            wrong.get_or_insert((*column, value, treated, steps));
                        }
                        reals.push(treated);
                    });
                }
                if let Some((column, value, treated, steps)) = wrong {
                    let (path, place) = (self.dataset.path().to_owned(), block.place(row));
                    let column = field(column).name.clone();
                    return Err(untreated((value, treated), steps, path, place, column).into());
                }
            }
            (How::Whole(steps), PartValues::Classes(classes)) => {
                let mut steps = steps.iter();
                let max = if part.kind == PartKind::Class { CLASS_MAX } else { 2f64.powi(53) };
                let min = if part.kind == PartKind::Class { 0.0 } else { -max };
                let mut wrong = None;
                for column in &part.columns {
                    block.columns[*column].each(range(*column), |value| {
                        let value = steps.next().map_or(value, |steps| steps.number(value));
                        if value.fract() != 0.0 || !(min..=max).contains(&value) {
                            wrong.get_or_insert((*column, value));
                        }
                        classes.push(value as i64);
                    });
                }
                if let Some((column, got)) = wrong {
                    let (path, place) = (self.dataset.path().to_owned(), block.place(row));
                    let column = field(column).name.clone();
                    return Err(DataError::NotAClass { path, place, column, got }.into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// No bytes, with room for a batch.
    ///
    /// # Errors
    /// A text, if not enough memory is free.
    pub(crate) fn batch(&self, n_rows: usize) -> Result<Building, String> {
        let buffer = |part: &Part| {
            let row = part.width.saturating_mul(part.kind.size() as usize);
            let (bytes, mut buffer) = (n_rows.saturating_mul(row), Vec::new());
            let reserved = buffer.try_reserve_exact(bytes);
            reserved.map_err(|_| format!("no memory is left for a batch of {bytes} bytes"))?;
            Ok(buffer)
        };
        let buffers = |parts: &[Part]| parts.iter().map(buffer).collect::<Result<Vec<_>, String>>();
        let Layout { inputs, targets, .. } = &self.layout;
        Ok(Building { n_rows: 0, inputs: buffers(inputs)?, targets: buffers(targets)? })
    }

    /// Ends a batch.
    ///
    /// # Errors
    /// A text, if a tensor is larger than one may be.
    pub(crate) fn finish(&self, batch: Building) -> Result<Batch, String> {
        let n_rows = batch.n_rows as u64;
        let tensors = |parts: &[Part], buffers: Vec<Vec<u8>>| {
            let tensor = |(part, data): (&Part, Vec<u8>)| {
                let shape = std::iter::once(n_rows).chain(part.shape.iter().copied()).collect();
                let dtype = match part.kind {
                    PartKind::Real => DType::Float32,
                    PartKind::Class | PartKind::Whole => DType::Int64,
                };
                let tensor = Tensor::new(dtype, shape, data).map_err(|error| error.to_string())?;
                Ok((part.name.clone(), tensor))
            };
            parts.iter().zip(buffers).map(tensor).collect::<Result<Vec<_>, String>>()
        };
        Ok(Batch {
            rows: batch.n_rows as u32,
            inputs: tensors(&self.layout.inputs, batch.inputs)?,
            targets: tensors(&self.layout.targets, batch.targets)?,
        })
    }
}

/// Why a value has no finite number for the plan.
fn untreated(
    (value, treated): (f64, f32),
    steps: Treatment,
    path: std::path::PathBuf,
    place: Place,
    column: String,
) -> DataError {
    if value.is_nan() && steps.fill.is_none() {
        return DataError::MissingValue { path, place, column };
    }
    let got = Treatment { log1p: false, ..steps }.number(value);
    if steps.log1p && got <= -1.0 {
        return DataError::NoLogarithm { path, place, column, got };
    }
    let got = format!("{value:e}, scaled {treated},");
    DataError::NotFinite { path, place, column, got }
}

/// The bytes of a batch that is being put together.
#[derive(Debug)]
pub(crate) struct Building {
    pub(crate) n_rows: usize,
    inputs: Vec<Vec<u8>>,
    targets: Vec<Vec<u8>>,
}

impl Building {
    /// Changes all rows; `of` are the seed of the round and the number of the first row in it.
    ///
    /// # Errors
    /// A text, if a value would not be finite.
    pub(crate) fn augment(&mut self, by: &Augmenter, of: ([u8; 32], u64)) -> Result<(), String> {
        by.change((&mut self.inputs, &mut self.targets), self.n_rows, of)
    }

    /// Appends some rows.
    pub(crate) fn extend(&mut self, rows: &Rows, which: &[usize], layout: &Layout) {
        for ((buffer, column), part) in self.inputs.iter_mut().zip(&rows.inputs).zip(&layout.inputs)
        {
            column.gather(which, part.width, buffer);
        }
        for ((buffer, column), part) in
            self.targets.iter_mut().zip(&rows.targets).zip(&layout.targets)
        {
            column.gather(which, part.width, buffer);
        }
        self.n_rows += which.len();
    }
}

impl PartValues {
    fn n_bytes(&self) -> u64 {
        let n_bytes = match self {
            Self::Reals(reals) => size_of_val(&reals[..]),
            Self::Pixels(pixels, _) => pixels.len(),
            Self::Classes(classes) => size_of_val(&classes[..]),
        };
        n_bytes as u64
    }

    /// Appends some rows as little-endian bytes.
    fn gather(&self, which: &[usize], width: usize, into: &mut Vec<u8>) {
        let range = |row: &usize| row * width..(row + 1) * width;
        match self {
            Self::Reals(reals) => {
                for row in which {
                    into.extend(reals[range(row)].iter().flat_map(|value| value.to_le_bytes()));
                }
            }
            Self::Classes(classes) => {
                for row in which {
                    into.extend(classes[range(row)].iter().flat_map(|value| value.to_le_bytes()));
                }
            }
            Self::Pixels(pixels, tables) => {
                let plane = (width / tables.len().max(1)).max(1);
                for row in which {
                    for (pixels, table) in pixels[range(row)].chunks(plane).zip(tables.iter()) {
                        let values = pixels.iter().map(|pixel| table[usize::from(*pixel)]);
                        into.extend(values.flat_map(f32::to_le_bytes));
                    }
                }
            }
        }
    }
}
