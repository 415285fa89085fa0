//! Pooling to a size, whatever the size of the image.

use core::ops::Range;

use super::super::Float;
use super::super::parallel::{Parallel, Shared};
use super::super::window::{Axes, position, volume};
use super::each_plane;

/// The elements of a window along an axis: from `⌊i · image / output⌋` to
/// `⌈(i + 1) · image / output⌉`, as in `torch.nn.AdaptiveAvgPool2d`.
fn along(image: usize, output: usize, window: usize) -> Range<usize> {
    window * image / output..((window + 1) * image).div_ceil(output)
}

/// Calls `f` with where runs of elements of a window lie in a plane, ascending.
fn runs(image: Axes, output: Axes, nth: usize, mut f: impl FnMut(Range<usize>)) {
    let at = position(output, nth);
    let [depths, rows, columns] = [0, 1, 2].map(|axis| along(image[axis], output[axis], at[axis]));
    for depth in depths {
        for row in rows.clone() {
            let line = (depth * image[1] + row) * image[2];
            f(line + columns.start..line + columns.end);
        }
    }
}

/// How many elements a window has.
fn size<T: Float>(image: Axes, output: Axes, nth: usize) -> T {
    let at = position(output, nth);
    let lens = [0, 1, 2].map(|axis| along(image[axis], output[axis], at[axis]).len());
    T::from_f64(volume(lens) as f64)
}

/// Asserts that the slices fit.
fn check(image: Axes, output: Axes, input_len: usize, output_len: usize) {
    assert!(volume(image) > 0 && volume(output) > 0, "planes that are not empty");
    let n_planes = input_len / volume(image);
    assert_eq!(input_len, n_planes * volume(image), "elements of whole planes");
    assert_eq!(output_len, n_planes * volume(output), "elements of as many output planes");
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
    check(from, to, input.len(), output.len());
    each_plane(output, volume(to), input.len(), threads, &|plane, output| {
        let input = &input[plane * volume(from)..][..volume(from)];
        for (nth, output) in output.iter_mut().enumerate() {
            let mut sum = T::ZERO;
            runs(from, to, nth, |run| input[run].iter().for_each(|x| sum = sum + *x));
            *output = sum / size(from, to, nth);
        }
    });
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
    check(from, to, gradient.len(), output_gradient.len());
    each_plane(gradient, volume(from), output_gradient.len(), threads, &|plane, gradient| {
        gradient.fill(T::ZERO);
        let output = &output_gradient[plane * volume(to)..][..volume(to)];
        for (nth, output) in output.iter().enumerate() {
            let share = *output / size(from, to, nth);
            runs(from, to, nth, |run| gradient[run].iter_mut().for_each(|x| *x = *x + share));
        }
    });
}

/// Writes the largest elements, and where they are in their planes, as
/// [`max_pool`](super::max_pool), to planes of size `to` from planes of size `from`. Its gradient
/// is [`max_pool_gradient`](super::max_pool_gradient).
///
/// # Panics
/// As [`adaptive_mean_pool`], or if a plane has more elements than a u32 counts.
pub fn adaptive_max_pool<T: Float>(
    output: &mut [T],
    places: &mut [u32],
    to: Axes,
    from: Axes,
    input: &[T],
    threads: &dyn Parallel,
) {
    check(from, to, input.len(), output.len());
    assert_eq!(places.len(), output.len(), "a place for each output");
    assert!(u32::try_from(volume(from)).is_ok(), "elements that a u32 counts");
    let places = Shared(places.as_mut_ptr());
    each_plane(output, volume(to), input.len(), threads, &|plane, output| {
        let input = &input[plane * volume(from)..][..volume(from)];
        // SAFETY: planes are this part's.
        let places = unsafe { places.slice(plane * volume(to)..(plane + 1) * volume(to)) };
        for (nth, (output, place)) in output.iter_mut().zip(places).enumerate() {
            let mut best: Option<usize> = None;
            runs(from, to, nth, |run| {
                for element in run {
                    if best.is_none_or(|best| input[element] > input[best]) {
                        best = Some(element);
                    }
                }
            });
            // Windows of images that are not empty have an element.
            let best = best.unwrap_or_default();
            (*output, *place) = (input[best], best as u32);
        }
    });
}
