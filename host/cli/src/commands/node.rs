//! `fedwasm node`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use fedwasm_node::{Dataset, Datasets, NodeConfig, serve};
use fedwasm_protocol::{DatasetId, NodeId};
use fedwasm_transport::{RepositoryUrl, Security, join};
use serde_json::{Value, json};

use crate::command_error::CommandError;
use crate::commands::keys;
use crate::printer::Printer;
use crate::stop::{stop_signal, stopped};

/// Set up and run a node.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the directory of a new node.
    Init {
        /// The directory.
        dir: PathBuf,
        /// The node's id: A-Z, a-z, 0-9, `_` and `-`, unique in the federation.
        #[arg(long)]
        id: NodeId,
        /// The broker.
        #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
        mqtt: String,
        /// The repository.
        #[arg(long, default_value = "http://127.0.0.1:8844")]
        repository: String,
    },
    /// Join the federation that enrolled this node.
    Join {
        /// The node's directory.
        dir: PathBuf,
        /// What `fedwasm network enrol` wrote for it.
        membership: PathBuf,
    },
    /// Register data sets for researchers to train on.
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Serve until Ctrl-C; prints one line when ready.
    Start {
        /// The node's directory.
        dir: PathBuf,
        /// Stop when standard input ends.
        #[arg(long, hide = true)]
        exit_with_stdin: bool,
    },
}

/// Register data sets for researchers to train on.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Register a file. It stays where it is.
    Add {
        /// The node's directory.
        dir: PathBuf,
        /// The name by which researchers know it.
        #[arg(long)]
        name: DatasetId,
        /// The file.
        #[arg(long)]
        path: PathBuf,
        /// What researchers search for, separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        tags: Vec<String>,
        /// The kind of file.
        #[arg(long = "type", value_enum)]
        kind: Kind,
    },
    /// List what is registered.
    List {
        /// The node's directory.
        dir: PathBuf,
    },
    /// Take a data set off the list. The file stays.
    Remove {
        /// The node's directory.
        dir: PathBuf,
        /// The name.
        #[arg(long)]
        name: DatasetId,
    },
}

/// The kind of a data file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Comma-separated values with a header.
    Csv,
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Init { dir, id, mqtt, repository } => {
            let config = NodeConfig::new(id, mqtt, repository);
            let key = config.create(&dir)?.key.public().clone();
            let fingerprint = key.fingerprint();
            printer.line(format!("node       {} in {}", config.id, dir.display()));
            printer.line(format!("key        {fingerprint}"));
            let url: RepositoryUrl = config.repository.parse()?;
            let enrolled = match url.security() {
                Security::Loopback => join(config.identity(&dir)?, &url).await.map(|_| true),
                _ => Ok(false),
            };
            match &enrolled {
                Ok(true) => printer.line(format!("enrolled   with {url}")),
                Ok(false) => {
                    let public = dir.join("identity/key.pem.pub");
                    let public = public.display();
                    printer.line(format!("next       give {public} to who runs the federation"));
                    printer.line("           and `fedwasm node join` with what comes back");
                }
                // It tries again when it starts.
                Err(fedwasm_transport::Error::RepositoryUnreachable { .. }) => {
                    printer
                        .line("           not enrolled yet: nothing answers; `node start` does it");
                }
                Err(_) => {}
            }
            let enrolled = match enrolled {
                Err(error @ fedwasm_transport::Error::Repository { .. }) => {
                    return Err(error.into());
                }
                enrolled => enrolled.unwrap_or(false),
            };
            printer.event(
                "result",
                &json!({
                    "node": config.id, "dir": dir, "fingerprint": fingerprint,
                    "enrolled": enrolled,
                }),
            );
            Ok(())
        }
        Command::Join { dir, membership } => {
            let (config, _) = NodeConfig::open(&dir)?;
            keys::join(config.identity(&dir)?, &membership, printer)
        }
        Command::Dataset(command) => dataset(command, printer),
        Command::Start { dir, exit_with_stdin } => {
            let stop = stop_signal(exit_with_stdin)?;
            let ready = |config: &NodeConfig| {
                let NodeConfig { id, mqtt, repository, .. } = config;
                let fields = json!({ "node": id, "mqtt": mqtt, "repository": repository });
                printer.always("ready", &fields);
            };
            Ok(serve(&dir, ready, stopped(stop)).await?)
        }
    }
}

fn dataset(command: DatasetCommand, printer: &Printer) -> Result<(), CommandError> {
    match command {
        DatasetCommand::Add { dir, name, path, tags, kind: Kind::Csv } => {
            let (_, folder) = NodeConfig::open(&dir)?;
            let mut datasets = Datasets::load(&folder)?;
            let dataset = datasets.add(&folder, name, &path, tags)?;
            printer.line(row(dataset));
            printer.event("result", &fields(dataset));
        }
        DatasetCommand::List { dir } => {
            let (_, folder) = NodeConfig::open(&dir)?;
            let datasets = Datasets::load(&folder)?;
            datasets.iter().for_each(|dataset| printer.line(row(dataset)));
            let all: Vec<Value> = datasets.iter().map(fields).collect();
            printer.event("result", &json!({ "datasets": all }));
        }
        DatasetCommand::Remove { dir, name } => {
            let (_, folder) = NodeConfig::open(&dir)?;
            let removed = Datasets::load(&folder)?.remove(&folder, &name)?;
            printer.line(format!("{} is no longer offered; its file stays", removed.name));
            printer.event("result", &fields(&removed));
        }
    }
    Ok(())
}

fn row(dataset: &Dataset) -> String {
    let Dataset { name, path, tags, n_rows, columns } = dataset;
    let (tags, n_columns) = (tags.join(","), columns.len());
    format!("{name}  [{tags}]  {n_rows} rows, {n_columns} columns  {}", path.display())
}

fn fields(dataset: &Dataset) -> Value {
    json!({
        "name": dataset.name,
        "path": dataset.path,
        "tags": dataset.tags,
        "rows": dataset.n_rows,
        "columns": dataset.columns,
    })
}
