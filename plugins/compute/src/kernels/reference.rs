//! The contract `compute@0.1` as loops: slow, and what all other kernels are compared with.
//!
//! Shapes are as in the functions of the same names in [`kernels`](super), and are not checked.

use alloc::vec::Vec;

use super::convolution::Convolution;
use super::window::{position, positions, volume};
use super::{BLOCK, Divisor, Float, Matrix, Start, Windows};

/// One element of a product: `start` and the terms, in blocks.
pub fn chain<T: Float>(start: T, n: usize, term: impl Fn(usize) -> (T, T)) -> T {
    let mut total = start;
    for first in (0..n).step_by(BLOCK) {
        let mut sum = if first == 0 { start } else { T::ZERO };
        for nth in first..n.min(first + BLOCK) {
            let (a, b) = term(nth);
            sum = a.fused(b, sum);
        }
        total = if first == 0 { sum } else { total + sum };
    }
    total
}

/// See [`product`](super::product()).
pub fn product<T: Float>(c: &mut [T], stride: usize, start: Start<T>, a: Matrix<T>, b: Matrix<T>) {
    for row in 0..a.rows() {
        for column in 0..b.columns() {
            let c = &mut c[row * stride + column];
            let start = match start {
                Start::Zero => T::ZERO,
                Start::PerColumn(bias) => bias[column],
                Start::PerRow(bias) => bias[row],
                Start::There => *c,
            };
            *c = chain(start, a.columns(), |k| (a.at(row, k), b.at(k, column)));
        }
    }
}

/// The element `nth` (channel of the group, position in the kernel) of a window; +0 outside.
fn windowed<T: Float>(
    of: &Convolution,
    image: &[T],
    first_channel: usize,
    nth: usize,
    window: [usize; 3],
) -> T {
    let Convolution { windows, .. } = of;
    let size = volume(windows.kernel);
    let (channel, offset) = (first_channel + nth / size, position(windows.kernel, nth % size));
    let element = windows.element(window, offset);
    element.map_or(T::ZERO, |element| image[channel * volume(windows.image) + element])
}

/// See [`convolution`](super::convolution::convolution).
pub fn convolution<T: Float>(
    output: &mut [T],
    of: &Convolution,
    bias: Option<&[T]>,
    weights: &[T],
    input: &[T],
) {
    let size = of.windows.output().expect("windows that fit");
    let depth = of.depth();
    let images = input.chunks_exact(of.channels * volume(of.windows.image));
    for (output, image) in output.chunks_exact_mut(of.filters * volume(size)).zip(images) {
        for filter in 0..of.filters {
            let channel = filter / of.filters_of_group() * of.channels_of_group();
            let weights = &weights[filter * depth..];
            for (nth, window) in positions(size).enumerate() {
                let start = bias.map_or(T::ZERO, |bias| bias[filter]);
                let term = |k| (weights[k], windowed(of, image, channel, k, window));
                output[filter * volume(size) + nth] = chain(start, depth, term);
            }
        }
    }
}

/// See [`weight_gradient`](super::convolution::weight_gradient).
pub fn weight_gradient<T: Float>(
    gradient: &mut [T],
    of: &Convolution,
    start: Start<T>,
    input: &[T],
    output_gradient: &[T],
) {
    let size = of.windows.output().expect("windows that fit");
    let (depth, n_windows) = (of.depth(), volume(size));
    if !matches!(start, Start::There) {
        gradient.fill(T::ZERO);
    }
    let images = input.chunks_exact(of.channels * volume(of.windows.image));
    for (image, output) in images.zip(output_gradient.chunks_exact(of.filters * n_windows)) {
        for filter in 0..of.filters {
            let channel = filter / of.filters_of_group() * of.channels_of_group();
            for nth in 0..depth {
                let term = |window| {
                    let at = position(size, window);
                    (output[filter * n_windows + window], windowed(of, image, channel, nth, at))
                };
                let to = &mut gradient[filter * depth + nth];
                *to = *to + chain(T::ZERO, n_windows, term);
            }
        }
    }
}

/// See [`input_gradient`](super::convolution::input_gradient).
pub fn input_gradient<T: Float>(
    gradient: &mut [T],
    of: &Convolution,
    start: Start<T>,
    weights: &[T],
    output_gradient: &[T],
) {
    let size = of.windows.output().expect("windows that fit");
    let (plane, n_windows, depth) = (volume(of.windows.image), volume(size), of.depth());
    let offsets = volume(of.windows.kernel);
    let images = gradient.chunks_exact_mut(of.channels * plane);
    for (gradient, output) in images.zip(output_gradient.chunks_exact(of.filters * n_windows)) {
        for channel in 0..of.channels {
            let to = &mut gradient[channel * plane..][..plane];
            match start {
                Start::PerRow(bias) => to.fill(bias[channel]),
                Start::There => {}
                _ => to.fill(T::ZERO),
            }
            let (group, nth) = (channel / of.channels_of_group(), channel % of.channels_of_group());
            for (offset, at) in positions(of.windows.kernel).enumerate() {
                for (window, window_at) in positions(size).enumerate() {
                    let Some(element) = of.windows.element(window_at, at) else { continue };
                    let term = |filter| {
                        let filter = group * of.filters_of_group() + filter;
                        let weight = weights[filter * depth + nth * offsets + offset];
                        (weight, output[filter * n_windows + window])
                    };
                    let sum = chain(T::ZERO, of.filters_of_group(), term);
                    to[element] = to[element] + sum;
                }
            }
        }
    }
}

/// The sum of terms: eight interleaved ones.
pub fn interleaved<T: Float>(n: usize, term: impl Fn(usize) -> T) -> T {
    let mut sums = [T::ZERO; 8];
    for nth in 0..n {
        sums[nth % 8] = sums[nth % 8] + term(nth);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let [a, b, c, d] = [a + e, b + f, c + g, d + h];
    let [a, b] = [a + c, b + d];
    a + b
}

/// See [`sum`](super::reduction::sum).
pub fn sum<T: Float>(to: &mut [T], x: &[T], [outer, n, inner]: [usize; 3]) {
    for (row, column) in (0..outer).flat_map(|row| (0..inner).map(move |column| (row, column))) {
        to[row * inner + column] = interleaved(n, |nth| x[(row * n + nth) * inner + column]);
    }
}

/// The first of the largest terms, and which it is.
pub fn largest<T: Float>(n: usize, term: impl Fn(usize) -> T) -> Option<(T, usize)> {
    let mut best = (0..n).next().map(|first| (term(first), first))?;
    for nth in 1..n {
        if term(nth) > best.0 {
            best = (term(nth), nth);
        }
    }
    Some(best)
}

/// The elements of a window that exist, as indices of a plane, in row-major order.
pub fn existing(windows: &Windows, window: [usize; 3]) -> Vec<usize> {
    positions(windows.kernel).filter_map(|offset| windows.element(window, offset)).collect()
}

/// See [`max_pool`](super::pooling::max_pool).
pub fn max_pool<T: Float>(output: &mut [T], places: &mut [u32], windows: &Windows, input: &[T]) {
    let size = windows.output().expect("windows that fit");
    for (plane, input) in input.chunks_exact(volume(windows.image)).enumerate() {
        for (nth, window) in positions(size).enumerate() {
            let elements = existing(windows, window);
            let (max, at) = largest(elements.len(), |nth| input[elements[nth]]).expect("one");
            output[plane * volume(size) + nth] = max;
            places[plane * volume(size) + nth] = elements[at] as u32;
        }
    }
}

/// What a mean divides by.
fn divided_by<T: Float>(windows: &Windows, divisor: Divisor, existing: usize) -> T {
    let n = if divisor == Divisor::Window { volume(windows.kernel) } else { existing };
    T::from_f64(n as f64)
}

/// See [`mean_pool`](super::pooling::mean_pool).
pub fn mean_pool<T: Float>(output: &mut [T], windows: &Windows, divisor: Divisor, input: &[T]) {
    let size = windows.output().expect("windows that fit");
    for (plane, input) in input.chunks_exact(volume(windows.image)).enumerate() {
        for (nth, window) in positions(size).enumerate() {
            let elements = existing(windows, window);
            let sum = elements.iter().fold(T::ZERO, |sum, element| sum + input[*element]);
            let by = divided_by(windows, divisor, elements.len());
            output[plane * volume(size) + nth] = sum / by;
        }
    }
}

/// See [`mean_pool_gradient`](super::pooling::mean_pool_gradient).
pub fn mean_pool_gradient<T: Float>(
    gradient: &mut [T],
    windows: &Windows,
    divisor: Divisor,
    output_gradient: &[T],
) {
    let size = windows.output().expect("windows that fit");
    for (plane, gradient) in gradient.chunks_exact_mut(volume(windows.image)).enumerate() {
        gradient.fill(T::ZERO);
        for (nth, window) in positions(size).enumerate() {
            let elements = existing(windows, window);
            let by = divided_by(windows, divisor, elements.len());
            let share = output_gradient[plane * volume(size) + nth] / by;
            for element in elements {
                gradient[element] = gradient[element] + share;
            }
        }
    }
}
