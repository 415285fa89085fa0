//! What moves elements.

use alloc::vec::Vec;

use super::mistake;
use crate::apply::{Apply, Id};
use crate::error::{Mistake, Rule};
use crate::op::Op;
use crate::shape::{RANK_MAX, Shape};

/// Another shape of as many elements.
pub fn reshape(apply: &mut dyn Apply, x: Id, sizes: &[usize]) -> Result<Id, Mistake> {
    let shape = Shape::new(sizes).map_err(|rule| mistake(apply, "reshape", &[x], rule))?;
    apply.apply(Op::Reshape(shape), &[x])
}

/// All axes from `first` on as one.
pub fn flatten(apply: &mut dyn Apply, x: Id, first: usize) -> Result<Id, Mistake> {
    let shape = apply.kind(x)?.shape;
    if first > shape.rank() {
        let rule = Rule::Axis { axis: first, rank: shape.rank() };
        return Err(mistake(apply, "flatten", &[x], rule));
    }
    let mut sizes: Vec<usize> = shape.sizes().take(first).collect();
    sizes.push(shape.len_of(first..shape.rank()));
    reshape(apply, x, &sizes)
}

/// Repeated to a shape.
pub fn expand(apply: &mut dyn Apply, x: Id, sizes: &[usize]) -> Result<Id, Mistake> {
    let shape = Shape::new(sizes).map_err(|rule| mistake(apply, "expand", &[x], rule))?;
    apply.apply(Op::Expand(shape), &[x])
}

/// The axes in this order; each must be there once.
pub fn permute(apply: &mut dyn Apply, x: Id, axes: &[usize]) -> Result<Id, Mistake> {
    let rank = apply.kind(x)?.shape.rank();
    if axes.len() != rank {
        return Err(mistake(
            apply,
            "permute",
            &[x],
            Rule::Attribute("each axis must be there once"),
        ));
    }
    let mut order = [0; RANK_MAX];
    for (order, axis) in order.iter_mut().zip(axes) {
        *order = u8::try_from(*axis).unwrap_or(u8::MAX);
    }
    apply.apply(Op::Permute(order), &[x])
}

/// Two axes in each other's place.
pub fn transpose(apply: &mut dyn Apply, x: Id, a: usize, b: usize) -> Result<Id, Mistake> {
    let rank = apply.kind(x)?.shape.rank();
    let mut order: Vec<usize> = (0..rank).collect();
    for axis in [a, b] {
        if axis >= rank {
            return Err(mistake(apply, "transpose", &[x], Rule::Axis { axis, rank }));
        }
    }
    order.swap(a, b);
    permute(apply, x, &order)
}

/// One behind the other along an axis.
pub fn concat(apply: &mut dyn Apply, inputs: &[Id], axis: usize) -> Result<Id, Mistake> {
    apply.apply(Op::Concat(number(axis)), inputs)
}

/// Side by side along a new axis.
pub fn stack(apply: &mut dyn Apply, inputs: &[Id], axis: usize) -> Result<Id, Mistake> {
    let mut wider = Vec::with_capacity(inputs.len());
    for input in inputs {
        let shape = apply.kind(*input)?.shape;
        let mut sizes: Vec<usize> = shape.sizes().collect();
        if axis > sizes.len() {
            let rule = Rule::Axis { axis, rank: sizes.len() + 1 };
            return Err(mistake(apply, "stack", inputs, rule));
        }
        sizes.insert(axis, 1);
        wider.push(reshape(apply, *input, &sizes)?);
    }
    concat(apply, &wider, axis)
}

/// Parts of these sizes along an axis; they must cover it.
pub fn split(
    apply: &mut dyn Apply,
    x: Id,
    sizes: &[usize],
    axis: usize,
) -> Result<Vec<Id>, Mistake> {
    let size = apply.kind(x)?.shape.size(axis);
    if sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size)) != Some(size) {
        let rule = Rule::Sizes("the parts must cover the axis");
        return Err(mistake(apply, "split", &[x], rule));
    }
    let mut start = 0;
    let mut part = |size: &usize| {
        let part = slice(apply, x, axis, start, *size, 1)?;
        start += size;
        Ok(part)
    };
    sizes.iter().map(&mut part).collect()
}

/// `len` elements along an axis, from `start` on, `step` apart.
pub fn slice(
    apply: &mut dyn Apply,
    x: Id,
    axis: usize,
    start: usize,
    len: usize,
    step: usize,
) -> Result<Id, Mistake> {
    let [axis, start, len, step] = [axis, start, len, step].map(number);
    apply.apply(Op::Slice { axis, start, len, step }, &[x])
}

/// Elements of one value around: how many before and after, for each of the last axes, the first
/// of them first.
pub fn pad(
    apply: &mut dyn Apply,
    x: Id,
    around: &[(usize, usize)],
    value: f64,
) -> Result<Id, Mistake> {
    let rank = apply.kind(x)?.shape.rank();
    let Some(first) = rank.checked_sub(around.len()) else {
        let rule = Rule::Axis { axis: around.len(), rank };
        return Err(mistake(apply, "pad", &[x], rule));
    };
    around.iter().enumerate().try_fold(x, |x, (nth, (before, after))| {
        if (*before, *after) == (0, 0) {
            return Ok(x);
        }
        let [axis, before, after] = [first + nth, *before, *after].map(number);
        apply.apply(Op::Pad { axis, before, after, value }, &[x])
    })
}

/// As an attribute. One that is beyond is beyond all tensors, too, and is refused as such.
pub(super) fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
