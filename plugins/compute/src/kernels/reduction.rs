//! Many elements to one, along an axis.
//!
//! `x` has the shape [outer, n, inner], row-major, and the result [outer, inner]: of a tensor the
//! axes before, the axis (or several side by side), and those after.

use core::ops::Range;

use super::parallel::{Shared, pieces};
use super::simd::{self, Kernel, Lanes};
use super::{Float, Parallel};

fn check(to: usize, x: usize, [outer, n, inner]: [usize; 3]) {
    assert_eq!(Some(x), outer.checked_mul(n).and_then(|x| x.checked_mul(inner)), "elements of x");
    assert_eq!(Some(to), outer.checked_mul(inner), "elements of the result");
}

/// Cuts the results by rows or, if there are few, by columns, and calls `f` with both.
fn each(
    [outer, n, inner]: [usize; 3],
    threads: &dyn Parallel,
    f: &(dyn Fn(Range<usize>, Range<usize>) + Sync),
) {
    let work = outer * n * inner;
    if threads.threads() == 1 || work < threads.work_min() / 8 {
        f(0..outer, 0..inner);
    } else if outer >= threads.threads() {
        let cut = pieces(outer, threads.threads(), 1);
        threads.run(cut.len(), &|part| f(cut.piece(part), 0..inner));
    } else {
        let cut = pieces(inner, threads.threads(), 16);
        threads.run(cut.len(), &|part| f(0..outer, cut.piece(part)));
    }
}

/// Columns that are reduced at a time.
const CHUNK: usize = 64;

/// Part of [`sum`].
pub struct Sums<'a, T> {
    to: Shared<T>,
    x: &'a [T],
    n: usize,
    inner: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl<T: Float> Kernel<T> for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (n, inner) = (self.n, self.inner);
        for row in self.rows.clone() {
            let x = &self.x[row * n * inner..][..n * inner];
            if inner == 1 {
                // SAFETY: rows are this part's.
                unsafe { *self.to.0.add(row) = interleaved(x, x, |x, _| x) }
                continue;
            }
            for first in self.columns.clone().step_by(CHUNK) {
                let width = CHUNK.min(self.columns.end - first);
                // SAFETY: rows and columns are this part's.
                let to = unsafe { self.to.slice(row * inner + first..row * inner + first + width) };
                match width {
                    0..=16 => columns::<T, 16>(to, x, inner, first),
                    17..=32 => columns::<T, 32>(to, x, inner, first),
                    _ => columns::<T, CHUNK>(to, x, inner, first),
                }
            }
        }
    }
}

/// Sums of at most `C` columns, from `first` on.
#[inline(always)]
fn columns<T: Float, const C: usize>(to: &mut [T], x: &[T], inner: usize, first: usize) {
    let mut sums = [[T::ZERO; C]; 8];
    for (nth, line) in x.chunks_exact(inner).enumerate() {
        add(&mut sums[nth % 8], &line[first..first + to.len()]);
    }
    to.copy_from_slice(&halves(&mut sums)[..to.len()]);
}

/// Adds a line to sums.
#[inline(always)]
fn add<T: Float, const C: usize>(sums: &mut [T; C], line: &[T]) {
    if let Ok(line) = <&[T; C]>::try_from(line) {
        for nth in 0..C {
            sums[nth] = sums[nth] + line[nth];
        }
        return;
    }
    for (sum, x) in sums.iter_mut().zip(line) {
        *sum = *sum + *x;
    }
}

/// Adds eight lines of sums in halves.
#[inline(always)]
fn halves<T: Float, const C: usize>(sums: &mut [[T; C]; 8]) -> [T; C] {
    for half in [4, 2, 1] {
        let (low, high) = sums.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            for nth in 0..C {
                low[nth] = low[nth] + high[nth];
            }
        }
    }
    sums[0]
}

/// Eight sums side by side.
#[inline(always)]
fn interleaved<T: Float>(x: &[T], y: &[T], term: impl Fn(T, T) -> T) -> T {
    let mut sums = [T::ZERO; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest = xs.remainder().iter().zip(ys.remainder());
    for (xs, ys) in xs.zip(ys) {
        for nth in 0..8 {
            sums[nth] = sums[nth] + term(xs[nth], ys[nth]);
        }
    }
    for (sum, (x, y)) in sums.iter_mut().zip(rest) {
        *sum = *sum + term(*x, *y);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let [a, b, c, d] = [a + e, b + f, c + g, d + h];
    let [a, b] = [a + c, b + d];
    a + b
}

/// Writes sums over the middle axis: element i in sum i mod 8, then the eight added in halves.
///
/// # Panics
/// If the shapes do not fit.
pub fn sum<T: Float>(to: &mut [T], x: &[T], shape: [usize; 3], threads: &dyn Parallel) {
    check(to.len(), x.len(), shape);
    if to.is_empty() || x.is_empty() {
        to.fill(T::ZERO);
        return;
    }
    let (level, to, [_, n, inner]) = (simd::level(), Shared(to.as_mut_ptr()), shape);
    each(shape, threads, &|rows, columns| {
        T::sum(level, Sums { to, x, n, inner, rows, columns });
    });
}

/// The sum of `x · y`, each product rounded, as [`sum`].
///
/// # Panics
/// If the slices have different lengths.
#[must_use]
pub fn dot<T: Float>(x: &[T], y: &[T]) -> T {
    assert_eq!(x.len(), y.len(), "elements of both sides");
    interleaved(x, y, |x, y| x * y)
}

/// Which of several elements is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The first of the largest.
    Largest,
    /// The first of the smallest.
    Smallest,
}

/// Writes the largest or smallest element over the middle axis to `to`, and where on that axis it
/// is to `places`.
///
/// # Panics
/// If the shapes do not fit, or the axis has no elements or more than a u32 counts.
pub fn extreme<T: Float>(
    which: Extreme,
    to: &mut [T],
    places: &mut [u32],
    x: &[T],
    [outer, n, inner]: [usize; 3],
    threads: &dyn Parallel,
) {
    check(to.len(), x.len(), [outer, n, inner]);
    assert_eq!(to.len(), places.len(), "a place for each result");
    assert!(n > 0 && u32::try_from(n).is_ok(), "an axis of elements that a u32 counts");
    let (level, is_largest) = (simd::level(), which == Extreme::Largest);
    let (to, places) = (Shared(to.as_mut_ptr()), Shared(places.as_mut_ptr()));
    each([outer, n, inner], threads, &|rows, columns| {
        T::extreme(level, Extremes { is_largest, to, places, x, n, inner, rows, columns });
    });
}

/// Part of [`extreme`].
pub struct Extremes<'a, T> {
    is_largest: bool,
    to: Shared<T>,
    places: Shared<u32>,
    x: &'a [T],
    n: usize,
    inner: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl<T: Float> Kernel<T> for Extremes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (n, inner) = (self.n, self.inner);
        for row in self.rows.clone() {
            let x = &self.x[row * n * inner..][..n * inner];
            if inner == 1 {
                let best = best(x, self.is_largest);
                // SAFETY: rows are this part's.
                unsafe { (*self.to.0.add(row), *self.places.0.add(row)) = best }
                continue;
            }
            for first in self.columns.clone().step_by(CHUNK) {
                let width = CHUNK.min(self.columns.end - first);
                let range = row * inner + first..row * inner + first + width;
                // SAFETY: rows and columns are this part's.
                let (to, places) =
                    unsafe { (self.to.slice(range.clone()), self.places.slice(range)) };
                to.copy_from_slice(&x[first..first + width]);
                places.fill(0);
                for (nth, line) in x.chunks_exact(inner).enumerate().skip(1) {
                    better(to, places, &line[first..first + width], nth as u32, self.is_largest);
                }
            }
        }
    }
}

/// The first of the largest (or smallest), and where it is.
#[inline(always)]
fn best<T: Float>(x: &[T], is_largest: bool) -> (T, u32) {
    let mut best = (x[0], 0);
    for (nth, x) in x.iter().enumerate().skip(1) {
        let is_better = if is_largest { *x > best.0 } else { *x < best.0 };
        best = if is_better { (*x, nth as u32) } else { best };
    }
    best
}

/// Takes elements of a line where they are larger (or smaller).
#[inline(always)]
fn better<T: Float>(to: &mut [T], places: &mut [u32], line: &[T], nth: u32, is_largest: bool) {
    let (places, line) = (&mut places[..to.len()], &line[..to.len()]);
    for at in 0..to.len() {
        let (best, x) = (to[at], line[at]);
        let is_better = if is_largest { x > best } else { x < best };
        to[at] = if is_better { x } else { best };
        places[at] = if is_better { nth } else { places[at] };
    }
}
