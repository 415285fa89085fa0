//! `fedwasm node log`: who asked for what, what ran, what left.

use std::path::PathBuf;

use fedwasm_node::{Database, LogEntry, NodeConfig};
use serde_json::{Value, json};

use crate::command_error::CommandError;
use crate::printer::Printer;

/// Entries that are read at once.
const PAGE: u64 = 1_000;

/// Show who asked for what, what was decided, what ran and what left.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's directory.
    dir: PathBuf,
    /// From this entry on.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only entries of this kind, such as `run` or `approved`.
    #[arg(long)]
    kind: Option<String>,
    /// Check that no entry was changed or taken out.
    #[arg(long)]
    check: bool,
    /// Check that the log is still the one of this checkpoint, kept from earlier.
    #[arg(long)]
    since: Option<PathBuf>,
    /// Write the newest signed checkpoint here, to be kept elsewhere.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let (config, _) = NodeConfig::open(&args.dir)?;
    let database = Database::open(&args.dir, &config.identity(&args.dir)?)?;
    let mut checked = None;
    if args.check || args.since.is_some() {
        checked = database.check_log()?;
    }
    if let Some(since) = &args.since {
        let earlier = fedwasm_folder::read_file(since, 1 << 20)?;
        let earlier = database.check_since(&earlier)?;
        printer.line(format!("the first {} entries are those of the checkpoint", earlier.size));
    }
    if let Some(path) = &args.checkpoint {
        let checkpoint = database.checkpoint()?.unwrap_or_default();
        fedwasm_folder::write_file(path, &checkpoint)?;
    }
    let mut from = args.from;
    loop {
        let page = database.log(from, PAGE)?;
        for entry in &page {
            if args.kind.as_ref().is_none_or(|kind| *kind == entry.kind) {
                show(entry, printer);
            }
        }
        match page.last() {
            Some(last) if page.len() as u64 == PAGE => from = last.number + 1,
            _ => break,
        }
    }
    if let Some(checkpoint) = &checked {
        printer.line(format!("whole      {} entries, root {}", checkpoint.size, checkpoint.root));
    }
    printer.event("result", &json!({ "checked": checked }));
    Ok(())
}

fn show(entry: &LogEntry, printer: &Printer) {
    let LogEntry { number, time_ms, kind, fields } = entry;
    let mut event = fields.clone();
    event.insert("number".into(), json!(number));
    event.insert("time_ms".into(), json!(time_ms));
    event.insert("kind".into(), json!(kind));
    printer.event("entry", &Value::Object(event));
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let shown = fields.iter().filter(|(_, value)| !value.is_null());
    let shown: Vec<String> = shown.map(|(key, value)| format!("{key}={}", text(value))).collect();
    printer.line(format!("{number:>6} {} {kind:<11} {}", utc(*time_ms), shown.join(" ")));
}

/// A time as `2026-11-23 06:36:43`, in UTC.
fn utc(time_ms: u64) -> String {
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
