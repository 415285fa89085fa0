//! Arguments of plans: dotted keys and plain values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Arguments by dotted key, in ascending order of keys.
pub type Arguments = BTreeMap<String, Value>;

/// The prefixes of argument keys, after the table that they are given in.
pub mod prefix {
    /// Arguments that shape the model, `[model]`.
    pub const MODEL: &str = "model.";
    /// Arguments of the optimizer, `optimizer_args` of `[training]`, and its metrics.
    pub const OPTIMIZER: &str = "optimizer.";
    /// Arguments that the aggregator gives.
    pub const AGGREGATOR: &str = "aggregator.";
    /// All of them.
    pub const ALL: [&str; 3] = [MODEL, OPTIMIZER, AGGREGATOR];
}

/// An argument's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Real(f64),
    /// Text.
    Text(String),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Real numbers.
    Reals(Vec<f64>),
    /// Texts.
    Texts(Vec<String>),
}

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    /// A truth value.
    Boolean,
    /// A whole number.
    Integer,
    /// A real number.
    Real,
    /// Text.
    Text,
    /// Whole numbers.
    Integers,
    /// Real numbers.
    Reals,
    /// Texts.
    Texts,
}

impl Value {
    /// The kind of this value.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Boolean(_) => ValueKind::Boolean,
            Self::Integer(_) => ValueKind::Integer,
            Self::Real(_) => ValueKind::Real,
            Self::Text(_) => ValueKind::Text,
            Self::Integers(_) => ValueKind::Integers,
            Self::Reals(_) => ValueKind::Reals,
            Self::Texts(_) => ValueKind::Texts,
        }
    }

    /// Returns this value as one of `kind`, or none. A whole number is a real
    /// one too, and an empty list is of every list kind.
    pub fn into_kind(self, kind: ValueKind) -> Option<Self> {
        match (self, kind) {
            (value, kind) if value.kind() == kind => Some(value),
            (Self::Integer(value), ValueKind::Real) => Some(Self::Real(value as f64)),
            (Self::Integers(values), ValueKind::Reals) => {
                Some(Self::Reals(values.into_iter().map(|value| value as f64).collect()))
            }
            (Self::Integers(values), ValueKind::Texts) if values.is_empty() => {
                Some(Self::Texts(Vec::new()))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for ValueKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a truth value",
            Self::Integer => "a whole number",
            Self::Real => "a real number",
            Self::Text => "a text",
            Self::Integers => "a list of whole numbers",
            Self::Reals => "a list of real numbers",
            Self::Texts => "a list of texts",
        })
    }
}

/// Flattens nested tables: with the prefix `model.`, `{a = {b = 1}}` becomes `model.a.b = 1`.
/// Keys with values that are not arguments go to `mistakes`.
pub fn flatten_table(
    prefix: &str,
    table: toml::Table,
    into: &mut Arguments,
    mistakes: &mut Vec<String>,
) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            toml::Value::Table(table) => {
                flatten_table(&format!("{key}."), table, into, mistakes);
            }
            value => match Value::deserialize(value) {
                Ok(value) => drop(into.insert(key, value)),
                Err(_) => mistakes.push(key),
            },
        }
    }
}
