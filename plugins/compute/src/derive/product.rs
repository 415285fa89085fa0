//! Derivatives of products and convolutions.

use super::{Done, spatial, sum_to};
use crate::apply::{Apply, Id};
use crate::error::Mistake;
use crate::op::{Op, Reduce, Window};
use crate::shape::{Axes, Shape};

/// `id` as one matrix: all axes but the last are rows.
fn rows(apply: &mut dyn Apply, id: Id) -> Result<Id, Mistake> {
    let shape = apply.kind(id)?.shape;
    if shape.rank() == 2 {
        return Ok(id);
    }
    let columns = shape.size_from_end(0);
    let rows = Shape::new(&[shape.len_of(0..shape.rank() - 1), columns]);
    let rows = rows.map_err(|rule| Mistake::new("reshape", &[], rule))?;
    apply.apply(Op::Reshape(rows), &[id])
}

pub(super) fn matmul(
    apply: &mut dyn Apply,
    done: &Done,
    left: bool,
    right: bool,
    input: usize,
) -> Result<Id, Mistake> {
    let (g, a, b) = (done.gradient, done.inputs[0], done.inputs[1]);
    if input == 0 {
        let gradient = if left {
            apply.apply(Op::MatMul { left: right, right: true }, &[b, g])?
        } else {
            apply.apply(Op::MatMul { left: false, right: !right }, &[g, b])?
        };
        return sum_to(apply, gradient, a);
    }
    // One matrix on the right: the sum over the batch is part of the product.
    let is_one = !left && apply.kind(b)?.shape.rank() == 2;
    let (g, a) = if is_one { (rows(apply, g)?, rows(apply, a)?) } else { (g, a) };
    let gradient = if right {
        apply.apply(Op::MatMul { left: true, right: left }, &[g, a])?
    } else {
        apply.apply(Op::MatMul { left: !left, right: false }, &[a, g])?
    };
    sum_to(apply, gradient, b)
}

pub(super) fn linear(apply: &mut dyn Apply, done: &Done, input: usize) -> Result<Id, Mistake> {
    let (g, x, w) = (done.gradient, done.inputs[0], done.inputs[1]);
    match input {
        0 => {
            let shape = apply.kind(x)?.shape;
            let g = rows(apply, g)?;
            let gradient = apply.apply(Op::MatMul { left: false, right: false }, &[g, w])?;
            if shape.rank() == 2 {
                Ok(gradient)
            } else {
                apply.apply(Op::Reshape(shape), &[gradient])
            }
        }
        1 => {
            let (g, x) = (rows(apply, g)?, rows(apply, x)?);
            apply.apply(Op::MatMul { left: true, right: false }, &[g, x])
        }
        _ => {
            let g = rows(apply, g)?;
            apply.apply(Op::Reduce(Reduce::Sum, Axes::from_bits(1), false), &[g])
        }
    }
}

/// The sum over all axes but that of the channels.
fn bias(apply: &mut dyn Apply, g: Id) -> Result<Id, Mistake> {
    let rank = apply.kind(g)?.shape.rank();
    let axes = Axes::from_bits(((1u16 << rank) - 1) as u8 & !2);
    apply.apply(Op::Reduce(Reduce::Sum, axes, false), &[g])
}

pub(super) fn conv(
    apply: &mut dyn Apply,
    done: &Done,
    window: &Window,
    input: usize,
) -> Result<Id, Mistake> {
    let (g, x, w) = (done.gradient, done.inputs[0], done.inputs[1]);
    let kernel = spatial(&apply.kind(w)?.shape);
    match input {
        0 => {
            let (from, to) = (spatial(&apply.kind(x)?.shape), spatial(&apply.kind(g)?.shape));
            // Elements at the end that no window reaches.
            let mut longer = [0; 3];
            for axis in 0..apply.kind(x)?.shape.rank() - 2 {
                let reach = (kernel[axis] - 1) * window.dilation[axis] + 1;
                let spread = (to[axis] - 1) * window.stride[axis];
                longer[axis] = (from[axis] + 2 * window.padding[axis]) - (spread + reach);
            }
            apply.apply(Op::ConvTranspose(*window, longer), &[g, w])
        }
        1 => apply.apply(Op::ConvWeights(*window, kernel), &[x, g]),
        _ => bias(apply, g),
    }
}

pub(super) fn conv_transpose(
    apply: &mut dyn Apply,
    done: &Done,
    window: &Window,
    input: usize,
) -> Result<Id, Mistake> {
    let (g, x, w) = (done.gradient, done.inputs[0], done.inputs[1]);
    match input {
        0 => apply.apply(Op::Conv(*window), &[g, w]),
        1 => {
            let kernel = spatial(&apply.kind(w)?.shape);
            apply.apply(Op::ConvWeights(*window, kernel), &[g, x])
        }
        _ => bias(apply, g),
    }
}
