//! Operations on each element by itself.

use super::{float, one_float, same_floats, two_alike};
use crate::error::Rule;
use crate::op::{Binary, Op, Unary};
use crate::shape::{Dtype, Kind};

pub(super) fn unary(op: &Op, f: Unary, inputs: &[Kind]) -> Result<Kind, Rule> {
    match f {
        Unary::Clamp(low, high) if !(low..).contains(&high) => {
            return Err(Rule::Attribute("the least must not be above the most"));
        }
        Unary::AddScalar(c) | Unary::MulScalar(c) | Unary::PowScalar(c) if c.is_nan() => {
            return Err(Rule::Attribute("the number must not be NaN"));
        }
        Unary::LeakyRelu(c) | Unary::Elu(c) if !c.is_finite() => {
            return Err(Rule::Attribute("the slope must be finite"));
        }
        _ => {}
    }
    if matches!(op, Op::UnaryGradient(_)) { two_alike(inputs) } else { one_float(inputs) }
}

pub(super) fn binary(op: &Op, f: Binary, inputs: &[Kind]) -> Result<Kind, Rule> {
    if matches!(f, Binary::Huber(delta) if !(f64::MIN_POSITIVE..).contains(&delta)) {
        return Err(Rule::Attribute("delta must be more than 0"));
    }
    let n_inputs = if matches!(op, Op::BinaryGradient(..)) { 3 } else { 2 };
    if inputs.len() != n_inputs {
        return Err(Rule::Inputs(if n_inputs == 3 { "three inputs" } else { "two inputs" }));
    }
    let dtype = same_floats(inputs)?;
    let mut shape = inputs[0].shape;
    for input in &inputs[1..] {
        shape = shape.broadcast(&input.shape)?;
    }
    Ok(Kind { dtype, shape })
}

pub(super) fn compare(inputs: &[Kind]) -> Result<Kind, Rule> {
    let [a, b] = inputs else { return Err(Rule::Inputs("two inputs")) };
    if a.dtype != b.dtype {
        return Err(Rule::Dtypes(a.dtype, b.dtype));
    }
    Ok(Kind { dtype: Dtype::Bool, shape: a.shape.broadcast(&b.shape)? })
}

pub(super) fn select(inputs: &[Kind]) -> Result<Kind, Rule> {
    let [condition, a, b] = inputs else { return Err(Rule::Inputs("three inputs")) };
    if condition.dtype != Dtype::Bool {
        return Err(Rule::Dtype("bool for the condition"));
    }
    if a.dtype != b.dtype {
        return Err(Rule::Dtypes(a.dtype, b.dtype));
    }
    let shape = condition.shape.broadcast(&a.shape)?.broadcast(&b.shape)?;
    Ok(Kind { dtype: a.dtype, shape })
}

pub(super) fn dropout(rate: f64, inputs: &[Kind]) -> Result<Kind, Rule> {
    if !(0.0..1.0).contains(&rate) {
        return Err(Rule::Attribute("the rate must be at least 0 and less than 1"));
    }
    let [x, mask] = inputs else { return Err(Rule::Inputs("two inputs")) };
    float(x)?;
    if mask.dtype != Dtype::Bool {
        return Err(Rule::Dtype("bool for the mask"));
    }
    if x.shape != mask.shape {
        return Err(Rule::Sizes("the mask must have the shape of the input"));
    }
    Ok(*x)
}
