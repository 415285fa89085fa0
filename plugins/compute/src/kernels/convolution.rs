//! Convolutions of images in one to three dimensions (cross-correlations, as
//! `torch.nn.functional.conv1d` to `conv3d`), their gradients, and transposed convolutions.
//!
//! Images [images, channels, depth, lines, columns], weights [filters, channels of a group, kernel
//! depth, lines, columns], outputs [images, filters, depth, lines, columns], row-major.

use super::window::volume;
use super::{Float, Parallel, Start, Windows, reference};

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

    fn check(&self, input: usize, weights: usize, output: usize) {
        assert_eq!([input, weights, output], self.lens(), "elements of input, weights, output");
    }
}

/// Writes the convolution of `input` with `weights` to `output`. Sums start from the `bias`
/// [filters], or +0.
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
    let _ = threads;
    reference::convolution(output, of, bias, weights, input);
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
    let _ = threads;
    reference::weight_gradient(gradient, of, start, input, output_gradient);
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
    let _ = threads;
    reference::input_gradient(gradient, of, start, weights, output_gradient);
}
