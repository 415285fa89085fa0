//! Convolutions, pooling, resizing, dropout.

use fedwasm_compute::{Op, Pooling, Sampling, Window, Windows, compose};

use super::{Tensor, apply};
use crate::engine;

impl Tensor {
    /// The convolution (cross-correlation) of [rows, channels, ..] with `weight`
    /// [filters, channels / groups, ..], along one to three axes.
    #[must_use]
    #[track_caller]
    pub fn conv(&self, weight: &Self, bias: Option<&Self>, window: Window) -> Self {
        let mut inputs = vec![self, weight];
        inputs.extend(bias);
        apply(&inputs, &mut |apply, ids| apply.apply(Op::Conv(window), ids))
    }

    /// [`conv`](Self::conv) along two axes, with one stride and padding for both.
    #[must_use]
    #[track_caller]
    pub fn conv2d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        stride: usize,
        padding: usize,
    ) -> Self {
        let (stride, padding) = (number(stride), number(padding));
        let window = Window { stride: [stride; 3], padding: [padding; 3], ..Window::default() };
        self.conv(weight, bias, window)
    }

    /// The transposed convolution of [rows, filters, ..] with `weight`
    /// [filters, channels / groups, ..]; the output is `longer` by so much after each axis.
    #[must_use]
    #[track_caller]
    pub fn conv_transpose(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        window: Window,
        longer: [u32; 3],
    ) -> Self {
        let mut inputs = vec![self, weight];
        inputs.extend(bias);
        apply(&inputs, &mut |apply, ids| apply.apply(Op::ConvTranspose(window, longer), ids))
    }

    /// The largest of each window.
    #[must_use]
    #[track_caller]
    pub fn max_pool(&self, windows: Windows) -> Self {
        apply(&[self], &mut |apply, ids| apply.apply(Op::Pool(Pooling::Max, windows), ids))
    }

    /// [`max_pool`](Self::max_pool) of square windows along two axes.
    #[must_use]
    #[track_caller]
    pub fn max_pool2d(&self, kernel: usize, stride: usize) -> Self {
        self.max_pool(square(kernel, stride))
    }

    /// The mean of each window; zeros of the padding count or not.
    #[must_use]
    #[track_caller]
    pub fn avg_pool(&self, windows: Windows, counts_padding: bool) -> Self {
        let pooling = Pooling::Mean(counts_padding);
        apply(&[self], &mut |apply, ids| apply.apply(Op::Pool(pooling, windows), ids))
    }

    /// [`avg_pool`](Self::avg_pool) of square windows along two axes.
    #[must_use]
    #[track_caller]
    pub fn avg_pool2d(&self, kernel: usize, stride: usize) -> Self {
        self.avg_pool(square(kernel, stride), true)
    }

    /// Other lengths of the axes behind [rows, channels], between the elements.
    #[must_use]
    #[track_caller]
    pub fn resample(&self, by: Sampling, sizes: &[usize]) -> Self {
        apply(&[self], &mut |apply, ids| compose::resample(apply, ids[0], by, sizes))
    }

    /// Elements set to 0 with probability `rate`, and the others divided by 1 less it. The chance is
    /// the host's: the same seed leaves out the same elements.
    #[must_use]
    #[track_caller]
    pub fn dropout(&self, rate: f64) -> Self {
        let Some(held) = self.held() else { return Self::failed() };
        let mask = Self::made(engine::keep_mask(held.kind.shape, rate));
        apply(&[self, &mask], &mut |apply, ids| compose::dropout(apply, ids[0], ids[1], rate))
    }
}

fn square(kernel: usize, stride: usize) -> Windows {
    let (kernel, stride) = ([number(kernel); 3], [number(stride); 3]);
    Windows::Strided { kernel, stride, padding: [0; 3] }
}

/// One that is beyond is beyond all tensors, too, and is refused as such.
fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
