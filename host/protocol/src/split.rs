//! How rows are divided into those to train on and those that are held out.

use serde::{Deserialize, Serialize};
use toml::Value;

use crate::{Fields, suggestion};

/// How rows are divided into those to train on and those that are held out, for `test_ratio` and
/// for folds. docs/data.md has the rules for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Rows are drawn.
    #[default]
    Random,
    /// Rows are drawn from each class of the target by itself, so that both parts have the same
    /// share of it, within one row.
    Stratified,
    /// All rows with the same value of this column are on the same side.
    Group(String),
    /// Rows of later times in this column are held out.
    Time(String),
}

const NAMES: [&str; 2] = ["random", "stratified"];
const TABLES: [&str; 2] = ["group", "time"];

impl Split {
    /// Whether it is the default.
    pub fn is_random(&self) -> bool {
        *self == Self::Random
    }

    /// The column that it looks at beside the target: not an input unless `inputs` names it.
    pub fn column(&self) -> Option<&String> {
        match self {
            Self::Random | Self::Stratified => None,
            Self::Group(column) | Self::Time(column) => Some(column),
        }
    }

    /// Takes `split`: a name, or a table with the name of a column.
    pub(crate) fn take(fields: &mut Fields) -> Self {
        match fields.value("split") {
            None => Self::Random,
            Some(Value::String(name)) => match NAMES.iter().position(|known| *known == name) {
                Some(0) => Self::Random,
                Some(_) => Self::Stratified,
                None => {
                    let hint = match suggestion(&NAMES, &name) {
                        Some(name) => format!("did you mean \"{name}\"?"),
                        None if TABLES.contains(&&*name) => {
                            format!("name the column: {{ {name} = \"COLUMN\" }}")
                        }
                        None => EXPECTED.to_owned(),
                    };
                    fields.mistake("split", format!("is {name:?}; {hint}"));
                    Self::Random
                }
            },
            Some(Value::Table(table)) => {
                let mut pairs = table.iter();
                match (pairs.next(), pairs.next()) {
                    (Some((key, Value::String(column))), None) if !column.is_empty() => {
                        match &**key {
                            "group" => return Self::Group(column.clone()),
                            "time" => return Self::Time(column.clone()),
                            _ => {}
                        }
                    }
                    _ => {}
                }
                fields.mistake("split", format!("is {}; {EXPECTED}", Value::Table(table)));
                Self::Random
            }
            Some(other) => {
                fields.mistake("split", format!("is {other}; {EXPECTED}"));
                Self::Random
            }
        }
    }
}

const EXPECTED: &str = "expected \"random\", \"stratified\", { group = \"COLUMN\" } or { time = \
                        \"COLUMN\" }";

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::Stratified => f.write_str("stratified"),
            Self::Group(column) => write!(f, "group = {column:?}"),
            Self::Time(column) => write!(f, "time = {column:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentences;

    fn take(text: &str) -> Result<Split, String> {
        let mut fields = Fields::new("data", toml::from_str(text).unwrap());
        let split = Split::take(&mut fields);
        let mistakes = fields.finish();
        if mistakes.is_empty() { Ok(split) } else { Err(sentences(&mistakes, "\n")) }
    }

    #[test]
    fn four_kinds_are_read_and_written() {
        for (text, split, json) in [
            ("", Split::Random, "\"random\""),
            ("split = 'random'", Split::Random, "\"random\""),
            ("split = 'stratified'", Split::Stratified, "\"stratified\""),
            ("split = { group = 'p' }", Split::Group("p".into()), r#"{"group":"p"}"#),
            ("split = { time = 't' }", Split::Time("t".into()), r#"{"time":"t"}"#),
        ] {
            assert_eq!(take(text), Ok(split.clone()), "{text}");
            assert_eq!(serde_json::to_string(&split).unwrap(), json);
            assert_eq!(serde_json::from_str::<Split>(json).unwrap(), split);
        }
    }

    #[test]
    fn other_kinds_are_refused() {
        for (text, part) in [
            ("split = 'stratifed'", "did you mean \"stratified\"?"),
            ("split = 'group'", "name the column: { group = \"COLUMN\" }"),
            ("split = 'x'", EXPECTED),
            ("split = 3", EXPECTED),
            ("split = { group = '' }", EXPECTED),
            ("split = { group = 'a', time = 'b' }", EXPECTED),
            ("split = { patient = 'a' }", EXPECTED),
            ("split = {}", EXPECTED),
        ] {
            let error = take(text).unwrap_err();
            assert!(error.starts_with("`data.split` is ") && error.contains(part), "{error}");
        }
    }
}
