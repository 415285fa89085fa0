//! Rows to columns.

use crate::lanes::Lanes;

/// Copies the block [rows, columns] at the start of `from`, whose rows are `from_row` apart, to
/// the start of `to`, whose rows are `to_row` apart, with rows and columns exchanged.
#[inline(always)]
pub(crate) fn transpose<L: Lanes>(
    from: &[f32],
    from_row: usize,
    [rows, columns]: [usize; 2],
    to: &mut [f32],
    to_row: usize,
) {
    let (whole_rows, whole_columns) = (rows - rows % L::N, columns - columns % L::N);
    for row in (0..whole_rows).step_by(L::N) {
        for column in (0..whole_columns).step_by(L::N) {
            let from = &from[row * from_row + column..][..(L::N - 1) * from_row + L::N];
            let to = &mut to[column * to_row + row..][..(L::N - 1) * to_row + L::N];
            // SAFETY: both slices hold the block.
            unsafe { L::transpose(from.as_ptr(), from_row, to.as_mut_ptr(), to_row) }
        }
    }
    for row in 0..rows {
        let first = if row < whole_rows { whole_columns } else { 0 };
        for column in first..columns {
            to[column * to_row + row] = from[row * from_row + column];
        }
    }
}
