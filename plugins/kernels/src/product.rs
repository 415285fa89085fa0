//! The product of two matrices.

#![allow(clippy::needless_range_loop, reason = "rows and vectors of a tile are numbers")]

use core::ops::Range;

use crate::Matrix;
use crate::lanes::{self, Kernel, Lanes};
use crate::panels::{DEPTH_MAX, Panel, Panels, WIDTH};
use crate::transpose::transpose;

/// Adds the product of `a` [m, k] and `b` [k, n] to `c` [m, n], row-major.
///
/// Each element of `c` takes its k products one after the other, in ascending k, each rounded
/// before it is added: `c + a0 b0 + a1 b1 + ...` from left to right. Neither tiles nor lanes
/// change that, and nothing is fused.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_product(c: &mut [f32], a: Matrix, b: Matrix) {
    add_panels(c, a, &b);
}

/// As [`add_product`], for whatever can be laid out in panels.
#[inline(always)]
pub(crate) fn add_panels<B: Panels>(c: &mut [f32], a: Matrix, b: &B) {
    assert_eq!(a.columns(), b.rows(), "columns on the left, rows on the right");
    assert_eq!(Some(c.len()), a.rows().checked_mul(b.columns()), "elements of the product");
    lanes::run(Product { c, a, b });
}

struct Product<'a, B> {
    c: &'a mut [f32],
    a: Matrix<'a>,
    b: &'a B,
}

impl<B: Panels> Kernel for Product<'_, B> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self) {
        match L::N {
            // Of sixteen registers: eight lanes sum in twelve, four lanes in eight, so that what
            // is multiplied has registers, too.
            8 => self.by_block::<L, 6, 2, 1>(),
            4 => self.by_block::<L, 2, 4, 2>(),
            _ => self.by_block::<L, 1, WIDTH, { WIDTH / 2 }>(),
        }
    }
}

/// Elements of the transposed left side that are copied into lines at a time: 32 KiB.
const LINES_LEN: usize = 32 * DEPTH_MAX;

impl<B: Panels> Product<'_, B> {
    #[inline(always)]
    fn by_block<L: Lanes, const ROWS: usize, const VECTORS: usize, const HALF: usize>(mut self) {
        let (depth, n_rows) = (self.a.columns(), self.a.rows());
        for first in (0..depth).step_by(DEPTH_MAX) {
            let depths = first..depth.min(first + DEPTH_MAX);
            let (row, column) = self.a.strides();
            if column == 1 {
                let data = self.a.data().get(first..).unwrap_or_default();
                let left = Left { data, row, depth: depths.len() };
                self.panels::<L, ROWS, VECTORS, HALF>(left, 0..n_rows, depths);
                continue;
            }
            let mut lines = [0.0; LINES_LEN];
            let rows_max = LINES_LEN / depths.len();
            for first_row in (0..n_rows).step_by(rows_max) {
                let rows = first_row..n_rows.min(first_row + rows_max);
                let from = &self.a.data()[first * column + first_row..];
                transpose::<L>(from, column, [depths.len(), rows.len()], &mut lines, depths.len());
                let left = Left { data: &lines, row: depths.len(), depth: depths.len() };
                self.panels::<L, ROWS, VECTORS, HALF>(left, rows, depths.clone());
            }
        }
    }

    /// Adds to these rows what these depths give; `left` holds the rows from 0 on.
    #[inline(always)]
    fn panels<L: Lanes, const ROWS: usize, const VECTORS: usize, const HALF: usize>(
        &mut self,
        left: Left,
        rows: Range<usize>,
        depths: Range<usize>,
    ) {
        let columns = self.b.columns();
        let c = &mut self.c[rows.start * columns..rows.end * columns];
        let mut panel = Panel::new();
        for column in (0..columns).step_by(WIDTH) {
            let width = WIDTH.min(columns - column);
            self.b.lay_out::<L>(&mut panel, depths.clone(), column..column + width);
            let c = &mut c[column..];
            if width <= WIDTH / 2 {
                strips::<L, ROWS, HALF>(left, &panel, c, columns, width, rows.len());
            } else {
                strips::<L, ROWS, VECTORS>(left, &panel, c, columns, width, rows.len());
            }
        }
    }
}

/// Rows of the left side, over the depth of a panel.
#[derive(Clone, Copy)]
struct Left<'a> {
    data: &'a [f32],
    /// From one row to the next.
    row: usize,
    depth: usize,
}

impl Left<'_> {
    #[inline(always)]
    fn from(self, row: usize) -> Self {
        Self { data: &self.data[row * self.row..], ..self }
    }
}

/// Adds rows of the left side times a panel to `width` columns of as many rows of `c`.
#[inline(always)]
fn strips<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    left: Left,
    panel: &Panel,
    c: &mut [f32],
    c_row: usize,
    width: usize,
    rows: usize,
) {
    let mut row = 0;
    while row + ROWS <= rows {
        let to = &mut c[row * c_row..];
        strip::<L, ROWS, VECTORS>(left.from(row), panel.rows(), to, c_row, width);
        row += ROWS;
    }
    while row < rows {
        let to = &mut c[row * c_row..];
        strip::<L, 1, VECTORS>(left.from(row), panel.rows(), to, c_row, width);
        row += 1;
    }
}

/// Adds `ROWS` rows of the left side times a panel to `width` columns of as many rows of `c`.
#[inline(always)]
fn strip<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    left: Left,
    panel: &[f32],
    c: &mut [f32],
    c_row: usize,
    width: usize,
) {
    debug_assert!(width <= VECTORS * L::N && VECTORS * L::N <= WIDTH, "lanes of the columns");
    assert!(left.data.len() >= (ROWS - 1) * left.row + left.depth, "the left");
    assert!(panel.len() >= left.depth * WIDTH, "the panel");
    assert!(c.len() >= (ROWS - 1) * c_row + width, "the product");
    if width == VECTORS * L::N {
        // SAFETY: checked above.
        unsafe { tile::<L, ROWS, VECTORS>(left, panel, c.as_mut_ptr(), c_row) }
        return;
    }
    let mut edge = [[0.0; WIDTH]; ROWS];
    for (row, edge) in edge.iter_mut().enumerate() {
        edge[..width].copy_from_slice(&c[row * c_row..][..width]);
    }
    // SAFETY: checked above, and the edge is whole.
    unsafe { tile::<L, ROWS, VECTORS>(left, panel, edge.as_mut_ptr().cast(), WIDTH) }
    for (row, edge) in edge.iter().enumerate() {
        c[row * c_row..][..width].copy_from_slice(&edge[..width]);
    }
}

/// # Safety
/// There are `ROWS` rows of `left.depth` elements on the left, `left.depth` rows of the panel, and
/// `ROWS` rows of `VECTORS` times the lanes at `c`.
#[inline(always)]
unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    left: Left,
    panel: &[f32],
    c: *mut f32,
    c_row: usize,
) {
    let (mut a, mut b) = (left.data.as_ptr(), panel.as_ptr());
    let readable = left.data.len() - (ROWS - 1) * left.row;
    // SAFETY: the caller's; the steps add up to the depth, and fours are read as far as there are
    // elements.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                sums[row][vector] = L::read(c.add(row * c_row + vector * L::N));
            }
        }
        // The depth is asked for after every step, though it seldom ends in between: a block of
        // four steps without a branch would have all of its loads first, and no registers left.
        let mut k = 0;
        'fours: while k + 4 <= readable {
            let mut fours = [L::read_four(a); ROWS];
            for row in 1..ROWS {
                fours[row] = L::read_four(a.add(row * left.row));
            }
            for nth in 0..4 {
                let mut splats = [L::splat_of(fours[0], nth); ROWS];
                for row in 1..ROWS {
                    splats[row] = L::splat_of(fours[row], nth);
                }
                step(&mut sums, splats, b.add(nth * WIDTH));
                k += 1;
                if k == left.depth {
                    break 'fours;
                }
            }
            (a, b) = (a.add(4), b.add(4 * WIDTH));
        }
        while k < left.depth {
            let mut splats = [L::splat(*a); ROWS];
            for row in 1..ROWS {
                splats[row] = L::splat(*a.add(row * left.row));
            }
            step(&mut sums, splats, b);
            k += 1;
            (a, b) = (a.add(1), b.add(WIDTH));
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                sums[row][vector].write(c.add(row * c_row + vector * L::N));
            }
        }
    }
}

/// Adds the products of one step of the depth: a column of the left, a line of the panel at `b`.
///
/// # Safety
/// The line can be read.
#[inline(always)]
unsafe fn step<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[L; VECTORS]; ROWS],
    splats: [L; ROWS],
    b: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        for vector in 0..VECTORS {
            let right = L::read(b.add(vector * L::N));
            for row in 0..ROWS {
                sums[row][vector] = sums[row][vector].add(splats[row].mul(right));
            }
        }
    }
}
