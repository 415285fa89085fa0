//! Arguments: what a plan announces, and the values that it was given.

use crate::bindings::exports::fedwasm::training_plan::plan as wit;
use crate::bindings::fedwasm::training_plan::types::{Value, ValueKind};
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

    /// A whole number with a default.
    pub fn integer(name: &str, default: i64, doc: &str) -> Self {
        let default = wit::Default::Value(Value::Integer(default));
        Self::new(name, ValueKind::Integer, default, doc)
    }

    /// A real number with a default.
    pub fn real(name: &str, default: f64, doc: &str) -> Self {
        let default = wit::Default::Value(Value::Real(default));
        Self::new(name, ValueKind::Real, default, doc)
    }

    /// A truth value with a default.
    pub fn boolean(name: &str, default: bool, doc: &str) -> Self {
        let default = wit::Default::Value(Value::Boolean(default));
        Self::new(name, ValueKind::Boolean, default, doc)
    }

    /// A text with a default.
    pub fn text(name: &str, default: &str, doc: &str) -> Self {
        let default = wit::Default::Value(Value::Text(default.into()));
        Self::new(name, ValueKind::Text, default, doc)
    }

    fn new(name: &str, kind: ValueKind, default: wit::Default, doc: &str) -> Self {
        Self(wit::Argument { name: name.into(), kind, default, doc: doc.into() })
    }

    pub(crate) fn into_wit(self) -> wit::Argument {
        self.0
    }
}

/// The arguments of a call, checked by the host against what the plan announced.
#[derive(Clone, Debug)]
pub struct Arguments(Vec<(String, Value)>);

impl Arguments {
    pub(crate) fn new(pairs: Vec<(String, Value)>) -> Self {
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
            Value::Integer(value) => Ok(*value),
            other => Err(other_kind(name, "a whole number", other)),
        }
    }

    /// Returns a real number.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    pub fn real(&self, name: &str) -> Result<f64> {
        match self.value(name)? {
            Value::Real(value) => Ok(*value),
            other => Err(other_kind(name, "a real number", other)),
        }
    }

    /// Returns a truth value.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    pub fn boolean(&self, name: &str) -> Result<bool> {
        match self.value(name)? {
            Value::Boolean(value) => Ok(*value),
            other => Err(other_kind(name, "a truth value", other)),
        }
    }

    /// Returns a text.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if it is absent or of another kind.
    pub fn text(&self, name: &str) -> Result<&str> {
        match self.value(name)? {
            Value::Text(value) => Ok(value),
            other => Err(other_kind(name, "a text", other)),
        }
    }

    fn value(&self, name: &str) -> Result<&Value> {
        let found = self.0.iter().find(|(key, _)| key == name);
        let missing = || PlanError::InvalidArgument(format!("{name} is missing"));
        found.map(|(_, value)| value).ok_or_else(missing)
    }
}

fn other_kind(name: &str, expected: &str, got: &Value) -> PlanError {
    PlanError::InvalidArgument(format!("{name} is {got:?}, expected {expected}"))
}
