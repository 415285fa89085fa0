//! Planes of windows: the largest elements, means and their gradient.

#![allow(clippy::needless_range_loop, reason = "elements side by side are numbers")]

use alloc::vec;
use alloc::vec::Vec;
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

impl<T: Float> Kernel<T> for Pool<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (windows, size) = (self.windows, self.size);
        let (image, n) = (volume(windows.image), volume(size));
        let offsets = across(windows, size[2]);
        match self.kind {
            Kind::Max { output, places, input } => {
                let outputs = output.chunks_exact_mut(n).zip(places.chunks_exact_mut(n));
                for ((output, places), input) in outputs.zip(input.chunks_exact(image)) {
                    max_of_plane::<L>(windows, size, &offsets, output, places, input);
                }
            }
            Kind::Mean { output, input, divisor } => {
                let columns = columns(windows, size);
                for (output, input) in output.chunks_exact_mut(n).zip(input.chunks_exact(image)) {
                    mean_of_plane(windows, size, divisor, (&columns, &offsets), output, input);
                }
            }
            Kind::MeanGradient { gradient, output_gradient, divisor } => {
                let columns = columns(windows, size);
                let mut shares = vec![T::ZERO; size[2]];
                let outputs = output_gradient.chunks_exact(n);
                for (to, output) in gradient.chunks_exact_mut(image).zip(outputs) {
                    let of_line = (&columns[..], &offsets[..], &mut shares[..]);
                    spread_plane(windows, size, divisor, of_line, to, output);
                }
            }
        }
    }
}

/// Where the lines of the image start that the windows of a line of the output see, ascending.
#[inline(always)]
fn lines(windows: &Windows, size: Axes, line: usize) -> impl Iterator<Item = usize> + '_ {
    let at = [line / size[1], line % size[1]];
    let along = move |axis: usize, offset: usize| {
        let padded = at[axis] * windows.stride[axis] + offset * windows.dilation[axis];
        padded.checked_sub(windows.padding[axis]).filter(|at| *at < windows.image[axis])
    };
    (0..windows.kernel[0]).filter_map(move |offset| along(0, offset)).flat_map(move |depth| {
        (0..windows.kernel[1])
            .filter_map(move |offset| along(1, offset))
            .map(move |row| (depth * windows.image[1] + row) * windows.image[2])
    })
}

/// Windows of a line of the output that have an element at one offset across.
struct Across {
    windows: Range<usize>,
    /// Where the first of them has it.
    first: usize,
}

/// For each offset across.
fn across(windows: &Windows, width: usize) -> Vec<Across> {
    let (stride, padding) = (windows.stride[2], windows.padding[2]);
    let of = |offset: usize| {
        let shift = offset * windows.dilation[2];
        let first = padding.saturating_sub(shift).div_ceil(stride);
        // Beyond the last window whose element is before the end of the image.
        let end = (windows.image[2] + padding).saturating_sub(shift).div_ceil(stride).min(width);
        let at = (first * stride + shift).saturating_sub(padding).min(windows.image[2]);
        Across { windows: first.min(end)..end, first: at }
    };
    (0..windows.kernel[2]).map(of).collect()
}

#[inline(always)]
fn max_of_plane<L: Lanes>(
    windows: &Windows,
    size: Axes,
    offsets: &[Across],
    output: &mut [L::T],
    places: &mut [u32],
    input: &[L::T],
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
            max_of_squares::<L>(output, places, input, windows.image[2], first);
            continue;
        }
        places.fill(NOWHERE);
        for seen in lines(windows, size, line) {
            let from = &input[seen..][..windows.image[2]];
            for Across { windows: some, first } in offsets {
                let (output, places) = (&mut output[some.clone()], &mut places[some.clone()]);
                let (from, place) = (&from[*first..], (seen + first) as u32);
                match windows.stride[2] {
                    1 => larger::<L::T, 1>(output, places, from, 1, place),
                    2 => larger::<L::T, 2>(output, places, from, 2, place),
                    stride => larger::<L::T, 0>(output, places, from, stride, place),
                }
            }
        }
    }
}

/// The element `nth` of those `S` apart, or `stride` if that is 0.
///
/// # Safety
/// There is such an element.
#[inline(always)]
unsafe fn element<T: Float, const S: usize>(from: &[T], nth: usize, stride: usize) -> T {
    // SAFETY: the caller's.
    unsafe { *from.get_unchecked(nth * if S == 0 { stride } else { S }) }
}

/// Takes elements where they are larger, or the first ones.
#[inline(always)]
fn larger<T: Float, const S: usize>(
    to: &mut [T],
    places: &mut [u32],
    from: &[T],
    stride: usize,
    place: u32,
) {
    if to.is_empty() {
        return;
    }
    let (places, from) = (&mut places[..to.len()], &from[..(to.len() - 1) * stride + 1]);
    for nth in 0..to.len() {
        // SAFETY: as many elements were taken above.
        let x = unsafe { element::<T, S>(from, nth, stride) };
        let here = place + (nth * stride) as u32;
        let is_larger = (x > to[nth]) | (places[nth] == NOWHERE);
        to[nth] = if is_larger { x } else { to[nth] };
        places[nth] = if is_larger { here } else { places[nth] };
    }
}

/// Windows of 2 x 2 side by side; `input` has both lines, the second one `below`.
#[inline(always)]
fn max_of_squares<L: Lanes>(
    output: &mut [L::T],
    places: &mut [u32],
    input: &[L::T],
    below: usize,
    first: usize,
) {
    let width = output.len();
    assert!(places.len() == width && input.len() >= below + 2 * width, "windows side by side");
    let mut nth = 0;
    let has_lanes = const { L::HAS_PAIRS && size_of::<L::T>() == size_of::<u32>() };
    if has_lanes && width < L::N {
        // Less than a vector: by way of a whole one.
        let (mut above, mut under) = ([L::T::default(); 32], [L::T::default(); 32]);
        let (mut largest, mut at) = ([L::T::default(); 16], [0; 16]);
        for nth in 0..2 * width {
            (above[nth], under[nth]) = (input[nth], input[below + nth]);
        }
        // SAFETY: no lanes are more than sixteen.
        unsafe { squares::<L>(&mut largest, &mut at, &above, &under, below) }
        for nth in 0..width {
            (output[nth], places[nth]) = (largest[nth], at[nth] + (first + 2 * nth) as u32);
        }
        return;
    }
    if has_lanes {
        while nth < width {
            // The last vector lies over others if there is no whole number of them.
            let at = nth.min(width - L::N);
            // SAFETY: checked above: as many windows as there are lanes are within, and places
            // have the size of an element.
            unsafe {
                let (above, under) = (&input[2 * at..], &input[below + 2 * at..]);
                squares::<L>(&mut output[at..], &mut places[at..], above, under, below);
            }
            for (lane, place) in places[at..at + L::N].iter_mut().enumerate() {
                *place += (first + 2 * (at + lane)) as u32;
            }
            nth += L::N;
        }
        return;
    }
    while nth < width {
        (output[nth], places[nth]) = square(input, &input[below..], nth, first as u32, below);
        nth += 1;
    }
}

/// A vector of windows: the first of the largest, and where it is in its window.
///
/// # Safety
/// As many windows as there are lanes are within the slices, and places have the size of an
/// element.
#[inline(always)]
unsafe fn squares<L: Lanes>(
    output: &mut [L::T],
    places: &mut [u32],
    above: &[L::T],
    under: &[L::T],
    below: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let which = [0, 1, below, below + 1].map(|place| bits::<L>(place as u32));
        let (a, b) = L::load_pairs(above.as_ptr());
        let (c, d) = L::load_pairs(under.as_ptr());
        let mut max = (a, which[0]);
        for nth in 1..4 {
            max = L::larger(max, ([a, b, c, d][nth], which[nth]));
        }
        max.0.store(output.as_mut_ptr());
        max.1.store(places.as_mut_ptr().cast());
    }
}

/// These bits in every lane, whose type has as many.
///
/// # Safety
/// It has.
#[inline(always)]
unsafe fn bits<L: Lanes>(bits: u32) -> L {
    // SAFETY: the caller's.
    L::splat(unsafe { core::mem::transmute_copy::<u32, L::T>(&bits) })
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

/// Elements that exist across, for each window of a line.
fn columns(windows: &Windows, size: Axes) -> Vec<usize> {
    (0..size[2]).map(|window| existing(windows, 2, window)).collect()
}

/// What windows of a line of the output divide by, as a function of those that exist across.
#[inline(always)]
fn divisor_of<T: Float>(
    windows: &Windows,
    size: Axes,
    divisor: Divisor,
    line: usize,
) -> impl Fn(usize) -> T + use<T> {
    let of_line = existing(windows, 0, line / size[1]) * existing(windows, 1, line % size[1]);
    let whole = volume(windows.kernel);
    move |columns| {
        T::from_f64(if divisor == Divisor::Window { whole } else { of_line * columns } as f64)
    }
}

/// Adds every so many elements.
#[inline(always)]
fn gather<T: Float, const S: usize>(to: &mut [T], from: &[T], stride: usize) {
    if to.is_empty() {
        return;
    }
    let from = &from[..(to.len() - 1) * stride + 1];
    for nth in 0..to.len() {
        // SAFETY: as many elements were taken above.
        to[nth] = to[nth] + unsafe { element::<T, S>(from, nth, stride) };
    }
}

/// Adds to every so many elements.
#[inline(always)]
fn scatter<T: Float, const S: usize>(to: &mut [T], from: &[T], stride: usize) {
    if from.is_empty() {
        return;
    }
    let to = &mut to[..(from.len() - 1) * stride + 1];
    for nth in 0..from.len() {
        // SAFETY: as many elements were taken above.
        let to = unsafe { to.get_unchecked_mut(nth * if S == 0 { stride } else { S }) };
        *to = *to + from[nth];
    }
}

#[inline(always)]
fn mean_of_plane<T: Float>(
    windows: &Windows,
    size: Axes,
    divisor: Divisor,
    (columns, offsets): (&[usize], &[Across]),
    output: &mut [T],
    input: &[T],
) {
    for (line, to) in output.chunks_exact_mut(size[2]).enumerate() {
        to.fill(T::ZERO);
        for seen in lines(windows, size, line) {
            let from = &input[seen..][..windows.image[2]];
            for Across { windows: some, first } in offsets {
                let (to, from) = (&mut to[some.clone()], &from[*first..]);
                match windows.stride[2] {
                    1 => gather::<T, 1>(to, from, 1),
                    2 => gather::<T, 2>(to, from, 2),
                    stride => gather::<T, 0>(to, from, stride),
                }
            }
        }
        let by = divisor_of::<T>(windows, size, divisor, line);
        for (to, columns) in to.iter_mut().zip(columns) {
            *to = *to / by(*columns);
        }
    }
}

#[inline(always)]
fn spread_plane<T: Float>(
    windows: &Windows,
    size: Axes,
    divisor: Divisor,
    (columns, offsets, shares): (&[usize], &[Across], &mut [T]),
    gradient: &mut [T],
    output: &[T],
) {
    gradient.fill(T::ZERO);
    for (line, output) in output.chunks_exact(size[2]).enumerate() {
        let by = divisor_of::<T>(windows, size, divisor, line);
        for ((share, x), columns) in shares.iter_mut().zip(output).zip(columns) {
            *share = *x / by(*columns);
        }
        for seen in lines(windows, size, line) {
            let to = &mut gradient[seen..][..windows.image[2]];
            // Of two windows that see an element the earlier one sees it at the later offset.
            for Across { windows: some, first } in offsets.iter().rev() {
                let (to, from) = (&mut to[*first..], &shares[some.clone()]);
                match windows.stride[2] {
                    1 => scatter::<T, 1>(to, from, 1),
                    2 => scatter::<T, 2>(to, from, 2),
                    stride => scatter::<T, 0>(to, from, stride),
                }
            }
        }
    }
}
