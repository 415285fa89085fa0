//! Convolutions, pooling and up-sampling by name.

use super::layout::number;
use crate::apply::{Apply, Id};
use crate::error::Mistake;
use crate::op::{Op, Pooling, Sampling, Window, Windows};

/// Sizes along one to three axes as attributes; `other` where there are fewer.
#[must_use]
pub fn sizes(sizes: &[usize], other: u32) -> [u32; 3] {
    let mut all = [other; 3];
    all.iter_mut().zip(sizes).for_each(|(all, size)| *all = number(*size));
    all
}

/// The convolution of `x` [n, c, ..] with `w` [f, c / groups, ..].
pub fn conv(
    apply: &mut dyn Apply,
    x: Id,
    w: Id,
    bias: Option<Id>,
    window: Window,
) -> Result<Id, Mistake> {
    let all = [x, w, bias.unwrap_or_default()];
    apply.apply(Op::Conv(window), &all[..2 + usize::from(bias.is_some())])
}

/// The transposed convolution of `x` [n, f, ..] with `w` [f, c / groups, ..].
pub fn conv_transpose(
    apply: &mut dyn Apply,
    x: Id,
    w: Id,
    bias: Option<Id>,
    window: Window,
    longer: [u32; 3],
) -> Result<Id, Mistake> {
    let all = [x, w, bias.unwrap_or_default()];
    apply.apply(Op::ConvTranspose(window, longer), &all[..2 + usize::from(bias.is_some())])
}

/// The largest of each window.
pub fn max_pool(apply: &mut dyn Apply, x: Id, windows: Windows) -> Result<Id, Mistake> {
    apply.apply(Op::Pool(Pooling::Max, windows), &[x])
}

/// The mean of each window, zeros of the padding counted or not.
pub fn mean_pool(
    apply: &mut dyn Apply,
    x: Id,
    windows: Windows,
    counts_padding: bool,
) -> Result<Id, Mistake> {
    apply.apply(Op::Pool(Pooling::Mean(counts_padding), windows), &[x])
}

/// Other sizes along the axes behind [n, channels].
pub fn resample(apply: &mut dyn Apply, x: Id, by: Sampling, to: &[usize]) -> Result<Id, Mistake> {
    apply.apply(Op::Resample(by, sizes(to, 1)), &[x])
}
