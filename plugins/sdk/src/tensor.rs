//! Arrays of numbers.

use crate::{PlanError, Result};

/// A row-major float32 array. The product of `shape` is the length of `data`, and the product of
/// any of its axes does not overflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// Returns a tensor of zeros.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if the number of elements overflows.
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        let overflow = || PlanError::InvalidArgument(format!("shape {shape:?} is too large"));
        let len = len_of(shape).ok_or_else(overflow)?;
        Ok(Self { shape: shape.to_vec(), data: vec![0.0; len] })
    }

    /// Returns a tensor over `data`.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if `data` has another length than `shape` says.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        if len_of(shape) != Some(data.len()) {
            let len = data.len();
            return Err(PlanError::BadData(format!("{len} elements do not fill shape {shape:?}")));
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// Returns a tensor of shape [0].
    #[must_use]
    pub fn empty() -> Self {
        Self { shape: vec![0], data: Vec::new() }
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if they do not fill it.
    pub fn reshape(self, shape: &[usize]) -> Result<Self> {
        Self::new(shape, self.data)
    }

    /// Lengths of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements, row-major.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The first axis; 0 if there is none.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Returns (rows, columns) of a tensor of two axes.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if it has another number of axes.
    pub fn rows_and_columns(&self) -> Result<(usize, usize)> {
        match self.shape[..] {
            [rows, columns] => Ok((rows, columns)),
            _ => Err(PlanError::BadData(format!("shape {:?} is not [rows, columns]", self.shape))),
        }
    }

    /// Returns the rows of a tensor of shape [rows, `shape`...].
    ///
    /// # Errors
    /// [`PlanError::BadData`] if it has another shape; `what` says whose it is.
    pub fn rows_of(&self, shape: &[usize], what: &str) -> Result<usize> {
        match self.shape.split_first() {
            Some((rows, rest)) if rest == shape => Ok(*rows),
            _ => Err(PlanError::BadData(format!(
                "{what} takes shape [rows, {}], not {:?}",
                shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
                self.shape
            ))),
        }
    }
}

/// The number of elements; none if their bytes are not countable, or would not be if no axis were
/// 0, so that nobody who multiplies axes overflows.
fn len_of(shape: &[usize]) -> Option<usize> {
    let bytes = shape.iter().try_fold(4usize, |n, axis| n.checked_mul((*axis).max(1)))?;
    // As many as an allocation may have, also on a 32-bit machine.
    let is_countable = bytes <= isize::MAX as usize;
    is_countable.then(|| shape.iter().product())
}
