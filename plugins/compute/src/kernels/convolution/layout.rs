//! How tiles see an image: padded, and with the elements that neighbouring windows look at side by
//! side.
//!
//! With a stride s across, each line is split into s lines: of the elements 0, s, 2s, ..., of 1,
//! s + 1, ..., and so on. So the n-th element of all windows of a line of the output is one run,
//! for any stride, dilation and padding.

use alloc::vec::Vec;

use super::super::window::{Axes, positions, volume};
use super::super::{Float, Windows};

/// A run of windows: half a vector or a vector, all in one line of the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Where the first element of the first window is in a plane of the layout.
    pub(super) from: usize,
    /// Where its output is in a plane of the output.
    pub(super) to: usize,
    /// Windows; those beyond are computed but not written.
    pub(super) part: usize,
}

pub(super) struct Layout {
    windows: Windows,
    /// How many windows along each axis.
    pub(super) output: Axes,
    padded: Axes,
    /// Elements of a split line.
    line: usize,
    /// Elements of a plane.
    pub(super) plane: usize,
}

/// What tiles read beyond the last element at most.
pub(super) const SLACK: usize = 64;

impl Layout {
    pub(super) fn new(windows: &Windows) -> Self {
        let output = windows.output().expect("windows that fit");
        let padded = [0, 1, 2].map(|axis| windows.image[axis] + 2 * windows.padding[axis]);
        let line = padded[2].div_ceil(windows.stride[2]);
        let plane = padded[0] * padded[1] * line * windows.stride[2];
        Self { windows: *windows, output, padded, line, plane }
    }

    /// Elements of planes, with slack.
    pub(super) fn len(&self, planes: usize) -> usize {
        planes * self.plane + SLACK
    }

    /// Whether an image is its layout, as long as no run is shorter than its vector.
    pub(super) fn is_image(&self) -> bool {
        self.windows.padding == [0; 3] && self.windows.stride[2] == 1
    }

    /// Where the element at an offset of a window is, from the window's first one on.
    fn offset(&self, at: Axes) -> usize {
        let steps = [0, 1, 2].map(|axis| at[axis] * self.windows.dilation[axis]);
        let stride = self.windows.stride[2];
        let lines = (steps[0] * self.padded[1] + steps[1]) * stride;
        (lines + steps[2] % stride) * self.line + steps[2] / stride
    }

    /// The offsets of a window over `channels` planes: (channel, position in the kernel).
    pub(super) fn offsets(&self, channels: usize) -> Vec<usize> {
        let all = (0..channels).flat_map(|channel| {
            positions(self.windows.kernel).map(move |at| channel * self.plane + self.offset(at))
        });
        all.collect()
    }

    /// Where the first element of the first window of each line of the output is.
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> + '_ {
        let line = self.line * self.windows.stride[2];
        (0..self.output[0] * self.output[1]).map(move |nth| {
            let (depth, row) = (nth / self.output[1], nth % self.output[1]);
            let [down, rows, _] = self.windows.stride;
            (depth * down * self.padded[1] + row * rows) * line
        })
    }

    /// All windows in runs of at most `len`.
    pub(super) fn runs(&self, len: usize) -> Vec<Run> {
        let width = self.output[2];
        let lines = self.starts().enumerate().flat_map(|(nth, start)| {
            (0..width).step_by(len).map(move |column| Run {
                from: start + column,
                to: nth * width + column,
                part: len.min(width - column),
            })
        });
        lines.collect()
    }

    /// Calls `f` for each line of an image with where it starts there and in the layout.
    fn lines(&self, mut f: impl FnMut(usize, usize)) {
        let Windows { image, padding, stride, .. } = self.windows;
        for nth in 0..image[0] * image[1] {
            let (depth, row) = (nth / image[1], nth % image[1]);
            let line = (depth + padding[0]) * self.padded[1] + row + padding[1];
            f(nth * image[2], line * stride[2] * self.line);
        }
    }

    /// Copies planes of images to the layout, which holds zeros around them.
    #[inline(always)]
    pub(super) fn split<T: Float>(&self, to: &mut [T], images: &[T]) {
        let Windows { image, padding, stride, .. } = self.windows;
        let planes = images.chunks_exact(volume(image)).zip(to.chunks_exact_mut(self.plane));
        for (from, to) in planes {
            self.lines(|start, at| {
                let from = &from[start..][..image[2]];
                if stride[2] == 1 {
                    copy(&mut to[at + padding[2]..][..image[2]], from);
                    return;
                }
                for (phase, first, n) in self.phases() {
                    let to = &mut to[at + phase * self.line + (first + padding[2]) / stride[2]..];
                    every(&mut to[..n], &from[first..], stride[2]);
                }
            });
        }
    }

    /// Copies planes of the layout back to images.
    #[inline(always)]
    pub(super) fn merge<T: Float>(&self, images: &mut [T], from: &[T]) {
        let Windows { image, padding, stride, .. } = self.windows;
        let planes = images.chunks_exact_mut(volume(image)).zip(from.chunks_exact(self.plane));
        for (to, from) in planes {
            self.lines(|start, at| {
                let to = &mut to[start..][..image[2]];
                if stride[2] == 1 {
                    copy(to, &from[at + padding[2]..][..image[2]]);
                    return;
                }
                for (phase, first, n) in self.phases() {
                    let from = &from[at + phase * self.line + (first + padding[2]) / stride[2]..];
                    let every = to[first..].iter_mut().step_by(stride[2]);
                    every.zip(&from[..n]).for_each(|(to, from)| *to = *from);
                }
            });
        }
    }

    /// The split lines that have elements of the image: which, the first element, and how many.
    #[inline(always)]
    fn phases(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (stride, padding) = (self.windows.stride[2], self.windows.padding[2]);
        let width = self.windows.image[2];
        (0..stride.min(width))
            .map(move |first| ((first + padding) % stride, first, (width - first).div_ceil(stride)))
    }
}

/// Copies a line; a call of the machine's own copy costs more than a short one.
#[inline(always)]
fn copy<T: Float>(to: &mut [T], from: &[T]) {
    /// Elements at a time.
    const N: usize = 8;
    let len = to.len().min(from.len());
    if !(N..=128).contains(&len) {
        to.copy_from_slice(from);
        return;
    }
    let mut at = 0;
    while at < len {
        // The last ones lie over others if there is no whole number of them.
        let start = at.min(len - N);
        if let (Some(to), Some(from)) =
            (to[start..].first_chunk_mut::<N>(), from[start..].first_chunk::<N>())
        {
            *to = *from;
        }
        at += N;
    }
}

/// Copies every so many elements.
#[inline(always)]
fn every<T: Float>(to: &mut [T], from: &[T], stride: usize) {
    if stride == 2 && from.len() + 1 >= 2 * to.len() && !to.is_empty() {
        let last = to.len() - 1;
        for (to, pair) in to[..last].iter_mut().zip(from.chunks_exact(2)) {
            *to = pair[0];
        }
        to[last] = from[2 * last];
        return;
    }
    to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, from)| *to = *from);
}
