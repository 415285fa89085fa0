//! `fedwasm node log`: requests, decisions, runs and results that left.

use std::path::PathBuf;

use fedwasm_node::{Database, LogEntry, NodeConfig};
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::CommandError;
use crate::printer::Printer;

/// Entries that are read at once.
const PAGE: u64 = 1_000;

/// Show the log: requests, decisions, runs and results that left.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's directory.
    dir: PathBuf,
    /// Start at this entry.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only entries of this kind, such as `run` or `approved`.
    #[arg(long)]
    kind: Option<String>,
    /// Check that no entry was changed or removed.
    #[arg(long)]
    check: bool,
    /// Check that the log extends this earlier checkpoint.
    #[arg(long)]
    since: Option<PathBuf>,
    /// Write the newest signed checkpoint to this file; keep it elsewhere.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let (config, _) = NodeConfig::open(&args.dir)?;
    let database = Database::open(&args.dir, &config.identity(&args.dir)?)?;
    let keys = fedwasm_node::keys_of(&args.dir)?;
    let (mut checked, mut held) = (None, None);
    if args.check || args.since.is_some() {
        checked = database.check_log(&keys)?;
        database.check_decisions()?;
    }
    if let Some(since) = &args.since {
        let earlier = fedwasm_folder::read_file(since, 1 << 20)?;
        let earlier = database.check_since(&earlier, &keys)?;
        held = Some(earlier);
    }
    if let Some(path) = &args.checkpoint {
        let checkpoint = database.checkpoint()?.unwrap_or_default();
        fedwasm_folder::write_file(path, &checkpoint)?;
        printer.line(format!("checkpoint {}", path.display()));
    }
    let mut from = args.from;
    // A check or a checkpoint prints no list, unless a part is asked for.
    let checks = args.check || args.since.is_some() || args.checkpoint.is_some();
    let mut lists = !checks || args.kind.is_some() || args.from > 0;
    while lists {
        let page = database.log(from, PAGE)?;
        for entry in &page {
            if args.kind.as_ref().is_none_or(|kind| *kind == entry.kind) {
                show(entry, printer);
            }
        }
        match page.last() {
            Some(last) if page.len() as u64 == PAGE => from = last.number + 1,
            _ => lists = false,
        }
    }
    if let Some(checkpoint) = &checked {
        printer.line(format!("whole      {} entries, root {}", checkpoint.size, checkpoint.root));
    }
    if let Some(earlier) = &held {
        let n = earlier.size;
        printer.line(format!("since      its first {n} entries are those of the checkpoint"));
    }
    printer.event("result", &json!({ "checked": checked, "since": held }));
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
    // An entry is shown as it comes, whatever follows.
    let columns = Columns::new(1).right(6).left(19).left(11).left(0);
    let (number, time) = (number.to_string(), crate::printer::utc(*time_ms));
    printer.line(columns.line(&[number, time, kind.clone(), shown.join(" ")]));
}
