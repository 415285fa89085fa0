//! The product of two matrices.

use core::ops::Range;

use super::panel::{Panel, lay_out};
use super::parallel::{Shared, pieces};
use super::simd::{self, Kernel, Lanes};
use super::tile::{Begin, Left, To, tile};
use super::{BLOCK, Float, Matrix, Parallel};

/// What sums start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a, T> {
    /// +0.
    Zero,
    /// A number for each column: the bias of a linear layer.
    PerColumn(&'a [T]),
    /// A number for each row; of convolutions, for each filter or channel.
    PerRow(&'a [T]),
    /// What is there.
    There,
}

/// Writes `start + a b` to `c`: `a` [m, k], `b` [k, n], `c` [m, n] with rows `stride` apart.
/// What lies between rows of `c` stays.
///
/// # Panics
/// If the shapes do not fit.
pub fn product<T: Float>(
    c: &mut [T],
    stride: usize,
    start: Start<T>,
    a: Matrix<T>,
    b: Matrix<T>,
    threads: &dyn Parallel,
) {
    let (m, n) = (a.rows(), b.columns());
    check(c.len(), stride, start, [m, a.columns(), b.rows(), n]);
    if m == 0 || n == 0 {
        return;
    }
    let level = simd::level();
    let to = Shared(c.as_mut_ptr());
    let work = m.saturating_mul(n).saturating_mul(a.columns());
    if threads.threads() == 1 || work < threads.work_min() {
        T::product(level, Product { to, stride, start, a, b, rows: 0..m, columns: 0..n });
        return;
    }
    // The longer side is cut; of weights' gradients and products with weights it is the same one.
    let (is_rows, most) = (m > n, m.max(n));
    let cut = pieces(most, threads.threads(), if is_rows { 8 } else { 16 });
    threads.run(cut.len(), &|part| {
        let piece = cut.piece(part);
        let (rows, columns) = if is_rows { (piece, 0..n) } else { (0..m, piece) };
        T::product(level, Product { to, stride, start, a, b, rows, columns });
    });
}

fn check<T>(len: usize, stride: usize, start: Start<T>, [m, k, b_rows, n]: [usize; 4]) {
    assert_eq!(k, b_rows, "columns on the left, rows on the right");
    assert!(stride >= n || m <= 1, "rows of {n}, {stride} apart");
    let needed = match m.checked_sub(1) {
        Some(before) => before.checked_mul(stride).and_then(|len| len.checked_add(n)),
        None => Some(0),
    };
    assert!(needed.is_some_and(|needed| needed <= len), "elements of the product");
    match start {
        Start::PerColumn(bias) => assert_eq!(bias.len(), n, "a bias for each column"),
        Start::PerRow(bias) => assert_eq!(bias.len(), m, "a bias for each row"),
        Start::Zero | Start::There => {}
    }
}

/// Some rows and columns of a product; all is checked.
pub struct Product<'a, T> {
    to: Shared<T>,
    stride: usize,
    start: Start<'a, T>,
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Rows whose blocks of the left side stay in a second-level cache: 0.5 MiB of float32.
const ROWS_MAX: usize = 504;

impl<T: Float> Kernel<T> for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let depth = self.a.columns();
        if depth == 0 {
            self.start_alone();
            return;
        }
        let mut panel = Panel::new();
        for first in (0..depth).step_by(BLOCK) {
            let steps = first..depth.min(first + BLOCK);
            for row in self.rows.clone().step_by(ROWS_MAX) {
                let rows = row..self.rows.end.min(row + ROWS_MAX);
                self.block::<L>(&mut panel, rows, steps.clone());
            }
        }
    }
}

impl<T: Float> Product<'_, T> {
    /// All panels of some rows, one block of the depth.
    #[inline(always)]
    fn block<L: Lanes<T = T>>(&self, panel: &mut Panel, rows: Range<usize>, steps: Range<usize>) {
        let most = vectors::<L>(rows.len(), self.columns.len().div_ceil(L::N), 4);
        let mut column = self.columns.start;
        while column < self.columns.end {
            let left = self.columns.end - column;
            let v = left.div_ceil(L::N).min(most);
            let columns = column..column + left.min(v * L::N);
            column = columns.end;
            // SAFETY: a panel holds a block of lines of four vectors.
            unsafe {
                lay_out::<L>(self.b, panel.at(), v * L::N, steps.clone(), columns.clone());
            }
            let at = panel.at::<T>();
            match v {
                1 => self.panel::<L, 1>(at, rows.clone(), columns, steps.clone()),
                2 => self.panel::<L, 2>(at, rows.clone(), columns, steps.clone()),
                3 if const { L::ROWS[2] > 0 } => {
                    self.panel::<L, 3>(at, rows.clone(), columns, steps.clone());
                }
                _ if const { L::ROWS[3] > 0 } => {
                    self.panel::<L, 4>(at, rows.clone(), columns, steps.clone());
                }
                _ => unreachable!("panels have at most as many vectors as tiles"),
            }
        }
    }

    /// All rows of a panel, in strips that share them evenly.
    #[inline(always)]
    fn panel<L: Lanes<T = T>, const V: usize>(
        &self,
        panel: *const T,
        rows: Range<usize>,
        columns: Range<usize>,
        steps: Range<usize>,
    ) {
        let strips = rows.len().div_ceil(L::ROWS[V - 1]);
        let (each, more) = (rows.len() / strips, rows.len() % strips);
        let (down, across) = self.a.strides();
        let mut row = rows.start;
        for strip in 0..strips {
            let n = each + usize::from(strip < more);
            let begin = if steps.start > 0 {
                Begin::Next
            } else {
                match self.start {
                    Start::Zero => Begin::Zero,
                    Start::PerColumn(bias) => Begin::PerColumn(bias[columns.start..].as_ptr()),
                    Start::PerRow(bias) => Begin::PerRow(bias[row..].as_ptr()),
                    Start::There => Begin::There,
                }
            };
            let at = self.a.data()[row * down + steps.start * across..].as_ptr();
            let left = Left { at, row: down, step: across };
            let part = columns.len() - (V - 1) * L::N;
            // SAFETY: shapes are checked, and rows and columns within them.
            unsafe {
                let at = self.to.0.add(row * self.stride + columns.start);
                let to = To { at, row: self.stride, part };
                by_rows!(L, V, n, tile(left, panel, steps.len(), begin, to));
            }
            row += n;
        }
    }

    /// What is left of a product over nothing.
    #[inline(always)]
    fn start_alone(&self) {
        for row in self.rows.clone() {
            for column in self.columns.clone() {
                let value = match self.start {
                    Start::Zero => T::ZERO,
                    Start::PerColumn(bias) => bias[column],
                    Start::PerRow(bias) => bias[row],
                    Start::There => continue,
                };
                // SAFETY: shapes are checked, and rows and columns within them.
                unsafe { *self.to.0.add(row * self.stride + column) = value }
            }
        }
    }
}

/// How many vectors a panel of a product of `rows` and `all` vectors has: the cheapest, by half
/// cycles of a machine that fuses and loads two vectors a cycle and waits four cycles for a sum.
#[inline(never)]
pub(crate) fn vectors<L: Lanes>(rows: usize, all: usize, most: usize) -> usize {
    if all <= 1 {
        return 1;
    }
    let mut best = (usize::MAX, 1);
    // Of panels with so many vectors; of none nothing.
    let mut costs = [0; 5];
    for v in 1..=most.min(all).min(4) {
        let strip = L::ROWS[v - 1];
        if strip == 0 {
            break;
        }
        let strips = rows.div_ceil(strip);
        let (each, more) = (rows / strips, rows % strips);
        let step = |r: usize| (r * v).max(r + v).max(8);
        costs[v] = more * step(each + 1) + (strips - more) * step(each);
        let total = all / v * costs[v] + costs[all % v];
        if total <= best.0 {
            best = (total, v);
        }
    }
    best.1
}

/// Calls `$tile::<L, n, V>` with `$n` as a constant.
macro_rules! by_rows {
    ($lanes:ident, $vectors:ident, $n:expr, $tile:ident($($argument:expr),*)) => {
        $crate::kernels::product::by_rows!(
            @ $lanes, $vectors, $n, $tile($($argument),*), 1 2 3 4 5 6 7 8
        )
    };
    (@ $lanes:ident, $vectors:ident, $n:expr, $tile:ident $arguments:tt, $($rows:literal)*) => {
        match $n {
            $($rows if const { $rows <= $lanes::ROWS[$vectors - 1] } => {
                $crate::kernels::product::by_rows!(@call $lanes, $rows, $vectors, $tile $arguments)
            })*
            _ => unreachable!("strips have at most as many rows as tiles"),
        }
    };
    (@call $lanes:ident, $rows:literal, $vectors:ident, $tile:ident($($argument:expr),*)) => {
        $tile::<$lanes, $rows, $vectors>($($argument),*)
    };
}

/// Calls `$tile::<L, n, v>` with `$n` and `$v`, at most 2, as constants.
macro_rules! by_vectors {
    ($lanes:ident, $v:expr, $n:expr, $tile:ident $arguments:tt) => {
        match $v {
            1 => {
                const V: usize = 1;
                $crate::kernels::product::by_rows!($lanes, V, $n, $tile $arguments)
            }
            2 => {
                const V: usize = 2;
                $crate::kernels::product::by_rows!($lanes, V, $n, $tile $arguments)
            }
            _ => unreachable!("tiles have no more vectors"),
        }
    };
}

pub(crate) use {by_rows, by_vectors};
