//! Pooling of images in one to three dimensions, and its gradients.
//!
//! Planes [depth, lines, columns] one after the other, as many as the slices hold: a batch of
//! images is images · channels planes. Gradients are written, not added.

use super::window::{Axes, position, positions, volume};
use super::{Float, Parallel, Windows, reference};

/// What a mean divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisor {
    /// All elements of a window, with those in the padding.
    Window,
    /// The elements that exist.
    Existing,
}

/// Asserts that slices hold whole planes, as many on both sides, and that each window has an
/// element; returns the output's sizes.
fn checked(windows: &Windows, input: usize, output: usize) -> Axes {
    let size = windows.output().expect("windows that fit");
    assert!(windows.all_exist(), "windows with an element of the image each");
    let n_planes = input / volume(windows.image);
    assert_eq!(input, n_planes * volume(windows.image), "elements of whole planes");
    assert_eq!(output, n_planes * volume(size), "elements of as many output planes");
    size
}

/// Writes the largest element of each window to `output`, and where it is, as an index of its
/// plane, to `places`.
///
/// # Panics
/// If the shapes do not fit, a window [has no element](Windows::all_exist), or a plane has more elements than a u32 counts.
pub fn max_pool<T: Float>(
    output: &mut [T],
    places: &mut [u32],
    windows: &Windows,
    input: &[T],
    threads: &dyn Parallel,
) {
    checked(windows, input.len(), output.len());
    assert_eq!(places.len(), output.len(), "a place for each output");
    assert!(u32::try_from(volume(windows.image)).is_ok(), "elements that a u32 counts");
    let _ = threads;
    reference::max_pool(output, places, windows, input);
}

/// Writes the gradient of planes of `plane` elements: +0, and the gradient of each output added,
/// in ascending order, at its place. For [`max_pool`] and [`adaptive_max_pool`].
///
/// # Panics
/// If the slices do not hold whole planes, as many on both sides, or a place is outside.
pub fn max_pool_gradient<T: Float>(
    gradient: &mut [T],
    plane: usize,
    places: &[u32],
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    assert_eq!(places.len(), output_gradient.len(), "a place for each output");
    let _ = threads;
    gradient.fill(T::ZERO);
    if gradient.is_empty() {
        return;
    }
    let outputs = output_gradient.len() / (gradient.len() / plane);
    let all = places.iter().zip(output_gradient);
    for (nth, (place, output)) in all.enumerate() {
        let to = &mut gradient[nth / outputs * plane..][..plane][*place as usize];
        *to = *to + *output;
    }
}

/// Writes the mean of each window to `output`.
///
/// # Panics
/// If the shapes do not fit or a window [has no element](Windows::all_exist).
pub fn mean_pool<T: Float>(
    output: &mut [T],
    windows: &Windows,
    divisor: Divisor,
    input: &[T],
    threads: &dyn Parallel,
) {
    let size = checked(windows, input.len(), output.len());
    let _ = threads;
    for (plane, input) in input.chunks_exact(volume(windows.image)).enumerate() {
        for (nth, window) in positions(size).enumerate() {
            let elements = reference::existing(windows, window);
            let sum = elements.iter().fold(T::ZERO, |sum, element| sum + input[*element]);
            let by =
                if divisor == Divisor::Window { volume(windows.kernel) } else { elements.len() };
            output[plane * volume(size) + nth] = sum / T::from_f64(by as f64);
        }
    }
}

/// Writes the gradient through [`mean_pool`]: each output's, divided, added to its window.
///
/// # Panics
/// As [`mean_pool`].
pub fn mean_pool_gradient<T: Float>(
    gradient: &mut [T],
    windows: &Windows,
    divisor: Divisor,
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    let size = checked(windows, gradient.len(), output_gradient.len());
    let _ = threads;
    for (plane, gradient) in gradient.chunks_exact_mut(volume(windows.image)).enumerate() {
        gradient.fill(T::ZERO);
        for (nth, window) in positions(size).enumerate() {
            let elements = reference::existing(windows, window);
            let by =
                if divisor == Divisor::Window { volume(windows.kernel) } else { elements.len() };
            let share = output_gradient[plane * volume(size) + nth] / T::from_f64(by as f64);
            for element in elements {
                gradient[element] = gradient[element] + share;
            }
        }
    }
}

/// The elements of an adaptive window along an axis: from `⌊i · image / output⌋` to
/// `⌈(i + 1) · image / output⌉`, as in `torch.nn.AdaptiveAvgPool2d`.
fn adaptive(image: Axes, output: Axes, window: Axes) -> impl Iterator<Item = usize> {
    let ends = [0, 1, 2].map(|axis| {
        let start = window[axis] * image[axis] / output[axis];
        start..((window[axis] + 1) * image[axis]).div_ceil(output[axis])
    });
    let size = ends.clone().map(|ends| ends.len());
    positions(size).map(move |at| {
        ((ends[0].start + at[0]) * image[1] + ends[1].start + at[1]) * image[2]
            + ends[2].start
            + at[2]
    })
}

/// Asserts that the slices fit; returns how many planes.
fn checked_adaptive(image: Axes, output: Axes, input_len: usize, output_len: usize) -> usize {
    assert!(volume(image) > 0 && volume(output) > 0, "planes that are not empty");
    let n_planes = input_len / volume(image);
    assert_eq!(input_len, n_planes * volume(image), "elements of whole planes");
    assert_eq!(output_len, n_planes * volume(output), "elements of as many output planes");
    n_planes
}

/// Writes means to planes of size `to` from planes of size `from`.
///
/// # Panics
/// If the slices do not hold whole planes, as many on both sides.
pub fn adaptive_mean_pool<T: Float>(
    output: &mut [T],
    to: Axes,
    from: Axes,
    input: &[T],
    threads: &dyn Parallel,
) {
    checked_adaptive(from, to, input.len(), output.len());
    let _ = threads;
    let planes = output.chunks_exact_mut(volume(to)).zip(input.chunks_exact(volume(from)));
    for (output, input) in planes {
        for (nth, output) in output.iter_mut().enumerate() {
            let (mut sum, mut n) = (T::ZERO, 0);
            for element in adaptive(from, to, position(to, nth)) {
                (sum, n) = (sum + input[element], n + 1);
            }
            *output = sum / T::from_f64(f64::from(n));
        }
    }
}

/// Writes the gradient through [`adaptive_mean_pool`] to planes of size `from`.
///
/// # Panics
/// As [`adaptive_mean_pool`].
pub fn adaptive_mean_pool_gradient<T: Float>(
    gradient: &mut [T],
    to: Axes,
    from: Axes,
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    checked_adaptive(from, to, gradient.len(), output_gradient.len());
    let _ = threads;
    gradient.fill(T::ZERO);
    let outputs = output_gradient.chunks_exact(volume(to));
    for (gradient, output) in gradient.chunks_exact_mut(volume(from)).zip(outputs) {
        for (nth, output) in output.iter().enumerate() {
            let n = adaptive(from, to, position(to, nth)).count();
            let share = *output / T::from_f64(n as f64);
            for element in adaptive(from, to, position(to, nth)) {
                gradient[element] = gradient[element] + share;
            }
        }
    }
}

/// Writes the largest elements, and where they are in their planes, as [`max_pool`], to planes of
/// size `to` from planes of size `from`. Its gradient is [`max_pool_gradient`].
///
/// # Panics
/// As [`adaptive_mean_pool`].
pub fn adaptive_max_pool<T: Float>(
    output: &mut [T],
    places: &mut [u32],
    to: Axes,
    from: Axes,
    input: &[T],
    threads: &dyn Parallel,
) {
    checked_adaptive(from, to, input.len(), output.len());
    assert_eq!(places.len(), output.len(), "a place for each output");
    assert!(u32::try_from(volume(from)).is_ok(), "elements that a u32 counts");
    let _ = threads;
    for (plane, input) in input.chunks_exact(volume(from)).enumerate() {
        for nth in 0..volume(to) {
            let mut best: Option<usize> = None;
            for element in adaptive(from, to, position(to, nth)) {
                if best.is_none_or(|best| input[element] > input[best]) {
                    best = Some(element);
                }
            }
            let best = best.expect("windows are not empty");
            output[plane * volume(to) + nth] = input[best];
            places[plane * volume(to) + nth] = best as u32;
        }
    }
}
