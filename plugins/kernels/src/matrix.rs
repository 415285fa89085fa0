//! Matrices in slices.

/// A matrix that is read: row-major in a slice, or the transpose of one.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    is_transposed: bool,
}

impl<'a> Matrix<'a> {
    /// The matrix [rows, columns] in `data`, row-major.
    ///
    /// # Panics
    /// If `data` has another length.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(columns), "elements of {rows} x {columns}");
        Self { data, rows, columns, is_transposed: false }
    }

    /// The same elements, rows as columns; nothing is moved.
    #[must_use]
    pub fn transposed(self) -> Self {
        let Self { data, rows, columns, is_transposed } = self;
        Self { data, rows: columns, columns: rows, is_transposed: !is_transposed }
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// From one row to the next, and from one column to the next, in elements. One of the two
    /// is 1.
    pub(crate) fn strides(&self) -> (usize, usize) {
        if self.is_transposed { (1, self.rows) } else { (self.columns, 1) }
    }

    pub(crate) fn data(&self) -> &'a [f32] {
        self.data
    }
}
