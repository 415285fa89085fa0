//! `fedwasm experiment`.

use std::path::PathBuf;

use clap::Subcommand;
use fedwasm_artifact::load_plan;
use fedwasm_folder::Folder;
use fedwasm_protocol::seed::random_seed;
use fedwasm_protocol::{Metric, Metrics, printable};
use fedwasm_record::{Difference, History, RoundRecord, Verified, load_history, verify_experiment};
use fedwasm_report::report;
use fedwasm_researcher::{
    Checked, Error, Event, ExperimentFile, ExperimentOptions, ExperimentResult, NodeChecked,
    StrategyArgs, check_experiment, needs_out, run_experiment,
};
use fedwasm_trust::BUNDLE_BYTES_MAX;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::command_error::{CommandError, USAGE};
use crate::commands::plan::bundles_beside;
use crate::commands::sandbox;
use crate::printer::Printer;
use crate::progress::Bars;
use crate::stop::stop_signal;

/// Run an experiment on a federation, and look at it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the experiment that a file describes.
    Run {
        /// The file.
        file: PathBuf,
        /// Where params.mpk, params.safetensors, history.json, curve.svg,
        /// report.html and breakpoints go.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Go on from the newest breakpoint in --out; from the start if there
        /// is none yet.
        #[arg(long, requires = "out")]
        resume: bool,
        /// With --resume: go on although the file has other training arguments, another
        /// aggregator or another strategy than before; each change goes into the history.
        #[arg(long, requires = "resume")]
        change: bool,
    },
    /// Do everything short of running an experiment: is the file right, is the plan admitted, who
    /// is there, who would run it, and what is missing?
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Show a finished or running experiment.
    Show {
        /// The directory that was --out.
        dir: PathBuf,
        /// Write an HTML report to this file.
        #[arg(long)]
        html: Option<PathBuf>,
    },
    /// Compute every round of a finished experiment again from what its nodes uploaded.
    Verify {
        /// The directory that was --out, of a run with `keep_uploads = true`.
        dir: PathBuf,
    },
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Run { file, out, resume, change } => {
            let file = ExperimentFile::read(&file)?;
            if resume && !out.as_ref().is_some_and(|out| out.is_dir()) {
                let out = out.unwrap_or_default();
                let message = format!("{} is no directory; nothing to resume", out.display());
                return Err(CommandError::new(USAGE, message));
            }
            let options = ExperimentOptions { out, resume, change, ..options(file, printer)? };
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
        Command::Check { file } => check(ExperimentFile::read(&file)?, printer).await,
        Command::Show { dir, html } => show(&dir, html, printer),
        Command::Verify { dir } => verify(&dir, printer),
    }
}

/// What the file says, with its plan, and nothing else.
fn options(file: ExperimentFile, printer: &Printer) -> Result<ExperimentOptions, CommandError> {
    let component = load_plan(&file.plan)?;
    let mut signatures = Vec::new();
    for bundle in bundles_beside(&file.plan)? {
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
        params: None,
    })
}

async fn check(file: ExperimentFile, printer: &Printer) -> Result<(), CommandError> {
    let (name, rounds, strategy) = (file.name.clone(), file.rounds, file.strategy.clone());
    let needs_out = needs_out(&file, None);
    let checked = check_experiment(options(file, printer)?, stop_signal(false)?).await?;
    let Checked { plan, nodes, strangers, needed, initial_sha256, n_parameters, obstacle } =
        checked;
    printer.line(format!("experiment {}, {rounds} rounds", printable(&name)));
    printer.line(format!("plan       {} {}  sha256:{}", plan.name, plan.version, plan.sha256));
    printer.line(format!("starts     from {n_parameters} numbers, sha256:{initial_sha256}"));
    let mut ready = Vec::new();
    for (node, checked) in &nodes {
        let NodeChecked { dataset_id, n_rows, standing, reason } = checked;
        let data = dataset_id.as_ref().zip(*n_rows);
        let data = data.map_or(String::new(), |(id, rows)| format!("dataset {id}, {rows} rows; "));
        let would = match (reason, standing) {
            (Some(reason), _) => format!("would not: {reason}"),
            (None, Some(standing)) => format!("would run it ({standing})"),
            (None, None) => "would run it".to_owned(),
        };
        printer.line(printable(&format!("{:<10} {data}{would}", node.as_str())));
        if reason.is_none() {
            ready.push(node);
        }
        printer.event(
            "node",
            &json!({
                "node": node, "dataset": dataset_id, "rows": n_rows, "standing": standing,
                "would_run": reason.is_none(), "reason": reason,
            }),
        );
    }
    for (node, reason) in &strangers {
        printer.line(printable(&format!("{:<10} takes no part: {reason}", node.as_str())));
    }
    if let Some(key) = needs_out {
        printer.line(format!("needs      --out DIR, since `{key}` is set"));
    }
    let (n_ready, n_all) = (ready.len(), nodes.len());
    printer.line(format!("a round    needs {needed} nodes; {n_ready} of {n_all} would run it"));
    let strangers =
        strangers.iter().map(|(node, reason)| json!({ "node": node, "reason": reason }));
    printer.event(
        "result",
        &json!({
            "would_run": obstacle.is_none(), "rounds": rounds, "plan_sha256": plan.sha256,
            "initial_sha256": initial_sha256, "parameters": n_parameters, "nodes": ready,
            "nodes_needed": needed, "strangers": strangers.collect::<Vec<_>>(),
            "needs_out": needs_out,
        }),
    );
    match obstacle {
        None => Ok(()),
        Some(error) => Err(not_enough(error, &strategy)),
    }
}

/// Says that fewer nodes can be asked for, where nobody said how many.
fn not_enough(error: Error, strategy: &StrategyArgs) -> CommandError {
    let got = match &error {
        Error::NotEnoughNodes { got, .. } if strategy.min_nodes.is_none() => *got,
        _ => 0,
    };
    let mut error = CommandError::from(error);
    if got > 0 && error.help.is_none() {
        error.help = Some(format!(
            "all nodes that have the data are needed, since `min_nodes` of [strategy] is not given; \
             `min_nodes = {got}` goes on without the others"
        ));
    }
    error
}

/// How many of the nodes took part to the end, and why the others did not.
fn show_end(history: &History, printer: &Printer) {
    let Some(last) = history.rounds.last() else { return };
    if history.expected.is_empty() {
        return;
    }
    let (n, all) = (last.nodes.len(), history.expected.len());
    printer.line(format!("nodes      {n} of {all} in the last round"));
    for (node, reason) in history.missing() {
        printer.line(format!("           not {node}: {}", printable(&reason)));
    }
}

fn verify(dir: &std::path::Path, printer: &Printer) -> Result<(), CommandError> {
    let verified = verify_experiment(dir)?;
    let Verified { rounds, receipts, without_receipt, federation, .. } = &verified;
    printer.line(format!("rounds     {rounds} computed again, each with the same bytes"));
    match federation {
        Some(federation) => {
            printer
                .line(format!("receipts   {receipts} signed by nodes of federation {federation}"));
        }
        None => printer.line("receipts   none: who is who is not known"),
    }
    if *without_receipt > 0 {
        printer.line(format!("           {without_receipt} updates have none"));
    }
    printer.line("");
    printer.line(
        "It proves that the result follows from these uploads, and that nodes signed for those",
    );
    printer.line("that have a receipt: for arguments, samples, losses and scores, too. Whether an upload follows from a node's data is shown at that node, with");
    printer.line("`fedwasm verify RECEIPT --data DIR`.");
    printer.event(
        "result",
        &json!({
            "verified": true, "rounds": rounds, "receipts": receipts,
            "without_receipt": without_receipt, "federation": federation,
            "plan_sha256": verified.plan_sha256, "params_sha256": verified.params_sha256,
        }),
    );
    Ok(())
}

/// The seed of the file, or one drawn.
pub(crate) fn seed(file: &ExperimentFile) -> Result<u64, CommandError> {
    Ok(match file.training.random_seed {
        Some(seed) => seed,
        None => random_seed()?,
    })
}

/// Runs an experiment and shows what happens.
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
    let (out, saves) = (options.out.clone(), options.file.save_breakpoints);
    let strategy = options.file.strategy.clone();
    if out.is_none() {
        printer.note("no --out: nothing will be kept but what is shown");
    }
    let result = run_experiment(options, stop, &mut show).await;
    let rounds = reached.load(std::sync::atomic::Ordering::Relaxed);
    // A full disk can be why it failed.
    let is_written = |out: &std::path::Path| {
        load_history(out).is_ok_and(|history| {
            history.status != "running" && history.rounds.len() as u64 >= u64::from(rounds)
        })
    };
    if let (Err(_), Some(out), 1..) = (&result, out.as_ref().filter(|out| is_written(out)), rounds)
    {
        let out = out.display();
        printer.note(format!("the parameters after round {rounds} are in {out}"));
        if saves {
            printer.note("go on with the same command and --resume");
        }
    }
    result.map_err(|error| not_enough(error, &strategy))
}

fn show(
    dir: &std::path::Path,
    html: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let history = load_history(dir)?;
    let plan = &history.plan;
    let (name, mut status) = (printable(&history.name), printable(&history.status));
    // Whoever runs it holds the lock of its directory.
    let is_free = || Ok::<_, std::io::Error>(Folder::open(dir)?.lock_itself()?.is_some());
    if status == "running" && is_free()? {
        "interrupted".clone_into(&mut status);
    }
    printer.line(format!("experiment {name} ({status})"));
    printer.line(format!("plan       {} {}  sha256:{}", plan.name, plan.version, plan.sha256));
    printer.line(format!("seed       {}", history.random_seed));
    let view =
        View { printer: *printer, metric: None, rounds: history.rounds_max, bars: Bars::default() };
    for record in &history.rounds {
        view.show_round(record);
        for (node, reason) in &record.dropped {
            printer.line(format!("dropped    {node}: {}", printable(reason)));
        }
    }
    for change in &history.changes {
        for Difference { name, a, b } in &change.differences {
            let text = format!("changed    from round {}: {name} from {a} to {b}", change.round);
            printer.line(printable(&text));
        }
    }
    show_end(&history, printer);
    let last = history.rounds.last();
    if let Some(last) = last {
        for (node, record) in &last.nodes {
            let loss = record.train_loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
            printer.line(format!(
                "{node:<10} {} samples, {} steps, training loss {loss}, {:.1} ms of training, {:.1} ms in all",
                record.n_samples, record.n_steps, record.timing.train_ms, record.total_ms,
            ));
        }
        printer.line(format!("parameters sha256:{}", last.params_sha256));
    }
    if let Some(file) = &html {
        fedwasm_folder::write_file(file, report(&history)?.as_bytes())?;
        printer.line(format!("report     {}", file.display()));
    }
    let evaluation = last.and_then(|round| round.evaluation.as_ref());
    printer.event(
        "result",
        &json!({
            "name": history.name,
            "status": status,
            "experiment": history.experiment_id,
            "arguments": history.arguments,
            "changes": history.changes,
            "plan_sha256": plan.sha256,
            "params_sha256": last.map(|round| round.params_sha256),
            "metrics": evaluation.map(|e| e.metrics.clone()).unwrap_or_default(),
            "rounds": history.rounds.len(),
            "rounds_max": history.rounds_max,
            "nodes": last.map(|round| round.nodes.keys().collect::<Vec<_>>()).unwrap_or_default(),
            "random_seed": history.random_seed,
        }),
    );
    Ok(())
}

/// The fields that a result has in JSON.
pub(crate) fn result_fields(result: &ExperimentResult) -> Value {
    let metrics = result.evaluation.as_ref().map(|evaluation| evaluation.metrics.clone());
    json!({
        "params_sha256": result.params_sha256,
        "metrics": metrics.unwrap_or_default(),
        "rounds": result.history.rounds.len(),
        "nodes": result.nodes,
        "nodes_expected": result.history.expected,
        "missing": result.history.missing(),
        "status": result.history.status,
        "random_seed": result.history.random_seed,
    })
}

struct View {
    printer: Printer,
    metric: Option<Metric>,
    rounds: u32,
    bars: Bars,
}

impl View {
    fn show(&mut self, event: Event) {
        match &event {
            Event::Progress { node, steps, steps_max, loss, .. } => {
                self.bars.show(node, *steps, *steps_max, *loss);
            }
            Event::Round(_) | Event::Retry { .. } => self.bars.clear(),
            _ => {}
        }
        self.bars.suspend(|| self.write(event));
    }

    fn write(&self, event: Event) {
        let printer = &self.printer;
        match event {
            Event::Started { experiment_id, nodes, random_seed, rounds_done } => {
                let fields = json!({
                    "experiment": experiment_id, "nodes": nodes, "random_seed": random_seed,
                    "rounds_done": rounds_done,
                });
                printer.event("started", &fields);
                let nodes = nodes.iter().map(|(node, rows)| format!("{node} ({rows} rows)"));
                let nodes = nodes.collect::<Vec<_>>().join(", ");
                printer.line(format!("experiment {experiment_id}, seed {random_seed}"));
                printer.line(format!("nodes      {nodes}"));
                if rounds_done > 0 {
                    printer.line(format!("resumed    after round {rounds_done}"));
                }
                if rounds_done >= self.rounds {
                    printer.line("nothing to do; `rounds` says how many there are to be");
                }
            }
            Event::Dropped { node, round, reason } => {
                let fields = json!({ "node": node, "round": round, "reason": reason });
                printer.event("dropped", &fields);
                let what = if round == 0 { "left out" } else { "dropped" };
                printer.line(format!("{what:<10} {node}: {reason}"));
            }
            Event::Returned { node, round } => {
                printer.event("returned", &json!({ "node": node, "round": round }));
                printer.line(format!("returned   {node}"));
            }
            Event::Progress { node, round, steps, steps_max, loss, points } => {
                let points = points.iter().map(|p| json!([p.step, p.name, p.value]));
                let fields = json!({
                    "node": node, "round": round, "steps": steps, "steps_max": steps_max,
                    "loss": loss, "points": points.collect::<Vec<_>>(),
                });
                printer.event("progress", &fields);
            }
            Event::Warning(message) => {
                printer.event("warning", &json!({ "message": message }));
                printer.note(format!("warning: {message}"));
            }
            Event::Retry { round, reason, left } => {
                let fields = json!({ "round": round, "reason": reason, "left": left });
                printer.event("retry", &fields);
                printer.line(format!("again      {reason}; {left} tries are left after this one"));
            }
            Event::Stopped { reason } => {
                printer.event("stopped", &json!({ "reason": reason }));
                printer.line(format!("stopped    {reason}"));
            }
            Event::Initial(record) => {
                let metrics = record.evaluation.map(|evaluation| evaluation.metrics);
                let metrics = metrics.unwrap_or_default();
                printer.event("initial", &json!({ "metrics": metrics, "nodes": record.nodes }));
                let mut line = format!("round   0/{}", self.rounds);
                for (name, value) in self.in_order(&metrics) {
                    line += &format!("  {name} {value:.4}");
                }
                printer.line(line);
            }
            Event::Round(record) => self.show_round(&record),
            _ => {}
        }
    }

    fn show_round(&self, record: &RoundRecord) {
        let metrics = record.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
        let fields = json!({
            "round": record.round,
            "nodes": record.nodes.keys().collect::<Vec<_>>(),
            "dropped": record.dropped,
            "train_loss": record
                .nodes
                .iter()
                .map(|(node, of_node)| (node.to_string(), json!(of_node.train_loss)))
                .collect::<serde_json::Map<_, _>>(),
            "metrics": metrics.cloned().unwrap_or_default(),
            "params_sha256": record.params_sha256,
            "timing": record.timing,
        });
        self.printer.event("round", &fields);
        let mut line = format!("round {:>3}/{}", record.round, self.rounds);
        line += &format!("  {:>7.1} ms", record.timing.wall_ms);
        if let Some(loss) = record.train_loss() {
            line += &format!("  training loss {loss:.4}");
        }
        for (name, value) in metrics.map(|metrics| self.in_order(metrics)).unwrap_or_default() {
            line += &format!("  {name} {value:.4}");
        }
        self.printer.line(line);
    }

    /// The metric that was asked for first, then the others.
    fn in_order<'a>(&self, metrics: &'a Metrics) -> Vec<(&'a String, &'a f64)> {
        let first = self.metric.map(Metric::key);
        let mut all: Vec<(&String, &f64)> = metrics.iter().collect();
        all.sort_by_key(|(name, _)| Some(name.as_str()) != first);
        all
    }
}
