//! Convolutions of images in one to three dimensions (cross-correlations, as
//! `torch.nn.functional.conv1d` to `conv3d`), their gradients, and transposed convolutions.
//!
//! Images [images, channels, depth, lines, columns], weights [filters, channels of a group, kernel
//! depth, lines, columns], outputs [images, filters, depth, lines, columns], row-major.
//!
//! For the time of a call each thread allocates one image of a group with its padding, one gradient
//! of an image's output, twice the weights of a group (filters rounded up to whole vectors), and
//! numbers for runs of windows, at most 24 bytes for each window of an image.

pub(crate) mod forward;
pub(crate) mod inputs;
mod layout;
pub(crate) mod weights;

use core::ops::Range;

use self::forward::Forward;
use self::inputs::Inputs;
use self::layout::Layout;
use self::weights::Weights;
use super::parallel::{Shared, pieces};
use super::window::volume;
use super::{Float, Parallel, Start, Windows, reference, simd};

/// Shapes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Images of the batch.
    pub images: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Filters: channels of the output.
    pub filters: usize,
    /// Groups that channels and filters fall into; each filter sees the channels of its group.
    pub groups: usize,
    /// Sizes of an image and the kernel.
    pub windows: Windows,
}

impl Convolution {
    /// Checks that channels and filters fall into groups and that windows fit.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let divides = |n: usize| n.checked_rem(self.groups) == Some(0);
        divides(self.channels) && divides(self.filters) && self.windows.output().is_some()
    }

    /// Elements of a filter.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.channels_of_group() * volume(self.windows.kernel)
    }

    /// Channels that a filter sees.
    #[must_use]
    pub fn channels_of_group(&self) -> usize {
        self.channels / self.groups
    }

    /// Filters of a group.
    #[must_use]
    pub fn filters_of_group(&self) -> usize {
        self.filters / self.groups
    }

    /// Elements of all images, of the weights, and of all outputs.
    ///
    /// # Panics
    /// If it [is not valid](Self::is_valid).
    #[must_use]
    pub fn lens(&self) -> [usize; 3] {
        assert!(self.is_valid(), "windows that fit, and whole groups: {self:?}");
        let output = self.windows.output().map_or(0, volume);
        [
            self.images * self.channels * volume(self.windows.image),
            self.filters * self.depth(),
            self.images * self.filters * output,
        ]
    }

    /// Calls `f` with (image, group) pairs and channels or filters of each group, on all threads.
    fn each(
        &self,
        of_group: usize,
        threads: &dyn Parallel,
        f: &(dyn Fn(Range<usize>, Range<usize>) + Sync),
    ) {
        let units = self.images * self.groups;
        let output = self.windows.output().map_or(0, volume);
        let work = self.images * self.filters * output * self.depth();
        if threads.threads() == 1 || work < threads.work_min() {
            f(0..units, 0..of_group);
        } else if units >= threads.threads() {
            let cut = pieces(units, threads.threads(), 1);
            threads.run(cut.len(), &|part| f(cut.piece(part), 0..of_group));
        } else {
            let cut = pieces(of_group, threads.threads(), 1);
            threads.run(cut.len(), &|part| f(0..units, cut.piece(part)));
        }
    }

    fn check(&self, input: usize, weights: usize, output: usize) {
        assert_eq!([input, weights, output], self.lens(), "elements of input, weights, output");
    }
}

/// Writes the convolution of `input` with `weights` to `output`. Sums start from the `bias`
/// of each filter, or +0.
///
/// # Panics
/// If the shapes do not fit.
pub fn convolution<T: Float>(
    output: &mut [T],
    of: &Convolution,
    bias: Option<&[T]>,
    weights: &[T],
    input: &[T],
    threads: &dyn Parallel,
) {
    of.check(input.len(), weights.len(), output.len());
    assert!(bias.is_none_or(|bias| bias.len() == of.filters), "a bias for each filter");
    if output.is_empty() || of.depth() == 0 {
        reference::convolution(output, of, bias, weights, input);
        return;
    }
    let layout = &Layout::new(&of.windows);
    let offsets = &layout.offsets(of.channels_of_group())[..];
    let (level, output) = (simd::level(), Shared(output.as_mut_ptr()));
    of.each(of.filters_of_group(), threads, &|units, filters| {
        let part = Forward { of, layout, offsets, output, bias, weights, input, units, filters };
        T::convolution(level, part);
    });
}

/// Writes the gradient of the weights, or adds it to what is there.
///
/// # Panics
/// If the shapes do not fit, or `start` is neither `Zero` nor `There`.
pub fn weight_gradient<T: Float>(
    gradient: &mut [T],
    of: &Convolution,
    start: Start<T>,
    input: &[T],
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    of.check(input.len(), gradient.len(), output_gradient.len());
    assert!(
        matches!(start, Start::Zero | Start::There),
        "gradients start from +0 or what is there"
    );
    if gradient.is_empty() || output_gradient.is_empty() {
        reference::weight_gradient(gradient, of, start, input, output_gradient);
        return;
    }
    let layout = &Layout::new(&of.windows);
    let offsets = &layout.offsets(of.channels_of_group())[..];
    let (level, gradient) = (simd::level(), Shared(gradient.as_mut_ptr()));
    // Lanes run along filters: of half a vector of them the other half would be lost.
    let is_narrow = of.filters_of_group() * size_of::<T>() <= 32;
    let level = if is_narrow { level.min(simd::Level::Avx2) } else { level };
    let is_added = matches!(start, Start::There);
    let work = output_gradient.len() * of.depth();
    let is_cut = threads.threads() > 1 && work >= threads.work_min();
    // Rows of all groups, one after the other.
    let rows = of.depth() * of.groups;
    let cut = pieces(rows, if is_cut { threads.threads() } else { 1 }, 1);
    threads.run(cut.len(), &|part| {
        let piece = cut.piece(part);
        for group in piece.start / of.depth()..piece.end.div_ceil(of.depth()) {
            let first = group * of.depth();
            let rows = piece.start.max(first) - first..piece.end.min(first + of.depth()) - first;
            let part = Weights {
                of,
                layout,
                offsets,
                gradient,
                is_added,
                input,
                output_gradient,
                group,
                rows,
            };
            T::weight_gradient(level, part);
        }
    });
}

/// Writes the gradient of the input. It is also the transposed convolution, of `output_gradient`,
/// and then starts from a bias for each channel ([`Start::PerRow`]).
///
/// # Panics
/// If the shapes do not fit, or `start` is `PerColumn`.
pub fn input_gradient<T: Float>(
    gradient: &mut [T],
    of: &Convolution,
    start: Start<T>,
    weights: &[T],
    output_gradient: &[T],
    threads: &dyn Parallel,
) {
    of.check(gradient.len(), weights.len(), output_gradient.len());
    match start {
        Start::PerRow(bias) => assert_eq!(bias.len(), of.channels, "a bias for each channel"),
        Start::PerColumn(_) => panic!("images have no columns"),
        Start::Zero | Start::There => {}
    }
    if gradient.is_empty() || output_gradient.is_empty() || weights.is_empty() {
        reference::input_gradient(gradient, of, start, weights, output_gradient);
        return;
    }
    let layout = &Layout::new(&of.windows);
    let offsets = &layout.offsets(1)[..];
    let (level, gradient) = (simd::level(), Shared(gradient.as_mut_ptr()));
    of.each(of.channels_of_group(), threads, &|units, channels| {
        let part = Inputs {
            of,
            layout,
            offsets,
            gradient,
            start,
            weights,
            output_gradient,
            units,
            channels,
        };
        T::input_gradient(level, part);
    });
}
