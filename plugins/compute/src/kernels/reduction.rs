//! Many elements to one, along an axis.
//!
//! `x` has the shape [outer, n, inner], row-major, and the result [outer, inner]: of a tensor the
//! axes before, the axis (or several side by side), and those after.

use super::{Float, Parallel, reference};

fn check(to: usize, x: usize, [outer, n, inner]: [usize; 3]) {
    assert_eq!(Some(x), outer.checked_mul(n).and_then(|x| x.checked_mul(inner)), "elements of x");
    assert_eq!(Some(to), outer.checked_mul(inner), "elements of the result");
}

/// Writes sums over the middle axis: element i in sum i mod 8, then the eight added in halves.
///
/// # Panics
/// If the shapes do not fit.
pub fn sum<T: Float>(to: &mut [T], x: &[T], shape: [usize; 3], threads: &dyn Parallel) {
    check(to.len(), x.len(), shape);
    let _ = threads;
    reference::sum(to, x, shape);
}

/// The sum of `x · y`, each product rounded, as [`sum`].
///
/// # Panics
/// If the slices have different lengths.
#[must_use]
pub fn dot<T: Float>(x: &[T], y: &[T]) -> T {
    assert_eq!(x.len(), y.len(), "elements of both sides");
    reference::interleaved(x.len(), |nth| x[nth] * y[nth])
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
    let _ = threads;
    for (nth, (to, place)) in to.iter_mut().zip(places).enumerate() {
        let (row, column) = (nth / inner, nth % inner);
        let at = |nth: usize| x[(row * n + nth) * inner + column];
        let best = match which {
            Extreme::Largest => reference::largest(n, at),
            Extreme::Smallest => reference::largest(n, |nth| -at(nth)).map(|(x, nth)| (-x, nth)),
        };
        let (value, index) = best.expect("an element");
        (*to, *place) = (value, index as u32);
    }
}
