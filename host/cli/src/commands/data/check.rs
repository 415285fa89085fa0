//! `fedwasm data check`.

use std::path::{Path, PathBuf};

use fedwasm_dataset::{Check, ColumnCheck, Fault, FaultKind, Format, Place};
use fedwasm_local::LocalFile;
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::commands::rename::Rename;
use crate::commands::{blocking, read_volumes};
use crate::printer::Printer;

/// The most mistakes that are shown one by one; with --json all are.
const SHOWN_MAX: usize = 200;

/// Find all mistakes of a file by the rules of [data], before a plan sees it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The data: CSV, Parquet, IDX, NPY or NPZ, or a folder of images or of
    /// subjects with volumes.
    file: PathBuf,
    /// A file with [data], such as that of an experiment.
    #[arg(long)]
    args: PathBuf,
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

impl Args {
    /// The file of --args.
    pub(super) fn file(&self) -> PathBuf {
        self.args.clone()
    }
}

pub(super) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let Args { file, args, format, rename, volumes } = args;
    let volumes = read_volumes(volumes.as_deref())?;
    let Some(data) = LocalFile::read(&args)?.data else {
        let text = format!("{}: the table [data] is missing", args.display());
        return Err(CommandError::new(USAGE, text));
    };
    let (path, renames) = (file.clone(), rename.read()?);
    let check = blocking(move || Check::of(&path, format, &volumes, &renames, &data)).await?;
    let check = check.map_err(fedwasm_training::Error::from)?;
    printer.event("result", &fields(&file, &check));
    let rows = mistakes(&check);
    match check.n_mistakes() {
        0 => {
            print_treatment(&file, &check, printer);
            Ok(())
        }
        n => {
            Columns::new(2)
                .left(0)
                .right(0)
                .left(0)
                .left(0)
                .print(&rows[..rows.len().min(SHOWN_MAX)], printer);
            if rows.len() > SHOWN_MAX {
                printer.line(format!("... and {} more; --json has all", rows.len() - SHOWN_MAX));
            }
            let text = format!(
                "{} does not fit [data] of {}: {n} mistakes in {} rows",
                file.display(),
                args.display(),
                check.n_rows + check.n_ragged,
            );
            Err(CommandError::new(USAGE, text))
        }
    }
}

/// A line for each kind of mistakes of a column.
fn mistakes(check: &Check) -> Vec<Vec<String>> {
    let head = ["column", "cells", "mistake", "first at"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    let of_file = |text: &String| vec![String::new(), String::new(), text.clone(), String::new()];
    rows.extend(check.mistakes.iter().map(of_file));
    if check.n_ragged > 0 {
        let lines = check.ragged.iter().map(|(line, n)| format!("{line} ({n} cells)"));
        let lines = format!("line {}", lines.collect::<Vec<_>>().join(", "));
        let text = "rows with another number of cells than the header".to_owned();
        rows.push(vec![String::new(), check.n_ragged.to_string(), text, lines]);
    }
    for column in &check.columns {
        for (kind, fault) in &column.faults {
            let text = format!("{}{}", words(*kind), texts(fault));
            rows.push(vec![column.name.clone(), fault.n.to_string(), text, places(&fault.places)]);
        }
    }
    rows
}

/// A kind of mistakes, and what to do.
fn words(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::NoTarget => "the target is missing; take these rows out",
        FaultKind::Missing => "missing, and the column has no `impute`",
        FaultKind::NotANumber => "not a number",
        FaultKind::Unknown => "not one of `values`",
        FaultKind::NotATruth => "neither true nor false",
        FaultKind::NotADate => "not a date of the `format`",
        FaultKind::NoLogarithm => "1 + x has no logarithm; `clip` keeps x above -1",
        FaultKind::NotUtf8 => "not UTF-8",
        FaultKind::Unread => "",
    }
}

/// The cells, and how often each occurs.
fn texts(fault: &Fault) -> String {
    if fault.texts.is_empty() {
        return String::new();
    }
    let shown: Vec<String> =
        fault.texts.iter().map(|(text, n)| format!("`{text}` ({n})")).collect();
    let named: u64 = fault.texts.values().sum();
    let more = if named < fault.n { ", ..." } else { "" };
    format!(": {}{more}", shown.join(", "))
}

fn places(places: &[Place]) -> String {
    let number = |place: &Place| match place {
        Place::Line(n) | Place::Row(n) => n.to_string(),
    };
    let numbers: Vec<String> = places.iter().map(number).collect();
    match places.first() {
        Some(Place::Line(_)) => format!("line {}", numbers.join(", ")),
        Some(Place::Row(_)) => format!("row {}", numbers.join(", ")),
        None => String::new(),
    }
}

/// Shows how many values a node would impute, clip, or read as another category.
fn print_treatment(file: &Path, check: &Check, printer: &Printer) {
    let n = check.columns.len();
    printer.line(format!(
        "{}: {} rows, {n} columns are used, no mistake",
        file.display(),
        check.n_rows
    ));
    let done = |column: &&ColumnCheck| column.n_imputed + column.n_clipped + column.n_other > 0;
    let mut rows = vec![["column", "imputed", "clipped", "other"].map(str::to_owned).to_vec()];
    for column in check.columns.iter().filter(done) {
        let ColumnCheck { name, n_imputed, n_clipped, n_other, .. } = column;
        let counts = [n_imputed, n_clipped, n_other].map(|n| match n {
            0 => String::new(),
            n => n.to_string(),
        });
        rows.push([vec![name.clone()], counts.to_vec()].concat());
    }
    if rows.len() > 1 {
        Columns::new(2).left(0).right(0).right(0).right(0).print(&rows, printer);
    }
}

fn fields(file: &Path, check: &Check) -> Value {
    let fault = |(kind, fault): (&FaultKind, &Fault)| {
        let place = |place: &Place| match place {
            Place::Line(line) => json!({ "line": line }),
            Place::Row(row) => json!({ "row": row }),
        };
        let places: Vec<Value> = fault.places.iter().map(place).collect();
        json!({
            "mistake": words(*kind), "cells": fault.n, "texts": fault.texts, "places": places,
        })
    };
    let column = |column: &ColumnCheck| {
        let faults: Vec<Value> = column.faults.iter().map(fault).collect();
        json!({
            "name": column.name, "mistakes": faults, "imputed": column.n_imputed,
            "clipped": column.n_clipped, "other": column.n_other,
        })
    };
    let columns: Vec<Value> = check.columns.iter().map(column).collect();
    let ragged: Vec<Value> =
        check.ragged.iter().map(|(line, n)| json!({ "line": line, "cells": n })).collect();
    json!({
        "path": file, "rows": check.n_rows, "n_mistakes": check.n_mistakes(),
        "mistakes": check.mistakes, "ragged": check.n_ragged, "ragged_first": ragged,
        "columns": columns,
    })
}
