//! `fedwasm experiment check`: everything short of running it.

use fedwasm_protocol::printable;
use fedwasm_researcher::{Checked, ExperimentFile, NodeChecked, check_experiment, needs_out};
use serde_json::json;

use super::options;
use crate::columns::Columns;
use crate::command_error::CommandError;
use crate::printer::Printer;
use crate::stop::stop_signal;

pub(super) async fn check(file: ExperimentFile, printer: &Printer) -> Result<(), CommandError> {
    let (name, rounds, strategy) = (file.name.clone(), file.rounds, file.strategy.clone());
    let needs_out = needs_out(&file, None);
    let checked = check_experiment(options(file, printer)?, stop_signal(false)?).await?;
    let Checked { plan, nodes, strangers, needed, initial_sha256, n_parameters, obstacle } =
        checked;
    printer.line(format!("experiment {}, {rounds} rounds", printable(&name)));
    printer.line(format!("plan       {} {}  sha256:{}", plan.name, plan.version, plan.sha256));
    printer.line(format!("starts     from {n_parameters} numbers, sha256:{initial_sha256}"));
    let names = nodes.keys().chain(strangers.iter().map(|(node, _)| node));
    let names: Vec<Vec<&str>> = names.map(|node| vec![node.as_str()]).collect();
    let columns = Columns::new(1).left(10).left(0).fit(&names);
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
        printer.line(columns.line(&[node.as_str(), &printable(&format!("{data}{would}"))]));
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
        let text = printable(&format!("does not take part: {reason}"));
        printer.line(columns.line(&[node.as_str(), &text]));
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
        Some(error) => Err(CommandError::of_experiment(error, &strategy)),
    }
}
