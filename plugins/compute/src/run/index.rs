//! Elements at indices.

use super::numbers::Functions;
use crate::error::Rule;
use crate::shape::{RANK_MAX, Shape};
use crate::tensor::{Element, Tensor};

/// The index, if it is below `size`.
pub(super) fn checked(index: i64, size: usize) -> Result<usize, Rule> {
    let found = usize::try_from(index).ok().filter(|index| *index < size);
    found.ok_or(Rule::Index { index, size })
}

pub(super) fn embedding<T: Functions + Element>(
    inputs: &[&Tensor],
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (table, indices) = (inputs[0].elements::<T>()?, inputs[1].elements::<i64>()?);
    let (rows, shape) = (inputs[0].shape().size(0), inputs[0].shape());
    let width = shape.len_of(1..shape.rank());
    let to = to.elements_mut::<T>()?;
    for (nth, index) in indices.iter().enumerate() {
        let row = checked(*index, rows)?;
        to[nth * width..][..width].copy_from_slice(&table[row * width..][..width]);
    }
    Ok(())
}

/// Rows are added in ascending order of their places.
pub(super) fn embedding_gradient<T: Functions + Element>(
    inputs: &[&Tensor],
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (indices, g) = (inputs[0].elements::<i64>()?, inputs[1].elements::<T>()?);
    let (rows, width) = (to.shape().size(0), to.shape().len_of(1..to.shape().rank()));
    let to = to.elements_mut::<T>()?;
    to.fill(T::ZERO);
    for (nth, index) in indices.iter().enumerate() {
        let row = checked(*index, rows)?;
        let to = &mut to[row * width..][..width];
        to.iter_mut().zip(&g[nth * width..][..width]).for_each(|(to, g)| *to = *to + *g);
    }
    Ok(())
}

/// Calls `f` for each index, ascending, with its place and the place in `x` that it is about.
fn each_place(
    axis: usize,
    (indices, shape): (&[i64], &Shape),
    x: &Shape,
    mut f: impl FnMut(usize, usize),
) -> Result<(), Rule> {
    let (strides, sizes, rank) = (x.strides(), shape.array(), shape.rank());
    let mut at = [0; RANK_MAX];
    for (nth, index) in indices.iter().enumerate() {
        let here = checked(*index, x.size(axis))?;
        let place = |(nth, (at, stride)): (usize, (&usize, &usize))| {
            (if nth == axis { here } else { *at }) * stride
        };
        f(nth, at[..rank].iter().zip(&strides).enumerate().map(place).sum());
        for axis in (0..rank).rev() {
            at[axis] += 1;
            if at[axis] < sizes[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Ok(())
}

pub(super) fn gather<T: Functions + Element>(
    axis: usize,
    inputs: &[&Tensor],
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (x, to) = (inputs[0].elements::<T>()?, to.elements_mut::<T>()?);
    let indices = (inputs[1].elements::<i64>()?, inputs[1].shape());
    each_place(axis, indices, inputs[0].shape(), |nth, place| to[nth] = x[place])
}

pub(super) fn scatter_add<T: Functions + Element>(
    axis: usize,
    inputs: &[&Tensor],
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (to, y) = (to.elements_mut::<T>()?, inputs[2].elements::<T>()?);
    to.copy_from_slice(inputs[0].elements::<T>()?);
    let indices = (inputs[1].elements::<i64>()?, inputs[1].shape());
    each_place(axis, indices, inputs[0].shape(), |nth, place| to[place] = to[place] + y[nth])
}
