//! Rules as they are written: the table that is read again, and words for people.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use toml::Value;

use super::{ColumnKind, ColumnRule, Encode, Impute, KINDS, OTHER, Scale, Standardize, Unknown};

impl Serialize for ColumnRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = self.entries();
        let mut map = serializer.serialize_map(Some(entries.len()))?;
        for (key, value) in &entries {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// As in a file: the kind alone, or a table.
impl fmt::Display for ColumnRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entries()[..] {
            [(_, kind)] => write!(f, "{kind}"),
            entries => {
                let entry = |(key, value): &(&str, Value)| format!("{key} = {value}");
                let entries: Vec<String> = entries.iter().map(entry).collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}

impl ColumnRule {
    /// Keys and values, those left out that have their default.
    fn entries(&self) -> Vec<(&'static str, Value)> {
        let (kind, mut entries) = own(&self.kind);
        entries.insert(0, ("kind", KINDS[kind].into()));
        if let Some([low, high]) = self.clip {
            entries.push(("clip", vec![low, high].into()));
        }
        if let Some(impute) = &self.impute {
            let value = match impute {
                Impute::Mean => "mean".into(),
                Impute::Median => "median".into(),
                Impute::MostFrequent => "most-frequent".into(),
                Impute::Constant(constant) => Value::Float(*constant),
                Impute::ConstantText(text) => text.clone().into(),
            };
            entries.push(("impute", value));
        }
        for (key, is_set) in [("flag_missing", self.flag_missing), ("log1p", self.log1p)] {
            entries.extend(is_set.then_some((key, Value::Boolean(true))));
        }
        if let Some(scale) = self.scale {
            let name = match scale {
                Scale::None => "none",
                Scale::Standard => "standard",
                Scale::MinMax => "min-max",
            };
            entries.push(("scale", name.into()));
        }
        entries
    }
}

/// The place of a kind among [`KINDS`], and the keys that it has.
fn own(kind: &ColumnKind) -> (usize, Vec<(&'static str, Value)>) {
    let list = |words: &[String]| Value::from(words.to_vec());
    match kind {
        ColumnKind::Number { decimal, thousands } => {
            let mut entries = Vec::new();
            entries.extend((*decimal != '.').then(|| ("decimal", decimal.to_string().into())));
            entries.extend(thousands.map(|thousands| ("thousands", thousands.to_string().into())));
            (0, entries)
        }
        ColumnKind::Category { values, unknown, encode } => {
            let mut entries = vec![("values", list(values))];
            entries.extend((*unknown == Unknown::Other).then(|| ("unknown", OTHER.into())));
            entries.extend((*encode == Encode::Code).then(|| ("encode", "code".into())));
            (1, entries)
        }
        ColumnKind::Class { values } => (2, vec![("values", list(values))]),
        ColumnKind::Boolean { yes, no } => (3, vec![("true", list(yes)), ("false", list(no))]),
        ColumnKind::Date { since, format } => {
            let format = Value::from(format.pattern());
            (4, vec![("since", since.to_string().into()), ("format", format)])
        }
        ColumnKind::Drop => (5, Vec::new()),
    }
}

/// Truth values stay what they were before there was a third choice.
impl Serialize for Standardize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Site => serializer.serialize_bool(true),
            Self::None => serializer.serialize_bool(false),
            Self::Federation => serializer.serialize_str("federation"),
        }
    }
}

impl TryFrom<Value> for Standardize {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::Boolean(true) => Ok(Self::Site),
            Value::Boolean(false) => Ok(Self::None),
            Value::String(name) if name == "site" => Ok(Self::Site),
            Value::String(name) if name == "federation" => Ok(Self::Federation),
            Value::String(name) if name == "none" => Ok(Self::None),
            _ => {
                let shown: String = value.to_string().chars().take(80).collect();
                Err(format!("is {shown}, expected \"site\", \"federation\" or \"none\""))
            }
        }
    }
}

/// As a file names it.
impl fmt::Display for Standardize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Site => "site",
            Self::Federation => "federation",
            Self::None => "none",
        })
    }
}
