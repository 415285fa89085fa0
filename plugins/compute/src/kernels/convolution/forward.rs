//! Windows times weights, without a matrix of windows: tiles of filters and runs of windows.

#![allow(clippy::needless_range_loop, reason = "rows and vectors of a tile are numbers")]

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::parallel::Shared;
use super::super::product::{by_vectors, vectors};
use super::super::simd::{Kernel, Lanes};
use super::super::window::volume;
use super::super::{BLOCK, Float};
use super::Convolution;
use super::layout::{Layout, Run};

/// Some (image, group) pairs of a convolution, and some filters of each group.
pub struct Forward<'a, T> {
    pub(super) of: &'a Convolution,
    pub(super) layout: &'a Layout,
    pub(super) offsets: &'a [usize],
    pub(super) output: Shared<T>,
    pub(super) bias: Option<&'a [T]>,
    pub(super) weights: &'a [T],
    pub(super) input: &'a [T],
    /// Numbers `image · groups + group`.
    pub(super) units: Range<usize>,
    pub(super) filters: Range<usize>,
}

/// What a tile needs beside its rows and runs.
struct Tile<'a, T> {
    image: *const T,
    offsets: &'a [usize],
    weights: *const T,
    bias: *const T,
    output: *mut T,
    /// Elements of a plane of the output.
    plane: usize,
    /// Whether this is another block than the first.
    is_next: bool,
}

/// The most vectors of a tile. Each has two addresses; with three the compiler runs out of
/// registers and half of the speed is lost.
pub(super) const VECTORS_MAX: usize = 2;
/// The most runs of a tile: two in each vector.
pub(super) const RUNS_MAX: usize = 2 * VECTORS_MAX;

impl<T: Float> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let run = L::N / L::PIECES;
        let mut runs = self.layout.runs(run);
        let in_place = self.layout.is_image() && runs.iter().all(|one| one.part == run);
        let filters = self.filters.len();
        let v = vectors::<L>(filters, runs.len().div_ceil(L::PIECES), VECTORS_MAX);
        // A tile may take more than there are.
        let n_runs = runs.len();
        runs.resize(n_runs + RUNS_MAX, Run { from: 0, to: 0, part: 0 });
        let channels = self.of.channels_of_group();
        let len = if in_place { 0 } else { self.layout.len(channels) };
        let mut laid_out: Vec<T> = vec![T::ZERO; len];
        let image_len = channels * volume(self.of.windows.image);
        let mut packed = None;
        for unit in self.units.clone() {
            let group = unit % self.of.groups;
            if packed.as_ref().is_none_or(|(of, _)| *of != group) {
                packed = Some((group, self.pack(group, L::ROWS[v - 1])));
            }
            let Some((_, weights)) = &packed else { continue };
            let image = &self.input[unit * image_len..][..image_len];
            let at = if in_place {
                image.as_ptr()
            } else {
                self.layout.split(&mut laid_out, image);
                laid_out.as_ptr()
            };
            self.unit::<L>(unit, at, (&runs, n_runs), weights, v);
        }
    }
}

impl<T: Float> Forward<'_, T> {
    /// The weights of the filters in strips: for each strip, for each element of a filter, those of
    /// all filters of the strip.
    #[inline(always)]
    fn pack(&self, group: usize, rows_max: usize) -> Vec<T> {
        let depth = self.of.depth();
        let mut packed = Vec::with_capacity(self.filters.len() * depth);
        let first = group * self.of.filters_of_group() + self.filters.start;
        for strip in strips(self.filters.len(), rows_max) {
            for nth in 0..depth {
                for filter in strip.clone() {
                    packed.push(self.weights[(first + filter) * depth + nth]);
                }
            }
        }
        packed
    }

    /// All filters of one group of one image, in tiles of at most `v` vectors.
    #[inline(always)]
    fn unit<L: Lanes<T = T>>(
        &self,
        unit: usize,
        image: *const T,
        (runs, n_runs): (&[Run], usize),
        weights: &[T],
        v: usize,
    ) {
        let (depth, plane) = (self.of.depth(), volume(self.layout.output));
        let first = unit % self.of.groups * self.of.filters_of_group() + self.filters.start;
        for start in (0..depth).step_by(BLOCK) {
            let steps = start..depth.min(start + BLOCK);
            let mut nth = 0;
            while nth < n_runs {
                let now = v.min((n_runs - nth).div_ceil(L::PIECES));
                let of_tile = &runs[nth..nth + now * L::PIECES];
                for strip in strips(self.filters.len(), L::ROWS[v - 1]) {
                    let n = strip.len();
                    let bias = self.bias.map(|bias| bias[first + strip.start..].as_ptr());
                    let packed = &weights[strip.start * depth + start * n..][..steps.len() * n];
                    let filter =
                        unit * self.of.filters_of_group() + self.filters.start + strip.start;
                    let tile = Tile {
                        image,
                        offsets: &self.offsets[steps.clone()],
                        weights: packed.as_ptr(),
                        bias: bias.unwrap_or(core::ptr::null()),
                        output: self.output.0.wrapping_add(filter * plane),
                        plane,
                        is_next: start > 0,
                    };
                    // SAFETY: outputs of this unit and these filters are this part's.
                    unsafe { by_vectors!(L, now, n, windows(&tile, of_tile)) }
                }
                nth += of_tile.len();
            }
        }
    }
}

/// Strips of at most so many rows that share them evenly.
#[inline(always)]
pub(super) fn strips(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let strips = rows.div_ceil(most);
    let (each, more) = (rows / strips.max(1), rows % strips.max(1));
    (0..strips).map(move |strip| {
        let start = strip * each + strip.min(more);
        start..start + each + usize::from(strip < more)
    })
}

/// `R` filters of `V` vectors of windows.
///
/// # Safety
/// All that the tile names is there: runs and offsets within the image, weights, outputs.
#[inline(always)]
unsafe fn windows<L: Lanes, const R: usize, const V: usize>(tile: &Tile<L::T>, runs: &[Run]) {
    let last = L::PIECES - 1;
    let mut at = [(core::ptr::null(), core::ptr::null()); V];
    for vector in 0..V {
        let [low, high] = [runs[vector * L::PIECES], runs[vector * L::PIECES + last]];
        at[vector] = (tile.image.wrapping_add(low.from), tile.image.wrapping_add(high.from));
    }
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[L::splat(L::T::default()); V]; R];
        if !tile.bias.is_null() && !tile.is_next {
            for row in 0..R {
                sums[row] = [L::splat(*tile.bias.add(row)); V];
            }
        }
        let mut weights = tile.weights;
        for offset in tile.offsets {
            let mut window = [L::splat(L::T::default()); V];
            for vector in 0..V {
                let (low, high) = at[vector];
                window[vector] = L::load_pieces(low.add(*offset), high.add(*offset));
            }
            for row in 0..R {
                let weight = L::splat(*weights.add(row));
                for vector in 0..V {
                    sums[row][vector] = weight.fused(window[vector], sums[row][vector]);
                }
            }
            weights = weights.add(R);
        }
        let are_whole = runs.iter().all(|run| run.part == L::N / L::PIECES);
        for row in 0..R {
            for vector in 0..V {
                let [low, high] = [runs[vector * L::PIECES], runs[vector * L::PIECES + last]];
                let to = tile.output.add(row * tile.plane);
                let (at, above) = (to.add(low.to), to.add(high.to));
                put(sums[row][vector], at, low.part, above, high.part, are_whole, tile.is_next);
            }
        }
    }
}

/// Writes pieces of a vector, or adds them to what is there.
///
/// # Safety
/// The parts can be written.
#[inline(always)]
pub(super) unsafe fn put<L: Lanes>(
    sum: L,
    low: *mut L::T,
    n_low: usize,
    high: *mut L::T,
    n_high: usize,
    are_whole: bool,
    is_added: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        if are_whole {
            let sum = if is_added { L::load_pieces(low, high).add(sum) } else { sum };
            sum.store_pieces(low, high);
        } else {
            let sum =
                if is_added { L::load_piece_parts(low, n_low, high, n_high).add(sum) } else { sum };
            sum.store_piece_parts(low, n_low, high, n_high);
        }
    }
}
