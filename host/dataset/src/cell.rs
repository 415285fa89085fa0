//! Cells as a rule of `[data.columns]` reads them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fedwasm_protocol::{ColumnKind, ColumnRule, Day, Encode, Unknown, suggestion};

use crate::cut;

/// The longest text that is read as a number, in bytes.
const NUMBER_BYTES_MAX: usize = 1_024;
/// Beyond it float64 does not hold every whole number.
pub(crate) const EXACT_MAX: f64 = (1u64 << 53) as f64;

/// The value of a cell before its rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    /// There is none.
    Missing,
    /// A text without blanks around it.
    Text(&'a str),
    Number(f64),
    Boolean(bool),
    /// Days since 1970-01-01.
    Days(f64),
}

impl Cell<'_> {
    /// The cell as a text; of a missing one an empty text.
    pub(crate) fn to_text(self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Text(text) => text.to_owned(),
            Self::Number(value) => value.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::Days(days) => match Day::of_number(days) {
                Some(day) if days.fract() == 0.0 => day.to_string(),
                _ => days.to_string(),
            },
        }
    }
}

/// A rule that is ready to read cells.
#[derive(Debug)]
pub(crate) struct CellRule {
    rule: ColumnRule,
    /// Places of categories and classes; of a boolean 1 and 0, in lower case.
    known: HashMap<String, usize>,
    missing: Arc<HashSet<String>>,
}

/// Why a cell cannot be read: the cell, and what it should be.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) got: String,
    pub(crate) expected: String,
}

impl CellRule {
    pub(crate) fn new(rule: &ColumnRule, missing: Arc<HashSet<String>>) -> Self {
        let mut known = HashMap::new();
        match &rule.kind {
            ColumnKind::Category { values, .. } | ColumnKind::Class { values } => {
                known.extend(values.iter().cloned().zip(0..));
            }
            ColumnKind::Boolean { yes, no } => {
                known.extend(yes.iter().map(|word| (word.to_lowercase(), 1)));
                known.extend(no.iter().map(|word| (word.to_lowercase(), 0)));
            }
            _ => {}
        }
        Self { rule: rule.clone(), known, missing }
    }

    /// The rule.
    pub(crate) fn rule(&self) -> &ColumnRule {
        &self.rule
    }

    /// The words that mean that a value is missing.
    pub(crate) fn missing(&self) -> &Arc<HashSet<String>> {
        &self.missing
    }

    /// Appends the values of a cell, as many as [`ColumnRule::width`]; those of a missing one are
    /// NaN.
    pub(crate) fn push(&self, cell: Cell<'_>, into: &mut Vec<f64>) -> Result<(), Mismatch> {
        let value = self.value(cell)?;
        match (&self.rule.kind, value) {
            (ColumnKind::Category { encode: Encode::OneHot, .. }, value) => {
                let n = self.rule.n_categories().unwrap_or(1);
                let is = |at: usize| match value {
                    Some(value) => f64::from(u8::from(value == at as f64)),
                    None => f64::NAN,
                };
                into.extend((0..n).map(is));
            }
            (_, value) => into.push(value.unwrap_or(f64::NAN)),
        }
        if self.rule.flag_missing {
            into.push(f64::from(u8::from(value.is_none())));
        }
        Ok(())
    }

    /// The number of a cell; none if it is missing.
    pub(crate) fn value(&self, cell: Cell<'_>) -> Result<Option<f64>, Mismatch> {
        match cell {
            Cell::Missing => return Ok(None),
            Cell::Number(value) if value.is_nan() => return Ok(None),
            // A category that is called as a missing word is a category.
            Cell::Text(text) if !self.known.contains_key(text) && self.missing.contains(text) => {
                return Ok(None);
            }
            _ => {}
        }
        let (kind, known) = (&self.rule.kind, &self.known);
        let number = match (kind, cell) {
            (ColumnKind::Number { .. }, Cell::Boolean(value))
            | (ColumnKind::Boolean { .. }, Cell::Boolean(value)) => {
                Some(f64::from(u8::from(value)))
            }
            (ColumnKind::Number { .. }, Cell::Number(value)) => Some(value),
            (ColumnKind::Number { decimal, thousands }, Cell::Text(text)) => {
                number(text, *decimal, *thousands)
            }
            (ColumnKind::Date { since, .. }, Cell::Days(days)) => {
                Some(days - f64::from(since.number()))
            }
            (ColumnKind::Date { since, format }, Cell::Text(text)) => {
                format.read(text).map(|days| days - f64::from(since.number()))
            }
            (ColumnKind::Boolean { .. }, Cell::Text(text)) => place(known, &text.to_lowercase()),
            (ColumnKind::Category { .. } | ColumnKind::Class { .. }, Cell::Text(text)) => {
                place(known, text)
            }
            (ColumnKind::Number { .. } | ColumnKind::Date { .. } | ColumnKind::Drop, _)
            | (_, Cell::Days(_) | Cell::Missing) => None,
            (_, Cell::Number(value)) => place(known, &value.to_string()),
            (_, Cell::Boolean(value)) => place(known, if value { "true" } else { "false" }),
        };
        match (number, kind) {
            (Some(value), _) if (value as f32).is_finite() => Ok(Some(value)),
            (None, ColumnKind::Category { values, unknown: Unknown::Other, .. }) => {
                Ok(Some(values.len() as f64))
            }
            _ => Err(Mismatch { got: shown(cell), expected: self.expected(cell) }),
        }
    }

    /// The form that a cell should have, and the cure.
    fn expected(&self, cell: Cell<'_>) -> String {
        let text = shown(cell);
        match &self.rule.kind {
            ColumnKind::Number { decimal, thousands } => {
                let groups = thousands.map(|between| format!(" and `{between}` between thousands"));
                let groups = groups.unwrap_or_default();
                format!(
                    "is not a finite number with the decimal point `{decimal}`{groups}; see \
                     `decimal`, `thousands` and `missing`"
                )
            }
            ColumnKind::Category { values, .. } | ColumnKind::Class { values } => {
                let known: Vec<&str> = values.iter().map(String::as_str).collect();
                let hint = match suggestion(&known, &text) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None if matches!(self.rule.kind, ColumnKind::Class { .. }) => {
                        "; add it to `values`".to_owned()
                    }
                    None => "; add it to `values`, or write `unknown = \"other\"`".to_owned(),
                };
                format!("is not one of the {} `values` of the rule{hint}", values.len())
            }
            ColumnKind::Boolean { .. } => {
                "is neither true nor false; give the words as `true` and `false`".to_owned()
            }
            ColumnKind::Date { format, .. } => {
                format!("is not a date as `{}`; see `format` and `missing`", format.pattern())
            }
            ColumnKind::Drop => "is in a column that is left out".to_owned(),
        }
    }
}

fn shown(cell: Cell<'_>) -> String {
    match cell {
        Cell::Missing => String::new(),
        Cell::Text(text) => cut(text),
        Cell::Number(value) => value.to_string(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Days(days) => format!("day {days} since 1970-01-01"),
    }
}

/// The place of a text. A whole number as pandas writes it beside missing ones, `1.0`, is `1`.
fn place(known: &HashMap<String, usize>, text: &str) -> Option<f64> {
    let whole = || known.get(text.strip_suffix(".0")?);
    known.get(text).or_else(whole).map(|at| *at as f64)
}

/// Reads a number. Between thousands there are groups of three digits, so that no decimal point is
/// taken for a separator.
pub(crate) fn number(text: &str, decimal: char, thousands: Option<char>) -> Option<f64> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    let plain = match (decimal, thousands) {
        ('.', None) => text.to_owned(),
        _ => {
            let end = text.find([decimal, 'e', 'E']).unwrap_or(text.len());
            let (whole, rest) = text.split_at(end);
            let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
            let sign = &whole[..whole.len() - digits.len()];
            let is_group = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
            let mut groups = digits.split(|c| Some(c) == thousands);
            let first = groups.next().filter(|first| is_group(first))?;
            let others: Vec<&str> = groups.collect();
            let of_three = |group: &&str| group.len() == 3 && is_group(group);
            let is_grouped = (1..=3).contains(&first.len()) && others.iter().all(of_three);
            if !others.is_empty() && !is_grouped {
                return None;
            }
            let rest = match rest.strip_prefix(decimal) {
                Some(decimals) if !decimals.contains(['.', ',']) => format!(".{decimals}"),
                Some(_) => return None,
                None => rest.to_owned(),
            };
            format!("{sign}{first}{}{rest}", others.concat())
        }
    };
    let value: f64 = plain.parse().ok().filter(|value: &f64| value.is_finite())?;
    // A whole number of many digits may be another one as float64.
    let is_exact = value.abs() < EXACT_MAX || plain.contains(['.', 'e', 'E']);
    is_exact.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::{ColumnRules, MISSING_WORDS};

    fn rule(text: &str) -> CellRule {
        let rules = ColumnRules::parse(format!("x = {text}").parse().unwrap()).unwrap();
        let missing = MISSING_WORDS.map(str::to_owned).into_iter().collect();
        CellRule::new(rules.get("x").unwrap(), Arc::new(missing))
    }

    fn read(rule: &CellRule, cell: &str) -> Result<String, String> {
        let mut values = Vec::new();
        match rule.push(Cell::Text(cell), &mut values) {
            Ok(()) => Ok(format!("{values:?}")),
            Err(Mismatch { got, expected }) => Err(format!("`{got}` {expected}")),
        }
    }

    #[test]
    fn numbers_with_commas_and_thousands() {
        let comma = rule("{ kind = 'number', decimal = ',', thousands = '.' }");
        for (cell, expected) in [
            ("1.234.567,5", "[1234567.5]"),
            ("-1.234", "[-1234.0]"),
            ("1234,5", "[1234.5]"),
            (",5", "[0.5]"),
            ("3,5e2", "[350.0]"),
            ("NA", "[NaN]"),
            ("", "[NaN]"),
        ] {
            assert_eq!(read(&comma, cell).as_deref(), Ok(expected), "{cell}");
        }
        // A point is not taken for a separator of thousands where it is a decimal point.
        for cell in ["3.14", "1.2345", "1234.567", "1,2,3", "1,234.5", "inf", "1e40", "0x1", "1..5"]
        {
            assert!(read(&comma, cell).is_err(), "{cell}");
        }
        let english = rule("{ kind = 'number', thousands = ',' }");
        assert_eq!(read(&english, "1,234.5").as_deref(), Ok("[1234.5]"));
        assert!(read(&english, "1,23").is_err() && read(&english, "9007199254740993").is_err());
        assert!(read(&english, &"9".repeat(1 << 20)).is_err());
    }

    #[test]
    fn categories_flags_and_unknown_texts() {
        let ward = rule("{ kind = 'category', values = ['A', 'B', 'None'], flag_missing = true }");
        assert_eq!(read(&ward, "B").as_deref(), Ok("[0.0, 1.0, 0.0, 0.0]"));
        assert_eq!(read(&ward, "?").as_deref(), Ok("[NaN, NaN, NaN, 1.0]"));
        // A listed value is a value, though it is a missing word elsewhere.
        assert_eq!(read(&ward, "None").as_deref(), Ok("[0.0, 0.0, 1.0, 0.0]"));
        let error = read(&ward, "b\0\u{1b}").unwrap_err();
        assert!(error.starts_with("`b` is not one of the 3 `values`"), "{error}");
        let open =
            rule("{ kind = 'category', values = [1, 2], unknown = 'other', encode = 'code' }");
        for (cell, expected) in [("1", "[0.0]"), ("2.0", "[1.0]"), ("02", "[2.0]"), ("x", "[2.0]")]
        {
            assert_eq!(read(&open, cell).as_deref(), Ok(expected), "{cell}");
        }
        let class = rule("{ kind = 'class', values = ['benign', 'malignant'] }");
        assert_eq!(read(&class, "malignant").as_deref(), Ok("[1.0]"));
        assert!(read(&class, "malignent").unwrap_err().ends_with("did you mean `malignant`?"));
    }

    #[test]
    fn booleans_and_dates() {
        let smoker = rule("'boolean'");
        let read_all = |cells: &[&str]| -> Vec<String> {
            cells.iter().map(|cell| read(&smoker, cell).unwrap()).collect()
        };
        assert_eq!(read_all(&["TRUE", "Yes", "1", "1.0"]), ["[1.0]"; 4]);
        assert_eq!(read_all(&["False", "no", "0"]), ["[0.0]"; 3]);
        assert!(read(&smoker, "ja").is_err());
        let german = rule("{ kind = 'boolean', true = ['Ja'], false = ['Nein'] }");
        assert_eq!(read(&german, "JA").as_deref(), Ok("[1.0]"));
        assert!(read(&german, "yes").is_err());
        let visit = rule("{ kind = 'date', since = '2000-01-01', format = '%d.%m.%Y' }");
        assert_eq!(read(&visit, "02.01.2000").as_deref(), Ok("[1.0]"));
        assert_eq!(read(&visit, "?").as_deref(), Ok("[NaN]"));
        assert!(read(&visit, "31.02.2000").unwrap_err().contains("`%d.%m.%Y`"));
    }
}
