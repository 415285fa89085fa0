//! Planes of windows: the largest elements, means and their gradient.

use core::ops::Range;

use super::super::simd::{Kernel, Lanes};
use super::super::window::{Axes, volume};
use super::super::{Float, Windows};
use super::Divisor;

/// Pooling of some planes.
pub struct Pool<'a, T> {
    pub(super) windows: &'a Windows,
    /// Of the output.
    pub(super) size: Axes,
    pub(super) kind: Kind<'a, T>,
}

/// What is done.
pub(super) enum Kind<'a, T> {
    Max { output: &'a mut [T], places: &'a mut [u32], input: &'a [T] },
    Mean { output: &'a mut [T], input: &'a [T], divisor: Divisor },
    MeanGradient { gradient: &'a mut [T], output_gradient: &'a [T], divisor: Divisor },
}

/// A place of no element.
const NOWHERE: u32 = u32::MAX;

/// A line of the output and a line of the image that its windows see.
struct Lines {
    /// Where the line of the output starts.
    output: usize,
    /// Where the line of the image starts.
    image: usize,
}

impl<T: Float> Kernel<T> for Pool<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (windows, size) = (self.windows, self.size);
        let (image, n) = (volume(windows.image), volume(size));
        match self.kind {
            Kind::Max { output, places, input } => {
                let outputs = output.chunks_exact_mut(n).zip(places.chunks_exact_mut(n));
                for ((output, places), input) in outputs.zip(input.chunks_exact(image)) {
                    max_of_plane(windows, size, output, places, input);
                }
            }
            Kind::Mean { output, input, divisor } => {
                for (output, input) in output.chunks_exact_mut(n).zip(input.chunks_exact(image)) {
                    mean_of_plane(windows, size, divisor, output, input);
                }
            }
            Kind::MeanGradient { gradient, output_gradient, divisor } => {
                let outputs = output_gradient.chunks_exact(n);
                for (to, output) in gradient.chunks_exact_mut(image).zip(outputs) {
                    spread_plane(windows, size, divisor, to, output);
                }
            }
        }
    }
}

/// Lines of the output, each with the lines of the image that its windows see, both ascending.
#[inline(always)]
fn lines(windows: &Windows, size: Axes, line: usize) -> impl Iterator<Item = Lines> + '_ {
    let at = [line / size[1], line % size[1]];
    let along = move |axis: usize, offset: usize| {
        let padded = at[axis] * windows.stride[axis] + offset * windows.dilation[axis];
        padded.checked_sub(windows.padding[axis]).filter(|at| *at < windows.image[axis])
    };
    (0..windows.kernel[0]).filter_map(move |offset| along(0, offset)).flat_map(move |depth| {
        (0..windows.kernel[1]).filter_map(move |offset| along(1, offset)).map(move |row| Lines {
            output: line * size[2],
            image: (depth * windows.image[1] + row) * windows.image[2],
        })
    })
}

/// The windows of a line of the output that have an element at this offset across, and where the
/// first of them has it.
#[inline(always)]
fn across(windows: &Windows, width: usize, offset: usize) -> (Range<usize>, usize) {
    let (stride, padding) = (windows.stride[2], windows.padding[2]);
    let shift = offset * windows.dilation[2];
    let first = padding.saturating_sub(shift).div_ceil(stride);
    // Beyond the last window whose element is before the end of the image.
    let end = (windows.image[2] + padding).saturating_sub(shift).div_ceil(stride).min(width);
    (first.min(end)..end, (first * stride + shift).saturating_sub(padding))
}

#[inline(always)]
fn max_of_plane<T: Float>(
    windows: &Windows,
    size: Axes,
    output: &mut [T],
    places: &mut [u32],
    input: &[T],
) {
    let is_square =
        windows.kernel == [1, 2, 2] && windows.stride[2] == 2 && windows.padding == [0; 3];
    for line in 0..size[0] * size[1] {
        let range = line * size[2]..(line + 1) * size[2];
        let (output, places) = (&mut output[range.clone()], &mut places[range]);
        if is_square && windows.dilation == [1; 3] {
            let depth = line / size[1] * windows.stride[0];
            let row = depth * windows.image[1] + line % size[1] * windows.stride[1];
            let first = row * windows.image[2];
            let input = &input[first..first + 2 * windows.image[2]];
            max_of_squares(output, places, input, windows.image[2], first);
            continue;
        }
        places.fill(NOWHERE);
        for seen in lines(windows, size, line) {
            let from = &input[seen.image..][..windows.image[2]];
            for offset in 0..windows.kernel[2] {
                let (range, first) = across(windows, size[2], offset);
                let (output, places) = (&mut output[range.clone()], &mut places[range]);
                let place = (seen.image + first) as u32;
                if windows.stride[2] == 1 {
                    let from = &from[first.min(from.len())..];
                    larger(output, places, &from[..output.len()], place);
                    continue;
                }
                let every = from.iter().skip(first).step_by(windows.stride[2]);
                for (nth, (to, x)) in output.iter_mut().zip(every).enumerate() {
                    if places[nth] == NOWHERE || *x > *to {
                        *to = *x;
                        places[nth] = place + (nth * windows.stride[2]) as u32;
                    }
                }
            }
        }
    }
}

/// Takes elements where they are larger, or the first ones.
#[inline(always)]
fn larger<T: Float>(to: &mut [T], places: &mut [u32], from: &[T], place: u32) {
    let (places, from) = (&mut places[..to.len()], &from[..to.len()]);
    for nth in 0..to.len() {
        let is_larger = from[nth] > to[nth] || places[nth] == NOWHERE;
        to[nth] = if is_larger { from[nth] } else { to[nth] };
        places[nth] = if is_larger { place + nth as u32 } else { places[nth] };
    }
}

/// Windows of 2 x 2 side by side.
#[inline(always)]
fn max_of_squares<T: Float>(
    output: &mut [T],
    places: &mut [u32],
    input: &[T],
    below: usize,
    first: usize,
) {
    /// Windows at a time, so that the compiler puts them into lanes.
    const N: usize = 16;
    let (above, under) = input.split_at(below);
    let pairs = above.chunks(2 * N).zip(under.chunks(2 * N));
    let outputs = output.chunks_mut(N).zip(places.chunks_mut(N));
    for (nth, ((output, places), (above, under))) in outputs.zip(pairs).enumerate() {
        let first = (first + 2 * N * nth) as u32;
        if let (Ok(output), Ok(places), Ok(above), Ok(under)) = (
            <&mut [T; N]>::try_from(&mut *output),
            <&mut [u32; N]>::try_from(&mut *places),
            <&[T; 2 * N]>::try_from(above),
            <&[T; 2 * N]>::try_from(under),
        ) {
            for at in 0..N {
                (output[at], places[at]) = square(above, under, at, first, below);
            }
            continue;
        }
        for at in 0..output.len() {
            (output[at], places[at]) = square(above, under, at, first, below);
        }
    }
}

/// The first of the largest of a window of 2 x 2.
#[inline(always)]
fn square<T: Float>(above: &[T], under: &[T], at: usize, first: u32, below: usize) -> (T, u32) {
    let (mut max, mut place) = (above[2 * at], first + 2 * at as u32);
    let here = place;
    for (x, step) in [
        (above[2 * at + 1], 1),
        (under[2 * at], below as u32),
        (under[2 * at + 1], below as u32 + 1),
    ] {
        let is_larger = x > max;
        max = if is_larger { x } else { max };
        place = if is_larger { here + step } else { place };
    }
    (max, place)
}

/// How many elements of a window exist along an axis.
#[inline(always)]
fn existing(windows: &Windows, axis: usize, window: usize) -> usize {
    let start = window * windows.stride[axis];
    let image = windows.padding[axis]..windows.padding[axis] + windows.image[axis];
    let elements = (0..windows.kernel[axis]).map(|at| start + at * windows.dilation[axis]);
    elements.filter(|element| image.contains(element)).count()
}

/// What the windows of a line of the output divide by.
#[inline(always)]
fn divisors<T: Float>(
    windows: &Windows,
    size: Axes,
    divisor: Divisor,
    line: usize,
) -> impl Iterator<Item = T> + '_ {
    let of_line = existing(windows, 0, line / size[1]) * existing(windows, 1, line % size[1]);
    (0..size[2]).map(move |window| {
        let n = match divisor {
            Divisor::Window => volume(windows.kernel),
            Divisor::Existing => of_line * existing(windows, 2, window),
        };
        T::from_f64(n as f64)
    })
}

#[inline(always)]
fn mean_of_plane<T: Float>(
    windows: &Windows,
    size: Axes,
    divisor: Divisor,
    output: &mut [T],
    input: &[T],
) {
    output.fill(T::ZERO);
    for line in 0..size[0] * size[1] {
        for seen in lines(windows, size, line) {
            let from = &input[seen.image..][..windows.image[2]];
            for offset in 0..windows.kernel[2] {
                let (range, first) = across(windows, size[2], offset);
                let to = &mut output[seen.output + range.start..seen.output + range.end];
                let every = from.iter().skip(first).step_by(windows.stride[2]);
                for (to, x) in to.iter_mut().zip(every) {
                    *to = *to + *x;
                }
            }
        }
        let to = &mut output[line * size[2]..][..size[2]];
        for (to, by) in to.iter_mut().zip(divisors(windows, size, divisor, line)) {
            *to = *to / by;
        }
    }
}

#[inline(always)]
fn spread_plane<T: Float>(
    windows: &Windows,
    size: Axes,
    divisor: Divisor,
    gradient: &mut [T],
    output: &[T],
) {
    gradient.fill(T::ZERO);
    for line in 0..size[0] * size[1] {
        for seen in lines(windows, size, line) {
            let to = &mut gradient[seen.image..][..windows.image[2]];
            // Of two windows that see an element the earlier one sees it at the later offset.
            for offset in (0..windows.kernel[2]).rev() {
                let (range, first) = across(windows, size[2], offset);
                let from = &output[seen.output + range.start..seen.output + range.end];
                let by = divisors::<T>(windows, size, divisor, line).skip(range.start);
                let every = to.iter_mut().skip(first).step_by(windows.stride[2]);
                for ((to, x), by) in every.zip(from).zip(by) {
                    *to = *to + *x / by;
                }
            }
        }
    }
}
