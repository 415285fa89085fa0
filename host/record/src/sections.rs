//! The sections of `experiment.toml` that an experiment and a local job share.

use std::path::{Path, PathBuf};

use fedwasm_protocol::{
    Arguments, DataArgs, Fields, FileMistakes, LimitArgs, TrainingArgs, TrainingArgsError,
    flatten_table,
};
use toml::{Table, Value};

use crate::{Error, LrSchedule};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The most bytes of an experiment's rules of columns, as JSON: a request is a message of 64 KiB.
const RULES_BYTES_MAX: usize = 32 << 10;

/// Reads `[data]`.
pub fn data(fields: &mut Fields, needs_tags: bool) -> Option<DataArgs> {
    let mut table = fields.table("data");
    let given = table.has("tags");
    let data = DataArgs::take(&mut table);
    if let (true, Some(data)) = (needs_tags, &data) {
        let bytes = serde_json::to_vec(&data.columns).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > RULES_BYTES_MAX {
            let what = format!(
                "takes {bytes} bytes, and a request has room for {RULES_BYTES_MAX}; list fewer values"
            );
            table.mistake("columns", what);
        }
    }
    let needs_tags = needs_tags && data.as_ref().is_none_or(|data| data.dataset.is_none());
    if needs_tags && !given {
        let what = "is missing; name the tags that datasets must have, or a `dataset`";
        table.mistake("tags", what);
    }
    if needs_tags && given && data.as_ref().is_some_and(|data| data.tags.is_empty()) {
        let what = "is empty; name the tags that datasets must have";
        // A value that is not a list was already reported.
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
    // A node never learns of a schedule: it gets the rate of its round.
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

/// Reads `init` and `init_only`: a model or a file of parameters to start from, and patterns of the
/// names of those that do.
pub fn init(fields: &mut Fields) -> (Option<PathBuf>, Vec<String>) {
    let is_given = fields.has("init_only");
    let init = fields.text("init").map(PathBuf::from);
    let only = fields.texts("init_only").unwrap_or_default();
    if init.is_some() && fields.has("params") {
        fields.mistake("init", "is given beside `params`; leave one of them out");
    }
    if is_given && init.is_none() {
        let what = "chooses parameters of `init`, which is not given";
        fields.mistake("init_only", what);
    } else if is_given && only.is_empty() && !fields.is_wrong("init_only") {
        let what = "is empty; name parameters, such as `net.0.*`, or leave it out for all";
        fields.mistake("init_only", what);
    }
    (init, only)
}

/// Reads `[limits]`.
pub fn limits(fields: &mut Fields) -> LimitArgs {
    let mut table = fields.table("limits");
    let limits = LimitArgs::read(&mut table);
    fields.absorb(table);
    limits
}

/// Reads the text of a file.
///
/// # Errors
/// [`Error::Io`], [`Error::Toml`].
pub fn read(path: &Path) -> Result<String, Error> {
    let text = fedwasm_folder::read_file(path, FILE_BYTES_MAX)?;
    Ok(String::from_utf8(text).map_err(|_| FileMistakes::not_utf8(path))?)
}

/// Parses the text of a file.
///
/// # Errors
/// [`Error::Toml`].
pub fn table(text: &str, path: &Path) -> Result<Table, Error> {
    let wrong = |error: toml::de::Error| FileMistakes::of_toml(path, text.into(), &error);
    Ok(text.parse().map_err(wrong)?)
}
