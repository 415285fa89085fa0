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
    use crate::kernels::convolution::forward::Forward;
    use crate::kernels::convolution::inputs::Inputs;
    use crate::kernels::convolution::weights::Weights;
    use crate::kernels::elementwise::{Choice, Map, Scaled};
    use crate::kernels::optimizer::{AdamPart, SgdPart};
    use crate::kernels::pooling::planes::Pool;
    use crate::kernels::product::Product;
    use crate::kernels::reduction::{Extremes, Sums};
    use crate::kernels::simd::{Level, run_at};

    /// The lanes of a type for each level of instructions.
    pub trait Sealed: Sized {
        #[cfg(target_arch = "x86_64")]
        type Avx512: crate::kernels::simd::Lanes<T = Self>;
        #[cfg(target_arch = "x86_64")]
        type Avx2: crate::kernels::simd::Lanes<T = Self>;
        #[cfg(target_arch = "aarch64")]
        type Neon: crate::kernels::simd::Lanes<T = Self>;
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        type Simd128: crate::kernels::simd::Lanes<T = Self>;

        // Kernels of a type, compiled here once and not in each crate that calls them.

        fn product(level: Level, kernel: Product<Self>);
        fn convolution(level: Level, kernel: Forward<Self>);
        fn weight_gradient(level: Level, kernel: Weights<Self>);
        fn input_gradient(level: Level, kernel: Inputs<Self>);
        fn map(level: Level, kernel: Map<Self>);
        fn scaled(level: Level, kernel: Scaled<Self>);
        fn select(level: Level, kernel: Choice<Self>);
        fn sgd(level: Level, kernel: SgdPart<Self>);
        fn adam(level: Level, kernel: AdamPart<Self>);
        fn sum(level: Level, kernel: Sums<Self>);
        fn extreme(level: Level, kernel: Extremes<Self>);
        fn pool(level: Level, kernel: Pool<Self>);
    }

    macro_rules! entries {
        ($($name:ident $kernel:ident)+) => {$(
            #[inline(never)]
            fn $name(level: Level, kernel: $kernel<Self>) {
                run_at(level, kernel);
            }
        )+};
        () => {
            entries! {
                product Product convolution Forward weight_gradient Weights input_gradient Inputs
                map Map scaled Scaled select Choice sgd SgdPart adam AdamPart
                sum Sums extreme Extremes pool Pool
            }
        };
    }

    impl Sealed for f32 {
        #[cfg(target_arch = "x86_64")]
        type Avx512 = crate::kernels::simd::x86::Avx512F32;
        #[cfg(target_arch = "x86_64")]
        type Avx2 = crate::kernels::simd::x86::Avx2F32;
        #[cfg(target_arch = "aarch64")]
        type Neon = crate::kernels::simd::neon::NeonF32;
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        type Simd128 = crate::kernels::simd::simd128::Simd128;

        entries!();
    }

    impl Sealed for f64 {
        #[cfg(target_arch = "x86_64")]
        type Avx512 = crate::kernels::simd::x86::Avx512F64;
        #[cfg(target_arch = "x86_64")]
        type Avx2 = crate::kernels::simd::x86::Avx2F64;
        #[cfg(target_arch = "aarch64")]
        type Neon = crate::kernels::simd::neon::NeonF64;
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        type Simd128 = crate::kernels::simd::plain::Plain<f64>;

        entries!();
    }
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
