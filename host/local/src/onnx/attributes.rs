//! Attributes of a call of a graph, once arguments and sizes are known.

use fedwasm_graph::{Attr, Attribute, Binary, NodeId, Number, Unary, Value as GraphValue};

use super::NotCovered;
use super::network::{Element, LENGTH_MAX, Size, Step, Value};

/// The values of arguments, and the tensors of earlier nodes.
pub(super) struct Scope<'a> {
    pub(super) arguments: &'a [GraphValue],
    pub(super) given: &'a [Vec<Value>],
}

/// A number of a graph: one that is known, or the rows of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known {
    Whole(i64),
    Real(f64),
    Rows,
}

impl Known {
    pub(super) fn whole(self) -> Step<i64> {
        match self {
            Self::Whole(value) if value.unsigned_abs() <= LENGTH_MAX.unsigned_abs() => Ok(value),
            Self::Whole(value) => Err(NotCovered::new(format!("the number {value}"))),
            Self::Real(value) if value.fract() == 0.0 && value.abs() <= LENGTH_MAX as f64 => {
                Ok(value as i64)
            }
            Self::Real(value) => Err(NotCovered::new(format!("{value} as a whole number"))),
            Self::Rows => Err(NotCovered::new("a number that depends on the rows of a batch")),
        }
    }

    pub(super) fn real(self) -> Step<f64> {
        match self {
            Self::Whole(value) => Ok(value as f64),
            Self::Real(value) => Ok(value),
            Self::Rows => Err(NotCovered::new("a number that depends on the rows of a batch")),
        }
    }

    pub(super) fn size(self) -> Step<Size> {
        match self {
            Self::Rows => Ok(Size::Rows),
            other => other.whole().map(Size::Known),
        }
    }
}

impl Scope<'_> {
    pub(super) fn number(&self, number: &Number) -> Step<Known> {
        Ok(match number {
            Number::Integer(value) => Known::Whole(*value),
            Number::Real(value) => Known::Real(*value),
            Number::Argument(nth) => match self.arguments.get(*nth as usize) {
                Some(GraphValue::Integer(value)) => Known::Whole(*value),
                Some(GraphValue::Real(value)) => Known::Real(*value),
                _ => return Err(NotCovered::new(format!("argument {nth}, which is not a number"))),
            },
            Number::Size(node, axis) => self.size(*node, *axis)?,
            Number::Unary(function, x) => unary(*function, self.number(x)?)?,
            Number::Binary(function, a, b) => binary(*function, self.number(a)?, self.number(b)?)?,
        })
    }

    fn size(&self, node: NodeId, axis: i8) -> Step<Known> {
        let value = self.given.get(node as usize).and_then(|all| all.first());
        let value =
            value.ok_or_else(|| NotCovered::new("the size of a tensor that is not there"))?;
        match value.shape[value.axis(axis.into())?] {
            Size::Known(length) => Ok(Known::Whole(length)),
            Size::Rows => Ok(Known::Rows),
            Size::Unknown => Err(NotCovered::new("the size of an axis of unknown length")),
        }
    }
}

fn unary(function: Unary, x: Known) -> Step<Known> {
    let overflow = || NotCovered::new("a whole number that overflows");
    Ok(match (function, x) {
        (Unary::Neg, Known::Whole(x)) => Known::Whole(x.checked_neg().ok_or_else(overflow)?),
        (Unary::Abs, Known::Whole(x)) => Known::Whole(x.checked_abs().ok_or_else(overflow)?),
        (Unary::Neg, x) => Known::Real(-x.real()?),
        (Unary::Abs, x) => Known::Real(x.real()?.abs()),
        (Unary::Sqrt, x) => Known::Real(x.real()?.sqrt()),
        (Unary::Real, x) => Known::Real(x.real()?),
        (Unary::Floor, x) => Known::Whole(Known::Real(x.real()?.floor()).whole()?),
        (Unary::Ceil, x) => Known::Whole(Known::Real(x.real()?.ceil()).whole()?),
        (Unary::Round, x) => Known::Whole(Known::Real(x.real()?.round_ties_even()).whole()?),
        (Unary::Exp | Unary::Ln, _) => {
            return Err(NotCovered::new(format!("the number `{}`", function.name())));
        }
    })
}

fn binary(function: Binary, a: Known, b: Known) -> Step<Known> {
    use Binary as B;
    if let (Known::Whole(a), Known::Whole(b)) = (a, b) {
        let whole = match function {
            B::Add => a.checked_add(b),
            B::Sub => a.checked_sub(b),
            B::Mul => a.checked_mul(b),
            B::FloorDiv if b > 0 => Some(a.div_euclid(b)),
            B::Mod if b > 0 => Some(a.rem_euclid(b)),
            B::Pow => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            B::Min => Some(a.min(b)),
            B::Max => Some(a.max(b)),
            B::Div if b != 0 => return Ok(Known::Real(a as f64 / b as f64)),
            _ => None,
        };
        let none = || NotCovered::new(format!("the number {a} {} {b}", function.name()));
        return whole.map(Known::Whole).ok_or_else(none);
    }
    let (a, b) = (a.real()?, b.real()?);
    Ok(Known::Real(match function {
        B::Add => a + b,
        B::Sub => a - b,
        B::Mul => a * b,
        B::Div => a / b,
        B::Min => a.min(b),
        B::Max => a.max(b),
        B::FloorDiv | B::Mod | B::Pow => {
            return Err(NotCovered::new(format!("the number {a} {} {b}", function.name())));
        }
    }))
}

/// The attributes of a call, by name.
pub(super) struct Attributes<'a> {
    pub(super) known: &'a [Attr],
    pub(super) given: &'a [Attribute],
    pub(super) scope: &'a Scope<'a>,
}

impl Attributes<'_> {
    fn get(&self, name: &str) -> Option<&Attribute> {
        let at = self.known.iter().position(|attr| attr.name == name)?;
        self.given.get(at).filter(|attribute| !matches!(attribute, Attribute::None))
    }

    /// The value of an argument that an attribute names.
    fn argument(&self, name: &str) -> Option<&GraphValue> {
        match self.get(name)? {
            Attribute::Argument(nth) => self.scope.arguments.get(*nth as usize),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Step<Option<Known>> {
        match self.get(name) {
            Some(Attribute::Number(number)) => self.scope.number(number).map(Some),
            None => Ok(None),
            Some(_) => Err(NotCovered::new(format!("the attribute `{name}`"))),
        }
    }

    pub(super) fn real(&self, name: &str, default: f64) -> Step<f64> {
        self.number(name)?.map_or(Ok(default), Known::real)
    }

    pub(super) fn whole(&self, name: &str) -> Step<i64> {
        let missing = || NotCovered::new(format!("a call without `{name}`"));
        self.number(name)?.ok_or_else(missing)?.whole()
    }

    pub(super) fn numbers(&self, name: &str) -> Step<Option<Vec<Known>>> {
        match (self.get(name), self.argument(name)) {
            (_, Some(GraphValue::Integers(all))) => {
                Ok(Some(all.iter().copied().map(Known::Whole).collect()))
            }
            (_, Some(GraphValue::Reals(all))) => {
                Ok(Some(all.iter().copied().map(Known::Real).collect()))
            }
            (Some(Attribute::Numbers(all)), _) => {
                all.iter().map(|number| self.scope.number(number)).collect::<Step<_>>().map(Some)
            }
            (Some(Attribute::Number(number)), _) => Ok(Some(vec![self.scope.number(number)?])),
            (None, _) => Ok(None),
            (Some(_), _) => Err(NotCovered::new(format!("the attribute `{name}`"))),
        }
    }

    pub(super) fn wholes(&self, name: &str) -> Step<Option<Vec<i64>>> {
        let numbers = self.numbers(name)?;
        numbers.map(|all| all.into_iter().map(Known::whole).collect()).transpose()
    }

    /// A size along each of `n` axes: one for all, or one for each.
    pub(super) fn along(&self, name: &str, n: usize, default: i64) -> Step<Vec<i64>> {
        match self.wholes(name)? {
            None => Ok(vec![default; n]),
            Some(all) if all.len() == 1 => Ok(vec![all[0]; n]),
            Some(all) if all.len() == n => Ok(all),
            Some(all) => Err(NotCovered::new(format!("`{name}` of {} axes", all.len()))),
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Step<bool> {
        match (self.get(name), self.argument(name)) {
            (_, Some(GraphValue::Boolean(value))) => Ok(*value),
            (Some(Attribute::Bool(value)), _) => Ok(*value),
            (None, _) => Ok(default),
            (Some(_), _) => Err(NotCovered::new(format!("the attribute `{name}`"))),
        }
    }

    pub(super) fn word(&self, name: &str) -> Step<Option<&str>> {
        match (self.get(name), self.argument(name)) {
            (_, Some(GraphValue::Text(text))) => Ok(Some(text)),
            (Some(Attribute::Text(text)), _) => Ok(Some(text)),
            (None, _) => Ok(None),
            (Some(_), _) => Err(NotCovered::new(format!("the attribute `{name}`"))),
        }
    }

    pub(super) fn element(&self) -> Step<Element> {
        Ok(match self.word("dtype")? {
            None | Some("float32") => Element::F32,
            Some("float64") => Element::F64,
            Some("int64") => Element::I64,
            Some(_) => Element::Bool,
        })
    }
}
