//! `fedwasm model show`.

use std::path::Path;

use fedwasm_protocol::FieldSelection;
use fedwasm_record::{Model, ModelFile};

use crate::columns::Columns;
use crate::command_error::CommandError;
use crate::commands::scores;
use crate::printer::Printer;

/// The most columns that are named.
const SHOWN_MAX: usize = 12;

pub(super) fn show(path: &Path, printer: &Printer) -> Result<(), CommandError> {
    let model = Model::read(path)?;
    let about = &model.about;
    printer.event("result", &serde_json::to_value(about).unwrap_or_default());
    let ModelFile { plan, run, .. } = about;
    printer.line(format!("plan       {} {}  sha256:{}", plan.name, plan.version, plan.sha256));
    if let Some(sha256) = about.params_sha256() {
        let n: u64 =
            model.params.iter().map(|(_, tensor)| tensor.shape().iter().product::<u64>()).sum();
        printer.line(format!("parameters {n} in {} tensors, sha256:{sha256}", model.params.len()));
    }
    let inputs = about.data.inputs.as_ref().map(shown).unwrap_or_default();
    printer.line(format!("inputs     {inputs}"));
    printer.line(format!("target     {}", shown(&about.data.target)));
    printer.line(format!("scales     {}", scales(about, model.preprocessing.is_some())));
    let of = if run.experiment_id.is_empty() { "a local run" } else { "an experiment" };
    let (name, rounds, status) = (&run.name, run.rounds, &run.status);
    let s = if rounds == 1 { "" } else { "s" };
    printer.line(format!("run        {of}, {name}, {rounds} round{s}, {status}"));
    if let Some(evaluation) = &about.evaluation {
        printer.line(format!("scored on  {} held-out rows", evaluation.n_rows));
        scores::print(evaluation, "", printer);
    }
    let sites = about.sites.iter().map(|(node, site)| {
        let score = site.evaluation.as_ref().map_or(String::new(), |evaluation| {
            let metrics = evaluation.metrics.iter();
            metrics.map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ")
        });
        vec![node.to_string(), format!("{} rows", site.n_samples), score]
    });
    Columns::new(2).left(14).right(12).left(0).print(&sites.collect::<Vec<_>>(), printer);
    Ok(())
}

fn shown(selection: &FieldSelection) -> String {
    let names = selection.names();
    let first: Vec<&str> = names.iter().take(SHOWN_MAX).map(|name| name.as_str()).collect();
    let more = if names.len() > SHOWN_MAX { ", ..." } else { "" };
    match names.len() {
        1 => first.join(", "),
        n => format!("{n}: {}{more}", first.join(", ")),
    }
}

fn scales(about: &ModelFile, is_there: bool) -> &'static str {
    match (about.is_scaled_by_sites(), is_there) {
        (true, _) => "not in the model: each site scaled by its own rows",
        (false, true) => "in the model",
        (false, false) => "none: inputs are used as they are",
    }
}
