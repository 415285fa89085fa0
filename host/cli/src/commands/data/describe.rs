//! `fedwasm data describe`.

use std::path::{Path, PathBuf};

use fedwasm_dataset::{ColumnLook, Format, Look, LookKind, Proposal};
use fedwasm_protocol::{Day, MISSING_WORDS};
use fedwasm_transport::now_ms;
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::commands::rename::Rename;
use crate::commands::{blocking, read_volumes};
use crate::printer::Printer;

/// The most columns of a table that are shown one by one; with --json all are.
const COLUMNS_SHOWN: usize = 200;
/// How many values of a category are shown.
const VALUES_SHOWN: usize = 6;
/// The longest value that is shown whole, in characters.
const VALUE_CHARS: usize = 24;

/// Show what the columns of a file are, and propose rules that make numbers of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The data: CSV, Parquet, IDX, NPY or NPZ, or a folder of images or of
    /// subjects with volumes.
    file: PathBuf,
    /// The column to predict [default: a guess].
    #[arg(long)]
    target: Option<String>,
    /// The format of the data: csv, parquet, idx, npy, npz, images, tar, medical or bids
    /// [default: found by the content].
    #[arg(long = "type")]
    format: Option<Format>,
    #[command(flatten)]
    rename: Rename,
    /// A TOML file with how volumes are read: shape, spacing, windows, the table of subjects.
    #[arg(long)]
    volumes: Option<PathBuf>,
}

pub(super) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let Args { file, target, format, rename, volumes } = args;
    let volumes = read_volumes(volumes.as_deref())?;
    let (path, renames) = (file.clone(), rename.read()?);
    let words = MISSING_WORDS.map(str::to_owned).to_vec();
    let look =
        blocking(move || Look::of(&path, format, &volumes, &renames, words, u64::MAX)).await?;
    let look = look.map_err(fedwasm_training::Error::from)?;
    if let Some(target) = &target
        && !look.columns.iter().any(|column| column.name == *target)
    {
        let names: Vec<&str> = look.columns.iter().map(|column| column.name.as_str()).collect();
        let hint = fedwasm_protocol::suggestion(&names, target);
        let hint = hint.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let text = format!("{}: there is no column `{target}`{hint}", file.display());
        return Err(CommandError::new(USAGE, text));
    }
    let proposal = look.propose(target.as_deref());
    let remarks = look.remarks(Some(today()));
    printer.event("result", &fields(&file, &look, &remarks, &proposal));
    print(&file, &look, &remarks, &proposal, printer);
    Ok(())
}

/// This day, in UTC.
fn today() -> Day {
    Day::of_number((now_ms() / 86_400_000) as f64).unwrap_or_default()
}

fn print(file: &Path, look: &Look, remarks: &[String], proposal: &Proposal, printer: &Printer) {
    let n = look.columns.len();
    printer.line(format!("{}: {} rows, {n} columns\n", file.display(), look.n_rows));
    let mut rows = vec![["column", "kind", "missing", "different", "values"].map(str::to_owned)];
    rows.extend(look.columns.iter().take(COLUMNS_SHOWN).map(row));
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    Columns::new(2).left(0).left(0).right(0).right(0).left(0).print(&rows, printer);
    if n > COLUMNS_SHOWN {
        printer.line(format!("... and {} more columns; --json has all", n - COLUMNS_SHOWN));
    }
    if !remarks.is_empty() {
        printer.line("\nRemarks");
        remarks.iter().take(COLUMNS_SHOWN).for_each(|remark| printer.line(format!("- {remark}")));
    }
    printer.line("\nProposed for experiment.toml, to be read before it is used:\n");
    printer.line(proposal.to_string().trim_end());
    for obstacle in &proposal.obstacles {
        printer.line(format!("\n# First mend the file: {obstacle}"));
    }
}

fn row(column: &ColumnLook) -> [String; 5] {
    let ColumnLook { name, n_missing, n_distinct, has_more, .. } = column;
    let is_array = matches!(column.kind, LookKind::Array { .. } | LookKind::Unread { .. });
    let n_different = match (is_array, has_more) {
        (true, _) => String::new(),
        (false, true) => format!("> {n_distinct}"),
        (false, false) => n_distinct.to_string(),
    };
    let missing: Vec<String> = column
        .missing
        .iter()
        .map(|(word, _)| if word.is_empty() { "empty".to_owned() } else { word.clone() })
        .collect();
    let missing = match *n_missing {
        0 => String::new(),
        n => format!("{n} ({})", missing.join(", ")),
    };
    [name.clone(), kind(column), missing, n_different, values(column)]
}

fn kind(column: &ColumnLook) -> String {
    match &column.kind {
        LookKind::Number { decimal: '.', thousands: None } => "number".to_owned(),
        LookKind::Number { decimal, thousands: None } => format!("number, decimal `{decimal}`"),
        LookKind::Number { decimal, thousands: Some(thousands) } => {
            format!("number, decimal `{decimal}`, thousands `{thousands}`")
        }
        LookKind::Boolean { .. } => "boolean".to_owned(),
        LookKind::Date { format } => format!("date {}", format.pattern()),
        LookKind::Category => "category".to_owned(),
        LookKind::Text => "text".to_owned(),
        LookKind::Id => "id".to_owned(),
        LookKind::Empty => "empty".to_owned(),
        LookKind::Unread { .. } => "not read".to_owned(),
        LookKind::Array { element, shape } => format!("{element:?} {shape:?}").to_lowercase(),
    }
}

fn values(column: &ColumnLook) -> String {
    if let Some(range) = column.range {
        if matches!(column.kind, LookKind::Date { .. }) {
            let day = |days| Day::of_number(days).unwrap_or_default();
            return format!("{} to {}", day(range.min), day(range.max));
        }
        let (min, max, mean) = (number(range.min), number(range.max), number(range.mean));
        return format!("{min} to {max}, mean {mean}");
    }
    let shown = column.values.iter().take(VALUES_SHOWN);
    let cut = |value: &String| match value.chars().count() {
        0..=VALUE_CHARS => value.clone(),
        _ => value.chars().take(VALUE_CHARS - 3).chain("...".chars()).collect(),
    };
    let shown: Vec<String> = shown.map(|(value, n)| format!("{} ({n})", cut(value))).collect();
    let more = if column.values.len() > VALUES_SHOWN { ", ..." } else { "" };
    if matches!(column.kind, LookKind::Id | LookKind::Text) {
        return String::new();
    }
    format!("{}{more}", shown.join(", "))
}

/// A number with four significant digits, or all digits before the point.
fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !(-4..15).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - magnitude).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn fields(file: &Path, look: &Look, remarks: &[String], proposal: &Proposal) -> Value {
    let column = |column: &ColumnLook| {
        let missing: serde_json::Map<String, Value> =
            column.missing.iter().map(|(word, n)| (word.clone(), json!(n))).collect();
        let range = column
            .range
            .map(|range| json!({ "min": range.min, "max": range.max, "mean": range.mean }));
        json!({
            "name": column.name, "kind": kind(column), "missing": missing,
            "different": column.n_distinct, "has_more": column.has_more, "range": range,
            "values": column.values, "not_of_kind": column.n_odd,
        })
    };
    let columns: Vec<Value> = look.columns.iter().map(column).collect();
    json!({
        "path": file, "rows": look.n_rows, "columns": columns, "remarks": remarks,
        "target": proposal.target, "obstacles": proposal.obstacles,
        "proposal": proposal.to_string(),
    })
}
