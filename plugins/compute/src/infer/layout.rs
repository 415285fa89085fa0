//! Operations that move elements and compute nothing.

use super::{one, one_float, within_inputs_max};
use crate::error::Rule;
use crate::shape::{Kind, RANK_MAX, Shape};

pub(super) fn concat(axis: u32, inputs: &[Kind]) -> Result<Kind, Rule> {
    within_inputs_max(inputs)?;
    let first = inputs.first().ok_or(Rule::Inputs("one input or more"))?;
    let axis = first.shape.check_axis(axis as usize)?;
    let mut size = 0usize;
    for input in inputs {
        if input.dtype != first.dtype {
            return Err(Rule::Dtypes(first.dtype, input.dtype));
        }
        let along = input.shape.size(axis);
        if input.shape.rank() != first.shape.rank()
            || input.shape.with(axis, first.shape.size(axis))? != first.shape
        {
            return Err(Rule::Sizes("all must have the same sizes but along the axis"));
        }
        size = size.checked_add(along).ok_or(Rule::TooLarge)?;
    }
    Ok(Kind { shape: first.shape.with(axis, size)?, ..*first })
}

/// Whether `len` elements from `start` on, `step` apart, lie within `size`.
fn lies_within(start: u32, len: usize, step: u32, size: usize) -> Result<(), Rule> {
    if step == 0 {
        return Err(Rule::Attribute("the step must be at least 1"));
    }
    let end = match len.checked_sub(1) {
        None => Some(start as usize),
        Some(before) => {
            before.checked_mul(step as usize).and_then(|n| n.checked_add(start as usize + 1))
        }
    };
    match end {
        Some(end) if end <= size => Ok(()),
        _ => Err(Rule::Sizes("the slice must lie within the axis")),
    }
}

pub(super) fn slice(
    axis: u32,
    [start, len, step]: [u32; 3],
    inputs: &[Kind],
) -> Result<Kind, Rule> {
    let x = one(inputs)?;
    let axis = x.shape.check_axis(axis as usize)?;
    lies_within(start, len as usize, step, x.shape.size(axis))?;
    Ok(Kind { shape: x.shape.with(axis, len as usize)?, ..x })
}

pub(super) fn slice_gradient(
    axis: u32,
    [start, size, step]: [u32; 3],
    inputs: &[Kind],
) -> Result<Kind, Rule> {
    let g = one_float(inputs)?;
    let axis = g.shape.check_axis(axis as usize)?;
    lies_within(start, g.shape.size(axis), step, size as usize)?;
    Ok(Kind { shape: g.shape.with(axis, size as usize)?, ..g })
}

pub(super) fn pad(axis: u32, before: u32, after: u32, inputs: &[Kind]) -> Result<Kind, Rule> {
    let x = one_float(inputs)?;
    let axis = x.shape.check_axis(axis as usize)?;
    let size = x.shape.size(axis).checked_add(before as usize);
    let size = size.and_then(|size| size.checked_add(after as usize)).ok_or(Rule::TooLarge)?;
    Ok(Kind { shape: x.shape.with(axis, size)?, ..x })
}

pub(super) fn permute(axes: &[u8; RANK_MAX], inputs: &[Kind]) -> Result<Kind, Rule> {
    let x = one(inputs)?;
    let (rank, from) = (x.shape.rank(), x.shape.array());
    let (mut seen, mut sizes) = ([false; RANK_MAX], [0; RANK_MAX]);
    for (size, axis) in sizes.iter_mut().zip(&axes[..rank]) {
        let axis = x.shape.check_axis(usize::from(*axis))?;
        if core::mem::replace(&mut seen[axis], true) {
            return Err(Rule::Attribute("each axis must be there once"));
        }
        *size = from[axis];
    }
    Ok(Kind { shape: Shape::new(&sizes[..rank])?, ..x })
}

pub(super) fn reshape(shape: &Shape, inputs: &[Kind]) -> Result<Kind, Rule> {
    let x = one(inputs)?;
    if x.shape.len() != shape.len() {
        return Err(Rule::Sizes("there must be as many elements before as after"));
    }
    Ok(Kind { shape: *shape, ..x })
}

pub(super) fn expand(shape: &Shape, inputs: &[Kind]) -> Result<Kind, Rule> {
    let x = one(inputs)?;
    if x.shape.broadcast(shape)? != *shape {
        return Err(Rule::Broadcast);
    }
    Ok(Kind { shape: *shape, ..x })
}
