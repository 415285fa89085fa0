//! The mistakes of a TOML file, each with its place in the text.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

/// The most mistakes of a file that are shown; others are counted.
const SHOWN_MAX: usize = 100;

/// Where in a file a mistake is. A field is named by the keys that lead to it, with dots between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere in particular.
    File,
    /// The key of a field.
    Key(String),
    /// The value of a field; the header of a table that has one.
    Value(String),
    /// The first value below a field that is this text.
    Text {
        /// The field.
        below: String,
        /// The text.
        text: String,
    },
    /// These bytes.
    Bytes(Range<usize>),
}

/// A mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// The mistake, in a sentence.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Mistakes as sentences, with `between` between them.
pub fn sentences(mistakes: &[Mistake], between: &str) -> String {
    let sentences: Vec<&str> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
    sentences.join(between)
}

/// The mistakes in a TOML file.
#[derive(Clone, Debug)]
pub struct FileMistakes {
    path: PathBuf,
    text: String,
    found: Vec<Found>,
    n_more: usize,
}

/// A mistake whose place was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The mistake, in a sentence.
    pub message: String,
    /// The bytes of the text that it is about, within one line; none for the whole file.
    pub range: Option<Range<usize>>,
}

impl FileMistakes {
    /// Looks up each mistake in `text`; a field that is not there is at the header of the nearest
    /// table around it.
    pub fn new(path: &Path, text: String, mistakes: Vec<Mistake>) -> Self {
        let n_more = mistakes.len().saturating_sub(SHOWN_MAX);
        let document = DeTable::parse(&text).ok();
        let table = document.as_ref().map(|document| document.get_ref());
        let found = mistakes.into_iter().take(SHOWN_MAX).map(|Mistake { place, message }| {
            let range = match &place {
                Place::Key(path) | Place::Value(path) => {
                    table.and_then(|table| range(table, &place).or_else(|| around(table, path)))
                }
                Place::Bytes(bytes) => Some(bytes.clone()),
                place => table.and_then(|table| range(table, place)),
            };
            Found { message, range: range.and_then(|range| within_line(&text, range)) }
        });
        let found = found.collect();
        Self { path: path.to_owned(), text, found, n_more }
    }

    /// A file that is not TOML, or not of its form.
    pub fn of_toml(path: &Path, text: String, error: &toml::de::Error) -> Self {
        let place = error.span().map_or(Place::File, Place::Bytes);
        Self::new(path, text, vec![Mistake { place, message: error.message().into() }])
    }

    /// A file that is not text.
    pub fn not_utf8(path: &Path) -> Self {
        let mistake = Mistake { place: Place::File, message: "not UTF-8".into() };
        Self::new(path, String::new(), vec![mistake])
    }

    /// Mistakes that were found in arguments, if `text` gives any of these.
    pub fn of_arguments(path: &Path, text: String, mistakes: &[Mistake]) -> Option<Self> {
        let found = {
            let document = DeTable::parse(&text).ok()?;
            let found = mistakes.iter().take(SHOWN_MAX).map(|Mistake { place, message }| {
                let range = range(document.get_ref(), place);
                let range = range.and_then(|range| within_line(&text, range));
                Found { message: message.clone(), range }
            });
            found.collect::<Vec<_>>()
        };
        let n_more = mistakes.len().saturating_sub(SHOWN_MAX);
        let is_given = found.iter().any(|found| found.range.is_some());
        is_given.then(|| Self { path: path.to_owned(), text, found, n_more })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The mistakes, those first that were found first.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// How many more there are.
    pub fn n_more(&self) -> usize {
        self.n_more
    }

    /// The line of a byte, and the column in it, in characters, both from 1.
    pub fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.rsplit('\n').next().unwrap_or("");
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

impl std::error::Error for FileMistakes {}

impl fmt::Display for FileMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        let several = self.found.len() + self.n_more != 1;
        if several {
            write!(f, " {} mistakes", self.found.len() + self.n_more)?;
        }
        for Found { message, range } in &self.found {
            f.write_str(if several { "\n  " } else { " " })?;
            match range {
                Some(range) => {
                    write!(f, "line {}: {message}", self.line_and_column(range.start).0)?;
                }
                None => f.write_str(message)?,
            }
        }
        match self.n_more {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// The bytes that a place means, if the file gives it.
fn range(table: &DeTable<'_>, place: &Place) -> Option<Range<usize>> {
    match place {
        Place::File => None,
        Place::Bytes(range) => Some(range.clone()),
        Place::Key(path) => find(table, path).map(|(key, _)| key),
        Place::Value(path) => find(table, path).map(|(_, value)| value.span()),
        Place::Text { below, text } => text_in(find(table, below)?.1, text),
    }
}

type Value<'a> = toml::Spanned<DeValue<'a>>;

/// The bytes of a field's key, and its value. Keys may have dots themselves, so none is split at
/// them.
fn find<'t, 'i>(table: &'t DeTable<'i>, path: &str) -> Option<(Range<usize>, &'t Value<'i>)> {
    table.iter().find_map(|(key, value)| match path.strip_prefix(key.get_ref().as_ref())? {
        "" => Some((key.span(), value)),
        rest => match value.get_ref() {
            DeValue::Table(inner) => find(inner, rest.strip_prefix('.')?),
            _ => None,
        },
    })
}

/// The header of the nearest table around a field that is not there.
fn around(table: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let parents = path.rmatch_indices('.').filter_map(|(dot, _)| path.get(..dot));
    let mut found = parents.filter_map(|parent| find(table, parent));
    found.next().map(|(_, value)| value.span())
}

fn text_in(value: &Value<'_>, text: &str) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::String(here) => (here == text).then(|| value.span()),
        DeValue::Array(values) => values.iter().find_map(|value| text_in(value, text)),
        DeValue::Table(table) => table.iter().find_map(|(_, value)| text_in(value, text)),
        _ => None,
    }
}

/// The part of a range on its first line; none if the range lies outside of the text.
fn within_line(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let length = text.get(range.clone())?.split(['\r', '\n']).next()?.len();
    Some(range.start..range.start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "x = 1\n[model]\na = 1\n\"b.c\" = 2\n[model.deep]\nd = [\"e\", { f = \"g\" }]\n";

    fn value(field: &str) -> Place {
        Place::Value(field.into())
    }

    fn key(field: &str) -> Place {
        Place::Key(field.into())
    }

    fn text(below: &str, text: &str) -> Place {
        Place::Text { below: below.into(), text: text.into() }
    }

    #[test]
    fn places_are_looked_up_and_what_is_absent_is_at_its_table() {
        let exact = [
            (key("x"), "x"),
            (value("x"), "1"),
            (value("model.b.c"), "2"),
            (key("model.deep.d"), "d"),
            (value("model"), "[model]"),
            (value("model.deep"), "[model.deep]"),
            (text("model", "g"), "\"g\""),
            (text("model.deep.d", "e"), "\"e\""),
            (Place::Bytes(0..5), "x = 1"),
        ];
        let nearest =
            [(value("model.n"), Some("[model]")), (key("model.deep.x.y"), Some("[model.deep]"))];
        let nowhere = [Place::File, value("rounds"), text("model", "x"), Place::Bytes(3..999)];
        let all = exact.map(|(place, found)| (place, Some(found))).into_iter();
        let all = all.chain(nearest).chain(nowhere.map(|place| (place, None)));
        for (place, expected) in all {
            let is_exact = !matches!(&place, Place::Value(f) | Place::Key(f) if f.ends_with('n') || f.ends_with('y'));
            let mistake = Mistake { place: place.clone(), message: String::new() };
            let mistakes = vec![mistake];
            let given = FileMistakes::of_arguments(Path::new("f"), TEXT.into(), &mistakes);
            assert_eq!(given.is_some(), is_exact && expected.is_some(), "{place:?}");
            let file = FileMistakes::new(Path::new("f"), TEXT.into(), mistakes);
            let range = file.found()[0].range.clone();
            assert_eq!(range.map(|range| &TEXT[range]), expected, "{place:?}");
        }
    }

    #[test]
    fn sentences_have_lines() {
        let mistake = |place, message: &str| Mistake { place, message: message.into() };
        let all = [mistake(value("model.a"), "`model.a` is 1"), mistake(Place::File, "nothing")];
        let file = |mistakes: &[Mistake]| {
            FileMistakes::new(Path::new("f.toml"), TEXT.into(), mistakes.to_vec()).to_string()
        };
        assert_eq!(file(&all[..1]), "f.toml: line 3: `model.a` is 1");
        assert_eq!(file(&all), "f.toml: 2 mistakes\n  line 3: `model.a` is 1\n  nothing");
        let many = vec![all[1].clone(); SHOWN_MAX + 2];
        assert!(file(&many).starts_with("f.toml: 102 mistakes\n"));
        assert!(file(&many).ends_with("\n  and 2 more"));
        assert_eq!(FileMistakes::not_utf8(Path::new("f")).to_string(), "f: not UTF-8");
    }
}
