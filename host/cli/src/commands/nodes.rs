//! `fedwasm nodes`.

use std::path::PathBuf;

use fedwasm_protocol::{DatasetEntry, printable};
use fedwasm_researcher::{NetworkArgs, present};
use fedwasm_transport::{BrokerUrl, Security, discover};
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::printer::Printer;
use crate::stop::stop_signal;

/// The columns that are shown without --columns.
const COLUMNS_MAX: usize = 8;

/// Show the connected nodes and the datasets that they offer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only datasets with all of these tags, separated by commas.
    #[arg(long, value_delimiter = ',')]
    tags: Vec<String>,
    /// Show all columns of every dataset.
    #[arg(long)]
    columns: bool,
    /// The broker.
    #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
    mqtt: String,
    /// The repository [default: that of the broker, if it is on this machine].
    #[arg(long)]
    repository: Option<String>,
    /// The directory of a researcher's key.
    #[arg(long)]
    identity: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let repository = match args.repository {
        Some(repository) => repository,
        None => {
            let mqtt: BrokerUrl = args.mqtt.parse()?;
            if mqtt.security() != Security::Loopback {
                let text =
                    "the repository is known only for a broker on this machine; give --repository";
                return Err(CommandError::new(USAGE, text));
            }
            discover(&mqtt).await?.to_string()
        }
    };
    let network = NetworkArgs { mqtt: args.mqtt, repository, identity: args.identity };
    let nodes = present(&network, &args.tags, stop_signal(false)?).await?;
    if nodes.is_empty() {
        printer.line("no node is connected; `fedwasm node start` connects one");
    }
    let datasets = nodes.values().flat_map(|present| present.datasets.iter().flatten());
    let rows: Vec<Vec<String>> = datasets.map(row).collect();
    let columns = Columns::new(2).left(0).left(0).right(0).fit(&rows);
    let mut all = Vec::new();
    for (node, present) in &nodes {
        let latency =
            present.latency_ms.map_or("silent".into(), |ms| format!("answers in {ms:.1} ms"));
        printer.line(format!("{node}  {latency}"));
        let mut datasets: Vec<Value> = Vec::new();
        for dataset in present.datasets.iter().flatten() {
            printer.line(format!("  {}", columns.line(&row(dataset))));
            let columns = shown(&dataset.columns, args.columns);
            printer.line(format!("    {}", printable(&columns)));
            datasets.push(json!({
                "name": dataset.dataset_id, "tags": dataset.tags, "rows": dataset.n_rows,
                "columns": dataset.columns,
            }));
        }
        match &present.datasets {
            Err(reason) => printer.line(format!("  {reason}")),
            Ok(datasets) if datasets.is_empty() && args.tags.is_empty() => {
                printer.line("  no datasets");
            }
            Ok(datasets) if datasets.is_empty() => {
                printer.line(format!("  no dataset has the tags {}", args.tags.join(",")));
            }
            Ok(_) => {}
        }
        all.push(json!({
            "node": node, "latency_ms": present.latency_ms, "datasets": datasets,
            "error": present.datasets.as_ref().err(),
        }));
    }
    printer.event("result", &json!({ "nodes": all }));
    Ok(())
}

fn row(dataset: &DatasetEntry) -> Vec<String> {
    let (tags, n_columns) = (dataset.tags.join(","), dataset.columns.len());
    let size = format!("{} rows, {n_columns} columns", dataset.n_rows);
    vec![dataset.dataset_id.to_string(), format!("[{}]", printable(&tags)), size]
}

/// The first few columns, or all.
fn shown(columns: &[String], all: bool) -> String {
    match columns.get(..COLUMNS_MAX) {
        Some(first) if !all => {
            let (first, more) = (first.join(", "), columns.len() - COLUMNS_MAX);
            if more == 0 { first } else { format!("{first} and {more} more (--columns)") }
        }
        _ => columns.join(", "),
    }
}
