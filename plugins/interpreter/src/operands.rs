//! Functions of two, of which one may be a number, and reductions.

use fedwasm_graph::FunctionKind;
use fedwasm_sdk::{Operand, PlanError, Tensor};

use crate::attributes::{Attributes, Result};

fn operands(of: &str) -> Box<PlanError> {
    let text = format!("{of} takes tensors, or a number `left` or `right` for one of them");
    PlanError::Internal(text).into()
}

/// A function of two: tensors, or a number on one side.
#[track_caller]
pub(crate) fn binary(kind: FunctionKind, inputs: &[&Tensor], a: &Attributes<'_>) -> Result<Tensor> {
    let numbers = (a.maybe_real("left")?, a.maybe_real("right")?);
    Ok(match (inputs, numbers) {
        ([x, y], (None, None)) => with_operand(kind, x, Operand::from(*y)),
        ([x], (None, Some(number))) => with_number(kind, x, number),
        ([x], (Some(number), None)) => number_with(kind, number, x),
        _ => return Err(operands(kind.name())),
    })
}

#[track_caller]
fn with_operand(kind: FunctionKind, x: &Tensor, y: Operand) -> Tensor {
    use FunctionKind as F;
    match (kind, y) {
        (F::Add, Operand::Tensor(y)) => x + y,
        (F::Sub, Operand::Tensor(y)) => x - y,
        (F::Mul, Operand::Tensor(y)) => x * y,
        (F::Div, Operand::Tensor(y)) => x / y,
        (F::Add, Operand::Number(y)) => x + y,
        (F::Sub, Operand::Number(y)) => x - y,
        (F::Mul, Operand::Number(y)) => x * y,
        (F::Div, Operand::Number(y)) => x / y,
        (F::Maximum, y) => x.maximum(y),
        (F::Minimum, y) => x.minimum(y),
        (F::Eq, y) => x.eq(y),
        (F::Ne, y) => x.ne(y),
        (F::Lt, y) => x.lt(y),
        (F::Le, y) => x.le(y),
        (F::Gt, y) => x.gt(y),
        (F::Ge, y) => x.ge(y),
        (_, y) => x.pow(y),
    }
}

/// `x` and a number.
#[track_caller]
fn with_number(kind: FunctionKind, x: &Tensor, number: f64) -> Tensor {
    match kind {
        FunctionKind::Pow => x.powf(number),
        _ => with_operand(kind, x, Operand::Number(number)),
    }
}

/// A number and `x`.
#[track_caller]
fn number_with(kind: FunctionKind, number: f64, x: &Tensor) -> Tensor {
    use FunctionKind as F;
    match kind {
        F::Sub => number - x,
        F::Div => number / x,
        F::Pow => Tensor::full_of(&[], number, x.dtype()).pow(x),
        F::Lt => x.gt(number),
        F::Le => x.ge(number),
        F::Gt => x.lt(number),
        F::Ge => x.le(number),
        // In any order.
        _ => with_operand(kind, x, Operand::Number(number)),
    }
}

/// Elements of one where a condition is true, of the other elsewhere.
#[track_caller]
pub(crate) fn select(inputs: &[&Tensor], a: &Attributes<'_>) -> Result<Tensor> {
    let numbers = (a.maybe_real("left")?, a.maybe_real("right")?);
    Ok(match (inputs, numbers) {
        ([x, left, right], (None, None)) => x.where_(*left, *right),
        ([x, left], (None, Some(right))) => x.where_(*left, right),
        ([x, right], (Some(left), None)) => x.where_(left, *right),
        ([x], (Some(left), Some(right))) => x.where_(left, right),
        _ => return Err(operands("where")),
    })
}

/// Over some axes, or all of them.
#[track_caller]
pub(crate) fn reduce(kind: FunctionKind, x: &Tensor, a: &Attributes<'_>) -> Result<Tensor> {
    use FunctionKind as F;
    let (axes, keeps) = (a.maybe_axes("dim")?, a.flag("keepdim", false)?);
    if kind == F::Var {
        let axes = axes.unwrap_or_else(|| (0..x.rank() as isize).collect());
        let is_of_sample = match a.maybe_size("correction")? {
            Some(0) => false,
            None | Some(1) => true,
            Some(other) => {
                let text = format!("var: correction is {other}, expected 0 or 1");
                return Err(PlanError::InvalidArgument(text).into());
            }
        };
        let variance = x.variance(&axes, is_of_sample);
        return Ok(if keeps { kept(x, &variance, &axes) } else { variance });
    }
    let Some(axes) = axes else {
        let all = match kind {
            F::Sum => x.sum_all(),
            F::Mean => x.mean_all(),
            F::Amax => x.max_all(),
            F::Amin => x.min_all(),
            _ => x.log_sum_exp_all(),
        };
        return Ok(if keeps { all.reshape(&vec![1; x.rank()]) } else { all });
    };
    Ok(match (kind, keeps) {
        (F::Sum, false) => x.sum(&axes),
        (F::Sum, true) => x.sum_keep(&axes),
        (F::Mean, false) => x.mean(&axes),
        (F::Mean, true) => x.mean_keep(&axes),
        (F::Amax, false) => x.max(&axes),
        (F::Amax, true) => x.max_keep(&axes),
        (F::Amin, false) => x.min(&axes),
        (F::Amin, true) => x.min_keep(&axes),
        (_, false) => x.log_sum_exp(&axes),
        (_, true) => x.log_sum_exp_keep(&axes),
    })
}

/// With the axes that went, of length 1.
#[track_caller]
fn kept(x: &Tensor, reduced: &Tensor, axes: &[isize]) -> Tensor {
    let mut sizes: Vec<isize> = x.shape().iter().map(|size| *size as isize).collect();
    for axis in axes {
        let from_start = if *axis < 0 { sizes.len() as isize + axis } else { *axis };
        if let Some(size) = usize::try_from(from_start).ok().and_then(|at| sizes.get_mut(at)) {
            *size = 1;
        }
    }
    reduced.reshape(&sizes)
}
