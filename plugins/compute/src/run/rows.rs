//! Softmax and normalisation of rows that lie side by side, a row at a time while it is in the
//! cache, on the lanes that the machine has. Normalisation has the bits of [`norm`](super::norm)'s
//! way over whole tensors: both sum as the kernels do.
#![allow(clippy::needless_range_loop, reason = "rows and lanes are numbers")]

use super::functions::larger;
use super::numbers::Functions;
use crate::kernels::Parallel;
use crate::kernels::parallel::each_rows;
use crate::kernels::simd::{self, Kernel, Lanes};

/// Sums that run side by side, as the kernels' sum has them.
const SUMS: usize = 8;

#[inline(always)]
fn joined<T: Functions>(x: [T; SUMS], f: impl Fn(T, T) -> T) -> T {
    let [a, b, c, d, e, g, h, i] = x;
    let [a, b, c, d] = [f(a, e), f(b, g), f(c, h), f(d, i)];
    f(f(a, c), f(b, d))
}

/// Terms of two rows, each at its place: element i in sum i mod 8.
#[inline(always)]
fn sum<T: Functions>(x: &[T], y: &[T], term: impl Fn(T, T) -> T) -> T {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<SUMS>(), y.as_chunks::<SUMS>());
    let mut sums = [T::ZERO; SUMS];
    for (x, y) in xs.iter().zip(ys) {
        for nth in 0..SUMS {
            sums[nth] = sums[nth] + term(x[nth], y[nth]);
        }
    }
    for (sum, (x, y)) in sums.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *sum = *sum + term(*x, *y);
    }
    joined(sums, |a, b| a + b)
}

/// The largest, NaN if there is one.
#[inline(always)]
fn largest<T: Functions>(x: &[T]) -> T {
    let (xs, rest) = x.as_chunks::<SUMS>();
    let mut most = [-T::INFINITY; SUMS];
    for x in xs {
        for nth in 0..SUMS {
            most[nth] = larger(most[nth], x[nth]);
        }
    }
    for (most, x) in most.iter_mut().zip(rest) {
        *most = larger(*most, *x);
    }
    joined(most, larger)
}

/// What is done to each row.
#[derive(Clone, Copy)]
pub(super) enum Row<T> {
    /// `x - largest`, of which softmax takes exponentials.
    Shift,
    /// The gradient through softmax: of `g` and the output.
    SoftmaxGradient,
    /// Mean 0, variance 1 but for this number.
    Normalise(T),
    /// The gradient through that: of `g` and the input.
    NormaliseGradient(T),
}

/// Rows of fewer elements are no work for lanes along them.
const SHORT: usize = 32;

struct Rows<'a, T> {
    row: Row<T>,
    to: &'a mut [T],
    x: &'a [T],
    y: &'a [T],
    n: usize,
}

/// Writes rows of `n` elements, 1 at least, from rows of `x`, and of `y` for a gradient.
pub(super) fn rows<T: Functions>(
    row: Row<T>,
    to: &mut [T],
    x: &[T],
    y: &[T],
    n: usize,
    threads: &dyn Parallel,
) {
    let level = simd::level();
    each_rows(to, n, 16 * x.len(), threads, &|rows, to| {
        let all = rows.start * n..rows.end * n;
        simd::run_at(level, Rows { row, to, x: &x[all.clone()], y: &y[all], n });
    });
}

/// Divides each row by its sum.
pub(super) fn share<T: Functions>(x: &mut [T], n: usize, threads: &dyn Parallel) {
    let (level, work) = (simd::level(), 16 * x.len());
    each_rows(x, n, work, threads, &|_, x| simd::run_at(level, Share { x, n }));
}

/// Rows that are reduced side by side, so that operations do not wait for each other.
const TOGETHER: usize = 8;

/// Writes the sum of each row of `n` elements, ascending from +0.
pub(super) fn ascending<T: Functions>(to: &mut [T], x: &[T], n: usize) {
    simd::run_at(simd::level(), Ascending { to, x, n });
}

struct Ascending<'a, T> {
    to: &'a mut [T],
    x: &'a [T],
    n: usize,
}

impl<T: Functions> Kernel<T> for Ascending<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        for (to, x) in self.to.chunks_mut(TOGETHER).zip(self.x.chunks(TOGETHER * self.n)) {
            to.copy_from_slice(&folded(x, self.n, T::ZERO, |sum, x| sum + x)[..to.len()]);
        }
    }
}

/// Each of at most [`TOGETHER`] rows, ascending.
#[inline(always)]
fn folded<T: Functions>(x: &[T], n: usize, start: T, f: impl Fn(T, T) -> T) -> [T; TOGETHER] {
    let mut all = [start; TOGETHER];
    if x.len() == TOGETHER * n {
        for nth in 0..n {
            for row in 0..TOGETHER {
                all[row] = f(all[row], x[row * n + nth]);
            }
        }
        return all;
    }
    for (one, x) in all.iter_mut().zip(x.chunks_exact(n)) {
        for x in x {
            *one = f(*one, *x);
        }
    }
    all
}

/// Multiplies each row of `n` elements by its factor.
pub(super) fn scale<T: Functions>(x: &mut [T], factors: &[T], n: usize) {
    simd::run_at(simd::level(), Scale { x, factors, n });
}

struct Scale<'a, T> {
    x: &'a mut [T],
    factors: &'a [T],
    n: usize,
}

impl<T: Functions> Kernel<T> for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        for (row, factor) in self.x.chunks_exact_mut(self.n).zip(self.factors) {
            row.iter_mut().for_each(|x| *x = *x * *factor);
        }
    }
}

struct Share<'a, T> {
    x: &'a mut [T],
    n: usize,
}

impl<T: Functions> Kernel<T> for Share<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        for row in self.x.chunks_exact_mut(self.n) {
            let sum = sum(row, row, |x, _| x);
            row.iter_mut().for_each(|x| *x = *x / sum);
        }
    }
}

/// Mean and `1 / √(variance + epsilon)`.
#[inline(always)]
fn moments<T: Functions>(x: &[T], epsilon: T) -> (T, T) {
    let n = T::from_f64(x.len() as f64);
    let mean = sum(x, x, |x, _| x) / n;
    let square = |x: T, _: T| (x - mean) * (x - mean);
    let variance = sum(x, x, square) / n;
    (mean, T::ONE / (variance + epsilon).root())
}

impl<T: Functions> Kernel<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let Self { row, to, x, y, n } = self;
        if let (Row::Shift, true) = (row, n < SHORT) {
            let groups = to.chunks_mut(TOGETHER * n).zip(x.chunks(TOGETHER * n));
            for (to, x) in groups {
                let largest = folded(x, n, -T::INFINITY, larger);
                let rows = to.chunks_exact_mut(n).zip(x.chunks_exact(n)).zip(largest);
                for ((to, x), largest) in rows {
                    to.iter_mut().zip(x).for_each(|(to, x)| *to = *x - largest);
                }
            }
            return;
        }
        let all = to.chunks_exact_mut(n).zip(x.chunks_exact(n).zip(y.chunks_exact(n)));
        for (to, (x, y)) in all {
            let to = to.iter_mut().zip(x.iter().zip(y));
            match row {
                Row::Shift => {
                    let largest = largest(x);
                    to.for_each(|(to, (x, _))| *to = *x - largest);
                }
                Row::SoftmaxGradient => {
                    let sum = sum(x, y, |g, y| g * y);
                    to.for_each(|(to, (g, y))| *to = *y * (*g - sum));
                }
                Row::Normalise(epsilon) => {
                    let (mean, scale) = moments(x, epsilon);
                    to.for_each(|(to, (x, _))| *to = (*x - mean) * scale);
                }
                Row::NormaliseGradient(epsilon) => {
                    let (mean, scale) = moments(y, epsilon);
                    let count = T::from_f64(n as f64);
                    let along = sum(x, y, |g, x| g * ((x - mean) * scale)) / count;
                    let mean_gradient = sum(x, x, |g, _| g) / count;
                    to.for_each(|(to, (g, x))| {
                        let y = (*x - mean) * scale;
                        *to = scale * ((*g - mean_gradient) - y * along);
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::{OneThread, reduction};

    #[test]
    fn sums_and_bits_are_those_of_the_kernels() {
        for n in [1, 5, 8, 31, 32, 64, 200] {
            let x: Vec<f32> = (0..n * 11).map(|nth| (nth * 37 % 101) as f32 * 0.37 - 9.0).collect();
            let mut expected = vec![0.0; 11];
            reduction::sum(&mut expected, &x, [11, n, 1], &OneThread);
            let got: Vec<f32> = x.chunks_exact(n).map(|x| sum(x, x, |x, _| x)).collect();
            assert_eq!(got, expected);
            let all = [
                Row::Shift,
                Row::SoftmaxGradient,
                Row::Normalise(1e-5),
                Row::NormaliseGradient(1e-5),
            ];
            for row in all {
                let by = |level: simd::Level| {
                    let most = simd::limit(level);
                    let mut to = vec![0.0; x.len()];
                    rows(row, &mut to, &x, &x, n, &OneThread);
                    simd::limit(most.max(simd::Level::Avx512));
                    to.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                let expected = by(simd::Level::Plain);
                assert_eq!(by(simd::Level::Avx2), expected);
                assert_eq!(by(simd::Level::Avx512), expected);
            }
        }
        assert!(largest(&[1.0, f32::NAN, 2.0]).is_nan());
    }
}
