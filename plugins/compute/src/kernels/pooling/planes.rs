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
    Max { output: &'a mut [T], input: &'a [T] },
    MaxGradient { gradient: &'a mut [T], input: &'a [T], output_gradient: &'a [T] },
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
            Kind::Max { output, input } => {
                let mut places = vec![NOWHERE; if is_square(windows) { 0 } else { n }];
                for (output, input) in output.chunks_exact_mut(n).zip(input.chunks_exact(image)) {
                    if is_square(windows) {
                        max_of_squares(windows, size, output, input);
                    } else {
                        max_of_plane(windows, size, &offsets, output, &mut places, input);
                    }
                }
            }
            Kind::MaxGradient { gradient, input, output_gradient } => {
                let scratch = if is_square(windows) { 0 } else { n };
                let (mut largest, mut places) = (vec![T::ZERO; scratch], vec![NOWHERE; scratch]);
                let len = if const { L::HAS_PAIRS } { L::N / 2 } else { usize::MAX };
                let runs = if is_square(windows) { runs(windows, size, len) } else { Vec::new() };
                let outputs = input.chunks_exact(image).zip(output_gradient.chunks_exact(n));
                for (to, (input, output)) in gradient.chunks_exact_mut(image).zip(outputs) {
                    if is_square(windows) {
                        spread_to_squares::<L>(windows, size, &runs, to, input, output);
                        continue;
                    }
                    max_of_plane(windows, size, &offsets, &mut largest, &mut places, input);
                    spread_to_places(to, &places, output);
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

/// Whether windows are of 2 x 2, side by side.
#[inline(always)]
fn is_square(windows: &Windows) -> bool {
    let (kernel, one) = ([1, 2, 2], [1; 3]);
    (windows.kernel, windows.stride, windows.dilation) == (kernel, kernel, one)
        && windows.padding == [0; 3]
}

/// Both lines that a line of squares sees, as pairs.
#[inline(always)]
fn pairs<'a, T>(
    windows: &Windows,
    size: Axes,
    line: usize,
    input: &'a [T],
) -> (&'a [[T; 2]], &'a [[T; 2]]) {
    let (row, width) = (line / size[1] * windows.image[1] + line % size[1] * 2, windows.image[2]);
    let (above, under) = input[row * width..(row + 2) * width].split_at(width);
    (&above.as_chunks().0[..size[2]], &under.as_chunks().0[..size[2]])
}

#[inline(always)]
fn max_of_squares<T: Float>(windows: &Windows, size: Axes, output: &mut [T], input: &[T]) {
    for (line, to) in output.chunks_exact_mut(size[2]).enumerate() {
        let (above, under) = pairs(windows, size, line, input);
        for (to, ([a, b], [c, d])) in to.iter_mut().zip(above.iter().zip(under)) {
            let max = if *b > *a { *b } else { *a };
            let max = if *c > max { *c } else { max };
            *to = if *d > max { *d } else { max };
        }
    }
}

/// Half vectors of squares, all in one line of the output: where their upper lines start in a plane
/// of the image and where they are in one of the output. A last one lies over others if lines are
/// not whole numbers of them; none if lines are shorter.
fn runs(windows: &Windows, size: Axes, len: usize) -> Vec<(usize, usize)> {
    let last = if let Some(last) = size[2].checked_sub(len) { last } else { return Vec::new() };
    let lines = (0..size[0] * size[1]).flat_map(|line| {
        let row = line / size[1] * windows.image[1] + line % size[1] * 2;
        (0..size[2]).step_by(len).map(move |column| {
            let column = column.min(last);
            (row * windows.image[2] + 2 * column, line * size[2] + column)
        })
    });
    let mut runs: Vec<(usize, usize)> = lines.collect();
    if runs.len() % 2 == 1 {
        runs.extend(runs.last().copied());
    }
    runs
}

/// Writes the gradient of each square to the first of its largest elements, +0 to others.
#[inline(always)]
fn spread_to_squares<L: Lanes>(
    windows: &Windows,
    size: Axes,
    runs: &[(usize, usize)],
    gradient: &mut [L::T],
    input: &[L::T],
    output: &[L::T],
) {
    let [_, rows, width] = windows.image;
    if [rows, width] != [2 * size[1], 2 * size[2]] {
        gradient.fill(L::T::ZERO);
    }
    if runs.is_empty() {
        for (line, output) in output.chunks_exact(size[2]).enumerate() {
            let (above, under) = pairs(windows, size, line, input);
            let row = line / size[1] * rows + line % size[1] * 2;
            let (to_above, to_under) = gradient[row * width..(row + 2) * width].split_at_mut(width);
            for nth in 0..size[2] {
                let all = [above[nth][0], above[nth][1], under[nth][0], under[nth][1]];
                let mut first = 0;
                for one in 1..4 {
                    first = if all[one] > all[first] { one } else { first };
                }
                let mut to = [L::T::ZERO; 4];
                // Added to +0, as of any windows.
                to[first] = to[first] + output[nth];
                to_above[2 * nth..2 * nth + 2].copy_from_slice(&to[..2]);
                to_under[2 * nth..2 * nth + 2].copy_from_slice(&to[2..]);
            }
        }
        return;
    }
    let zero = L::splat(L::T::ZERO);
    for pair in runs.chunks_exact(2) {
        let [(low, low_output), (high, high_output)] = [pair[0], pair[1]];
        // SAFETY: runs of half a vector each are within the planes.
        unsafe {
            let from = input.as_ptr();
            let to = gradient.as_mut_ptr();
            let [a, b] = L::load_pairs(from.add(low), from.add(high));
            let [c, d] = L::load_pairs(from.add(low + width), from.add(high + width));
            let output = output.as_ptr();
            let value = L::load_pieces(output.add(low_output), output.add(high_output));
            let [a, b, c, d] = L::to_first_largest([a, b, c, d], zero.add(value));
            L::store_pairs([a, b], to.add(low), to.add(high));
            L::store_pairs([c, d], to.add(low + width), to.add(high + width));
        }
    }
}

/// Adds each output's gradient, ascending, at its place.
#[inline(always)]
pub(super) fn spread_to_places<T: Float>(gradient: &mut [T], places: &[u32], output: &[T]) {
    gradient.fill(T::ZERO);
    for (place, output) in places.iter().zip(output) {
        let to = &mut gradient[*place as usize];
        *to = *to + *output;
    }
}

#[inline(always)]
fn max_of_plane<T: Float>(
    windows: &Windows,
    size: Axes,
    offsets: &[Across],
    output: &mut [T],
    places: &mut [u32],
    input: &[T],
) {
    places.fill(NOWHERE);
    for line in 0..size[0] * size[1] {
        let range = line * size[2]..(line + 1) * size[2];
        let (output, places) = (&mut output[range.clone()], &mut places[range]);
        for seen in lines(windows, size, line) {
            let from = &input[seen..][..windows.image[2]];
            for Across { windows: some, first } in offsets {
                let (output, places) = (&mut output[some.clone()], &mut places[some.clone()]);
                let (from, place) = (&from[*first..], (seen + first) as u32);
                match windows.stride[2] {
                    1 => larger::<T, 1>(output, places, from, 1, place),
                    2 => larger::<T, 2>(output, places, from, 2, place),
                    stride => larger::<T, 0>(output, places, from, stride, place),
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
