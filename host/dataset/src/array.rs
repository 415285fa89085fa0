//! Arrays of numbers as bytes: what IDX, NPY and NPZ have in common.

use std::io::Read;
use std::path::Path;

use fedwasm_params::DType;

use crate::values::Values;
use crate::{Error, Place};

/// The most numbers of a row: as float32 they must fit into one batch.
pub(crate) const ROW_VALUES_MAX: usize = (16 << 20) / 4;
/// The most numbers of an array: 1 GiB of float32.
pub(crate) const ARRAY_VALUES_MAX: u64 = 1 << 28;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Numbers of an array, as a header describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) dtype: DType,
    pub(crate) order: ByteOrder,
    /// Rows first.
    pub(crate) shape: Vec<u64>,
    /// Whether the first axis varies fastest (Fortran), not the last.
    pub(crate) columns_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

impl Layout {
    /// Checks what a header says before anything is allocated.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Error> {
        let Some((n_rows, row)) = self.shape.split_first() else {
            let reason = "the array has no axis, so there are no rows".to_owned();
            return Err(Error::Malformed { path: path.to_owned(), reason });
        };
        let too_large = |what, max| Error::TooLarge { path: path.to_owned(), what, max };
        let product = |axes: &[u64]| axes.iter().try_fold(1_u64, |n, axis| n.checked_mul(*axis));
        let (row, all) = (product(row), product(&self.shape));
        if row.is_none_or(|n| n > ROW_VALUES_MAX as u64) {
            return Err(too_large("numbers in a row", ROW_VALUES_MAX as u64));
        }
        if all.is_none_or(|n| n > ARRAY_VALUES_MAX) {
            return Err(too_large("numbers in an array", ARRAY_VALUES_MAX));
        }
        if *n_rows == 0 || row == Some(0) {
            return Err(Error::NoRows { path: path.to_owned() });
        }
        Ok(())
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or_default()
    }

    /// Lengths of the axes of a row.
    pub(crate) fn row_shape(&self) -> Vec<usize> {
        self.shape.iter().skip(1).map(|axis| *axis as usize).collect()
    }

    /// Bytes of the array; the layout was checked.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.dtype.size() as u64
    }

    /// Reads the numbers, and that nothing comes after them.
    pub(crate) fn read(
        &self,
        mut file: impl Read,
        path: &Path,
        name: &str,
        into: &mut Values,
    ) -> Result<(), Error> {
        let error = |source| Error::Read { path: path.to_owned(), source };
        let width = (self.shape.iter().skip(1).product::<u64>() as usize).max(1);
        let mut values = Vec::new();
        let (mut row, mut at) = (0_u64, 0);
        let mut push = |value: f64| -> Result<(), Error> {
            if !(value as f32).is_finite() {
                let (path, column, got) = (path.to_owned(), name.to_owned(), value.to_string());
                return Err(Error::NotFinite { path, place: Place::Row(row + 1), column, got });
            }
            into.push(value);
            at += 1;
            if at == width {
                (row, at) = (row + 1, 0);
            }
            Ok(())
        };
        let size = self.dtype.size();
        let (mut left, mut buffer) = (self.n_bytes(), Vec::new());
        let truncated = |left| Error::Truncated {
            path: path.to_owned(),
            expected: self.n_bytes(),
            got: self.n_bytes() - left,
        };
        while left > 0 {
            // Whole numbers at a time: the length of a chunk is a multiple of 8.
            let n = left.min(CHUNK_BYTES as u64);
            buffer.clear();
            let got = file.by_ref().take(n).read_to_end(&mut buffer).map_err(error)?;
            if (got as u64) < n {
                return Err(truncated(left - got as u64));
            }
            left -= n;
            for bytes in buffer.chunks_exact(size) {
                let value = number(self.dtype, self.order, bytes);
                match self.columns_first && self.shape.len() > 1 {
                    true => values.push(value),
                    false => push(value)?,
                }
            }
        }
        // Also lets a decompressor check its sum.
        if file.read(&mut [0]).map_err(error)? != 0 {
            let reason = "there are more bytes than the header says".to_owned();
            return Err(Error::Malformed { path: path.to_owned(), reason });
        }
        if !values.is_empty() {
            let shape: Vec<usize> = self.shape.iter().map(|axis| *axis as usize).collect();
            row_major(&shape, |at| push(values.get(at).copied().unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// Calls `take` with the position of each number of an array that is stored
/// with its first axis fastest, in the order of its last axis fastest.
fn row_major(
    shape: &[usize],
    mut take: impl FnMut(usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let steps: Vec<usize> = (0..shape.len()).map(|axis| shape[..axis].iter().product()).collect();
    let mut index = vec![0; shape.len()];
    loop {
        take(index.iter().zip(&steps).map(|(index, step)| index * step).sum())?;
        let Some(axis) = (0..shape.len()).rev().find(|axis| index[*axis] + 1 < shape[*axis]) else {
            return Ok(());
        };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

/// One number; `bytes` has the size of the type. What the types of files do
/// not have is refused when their headers are read.
fn number(dtype: DType, order: ByteOrder, bytes: &[u8]) -> f64 {
    let mut wide = [0; 8];
    let len = bytes.len().min(8);
    wide[..len].copy_from_slice(&bytes[..len]);
    if order == ByteOrder::Big {
        wide[..len].reverse();
    }
    let bits = u64::from_le_bytes(wide);
    match dtype {
        DType::Boolean => f64::from(u8::from(bits != 0)),
        DType::UInt8 => f64::from(bits as u8),
        DType::Int8 => f64::from(bits as i8),
        DType::Int16 => f64::from(bits as i16),
        DType::Int32 => f64::from(bits as i32),
        DType::Int64 => bits as i64 as f64,
        DType::Float32 => f64::from(f32::from_bits(bits as u32)),
        DType::Float64 => f64::from_bits(bits),
        DType::Float16 | DType::BFloat16 => f64::NAN,
    }
}
