//! How columns of a dataset become numbers: said once for all sites of a federation, in
//! `[data.columns]`. A rule exists only if every part of it holds.

mod read;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::fields::Fields;
use crate::mistakes::{Mistake, sentences};
use crate::{DateFormat, Day};

/// The most rules: one for each column that a dataset may have.
pub const COLUMN_RULES_MAX: usize = crate::COLUMNS_MAX;
/// The most values of a category or class.
pub const CATEGORIES_MAX: usize = 4_096;
/// The longest value of a category, class or boolean, and the longest missing word, in bytes.
pub const RULE_TEXT_BYTES_MAX: usize = 256;
/// The most words that mean that a value is missing, and that a boolean has for true or false.
pub const WORDS_MAX: usize = 64;

/// The words that mean that a value is missing, if `missing` is not given.
pub const MISSING_WORDS: [&str; 9] = ["", "NA", "N/A", "NaN", "nan", "null", "None", "?", "-"];

/// Kinds of columns, in the order of [`ColumnKind`].
const KINDS: [&str; 6] = ["number", "category", "class", "boolean", "date", "drop"];
/// Rules by the name of a column; a column without one is read as numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table")]
pub struct ColumnRules(BTreeMap<String, ColumnRule>);

/// How one column becomes numbers. In this order: a cell is read by `kind`, or is missing; then
/// `clip`, `impute`, `log1p`, `scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnRule {
    /// How a cell is read.
    pub kind: ColumnKind,
    /// What stands for a missing value; without it one is an error.
    pub impute: Option<Impute>,
    /// Whether a further value says that the value was missing (1) or not (0).
    pub flag_missing: bool,
    /// The smallest and the largest value; others become the nearer one. Numbers and dates alone.
    pub clip: Option<[f64; 2]>,
    /// Whether the logarithm of 1 + x is taken. Numbers and dates alone.
    pub log1p: bool,
    /// How it is scaled; as `standardize` says if none. Numbers and dates alone.
    pub scale: Option<Scale>,
}

/// How a cell is read.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// A number.
    Number {
        /// The decimal point, `.` or `,`.
        decimal: char,
        /// The character between groups of three digits.
        thousands: Option<char>,
    },
    /// One of some texts.
    Category {
        /// The texts in order, at least one.
        values: Vec<String>,
        /// What becomes of other texts.
        unknown: Unknown,
        /// How a text is written in numbers.
        encode: Encode,
    },
    /// One of the texts of a target: its place, from 0.
    Class {
        /// The texts in order, at least two.
        values: Vec<String>,
    },
    /// Words for true (1) and false (0), in upper or lower case.
    Boolean {
        /// Words for true.
        yes: Vec<String>,
        /// Words for false.
        no: Vec<String>,
    },
    /// A date: days since a day.
    Date {
        /// The day that is 0.
        since: Day,
        /// How a cell writes it.
        format: DateFormat,
    },
    /// The column is left out.
    Drop,
}

/// What becomes of a text that a category does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// It is an error.
    #[default]
    Refuse,
    /// All such texts are one more category, behind the others.
    Other,
}

/// How a category is written in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encode {
    /// A number for each category: 1 for the one, 0 for the others.
    #[default]
    OneHot,
    /// One number, the place of the category, from 0: for an embedding.
    Code,
}

/// What stands for a missing value. Statistics are those of the training rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Impute {
    /// The mean.
    Mean,
    /// The median; the mean of the middle two if there are two.
    Median,
    /// The value that is there most often; of several the smallest, or the first of a category.
    MostFrequent,
    /// This number.
    Constant(f64),
    /// This text of a category; `other` also means texts that are not listed.
    ConstantText(String),
}

/// How a number is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Not at all.
    None,
    /// To mean 0 and standard deviation 1.
    Standard,
    /// To the range from 0 to 1.
    MinMax,
}

/// Where scales come from that no rule says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Standardize {
    /// Each site scales by its own training rows. Written as `true`.
    #[default]
    Site,
    /// All sites scale by the statistics of all of them.
    Federation,
    /// Nothing is scaled. Written as `false`.
    None,
}

/// The category of texts that are not listed, for `impute`.
pub const OTHER: &str = "other";

impl ColumnRules {
    /// Reads the table `[data.columns]`.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(table: Table) -> Result<Self, Vec<Mistake>> {
        let mut outer = Table::new();
        outer.insert("columns".into(), Value::Table(table));
        let mut fields = Fields::new("data", outer);
        let rules = Self::take(&mut fields);
        let mistakes = fields.finish();
        if mistakes.is_empty() { Ok(rules) } else { Err(mistakes) }
    }

    /// Takes `columns`; mistakes go to `fields`, and rules with one are left out.
    pub(crate) fn take(fields: &mut Fields) -> Self {
        let table = match fields.value("columns") {
            None => return Self::default(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                fields.mistake("columns", "is not a table; write `COLUMN = \"number\"` below it");
                return Self::default();
            }
        };
        if table.len() > COLUMN_RULES_MAX {
            let what = format!("has {} rules, at most {COLUMN_RULES_MAX} are read", table.len());
            fields.mistake("columns", what);
            return Self::default();
        }
        let mut rules = BTreeMap::new();
        for (name, value) in table {
            let key = format!("columns.{name}");
            let table = match value {
                Value::Table(table) => table,
                Value::String(kind) => {
                    [("kind".to_owned(), Value::String(kind))].into_iter().collect()
                }
                _ => {
                    let what = format!(
                        "is neither a kind ({}) nor a table with a `kind`",
                        KINDS.join(", ")
                    );
                    fields.mistake(&key, what);
                    continue;
                }
            };
            let mut inner = fields.below(&key, table);
            let rule = ColumnRule::take(&mut inner);
            fields.absorb(inner);
            rules.extend(rule.map(|rule| (name, rule)));
        }
        Self(rules)
    }

    /// The rule of a column.
    pub fn get(&self, column: &str) -> Option<&ColumnRule> {
        self.0.get(column)
    }

    /// Columns and their rules, in ascending order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &ColumnRule)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the rule of a column.
    pub fn insert(&mut self, column: String, rule: ColumnRule) {
        self.0.insert(column, rule);
    }
}

impl TryFrom<Table> for ColumnRules {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        Self::parse(table).map_err(|mistakes| sentences(&mistakes, "; "))
    }
}

impl ColumnRule {
    /// A rule with nothing but a kind.
    pub fn of(kind: ColumnKind) -> Self {
        Self { kind, impute: None, flag_missing: false, clip: None, log1p: false, scale: None }
    }

    /// Values of a row: several of a one-hot category, one more for a flag, none of a column that
    /// is left out.
    pub fn width(&self) -> usize {
        let own = match &self.kind {
            ColumnKind::Drop => return 0,
            ColumnKind::Category { encode: Encode::OneHot, .. } => self.n_categories().unwrap_or(1),
            _ => 1,
        };
        own + usize::from(self.flag_missing)
    }

    /// How many categories or classes there are, that of unknown texts among them; 2 of a boolean.
    pub fn n_categories(&self) -> Option<usize> {
        match &self.kind {
            ColumnKind::Category { values, unknown, .. } => {
                Some(values.len() + usize::from(*unknown == Unknown::Other))
            }
            ColumnKind::Class { values } => Some(values.len()),
            ColumnKind::Boolean { .. } => Some(2),
            _ => None,
        }
    }

    /// Whether its values are measured, and not codes: then they may be scaled.
    pub fn is_measured(&self) -> bool {
        matches!(self.kind, ColumnKind::Number { .. } | ColumnKind::Date { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"
age     = "number"
weight  = { kind = "number", decimal = ",", thousands = ".", clip = [0, 300], impute = "median", flag_missing = true, log1p = true, scale = "min-max" }
ward    = { kind = "category", values = ["A", "B", 3], unknown = "other", encode = "code", impute = "other" }
unit    = { kind = "category", values = ["A"], impute = "A" }
outcome = { kind = "class", values = ["benign", "malignant"] }
smoker  = "boolean"
retired = { kind = "boolean", true = ["ja"], false = ["nein"], impute = true }
visit   = { kind = "date", since = 2000-01-01, format = "%d.%m.%Y", impute = 12.5 }
"id.1"  = "drop"
"#;

    fn parse(text: &str) -> Result<ColumnRules, String> {
        ColumnRules::parse(text.parse().unwrap()).map_err(|mistakes| sentences(&mistakes, "\n"))
    }

    #[test]
    fn rules_are_read_and_written_in_every_format() {
        let rules = parse(ALL).unwrap();
        assert_eq!(rules.len(), 9);
        let json = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<ColumnRules>(&json).unwrap(), rules);
        let packed = rmp_serde::to_vec_named(&rules).unwrap();
        assert_eq!(rmp_serde::from_slice::<ColumnRules>(&packed).unwrap(), rules);
        let text = toml::to_string(&rules).unwrap();
        assert_eq!(parse(&text).unwrap(), rules);
        // As people see them.
        let shown: String =
            rules.iter().map(|(name, rule)| format!("{name:?} = {rule}\n")).collect();
        assert_eq!(parse(&shown).unwrap(), rules, "{shown}");
        let widths =
            ["age", "weight", "ward", "unit", "id.1"].map(|name| rules.get(name).unwrap().width());
        assert_eq!(widths, [1, 2, 1, 1, 0]);
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_suggestions() {
        let text = r#"
a = "numbr"
b = { kind = "number", decimal = ",", thousands = ",", clip = [3, 1], impute = "meen", scal = "none" }
c = { kind = "category", values = ["x", "x", " y"], impute = "z" }
d = { kind = "class", values = ["x"], impute = "x" }
e = { kind = "boolean", true = ["0"] }
f = { kind = "date", since = "2000-02-30", format = "%Y" }
g = 3
h = { values = ["x"] }
i = { kind = "category" }
j = { kind = "number", scale = "log1p", clip = [0, inf] }
"#;
        let error = parse(text).unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        let expected = [
            "`data.columns.a.kind` is \"numbr\"; did you mean `number`?",
            "`data.columns.b.thousands` is `,`, as the decimal point is; give another `decimal`",
            "`data.columns.b.impute` is \"meen\", expected \"mean\", \"median\", \"most-frequent\" or a number",
            "`data.columns.b.clip` is [3, 1], expected [SMALLEST, LARGEST]",
            "`data.columns.b.scal` is unknown; did you mean `scale`?",
            "`data.columns.c.values` has `x` twice",
            "`data.columns.c.values` has ` y` whose blanks no cell keeps",
            "`data.columns.c.impute` is `z`, expected \"most-frequent\" or one of `values`",
            "`data.columns.d.values` has 1 values, expected at least 2",
            "`data.columns.d.impute` is unknown; known are kind, values",
            "`data.columns.e.true` has `0`, which also means false; give `false`, too",
            "`data.columns.f.since` is `2000-02-30`, expected a day such as \"2000-01-31\"",
            "`data.columns.f.format` needs a year, a month and a day, each once: `%Y-%m-%d`",
            "`data.columns.g` is neither a kind (number, category, class, boolean, date, drop) nor a table with a `kind`",
            "`data.columns.h.kind` is missing; it is one of number, category, class, boolean, date, drop",
            "`data.columns.i.values` is missing; list the texts of the column, in order",
            "`data.columns.j.clip` is [0, inf], expected [SMALLEST, LARGEST]",
            "`data.columns.j.scale` is \"log1p\"; write `log1p = true` beside it",
        ];
        for line in &expected {
            assert!(lines.contains(line), "{line}\nis not in\n{error}");
        }
        assert_eq!(lines.len(), expected.len(), "{error}");
    }

    #[test]
    fn bounds_hold_also_for_messages() {
        let many: Vec<String> = (0..=CATEGORIES_MAX).map(|n| n.to_string()).collect();
        let long = ["x".repeat(RULE_TEXT_BYTES_MAX + 1)];
        for values in [&many[..], &long, &["a\0".to_owned()], &[String::new()], &[]] {
            let json = serde_json::json!({ "a": { "kind": "category", "values": values } });
            assert!(serde_json::from_value::<ColumnRules>(json).is_err());
        }
        let fits = serde_json::json!({ "a": { "kind": "category", "values": &many[1..] } });
        assert!(serde_json::from_value::<ColumnRules>(fits).is_ok());
    }

    #[test]
    fn standardize_is_a_truth_value_or_the_federation() {
        for (text, expected, json) in [
            ("true", Standardize::Site, "true"),
            ("\"site\"", Standardize::Site, "true"),
            ("false", Standardize::None, "false"),
            ("\"none\"", Standardize::None, "false"),
            ("\"federation\"", Standardize::Federation, "\"federation\""),
        ] {
            let value: Standardize = serde_json::from_str(text).unwrap();
            assert_eq!((value, serde_json::to_string(&value).unwrap().as_str()), (expected, json));
        }
        assert!(serde_json::from_str::<Standardize>("1").is_err());
    }
}
