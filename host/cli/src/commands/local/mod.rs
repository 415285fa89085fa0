//! `fedwasm local`.

mod several;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_artifact::load_plan;
use fedwasm_dataset::Format;
use fedwasm_local::{
    LocalEvent, LocalFile, LocalJob, LocalOptions, LocalResult, resumed_seed, standard_training,
};
use fedwasm_protocol::DataArgs;
use fedwasm_protocol::seed::random_seed;
use fedwasm_sandbox::Cancel;
use fedwasm_training::Fold;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::rename::Rename;
use crate::commands::start::Start;
use crate::commands::{blocking, read_volumes, sandbox, scores, target};
use crate::printer::Printer;
use crate::stop::on_each_stop;

use self::several::{columns, columns_of, is_whole, name_of, print_run, print_spread};

/// Train on a local file, in the sandbox.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component.
    #[arg(long)]
    plan: PathBuf,
    /// The data: a CSV, Parquet, .npy or .npz file, IDX files such as MNIST's, or a folder of
    /// images or of subjects with volumes.
    #[arg(long)]
    data: PathBuf,
    /// The format of the data: csv, parquet, idx, npy, npz, images, tar, medical or bids
    /// [default: found by the content].
    #[arg(long = "type")]
    format: Option<Format>,
    /// A TOML file with how volumes are read: shape, spacing, windows, the table of subjects.
    #[arg(long)]
    volumes: Option<PathBuf>,
    #[command(flatten)]
    rename: Rename,
    /// The column to predict [default: the target in --args].
    #[arg(long)]
    target: Option<String>,
    /// A file with `strict`, [data], [training], [model] and [limits], such as that of an
    /// experiment.
    #[arg(long)]
    args: Option<PathBuf>,
    /// The seed of all randomness [default: the seed in --args, or a random one].
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    start: Start,
    /// Run the plan in the strict profile: the same result on every machine for every plan, and up
    /// to three times slower.
    #[arg(long)]
    strict: bool,
    /// The directory for params.mpk, params.safetensors, preprocessing.json, history.json,
    /// curve.svg, report.html, event files for TensorBoard and a checkpoint.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Continue the run in --out: with more epochs, or after an interruption.
    #[arg(long, requires = "out", conflicts_with_all = ["params", "init", "repeat"])]
    resume: bool,
    /// Overwrite the run in --out.
    #[arg(long, requires = "out", conflicts_with = "resume")]
    force: bool,
    /// Run this many times, with this seed and those that follow it, and show mean and deviation.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..=1000), conflicts_with = "folds")]
    repeat: Option<u32>,
    /// Cross-validate: run this many times, each time with another part of the rows held out.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..=100), conflicts_with = "resume")]
    folds: Option<u32>,
}

impl Args {
    /// The file of --args.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.args.clone()
    }
}

pub(crate) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let (cancel, stop, bar) = (Cancel::new(), Cancel::new(), bar());
    // Before training there is no progress that could be kept.
    let is_training = Arc::new(AtomicBool::new(false));
    let mut options = options(&args, printer)?;
    options.sandbox = options.sandbox.with_cancel(&cancel);
    options.stop = stop.clone();
    {
        let (cancel, stop, bar, printer) = (cancel.clone(), stop.clone(), bar.clone(), *printer);
        let is_training = Arc::clone(&is_training);
        on_each_stop(move |nth| match nth {
            1 if is_training.load(Ordering::Relaxed) => {
                stop.cancel();
                let text = "stopping after this batch; interrupt again to discard the progress";
                bar.suspend(|| printer.note(text));
            }
            _ => cancel.cancel(),
        })?;
    }
    let runs = runs(&args, &options);
    let warned = Warned { several: runs.len() > 1, told: Arc::default() };
    if let [only] = &runs[..] {
        let result = train(only.clone(), &bar, &cancel, &is_training, &warned, printer).await?;
        print(only, &result, printer);
        return Ok(());
    }
    let (mut scores, mut table, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (nth, run) in runs.iter().enumerate() {
        if stop.is_cancelled() {
            break;
        }
        let result = train(run.clone(), &bar, &cancel, &is_training, &warned, printer).await?;
        let metrics = result.evaluation.as_ref().map(|evaluation| evaluation.metrics.clone());
        let metrics = metrics.unwrap_or_default();
        if nth == 0 {
            names = columns(&metrics);
            let headings: Vec<&str> =
                ["run"].into_iter().chain(names.iter().map(String::as_str)).collect();
            printer.line(columns_of(&names).line(&headings));
        }
        table.push(print_run(&names, run, &result, &metrics, printer));
        // Half a run is not a sample.
        if is_whole(&result) {
            scores.push(metrics);
        }
    }
    let mut summary = print_spread(&names, &options, runs.len(), &scores, printer);
    if let Some(out) = &options.out {
        summary["table"] = json!(table);
        let json = serde_json::to_vec_pretty(&summary).map_err(std::io::Error::from)?;
        fedwasm_folder::write_file(&out.join("summary.json"), &json)?;
        printer.line(format!("files      {}", out.display()));
    }
    printer.event("result", &summary);
    Ok(())
}

/// The requested runs; the directories of several are inside one.
fn runs(args: &Args, options: &LocalOptions) -> Vec<LocalOptions> {
    let within = |name: String| options.out.as_ref().map(|out| out.join(name));
    match (args.repeat, args.folds) {
        (Some(count), _) => (0..u64::from(count))
            .map(|nth| {
                let seed = options.random_seed.wrapping_add(nth) & i64::MAX as u64;
                let out = within(format!("seed-{seed}"));
                let mut run = LocalOptions { random_seed: seed, out, ..options.clone() };
                run.training.random_seed = Some(seed);
                run
            })
            .collect(),
        (None, Some(count)) => (1..=count)
            .map(|index| {
                let (fold, out) = (Some(Fold { index, count }), within(format!("fold-{index}")));
                LocalOptions { fold, out, ..options.clone() }
            })
            .collect(),
        (None, None) => vec![options.clone()],
    }
}

async fn train(
    options: LocalOptions,
    bar: &ProgressBar,
    cancel: &Cancel,
    is_training: &Arc<AtomicBool>,
    warned: &Warned,
    printer: &Printer,
) -> Result<LocalResult, CommandError> {
    let (cancel, printer, shown) = (cancel.clone(), *printer, bar.clone());
    let mut told = Told::default();
    if warned.several {
        bar.set_prefix(format!("{}  ", name_of(&options)));
    }
    let (is_training, warned, name) = (Arc::clone(is_training), warned.clone(), name_of(&options));
    let events = move |event| {
        is_training.store(true, Ordering::Relaxed);
        match event {
            LocalEvent::Warning(text) => warned.show(&text, &name, &shown, &printer),
            event => show(event, &shown, &mut told, &printer),
        }
    };
    let result = blocking(move || LocalJob::new(options)?.start_training(events, &cancel)).await;
    bar.finish_and_clear();
    Ok(result??)
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
    let volumes = read_volumes(args.volumes.as_deref())?;
    let renames = args.rename.read()?;
    let data = (&*args.data, args.format, &volumes, &renames);
    let target = target(&file, args.target.as_deref(), data)?;
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
    if training.test_ratio == 0.0 && args.folds.is_none() {
        printer.note("no rows are held out (test_ratio is 0), so nothing is scored");
    }
    if training.use_gpu {
        printer.note("warning: `use_gpu` is true, but plans run on the CPU");
    }
    let seed = match args.seed.or(training.random_seed) {
        Some(seed) if seed > i64::MAX as u64 => {
            return Err(CommandError::new(USAGE, format!("--seed {seed} is larger than 2^63 - 1")));
        }
        Some(seed) => seed,
        None => match args.out.as_deref().filter(|_| args.resume).and_then(resumed_seed) {
            Some(seed) => seed,
            None => random_seed()?,
        },
    };
    training.random_seed = Some(seed);
    let (params, init_only) = args.start.params(file.init.as_deref(), file.init_only)?;
    Ok(LocalOptions {
        component: load_plan(&args.plan)?,
        sandbox: sandbox(args.strict || file.strict, printer)?,
        limits: file.limits,
        path: args.data.clone(),
        format: args.format,
        volumes,
        renames,
        data,
        training,
        model: file.model,
        params,
        init_only,
        out: args.out.clone(),
        random_seed: seed,
        local: file.local,
        fold: None,
        resume: args.resume,
        force: args.force,
        stop: Cancel::new(),
    })
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = "{prefix}{bar:32} {pos}/{len} steps  {per_sec}  {eta}  {msg}";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

/// Warnings that were shown: several runs on the same data have the same.
#[derive(Clone, Debug)]
struct Warned {
    several: bool,
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl Warned {
    fn show(&self, text: &str, run: &str, bar: &ProgressBar, printer: &Printer) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.insert(text.to_owned()) {
            return;
        }
        printer.event("warning", &json!({ "message": text, "run": run }));
        let run = if self.several { format!("{run}: ") } else { String::new() };
        bar.suspend(|| printer.note(format!("warning: {run}{text}")));
    }
}

/// The warnings that were already shown.
#[derive(Debug, Default)]
struct Told {
    per_epoch: u64,
    /// Tenths of the work.
    tenths: u64,
    /// A score of the last epoch that has some.
    held_out: String,
}

fn show(event: LocalEvent, bar: &ProgressBar, told: &mut Told, printer: &Printer) {
    match event {
        LocalEvent::Ready { n_train, n_test, per_epoch: of_epoch, batches } => {
            bar.reset();
            told.per_epoch = of_epoch;
            let ready = json!({ "n_train": n_train, "n_test": n_test, "batches": batches });
            printer.event("ready", &ready);
            if batches > 0 {
                printer.note(format!("continuing after {batches} batches"));
            }
        }
        LocalEvent::Step { step, steps_max, loss } => {
            bar.set_length(steps_max);
            bar.set_position(step);
            let epoch = step.div_ceil(told.per_epoch.max(1));
            let epochs = steps_max.div_ceil(told.per_epoch.max(1));
            let loss = loss.map_or(String::new(), |loss| format!("  loss {loss:.4}"));
            let text = format!("epoch {epoch}/{epochs}{loss}{}", told.held_out);
            // Without a terminal, a line at every tenth of the work.
            let tenths = (10 * u128::from(step) / u128::from(steps_max.max(1))) as u64;
            if bar.is_hidden() && tenths > told.tenths {
                told.tenths = tenths;
                printer.note(format!("{}step {step}/{steps_max}  {text}", bar.prefix()));
            }
            bar.set_message(text);
        }
        LocalEvent::Validated { record, is_best } => {
            let metrics = &record.evaluation.metrics;
            let shown = metrics.get_key_value("loss").or_else(|| metrics.first_key_value());
            told.held_out = shown.map_or(String::new(), |(name, value)| {
                format!("  held-out {name} {value:.4} after epoch {}", record.epoch)
            });
            let fields = json!({
                "epoch": record.epoch, "step": record.step, "metrics": metrics, "best": is_best,
                "run": bar.prefix().trim_end(),
            });
            printer.event("validated", &fields);
        }
        LocalEvent::Warning(_) => {}
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
    if let Some(reason) = &result.enough {
        printer.line(format!("enough     {reason}"));
    }
    if let Some(best) = &result.best {
        let (epoch, metric, value) = (best.at, &best.metric, best.value);
        printer.line(format!("kept       epoch {epoch}, the best {metric}: {value:.4}"));
    }
    if let Some(loss) = record.and_then(|node| node.train_loss) {
        printer.line(format!("loss       {loss:.4} (mean over training)"));
    }
    if let Some(evaluation) = &result.evaluation {
        scores::print(evaluation, " (held-out rows)", printer);
    }
    printer.line(format!("parameters sha256:{}", result.params_sha256));
    if let Some(dir) = &options.out {
        printer.line(format!("files      {}", dir.display()));
    }
    let is_stopped = !is_whole(result);
    if is_stopped {
        let (done, all) = (result.batches, result.batches_max);
        let on = if options.out.is_some() { "; --resume goes on" } else { "" };
        printer.line(format!("stopped    after {done} of {all} batches{on}"));
    }
    let metrics = result.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
    printer.event(
        "result",
        &json!({
            "plan_sha256": plan.sha256,
            "params_sha256": result.params_sha256,
            "metrics": metrics.cloned().unwrap_or_default(),
            "scores": scores::fields(result.evaluation.as_ref()),
            "rounds": 1,
            "random_seed": options.random_seed,
            "n_train": n_train,
            "n_test": n_test,
            "n_steps": n_steps,
            "batches": result.batches,
            "stopped": is_stopped,
            "enough": result.enough,
            "best": result.best,
        }),
    );
}
