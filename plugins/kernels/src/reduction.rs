//! Many elements to one.

use crate::lanes::{self, Kernel, Lanes};

/// Sums that run side by side: element i goes to sum i mod 8, in ascending order; at the end sum
/// i + 4 is added to sum i, then i + 2 to i, then 1 to 0.
const SUMS: usize = 8;

/// The sum of all elements, in eight interleaved sums.
#[must_use]
pub fn sum(x: &[f32]) -> f32 {
    interleaved(x, x, |x, _| x)
}

/// The sum of the products of `x` and `y`, in eight interleaved sums.
///
/// # Panics
/// If the slices have different lengths.
#[must_use]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    interleaved(x, y, |x, y| x * y)
}

/// The sum of `(x - mean)²`, in eight interleaved sums.
#[must_use]
pub fn sum_of_squares_from(mean: f32, x: &[f32]) -> f32 {
    interleaved(x, x, |x, _| (x - mean) * (x - mean))
}

#[inline(always)]
fn interleaved<F: Fn(f32, f32) -> f32>(x: &[f32], y: &[f32], term: F) -> f32 {
    assert_eq!(x.len(), y.len(), "elements of both sides");
    lanes::run(Interleaved { x, y, term })
}

struct Interleaved<'a, F> {
    x: &'a [f32],
    y: &'a [f32],
    term: F,
}

impl<F: Fn(f32, f32) -> f32> Kernel for Interleaved<'_, F> {
    type Output = f32;

    #[inline(always)]
    fn on<L: Lanes>(self) -> f32 {
        let mut sums = [0.0; SUMS];
        let (xs, ys) = (self.x.chunks_exact(SUMS), self.y.chunks_exact(SUMS));
        let rest = xs.remainder().iter().zip(ys.remainder());
        for (xs, ys) in xs.zip(ys) {
            for nth in 0..SUMS {
                sums[nth] += (self.term)(xs[nth], ys[nth]);
            }
        }
        for (sum, (x, y)) in sums.iter_mut().zip(rest) {
            *sum += (self.term)(*x, *y);
        }
        let [a, b, c, d, e, f, g, h] = sums;
        let [a, b, c, d] = [a + e, b + f, c + g, d + h];
        let [a, b] = [a + c, b + d];
        a + b
    }
}

/// The largest element; minus infinity of none. NaN is passed over.
#[must_use]
pub fn max(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |max, x| if *x > max { *x } else { max })
}

/// Adds each row of `x` [rows, n] to `to` [n], the first row first.
///
/// # Panics
/// If `x` does not consist of such rows.
pub fn add_rows(to: &mut [f32], x: &[f32]) {
    assert!(!to.is_empty() && x.len().is_multiple_of(to.len()), "rows of {}", to.len());
    struct Rows<'a>(&'a mut [f32], &'a [f32]);
    impl Kernel for Rows<'_> {
        type Output = ();
        #[inline(always)]
        fn on<L: Lanes>(self) {
            for line in self.1.chunks_exact(self.0.len()) {
                for (sum, element) in self.0.iter_mut().zip(line) {
                    *sum += element;
                }
            }
        }
    }
    lanes::run(Rows(to, x));
}
