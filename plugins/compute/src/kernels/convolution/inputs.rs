//! The gradient of the input: for each position in the kernel, weights times gradients, added to
//! the image shifted by that position.
//!
//! Chunks of windows come in descending order and positions in the kernel within a chunk in
//! ascending order. Of two windows that see an element, the later one sees it at the earlier
//! position, so each element gets its sums in ascending order of positions, as the contract has it.
//! A chunk is longer than a tile: what one position stores, the next one loads shifted by an
//! element, from two stores at once, and waits for them unless many others lie between.

#![allow(clippy::needless_range_loop, reason = "rows and vectors of a tile are numbers")]

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::parallel::Shared;
use super::super::product::{by_vectors, vectors};
use super::super::simd::{Kernel, Lanes};
use super::super::window::volume;
use super::super::{BLOCK, Float, Start};
use super::Convolution;
use super::forward::{RUNS_MAX, VECTORS_MAX, put, strips};
use super::layout::{Layout, Run, SLACK};

/// Some (image, group) pairs, and some channels of each group.
pub struct Inputs<'a, T> {
    pub(super) of: &'a Convolution,
    pub(super) layout: &'a Layout,
    /// Of one channel.
    pub(super) offsets: &'a [usize],
    pub(super) gradient: Shared<T>,
    pub(super) start: Start<'a, T>,
    pub(super) weights: &'a [T],
    pub(super) output_gradient: &'a [T],
    /// Numbers `image · groups + group`.
    pub(super) units: Range<usize>,
    pub(super) channels: Range<usize>,
}

impl<T: Float> Kernel<T> for Inputs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (of, layout) = (self.of, self.layout);
        let run = L::N / L::PIECES;
        let mut runs = layout.runs(run);
        let is_whole = runs.iter().all(|one| one.part == run);
        let (n_runs, channels) = (runs.len(), self.channels.len());
        runs.resize(n_runs + RUNS_MAX, Run { from: 0, to: 0, part: 0 });
        let v = vectors::<L>(channels, n_runs.div_ceil(L::PIECES), VECTORS_MAX);
        let image_len = volume(of.windows.image);
        let output_len = of.filters_of_group() * volume(layout.output);
        // What tiles read beyond the last line is there, too.
        let mut copied: Vec<T> = vec![T::ZERO; if is_whole { 0 } else { output_len + SLACK }];
        let mut laid_out: Vec<T> = vec![T::ZERO; layout.len(channels)];
        let mut packed = None;
        for unit in self.units.clone() {
            let group = unit % of.groups;
            if packed.as_ref().is_none_or(|(of, _)| *of != group) {
                packed = Some((group, self.pack(group, L::ROWS[v - 1])));
            }
            let Some((_, weights)) = &packed else { continue };
            let output = &self.output_gradient[unit * output_len..][..output_len];
            let output = if is_whole {
                output.as_ptr()
            } else {
                copied[..output_len].copy_from_slice(output);
                copied.as_ptr()
            };
            let first = unit * of.channels_of_group() + self.channels.start;
            // SAFETY: planes of these channels are this part's.
            let image =
                unsafe { self.gradient.slice(first * image_len..(first + channels) * image_len) };
            match self.start {
                Start::There => layout.split(&mut laid_out, image),
                Start::PerRow(bias) => {
                    let of_group = of.channels_of_group();
                    let bias = &bias[group * of_group + self.channels.start..];
                    for (plane, bias) in laid_out.chunks_exact_mut(layout.plane).zip(bias) {
                        plane.fill(*bias);
                    }
                }
                Start::Zero | Start::PerColumn(_) => laid_out.fill(T::ZERO),
            }
            self.unit::<L>(output, laid_out.as_mut_ptr(), (&runs, n_runs), weights, v);
            layout.merge(image, &laid_out);
        }
    }
}

impl<T: Float> Inputs<'_, T> {
    /// The weights of the channels in strips: for each strip, for each position in the kernel, for
    /// each filter, those of all channels of the strip.
    #[inline(always)]
    fn pack(&self, group: usize, rows_max: usize) -> Vec<T> {
        let (depth, filters) = (self.of.depth(), self.of.filters_of_group());
        let positions = volume(self.of.windows.kernel);
        let mut packed = Vec::with_capacity(self.channels.len() * positions * filters);
        for strip in strips(self.channels.len(), rows_max) {
            for position in 0..positions {
                for filter in 0..filters {
                    for channel in strip.clone() {
                        let nth = (self.channels.start + channel) * positions + position;
                        packed.push(self.weights[(group * filters + filter) * depth + nth]);
                    }
                }
            }
        }
        packed
    }

    #[inline(always)]
    fn unit<L: Lanes<T = T>>(
        &self,
        output: *const T,
        laid_out: *mut T,
        (runs, n_runs): (&[Run], usize),
        weights: &[T],
        v: usize,
    ) {
        let (filters, positions) = (self.of.filters_of_group(), self.offsets.len());
        let each = v * L::PIECES;
        let chunk = CHUNK.div_ceil(each) * each;
        for start in (0..n_runs).step_by(chunk).rev() {
            let end = n_runs.min(start + chunk);
            for strip in strips(self.channels.len(), L::ROWS[v - 1]) {
                let n = strip.len();
                let weights = &weights[strip.start * positions * filters..];
                for (position, offset) in self.offsets.iter().enumerate() {
                    let tile = Tile {
                        output,
                        plane: volume(self.layout.output),
                        filters,
                        weights: weights[position * filters * n..].as_ptr(),
                        to: laid_out.wrapping_add(strip.start * self.layout.plane + offset),
                        to_plane: self.layout.plane,
                    };
                    for nth in (start..end).step_by(each) {
                        let now = v.min((n_runs - nth).div_ceil(L::PIECES));
                        let of_tile = &runs[nth..nth + now * L::PIECES];
                        // SAFETY: the layout has planes for all channels; runs and offsets are
                        // within.
                        unsafe { by_vectors!(L, now, n, add_back(&tile, of_tile)) }
                    }
                }
            }
        }
    }
}

/// Runs of a chunk: with eight filters or more no load waits for stores of the position before.
const CHUNK: usize = 64;

/// What a tile needs beside its rows and runs.
struct Tile<T> {
    output: *const T,
    /// Elements of a plane of the output.
    plane: usize,
    filters: usize,
    /// Of a position in the kernel.
    weights: *const T,
    /// Where the first window sees the first channel at that position.
    to: *mut T,
    /// From one channel to the next.
    to_plane: usize,
}

/// `R` channels of `V` vectors of windows, for one position in the kernel.
///
/// # Safety
/// All that the tile names is there.
#[inline(always)]
unsafe fn add_back<L: Lanes, const R: usize, const V: usize>(tile: &Tile<L::T>, runs: &[Run]) {
    let last = L::PIECES - 1;
    let are_whole = runs.iter().all(|run| run.part == L::N / L::PIECES);
    // SAFETY: the caller's.
    unsafe {
        let mut total = [[L::splat(L::T::default()); V]; R];
        let mut filter = 0;
        while filter < tile.filters {
            let end = tile.filters.min(filter + BLOCK);
            let weights = tile.weights.add(filter * R);
            let sums = block::<L, R, V>(tile, runs, filter..end, weights);
            if filter == 0 {
                total = sums;
            } else {
                for row in 0..R {
                    for vector in 0..V {
                        total[row][vector] = total[row][vector].add(sums[row][vector]);
                    }
                }
            }
            filter = end;
        }
        for row in 0..R {
            for vector in 0..V {
                let [low, high] = [runs[vector * L::PIECES], runs[vector * L::PIECES + last]];
                let to = tile.to.add(row * tile.to_plane);
                let (at, above) = (to.add(low.from), to.add(high.from));
                put(total[row][vector], at, low.part, above, high.part, are_whole, true);
            }
        }
    }
}

/// The sums over a block of filters, from +0.
///
/// # Safety
/// As [`add_back`].
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize, const V: usize>(
    tile: &Tile<L::T>,
    runs: &[Run],
    filters: Range<usize>,
    mut weights: *const L::T,
) -> [[L; V]; R] {
    let last = L::PIECES - 1;
    let mut at = [(core::ptr::null(), core::ptr::null()); V];
    for vector in 0..V {
        let [low, high] = [runs[vector * L::PIECES], runs[vector * L::PIECES + last]];
        let output = tile.output.wrapping_add(filters.start * tile.plane);
        at[vector] = (output.wrapping_add(low.to), output.wrapping_add(high.to));
    }
    let mut sums = [[L::splat(L::T::default()); V]; R];
    let mut plane = 0;
    // SAFETY: the caller's.
    unsafe {
        for _ in filters {
            let mut gradient = [L::splat(L::T::default()); V];
            for vector in 0..V {
                let (low, high) = at[vector];
                gradient[vector] = L::load_pieces(low.add(plane), high.add(plane));
            }
            for row in 0..R {
                let weight = L::splat(*weights.add(row));
                for vector in 0..V {
                    sums[row][vector] = weight.fused(gradient[vector], sums[row][vector]);
                }
            }
            (weights, plane) = (weights.add(R), plane + tile.plane);
        }
    }
    sums
}
