//! Operations over whole axes.

use super::{one, one_float};
use crate::error::Rule;
use crate::op::Reduce;
use crate::shape::{Axes, Dtype, Kind};

pub(super) fn reduce(by: Reduce, axes: Axes, keep: bool, inputs: &[Kind]) -> Result<Kind, Rule> {
    let x = one_float(inputs)?;
    let shape = axes.check(&x.shape)?.reduced(&x.shape, keep)?;
    if matches!(by, Reduce::Max | Reduce::Min) && axes.count(&x.shape) == 0 && !shape.is_empty() {
        return Err(Rule::Sizes("there must be elements to take the largest or smallest of"));
    }
    Ok(Kind { shape, ..x })
}

pub(super) fn variance(
    axes: Axes,
    keep: bool,
    correction: u32,
    inputs: &[Kind],
) -> Result<Kind, Rule> {
    if correction > 1 {
        return Err(Rule::Attribute("the correction must be 0 or 1"));
    }
    let x = one_float(inputs)?;
    Ok(Kind { shape: axes.check(&x.shape)?.reduced(&x.shape, keep)?, ..x })
}

pub(super) fn arg_max(axis: u32, keep: bool, inputs: &[Kind]) -> Result<Kind, Rule> {
    let x = one(inputs)?;
    if x.dtype == Dtype::Bool {
        return Err(Rule::Dtype("f32, f64 or i64"));
    }
    let axis = x.shape.check_axis(axis as usize)?;
    let shape = Axes::new(&[axis])?.reduced(&x.shape, keep)?;
    if x.shape.size(axis) == 0 && !shape.is_empty() {
        return Err(Rule::Sizes("there must be elements to take the largest of"));
    }
    Ok(Kind { dtype: Dtype::I64, shape })
}

/// An operation along one axis that keeps the shape.
pub(super) fn along(axis: u32, x: Kind) -> Result<Kind, Rule> {
    x.shape.check_axis(axis as usize)?;
    Ok(x)
}

pub(super) fn normalise(axes: Axes, epsilon: f64, x: Kind) -> Result<Kind, Rule> {
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Rule::Attribute("epsilon must be more than 0"));
    }
    axes.check(&x.shape)?;
    Ok(x)
}
