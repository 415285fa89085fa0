//! Numbers against Python's: `python3 -c "print(7 // -2, 7 % -2, ...)"`.

use fedwasm_graph::{Attribute, Binary, Number, Unary, Value};

use crate::{Scope, attribute, number};

struct Known;

impl Scope for Known {
    fn argument(&self, nth: u32) -> Option<&Value> {
        [&Value::Integer(7), &Value::Real(2.5)].get(nth as usize).copied()
    }

    fn size(&self, node: u32, axis: i8) -> Option<usize> {
        (node == 0 && axis == -1).then_some(12)
    }
}

fn whole(value: i64) -> Number {
    Number::Integer(value)
}

fn real(value: f64) -> Number {
    Number::Real(value)
}

fn binary(function: Binary, a: Number, b: Number) -> Number {
    Number::Binary(function, a.into(), b.into())
}

fn unary(function: Unary, x: Number) -> Number {
    Number::Unary(function, x.into())
}

#[test]
fn numbers_are_those_of_python() {
    use Binary as B;
    use Unary as U;
    let cases = [
        (binary(B::FloorDiv, whole(7), whole(-2)), Value::Integer(-4)),
        (binary(B::Mod, whole(7), whole(-2)), Value::Integer(-1)),
        (binary(B::FloorDiv, whole(-7), whole(2)), Value::Integer(-4)),
        (binary(B::Mod, whole(-7), whole(2)), Value::Integer(1)),
        (binary(B::Div, whole(7), whole(2)), Value::Real(3.5)),
        (binary(B::Pow, whole(3), whole(4)), Value::Integer(81)),
        (binary(B::Pow, real(2.0), whole(-2)), Value::Real(0.25)),
        (binary(B::Mod, real(-7.5), real(2.0)), Value::Real(0.5)),
        (binary(B::FloorDiv, real(7.5), real(-2.0)), Value::Real(-4.0)),
        (binary(B::Max, whole(3), real(2.0)), Value::Real(3.0)),
        (binary(B::Min, whole(3), whole(2)), Value::Integer(2)),
        (unary(U::Round, real(2.5)), Value::Integer(2)),
        (unary(U::Ceil, real(-2.5)), Value::Integer(-2)),
        (unary(U::Floor, real(-2.5)), Value::Integer(-3)),
        (unary(U::Sqrt, whole(2)), Value::Real(2f64.sqrt())),
        (unary(U::Abs, whole(-3)), Value::Integer(3)),
        (unary(U::Real, whole(-3)), Value::Real(-3.0)),
        (binary(B::Mul, Number::Argument(0), Number::Size(0, -1)), Value::Integer(84)),
        (binary(B::Add, Number::Argument(1), whole(1)), Value::Real(3.5)),
    ];
    for (of, wanted) in cases {
        assert_eq!(number(&of, &Known).unwrap(), wanted, "{of:?}");
    }
    let Value::Real(root) = number(&binary(B::Pow, real(2.0), real(0.5)), &Known).unwrap() else {
        panic!("not real");
    };
    assert!((root - 2f64.sqrt()).abs() < 1e-15, "{root}");
}

#[test]
fn what_is_not_a_number_is_an_error() {
    use Binary as B;
    let wrong = |of: Number| number(&of, &Known).unwrap_err().to_string();
    let huge = || whole(i64::MAX);
    for (got, rule) in [
        (wrong(binary(B::Mul, huge(), huge())), "is not a whole number"),
        (wrong(binary(B::Add, huge(), whole(1))), "is not a whole number"),
        (wrong(binary(B::FloorDiv, whole(i64::MIN), whole(-1))), "is not a whole number"),
        (wrong(binary(B::Mod, whole(1), whole(0))), "1 % 0 is not a whole number"),
        (wrong(binary(B::Div, whole(1), whole(0))), "1 is divided by 0"),
        (wrong(binary(B::Pow, whole(2), whole(-1))), "is not a whole number"),
        (wrong(binary(B::Pow, whole(2), whole(64))), "is not a whole number"),
        (wrong(unary(Unary::Neg, whole(i64::MIN))), "overflows"),
        (wrong(unary(Unary::Floor, real(1e300))), "beyond all whole numbers"),
        (wrong(unary(Unary::Round, real(f64::INFINITY))), "beyond all whole numbers"),
        (wrong(Number::Size(0, 3)), "what node 0 gives has no axis 3"),
        (wrong(Number::Argument(9)), "argument 9 is None"),
    ] {
        assert!(got.contains(rule), "{got}, not {rule}");
    }
}

#[test]
fn lists_are_whole_if_all_numbers_are() {
    let list = |numbers| attribute(&Attribute::Numbers(numbers), &Known).unwrap();
    assert_eq!(list(vec![whole(1), Number::Size(0, -1)]), Some(Value::Integers(vec![1, 12])));
    assert_eq!(list(vec![whole(1), real(0.5)]), Some(Value::Reals(vec![1.0, 0.5])));
    assert_eq!(attribute(&Attribute::None, &Known).unwrap(), None);
}
