//! The inner loop of products: a tile of rows and vectors that stays in registers.

#![allow(clippy::needless_range_loop, reason = "rows and vectors of a tile are numbers")]

use super::simd::Lanes;

/// What the sums of a tile start from, and where their results go.
#[derive(Clone, Copy)]
pub(crate) enum Begin<T> {
    /// From +0; results are written.
    Zero,
    /// From a number for each column; results are written.
    PerColumn(*const T),
    /// From a number for each row; results are written.
    PerRow(*const T),
    /// From what is there; results are written.
    There,
    /// From +0; results are added to what is there: another block than the first.
    Next,
}

/// Rows of the left side.
#[derive(Clone, Copy)]
pub(crate) struct Left<T> {
    /// The first element.
    pub(crate) at: *const T,
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one step of the depth to the next.
    pub(crate) step: usize,
}

/// A rectangle of the result.
#[derive(Clone, Copy)]
pub(crate) struct To<T> {
    pub(crate) at: *mut T,
    /// From one row to the next.
    pub(crate) row: usize,
    /// Elements of the last vector of a row.
    pub(crate) part: usize,
}

/// Computes `R` rows times `V` vectors of a panel, `depth` steps.
///
/// # Safety
/// There are as many rows and steps on the left, lines of `V` vectors in the panel, and rows of
/// the result (and of what they begin from), each of `V` vectors, the last one of `to.part`
/// elements, 1 to all.
#[inline(always)]
pub(crate) unsafe fn tile<L: Lanes, const R: usize, const V: usize>(
    left: Left<L::T>,
    panel: *const L::T,
    depth: usize,
    begin: Begin<L::T>,
    to: To<L::T>,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = begun::<L, R, V>(begin, to);
        let (mut a, mut b) = (left.at, panel);
        for _ in 0..depth {
            let mut right = [L::splat(L::T::default()); V];
            for vector in 0..V {
                right[vector] = L::load(b.add(vector * L::N));
            }
            for nth in 0..R {
                let factor = L::splat(*a.add(nth * left.row));
                for vector in 0..V {
                    sums[nth][vector] = factor.fused(right[vector], sums[nth][vector]);
                }
            }
            (a, b) = (a.wrapping_add(left.step), b.add(V * L::N));
        }
        let is_added = matches!(begin, Begin::Next);
        if to.part == L::N {
            for nth in 0..R {
                for vector in 0..V {
                    let at = to.at.add(nth * to.row + vector * L::N);
                    let sum = sums[nth][vector];
                    let sum = if is_added { L::load(at).add(sum) } else { sum };
                    sum.store(at);
                }
            }
            return;
        }
        for nth in 0..R {
            for vector in 0..V {
                let at = to.at.add(nth * to.row + vector * L::N);
                let part = if vector + 1 == V { to.part } else { L::N };
                let sum = sums[nth][vector];
                let sum = if is_added { L::load_part(at, part).add(sum) } else { sum };
                sum.store_part(at, part);
            }
        }
    }
}

/// What the sums of a tile start from.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn begun<L: Lanes, const R: usize, const V: usize>(
    begin: Begin<L::T>,
    to: To<L::T>,
) -> [[L; V]; R] {
    let mut sums = [[L::splat(L::T::default()); V]; R];
    for nth in 0..R {
        for vector in 0..V {
            let part = if vector + 1 == V { to.part } else { L::N };
            // SAFETY: the caller's.
            unsafe {
                match begin {
                    Begin::Zero | Begin::Next => {}
                    Begin::PerColumn(bias) => {
                        sums[nth][vector] = L::load_part(bias.add(vector * L::N), part);
                    }
                    Begin::PerRow(bias) => sums[nth][vector] = L::splat(*bias.add(nth)),
                    Begin::There => {
                        let at = to.at.add(nth * to.row + vector * L::N);
                        sums[nth][vector] = L::load_part(at, part);
                    }
                }
            }
        }
    }
    sums
}
