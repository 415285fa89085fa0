//! Operators between tensors and numbers.

use std::ops::{Add, Div, Mul, Neg, Sub};

use fedwasm_compute::{Apply, Binary, Compare, Id, Mistake, Op, Unary, compose};

use super::{Tensor, apply};

/// A tensor, or a number that stands for a tensor of it.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A tensor.
    Tensor(Tensor),
    /// A number.
    Number(f64),
}

impl From<Tensor> for Operand {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<&Tensor> for Operand {
    fn from(tensor: &Tensor) -> Self {
        Self::Tensor(tensor.clone())
    }
}

impl From<f64> for Operand {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// A function of a tensor and an operand; a number becomes a scalar of the tensor's dtype.
#[track_caller]
pub(super) fn with_operand(op: Op, a: &Tensor, b: Operand) -> Tensor {
    match b {
        Operand::Tensor(b) => apply(&[a, &b], &mut |apply, ids| apply.apply(op, ids)),
        Operand::Number(b) => apply(&[a], &mut |apply, ids| {
            let b = number(apply, ids[0], b)?;
            apply.apply(op, &[ids[0], b])
        }),
    }
}

/// A scalar of the dtype of another tensor.
pub(super) fn number(apply: &mut dyn Apply, like: Id, value: f64) -> Result<Id, Mistake> {
    let dtype = apply.kind(like)?.dtype;
    compose::full(apply, &[], dtype, value)
}

#[track_caller]
pub(super) fn unary(f: Unary, x: &Tensor) -> Tensor {
    apply(&[x], &mut |apply, ids| compose::unary(apply, f, ids[0]))
}

/// A tensor and a number, in the order in which they stand.
enum Mixed<'a> {
    Both(&'a Tensor, &'a Tensor),
    Right(&'a Tensor, f64),
    Left(f64, &'a Tensor),
}

/// Whether `1 / x` is exact, so that a product with it is a quotient.
fn is_power_of_two(x: f64) -> bool {
    x.is_normal() && x.recip().is_normal() && x.to_bits() << 12 == 0
}

#[track_caller]
fn binary(f: Binary, mixed: Mixed) -> Tensor {
    match (f, mixed) {
        (f, Mixed::Both(a, b)) => {
            apply(&[a, b], &mut |apply, ids| compose::binary(apply, f, ids[0], ids[1]))
        }
        (Binary::Add, Mixed::Right(x, c) | Mixed::Left(c, x)) => unary(Unary::AddScalar(c), x),
        (Binary::Mul, Mixed::Right(x, c) | Mixed::Left(c, x)) => unary(Unary::MulScalar(c), x),
        (Binary::Sub, Mixed::Right(x, c)) => unary(Unary::AddScalar(-c), x),
        (Binary::Div, Mixed::Right(x, c)) if is_power_of_two(c) => {
            unary(Unary::MulScalar(c.recip()), x)
        }
        (f, Mixed::Right(x, c)) => with_operand(Op::Binary(f), x, Operand::Number(c)),
        (f, Mixed::Left(c, x)) => apply(&[x], &mut |apply, ids| {
            let c = number(apply, ids[0], c)?;
            compose::binary(apply, f, c, ids[0])
        }),
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident;)*) => {$(
        operators! { @both $trait $method Tensor, Tensor; }
        operators! { @both $trait $method Tensor, &Tensor; }
        operators! { @both $trait $method &Tensor, Tensor; }
        operators! { @both $trait $method &Tensor, &Tensor; }
        operators! { @number $trait $method Tensor; }
        operators! { @number $trait $method &Tensor; }
    )*};
    (@both $trait:ident $method:ident $left:ty, $right:ty;) => {
        impl $trait<$right> for $left {
            type Output = Tensor;

            #[track_caller]
            fn $method(self, other: $right) -> Tensor {
                #[allow(clippy::borrow_deref_ref, reason = "one of the two may be a reference")]
                binary(Binary::$trait, Mixed::Both(&self, &other))
            }
        }
    };
    (@number $trait:ident $method:ident $tensor:ty;) => {
        impl $trait<f64> for $tensor {
            type Output = Tensor;

            #[track_caller]
            fn $method(self, number: f64) -> Tensor {
                binary(Binary::$trait, Mixed::Right(&self, number))
            }
        }

        impl $trait<$tensor> for f64 {
            type Output = Tensor;

            #[track_caller]
            fn $method(self, tensor: $tensor) -> Tensor {
                binary(Binary::$trait, Mixed::Left(self, &tensor))
            }
        }
    };
}

operators! { Add add; Sub sub; Mul mul; Div div; }

impl Neg for &Tensor {
    type Output = Tensor;

    #[track_caller]
    fn neg(self) -> Tensor {
        unary(Unary::Neg, self)
    }
}

impl Neg for Tensor {
    type Output = Tensor;

    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}

macro_rules! with_operands {
    ($($(#[$doc:meta])* $name:ident, $op:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[must_use]
            #[track_caller]
            pub fn $name(&self, other: impl Into<Operand>) -> Self {
                with_operand($op, self, other.into())
            }
        )*}
    };
}

with_operands! {
    /// The larger of the two; NaN if either is.
    maximum, Op::Binary(Binary::Max);
    /// The smaller of the two; NaN if either is.
    minimum, Op::Binary(Binary::Min);
    /// This to the power of the other.
    pow, Op::Binary(Binary::Pow);
    /// Where the two are equal.
    eq, Op::Compare(Compare::Equal);
    /// Where the two are not equal.
    ne, Op::Compare(Compare::NotEqual);
    /// Where this is less.
    lt, Op::Compare(Compare::Less);
    /// Where this is less or equal.
    le, Op::Compare(Compare::LessEqual);
    /// Where this is greater.
    gt, Op::Compare(Compare::Greater);
    /// Where this is greater or equal.
    ge, Op::Compare(Compare::GreaterEqual);
}

impl Tensor {
    /// Of a tensor of truth values: elements of `a` where it is true, of `b` elsewhere, as
    /// `torch.where`. A number has the dtype of the other, or float32.
    #[must_use]
    #[track_caller]
    pub fn where_(&self, a: impl Into<Operand>, b: impl Into<Operand>) -> Self {
        let (a, b) = (a.into(), b.into());
        let dtype = match (&a, &b) {
            (Operand::Tensor(x), _) | (_, Operand::Tensor(x)) => x.dtype(),
            _ => crate::Dtype::F32,
        };
        let tensor = |operand| match operand {
            Operand::Tensor(tensor) => tensor,
            Operand::Number(value) => Self::full_of(&[], value, dtype),
        };
        let (a, b) = (tensor(a), tensor(b));
        apply(&[self, &a, &b], &mut |apply, ids| apply.apply(Op::Where, ids))
    }
}
