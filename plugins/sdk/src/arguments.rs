//! Arguments: what a plan announces, and the values that it was given.

use crate::bindings::exports::fedwasm::training_plan::plan as wit;
use crate::bindings::fedwasm::training_plan::types::{Value as Given, ValueKind};
use crate::{PlanError, Result};

/// An argument that a plan announces.
#[derive(Clone, Debug)]
pub struct Argument(wit::Argument);

impl Argument {
    /// A whole number that the host takes from the dataset's number of input
    /// columns when nobody gives it.
    pub fn input_columns(name: &str, doc: &str) -> Self {
        Self::new(name, ValueKind::Integer, wit::Default::InputColumns, doc)
    }

    /// A whole number that the host takes from the dataset's number of classes
    /// when nobody gives it. Where the host cannot count them, it must be given.
    pub fn target_classes(name: &str, doc: &str) -> Self {
        Self::new(name, ValueKind::Integer, wit::Default::TargetClasses, doc)
    }

    /// A value that somebody has to give.
    pub fn required<T: Value>(name: &str, doc: &str) -> Self {
        Self::new(name, T::KIND, wit::Default::Required, doc)
    }

    /// A value with a default.
    pub fn with_default<T: FromLiteral<L>, L>(name: &str, default: L, doc: &str) -> Self {
        let default = wit::Default::Value(T::from_literal(default).into_wit());
        Self::new(name, T::KIND, default, doc)
    }

    fn new(name: &str, kind: ValueKind, default: wit::Default, doc: &str) -> Self {
        Self(wit::Argument { name: name.into(), kind, default, doc: doc.into() })
    }

    #[cfg(test)]
    pub(crate) fn of_wit(wit: wit::Argument) -> Self {
        Self(wit)
    }

    pub(crate) fn into_wit(self) -> wit::Argument {
        self.0
    }
}

/// The arguments of a call, checked by the host against what the plan announced.
#[derive(Clone, Debug)]
pub struct Arguments(Vec<(String, Given)>);

impl Arguments {
    pub(crate) fn new(pairs: Vec<(String, Given)>) -> Self {
        Self(pairs)
    }

    /// Returns a length: a whole number, at least 1.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or not such a number.
    pub fn size(&self, name: &str) -> Result<usize> {
        let value = self.integer(name)?;
        match usize::try_from(value) {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(PlanError::InvalidArgument(format!("{name} is {value}, expected at least 1"))),
        }
    }

    /// Returns a whole number.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    pub fn integer(&self, name: &str) -> Result<i64> {
        match self.value(name)? {
            Given::Integer(value) => Ok(*value),
            other => Err(other_kind(name, "a whole number", other)),
        }
    }

    /// Returns a real number.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    pub fn real(&self, name: &str) -> Result<f64> {
        match self.value(name)? {
            Given::Real(value) => Ok(*value),
            other => Err(other_kind(name, "a real number", other)),
        }
    }

    /// Returns a truth value.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    pub fn boolean(&self, name: &str) -> Result<bool> {
        match self.value(name)? {
            Given::Boolean(value) => Ok(*value),
            other => Err(other_kind(name, "a truth value", other)),
        }
    }

    /// Returns a text.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    pub fn text(&self, name: &str) -> Result<&str> {
        match self.value(name)? {
            Given::Text(value) => Ok(value),
            other => Err(other_kind(name, "a text", other)),
        }
    }

    fn value(&self, name: &str) -> Result<&Given> {
        let found = self.0.iter().find(|(key, _)| key == name);
        let missing = || PlanError::InvalidArgument(format!("{name} is missing"));
        found.map(|(_, value)| value).ok_or_else(missing)
    }
}

fn other_kind(name: &str, expected: &str, got: &Given) -> PlanError {
    PlanError::InvalidArgument(format!("{name} is {got:?}, expected {expected}"))
}

/// A kind of argument: `bool`, `i64`, `usize` (at least 1), `f64`, `String`, and lists of `i64`,
/// `f64` and `String`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of an argument",
    note = "types are bool, i64, usize, f64, String, Vec<i64>, Vec<f64> and Vec<String>"
)]
pub trait Value: Sized {
    #[doc(hidden)]
    const KIND: ValueKind;

    #[doc(hidden)]
    fn into_wit(self) -> Given;

    /// Reads the argument of this name.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    fn read(args: &Arguments, name: &str) -> Result<Self>;
}

/// Declares the kinds that cross as they are.
macro_rules! values {
    ($($type:ty, $kind:ident, $expected:literal;)*) => {$(
        impl Value for $type {
            const KIND: ValueKind = ValueKind::$kind;

            fn into_wit(self) -> Given {
                Given::$kind(self)
            }

            fn read(args: &Arguments, name: &str) -> Result<Self> {
                match args.value(name)? {
                    Given::$kind(value) => Ok(value.clone()),
                    other => Err(other_kind(name, $expected, other)),
                }
            }
        }
    )*};
}

values! {
    bool, Boolean, "a truth value";
    i64, Integer, "a whole number";
    f64, Real, "a real number";
    String, Text, "a text";
    Vec<i64>, Integers, "a list of whole numbers";
    Vec<f64>, Reals, "a list of real numbers";
    Vec<String>, Texts, "a list of texts";
}

/// A length: at least 1.
impl Value for usize {
    const KIND: ValueKind = ValueKind::Integer;

    fn into_wit(self) -> Given {
        Given::Integer(i64::try_from(self).unwrap_or(i64::MAX))
    }

    fn read(args: &Arguments, name: &str) -> Result<Self> {
        args.size(name)
    }
}

/// A value that is written as a literal `L`: a [`String`] as a `&str`, a list as an array.
pub trait FromLiteral<L>: Value {
    /// The value.
    fn from_literal(literal: L) -> Self;
}

impl<T: Value> FromLiteral<T> for T {
    fn from_literal(literal: T) -> Self {
        literal
    }
}

impl FromLiteral<&str> for String {
    fn from_literal(literal: &str) -> Self {
        literal.to_owned()
    }
}

impl<const N: usize> FromLiteral<[i64; N]> for Vec<i64> {
    fn from_literal(literal: [i64; N]) -> Self {
        literal.to_vec()
    }
}

impl<const N: usize> FromLiteral<[f64; N]> for Vec<f64> {
    fn from_literal(literal: [f64; N]) -> Self {
        literal.to_vec()
    }
}

impl<const N: usize> FromLiteral<[&str; N]> for Vec<String> {
    fn from_literal(literal: [&str; N]) -> Self {
        literal.map(str::to_owned).to_vec()
    }
}

/// The arguments of a plan as a struct: [`crate::arguments!`] makes one.
pub trait PlanArguments: Sized {
    /// What the plan announces, keys starting with `model.`.
    fn announced() -> Vec<Argument>;

    /// Reads the values that it was given.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if one is absent, of another kind or out of range.
    fn read(args: &Arguments) -> Result<Self>;
}

/// A plan without arguments.
impl PlanArguments for () {
    fn announced() -> Vec<Argument> {
        Vec::new()
    }

    fn read(_: &Arguments) -> Result<Self> {
        Ok(())
    }
}

/// Declares the model arguments of a plan: a struct with their types, what each is for, and what
/// it is when nobody gives it. The comment is what `fedwasm plan inspect` says of an argument.
///
/// Types are those of [`Value`]. A default is a literal, `required`, or what the host sees in the
/// dataset: `input_columns` and `target_classes`. Field `hidden` is the argument `model.hidden`.
///
/// ```
/// fedwasm_sdk::arguments! {
///     struct Arguments {
///         /// number of input columns
///         n_features: usize = input_columns,
///         /// number of classes
///         n_classes: usize = target_classes,
///         /// units of the hidden layer
///         hidden: usize = 128,
///         /// probability to leave a unit out
///         dropout: f64 = 0.5,
///     }
/// }
/// ```
#[macro_export]
macro_rules! arguments {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:tt),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $crate::PlanArguments for $name {
            fn announced() -> ::std::vec::Vec<$crate::Argument> {
                ::std::vec![$({
                    let name = ::core::concat!("model.", ::core::stringify!($field));
                    let doc = ::core::concat!($($doc),*).trim();
                    $crate::arguments!(@argument name, doc, $type, $default)
                }),*]
            }

            fn read(args: &$crate::Arguments) -> $crate::Result<Self> {
                ::core::result::Result::Ok(Self {
                    $($field: <$type as $crate::Value>::read(
                        args,
                        ::core::concat!("model.", ::core::stringify!($field)),
                    )?,)*
                })
            }
        }
    };
    (@argument $name:ident, $doc:ident, $type:ty, input_columns) => {
        $crate::Argument::input_columns($name, $doc)
    };
    (@argument $name:ident, $doc:ident, $type:ty, target_classes) => {
        $crate::Argument::target_classes($name, $doc)
    };
    (@argument $name:ident, $doc:ident, $type:ty, required) => {
        $crate::Argument::required::<$type>($name, $doc)
    };
    (@argument $name:ident, $doc:ident, $type:ty, $default:tt) => {
        $crate::Argument::with_default::<$type, _>($name, $default, $doc)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    arguments! {
        struct Example {
            /// number of
            /// columns
            n_features: usize = input_columns,
            /// units
            hidden: usize = 16,
            /// a share
            share: f64 = 0.5,
            /// a name
            name: String = "x",
            /// lengths
            lengths: Vec<i64> = [1, 2],
            unsaid: bool = true,
            /// where
            place: String = required,
        }
    }

    #[test]
    fn fields_are_announced_and_read() {
        let announced: Vec<_> = Example::announced().into_iter().map(|a| a.0).collect();
        let names: Vec<&str> = announced.iter().map(|a| a.name.as_str()).collect();
        let all = ["n_features", "hidden", "share", "name", "lengths", "unsaid", "place"];
        assert_eq!(names, all.map(|name| format!("model.{name}")));
        assert_eq!(announced[0].doc, "number of columns");
        assert!(matches!(announced[0].default, wit::Default::InputColumns));
        assert!(matches!(&announced[3].default, wit::Default::Value(Given::Text(x)) if x == "x"));
        assert!(matches!(announced[6].default, wit::Default::Required));
        let mut given = vec![("model.n_features".to_owned(), Given::Integer(3))];
        for argument in &announced[1..6] {
            let wit::Default::Value(value) = &argument.default else { panic!("no default") };
            given.push((argument.name.clone(), value.clone()));
        }
        let missing = Example::read(&Arguments::new(given.clone())).map(drop).unwrap_err();
        assert!(missing.to_string().contains("model.place is missing"), "{missing}");
        given.push(("model.place".to_owned(), Given::Text("here".into())));
        let args = Example::read(&Arguments::new(given.clone())).unwrap();
        assert_eq!((args.n_features, args.hidden, args.share), (3, 16, 0.5));
        assert_eq!(
            (args.name.as_str(), &args.lengths[..], args.place.as_str()),
            ("x", &[1, 2][..], "here")
        );
        assert!(args.unsaid && announced[5].doc.is_empty());
        given[0].1 = Given::Integer(0);
        let zero = Example::read(&Arguments::new(given)).map(drop).unwrap_err();
        assert!(zero.to_string().contains("expected at least 1"), "{zero}");
    }
}
