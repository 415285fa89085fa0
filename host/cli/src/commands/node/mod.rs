//! `fedwasm node`.

mod log;
mod plan;

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use fedwasm_dataset::Format;
use fedwasm_folder::Folder;
use fedwasm_node::{Database, Dataset, Datasets, NewDataset, NodeConfig, Policy, serve};
use fedwasm_protocol::{DatasetId, NodeId};
use fedwasm_transport::{RepositoryUrl, Security, join};
use serde_json::{Value, json};

use crate::command_error::{CommandError, USAGE};
use crate::commands::keys;
use crate::printer::Printer;
use crate::stop::{stop_signal, stopped};

/// Set up and run a node.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the directory of a new node.
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
        /// Which plans may run without a decision of the operator.
        #[arg(long, value_enum, default_value = "hand")]
        approve: ApproveArg,
        /// With `--approve signer`: the trusted signers, a trust file or a public key.
        #[arg(long)]
        trust: Option<PathBuf>,
        /// The public key of the node's operator [default: a new key].
        #[arg(long)]
        operator: Option<PathBuf>,
    },
    /// Join the federation that enrolled this node.
    Join {
        /// The node's directory.
        dir: PathBuf,
        /// The membership file that `fedwasm network enrol` wrote for it.
        membership: PathBuf,
    },
    /// Register datasets for researchers to train on.
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Decide which plans may run here.
    #[command(subcommand)]
    Plan(plan::Command),
    /// Show the log: requests, decisions, runs and results that left.
    Log(log::Args),
    /// Write a receipt to a file, for an auditor.
    Receipt {
        /// The node's directory.
        dir: PathBuf,
        /// The receipt, as the log names it: its digest, or the first 6 digits or more.
        digest: String,
        /// The file.
        #[arg(short)]
        output: PathBuf,
    },
    /// Serve until Ctrl-C; waits for broker and repository, and prints one line when ready.
    Start {
        /// The node's directory.
        dir: PathBuf,
        /// Stop when standard input ends.
        #[arg(long, hide = true)]
        exit_with_stdin: bool,
    },
}

/// Which plans may run without a decision.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ApproveArg {
    /// None: the operator decides on each.
    Hand,
    /// Those that enough of the trusted signers signed.
    Signer,
    /// Those on the list in `node.toml`.
    List,
    /// All that fit the contract.
    Any,
}

impl From<ApproveArg> for Policy {
    fn from(approve: ApproveArg) -> Self {
        match approve {
            ApproveArg::Hand => Self::Hand,
            ApproveArg::Signer => Self::Signer,
            ApproveArg::List => Self::List,
            ApproveArg::Any => Self::Any,
        }
    }
}

/// Register datasets for researchers to train on.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Register a file or folder. It stays where it is.
    Add {
        /// The node's directory.
        dir: PathBuf,
        /// The name by which researchers know it.
        #[arg(long)]
        name: DatasetId,
        /// The file or folder.
        #[arg(long)]
        path: PathBuf,
        /// The tags that researchers search for, separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        tags: Vec<String>,
        /// Its format: csv, parquet, idx, npy, npz or images [default: found by the content].
        #[arg(long = "type")]
        format: Option<Format>,
    },
    /// List the registered datasets.
    List {
        /// The node's directory.
        dir: PathBuf,
    },
    /// Register a dataset again after its file or folder changed. Its name and tags stay.
    Refresh {
        /// The node's directory.
        dir: PathBuf,
        /// The name.
        #[arg(long)]
        name: DatasetId,
    },
    /// Take a dataset off the list. The file stays.
    Remove {
        /// The node's directory.
        dir: PathBuf,
        /// The name.
        #[arg(long)]
        name: DatasetId,
    },
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Init { dir, id, mqtt, repository, approve, trust, operator } => {
            let mut config = NodeConfig::new(id, mqtt, repository);
            config.approval.policy = approve.into();
            config.approval.operator =
                operator.as_deref().map(fedwasm_trust::PublicKey::read).transpose()?;
            let trust = match (config.approval.policy, trust) {
                (Policy::Signer, Some(trust)) => Some(fedwasm_trust::Trust::read(&trust)?),
                (Policy::Signer, None) => {
                    let text = "`--approve signer` needs `--trust FILE`, which names the signers";
                    return Err(CommandError::new(USAGE, text));
                }
                _ => None,
            };
            let key = config.create(&dir)?.key.public().clone();
            if let Some(trust) = trust {
                fedwasm_folder::write_file(&dir.join("trust.toml"), trust.to_toml().as_bytes())?;
            }
            let fingerprint = key.fingerprint();
            printer.line(format!("node       {} in {}", config.id, dir.display()));
            printer.line(format!("key        {fingerprint}"));
            printer.line(format!("approval   {}", config.approval.policy));
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
                    printer.line(format!("next       give {public} to the federation's operator"));
                    printer.line("           and run `fedwasm node join` with the returned file");
                }
                // The node tries again when it starts.
                Err(fedwasm_transport::Error::RepositoryUnreachable { .. }) => {
                    printer.line("           not enrolled yet: no answer; `node start` enrols it");
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
        Command::Plan(command) => plan::run(command, printer),
        Command::Log(args) => log::run(args, printer),
        Command::Receipt { dir, digest, output } => {
            let (config, _) = NodeConfig::open(&dir)?;
            let database = Database::open(&dir, &config.identity(&dir)?)?;
            let digest = database.find_receipt(&digest)?;
            fedwasm_folder::write_file(&output, &database.receipt(&digest)?)?;
            printer.line(output.display());
            printer.event("result", &json!({ "receipt": digest, "path": output }));
            Ok(())
        }
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
        DatasetCommand::Add { dir, name, path, tags, format } => {
            let (folder, database) = open(&dir)?;
            let mut datasets = Datasets::load(&folder)?;
            let new = NewDataset { name, path: &path, format, tags };
            let dataset = datasets.add(&folder, &database, new)?;
            printer.line(row(dataset));
            let remarks = remarks(dataset, printer)?;
            let mut fields = fields(dataset);
            fields["remarks"] = json!(remarks);
            printer.event("result", &fields);
        }
        DatasetCommand::Refresh { dir, name } => {
            let (folder, database) = open(&dir)?;
            let mut datasets = Datasets::load(&folder)?;
            let (before, now) = datasets.refresh(&folder, &database, &name)?;
            printer.line(row(&now));
            let was = format!("{} rows, {} columns", before.n_rows, before.columns.len());
            printer.line(format!("           it was registered with {was}"));
            let remarks = remarks(&now, printer)?;
            let mut fields = fields(&now);
            fields["rows_before"] = json!(before.n_rows);
            fields["remarks"] = json!(remarks);
            printer.event("result", &fields);
        }
        DatasetCommand::List { dir } => {
            let (_, folder) = NodeConfig::open(&dir)?;
            let datasets = Datasets::load(&folder)?;
            datasets.iter().for_each(|dataset| printer.line(row(dataset)));
            let all: Vec<Value> = datasets.iter().map(fields).collect();
            printer.event("result", &json!({ "datasets": all }));
        }
        DatasetCommand::Remove { dir, name } => {
            let (folder, database) = open(&dir)?;
            let removed = Datasets::load(&folder)?.remove(&folder, &database, &name)?;
            printer.line(format!("{} is no longer offered; its file is kept", removed.name));
            printer.event("result", &fields(&removed));
        }
    }
    Ok(())
}

/// A node's directory and its log.
fn open(dir: &Path) -> Result<(Folder, Database), CommandError> {
    let (config, folder) = NodeConfig::open(dir)?;
    Ok((folder, Database::open(dir, &config.identity(dir)?)?))
}

/// Shows the remarks about a new dataset.
fn remarks(dataset: &Dataset, printer: &Printer) -> Result<Vec<String>, CommandError> {
    let remarks = dataset.open().map_err(fedwasm_node::Error::from)?.remarks();
    remarks.iter().for_each(|remark| printer.note(format!("warning: {remark}")));
    Ok(remarks)
}

fn row(dataset: &Dataset) -> String {
    let Dataset { name, path, tags, n_rows, columns, .. } = dataset;
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
        "type": dataset.format,
    })
}
