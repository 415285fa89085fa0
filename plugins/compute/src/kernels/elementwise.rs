//! Operations on each element by itself.

use super::{Float, Parallel};

/// Operations on one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `x`.
    Copy,
    /// `-x`.
    Negate,
    /// `|x|`.
    Absolute,
    /// 1 above 0, -1 below, else 0 (also for NaN).
    Sign,
    /// `x · x`.
    Square,
    /// The square root, correctly rounded.
    Root,
    /// `1 / x`.
    Reciprocal,
    /// e to the power of x.
    Exp,
    /// The natural logarithm.
    Ln,
    /// The natural logarithm of 1 + x, from 0 on.
    Ln1p,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// x above 0, else 0 (also for NaN).
    Relu,
    /// 1 above 0, else 0.
    IsPositive,
}

/// Operations on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `x + y`.
    Add,
    /// `x - y`.
    Subtract,
    /// `x · y`.
    Multiply,
    /// `x / y`.
    Divide,
    /// y where it is larger than x, else x.
    Larger,
    /// y where it is smaller than x, else x.
    Smaller,
    /// 1 where `x < y`, else 0.
    IsLess,
    /// 1 where `x = y`, else 0.
    IsEqual,
    /// Through [`Unary::Relu`]: x where its output y is above 0, else 0.
    ReluGradient,
    /// Through [`Unary::Tanh`] with output y: `x · (1 - y · y)`.
    TanhGradient,
    /// Through [`Unary::Sigmoid`] with output y: `x · (y · (1 - y))`.
    SigmoidGradient,
}

impl Unary {
    /// Of one number.
    #[inline(always)]
    #[must_use]
    pub fn of<T: Float>(self, x: T) -> T {
        match self {
            Self::Copy => x,
            Self::Negate => -x,
            Self::Absolute => x.absolute(),
            Self::Sign if x > T::ZERO => T::ONE,
            Self::Sign => {
                if x < T::ZERO {
                    -T::ONE
                } else {
                    T::ZERO
                }
            }
            Self::Square => x * x,
            Self::Root => x.root(),
            Self::Reciprocal => T::ONE / x,
            Self::Exp => x.exp(),
            Self::Ln => x.ln(),
            Self::Ln1p => x.ln_1p(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::Relu => {
                if x > T::ZERO {
                    x
                } else {
                    T::ZERO
                }
            }
            Self::IsPositive => {
                if x > T::ZERO {
                    T::ONE
                } else {
                    T::ZERO
                }
            }
        }
    }
}

impl Binary {
    /// Of two numbers.
    #[inline(always)]
    #[must_use]
    pub fn of<T: Float>(self, x: T, y: T) -> T {
        let truth = |is_so: bool| if is_so { T::ONE } else { T::ZERO };
        match self {
            Self::Add => x + y,
            Self::Subtract => x - y,
            Self::Multiply => x * y,
            Self::Divide => x / y,
            Self::Larger => {
                if y > x {
                    y
                } else {
                    x
                }
            }
            Self::Smaller => {
                if y < x {
                    y
                } else {
                    x
                }
            }
            Self::IsLess => truth(x < y),
            Self::IsEqual => truth(x == y),
            Self::ReluGradient => {
                if y > T::ZERO {
                    x
                } else {
                    T::ZERO
                }
            }
            Self::TanhGradient => x * (T::ONE - y * y),
            Self::SigmoidGradient => x * (y * (T::ONE - y)),
        }
    }
}

/// Writes the operation on each element of `x` to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn unary<T: Float>(op: Unary, to: &mut [T], x: &[T], threads: &dyn Parallel) {
    assert_eq!(to.len(), x.len(), "elements of x");
    let _ = threads;
    to.iter_mut().zip(x).for_each(|(to, x)| *to = op.of(*x));
}

/// Replaces each element of `x`.
pub fn unary_in_place<T: Float>(op: Unary, x: &mut [T], threads: &dyn Parallel) {
    let _ = threads;
    x.iter_mut().for_each(|x| *x = op.of(*x));
}

/// Writes the operation on each pair of elements to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary<T: Float>(op: Binary, to: &mut [T], x: &[T], y: &[T], threads: &dyn Parallel) {
    assert_eq!([to.len(); 2], [x.len(), y.len()], "elements of x and y");
    let _ = threads;
    to.iter_mut().zip(x.iter().zip(y)).for_each(|(to, (x, y))| *to = op.of(*x, *y));
}

/// Replaces each element of `x`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary_in_place<T: Float>(op: Binary, x: &mut [T], y: &[T], threads: &dyn Parallel) {
    assert_eq!(x.len(), y.len(), "elements of y");
    let _ = threads;
    x.iter_mut().zip(y).for_each(|(x, y)| *x = op.of(*x, *y));
}

/// Writes the operation on each element and a number to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary_with<T: Float>(op: Binary, to: &mut [T], x: &[T], number: T, threads: &dyn Parallel) {
    assert_eq!(to.len(), x.len(), "elements of x");
    let _ = threads;
    to.iter_mut().zip(x).for_each(|(to, x)| *to = op.of(*x, number));
}

/// Writes the operation on a number and each element to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary_from<T: Float>(op: Binary, to: &mut [T], number: T, y: &[T], threads: &dyn Parallel) {
    assert_eq!(to.len(), y.len(), "elements of y");
    let _ = threads;
    to.iter_mut().zip(y).for_each(|(to, y)| *to = op.of(number, *y));
}

/// Adds `factor · x` to each element: product and sum rounded.
///
/// # Panics
/// If the slices have different lengths.
pub fn add_scaled<T: Float>(to: &mut [T], factor: T, x: &[T], threads: &dyn Parallel) {
    assert_eq!(to.len(), x.len(), "elements of x");
    let _ = threads;
    to.iter_mut().zip(x).for_each(|(to, x)| *to = *to + factor * *x);
}

/// Writes x where the condition is not 0, else y.
///
/// # Panics
/// If the slices have different lengths.
pub fn select<T: Float>(to: &mut [T], condition: &[T], x: &[T], y: &[T], threads: &dyn Parallel) {
    assert_eq!([to.len(); 3], [condition.len(), x.len(), y.len()], "elements of all");
    let _ = threads;
    for (nth, to) in to.iter_mut().enumerate() {
        *to = if condition[nth] != T::ZERO { x[nth] } else { y[nth] };
    }
}
