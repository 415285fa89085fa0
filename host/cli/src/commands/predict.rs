//! `fedwasm predict`.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use fedwasm_dataset::Format;
use fedwasm_folder::write_file_with;
use fedwasm_local::{
    Error, PredictRows, TableFormat, TableWriter, UsableModel, load_preprocessing,
};
use fedwasm_sandbox::Cancel;
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::rename::Rename;
use crate::commands::{read_volumes, sandbox};
use crate::printer::Printer;

/// Predict for the rows of a file with the model of a run.
///
/// The table has a line for each row: its number from 0, the column of --id, the class and the
/// probability of each class, or the value. Rows are written as they are predicted.
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
    /// A TOML file with how volumes are read [default: as the model says].
    #[arg(long)]
    volumes: Option<PathBuf>,
    #[command(flatten)]
    rename: Rename,
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
    let format = args.out.as_deref().map_or(Some(TableFormat::Csv), TableFormat::of);
    let Some(table_format) = format else {
        let text = "--out is neither a .csv nor a .parquet file; name one of them";
        return Err(CommandError::new(USAGE, text));
    };
    let volumes = args.volumes.as_deref().map(|path| read_volumes(Some(path))).transpose()?;
    let (path, format) = (args.data, args.format);
    let renames = args.rename.read()?;
    let rows = PredictRows { path, format, volumes, renames, id: args.id, raw: args.scores };
    let (mut n_rows, mut columns) = (0, Vec::new());
    let mut write = |into: &mut (dyn Write + Send)| {
        let mut writer = TableWriter::new(into, table_format);
        model.predict(&rows, &Cancel::new(), |table| {
            n_rows += table.n_rows();
            writer.write(&table)?;
            columns = table.columns.into_iter().map(|(name, _)| name).collect();
            Ok(())
        })?;
        writer.finish().map_err(Error::from)
    };
    match &args.out {
        Some(out) => {
            write_file_with(out, write)?;
            printer.line(format!("rows       {n_rows}"));
            printer.line(format!("file       {}", out.display()));
        }
        None if printer.is_json() => write(&mut std::io::sink())?,
        None => match write(&mut std::io::stdout()) {
            // A reader that is gone needs no more rows.
            Err(Error::Io(error)) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written?,
        },
    }
    let about = model.about();
    printer.event(
        "result",
        &json!({
            "plan_sha256": about.plan.sha256,
            "params_sha256": about.params_sha256(),
            "n_rows": n_rows,
            "columns": columns,
            "out": args.out,
        }),
    );
    Ok(())
}
