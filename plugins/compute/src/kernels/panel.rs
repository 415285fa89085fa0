//! How the right side of a product comes to the tiles: in panels of a few vectors.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::simd::Lanes;
use super::{BLOCK, Matrix};

/// Bytes of a line of a panel at most: four vectors of 64 bytes.
const LINE_BYTES: usize = 4 * 64;

/// Lines of a panel, one after the other, on a stack.
#[repr(align(64))]
pub(crate) struct Panel(MaybeUninit<[u8; BLOCK * LINE_BYTES]>);

impl Panel {
    pub(crate) fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    pub(crate) fn at<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }
}

/// Lays out a block of a matrix, all inside of it, in lines of `line` elements, a whole number of
/// vectors. What is beyond the columns becomes +0.
///
/// # Safety
/// The panel has as many lines as there are rows, and no line is shorter than the columns.
#[inline(always)]
pub(crate) unsafe fn lay_out<L: Lanes>(
    matrix: Matrix<L::T>,
    panel: *mut L::T,
    line: usize,
    rows: Range<usize>,
    columns: Range<usize>,
) {
    let (down, across) = matrix.strides();
    let from = matrix.data().as_ptr().wrapping_add(rows.start * down + columns.start * across);
    // SAFETY: the caller's; the block is inside of the matrix.
    unsafe {
        if across == 1 {
            copy::<L>(from, down, [rows.len(), columns.len()], panel, line);
        } else {
            transpose::<L>(from, across, [columns.len(), rows.len()], panel, line);
        }
    }
}

/// Copies lines `from_line` apart to lines of whole vectors; beyond the columns comes +0.
///
/// # Safety
/// The block can be read, and lines of whole vectors written.
#[inline(always)]
pub(crate) unsafe fn copy<L: Lanes>(
    mut from: *const L::T,
    from_line: usize,
    [rows, columns]: [usize; 2],
    mut to: *mut L::T,
    line: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        for _ in 0..rows {
            let mut column = 0;
            while column + L::N <= columns {
                L::load(from.add(column)).store(to.add(column));
                column += L::N;
            }
            if column < line {
                L::load_part(from.wrapping_add(column), columns - column).store(to.add(column));
            }
            (from, to) = (from.wrapping_add(from_line), to.add(line));
        }
    }
}

/// Copies the block [rows, columns] at `from`, whose rows are `from_row` apart, to columns of
/// `to`, whose lines are `line` apart: whole vectors, at most one of which is not full.
///
/// # Safety
/// The block can be read, and as many lines of whole vectors as it has columns written.
#[inline(always)]
pub(crate) unsafe fn transpose<L: Lanes>(
    from: *const L::T,
    from_row: usize,
    [rows, columns]: [usize; 2],
    to: *mut L::T,
    line: usize,
) {
    let (whole_rows, whole_columns) = (rows - rows % L::SQUARE, columns - columns % L::SQUARE);
    // SAFETY: the caller's.
    unsafe {
        let full = rows.div_ceil(L::N) * L::N;
        if rows < full {
            // Their elements that there are come after it.
            for column in 0..columns {
                L::splat(L::T::default()).store(to.add(column * line + full - L::N));
            }
        }
        let mut row = 0;
        while row < whole_rows {
            let mut column = 0;
            while column < whole_columns {
                let (from, to) = (from.add(row * from_row + column), to.add(column * line + row));
                L::transpose(from, from_row, to, line);
                column += L::SQUARE;
            }
            while column < columns {
                for nth in row..row + L::SQUARE {
                    *to.add(column * line + nth) = *from.add(nth * from_row + column);
                }
                column += 1;
            }
            row += L::SQUARE;
        }
        for column in 0..columns {
            for nth in whole_rows..rows {
                *to.add(column * line + nth) = *from.add(nth * from_row + column);
            }
        }
    }
}
