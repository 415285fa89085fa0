//! The sections of `experiment.toml` that an experiment and a local job share, and its mistakes.

use std::ops::Range;
use std::path::Path;

use fedwasm_protocol::{
    Arguments, DataArgs, Fields, LimitArgs, TrainingArgs, TrainingArgsError, flatten_table,
};
use toml::{Table, Value};

use crate::{Error, LrSchedule};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads `[data]`.
pub fn data(fields: &mut Fields, needs_tags: bool) -> Option<DataArgs> {
    let mut table = fields.table("data");
    let given = table.has("tags");
    let data = DataArgs::take(&mut table);
    let needs_tags = needs_tags && data.as_ref().is_none_or(|data| data.dataset.is_none());
    if needs_tags && !given {
        let what = "is missing; name the tags that datasets must have, or a `dataset`";
        table.mistake("tags", what);
    }
    if needs_tags && given && data.as_ref().is_some_and(|data| data.tags.is_empty()) {
        let what = "is empty; name the tags that datasets must have";
        // A list that is none was told already.
        if !table.is_wrong("tags") {
            table.mistake("tags", what);
        }
    }
    fields.absorb(table);
    data
}

/// Reads `[training]`, with this `test_ratio` if it has none.
pub fn training(
    fields: &mut Fields,
    test_ratio: Option<f64>,
) -> (Option<TrainingArgs>, Option<LrSchedule>) {
    let mut table = match fields.value("training") {
        Some(Value::Table(table)) => table,
        Some(_) => {
            fields.mistake("training", "is not a table");
            return (None, None);
        }
        None => return (None, None),
    };
    // What a schedule is, a node is never told: it gets the rate of its round.
    let schedule = match table.remove("lr_schedule") {
        None => None,
        Some(Value::Table(table)) => {
            let mut inner = Fields::new("training.lr_schedule", table);
            let schedule = LrSchedule::take(&mut inner);
            fields.absorb(inner);
            schedule
        }
        Some(_) => {
            fields.mistake("training.lr_schedule", "is not a table");
            None
        }
    };
    if let (Some(ratio), false) = (test_ratio, table.contains_key("test_ratio")) {
        table.insert("test_ratio".to_owned(), Value::Float(ratio));
    }
    match TrainingArgs::parse_named("training", table) {
        Ok(training) => (Some(training), schedule),
        Err(TrainingArgsError { mistakes }) => {
            fields.extend(mistakes);
            (None, schedule)
        }
    }
}

/// Reads `[model]`.
pub fn model(fields: &mut Fields) -> Arguments {
    let (mut arguments, mut mistakes) = (Arguments::new(), Vec::new());
    match fields.value("model") {
        None => {}
        Some(Value::Table(table)) => {
            flatten_table(fedwasm_protocol::prefix::MODEL, table, &mut arguments, &mut mistakes);
        }
        Some(_) => fields.mistake("model", "is not a table"),
    }
    for key in mistakes {
        fields.mistake(&key, "is not a truth value, number, text, or list of one of these");
    }
    arguments
}

/// Reads `[limits]`.
pub fn limits(fields: &mut Fields) -> LimitArgs {
    let mut table = fields.table("limits");
    let limits = LimitArgs::read(&mut table);
    fields.absorb(table);
    limits
}

/// All mistakes of a file as one error, each with its line.
pub fn all(path: &Path, text: &str, mistakes: Vec<String>) -> Error {
    let mistakes = mistakes.into_iter().map(|mistake| with_line(text, mistake));
    let mistakes: Vec<String> = mistakes.collect();
    let reason = match &mistakes[..] {
        [one] => format!(" {one}"),
        many => format!(" {} mistakes\n  {}", many.len(), many.join("\n  ")),
    };
    Error::File { path: path.to_owned(), reason }
}

/// Reads the text of a file.
///
/// # Errors
/// [`Error::Io`], [`Error::File`].
pub fn read(path: &Path) -> Result<String, Error> {
    let text = fedwasm_folder::read_file(path, FILE_BYTES_MAX)?;
    let wrong = |_| Error::File { path: path.to_owned(), reason: " not UTF-8".into() };
    String::from_utf8(text).map_err(wrong)
}

/// Parses the text of a file.
///
/// # Errors
/// [`Error::File`].
pub fn table(text: &str, path: &Path) -> Result<Table, Error> {
    let wrong = |error: toml::de::Error| {
        let reason = format!("\n{}", error.to_string().trim_end());
        Error::File { path: path.to_owned(), reason }
    };
    text.parse().map_err(wrong)
}

/// The bytes of the key that `keys` lead to, table after table; none if the text does not give it.
pub fn key_range(text: &str, keys: &[&str]) -> Option<Range<usize>> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let (mut table, mut range) = (document.get_ref(), None);
    for (index, wanted) in keys.iter().enumerate() {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == wanted)?;
        range = Some(key.span());
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => table = inner,
            _ if index + 1 == keys.len() => {}
            _ => return None,
        }
    }
    range
}

/// The mistake, after the line of the key that it begins with, such as `` `training.epochs` ``.
fn with_line(text: &str, mistake: String) -> String {
    let key = mistake.strip_prefix('`').and_then(|rest| rest.split('`').next());
    let range = key.and_then(|key| key_range(text, &key.split('.').collect::<Vec<_>>()));
    match range.and_then(|range| text.get(..range.start)) {
        Some(before) => format!("line {}: {mistake}", before.matches('\n').count() + 1),
        None => mistake,
    }
}
