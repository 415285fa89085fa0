//! Reading of rules from a table, with all mistakes at once.

use toml::Value;

use super::{
    CATEGORIES_MAX, ColumnKind, ColumnRule, Encode, Impute, KINDS, OTHER, RULE_TEXT_BYTES_MAX,
    Scale, Unknown, WORDS_MAX,
};
use crate::fields::{Fields, cut};
use crate::{DateFormat, Day, suggestion};

/// Characters between groups of three digits.
const THOUSANDS: [&str; 8] = [",", ".", "'", "’", " ", "_", "\u{a0}", "\u{202f}"];

impl ColumnRule {
    /// Reads a rule; mistakes go to `fields`. None if the kind is not known.
    pub(super) fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("kind") {
            fields.mistake("kind", format!("is missing; it is one of {}", KINDS.join(", ")));
        }
        let kind = match fields.one_of("kind", &KINDS) {
            Some(0) => number(fields),
            Some(1) => category(fields),
            Some(2) => ColumnKind::Class { values: values(fields, 2) },
            Some(3) => boolean(fields),
            Some(4) => date(fields),
            Some(_) => ColumnKind::Drop,
            None => {
                // Without a kind every other key would be reported as unknown.
                fields.clear();
                return None;
            }
        };
        let mut rule = Self::of(kind);
        if matches!(rule.kind, ColumnKind::Class { .. } | ColumnKind::Drop) {
            return Some(rule);
        }
        rule.impute = impute(fields, &rule.kind);
        rule.flag_missing = fields.boolean("flag_missing").unwrap_or(false);
        if rule.is_measured() {
            rule.clip = clip(fields);
            rule.log1p = fields.boolean("log1p").unwrap_or(false);
            rule.scale = scale(fields);
        }
        Some(rule)
    }
}

fn number(fields: &mut Fields) -> ColumnKind {
    let decimal = match fields.one_of("decimal", &[".", ","]) {
        Some(1) => ',',
        _ => '.',
    };
    let thousands = fields.one_of("thousands", &THOUSANDS);
    let thousands = thousands.and_then(|at| THOUSANDS[at].chars().next());
    if thousands == Some(decimal) {
        let what = format!("is `{decimal}`, as the decimal point is; give another `decimal`");
        fields.mistake("thousands", what);
    }
    ColumnKind::Number { decimal, thousands }
}

fn category(fields: &mut Fields) -> ColumnKind {
    let values = values(fields, 1);
    let unknown = match fields.one_of("unknown", &["refuse", OTHER]) {
        Some(1) => Unknown::Other,
        _ => Unknown::Refuse,
    };
    let encode = match fields.one_of("encode", &["one-hot", "code"]) {
        Some(1) => Encode::Code,
        _ => Encode::OneHot,
    };
    ColumnKind::Category { values, unknown, encode }
}

fn boolean(fields: &mut Fields) -> ColumnKind {
    let mut words = |key, default: [&str; 3]| {
        let given = words(fields, key, WORDS_MAX);
        given.unwrap_or_else(|| default.map(str::to_owned).to_vec())
    };
    let (yes, no) = (words("true", ["true", "yes", "1"]), words("false", ["false", "no", "0"]));
    let lower = |words: &[String]| words.iter().map(|word| word.to_lowercase()).collect::<Vec<_>>();
    let known = lower(&no);
    if let Some(both) = lower(&yes).iter().find(|word| known.contains(word)) {
        fields.mistake("true", format!("has `{both}`, which also means false; give `false`, too"));
    }
    ColumnKind::Boolean { yes, no }
}

fn date(fields: &mut Fields) -> ColumnKind {
    let mut since = Day::default();
    // A date may be written without quotes: TOML has dates of its own.
    let text = fields.value("since").map(|value| match value {
        Value::String(text) => text,
        value => value.to_string(),
    });
    if let Some(text) = text {
        match Day::parse(&text) {
            Some(day) => since = day,
            None => {
                let what = format!("is `{}`, expected a day such as \"2000-01-31\"", cut(&text));
                fields.mistake("since", what);
            }
        }
    }
    let mut format = DateFormat::default();
    if let Some(pattern) = fields.text("format") {
        match DateFormat::new(&pattern) {
            Ok(given) => format = given,
            Err(what) => fields.mistake("format", what),
        }
    }
    ColumnKind::Date { since, format }
}

/// Takes the texts of a category or class.
fn values(fields: &mut Fields, min: usize) -> Vec<String> {
    if !fields.has("values") {
        fields.mistake("values", "is missing; list the texts of the column, in order");
    }
    let values = words(fields, "values", CATEGORIES_MAX).unwrap_or_default();
    if values.len() < min && !fields.is_wrong("values") {
        fields.mistake("values", format!("has {} values, expected at least {min}", values.len()));
    }
    values
}

/// Takes a list of texts that differ; whole numbers and truth values are taken as cells write them.
fn words(fields: &mut Fields, key: &'static str, max: usize) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(_) | Value::Boolean(_) | Value::Datetime(_) => Some(value.to_string()),
        _ => None,
    };
    let value = fields.value(key)?;
    let Some(words) =
        value.as_array().and_then(|all| all.iter().map(text).collect::<Option<Vec<String>>>())
    else {
        fields.mistake(key, "is not a list of texts");
        return None;
    };
    if words.is_empty() || words.len() > max {
        fields.mistake(key, format!("has {} texts, expected from 1 to {max}", words.len()));
        return None;
    }
    let mut seen = std::collections::BTreeSet::new();
    for word in &words {
        let wrong = match word {
            word if word.len() > RULE_TEXT_BYTES_MAX => "which is too long",
            word if word.chars().any(char::is_control) => "which has control characters",
            word if word.trim().is_empty() => "which is a missing value; see `missing`",
            word if word.trim() != word => "whose blanks no cell keeps",
            word if !seen.insert(word) => "twice",
            _ => continue,
        };
        fields.mistake_in(key, word, format!("has `{}` {wrong}", cut(word)));
    }
    Some(words)
}

fn impute(fields: &mut Fields, kind: &ColumnKind) -> Option<Impute> {
    let is_measured = matches!(kind, ColumnKind::Number { .. } | ColumnKind::Date { .. });
    let value = fields.value("impute")?;
    let taken = match (&value, kind) {
        (Value::String(name), _) if is_measured && name == "mean" => Impute::Mean,
        (Value::String(name), _) if is_measured && name == "median" => Impute::Median,
        (Value::String(name), _) if name == "most-frequent" => Impute::MostFrequent,
        (Value::Boolean(yes), ColumnKind::Boolean { .. }) => {
            Impute::Constant(f64::from(u8::from(*yes)))
        }
        (Value::Integer(0 | 1), ColumnKind::Boolean { .. }) => {
            Impute::Constant(if value == Value::Integer(1) { 1.0 } else { 0.0 })
        }
        (Value::Float(bit), ColumnKind::Boolean { .. }) if *bit == 0.0 || *bit == 1.0 => {
            Impute::Constant(*bit)
        }
        (Value::Integer(whole), _) if is_measured => Impute::Constant(*whole as f64),
        (Value::Float(real), _) if is_measured && (*real as f32).is_finite() => {
            Impute::Constant(*real)
        }
        (Value::String(text), ColumnKind::Category { values, unknown, .. }) => {
            let is_other = text == OTHER && *unknown == Unknown::Other;
            if !values.contains(text) && !is_other {
                let known: Vec<&str> = values.iter().map(String::as_str).collect();
                let hint = match suggestion(&known, text) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                let what = format!(
                    "is `{}`, expected \"most-frequent\" or one of `values`{hint}",
                    cut(text)
                );
                fields.mistake("impute", what);
                return None;
            }
            Impute::ConstantText(text.clone())
        }
        _ => {
            let expected = match kind {
                ColumnKind::Category { .. } => "\"most-frequent\" or one of `values`",
                ColumnKind::Boolean { .. } => "\"most-frequent\", true or false",
                _ => "\"mean\", \"median\", \"most-frequent\" or a number",
            };
            fields
                .mistake("impute", format!("is {}, expected {expected}", cut(&value.to_string())));
            return None;
        }
    };
    Some(taken)
}

fn clip(fields: &mut Fields) -> Option<[f64; 2]> {
    let value = fields.value("clip")?;
    let number = |value: &Value| match value {
        Value::Integer(whole) => Some(*whole as f64),
        Value::Float(real) => Some(*real),
        _ => None,
    };
    let ends: Option<Vec<f64>> = value.as_array().and_then(|all| all.iter().map(number).collect());
    let is_finite = |end: f64| (end as f32).is_finite();
    match ends.as_deref() {
        Some([low, high]) if is_finite(*low) && is_finite(*high) && low <= high => {
            Some([*low, *high])
        }
        _ => {
            let what = format!("is {}, expected [SMALLEST, LARGEST]", cut(&value.to_string()));
            fields.mistake("clip", what);
            None
        }
    }
}

fn scale(fields: &mut Fields) -> Option<Scale> {
    let names = ["none", "standard", "min-max", "log1p"];
    match fields.one_of("scale", &names)? {
        0 => Some(Scale::None),
        1 => Some(Scale::Standard),
        2 => Some(Scale::MinMax),
        _ => {
            fields.mistake("scale", "is \"log1p\"; write `log1p = true` beside it");
            None
        }
    }
}
