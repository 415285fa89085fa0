//! `fedwasm experiment`.

mod check;
mod show;
mod verify;
pub(in crate::commands) mod view;

use std::path::PathBuf;

use clap::Subcommand;
use fedwasm_artifact::{LoadError, load_plan};
use fedwasm_protocol::seed::random_seed;
use fedwasm_protocol::{Place, printable};
use fedwasm_record::{History, PrivacyRecord, load_history};
use fedwasm_researcher::{
    Breakpoint, Event, ExperimentFile, ExperimentOptions, ExperimentResult, run_experiment,
};
use fedwasm_trust::BUNDLE_BYTES_MAX;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::command_error::{CommandError, USAGE};
use crate::commands::{sandbox, scores};
use crate::printer::Printer;
use crate::progress::Bars;
use crate::stop::stop_signal;
use view::View;

/// Run an experiment on a federation, and show its results.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the experiment that a file describes.
    Run {
        /// The file.
        file: PathBuf,
        /// The directory for params.mpk, params.safetensors, history.json, curve.svg, report.html
        /// and breakpoints.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Continue from the newest breakpoint in --out; from the start without a breakpoint.
        #[arg(long, requires = "out")]
        resume: bool,
        /// With --resume: continue although training arguments, aggregator or strategy in the file
        /// changed; each change goes into the history.
        #[arg(long, requires = "resume")]
        change: bool,
        /// Overwrite the run in --out.
        #[arg(long, requires = "out", conflicts_with = "resume")]
        force: bool,
    },
    /// Check everything short of running an experiment: the file, the plan, the nodes that are
    /// connected and would run it, and the parts that are missing.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Show a finished or running experiment.
    Show {
        /// The directory of the run, its --out.
        dir: PathBuf,
        /// Write an HTML report to this file.
        #[arg(long)]
        html: Option<PathBuf>,
    },
    /// Recompute every round of a finished experiment from the uploads of its nodes.
    Verify {
        /// The directory of the run, its --out, with `keep_uploads = true`.
        dir: PathBuf,
    },
}

impl Command {
    /// The experiment's file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Run { file, .. } | Self::Check { file } => Some(file.clone()),
            Self::Show { .. } | Self::Verify { .. } => None,
        }
    }
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Run { file, out, resume, change, force } => {
            let file = ExperimentFile::read(&file)?;
            if resume && !out.as_ref().is_some_and(|out| out.is_dir()) {
                let out = out.unwrap_or_default();
                let message = format!("{} is not a directory; nothing to resume", out.display());
                return Err(CommandError::new(USAGE, message));
            }
            let file = options(file, printer)?;
            let options = ExperimentOptions { out, resume, change, force, ..file };
            let stop = stop_signal(false)?;
            let result = run_and_show(options.clone(), printer, stop).await?;
            show_end(&result.history, printer);
            printer.line(format!("parameters sha256:{}", result.params_sha256));
            if let Some(out) = &options.out {
                printer.line(format!("files      {}", out.display()));
            }
            let mut fields = result_fields(&result);
            fields["plan_sha256"] = json!(options.component.digest());
            printer.event("result", &fields);
            Ok(())
        }
        Command::Check { file } => check::check(ExperimentFile::read(&file)?, printer).await,
        Command::Show { dir, html } => show::show(&dir, html, printer),
        Command::Verify { dir } => verify::verify(&dir, printer),
    }
}

/// The file and its plan, and nothing else.
pub(in crate::commands) fn options(
    file: ExperimentFile,
    printer: &Printer,
) -> Result<ExperimentOptions, CommandError> {
    let component = load_plan(&file.plan).map_err(|error| match error {
        error @ LoadError::Io(_) => CommandError::from(error).about(Place::Value("plan".into())),
        error => error.into(),
    })?;
    let mut signatures = Vec::new();
    for bundle in fedwasm_trust::bundles_beside(&file.plan)? {
        signatures.push(fedwasm_folder::read_file(&bundle, BUNDLE_BYTES_MAX)?);
    }
    Ok(ExperimentOptions {
        signatures,
        random_seed: seed(&file)?,
        sandbox: sandbox(file.strict, printer)?,
        file,
        component,
        out: None,
        resume: false,
        change: false,
        force: false,
        params: None,
    })
}

/// Epsilon, if the aggregator adds noise; how many nodes took part in the last round, and why the
/// others did not.
pub(in crate::commands) fn show_end(history: &History, printer: &Printer) {
    let Some(last) = history.rounds.last() else { return };
    if let Some(best) = &history.best {
        let (round, metric, value) = (best.at, printable(&best.metric), best.value);
        printer.line(format!("kept       round {round}, the best {metric}: {value:.4}"));
    }
    if let Some(PrivacyRecord { clip, noise_multiplier, epsilon, delta }) = last.privacy {
        let n = history.rounds.len();
        let rounds = if n == 1 { "round" } else { "rounds" };
        printer.line(format!(
            "privacy    epsilon {epsilon:.4} at delta {delta:e} for the update of a node, after {n} \
             {rounds} with noise multiplier {noise_multiplier}, clip {clip}"
        ));
    }
    if let Some(evaluation) = &last.evaluation {
        scores::print_classes(evaluation, printer);
    }
    if history.expected.is_empty() {
        return;
    }
    let (n, all) = (last.nodes.len(), history.expected.len());
    printer.line(format!("nodes      {n} of {all} in the last round"));
    for (node, reason) in history.missing() {
        printer.line(format!("           not {node}: {}", printable(&reason)));
    }
}

/// The seed of the file, or one drawn.
pub(crate) fn seed(file: &ExperimentFile) -> Result<u64, CommandError> {
    Ok(match file.training.random_seed {
        Some(seed) => seed,
        None => random_seed()?,
    })
}

/// Runs an experiment and shows its progress.
pub(crate) async fn run_and_show(
    options: ExperimentOptions,
    printer: &Printer,
    stop: watch::Receiver<bool>,
) -> Result<ExperimentResult, CommandError> {
    let reached = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let mut view = View {
        printer: *printer,
        metric: options.file.training.test_metric,
        rounds: options.file.rounds,
        bars: Bars::default(),
    };
    let count = std::sync::Arc::clone(&reached);
    let mut show = move |event: Event| {
        if let Event::Round(record) = &event {
            count.store(record.round, std::sync::atomic::Ordering::Relaxed);
        }
        view.show(event);
    };
    let out = options.out.clone();
    let strategy = options.file.strategy.clone();
    if out.is_none() {
        printer.note("no --out: only the output on this terminal is kept");
    }
    let result = run_experiment(options, stop, &mut show).await;
    let rounds = reached.load(std::sync::atomic::Ordering::Relaxed);
    // A full disk can be the reason of the failure.
    let is_written = |out: &std::path::Path| {
        load_history(out).is_ok_and(|history| {
            history.status != "running" && history.rounds.len() as u64 >= u64::from(rounds)
        })
    };
    if let (Err(_), Some(out), 1..) = (&result, out.as_ref().filter(|out| is_written(out)), rounds)
    {
        let dir = out.display();
        printer.note(format!("the parameters after round {rounds} are in {dir}"));
        if Breakpoint::exist(out) {
            printer.note("go on with the same command and --resume");
        }
    }
    result.map_err(|error| CommandError::of_experiment(error, &strategy))
}

/// The fields that a result has in JSON.
pub(crate) fn result_fields(result: &ExperimentResult) -> Value {
    let metrics = result.evaluation.as_ref().map(|evaluation| evaluation.metrics.clone());
    json!({
        "params_sha256": result.params_sha256,
        "metrics": metrics.unwrap_or_default(),
        "scores": scores::fields(result.evaluation.as_ref()),
        "rounds": result.history.rounds.len(),
        "nodes": result.nodes,
        "nodes_expected": result.history.expected,
        "missing": result.history.missing(),
        "status": result.history.status,
        "random_seed": result.history.random_seed,
        "privacy": result.history.rounds.last().and_then(|round| round.privacy),
        "best": result.history.best,
    })
}
