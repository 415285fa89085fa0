//! Derivatives of what moves elements.

use super::{Done, inverse, no_derivative, sum_to};
use crate::apply::{Apply, Id};
use crate::error::Mistake;
use crate::op::Op;

pub(super) fn layout(apply: &mut dyn Apply, done: &Done, input: usize) -> Result<Id, Mistake> {
    let (g, inputs) = (done.gradient, done.inputs);
    match done.op {
        Op::Concat(axis) => {
            let along = *axis as usize;
            let mut start = 0;
            for before in &inputs[..input] {
                start += apply.kind(*before)?.shape.size(along) as u32;
            }
            let len = apply.kind(inputs[input])?.shape.size(along) as u32;
            apply.apply(Op::Slice { axis: *axis, start, len, step: 1 }, &[g])
        }
        Op::Slice { axis, start, step, .. } => {
            let size = apply.kind(inputs[0])?.shape.size(*axis as usize) as u32;
            let op = Op::SliceGradient { axis: *axis, start: *start, size, step: *step };
            apply.apply(op, &[g])
        }
        Op::SliceGradient { axis, start, step, .. } => {
            let len = apply.kind(inputs[0])?.shape.size(*axis as usize) as u32;
            apply.apply(Op::Slice { axis: *axis, start: *start, len, step: *step }, &[g])
        }
        Op::Pad { axis, before, .. } => {
            let len = apply.kind(inputs[0])?.shape.size(*axis as usize) as u32;
            apply.apply(Op::Slice { axis: *axis, start: *before, len, step: 1 }, &[g])
        }
        Op::Permute(axes) => {
            let rank = apply.kind(g)?.shape.rank();
            apply.apply(Op::Permute(inverse(axes, rank)), &[g])
        }
        Op::Reshape(_) => {
            let shape = apply.kind(inputs[0])?.shape;
            apply.apply(Op::Reshape(shape), &[g])
        }
        Op::Expand(_) => sum_to(apply, g, inputs[0]),
        _ => Err(no_derivative(apply, done)),
    }
}
