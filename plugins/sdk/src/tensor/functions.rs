//! Functions of elements, reductions and products.

use fedwasm_compute::{Axes, Mistake, Op, Reduce, Unary, compose};

use super::operand::unary;
use super::{Tensor, apply, axes_of, axis_of};
use crate::Dtype;

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident ($($argument:ident),*) $f:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[must_use]
            #[track_caller]
            pub fn $name(&self, $($argument: f64),*) -> Self {
                unary($f, self)
            }
        )*}
    };
}

functions! {
    /// `e^x`.
    exp() Unary::Exp;
    /// The natural logarithm.
    ln() Unary::Ln;
    /// The square root.
    sqrt() Unary::Sqrt;
    /// `1 / √x`.
    rsqrt() Unary::Rsqrt;
    /// `1 / x`.
    reciprocal() Unary::Reciprocal;
    /// `x²`.
    square() Unary::Square;
    /// `|x|`.
    abs() Unary::Abs;
    /// -1, 0 or 1; its gradient is 0.
    sign() Unary::Sign;
    /// `x` to the power of a number.
    powf(exponent) Unary::PowScalar(exponent);
    /// At least `low` and at most `high`; NaN stays.
    clamp(low, high) Unary::Clamp(low, high);
    /// `max(x, 0)`; its gradient at 0 is 0.
    relu() Unary::Relu;
    /// `x`, or `slope` times `x` below 0.
    leaky_relu(slope) Unary::LeakyRelu(slope);
    /// `x`, or `alpha (e^x - 1)` below 0.
    elu(alpha) Unary::Elu(alpha);
    /// `x/2 (1 + erf(x/√2))`.
    gelu() Unary::Gelu;
    /// The approximation of [`gelu`](Self::gelu) by the hyperbolic tangent.
    gelu_tanh() Unary::GeluTanh;
    /// `x / (1 + e^-x)`.
    silu() Unary::Silu;
    /// `1 / (1 + e^-x)`.
    sigmoid() Unary::Sigmoid;
    /// The hyperbolic tangent.
    tanh() Unary::Tanh;
    /// `ln(1 + e^x)`.
    softplus() Unary::Softplus;
}

macro_rules! reductions {
    ($($doc:literal $name:ident $keep:ident $all:ident $by:ident;)*) => {
        impl Tensor {$(
            #[doc = concat!($doc, " over these axes, which go.")]
            #[must_use]
            #[track_caller]
            pub fn $name(&self, axes: &[isize]) -> Self {
                self.reduced(Reduce::$by, axes, false)
            }

            #[doc = concat!($doc, " over these axes, which stay with length 1.")]
            #[must_use]
            #[track_caller]
            pub fn $keep(&self, axes: &[isize]) -> Self {
                self.reduced(Reduce::$by, axes, true)
            }

            #[doc = concat!($doc, " over all axes: one element.")]
            #[must_use]
            #[track_caller]
            pub fn $all(&self) -> Self {
                apply(&[self], &mut |apply, ids| compose::reduce_all(apply, Reduce::$by, ids[0]))
            }
        )*}
    };
}

impl Tensor {
    #[track_caller]
    fn reduced(&self, by: Reduce, axes: &[isize], keep: bool) -> Self {
        apply(&[self], &mut |apply, ids| {
            let axes = axes_of(apply, ids[0], axes)?;
            compose::reduce(apply, by, ids[0], &axes, keep)
        })
    }

    #[track_caller]
    fn along(&self, axis: isize, op: fn(u32) -> Op) -> Self {
        apply(&[self], &mut |apply, ids| {
            let axis = axis_of(apply, ids[0], axis)?;
            apply.apply(op(axis as u32), ids)
        })
    }

    /// The mean square of the distance from the mean over these axes, which go; divided by the count
    /// less 1 if it is `of_sample`, as `torch.var`.
    #[must_use]
    #[track_caller]
    pub fn variance(&self, axes: &[isize], of_sample: bool) -> Self {
        apply(&[self], &mut |apply, ids| {
            let axes = axes_of(apply, ids[0], axes)?;
            compose::variance(apply, ids[0], &axes, of_sample, false)
        })
    }

    /// `(x - mean) / √(variance + epsilon)` over these axes.
    #[must_use]
    #[track_caller]
    pub fn normalise(&self, axes: &[isize], epsilon: f64) -> Self {
        apply(&[self], &mut |apply, ids| {
            let all = Axes::new(&axes_of(apply, ids[0], axes)?);
            let inputs = vec![apply.kind(ids[0])?];
            let axes = all.map_err(|rule| Mistake { op: "normalisation", inputs, rule })?;
            apply.apply(Op::Normalise { axes, epsilon }, ids)
        })
    }

    /// Where the largest along an axis, which goes, is: int64, the first of equals.
    #[must_use]
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Self {
        self.along(axis, |axis| Op::ArgMax { axis, keep: false })
    }

    /// `e^x` over its sum along an axis.
    #[must_use]
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Self {
        self.along(axis, Op::Softmax)
    }

    /// The logarithm of [`softmax`](Self::softmax).
    #[must_use]
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Self {
        self.along(axis, Op::LogSoftmax)
    }

    /// The matrix product, as `torch.matmul`: leading axes are broadcast, and a tensor of one axis is
    /// a row on the left, a column on the right.
    #[must_use]
    #[track_caller]
    pub fn matmul(&self, other: &Self) -> Self {
        apply(&[self, other], &mut |apply, ids| compose::matmul(apply, ids[0], ids[1]))
    }

    /// `x wᵀ + b` over the last axis: `weight` of shape [outputs, inputs], `bias` of shape `[outputs]`.
    #[must_use]
    #[track_caller]
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Self {
        let mut inputs = vec![self, weight];
        inputs.extend(bias);
        apply(&inputs, &mut |apply, ids| apply.apply(Op::Linear, ids))
    }

    /// Elements as float32.
    #[must_use]
    #[track_caller]
    pub fn to_f32(&self) -> Self {
        self.to(Dtype::F32)
    }

    /// Elements as float64.
    #[must_use]
    #[track_caller]
    pub fn to_f64(&self) -> Self {
        self.to(Dtype::F64)
    }

    /// Elements as int64, rounded towards 0.
    #[must_use]
    #[track_caller]
    pub fn to_i64(&self) -> Self {
        self.to(Dtype::I64)
    }

    /// Elements in another dtype; the tensor itself if it has it.
    #[must_use]
    #[track_caller]
    pub fn to(&self, dtype: Dtype) -> Self {
        apply(&[self], &mut |apply, ids| match apply.kind(ids[0])?.dtype == dtype {
            true => Ok(ids[0]),
            false => apply.apply(Op::Cast(dtype), ids),
        })
    }
}

reductions! {
    "The sum" sum sum_keep sum_all Sum;
    "The mean" mean mean_keep mean_all Mean;
    "The largest" max max_keep max_all Max;
    "The smallest" min min_keep min_all Min;
    "`ln Σ e^x`" log_sum_exp log_sum_exp_keep log_sum_exp_all LogSumExp;
}
