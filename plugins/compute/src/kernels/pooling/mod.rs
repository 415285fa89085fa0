//! Pooling of images in one to three dimensions, and its gradients.
//!
//! Planes [depth, lines, columns] one after the other, as many as the slices hold: a batch of
//! images is images · channels planes. Gradients are written, not added.
//!
//! For the time of a call each thread allocates at most 12 bytes for each window of a plane, and 16
//! for each eight of them.

mod adaptive;
pub(crate) mod planes;

use core::ops::Range;

pub use self::adaptive::{adaptive_max_pool, adaptive_mean_pool, adaptive_mean_pool_gradient};
use self::planes::{Kind, Pool, spread_to_places};

use super::parallel::{Pieces, Shared, pieces};
use super::simd;
use super::window::{Axes, volume};
use super::{Float, Parallel, Windows};

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

/// Writes the largest element of each window to `output`.
///
/// # Panics
/// If the shapes do not fit, a window [has no element](Windows::all_exist), or a plane has more
/// elements than a u32 counts.
pub fn max_pool<T: Float>(
    output: &mut [T],
    windows: &Windows,
    input: &[T],
    threads: &dyn Parallel,
) {
    let size = checked(windows, input.len(), output.len());
    assert!(u32::try_from(volume(windows.image)).is_ok(), "elements that a u32 counts");
    let level = simd::level();
    each_planes(output, volume(size), windows, threads, &|planes, output| {
        let input = &input[planes.start * volume(windows.image)..];
        T::pool(level, Pool { windows, size, kind: Kind::Max { output, input } });
    });
}

/// Writes the gradient through [`max_pool`]: +0, and the gradient of each output added, in
/// ascending order, to the first of the largest elements of its window.
///
/// # Panics
/// As [`max_pool`].
pub fn max_pool_gradient<T: Float>(
    gradient: &mut [T],
    windows: &Windows,
    input: &[T],
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    let size = checked(windows, input.len(), output_gradient.len());
    assert_eq!(gradient.len(), input.len(), "elements of the gradient");
    assert!(u32::try_from(volume(windows.image)).is_ok(), "elements that a u32 counts");
    let (level, image) = (simd::level(), volume(windows.image));
    // Runs of windows are half a vector: of eight lanes where sixteen would not fill lines.
    let level = if size[2].is_multiple_of(8) { level } else { level.min(simd::Level::Avx2) };
    each_planes(gradient, image, windows, threads, &|planes, gradient| {
        let input = &input[planes.start * image..];
        let output_gradient = &output_gradient[planes.start * volume(size)..];
        let kind = Kind::MaxGradient { gradient, input, output_gradient };
        T::pool(level, Pool { windows, size, kind });
    });
}

/// Writes the gradient of planes of `plane` elements: +0, and the gradient of each output added,
/// in ascending order, at its place. For [`adaptive_max_pool`].
///
/// # Panics
/// If the slices do not hold whole planes, as many on both sides, or a place is outside.
pub fn gradient_at_places<T: Float>(
    gradient: &mut [T],
    plane: usize,
    places: &[u32],
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    assert_eq!(places.len(), output_gradient.len(), "a place for each output");
    if gradient.is_empty() || places.is_empty() {
        gradient.fill(T::ZERO);
        return;
    }
    let n_planes = gradient.len() / plane;
    let outputs = places.len() / n_planes;
    assert_eq!(gradient.len(), n_planes * plane, "elements of whole planes");
    assert_eq!(places.len(), n_planes * outputs, "places of as many planes");
    each_plane(gradient, plane, places.len(), threads, &|nth, to| {
        let range = nth * outputs..(nth + 1) * outputs;
        spread_to_places(to, &places[range.clone()], &output_gradient[range]);
    });
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
    let level = simd::level();
    each_planes(output, volume(size), windows, threads, &|planes, output| {
        let input = &input[planes.start * volume(windows.image)..];
        let kind = Kind::Mean { output, input, divisor };
        T::pool(level, Pool { windows, size, kind });
    });
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
    let level = simd::level();
    each_planes(gradient, volume(windows.image), windows, threads, &|planes, gradient| {
        let output_gradient = &output_gradient[planes.start * volume(size)..];
        let kind = Kind::MeanGradient { gradient, output_gradient, divisor };
        T::pool(level, Pool { windows, size, kind });
    });
}

/// Calls `f` with planes and where they are written, on several threads if that is worth it.
fn each_planes<T: Float>(
    to: &mut [T],
    plane: usize,
    windows: &Windows,
    threads: &dyn Parallel,
    f: &(dyn Fn(Range<usize>, &mut [T]) + Sync),
) {
    let (n_planes, work) = (to.len() / plane, to.len() * volume(windows.kernel));
    let (cut, to) = (cut(n_planes, work, threads), Shared(to.as_mut_ptr()));
    threads.run(cut.len(), &|part| {
        let planes = cut.piece(part);
        // SAFETY: planes are this part's.
        let to = unsafe { to.slice(planes.start * plane..planes.end * plane) };
        f(planes, to);
    });
}

/// Calls `f` with each plane that is written, and its number.
pub(crate) fn each_plane<T: Float>(
    to: &mut [T],
    plane: usize,
    work: usize,
    threads: &dyn Parallel,
    f: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    let (cut, to) = (cut(to.len() / plane, work, threads), Shared(to.as_mut_ptr()));
    threads.run(cut.len(), &|part| {
        for nth in cut.piece(part) {
            // SAFETY: planes are this part's.
            f(nth, unsafe { to.slice(nth * plane..(nth + 1) * plane) });
        }
    });
}

/// Cuts planes for threads; `work` counts elements that are read.
fn cut(n_planes: usize, work: usize, threads: &dyn Parallel) -> Pieces {
    let is_shared = work >= threads.work_min() / 8;
    pieces(n_planes, if is_shared { threads.threads() } else { 1 }, 1)
}
