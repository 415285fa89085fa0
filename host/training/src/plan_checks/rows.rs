//! Rows to test a plan on: from a dataset, or random ones for the plan's declaration.

use std::ops::Range;

use fedwasm_params::{DType, Tensor};
use fedwasm_sandbox::{Batch, DataSpec, Declaration, Loader};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::loader::TestLoader;
use crate::{Error, Examples};

/// The most rows that a plan is tried on: two whole batches and a short one.
pub const ROWS_MAX: usize = 70;
/// The most bytes of a row that are drawn; a batch must be able to cross.
const ROW_BYTES_MAX: u64 = (16 << 20) / ROWS_MAX as u64;

/// How inputs of rows are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawnInputs {
    /// Reals from U(-1, 1); whole numbers below the number of classes for integers.
    Reals,
    /// Whole numbers below this one, whatever the dtype; each input has the largest.
    WholeBelow(u64),
}

/// A few rows, in memory.
#[derive(Clone, Debug)]
pub struct TestRows(Batch);

impl TestRows {
    /// Takes the first rows of the training part, at most [`ROWS_MAX`].
    ///
    /// # Errors
    /// [`Error::EmptyPart`] without rows, and the errors of the dataset.
    pub fn of(examples: &Examples) -> Result<Self, Error> {
        let mut loader = TestLoader::new(examples.train.clone(), ROWS_MAX as u32);
        let none = Error::EmptyPart { rows: 0, test_ratio: 0.0, part: "try the plan on" };
        let batch = loader.next().map_err(|reason| fedwasm_sandbox::Error::Loader { reason })?;
        batch.map(Self).ok_or(none)
    }

    /// Draws [`ROWS_MAX`] rows: `inputs` as they say, targets that are floats from U(-1, 1), and
    /// others below `n_classes`.
    ///
    /// # Errors
    /// [`fedwasm_sandbox::Error::Loader`] if a row of the plan's declaration is larger than a
    /// batch may be.
    pub fn synthetic(
        declared: &Declaration,
        inputs: DrawnInputs,
        n_classes: u64,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let mut all = |specs: &[DataSpec], how| -> Result<Vec<(String, Tensor)>, Error> {
            let drawn =
                |spec: &DataSpec| Ok((spec.name.clone(), draw(spec, how, n_classes, &mut random)?));
            specs.iter().map(drawn).collect()
        };
        let inputs = all(&declared.inputs, inputs)?;
        let targets = all(&declared.targets, DrawnInputs::Reals)?;
        Ok(Self(Batch { rows: ROWS_MAX as u32, inputs, targets }))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.rows as usize
    }

    /// Batches of so many rows each in order, as far as there are rows.
    pub(crate) fn loader(&self, batches: &[usize]) -> SomeRows {
        let mut at = 0;
        let ranges = batches.iter().map(|n| {
            let from = at;
            at = (at + n).min(self.len());
            from..at
        });
        let ranges = ranges.collect::<Vec<_>>();
        self.batches(&ranges)
    }

    /// A batch of each of these ranges of rows, up to the first empty one.
    pub(crate) fn batches(&self, ranges: &[Range<usize>]) -> SomeRows {
        SomeRows { rows: self.0.clone(), batches: ranges.iter().rev().cloned().collect() }
    }
}

/// Hands out rows.
pub(crate) struct SomeRows {
    rows: Batch,
    /// The batches to come, the next one last.
    batches: Vec<Range<usize>>,
}

impl Loader for SomeRows {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        let rows = self.rows.rows as usize;
        let next = self.batches.pop().map(|next| next.start..next.end.min(rows));
        let Some(next) = next.filter(|next| !next.is_empty()) else { return Ok(None) };
        let (at, n) = (next.start, next.len());
        let part = |(name, tensor): &(String, Tensor)| {
            let bytes = tensor.data().len() / rows;
            let data = tensor.data()[at * bytes..(at + n) * bytes].to_vec();
            let mut shape = tensor.shape().to_vec();
            if let Some(first) = shape.first_mut() {
                *first = n as u64;
            }
            let tensor = Tensor::new(tensor.dtype(), shape, data);
            Ok((name.clone(), tensor.map_err(|error| error.to_string())?))
        };
        let inputs = self.rows.inputs.iter().map(part).collect::<Result<_, String>>()?;
        let targets = self.rows.targets.iter().map(part).collect::<Result<_, String>>()?;
        Ok(Some(Batch { rows: n as u32, inputs, targets }))
    }
}

fn draw(
    spec: &DataSpec,
    inputs: DrawnInputs,
    n_classes: u64,
    random: &mut ChaCha20Rng,
) -> Result<Tensor, Error> {
    let of_row = spec.shape.iter().try_fold(1_u64, |product, axis| product.checked_mul(*axis));
    let bytes = of_row.and_then(|n| n.checked_mul(spec.dtype.size() as u64));
    let failed = |reason| Error::from(fedwasm_sandbox::Error::Loader { reason });
    let Some(n) = of_row.filter(|_| bytes.is_some_and(|bytes| bytes <= ROW_BYTES_MAX)) else {
        let text = format!("a row of `{}` is larger than {ROW_BYTES_MAX} bytes", spec.name);
        return Err(failed(text + "; give rows with --data"));
    };
    let mut data = Vec::new();
    for at in 0..n * ROWS_MAX as u64 {
        let mut unit = (random.next_u32() >> 8) as f32 / 8_388_608.0 - 1.0;
        let mut whole = u64::from(random.next_u32());
        match inputs {
            DrawnInputs::Reals => whole %= n_classes.max(1),
            DrawnInputs::WholeBelow(end) => {
                // The first row has the largest, so that a range which is too large is refused.
                whole = if at < n { end.saturating_sub(1) } else { whole % end.max(1) };
                unit = whole as f32;
            }
        }
        match spec.dtype {
            DType::Float32 => data.extend(unit.to_le_bytes()),
            DType::Float64 => data.extend(f64::from(unit).to_le_bytes()),
            // The upper half of the float32.
            DType::BFloat16 => data.extend(&unit.to_le_bytes()[2..]),
            // Plus or minus a half, or 0 or 1: binary16 has no arithmetic here.
            DType::Float16 => {
                let two = match inputs {
                    DrawnInputs::Reals => [0x3800_u16, 0xb800],
                    DrawnInputs::WholeBelow(_) => [0x3c00, 0],
                };
                data.extend(two[usize::from(unit <= 0.0)].to_le_bytes());
            }
            DType::Boolean => data.push((whole % 2) as u8),
            // Classes that do not fit into a byte wrap; negative ones do not occur.
            dtype => {
                let whole = if dtype.size() == 1 { whole % 128 } else { whole };
                data.extend(&whole.to_le_bytes()[..dtype.size()]);
            }
        }
    }
    let shape = [&[ROWS_MAX as u64], &spec.shape[..]].concat();
    Tensor::new(spec.dtype, shape, data).map_err(|error| failed(error.to_string()))
}
