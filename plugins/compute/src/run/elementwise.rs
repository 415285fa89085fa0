//! Operations on each element by itself.

use super::Home;
use super::broadcast::Runs;
use super::functions;
use super::numbers::Functions;
use crate::error::Rule;
use crate::kernels::{self, OneThread, elementwise as kernel};
use crate::op::{Binary, Compare, Side, Unary};
use crate::shape::Dtype;
use crate::tensor::{Element, Tensor};

/// The kernel of a function, where there is one.
fn unary_kernel(f: Unary) -> Option<kernels::Unary> {
    Some(match f {
        Unary::Neg => kernels::Unary::Negate,
        Unary::Exp => kernels::Unary::Exp,
        Unary::Ln => kernels::Unary::Ln,
        Unary::Sqrt => kernels::Unary::Root,
        Unary::Reciprocal => kernels::Unary::Reciprocal,
        Unary::Square | Unary::PowScalar(2.0) => kernels::Unary::Square,
        Unary::PowScalar(0.5) => kernels::Unary::Root,
        Unary::PowScalar(-1.0) => kernels::Unary::Reciprocal,
        Unary::Abs => kernels::Unary::Absolute,
        Unary::Sigmoid => kernels::Unary::Sigmoid,
        Unary::Tanh => kernels::Unary::Tanh,
        _ => return None,
    })
}

pub(super) fn unary<T: Functions + Element>(
    f: Unary,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (to, x) = (to.elements_mut::<T>()?, x.elements::<T>()?);
    if let Some(f) = unary_kernel(f) {
        kernel::unary(f, to, x, home.threads);
        return Ok(());
    }
    let number = match f {
        Unary::AddScalar(c) => Some((kernels::Binary::Add, c)),
        Unary::MulScalar(c) => Some((kernels::Binary::Multiply, c)),
        // Takes 0 only where it is larger, so that NaN stays.
        Unary::Relu => Some((kernels::Binary::Larger, 0.0)),
        _ => None,
    };
    match number {
        Some((f, number)) => kernel::binary_with(f, to, x, T::from_f64(number), home.threads),
        None => functions::unary(f, to, x, home.threads),
    }
    Ok(())
}

pub(super) fn unary_gradient<T: Functions + Element>(
    f: Unary,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (to, g, v) =
        (to.elements_mut::<T>()?, inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
    let kernel = match f {
        Unary::Relu => Some(kernels::Binary::ReluGradient),
        Unary::Tanh => Some(kernels::Binary::TanhGradient),
        Unary::Sigmoid => Some(kernels::Binary::SigmoidGradient),
        Unary::Exp => Some(kernels::Binary::Multiply),
        _ => None,
    };
    if let Some(f) = kernel {
        kernel::binary(f, to, g, v, home.threads);
        return Ok(());
    }
    functions::unary_gradient(f, to, g, v, home.threads);
    Ok(())
}

/// The kernel of a function, where there is one with its bits.
fn binary_kernel(f: Binary) -> Option<kernels::Binary> {
    Some(match f {
        Binary::Add => kernels::Binary::Add,
        Binary::Sub => kernels::Binary::Subtract,
        Binary::Mul => kernels::Binary::Multiply,
        Binary::Div => kernels::Binary::Divide,
        _ => return None,
    })
}

/// Runs shorter than this are not worth a kernel's call.
const KERNEL_LEN: usize = 16;

pub(super) fn binary<T: Functions + Element>(
    f: Binary,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let is_same = inputs[0].shape() == inputs[1].shape();
    if let (true, Some(f)) = (is_same, binary_kernel(f)) {
        let (a, b) = (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
        kernel::binary(f, to.elements_mut::<T>()?, a, b, home.threads);
        return Ok(());
    }
    let runs = Runs::new(to.shape(), [inputs[0].shape(), inputs[1].shape()]);
    let (a, b, to) =
        (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?, to.elements_mut::<T>()?);
    let steps = runs.steps;
    if let (Some(f), KERNEL_LEN..) = (binary_kernel(f), runs.len) {
        let one = &OneThread;
        runs.each(to, 8 * to.len(), home.threads, |to, [left, right]| {
            let len = to.len();
            match steps {
                [1, 1] => kernel::binary(f, to, &a[left..left + len], &b[right..right + len], one),
                [1, _] => kernel::binary_with(f, to, &a[left..left + len], b[right], one),
                [_, 1] => kernel::binary_from(f, to, a[left], &b[right..right + len], one),
                _ => kernel::binary_with(f, to, &a[left..=left], b[right], one),
            }
        });
        return Ok(());
    }
    runs.each(to, 16 * to.len(), home.threads, |to, [left, right]| {
        functions::binary(f, to, &a[left..], &b[right..], steps);
    });
    Ok(())
}

pub(super) fn binary_gradient<T: Functions + Element>(
    f: Binary,
    side: Side,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &Home,
) -> Result<(), Rule> {
    let shapes = [inputs[0].shape(), inputs[1].shape(), inputs[2].shape()];
    let runs = Runs::new(to.shape(), shapes);
    let (g, a, b) =
        (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?, inputs[2].elements::<T>()?);
    let to = to.elements_mut::<T>()?;
    runs.each(to, 16 * to.len(), home.threads, |to, [left, middle, right]| {
        let from = [&g[left..], &a[middle..], &b[right..]];
        functions::binary_gradient((f, side), to, from, runs.steps);
    });
    Ok(())
}

pub(super) fn compare(
    by: Compare,
    [a, b]: [&Tensor; 2],
    to: &mut Tensor,
    home: &Home,
) -> Result<(), Rule> {
    match a.dtype() {
        Dtype::F32 => compare_of::<f32>(by, [a, b], to, home),
        Dtype::F64 => compare_of::<f64>(by, [a, b], to, home),
        Dtype::I64 => compare_of::<i64>(by, [a, b], to, home),
        Dtype::Bool => compare_of::<bool>(by, [a, b], to, home),
    }
}

fn compare_of<T: Element + PartialOrd>(
    by: Compare,
    [a, b]: [&Tensor; 2],
    to: &mut Tensor,
    home: &Home,
) -> Result<(), Rule> {
    let runs = Runs::new(to.shape(), [a.shape(), b.shape()]);
    let (a, b, to) = (a.elements::<T>()?, b.elements::<T>()?, to.elements_mut::<bool>()?);
    let is_so: fn(&T, &T) -> bool = match by {
        Compare::Equal => T::eq,
        Compare::NotEqual => T::ne,
        Compare::Less => T::lt,
        Compare::LessEqual => T::le,
        Compare::Greater => T::gt,
        Compare::GreaterEqual => T::ge,
    };
    runs.each(to, 4 * to.len(), home.threads, |to, [left, right]| {
        for (nth, to) in to.iter_mut().enumerate() {
            *to = is_so(&a[left + nth * runs.steps[0]], &b[right + nth * runs.steps[1]]);
        }
    });
    Ok(())
}

pub(super) fn select<T: Element>(
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &Home,
) -> Result<(), Rule> {
    let shapes = [inputs[0].shape(), inputs[1].shape(), inputs[2].shape()];
    let runs = Runs::new(to.shape(), shapes);
    let condition = inputs[0].elements::<bool>()?;
    let (a, b) = (inputs[1].elements::<T>()?, inputs[2].elements::<T>()?);
    let to = to.elements_mut::<T>()?;
    let [step, a_step, b_step] = runs.steps;
    runs.each(to, 8 * to.len(), home.threads, |to, [first, left, right]| {
        for (nth, to) in to.iter_mut().enumerate() {
            let is_true = condition[first + nth * step];
            *to = if is_true { a[left + nth * a_step] } else { b[right + nth * b_step] };
        }
    });
    Ok(())
}

pub(super) fn dropout<T: Functions + Element>(
    rate: f64,
    inputs: &[&Tensor],
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (x, mask) = (inputs[0].elements::<T>()?, inputs[1].elements::<bool>()?);
    let factor = T::from_f64(1.0 / (1.0 - rate));
    for ((to, x), is_kept) in to.elements_mut::<T>()?.iter_mut().zip(x).zip(mask) {
        *to = if *is_kept { *x * factor } else { T::ZERO };
    }
    Ok(())
}

pub(super) fn cast(x: &Tensor, to: &mut Tensor) -> Result<(), Rule> {
    fn each<A: Element, B: Element>(
        x: &Tensor,
        to: &mut Tensor,
        f: fn(A) -> B,
    ) -> Result<(), Rule> {
        let x = x.elements::<A>()?;
        to.elements_mut::<B>()?.iter_mut().zip(x).for_each(|(to, x)| *to = f(*x));
        Ok(())
    }
    match (x.dtype(), to.dtype()) {
        (Dtype::F32, Dtype::F64) => each::<f32, f64>(x, to, f64::from),
        (Dtype::F32, Dtype::I64) => each::<f32, i64>(x, to, |x| x as i64),
        (Dtype::F32, Dtype::Bool) => each::<f32, bool>(x, to, |x| x != 0.0),
        (Dtype::F64, Dtype::F32) => each::<f64, f32>(x, to, |x| x as f32),
        (Dtype::F64, Dtype::I64) => each::<f64, i64>(x, to, |x| x as i64),
        (Dtype::F64, Dtype::Bool) => each::<f64, bool>(x, to, |x| x != 0.0),
        (Dtype::I64, Dtype::F32) => each::<i64, f32>(x, to, |x| x as f32),
        (Dtype::I64, Dtype::F64) => each::<i64, f64>(x, to, |x| x as f64),
        (Dtype::I64, Dtype::Bool) => each::<i64, bool>(x, to, |x| x != 0),
        (Dtype::Bool, Dtype::F32) => each::<bool, f32>(x, to, |x| f32::from(u8::from(x))),
        (Dtype::Bool, Dtype::F64) => each::<bool, f64>(x, to, |x| f64::from(u8::from(x))),
        (Dtype::Bool, Dtype::I64) => each::<bool, i64>(x, to, i64::from),
        // `run_checked` shares the elements.
        _ => Err(Rule::Dtype("another dtype")),
    }
}
