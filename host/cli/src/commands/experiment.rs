//! `fedwasm experiment`.

use std::path::PathBuf;

use clap::Subcommand;
use fedwasm_folder::Folder;
use fedwasm_protocol::Metric;
use fedwasm_researcher::{
    Event, ExperimentFile, ExperimentOptions, ExperimentResult, RoundRecord, Verified,
    load_history, load_plan, random_seed, report, run_experiment, verify_experiment,
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
        Command::Run { file, out, resume } => {
            let file = ExperimentFile::read(&file)?;
            if resume && !out.as_ref().is_some_and(|out| out.is_dir()) {
                let out = out.unwrap_or_default();
                let message = format!("{} is no directory; nothing to resume", out.display());
                return Err(CommandError::new(USAGE, message));
            }
            let component = load_plan(&file.plan)?;
            let mut signatures = Vec::new();
            for bundle in bundles_beside(&file.plan)? {
                signatures.push(fedwasm_folder::read_file(&bundle, BUNDLE_BYTES_MAX)?);
            }
            let options = ExperimentOptions {
                signatures,
                random_seed: seed(&file)?,
                sandbox: sandbox(file.strict, printer)?,
                file,
                component,
                out,
                resume,
            };
            let stop = stop_signal(false)?;
            let result = run_and_show(options.clone(), printer, stop).await?;
            printer.line(format!("parameters sha256:{}", result.params_sha256));
            if let Some(out) = &options.out {
                printer.line(format!("files      {}", out.display()));
            }
            let mut fields = result_fields(&result);
            fields["plan_sha256"] = json!(options.component.digest());
            printer.event("result", &fields);
            Ok(())
        }
        Command::Show { dir, html } => show(&dir, html, printer),
        Command::Verify { dir } => verify(&dir, printer),
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
    Ok(result?)
}

fn show(
    dir: &std::path::Path,
    html: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let history = load_history(dir)?;
    let plan = &history.plan;
    let printable = fedwasm_protocol::printable;
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
        // The metric that was asked for first, then the others.
        let first = self.metric.map(Metric::key);
        let mut all: Vec<(&String, &f64)> = metrics.into_iter().flatten().collect();
        all.sort_by_key(|(name, _)| Some(name.as_str()) != first);
        for (name, value) in all {
            line += &format!("  {name} {value:.4}");
        }
        self.printer.line(line);
    }
}
