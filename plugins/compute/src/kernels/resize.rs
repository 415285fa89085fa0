//! Up- and down-sampling of images in one to three dimensions, and its gradients.
//!
//! Planes as in [`pooling`](super::pooling). Gradients are written, not added.

use super::pooling::each_plane;
use super::window::{Axes, position, volume};
use super::{Float, Parallel};

/// Which element of the source a new one is, along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The nearest before: `⌊i · from / to⌋`.
    Nearest,
    /// Between two neighbours, in proportion; elements are areas, `(i + ½) · from / to - ½`, and 0
    /// at least (`align_corners=False`).
    Linear,
    /// Between two neighbours; elements are points and the first and last ones stay,
    /// `i · (from - 1) / (to - 1)` (`align_corners=True`).
    LinearCorners,
}

/// The nearest element before, along each axis.
fn nearest(from: Axes, to: Axes, nth: usize) -> usize {
    let at = position(to, nth);
    let [depth, line, column] = [0, 1, 2].map(|axis| at[axis] * from[axis] / to[axis]);
    (depth * from[1] + line) * from[2] + column
}

/// Along an axis: the element before, the one after, and the share of the second one.
fn source<T: Float>(sampling: Sampling, from: usize, to: usize, nth: usize) -> (usize, usize, T) {
    // Exact as long as products fit 64 bits; then one quotient, rounded in float64.
    let (whole, rest, by) = match sampling {
        Sampling::Nearest => (nth * from / to, 0, 1),
        Sampling::Linear => {
            let doubled = ((2 * nth + 1) * from).saturating_sub(to);
            (doubled / (2 * to), doubled % (2 * to), 2 * to)
        }
        Sampling::LinearCorners if to == 1 => (0, 0, 1),
        Sampling::LinearCorners => {
            let scaled = nth * (from - 1);
            (scaled / (to - 1), scaled % (to - 1), to - 1)
        }
    };
    let after = (whole + 1).min(from - 1);
    (whole, after, T::from_f64(rest as f64 / by as f64))
}

/// Asserts that the slices fit.
fn check(to: Axes, from: Axes, to_len: usize, from_len: usize) {
    assert!(volume(from) > 0 && volume(to) > 0, "planes that are not empty");
    let n_planes = from_len / volume(from);
    assert_eq!(from_len, n_planes * volume(from), "elements of whole planes");
    assert_eq!(to_len, n_planes * volume(to), "elements of as many new planes");
}

/// The corners that a new element lies between, ascending, each with its share: the product of
/// those along depth, lines and columns, `(depth · line) · column`.
fn corners<T: Float>(sampling: Sampling, from: Axes, to: Axes, nth: usize) -> [(usize, T); 8] {
    let at = position(to, nth);
    let along = [0, 1, 2].map(|axis| source::<T>(sampling, from[axis], to[axis], at[axis]));
    let pick = |axis: usize, second: bool| {
        let (before, after, share) = along[axis];
        if second { (after, share) } else { (before, T::ONE - share) }
    };
    [0, 1, 2, 3, 4, 5, 6, 7].map(|corner| {
        let [(depth, a), (line, b), (column, c)] =
            [pick(0, corner & 4 != 0), pick(1, corner & 2 != 0), pick(2, corner & 1 != 0)];
        ((depth * from[1] + line) * from[2] + column, a * b * c)
    })
}

/// Writes planes of size `to` from planes of size `from`: the nearest element, or the sum of the
/// eight corners' elements times their shares, from +0, ascending; a corner whose share is 0 is
/// left out.
///
/// # Panics
/// If the slices do not hold whole planes, as many on both sides.
pub fn resize<T: Float>(
    output: &mut [T],
    to: Axes,
    from: Axes,
    sampling: Sampling,
    input: &[T],
    threads: &dyn Parallel,
) {
    check(to, from, output.len(), input.len());
    let output_len = output.len();
    each_plane(output, volume(to), 8 * output_len, threads, &|plane, output| {
        let input = &input[plane * volume(from)..][..volume(from)];
        for (nth, output) in output.iter_mut().enumerate() {
            if sampling == Sampling::Nearest {
                *output = input[nearest(from, to, nth)];
                continue;
            }
            let corners = corners(sampling, from, to, nth);
            let used = corners.iter().filter(|corner| corner.1 != T::ZERO);
            *output = used.fold(T::ZERO, |sum, (element, share)| sum + input[*element] * *share);
        }
    });
}

/// Writes the gradient through [`resize`] to planes of size `from`: +0, and, outputs ascending and
/// corners ascending, the output's gradient times the share added.
///
/// # Panics
/// As [`resize`].
pub fn resize_gradient<T: Float>(
    gradient: &mut [T],
    to: Axes,
    from: Axes,
    sampling: Sampling,
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    check(to, from, output_gradient.len(), gradient.len());
    let work = 8 * output_gradient.len();
    each_plane(gradient, volume(from), work, threads, &|plane, gradient| {
        gradient.fill(T::ZERO);
        let output = &output_gradient[plane * volume(to)..][..volume(to)];
        for (nth, output) in output.iter().enumerate() {
            if sampling == Sampling::Nearest {
                let to = &mut gradient[nearest(from, to, nth)];
                *to = *to + *output;
                continue;
            }
            let corners = corners::<T>(sampling, from, to, nth);
            for (element, share) in corners.iter().filter(|corner| corner.1 != T::ZERO) {
                gradient[*element] = gradient[*element] + *output * *share;
            }
        }
    });
}
