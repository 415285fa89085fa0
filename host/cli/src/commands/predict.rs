//! `fedwasm predict`.

use std::io::Write as _;
use std::path::PathBuf;

use fedwasm_dataset::Format;
use fedwasm_local::{PredictRows, UsableModel, load_preprocessing};
use fedwasm_sandbox::Cancel;
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::{read_volumes, sandbox};
use crate::printer::Printer;

/// Predict for the rows of a file with the model of a run.
///
/// The table has a line for each row: its number from 0, the column of --id, the class and the
/// probability of each class, or the value.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the model, or of the run that it is in.
    model: PathBuf,
    /// The data: CSV, Parquet, IDX, NPY or NPZ, or a folder of images or of subjects with volumes; a
    /// target is not needed.
    #[arg(long)]
    data: PathBuf,
    /// The format of the data: csv, parquet, idx, npy, npz, images, tar, medical or bids
    /// [default: found by the content].
    #[arg(long = "type")]
    format: Option<Format>,
    /// A TOML file with how volumes are read, the same as for training.
    #[arg(long)]
    volumes: Option<PathBuf>,
    /// The file for the table: .parquet by its name, otherwise CSV [default: standard output].
    #[arg(long)]
    out: Option<PathBuf>,
    /// A column of the data that is passed through, to tell rows apart.
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Write the scores of the plan as they are, instead of probabilities.
    #[arg(long)]
    scores: bool,
    /// The scales of the inputs (preprocessing.json) instead of those in the model, such as those
    /// of the site that the rows are from.
    #[arg(long, value_name = "FILE")]
    scales: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let scales = args.scales.as_deref().map(load_preprocessing).transpose()?;
    let model = UsableModel::open(&args.model, scales, &sandbox(false, printer)?)?;
    let is_parquet = args.out.as_ref().is_some_and(|out| {
        out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
    });
    let is_csv = args.out.as_ref().is_none_or(|out| {
        out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
    });
    if !is_parquet && !is_csv {
        let text = "--out is neither a .csv nor a .parquet file; name one of them";
        return Err(CommandError::new(USAGE, text));
    }
    let volumes = read_volumes(args.volumes.as_deref())?;
    let (path, format) = (args.data, args.format);
    let rows = PredictRows { path, format, volumes, id: args.id, raw: args.scores };
    let table = model.predict(&rows, &Cancel::new())?;
    let bytes = if is_parquet { table.to_parquet()? } else { table.to_csv()? };
    match &args.out {
        Some(out) => {
            fedwasm_folder::write_file(out, &bytes)?;
            printer.line(format!("rows       {}", table.n_rows()));
            printer.line(format!("file       {}", out.display()));
        }
        None if printer.is_json() => {}
        // A reader that is gone does not stop the command.
        None => drop(std::io::stdout().write_all(&bytes)),
    }
    let columns: Vec<&String> = table.columns.iter().map(|(name, _)| name).collect();
    let about = model.about();
    printer.event(
        "result",
        &json!({
            "plan_sha256": about.plan.sha256,
            "params_sha256": about.params_sha256(),
            "n_rows": table.n_rows(),
            "columns": columns,
            "out": args.out,
        }),
    );
    Ok(())
}
