//! What people and programs read: results on standard output, everything else
//! on standard error.

use std::io::Write as _;

use fedwasm_protocol::printable;
use serde_json::{Value, json};

use crate::command_error::CommandError;

/// Writes results, as text or as JSON Lines. A reader that is gone is no
/// reason to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes a line for people.
    pub(crate) fn line(&self, text: impl std::fmt::Display) {
        if !self.json {
            let _ = writeln!(std::io::stdout(), "{}", clean(&text.to_string()));
        }
    }

    /// Writes an event for programs; `fields` is an object.
    pub(crate) fn event(&self, name: &str, fields: &Value) {
        if self.json {
            self.always(name, fields);
        }
    }

    /// Writes an event even if nobody asked for JSON.
    pub(crate) fn always(&self, name: &str, fields: &Value) {
        let mut object = serde_json::Map::from_iter([("event".to_owned(), json!(name))]);
        if let Value::Object(fields) = fields {
            object.extend(fields.clone());
        }
        let mut stdout = std::io::stdout();
        let _ = writeln!(stdout, "{}", Value::Object(object));
        let _ = stdout.flush();
    }

    /// Writes a remark to standard error.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        let _ = writeln!(std::io::stderr(), "{}", clean(&text.to_string()));
    }

    /// Writes why the command failed.
    pub(crate) fn error(&self, error: &CommandError) {
        self.event("error", &json!({ "message": error.message, "exit_code": error.code }));
        self.note(format!("error: {}", error.message));
    }
}

/// Whatever strangers' words are in a text, it commands no terminal: line by
/// line as [`printable`] has it, but for its length.
fn clean(text: &str) -> String {
    let pieces = |line: &str| {
        let chars: Vec<char> = line.chars().collect();
        let pieces = chars.chunks(1_000).map(|piece| printable(&String::from_iter(piece)));
        pieces.collect::<String>()
    };
    text.split('\n').map(pieces).collect::<Vec<_>>().join("\n")
}
