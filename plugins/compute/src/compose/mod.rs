//! Operations by name, and those that are made of several. All are written against [`Apply`], so
//! they are the same in a session, in a graph that is traced and behind an interface.
//!
//! Errors are those of [`Apply::apply`].

#![expect(clippy::missing_errors_doc, reason = "said once above")]

mod layout;
mod loss;
mod norm;
mod window;

use crate::apply::{Apply, Id};
use crate::error::{Mistake, Rule};
use crate::op::{Binary, Compare, Op, Reduce, Unary};
use crate::shape::{Axes, Dtype, Kind, Shape};

pub use layout::*;
pub use loss::*;
pub use norm::*;
pub use window::*;

/// The mistake of a composite operation on these tensors.
fn mistake(apply: &dyn Apply, name: &'static str, ids: &[Id], rule: Rule) -> Mistake {
    let kinds = ids.iter().filter_map(|id| apply.kind(*id).ok());
    Mistake::new(name, &kinds.collect::<alloc::vec::Vec<Kind>>(), rule)
}

/// One value of every element.
pub fn full(
    apply: &mut dyn Apply,
    sizes: &[usize],
    dtype: Dtype,
    value: f64,
) -> Result<Id, Mistake> {
    let shape = Shape::new(sizes).map_err(|rule| Mistake::new("full", &[], rule))?;
    apply.apply(Op::Full { shape, dtype, value }, &[])
}

/// A function of each element.
pub fn unary(apply: &mut dyn Apply, f: Unary, x: Id) -> Result<Id, Mistake> {
    apply.apply(Op::Unary(f), &[x])
}

/// A function of two, broadcast.
pub fn binary(apply: &mut dyn Apply, f: Binary, a: Id, b: Id) -> Result<Id, Mistake> {
    apply.apply(Op::Binary(f), &[a, b])
}

/// A comparison, broadcast.
pub fn compare(apply: &mut dyn Apply, by: Compare, a: Id, b: Id) -> Result<Id, Mistake> {
    apply.apply(Op::Compare(by), &[a, b])
}

/// A reduction over these axes; they stay with size 1 if `keep` is set.
pub fn reduce(
    apply: &mut dyn Apply,
    by: Reduce,
    x: Id,
    axes: &[usize],
    keep: bool,
) -> Result<Id, Mistake> {
    let op = Op::Reduce(by, Axes::ALL, keep);
    let axes = Axes::new(axes).map_err(|rule| mistake(apply, op.name(), &[x], rule))?;
    apply.apply(Op::Reduce(by, axes, keep), &[x])
}

/// A reduction over all axes, to a single number.
pub fn reduce_all(apply: &mut dyn Apply, by: Reduce, x: Id) -> Result<Id, Mistake> {
    apply.apply(Op::Reduce(by, Axes::ALL, false), &[x])
}

/// The variance over these axes; with the correction the count is less by 1.
pub fn variance(
    apply: &mut dyn Apply,
    x: Id,
    axes: &[usize],
    is_corrected: bool,
    keep: bool,
) -> Result<Id, Mistake> {
    let axes = Axes::new(axes).map_err(|rule| mistake(apply, "variance", &[x], rule))?;
    apply.apply(Op::Variance { axes, keep, correction: u32::from(is_corrected) }, &[x])
}

/// The matrix product, as `torch.matmul`: a tensor of one axis is a row on the left, a column on
/// the right.
pub fn matmul(apply: &mut dyn Apply, a: Id, b: Id) -> Result<Id, Mistake> {
    let op = Op::MatMul { left: false, right: false };
    let (left, right) = (apply.kind(a)?.shape, apply.kind(b)?.shape);
    let (is_row, is_column) = (left.rank() == 1, right.rank() == 1);
    let a = if is_row { reshape(apply, a, &[1, left.size(0)])? } else { a };
    let b = if is_column { reshape(apply, b, &[right.size(0), 1])? } else { b };
    let c = apply.apply(op, &[a, b])?;
    if !is_row && !is_column {
        return Ok(c);
    }
    let shape = apply.kind(c)?.shape;
    let (mut sizes, mut rank) = (shape.array(), shape.rank());
    if is_column {
        rank -= 1;
    }
    if is_row {
        // The size of the row's axis, which goes, is behind all others or before the last.
        let at = if is_column { rank - 1 } else { rank - 2 };
        sizes.copy_within(at + 1..rank, at);
        rank -= 1;
    }
    reshape(apply, c, &sizes[..rank])
}

/// `x wᵀ + b` over the last axis of `x`, as `torch.nn.functional.linear`.
pub fn linear(apply: &mut dyn Apply, x: Id, w: Id, bias: Option<Id>) -> Result<Id, Mistake> {
    match bias {
        Some(bias) => apply.apply(Op::Linear, &[x, w, bias]),
        None => apply.apply(Op::Linear, &[x, w]),
    }
}

/// Sets elements to 0 where the mask is false and divides the others by `1 - rate`.
pub fn dropout(apply: &mut dyn Apply, x: Id, mask: Id, rate: f64) -> Result<Id, Mistake> {
    apply.apply(Op::Dropout(rate), &[x, mask])
}

/// Writes which elements a dropout keeps: four random bytes each, as a little-endian number; it is
/// kept unless the number over 2^32 is below `rate`.
///
/// # Errors
/// [`Rule::Sizes`] if there are not four bytes for each element.
pub fn keep_mask(mask: &mut [bool], rate: f64, random: &[u8]) -> Result<(), Rule> {
    let (draws, rest) = random.as_chunks::<4>();
    if draws.len() != mask.len() || !rest.is_empty() {
        return Err(Rule::Sizes("there must be four random bytes for each element"));
    }
    for (is_kept, draw) in mask.iter_mut().zip(draws) {
        // 2^-32; the product is exact.
        *is_kept = f64::from(u32::from_le_bytes(*draw)) * (1.0 / 4_294_967_296.0) >= rate;
    }
    Ok(())
}
