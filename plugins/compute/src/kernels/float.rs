//! The types of elements that kernels compute with.

use core::fmt::Debug;
use core::ops::{Add, Div, Mul, Neg, Sub};

use super::fused::{fused_f32, fused_f64};
use super::{math, math64, root};

/// float32 or float64. Every operation is rounded once; functions are those of this package.
pub trait Float:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + sealed::Sealed
{
    /// +0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// +∞.
    const INFINITY: Self;

    /// The nearest to `x`.
    fn from_f64(x: f64) -> Self;
    /// The same number; exact.
    fn to_f64(self) -> f64;
    /// `self · factor + addend`, rounded once, on any machine.
    fn fused(self, factor: Self, addend: Self) -> Self;
    /// Without its sign.
    fn absolute(self) -> Self;
    /// The square root, correctly rounded; NaN below zero.
    fn root(self) -> Self;
    /// e to the power of it.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The natural logarithm of 1 + it, from 0 on.
    fn ln_1p(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The logistic function.
    fn sigmoid(self) -> Self;
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

macro_rules! float {
    ($type:ident, $math:ident, $fused:ident, $root:path) => {
        impl Float for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = Self::INFINITY;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn fused(self, factor: Self, addend: Self) -> Self {
                $fused(self, factor, addend)
            }

            #[inline(always)]
            fn absolute(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn root(self) -> Self {
                $root(self)
            }

            #[inline(always)]
            fn exp(self) -> Self {
                $math::exp(self)
            }

            #[inline(always)]
            fn ln(self) -> Self {
                $math::ln(self)
            }

            #[inline(always)]
            fn ln_1p(self) -> Self {
                $math::ln_1p(self)
            }

            #[inline(always)]
            fn tanh(self) -> Self {
                $math::tanh(self)
            }

            #[inline(always)]
            fn sigmoid(self) -> Self {
                $math::sigmoid(self)
            }
        }
    };
}

float!(f32, math, fused_f32, root::root_f32);
float!(f64, math64, fused_f64, root::root_f64);
