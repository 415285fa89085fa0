//! The gradient of the weights: lanes along filters, one element of the image for all of them.

#![allow(clippy::needless_range_loop, reason = "rows and vectors of a tile are numbers")]

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::panel::{Panel, transpose};
use super::super::parallel::Shared;
use super::super::product::{by_vectors, vectors};
use super::super::simd::{Kernel, Lanes};
use super::super::window::volume;
use super::super::{BLOCK, Float};
use super::Convolution;
use super::forward::{VECTORS_MAX, strips};
use super::layout::Layout;

/// Some rows of the gradient, over all images.
pub struct Weights<'a, T> {
    pub(super) of: &'a Convolution,
    pub(super) layout: &'a Layout,
    pub(super) offsets: &'a [usize],
    pub(super) gradient: Shared<T>,
    /// Whether to start from what is there.
    pub(super) is_added: bool,
    pub(super) input: &'a [T],
    pub(super) output_gradient: &'a [T],
    pub(super) group: usize,
    /// Elements of a filter.
    pub(super) rows: Range<usize>,
}

impl<T: Float> Kernel<T> for Weights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (of, layout) = (self.of, self.layout);
        let (filters, depth) = (of.filters_of_group(), of.depth());
        let (n_windows, channels) = (volume(layout.output), of.channels_of_group());
        let first = self.group * filters * depth;
        // By rows of the windows, in lines of whole vectors of filters.
        let line = filters.div_ceil(L::N) * L::N;
        let mut total: Vec<T> = vec![T::ZERO; self.rows.len() * line];
        if self.is_added {
            for filter in 0..filters {
                for (nth, row) in self.rows.clone().enumerate() {
                    // SAFETY: rows of the gradient are this part's.
                    total[nth * line + filter] =
                        unsafe { *self.gradient.0.add(first + filter * depth + row) };
                }
            }
        }
        let mut image_sum: Vec<T> = vec![T::ZERO; if n_windows > BLOCK { total.len() } else { 0 }];
        let in_place = layout.is_image();
        let len = if in_place { 0 } else { layout.len(channels) };
        let mut laid_out: Vec<T> = vec![T::ZERO; len];
        let starts: Vec<usize> = layout.starts().collect();
        let image_len = channels * volume(of.windows.image);
        for image in 0..of.images {
            let unit = image * of.groups + self.group;
            let input = &self.input[unit * image_len..][..image_len];
            let at = if in_place {
                input.as_ptr()
            } else {
                layout.split(&mut laid_out, input);
                laid_out.as_ptr()
            };
            let output = &self.output_gradient[unit * filters * n_windows..][..filters * n_windows];
            if n_windows <= BLOCK {
                // SAFETY: the image is laid out, the sums are whole lines.
                unsafe { self.block::<L>(at, &starts, output, 0..n_windows, true, &mut total) }
                continue;
            }
            for start in (0..n_windows).step_by(BLOCK) {
                let windows = start..n_windows.min(start + BLOCK);
                // SAFETY: as above.
                unsafe {
                    self.block::<L>(at, &starts, output, windows, start > 0, &mut image_sum);
                }
            }
            for nth in 0..total.len() {
                total[nth] = total[nth] + image_sum[nth];
            }
        }
        for filter in 0..filters {
            for (nth, row) in self.rows.clone().enumerate() {
                // SAFETY: rows of the gradient are this part's.
                unsafe {
                    *self.gradient.0.add(first + filter * depth + row) = total[nth * line + filter];
                }
            }
        }
    }
}

impl<T: Float> Weights<'_, T> {
    /// A block of windows of one image: written to `sums`, or added.
    ///
    /// # Safety
    /// The image is laid out, `sums` has a line of whole vectors for each row.
    #[inline(always)]
    unsafe fn block<L: Lanes<T = T>>(
        &self,
        image: *const T,
        starts: &[usize],
        output: &[T],
        windows: Range<usize>,
        is_added: bool,
        sums: &mut [T],
    ) {
        let (filters, n_windows) = (self.of.filters_of_group(), volume(self.layout.output));
        let (width, line) = (self.layout.output[2], filters.div_ceil(L::N) * L::N);
        // Windows that follow one another in a line of the output.
        let mut segments = [(0, 0); BLOCK];
        let mut n_segments = 0;
        let mut window = windows.start;
        while window < windows.end {
            let (row, column) = (window / width, window % width);
            let n = (width - column).min(windows.end - window);
            segments[n_segments] = (starts[row] + column, n);
            (n_segments, window) = (n_segments + 1, window + n);
        }
        let segments = &segments[..n_segments];
        let most = vectors::<L>(self.rows.len(), filters.div_ceil(L::N), VECTORS_MAX);
        let mut panel = Panel::new();
        let mut filter = 0;
        while filter < filters {
            let v = most.min((filters - filter).div_ceil(L::N));
            let n = (filters - filter).min(v * L::N);
            let from = output[filter * n_windows + windows.start..].as_ptr();
            // SAFETY: gradients of so many windows and filters follow; a panel holds them.
            unsafe {
                transpose::<L>(from, n_windows, [n, windows.len()], panel.at(), v * L::N);
            }
            for strip in strips(self.rows.len(), L::ROWS[v - 1]) {
                let offsets = &self.offsets[self.rows.start + strip.start..][..strip.len()];
                let to = sums[strip.start * line + filter..].as_mut_ptr();
                let tile = Tile {
                    image,
                    offsets,
                    segments,
                    panel: panel.at::<T>().cast_const(),
                    to,
                    line,
                    is_added,
                };
                let n = strip.len();
                // SAFETY: the caller's.
                unsafe { by_vectors!(L, v, n, gradient(&tile)) }
            }
            filter += n;
        }
    }
}

/// What a tile needs.
struct Tile<'a, T> {
    image: *const T,
    /// One for each row.
    offsets: &'a [usize],
    /// Where windows that follow one another start, and how many.
    segments: &'a [(usize, usize)],
    /// The gradients of the windows: lines of filters.
    panel: *const T,
    to: *mut T,
    /// From one row of the result to the next.
    line: usize,
    is_added: bool,
}

/// `R` elements of windows times `V` vectors of filters.
///
/// # Safety
/// All that the tile names is there.
#[inline(always)]
unsafe fn gradient<L: Lanes, const R: usize, const V: usize>(tile: &Tile<L::T>) {
    let mut at = [tile.image; R];
    for row in 0..R {
        at[row] = at[row].wrapping_add(tile.offsets[row]);
    }
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[L::splat(L::T::default()); V]; R];
        let mut panel = tile.panel;
        for (start, n) in tile.segments {
            for nth in *start..*start + *n {
                let mut right = [L::splat(L::T::default()); V];
                for vector in 0..V {
                    right[vector] = L::load(panel.add(vector * L::N));
                }
                for row in 0..R {
                    let element = L::splat(*at[row].add(nth));
                    for vector in 0..V {
                        sums[row][vector] = element.fused(right[vector], sums[row][vector]);
                    }
                }
                panel = panel.add(V * L::N);
            }
        }
        for row in 0..R {
            for vector in 0..V {
                let to = tile.to.add(row * tile.line + vector * L::N);
                let sum = sums[row][vector];
                let sum = if tile.is_added { L::load(to).add(sum) } else { sum };
                sum.store(to);
            }
        }
    }
}
