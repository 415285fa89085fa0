//! The contents of a card.

use std::collections::BTreeMap;

use fedwasm_protocol::{FieldSelection, NodeId};
use fedwasm_record::{ModelFile, PrivacyRecord, SiteRecord};
use serde_json::Value;

use crate::page::arguments::flatten;
use crate::page::metrics::{Chosen, metric, metrics};
use crate::page::numbers::{NONE, grouped, number, opt};

/// The most arguments, and the most columns, that a card names.
const ARGUMENTS_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;
/// The most sites of a card.
const SITES_MAX: usize = 200;

/// The contents of a card.
pub(super) struct Card {
    pub(super) title: String,
    pub(super) kind: &'static str,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) sections: Vec<Section>,
}

/// A heading, sentences, and a table that may have no rows.
#[derive(Default)]
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) notes: Vec<String>,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

pub(super) fn card(about: &ModelFile) -> Card {
    let ModelFile { plan, run, .. } = about;
    let is_local = run.experiment_id.is_empty();
    let kind = match is_local {
        true => "Model card: trained on one machine",
        false => "Model card: trained by a federation",
    };
    let mut facts = vec![
        ("Training plan", format!("{} {}", plan.name, plan.version)),
        ("Plan SHA-256", plan.sha256.to_string()),
    ];
    facts.extend(about.params_sha256().map(|sha256| ("Parameters SHA-256", sha256.to_string())));
    facts.push(("Status of its run", run.status.clone()));
    facts.push(("Rows trained on", grouped(run.n_samples)));
    if !is_local {
        facts.push(("Rounds", run.rounds.to_string()));
        facts.push(("Experiment", run.experiment_id.clone()));
        facts.extend(run.researcher.iter().map(|id| ("Researcher", id.to_string())));
    }
    facts.push(("Random seed", run.random_seed.to_string()));
    facts.push(("Written by", about.written_by.clone()));
    let sections = vec![data(about), scores(about), sites(about), limits(about), arguments(about)];
    Card { title: run.name.clone(), kind, facts, sections }
}

/// The columns that it needs, and those that it predicts.
fn data(about: &ModelFile) -> Section {
    let names = |selection: &FieldSelection| {
        let names = selection.names();
        let first: Vec<&str> = names.iter().take(COLUMNS_MAX).map(|name| name.as_str()).collect();
        let more = names.len().saturating_sub(COLUMNS_MAX);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{}{more}", first.join(", "))
    };
    let n = about.data.inputs.as_ref().map_or(0, |inputs| inputs.names().len());
    let inputs = about.data.inputs.as_ref().map_or(NONE.to_owned(), names);
    let rows = vec![
        vec![format!("Inputs ({n})"), inputs],
        vec!["Predicted".into(), names(&about.data.target)],
    ];
    let columns = ["", "Columns"].map(str::to_owned).to_vec();
    Section { heading: "Data", columns, rows, ..Section::default() }
}

fn scores(about: &ModelFile) -> Section {
    let Some(evaluation) = &about.evaluation else {
        let notes = vec!["No row was held out, so nothing was scored.".to_owned()];
        return Section { heading: "Scores", notes, ..Section::default() };
    };
    let n = grouped(evaluation.n_rows);
    let row = |(name, value): (&String, &f64)| vec![name.clone(), number(*value)];
    Section {
        heading: "Scores",
        notes: vec![format!("On {n} rows that were held out where it was trained.")],
        columns: ["Metric", "Value"].map(str::to_owned).to_vec(),
        rows: evaluation.metrics.iter().map(row).collect(),
    }
}

fn sites(about: &ModelFile) -> Section {
    let mut notes = Vec::new();
    if about.run.of_sums {
        notes.push(
            "Results of single sites are unknown: secure aggregation told only their sum.".into(),
        );
    }
    let sites: &BTreeMap<NodeId, SiteRecord> = &about.sites;
    let chosen = metrics(sites.values().filter_map(|site| site.evaluation.as_ref()));
    let Chosen { names, .. } = &chosen;
    let first = ["Site", "Rows trained on", "Rows scored"].into_iter();
    let columns = first.chain(names.iter().copied()).chain(["Ran the plan by", "Receipt SHA-256"]);
    let row = |(node, site): (&NodeId, &SiteRecord)| {
        let evaluation = site.evaluation.as_ref();
        let n_rows = evaluation.map_or(NONE.to_owned(), |evaluation| grouped(evaluation.n_rows));
        let mut row = vec![node.to_string(), grouped(site.n_samples), n_rows];
        row.extend(names.iter().map(|name| opt(metric(evaluation, name))));
        row.push(site.approved_by.clone().unwrap_or(NONE.into()));
        row.push(site.receipt.map_or(NONE.to_owned(), |sha256| sha256.to_string()));
        row
    };
    if sites.len() > SITES_MAX {
        let (shown, all) = (SITES_MAX, sites.len());
        notes.push(format!("The first {shown} of {all} sites; model.json has all."));
    }
    Section {
        heading: "Sites",
        notes,
        columns: columns.map(str::to_owned).collect(),
        rows: sites.iter().take(SITES_MAX).map(row).collect(),
    }
}

/// Sentences that follow from the run.
fn limits(about: &ModelFile) -> Section {
    let run = &about.run;
    let mut notes = Vec::new();
    if about.evaluation.is_some() {
        notes.push(
            "The scores are of rows from where it was trained; at other sites, with other devices \
             or patients, they can differ: score it there before it is used."
                .to_owned(),
        );
    }
    if about.is_scaled_by_sites() {
        notes.push(
            "Each site scaled its inputs by its own rows. The scales are not in the model: a new \
             site must give its own."
                .into(),
        );
    }
    if run.status != fedwasm_record::FINISHED {
        notes.push(format!("Its run did not come to its end: {}.", run.status));
    }
    for (node, reason) in run.missing.iter().take(SITES_MAX) {
        notes.push(format!("The site {node} was to take part and is not in it: {reason}."));
    }
    notes.push(match &run.privacy {
        Some(PrivacyRecord { epsilon, delta, .. }) => format!(
            "Its training had noise: epsilon {}, delta {delta:e}, for the update of a site.",
            number(*epsilon)
        ),
        None => "No noise of an aggregator was added: parameters can tell of the rows that they \
                 were trained on."
            .to_owned(),
    });
    Section { heading: "Limits", notes, ..Section::default() }
}

fn arguments(about: &ModelFile) -> Section {
    let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
    let mut all = Vec::new();
    flatten("model", &json(serde_json::to_value(&about.model)), &mut all);
    let mut data = json(serde_json::to_value(&about.data));
    if let Some(data) = data.as_object_mut() {
        // They have a section of their own.
        data.remove("inputs");
    }
    flatten("data", &data, &mut all);
    for (section, value) in &about.run.arguments {
        flatten(section, value, &mut all);
    }
    if about.strict {
        all.push(("strict".into(), "true".into()));
    }
    if let Some(sha256) = &about.run.initial_sha256 {
        all.push(("initial parameters".into(), sha256.to_string()));
    }
    if !about.run.frozen.is_empty() {
        all.push(("not trained".into(), about.run.frozen.join(", ")));
    }
    Section {
        heading: "Arguments",
        columns: ["Argument", "Value"].map(str::to_owned).to_vec(),
        rows: all.into_iter().take(ARGUMENTS_MAX).map(|(a, b)| vec![a, b]).collect(),
        ..Section::default()
    }
}
