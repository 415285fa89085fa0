//! Pooling along one to three axes, and the way back to larger ones.

use fedwasm_compute::{Sampling, Windows, compose};

use super::{Along, refuse};
use crate::{Layer, Module, Tensor, Visitor, module};

/// Pooling along `N` axes: [`MaxPool2d`], [`AvgPool2d`] and their likes of one and three axes are
/// this. Takes [rows, channels] and `N` more axes, and makes these shorter.
#[derive(Clone, Copy, Debug)]
pub struct Pool<const N: usize, const IS_MAX: bool> {
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    leaves_padding_out: bool,
}

/// The largest of each window, as `torch.nn.MaxPool1d`.
pub type MaxPool1d = Pool<1, true>;
/// The largest of each window, as `torch.nn.MaxPool2d`.
pub type MaxPool2d = Pool<2, true>;
/// The largest of each window, as `torch.nn.MaxPool3d`.
pub type MaxPool3d = Pool<3, true>;
/// The mean of each window, as `torch.nn.AvgPool1d`.
pub type AvgPool1d = Pool<1, false>;
/// The mean of each window, as `torch.nn.AvgPool2d`.
pub type AvgPool2d = Pool<2, false>;
/// The mean of each window, as `torch.nn.AvgPool3d`.
pub type AvgPool3d = Pool<3, false>;

impl<const N: usize, const IS_MAX: bool> Pool<N, IS_MAX> {
    /// Windows of this size, side by side. `kernel` is a number for all axes, or an array.
    #[must_use]
    pub fn new(kernel: impl Along<N>) -> Self {
        let kernel = kernel.along();
        Self { kernel, stride: kernel, padding: [0; N], leaves_padding_out: false }
    }

    /// From one window to the next; the kernel's size unless said.
    #[must_use]
    pub fn stride(self, stride: impl Along<N>) -> Self {
        Self { stride: stride.along(), ..self }
    }

    /// Elements around the input, at most half of the kernel: none that a maximum could be, and
    /// zeros for a mean. 0 unless said.
    #[must_use]
    pub fn padding(self, padding: impl Along<N>) -> Self {
        Self { padding: padding.along(), ..self }
    }
}

impl<const N: usize> Pool<N, false> {
    /// Zeros of the padding do not count (`count_include_pad=False`); they do unless said.
    #[must_use]
    pub fn without_padding_in_mean(self) -> Self {
        Self { leaves_padding_out: true, ..self }
    }
}

impl<const N: usize, const IS_MAX: bool> Module for Pool<N, IS_MAX> {
    fn visit(&self, _: &mut Visitor<'_>) {}
}

impl<const N: usize, const IS_MAX: bool> Layer for Pool<N, IS_MAX> {
    fn forward(&self, x: &Tensor) -> Tensor {
        let windows = Windows::Strided {
            kernel: compose::sizes(&self.kernel, 1),
            stride: compose::sizes(&self.stride, 1),
            padding: compose::sizes(&self.padding, 0),
        };
        pool::<N, IS_MAX>(x, windows, !self.leaves_padding_out)
    }
}

#[track_caller]
fn pool<const N: usize, const IS_MAX: bool>(
    x: &Tensor,
    windows: Windows,
    counts_padding: bool,
) -> Tensor {
    if x.rank() != N + 2 {
        let name = if IS_MAX { "MaxPool" } else { "AvgPool" };
        let takes = format!("[rows, channels] and {N} more axes");
        return refuse(x, &format!("{name}{N}d"), &takes);
    }
    match IS_MAX {
        true => x.max_pool(windows),
        false => x.avg_pool(windows, counts_padding),
    }
}

/// Pooling to given lengths of `N` axes: [`AdaptiveAvgPool2d`], [`AdaptiveMaxPool2d`] and their
/// likes of one and three axes are this. Takes [rows, channels] and `N` more axes, of any length.
#[derive(Clone, Copy, Debug)]
pub struct AdaptivePool<const N: usize, const IS_MAX: bool>([usize; N]);

/// The largest of each window, as `torch.nn.AdaptiveMaxPool1d`.
pub type AdaptiveMaxPool1d = AdaptivePool<1, true>;
/// The largest of each window, as `torch.nn.AdaptiveMaxPool2d`.
pub type AdaptiveMaxPool2d = AdaptivePool<2, true>;
/// The largest of each window, as `torch.nn.AdaptiveMaxPool3d`.
pub type AdaptiveMaxPool3d = AdaptivePool<3, true>;
/// The mean of each window, as `torch.nn.AdaptiveAvgPool1d`.
pub type AdaptiveAvgPool1d = AdaptivePool<1, false>;
/// The mean of each window, as `torch.nn.AdaptiveAvgPool2d`.
pub type AdaptiveAvgPool2d = AdaptivePool<2, false>;
/// The mean of each window, as `torch.nn.AdaptiveAvgPool3d`.
pub type AdaptiveAvgPool3d = AdaptivePool<3, false>;

impl<const N: usize, const IS_MAX: bool> AdaptivePool<N, IS_MAX> {
    /// So many windows along each axis, which cover it evenly: a number for all axes, or an array.
    #[must_use]
    pub fn new(windows: impl Along<N>) -> Self {
        Self(windows.along())
    }
}

impl<const N: usize, const IS_MAX: bool> Module for AdaptivePool<N, IS_MAX> {
    fn visit(&self, _: &mut Visitor<'_>) {}
}

impl<const N: usize, const IS_MAX: bool> Layer for AdaptivePool<N, IS_MAX> {
    fn forward(&self, x: &Tensor) -> Tensor {
        pool::<N, IS_MAX>(x, Windows::Adaptive(compose::sizes(&self.0, 1)), true)
    }
}

module! {
    /// All axes behind [rows, channels], one to three, as many times longer, as
    /// `torch.nn.Upsample(scale_factor=times)`. For other lengths there is [`Tensor::resample`].
    #[derive(Clone, Copy, Debug)]
    pub struct Upsample { times: usize, is_linear: bool }
}

impl Upsample {
    /// Each element repeated (`mode="nearest"`).
    #[must_use]
    pub fn nearest(times: usize) -> Self {
        Self { times, is_linear: false }
    }

    /// Between two neighbours in proportion (`mode="linear"`, `"bilinear"` or `"trilinear"`, with
    /// `align_corners=False`).
    #[must_use]
    pub fn linear(times: usize) -> Self {
        Self { times, is_linear: true }
    }
}

impl Layer for Upsample {
    fn forward(&self, x: &Tensor) -> Tensor {
        let by = if self.is_linear { Sampling::Linear } else { Sampling::Nearest };
        let sizes = x.shape().into_iter().skip(2);
        x.resample(by, &sizes.map(|size| size.saturating_mul(self.times)).collect::<Vec<_>>())
    }
}
