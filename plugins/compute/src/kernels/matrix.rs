//! Matrices in slices.

/// A matrix that is read: rows in a slice, a stride apart, or the transpose of one.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    stride: usize,
    is_transposed: bool,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// The matrix [rows, columns] in `data`, row-major, without gaps.
    ///
    /// # Panics
    /// If `data` has another length.
    #[must_use]
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(columns), "elements of {rows} x {columns}");
        Self { data, rows, columns, stride: columns, is_transposed: false }
    }

    /// The matrix [rows, columns] at the start of `data`, whose rows start `stride` elements apart.
    ///
    /// # Panics
    /// If `stride` is less than `columns` and there are several rows, or `data` is too short.
    #[must_use]
    pub fn with_stride(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(stride >= columns || rows <= 1, "rows of {columns}, {stride} apart");
        let len = match rows.checked_sub(1) {
            Some(before) => before.checked_mul(stride).and_then(|len| len.checked_add(columns)),
            None => Some(0),
        };
        assert!(len.is_some_and(|len| len <= data.len()), "elements of {rows} x {columns}");
        Self { data, rows, columns, stride, is_transposed: false }
    }

    /// The same elements, rows as columns; nothing is moved.
    #[must_use]
    pub fn transposed(self) -> Self {
        let Self { rows, columns, is_transposed, .. } = self;
        Self { rows: columns, columns: rows, is_transposed: !is_transposed, ..self }
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

    /// The element at `row` and `column`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> T {
        assert!(row < self.rows && column < self.columns, "{row}, {column} of a matrix");
        let (down, across) = self.strides();
        self.data[row * down + column * across]
    }

    /// From one row to the next, and from one column to the next, in elements. One of the two
    /// is 1.
    pub(crate) fn strides(&self) -> (usize, usize) {
        if self.is_transposed { (1, self.stride) } else { (self.stride, 1) }
    }

    #[allow(dead_code, reason = "of the tiles")]
    pub(crate) fn data(&self) -> &'a [T] {
        self.data
    }
}
