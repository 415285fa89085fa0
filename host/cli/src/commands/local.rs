//! `fedwasm local`.

use std::path::PathBuf;

use fedwasm_dataset::Format;
use fedwasm_protocol::DataArgs;
use fedwasm_researcher::{
    LocalEvent, LocalFile, LocalJob, LocalOptions, LocalResult, load_params, load_plan,
    random_seed, standard_training,
};
use fedwasm_sandbox::Cancel;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::{blocking, sandbox, target};
use crate::printer::Printer;
use crate::stop::{stop_signal, stopped};

/// Train on a local file, in the sandbox.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component.
    #[arg(long)]
    plan: PathBuf,
    /// The data: CSV, Parquet, IDX, NPY or NPZ, or a folder of images.
    #[arg(long)]
    data: PathBuf,
    /// The format of the data: csv, parquet, idx, npy, npz or images; found by
    /// its content if none.
    #[arg(long = "type")]
    format: Option<Format>,
    /// The column to predict; the one in --args if none.
    #[arg(long)]
    target: Option<String>,
    /// A file with `strict`, [data], [training], [model] and [limits], such as that of an
    /// experiment.
    #[arg(long)]
    args: Option<PathBuf>,
    /// Where all randomness comes from; drawn if none is given anywhere.
    #[arg(long)]
    seed: Option<u64>,
    /// Parameters to start from (.mpk or .safetensors); drawn by the plan if none.
    #[arg(long)]
    params: Option<PathBuf>,
    /// Run the plan in the strict profile: the same result on every machine,
    /// whatever the plan does, and up to three times slower.
    #[arg(long)]
    strict: bool,
    /// Where params.mpk, params.safetensors, preprocessing.json, history.json,
    /// curve.svg and report.html go.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let (cancel, bar) = (Cancel::new(), bar());
    let mut options = options(&args, printer)?;
    options.sandbox = options.sandbox.with_cancel(&cancel);
    let interrupted = stop_signal(false)?;
    let mut job = {
        let (options, cancel, printer) = (options.clone(), cancel.clone(), *printer);
        let bar = bar.clone();
        let events = move |event| show(event, &bar, &printer);
        Box::pin(blocking(move || LocalJob::new(options)?.start_training(events, &cancel)))
    };
    let result = tokio::select! {
        result = &mut job => result,
        () = stopped(interrupted) => {
            cancel.cancel();
            job.await
        }
    };
    bar.finish_and_clear();
    print(&options, &result??, printer);
    Ok(())
}

fn options(args: &Args, printer: &Printer) -> Result<LocalOptions, CommandError> {
    let file = match &args.args {
        Some(path) => LocalFile::read(path)?,
        None => LocalFile::default(),
    };
    if !file.unused.is_empty() {
        let unused = file.unused.join(", ");
        printer.note(format!("a local job is one round; not used: {unused}"));
    }
    let target = target(&file, args.target.as_deref())?;
    let data = match file.data {
        Some(data) => DataArgs { target, ..data },
        None => DataArgs::of(target),
    };
    let mut training = match file.training {
        Some(training) => training,
        None => {
            printer
                .note("no [training]: 10 epochs, batches of 32 rows, a fifth of the rows held out");
            standard_training()?
        }
    };
    if training.test_ratio == 0.0 {
        printer.note("no rows are held out (test_ratio is 0), so there is nothing to score");
    }
    if training.use_gpu {
        printer.note("warning: `use_gpu` is true, but plans run on the CPU");
    }
    let seed = match args.seed.or(training.random_seed) {
        Some(seed) if seed > i64::MAX as u64 => {
            return Err(CommandError::new(USAGE, format!("--seed {seed} is more than 2^63 - 1")));
        }
        Some(seed) => seed,
        None => random_seed()?,
    };
    training.random_seed = Some(seed);
    Ok(LocalOptions {
        component: load_plan(&args.plan)?,
        sandbox: sandbox(args.strict || file.strict, printer)?,
        limits: file.limits,
        path: args.data.clone(),
        format: args.format,
        data,
        training,
        model: file.model,
        params: args.params.as_deref().map(load_params).transpose()?,
        out: args.out.clone(),
        random_seed: seed,
    })
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = "{bar:32} {pos}/{len} steps  {per_sec}  {msg}";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn show(event: LocalEvent, bar: &ProgressBar, printer: &Printer) {
    match event {
        LocalEvent::Ready { n_train, n_test } => {
            printer.event("ready", &json!({ "n_train": n_train, "n_test": n_test }));
        }
        LocalEvent::Step { step, steps_max, loss } => {
            bar.set_length(steps_max);
            bar.set_position(step);
            if let Some(loss) = loss {
                bar.set_message(format!("loss {loss:.4}"));
            }
        }
        LocalEvent::Log(level, line) => {
            bar.suspend(|| printer.note(format!("plan ({level:?}): {line}")))
        }
    }
}

fn print(options: &LocalOptions, result: &LocalResult, printer: &Printer) {
    let plan = &result.history.plan;
    let n_test = result.evaluation.as_ref().map_or(0, |evaluation| evaluation.n_rows);
    let record = result.history.rounds.first().and_then(|round| round.nodes.values().next());
    let (n_train, n_steps) = record.map_or((0, 0), |node| (node.n_samples, node.n_steps));
    printer.line(format!("plan       {} {}  sha256:{}", plan.name, plan.version, plan.sha256));
    printer.line(format!("data       {n_train} rows to train on, {n_test} held out"));
    printer.line(format!("trained    {n_steps} steps, seed {}", options.random_seed));
    if let Some(loss) = record.and_then(|node| node.train_loss) {
        printer.line(format!("loss       {loss:.4} (mean over training)"));
    }
    for (name, value) in result.evaluation.iter().flat_map(|evaluation| &evaluation.metrics) {
        printer.line(format!("{name:<10} {value:.4} (held-out rows)"));
    }
    printer.line(format!("parameters sha256:{}", result.params_sha256));
    if let Some(dir) = &options.out {
        printer.line(format!("files      {}", dir.display()));
    }
    let metrics = result.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
    printer.event(
        "result",
        &json!({
            "plan_sha256": plan.sha256,
            "params_sha256": result.params_sha256,
            "metrics": metrics.cloned().unwrap_or_default(),
            "rounds": 1,
            "random_seed": options.random_seed,
            "n_train": n_train,
            "n_test": n_test,
            "n_steps": n_steps,
        }),
    );
}
