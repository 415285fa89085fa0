//! Rows as a plan gets them, and batches of them.

use std::sync::Arc;

use fedwasm_dataset::{Block, Dataset, Error as DataError, Field, Values};
use fedwasm_params::{DType, Tensor};
use fedwasm_sandbox::Batch;

use crate::layout::{Layout, Part, PartKind};
use crate::preprocessing::n_scales;
use crate::{Error, Preprocessing};

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
    /// Scaled in float64 and rounded once: (mean, std) of each value.
    Scaled(Vec<(f64, f64)>),
    /// Looked up: the value of each of 256 pixels, for each channel.
    Pixels(Arc<Vec<[f32; 256]>>),
    Class,
    Whole,
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
        let mut known = preprocessing.columns.iter().map(|scale| (scale.mean, scale.std));
        // The scales of each field: those of targets change nothing.
        let scales = fields.iter().enumerate().map(|(at, field)| {
            if at < layout.n_input_fields {
                known.by_ref().take(n_scales(field)).collect()
            } else {
                vec![(0.0, 1.0); n_scales(field)]
            }
        });
        let scales: Vec<Vec<(f64, f64)>> = scales.collect();
        let each = |column: &usize| {
            let (scales, width) = (&scales[*column], fields[*column].width());
            let plane = (width / scales.len().max(1)).max(1);
            scales.iter().flat_map(move |scale| std::iter::repeat_n(*scale, plane))
        };
        let table = |(mean, std): &(f64, f64)| {
            std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / std) as f32)
        };
        let how = |part: &Part| match (part.kind, &part.columns[..]) {
            (PartKind::Class, _) => How::Class,
            (PartKind::Whole, _) => How::Whole,
            (PartKind::Real, [column]) if fields[*column].is_image() => {
                How::Pixels(Arc::new(scales[*column].iter().map(table).collect()))
            }
            (PartKind::Real, columns) => How::Scaled(columns.iter().flat_map(each).collect()),
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
                How::Scaled(_) => PartValues::Reals(Vec::with_capacity(n)),
                How::Pixels(tables) => {
                    PartValues::Pixels(Vec::with_capacity(n), Arc::clone(tables))
                }
                How::Class | How::Whole => PartValues::Classes(Vec::with_capacity(n)),
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
    /// [`DataError::NotAClass`].
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
            (How::Scaled(scales), PartValues::Reals(reals)) => {
                let (mut scales, mut wrong) = (scales.iter(), None);
                for column in &part.columns {
                    let unit = if field(*column).is_image() { 255.0 } else { 1.0 };
                    block.columns[*column].each(range(*column), |value| {
                        let (mean, std) = scales.next().copied().unwrap_or((0.0, 1.0));
                        let scaled = ((value / unit - mean) / std) as f32;
                        if !scaled.is_finite() {
                            wrong.get_or_insert((*column, value, scaled));
                        }
                        reals.push(scaled);
                    });
                }
                if let Some((column, value, scaled)) = wrong {
                    let (path, place) = (self.dataset.path().to_owned(), block.place(row));
                    let column = field(column).name.clone();
                    let got = format!("{value:e}, scaled {scaled},");
                    return Err(DataError::NotFinite { path, place, column, got }.into());
                }
            }
            (_, PartValues::Classes(classes)) => {
                let max = if part.kind == PartKind::Class { CLASS_MAX } else { 2f64.powi(53) };
                let min = if part.kind == PartKind::Class { 0.0 } else { -max };
                let mut wrong = None;
                for column in &part.columns {
                    block.columns[*column].each(range(*column), |value| {
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

/// The bytes of a batch that is being put together.
#[derive(Debug)]
pub(crate) struct Building {
    pub(crate) n_rows: usize,
    inputs: Vec<Vec<u8>>,
    targets: Vec<Vec<u8>>,
}

impl Building {
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
