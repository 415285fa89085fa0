//! `fedwasm evaluate`.

use std::path::{Path, PathBuf};

use fedwasm_artifact::load_plan;
use fedwasm_dataset::Format;
use fedwasm_local::{EvaluateOptions, LocalFile, evaluate};
use fedwasm_protocol::DataArgs;
use fedwasm_record::load_params;
use fedwasm_sandbox::Cancel;
use fedwasm_training::Preprocessing;
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::{print_metrics, sandbox, target};
use crate::printer::Printer;

/// The largest `preprocessing.json`, in bytes.
const PREPROCESSING_BYTES_MAX: u64 = 64 << 20;

/// Score parameters on a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component.
    #[arg(long)]
    plan: PathBuf,
    /// The parameters (.mpk or .safetensors).
    #[arg(long)]
    params: PathBuf,
    /// The data: CSV, Parquet, IDX, NPY or NPZ, or a folder of images; all of
    /// its rows are scored.
    #[arg(long)]
    data: PathBuf,
    /// The format of the data: csv, parquet, idx, npy, npz or images [default: found by the
    /// content].
    #[arg(long = "type")]
    format: Option<Format>,
    /// The column to predict [default: the target in --args].
    #[arg(long)]
    target: Option<String>,
    /// The scales of the inputs [default: preprocessing.json beside the parameters, if it exists].
    #[arg(long)]
    preprocessing: Option<PathBuf>,
    /// A file with [data] and [model], such as that of an experiment [default: history.json beside
    /// the parameters].
    #[arg(long)]
    args: Option<PathBuf>,
}

impl Args {
    /// The file of --args.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.args.clone()
    }
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let component = load_plan(&args.plan)?;
    let run = args.params.parent().unwrap_or(Path::new(""));
    let file = match (&args.args, LocalFile::of_run(run, &component)) {
        (Some(path), _) => LocalFile::read(path)?,
        (None, Some(of_run)) => {
            let history = run.join("history.json");
            printer.note(format!("[data] and [model] are those of {}", history.display()));
            of_run
        }
        (None, None) => LocalFile::default(),
    };
    let target = target(&file, args.target.as_deref(), (&args.data, args.format))?;
    let wants_scales = file.data.as_ref().is_some_and(|data| data.standardize);
    let data = match file.data {
        Some(data) => DataArgs { target, ..data },
        None => DataArgs::of(target),
    };
    let beside = args.params.with_file_name("preprocessing.json");
    let preprocessing = match &args.preprocessing {
        Some(path) => Some(load_preprocessing(path)?),
        None if beside.is_file() => {
            printer.note(format!("inputs are scaled by {}", beside.display()));
            Some(load_preprocessing(&beside)?)
        }
        None if wants_scales => {
            let message = "[data] sets `standardize`, but the scales are missing: give a node's \
                           experiments/ID/preprocessing.json or that of a local run with \
                           --preprocessing, or set `standardize = false`";
            return Err(CommandError::new(USAGE, message));
        }
        None => {
            printer.note("no --preprocessing and no preprocessing.json: inputs are not scaled");
            None
        }
    };
    let is_scaled = preprocessing.is_some();
    let options = EvaluateOptions {
        component,
        sandbox: sandbox(file.strict, printer)?,
        limits: file.limits,
        params: load_params(&args.params)?,
        data: DataArgs { tags: Vec::new(), standardize: false, ..data },
        format: args.format,
        model: file.model,
        parts: vec![(args.data, preprocessing)],
    };
    let evaluation = evaluate(&options, &Cancel::new())?;
    printer.line(format!("rows       {}", evaluation.n_rows));
    print_metrics(&evaluation.metrics, "", printer);
    printer.event(
        "result",
        &json!({
            "plan_sha256": options.component.digest(),
            "n_rows": evaluation.n_rows,
            "scaled": is_scaled,
            "metrics": evaluation.metrics,
        }),
    );
    Ok(())
}

/// Reads a `preprocessing.json`.
pub(crate) fn load_preprocessing(path: &Path) -> Result<Preprocessing, CommandError> {
    let json = fedwasm_folder::read_file(path, PREPROCESSING_BYTES_MAX)?;
    serde_json::from_slice(&json)
        .map_err(|error| CommandError::new(USAGE, format!("{}: {error}", path.display())))
}
