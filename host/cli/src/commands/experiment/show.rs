//! `fedwasm experiment show`: what a run left.

use std::path::{Path, PathBuf};

use fedwasm_folder::Folder;
use fedwasm_protocol::{NodeId, printable};
use fedwasm_record::{Difference, NodeRecord, RoundRecord, load_history};
use fedwasm_report::report;
use serde_json::json;

use super::show_end;
use super::view::View;
use crate::columns::Columns;
use crate::command_error::CommandError;
use crate::commands::scores;
use crate::printer::Printer;
use crate::progress::Bars;

pub(super) fn show(
    dir: &Path,
    html: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let history = load_history(dir)?;
    let plan = &history.plan;
    let (name, mut status) = (printable(&history.name), printable(&history.status));
    // The program that runs it holds the lock of its directory.
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
        print_nodes(last, printer);
        scores::print_sites(last, printer);
    }
    let kept = history.kept();
    if let Some(kept) = kept {
        printer.line(format!("parameters sha256:{}", kept.params_sha256));
    }
    if let Some(file) = &html {
        fedwasm_folder::write_file(file, report(&history)?.as_bytes())?;
        printer.line(format!("report     {}", file.display()));
    }
    let evaluation = kept.and_then(|round| round.evaluation.as_ref());
    printer.event(
        "result",
        &json!({
            "name": history.name,
            "status": status,
            "experiment": history.experiment_id,
            "arguments": history.arguments,
            "changes": history.changes,
            "plan_sha256": plan.sha256,
            "params_sha256": kept.map(|round| round.params_sha256),
            "metrics": evaluation.map(|e| e.metrics.clone()).unwrap_or_default(),
            "scores": scores::fields(evaluation),
            "rounds": history.rounds.len(),
            "rounds_max": history.rounds_max,
            "nodes": last.map(|round| round.nodes.keys().collect::<Vec<_>>()).unwrap_or_default(),
            "random_seed": history.random_seed,
            "privacy": last.and_then(|round| round.privacy),
            "secagg": last.and_then(|round| round.secagg.as_ref()),
        }),
    );
    Ok(())
}

/// Shows the results of each node in a round; under secure aggregation the results of all, and the
/// times of each.
fn print_nodes(round: &RoundRecord, printer: &Printer) {
    if let Some(sum) = &round.secagg {
        let loss = sum.train_loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
        let (n_samples, n_steps) = (sum.n_samples, sum.n_steps);
        printer.line(sum.sentence());
        printer
            .line(format!("all nodes  {n_samples} samples, {n_steps} steps, training loss {loss}"));
        let row = |(node, record): (&NodeId, &NodeRecord)| {
            let train_ms = format!("{:.1} ms of training,", record.timing.train_ms);
            vec![node.to_string(), train_ms, format!("{:.1} ms in all", record.total_ms)]
        };
        let rows: Vec<Vec<String>> = round.nodes.iter().map(row).collect();
        return Columns::new(1).left(10).right(0).right(0).print(&rows, printer);
    }
    let row = |(node, record): (&NodeId, &NodeRecord)| {
        let loss = record.train_loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
        vec![
            node.to_string(),
            format!("{} samples,", record.n_samples),
            format!("{} steps,", record.n_steps),
            format!("training loss {loss},"),
            format!("{:.1} ms of training,", record.timing.train_ms),
            format!("{:.1} ms in all", record.total_ms),
        ]
    };
    let rows: Vec<Vec<String>> = round.nodes.iter().map(row).collect();
    let columns = Columns::new(1).left(10).right(0).right(0).right(0).right(0).right(0);
    columns.print(&rows, printer);
}
