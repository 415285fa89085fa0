//! `fedwasm experiment`.

use std::path::PathBuf;

use clap::Subcommand;
use fedwasm_artifact::Component;
use fedwasm_protocol::Metric;
use fedwasm_researcher::{
    Event, ExperimentFile, ExperimentResult, RoundRecord, load_plan, random_seed, run_experiment,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::command_error::CommandError;
use crate::printer::Printer;
use crate::stop::stop_signal;

/// Run an experiment on a federation.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the experiment that a file describes.
    Run {
        /// The file.
        file: PathBuf,
        /// Where params.mpk, params.safetensors, history.json and curve.svg go.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    let Command::Run { file, out } = command;
    let file = ExperimentFile::read(&file)?;
    let component = load_plan(&file.plan)?;
    let digest = component.digest();
    let stop = stop_signal(false)?;
    let result = run_and_show(file, component, out.clone(), printer, stop).await?;
    printer.line(format!("parameters sha256:{}", result.params_sha256));
    if let Some(out) = out {
        printer.line(format!("files      {}", out.display()));
    }
    let mut fields = result_fields(&result);
    fields["plan_sha256"] = json!(digest);
    printer.event("result", &fields);
    Ok(())
}

/// Runs an experiment and shows what happens.
pub(crate) async fn run_and_show(
    file: ExperimentFile,
    component: Component,
    out: Option<PathBuf>,
    printer: &Printer,
    stop: watch::Receiver<bool>,
) -> Result<ExperimentResult, CommandError> {
    let seed = match file.training.random_seed {
        Some(seed) => seed,
        None => random_seed()?,
    };
    let reached = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let mut view =
        View { printer: *printer, metric: file.training.test_metric, rounds: file.rounds };
    let count = std::sync::Arc::clone(&reached);
    let mut show = move |event: Event| {
        if let Event::Round(record) = &event {
            count.store(record.round, std::sync::atomic::Ordering::Relaxed);
        }
        view.show(event);
    };
    let result = run_experiment(file, component, seed, out.clone(), &mut show, stop).await;
    let rounds = reached.load(std::sync::atomic::Ordering::Relaxed);
    if let (Err(_), Some(out), 1..) = (&result, &out, rounds) {
        printer.note(format!("the parameters after round {rounds} are in {}", out.display()));
    }
    Ok(result?)
}

/// The fields that a result has in JSON.
pub(crate) fn result_fields(result: &ExperimentResult) -> Value {
    let metrics = result.evaluation.as_ref().map(|evaluation| evaluation.metrics.clone());
    json!({
        "params_sha256": result.params_sha256,
        "metrics": metrics.unwrap_or_default(),
        "rounds": result.history.rounds.len(),
        "nodes": result.nodes,
        "random_seed": result.history.random_seed,
    })
}

struct View {
    printer: Printer,
    metric: Option<Metric>,
    rounds: u32,
}

impl View {
    fn show(&mut self, event: Event) {
        let printer = &self.printer;
        match event {
            Event::Started { experiment_id, nodes, random_seed } => {
                let fields = json!({ "experiment": experiment_id, "nodes": nodes, "random_seed": random_seed });
                printer.event("started", &fields);
                let nodes = nodes.iter().map(|(node, rows)| format!("{node} ({rows} rows)"));
                let nodes = nodes.collect::<Vec<_>>().join(", ");
                printer.line(format!("experiment {experiment_id}, seed {random_seed}"));
                printer.line(format!("nodes      {nodes}"));
            }
            Event::Dropped { node, round, reason } => {
                let fields = json!({ "node": node, "round": round, "reason": reason });
                printer.event("dropped", &fields);
                printer.line(format!("dropped    {node}: {reason}"));
            }
            Event::Returned { node, round } => {
                printer.event("returned", &json!({ "node": node, "round": round }));
                printer.line(format!("returned   {node}"));
            }
            Event::Progress { node, round, steps, steps_max, loss } => {
                let fields = json!({
                    "node": node, "round": round, "steps": steps, "steps_max": steps_max,
                    "loss": loss,
                });
                printer.event("progress", &fields);
            }
            Event::Round(record) => self.show_round(&record),
        }
    }

    fn show_round(&self, record: &RoundRecord) {
        let metrics = record.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
        let fields = json!({
            "round": record.round,
            "nodes": record.nodes.keys().collect::<Vec<_>>(),
            "dropped": record.dropped,
            "metrics": metrics.cloned().unwrap_or_default(),
            "params_sha256": record.params_sha256,
            "timing": record.timing,
        });
        self.printer.event("round", &fields);
        let losses: Vec<f64> = record.nodes.values().filter_map(|node| node.train_loss).collect();
        let mut line = format!("round {:>3}/{}", record.round, self.rounds);
        line += &format!("  {:>7.1} ms", record.timing.wall_ms);
        if !losses.is_empty() {
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            line += &format!("  training loss {mean:.4}");
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
