//! Reading of a table key by key, so that all of its mistakes are found at once
//! and an unknown key gets a suggestion.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::mistakes::{Mistake, Place};

/// A table that is read key by key. Each read takes its key out; every key that is left
/// at the end is unknown.
#[derive(Debug)]
pub struct Fields {
    /// For messages: the table's name and a dot, or nothing.
    prefix: String,
    table: Table,
    known: Vec<&'static str>,
    mistakes: Vec<Mistake>,
}

impl Fields {
    /// Reads `table`, called `name` in messages; an empty name is left out.
    pub fn new(name: &str, table: Table) -> Self {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        Self { prefix, table, known: Vec::new(), mistakes: Vec::new() }
    }

    /// Whether the key is there and was not taken yet.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.know(key);
        self.table.contains_key(key)
    }

    /// Whether the key is there and true; it is not taken.
    pub fn is_true(&self, key: &str) -> bool {
        self.table.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// Takes a value as it is.
    pub fn value(&mut self, key: &'static str) -> Option<Value> {
        self.know(key);
        self.table.remove(key)
    }

    /// Takes a truth value.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        match self.value(key)? {
            Value::Boolean(value) => Some(value),
            other => self.wrong(key, &other, "true or false"),
        }
    }

    /// Takes a whole number of at least `min`; `3.0` is also one.
    pub fn whole(&mut self, key: &'static str, min: u64) -> Option<u64> {
        self.whole_until(key, min, i64::MAX as u64)
    }

    /// Takes a whole number from `min` to `max`; `3.0` is also one.
    pub fn whole_until(&mut self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        let value = self.value(key)?;
        let whole = match value {
            Value::Integer(whole) => u64::try_from(whole).ok(),
            // Exact below 2^53; above, a float does not determine its last digits.
            Value::Float(real) if real.fract() == 0.0 && (0.0..9e15).contains(&real) => {
                Some(real as u64)
            }
            _ => None,
        };
        match whole.filter(|whole| (min..=max).contains(whole)) {
            Some(whole) => Some(whole),
            None if max == i64::MAX as u64 => {
                self.wrong(key, &value, &format!("a whole number, at least {min}"))
            }
            None => self.wrong(key, &value, &format!("a whole number from {min} to {max}")),
        }
    }

    /// Takes a finite number that `holds` accepts; `rule` says which those are.
    pub fn real(
        &mut self,
        key: &'static str,
        rule: &str,
        holds: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let value = self.value(key)?;
        let real = match value {
            Value::Integer(whole) => Some(whole as f64),
            Value::Float(real) => Some(real),
            _ => None,
        };
        match real.filter(|real| real.is_finite() && holds(*real)) {
            Some(real) => Some(real),
            None => self.wrong(key, &value, rule),
        }
    }

    /// Takes a text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        match self.value(key)? {
            Value::String(value) => Some(value),
            other => self.wrong(key, &other, "a text"),
        }
    }

    /// Takes a list of texts.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let texts = value.as_array().and_then(|values| {
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
        });
        match (&texts, &value) {
            (Some(_), _) => texts,
            (None, Value::String(_)) => {
                let shown = cut(&value.to_string());
                self.mistake(key, format!("is {shown}, expected a list: [{shown}]"));
                None
            }
            _ => self.wrong(key, &value, "a list of texts"),
        }
    }

    /// Takes one of these names, in upper or lower case, and returns its place.
    pub fn one_of(&mut self, key: &'static str, names: &[&str]) -> Option<usize> {
        let value = self.value(key)?;
        let Some(text) = value.as_str() else {
            return self.wrong(key, &value, &format!("one of {}", names.join(", ")));
        };
        let found = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if found.is_none() {
            self.mistake(key, format!("is {}; {}", cut(&value.to_string()), hint(names, text)));
        }
        found
    }

    /// Takes a table to be read in the same way; an empty one if it is absent.
    pub fn table(&mut self, key: &'static str) -> Fields {
        let name = format!("{}{key}", self.prefix);
        match self.value(key) {
            None => Fields::new(&name, Table::new()),
            Some(Value::Table(table)) => Fields::new(&name, table),
            Some(other) => {
                self.wrong::<()>(key, &other, "a table");
                Fields::new(&name, Table::new())
            }
        }
    }

    /// Begins to read a table that lies below this one under a name that is not a fixed key.
    pub(crate) fn below(&self, key: &str, table: Table) -> Fields {
        Fields::new(&format!("{}{key}", self.prefix), table)
    }

    /// Leaves the keys that were not taken unread, and without a mistake.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
    }

    /// Takes anything that serde can read from a value.
    pub fn read<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        match T::deserialize(self.value(key)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(key, format!(": {}", error.to_string().trim_end()));
                None
            }
        }
    }

    /// Adds a mistake about the value of a key, or about its absence.
    pub fn mistake(&mut self, key: &str, what: impl std::fmt::Display) {
        let field = format!("{}{key}", self.prefix);
        let what = what.to_string();
        let space = if what.starts_with(':') { "" } else { " " };
        let message = format!("`{field}`{space}{what}");
        self.mistakes.push(Mistake { place: Place::Value(field), message });
    }

    /// Adds a mistake about a text that a key's value holds.
    pub fn mistake_in(&mut self, key: &str, text: &str, what: impl std::fmt::Display) {
        let below = format!("{}{key}", self.prefix);
        let message = format!("`{below}` {what}");
        self.mistakes.push(Mistake { place: Place::Text { below, text: text.into() }, message });
    }

    /// Adds a mistake for each of these keys that is there: it belongs in another table.
    pub fn belongs(&mut self, keys: &[&str], table: &str) {
        for key in keys {
            if self.table.remove(*key).is_some() {
                let field = format!("{}{key}", self.prefix);
                let message = format!("`{field}` is unknown here; it belongs in `{table}`");
                self.mistakes.push(Mistake { place: Place::Key(field), message });
            }
        }
    }

    /// Adds a mistake about the table as a whole.
    pub fn rule(&mut self, what: &str) {
        let place = match self.prefix.strip_suffix('.') {
            Some(table) => Place::Value(table.to_owned()),
            None => Place::File,
        };
        let message = format!("{}{what}", self.prefix.replace('.', ": "));
        self.mistakes.push(Mistake { place, message });
    }

    /// Whether a mistake about a key was found.
    pub fn is_wrong(&self, key: &str) -> bool {
        let place = Place::Value(format!("{}{key}", self.prefix));
        self.mistakes.iter().any(|mistake| mistake.place == place)
    }

    /// Adds mistakes that another check found.
    pub fn extend(&mut self, mistakes: Vec<Mistake>) {
        self.mistakes.extend(mistakes);
    }

    /// Ends the reading of a table of this one.
    pub fn absorb(&mut self, inner: Fields) {
        self.mistakes.extend(inner.finish());
    }

    /// Ends the reading: all mistakes, those about unknown keys among them.
    pub fn finish(mut self) -> Vec<Mistake> {
        for key in self.table.keys() {
            let hint = hint(&self.known, key);
            let message = format!("`{}{}` is unknown; {hint}", self.prefix, cut(key));
            let place = Place::Key(format!("{}{key}", self.prefix));
            self.mistakes.push(Mistake { place, message });
        }
        self.mistakes
    }

    fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    fn wrong<T>(&mut self, key: &str, got: &Value, expected: &str) -> Option<T> {
        self.mistake(key, format!("is {}, expected {expected}", cut(&got.to_string())));
        None
    }
}

/// The part of a value that a message repeats, 80 characters at most.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The name most like `got`, if there is one that a slip of the keyboard makes.
pub fn suggestion<'a>(names: &[&'a str], got: &str) -> Option<&'a str> {
    let got = cut(got).to_lowercase();
    let far = |name: &&&str| strsim::damerau_levenshtein(&name.to_lowercase(), &got);
    let nearest = names.iter().min_by_key(far)?;
    let slips = match got.chars().count() {
        0 | 1 => 0,
        2 | 3 => 1,
        4..=6 => 2,
        _ => 3,
    };
    (far(&nearest) <= slips).then_some(*nearest)
}

fn hint(names: &[&str], got: &str) -> String {
    match suggestion(names, got) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "nothing is expected here".to_owned(),
        None => format!("known are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentences;

    fn fields(text: &str) -> Fields {
        Fields::new("t", toml::from_str(text).unwrap())
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let mut fields =
            fields("tags = \"x\"\na = -1\nb = \"x\"\ncc = 1\nk = \"fedavgg\"\nr = nan");
        assert_eq!(fields.texts("tags"), None);
        assert_eq!(fields.whole("a", 0), None);
        assert_eq!(fields.boolean("b"), None);
        assert_eq!(fields.whole("c", 0), None);
        assert_eq!(fields.one_of("k", &["fedavg", "median"]), None);
        assert_eq!(fields.real("r", "a number", |_| true), None);
        assert_eq!(
            sentences(&fields.finish(), "\n").lines().collect::<Vec<_>>(),
            [
                "`t.tags` is \"x\", expected a list: [\"x\"]",
                "`t.a` is -1, expected a whole number, at least 0",
                "`t.b` is \"x\", expected true or false",
                "`t.k` is \"fedavgg\"; did you mean `fedavg`?",
                "`t.r` is nan, expected a number",
                "`t.cc` is unknown; did you mean `c`?",
            ]
        );
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        assert_eq!(hint(&["name"], "foo"), "known are name");
        assert_eq!(suggestion(&["tau", "lr"], "eta"), None);
        let mut fields = fields("a = 3.0\nb = 3.5\nc = 1e300\nd = true");
        assert_eq!(fields.whole("a", 0), Some(3));
        assert!(["b", "c", "d"].iter().all(|key| fields.whole(key, 0).is_none()));
        assert_eq!(fields.finish().len(), 3);
    }
}
