//! Numbers of a graph, once arguments and sizes are known.

use fedwasm_compute::kernels::math64;
use fedwasm_graph::{Attribute, Binary, NodeId, Number, Unary, Value};
use fedwasm_sdk::{PlanError, Result};

/// What numbers may follow from.
pub trait Scope {
    /// The value of an argument; none if there is no such one.
    fn argument(&self, nth: u32) -> Option<&Value>;

    /// The length of an axis of what a node gave, from the end if it is negative; none if there is no
    /// such axis.
    fn size(&self, node: NodeId, axis: i8) -> Option<usize>;
}

/// A number, whole or real.
#[derive(Clone, Copy)]
enum Known {
    Whole(i64),
    Real(f64),
}

impl Known {
    fn real(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Real(value) => value,
        }
    }
}

/// Computes a number: [`Value::Integer`] or [`Value::Real`]. Its bits are the same everywhere.
///
/// # Errors
/// [`PlanError::InvalidArgument`] if a whole number overflows, a division is by 0, or an argument or
/// an axis is not there.
pub fn number(number: &Number, scope: &dyn Scope) -> Result<Value> {
    Ok(match known(number, scope)? {
        Known::Whole(value) => Value::Integer(value),
        Known::Real(value) => Value::Real(value),
    })
}

/// Computes an attribute; none if it is [`Attribute::None`].
///
/// # Errors
/// As [`number`].
pub fn attribute(attribute: &Attribute, scope: &dyn Scope) -> Result<Option<Value>> {
    Ok(Some(match attribute {
        Attribute::None => return Ok(None),
        Attribute::Bool(value) => Value::Boolean(*value),
        Attribute::Text(text) => Value::Text(text.clone()),
        Attribute::Number(x) => number(x, scope)?,
        Attribute::Numbers(all) => {
            let all = all.iter().map(|x| known(x, scope)).collect::<Result<Vec<Known>>>()?;
            let whole = all.iter().map(|x| match x {
                Known::Whole(value) => Some(*value),
                Known::Real(_) => None,
            });
            match whole.collect() {
                Some(whole) => Value::Integers(whole),
                None => Value::Reals(all.into_iter().map(Known::real).collect()),
            }
        }
        Attribute::Argument(nth) => {
            scope.argument(*nth).cloned().ok_or_else(|| wrong(&format!("no argument {nth}")))?
        }
    }))
}

fn wrong(text: &str) -> PlanError {
    PlanError::InvalidArgument(text.to_owned())
}

fn known(number: &Number, scope: &dyn Scope) -> Result<Known> {
    Ok(match number {
        Number::Integer(value) => Known::Whole(*value),
        Number::Real(value) => Known::Real(*value),
        Number::Argument(nth) => match scope.argument(*nth) {
            Some(Value::Integer(value)) => Known::Whole(*value),
            Some(Value::Real(value)) => Known::Real(*value),
            other => return Err(wrong(&format!("argument {nth} is {other:?}, not a number"))),
        },
        Number::Size(node, axis) => {
            let none = || wrong(&format!("what node {node} gives has no axis {axis}"));
            let size = scope.size(*node, *axis).ok_or_else(none)?;
            Known::Whole(i64::try_from(size).unwrap_or(i64::MAX))
        }
        Number::Unary(function, x) => unary(*function, known(x, scope)?)?,
        Number::Binary(function, a, b) => binary(*function, known(a, scope)?, known(b, scope)?)?,
    })
}

/// A real number that is whole, as one.
fn whole(x: f64) -> Result<Known> {
    // Beyond 2^63 no i64 is near.
    match x.abs() < 9_223_372_036_854_775_808.0 {
        true => Ok(Known::Whole(x as i64)),
        false => Err(wrong(&format!("{x} is beyond all whole numbers"))),
    }
}

fn unary(function: Unary, x: Known) -> Result<Known> {
    let overflow = || wrong(&format!("{} of a whole number overflows", function.name()));
    Ok(match (function, x) {
        (Unary::Neg, Known::Whole(x)) => Known::Whole(x.checked_neg().ok_or_else(overflow)?),
        (Unary::Neg, Known::Real(x)) => Known::Real(-x),
        (Unary::Abs, Known::Whole(x)) => Known::Whole(x.checked_abs().ok_or_else(overflow)?),
        (Unary::Abs, Known::Real(x)) => Known::Real(x.abs()),
        (Unary::Sqrt, x) => Known::Real(x.real().sqrt()),
        (Unary::Exp, x) => Known::Real(math64::exp(x.real())),
        (Unary::Ln, x) => Known::Real(math64::ln(x.real())),
        (Unary::Real, x) => Known::Real(x.real()),
        (_, Known::Whole(x)) => Known::Whole(x),
        (Unary::Floor, Known::Real(x)) => whole(x.floor())?,
        (Unary::Ceil, Known::Real(x)) => whole(x.ceil())?,
        (Unary::Round, Known::Real(x)) => whole(x.round_ties_even())?,
    })
}

fn binary(function: Binary, a: Known, b: Known) -> Result<Known> {
    if let (Known::Whole(a), Known::Whole(b)) = (a, b)
        && function != Binary::Div
    {
        let fails = || wrong(&format!("{a} {} {b} is not a whole number", function.name()));
        return of_whole(function, a, b).map(Known::Whole).ok_or_else(fails);
    }
    let (a, b) = (a.real(), b.real());
    Ok(Known::Real(match function {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div if b == 0.0 => return Err(wrong(&format!("{a} is divided by 0"))),
        Binary::Div => a / b,
        Binary::FloorDiv => (a / b).floor(),
        Binary::Mod => a - b * (a / b).floor(),
        Binary::Pow => power(a, b),
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
    }))
}

fn of_whole(function: Binary, a: i64, b: i64) -> Option<i64> {
    Some(match function {
        Binary::Add => a.checked_add(b)?,
        Binary::Sub => a.checked_sub(b)?,
        Binary::Mul => a.checked_mul(b)?,
        Binary::Div => return None,
        Binary::FloorDiv => {
            let quotient = a.checked_div(b)?;
            quotient - i64::from(a % b != 0 && (a < 0) != (b < 0))
        }
        Binary::Mod => {
            let rest = a.checked_rem(b)?;
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        }
        Binary::Pow => a.checked_pow(u32::try_from(b).ok()?)?,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
    })
}

/// `a^b`: by products for whole exponents up to 64, elsewhere `exp(b ln a)`, never a platform's.
fn power(a: f64, b: f64) -> f64 {
    if b.fract() != 0.0 || b.abs() > 64.0 {
        return if a == 0.0 && b > 0.0 { 0.0 } else { math64::exp(b * math64::ln(a)) };
    }
    let product = (0..b.abs() as u32).fold(1.0, |product, _| product * a);
    if b < 0.0 { 1.0 / product } else { product }
}
