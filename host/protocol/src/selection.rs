//! The selection of fields of a dataset for a plan's inputs and targets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Value;

use crate::Fields;

/// Names of columns, arrays or other fields of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldSelection {
    /// One field.
    One(String),
    /// Fields in order.
    List(Vec<String>),
    /// The fields of each input or target that the plan declares, by its name.
    Table(BTreeMap<String, Vec<String>>),
}

impl FieldSelection {
    /// All names; those of a table in ascending order of its keys.
    pub fn names(&self) -> Vec<&String> {
        match self {
            Self::One(name) => vec![name],
            Self::List(names) => names.iter().collect(),
            Self::Table(table) => table.values().flatten().collect(),
        }
    }

    /// Takes a name, a list of names, or a table of them.
    pub(crate) fn take(fields: &mut Fields, key: &'static str) -> Option<Self> {
        let names = |value: &Value| match value {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(values) => {
                values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        let value = fields.value(key)?;
        let taken = match &value {
            Value::String(name) => Some(Self::One(name.clone())),
            Value::Table(table) => {
                let of = |(key, value): (&String, &Value)| Some((key.clone(), names(value)?));
                table.iter().map(of).collect::<Option<_>>().map(Self::Table)
            }
            value => names(value).map(Self::List),
        };
        let is_empty = taken.as_ref().is_some_and(|taken| taken.names().is_empty());
        match taken {
            Some(taken) if !is_empty => Some(taken),
            Some(_) => {
                fields.mistake(key, "is empty; name at least one column");
                None
            }
            None => {
                let what = "is neither a name, nor a list of names, nor a table of lists of names";
                fields.mistake(key, what);
                None
            }
        }
    }
}

impl From<&str> for FieldSelection {
    fn from(name: &str) -> Self {
        Self::One(name.to_owned())
    }
}

impl From<String> for FieldSelection {
    fn from(name: String) -> Self {
        Self::One(name)
    }
}

impl From<Vec<String>> for FieldSelection {
    fn from(names: Vec<String>) -> Self {
        Self::List(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> (Option<FieldSelection>, Vec<crate::Mistake>) {
        let mut fields = Fields::new("data", text.parse().unwrap());
        (FieldSelection::take(&mut fields, "target"), fields.finish())
    }

    #[test]
    fn a_name_a_list_and_a_table_are_read_and_written() {
        for (text, names) in [
            ("target = 'y'", "y"),
            ("target = ['y', 'x']", "y x"),
            ("target = { b = ['z'], a = ['y', 'x'], c = 'w' }", "y x z w"),
        ] {
            let (taken, mistakes) = take(text);
            let taken = taken.unwrap();
            assert!(mistakes.is_empty());
            assert_eq!(taken.names(), names.split(' ').collect::<Vec<_>>());
            let json = serde_json::to_string(&taken).unwrap();
            assert_eq!(serde_json::from_str::<FieldSelection>(&json).unwrap(), taken);
            let packed = rmp_serde::to_vec_named(&taken).unwrap();
            assert_eq!(rmp_serde::from_slice::<FieldSelection>(&packed).unwrap(), taken);
        }
    }

    #[test]
    fn anything_else_is_a_mistake() {
        for (text, words) in [
            ("target = 1", "is neither a name"),
            ("target = ['y', 1]", "is neither a name"),
            ("target = { a = 1 }", "is neither a name"),
            ("target = []", "is empty"),
            ("target = {}", "is empty"),
        ] {
            let (taken, mistakes) = take(text);
            assert!(taken.is_none() && mistakes[0].message.contains(words), "{mistakes:?}");
        }
    }
}
