//! Derivatives of reductions.

use super::Done;
use crate::apply::{Apply, Id};
use crate::error::Mistake;
use crate::op::{Binary, Compare, Op, Reduce, Unary};
use crate::shape::{Axes, Shape};

/// A tensor without the axes, with them again, of size 1.
fn kept(apply: &mut dyn Apply, id: Id, axes: Axes, x: &Shape) -> Result<Id, Mistake> {
    let shape = axes.reduced(x, true).map_err(|rule| Mistake::new("reshape", &[], rule))?;
    apply.apply(Op::Reshape(shape), &[id])
}

pub(super) fn reduce(
    apply: &mut dyn Apply,
    done: &Done,
    by: Reduce,
    axes: Axes,
) -> Result<Id, Mistake> {
    let x = done.inputs[0];
    let kind = apply.kind(x)?;
    let g = kept(apply, done.gradient, axes, &kind.shape)?;
    match by {
        Reduce::Sum => apply.apply(Op::Expand(kind.shape), &[g]),
        Reduce::Mean => {
            let share = 1.0 / axes.count(&kind.shape) as f64;
            let g = apply.apply(Op::Unary(Unary::MulScalar(share)), &[g])?;
            apply.apply(Op::Expand(kind.shape), &[g])
        }
        // Shared by equals.
        Reduce::Max | Reduce::Min => {
            let y = kept(apply, done.output, axes, &kind.shape)?;
            let mask = apply.apply(Op::Compare(Compare::Equal), &[x, y])?;
            let mask = apply.apply(Op::Cast(kind.dtype), &[mask])?;
            let count = apply.apply(Op::Reduce(Reduce::Sum, axes, true), &[mask])?;
            let share = apply.apply(Op::Binary(Binary::Div), &[g, count])?;
            apply.apply(Op::Binary(Binary::Mul), &[mask, share])
        }
        Reduce::LogSumExp => {
            let y = kept(apply, done.output, axes, &kind.shape)?;
            let less = apply.apply(Op::Binary(Binary::Sub), &[x, y])?;
            let share = apply.apply(Op::Unary(Unary::Exp), &[less])?;
            apply.apply(Op::Binary(Binary::Mul), &[share, g])
        }
    }
}

pub(super) fn variance(
    apply: &mut dyn Apply,
    done: &Done,
    axes: Axes,
    correction: u32,
) -> Result<Id, Mistake> {
    let x = done.inputs[0];
    let shape = apply.kind(x)?.shape;
    let g = kept(apply, done.gradient, axes, &shape)?;
    let count = axes.count(&shape) as f64 - f64::from(correction);
    // Of one element with correction the variance is NaN, and so is its slope.
    let factor = if count > 0.0 { 2.0 / count } else { f64::INFINITY };
    let g = apply.apply(Op::Unary(Unary::MulScalar(factor)), &[g])?;
    let mean = apply.apply(Op::Reduce(Reduce::Mean, axes, true), &[x])?;
    let distance = apply.apply(Op::Binary(Binary::Sub), &[x, mean])?;
    apply.apply(Op::Binary(Binary::Mul), &[distance, g])
}
