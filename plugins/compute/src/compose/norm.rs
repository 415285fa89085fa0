//! Normalisation of batches, layers, groups and instances.

use alloc::vec::Vec;

use super::layout::reshape;
use super::{binary, mistake, reduce, unary, variance};
use crate::apply::{Apply, Id};
use crate::error::{Mistake, Rule};
use crate::op::{Binary, Op, Reduce, Unary};
use crate::shape::Axes;

/// What a batch's channels were: `[channels]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// The mean.
    pub mean: Id,
    /// The variance; for running means that of a sample, with correction.
    pub variance: Id,
}

/// A tensor of `[channels]` as `[1, channels, 1, ..]`, like `x`.
fn by_channel(apply: &mut dyn Apply, values: Id, x: Id) -> Result<Id, Mistake> {
    let rank = apply.kind(x)?.shape.rank();
    let mut sizes = alloc::vec![1; rank];
    if let Some(channels) = sizes.get_mut(1) {
        *channels = apply.kind(values)?.shape.len();
    }
    reshape(apply, values, &sizes)
}

/// `x · weight + bias`, each if it is there.
fn affine(
    apply: &mut dyn Apply,
    mut x: Id,
    weight: Option<Id>,
    bias: Option<Id>,
) -> Result<Id, Mistake> {
    if let Some(weight) = weight {
        x = binary(apply, Binary::Mul, x, weight)?;
    }
    if let Some(bias) = bias {
        x = binary(apply, Binary::Add, x, bias)?;
    }
    Ok(x)
}

fn affine_by_channel(
    apply: &mut dyn Apply,
    x: Id,
    weight: Option<Id>,
    bias: Option<Id>,
) -> Result<Id, Mistake> {
    let weight = weight.map(|weight| by_channel(apply, weight, x)).transpose()?;
    let bias = bias.map(|bias| by_channel(apply, bias, x)).transpose()?;
    affine(apply, x, weight, bias)
}

/// All axes of `x` but the one of the channels.
fn all_but_channels(apply: &dyn Apply, x: Id) -> Result<Vec<usize>, Mistake> {
    let rank = apply.kind(x)?.shape.rank();
    if rank < 2 {
        let rule = Rule::Rank("[n, channels] and maybe more axes");
        return Err(mistake(apply, "batch norm", &[x], rule));
    }
    Ok((0..rank).filter(|axis| *axis != 1).collect())
}

/// Normalises the channels of a batch `x` [n, channels, ..], as `torch.nn.functional.batch_norm`
/// in training.
pub fn batch_norm(
    apply: &mut dyn Apply,
    x: Id,
    weight: Option<Id>,
    bias: Option<Id>,
    epsilon: f64,
) -> Result<Id, Mistake> {
    let axes = Axes::new(&all_but_channels(apply, x)?);
    let axes = axes.map_err(|rule| mistake(apply, "batch norm", &[x], rule))?;
    let x = apply.apply(Op::Normalise { axes, epsilon }, &[x])?;
    affine_by_channel(apply, x, weight, bias)
}

/// Mean and variance of the channels of a batch, for running means. Do it with the tape off.
pub fn batch_moments(apply: &mut dyn Apply, x: Id) -> Result<Moments, Mistake> {
    let axes = all_but_channels(apply, x)?;
    let mean = reduce(apply, Reduce::Mean, x, &axes, false)?;
    Ok(Moments { mean, variance: variance(apply, x, &axes, true, false)? })
}

/// Normalises channels by given moments, as `torch.nn.functional.batch_norm` in prediction.
pub fn batch_norm_by(
    apply: &mut dyn Apply,
    x: Id,
    moments: Moments,
    weight: Option<Id>,
    bias: Option<Id>,
    epsilon: f64,
) -> Result<Id, Mistake> {
    all_but_channels(apply, x)?;
    let mean = by_channel(apply, moments.mean, x)?;
    let variance = unary(apply, Unary::AddScalar(epsilon), moments.variance)?;
    let scale = unary(apply, Unary::Rsqrt, variance)?;
    let scale = by_channel(apply, scale, x)?;
    let distance = binary(apply, Binary::Sub, x, mean)?;
    let x = binary(apply, Binary::Mul, distance, scale)?;
    affine_by_channel(apply, x, weight, bias)
}

/// Normalises over the last axes, as many as `n_axes`, as `torch.nn.functional.layer_norm`;
/// `weight` and `bias` have their shape.
pub fn layer_norm(
    apply: &mut dyn Apply,
    x: Id,
    n_axes: usize,
    weight: Option<Id>,
    bias: Option<Id>,
    epsilon: f64,
) -> Result<Id, Mistake> {
    let rank = apply.kind(x)?.shape.rank();
    let Some(first) = rank.checked_sub(n_axes).filter(|_| n_axes > 0) else {
        return Err(mistake(apply, "layer norm", &[x], Rule::Axis { axis: n_axes, rank }));
    };
    let axes = Axes::new(&(first..rank).collect::<Vec<_>>());
    let axes = axes.map_err(|rule| mistake(apply, "layer norm", &[x], rule))?;
    let x = apply.apply(Op::Normalise { axes, epsilon }, &[x])?;
    affine(apply, x, weight, bias)
}

/// Normalises groups of channels of each row, as `torch.nn.functional.group_norm`.
pub fn group_norm(
    apply: &mut dyn Apply,
    x: Id,
    groups: usize,
    weight: Option<Id>,
    bias: Option<Id>,
    epsilon: f64,
) -> Result<Id, Mistake> {
    let shape = apply.kind(x)?.shape;
    let (rows, channels) = (shape.size(0), shape.size(1));
    if shape.rank() < 2 || channels.checked_rem(groups) != Some(0) {
        let rule = Rule::Sizes("groups must be a part of the channels of [n, channels, ..]");
        return Err(mistake(apply, "group norm", &[x], rule));
    }
    let size = channels / groups * shape.len_of(2..shape.rank());
    let grouped = reshape(apply, x, &[rows, groups, size])?;
    let grouped = apply.apply(Op::Normalise { axes: Axes::from_bits(4), epsilon }, &[grouped])?;
    let x = apply.apply(Op::Reshape(shape), &[grouped])?;
    affine_by_channel(apply, x, weight, bias)
}

/// Normalises each channel of each row, as `torch.nn.functional.instance_norm`.
pub fn instance_norm(
    apply: &mut dyn Apply,
    x: Id,
    weight: Option<Id>,
    bias: Option<Id>,
    epsilon: f64,
) -> Result<Id, Mistake> {
    let channels = apply.kind(x)?.shape.size(1);
    group_norm(apply, x, channels, weight, bias, epsilon)
}
