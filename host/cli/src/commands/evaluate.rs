//! `fedwasm evaluate`.

use std::path::{Path, PathBuf};

use fedwasm_artifact::load_plan;
use fedwasm_dataset::Format;
use fedwasm_local::{
    EvaluateOptions, EvaluateRows, LocalFile, UsableModel, evaluate, load_preprocessing,
};
use fedwasm_protocol::{DataArgs, Digest, Evaluation, Standardize};
use fedwasm_record::load_params;
use fedwasm_sandbox::Cancel;
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::rename::Rename;
use crate::commands::{read_volumes, sandbox, scores, target};
use crate::printer::Printer;

/// Score a model, or parameters, on a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of a model, or of the run that it is in: plan, parameters, columns and scales
    /// are those of the model.
    #[arg(conflicts_with_all = ["plan", "params", "target", "args"])]
    model: Option<PathBuf>,
    /// The component, without a model.
    #[arg(long, required_unless_present = "model")]
    plan: Option<PathBuf>,
    /// The parameters (.mpk or .safetensors), without a model.
    #[arg(long, required_unless_present = "model")]
    params: Option<PathBuf>,
    /// The data: CSV, Parquet, IDX, NPY or NPZ, or a folder of images or of
    /// subjects with volumes; all of its rows are scored.
    #[arg(long)]
    data: PathBuf,
    /// The format of the data: csv, parquet, idx, npy, npz, images, tar, medical or bids
    /// [default: found by the content].
    #[arg(long = "type")]
    format: Option<Format>,
    /// A TOML file with how volumes are read: shape, spacing, windows, the table of subjects
    /// [default: as the model says].
    #[arg(long)]
    volumes: Option<PathBuf>,
    #[command(flatten)]
    rename: Rename,
    /// The column to predict [default: the target in --args].
    #[arg(long)]
    target: Option<String>,
    /// The scales of the inputs [default: those of the model, or preprocessing.json beside the
    /// parameters, if it exists].
    #[arg(long, alias = "scales")]
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
    match (&args.model, &args.plan, &args.params) {
        (Some(model), ..) => of_model(model, &args, printer),
        (None, Some(plan), Some(params)) => of_params(plan, params, &args, printer),
        // The parser asks for both.
        _ => Err(CommandError::new(USAGE, "name a model, or --plan and --params")),
    }
}

/// Scores the model of a run.
fn of_model(model: &Path, args: &Args, printer: &Printer) -> Result<(), CommandError> {
    let scales = args.preprocessing.as_deref().map(load_preprocessing).transpose()?;
    let model = UsableModel::open(model, scales, &sandbox(false, printer)?)?;
    let rows = EvaluateRows {
        path: args.data.clone(),
        format: args.format,
        volumes: args.volumes.as_deref().map(|path| read_volumes(Some(path))).transpose()?,
        renames: args.rename.read()?,
    };
    let evaluation = model.evaluate(rows, &Cancel::new())?;
    let is_scaled = model.scales()?.is_some();
    show(&evaluation, model.component.digest(), is_scaled, printer);
    Ok(())
}

/// Scores parameters of a plan.
fn of_params(
    plan: &Path,
    params: &Path,
    args: &Args,
    printer: &Printer,
) -> Result<(), CommandError> {
    let component = load_plan(plan)?;
    let run = params.parent().unwrap_or(Path::new(""));
    let file = match (&args.args, LocalFile::of_run(run, &component)) {
        (Some(path), _) => LocalFile::read(path)?,
        (None, Some(of_run)) => {
            let history = run.join("history.json");
            printer.note(format!("[data] and [model] are those of {}", history.display()));
            of_run
        }
        (None, None) => LocalFile::default(),
    };
    let volumes = read_volumes(args.volumes.as_deref())?;
    let renames = args.rename.read()?;
    let data = (&*args.data, args.format, &volumes, &renames);
    let target = target(&file, args.target.as_deref(), data)?;
    let wants_scales = file.data.as_ref().is_some_and(|data| data.standardize != Standardize::None);
    let data = match file.data {
        Some(data) => DataArgs { target, ..data },
        None => DataArgs::of(target),
    };
    let beside = params.with_file_name("preprocessing.json");
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
        params: load_params(params)?,
        data: DataArgs { tags: Vec::new(), standardize: Standardize::None, ..data },
        format: args.format,
        volumes,
        renames,
        model: file.model,
        parts: vec![(args.data.clone(), preprocessing)],
    };
    let evaluation = evaluate(&options, &Cancel::new())?;
    show(&evaluation, options.component.digest(), is_scaled, printer);
    Ok(())
}

fn show(evaluation: &Evaluation, plan: Digest, is_scaled: bool, printer: &Printer) {
    printer.line(format!("rows       {}", evaluation.n_rows));
    scores::print(evaluation, "", printer);
    printer.event(
        "result",
        &json!({
            "plan_sha256": plan,
            "n_rows": evaluation.n_rows,
            "scaled": is_scaled,
            "metrics": evaluation.metrics,
            "scores": scores::fields(Some(evaluation)),
        }),
    );
}
