//! Output for people and programs: results on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};

use fedwasm_protocol::{printable, printable_json};
use serde_json::{Value, json};

use fedwasm_explain::Explained;

use crate::command_error::CommandError;
use crate::drawing;

/// Writes results, as text or as JSON Lines. A reader that is gone does not stop the command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether output is for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.json
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

    /// Writes an event as JSON even without --json.
    pub(crate) fn always(&self, name: &str, fields: &Value) {
        let mut object = serde_json::Map::from_iter([("event".to_owned(), json!(name))]);
        if let Value::Object(fields) = fields {
            object.extend(fields.clone());
        }
        let mut stdout = std::io::stdout();
        let line = printable_json(&Value::Object(object).to_string());
        let _ = writeln!(stdout, "{line}");
        let _ = stdout.flush();
    }

    /// Writes a remark to standard error.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        let _ = writeln!(std::io::stderr(), "{}", clean(&text.to_string()));
    }

    /// Writes the reason why the command failed.
    pub(crate) fn error(&self, error: &CommandError) {
        let Explained { kind, message, place, help, file, .. } = &**error;
        let mut fields = json!({ "message": message, "exit_code": *kind as u8 });
        for (key, text) in [("place", place), ("help", help)] {
            if let Some(text) = text {
                fields[key] = json!(text);
            }
        }
        let first = file.as_ref().and_then(|file| {
            let range = file.found().iter().find_map(|found| found.range.as_ref())?;
            Some((drawing::place(file, range), file.line_and_column(range.start)))
        });
        if let Some((place, (line, column))) = first {
            fields["place"] = json!(place);
            fields["line"] = json!(line);
            fields["column"] = json!(column);
        }
        self.event("error", &fields);
        if let Some(file) = file {
            let drawn = drawing::draw(file, help.as_deref(), is_coloured());
            let _ = writeln!(std::io::stderr(), "{drawn}");
            return;
        }
        self.note(format!("error: {message}"));
        if let Some(place) = place {
            self.note(format!(" --> {place}"));
        }
        if let Some(help) = help {
            self.note(format!("  = help: {help}"));
        }
    }
}

/// Whether standard error is a terminal, and colours are wanted (<https://no-color.org>).
fn is_coloured() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !is_unwanted
}

/// Removes control characters from foreign text, so that it cannot control a terminal: as
/// [`printable`] does, line by line, without its bound on length.
pub(crate) fn clean(text: &str) -> String {
    let pieces = |line: &str| {
        let chars: Vec<char> = line.chars().collect();
        let pieces = chars.chunks(1_000).map(|piece| printable(&String::from_iter(piece)));
        pieces.collect::<String>()
    };
    text.split('\n').map(pieces).collect::<Vec<_>>().join("\n")
}

/// A time as `2026-11-23 06:36:43`, in UTC.
pub(crate) fn utc(time_ms: u64) -> String {
    let seconds = time_ms / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    // Days since 0000-03-01 in eras of 400 years, as Howard Hinnant's `civil_from_days`.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_000, "2000-02-28 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_795_415_803_000, "2026-11-23 06:36:43"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }
}
