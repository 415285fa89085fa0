//! `fedwasm node`.

mod init;
mod log;
mod plan;
mod privacy;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use fedwasm_dataset::Format;
use fedwasm_folder::Folder;
use fedwasm_node::{
    Database, Dataset, Datasets, NewDataset, NewQuery, NodeConfig, Query, Snapshots, serve,
};
use fedwasm_protocol::DatasetId;
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::CommandError;
use crate::commands::rename::Rename;
use crate::commands::{keys, read_volumes, sql};
use crate::printer::{Printer, utc};
use crate::stop::{stop_signal, stopped};

/// How many columns with another name are shown; with --json all are.
const RENAMES_SHOWN: usize = 20;
/// How many remarks about a new dataset are shown.
const REMARKS_SHOWN: usize = 8;

/// Set up and run a node.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the directory of a new node.
    Init(init::Args),
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
    /// Look at the budgets of differential privacy.
    #[command(subcommand)]
    Privacy(privacy::Command),
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

/// Register datasets for researchers to train on.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Register a file or folder, which stays where it is, or the answer of a database to a query,
    /// which the node keeps.
    Add {
        /// The node's directory.
        dir: PathBuf,
        /// The name by which researchers know it.
        #[arg(long)]
        name: DatasetId,
        /// The file or folder.
        #[arg(long, required_unless_present = "from", conflicts_with = "from")]
        path: Option<PathBuf>,
        /// A database instead: sqlite:FILE, or postgres://USER@HOST/DATABASE with the password in
        /// PGPASSWORD or in the file of PGPASSFILE.
        #[arg(long, requires = "sql", conflicts_with_all = ["format", "volumes"])]
        from: Option<String>,
        /// What it is asked: one SELECT, or a file with it whose name ends with .sql.
        #[arg(long, requires = "from")]
        sql: Option<String>,
        #[command(flatten)]
        limits: sql::Limits,
        /// The tags that researchers search for, separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        tags: Vec<String>,
        /// Its format: csv, parquet, idx, npy, npz, images, tar, medical or bids [default: found by
        /// the content].
        #[arg(long = "type")]
        format: Option<Format>,
        /// A TOML file with how volumes are read: shape, spacing, windows, the table of subjects.
        #[arg(long)]
        volumes: Option<PathBuf>,
        #[command(flatten)]
        rename: Rename,
    },
    /// List the registered datasets.
    List {
        /// The node's directory.
        dir: PathBuf,
    },
    /// Show a dataset: its columns, its query, remarks about it.
    Show {
        /// The node's directory.
        dir: PathBuf,
        /// The name.
        #[arg(long)]
        name: DatasetId,
    },
    /// Register a dataset again after its file or folder changed, or ask its database anew. Its name
    /// and tags stay.
    Refresh {
        /// The node's directory.
        dir: PathBuf,
        /// The name.
        #[arg(long)]
        name: DatasetId,
    },
    /// Take a dataset off the list. The file stays; the kept answer of a database goes.
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
        Command::Init(args) => init::run(args, printer).await,
        Command::Join { dir, membership } => {
            let (config, _) = NodeConfig::open(&dir)?;
            keys::join(config.identity(&dir)?, &membership, printer)
        }
        Command::Dataset(command) => dataset(command, printer),
        Command::Plan(command) => plan::run(command, printer),
        Command::Privacy(command) => privacy::run(command, printer),
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
        DatasetCommand::Add {
            dir,
            name,
            path,
            from,
            sql,
            limits,
            tags,
            format,
            volumes,
            rename,
        } => {
            let volumes = read_volumes(volumes.as_deref())?;
            let (folder, database) = open(&dir)?;
            let mut datasets = Datasets::load(&folder)?;
            let renames = rename.read()?;
            let dataset = match (from, sql) {
                (Some(from), Some(text)) => {
                    let (from, sql) = (sql::source(&from)?, sql::query(text)?);
                    let new = NewQuery { name, from, sql, limits: limits.into(), tags, renames };
                    let snapshots = Snapshots { dir: &dir, passwords: &sql::passwords() };
                    datasets.add_query(&folder, &database, new, snapshots)?
                }
                _ => {
                    let path = &path.unwrap_or_default();
                    let new = NewDataset { name, path, format, tags, volumes, renames };
                    datasets.add(&folder, &database, new)?
                }
            };
            print_rows([dataset], printer);
            print_remarks(dataset, printer);
            let mut fields = fields(dataset);
            fields["remarks"] = json!(dataset.remarks);
            fields["rows_looked_at"] = json!(dataset.looked_at.unwrap_or(dataset.n_rows));
            printer.event("result", &fields);
        }
        DatasetCommand::Refresh { dir, name } => refresh(&dir, &name, printer)?,
        DatasetCommand::List { dir } => {
            let (_, folder) = NodeConfig::open(&dir)?;
            let datasets = Datasets::load(&folder)?;
            print_rows(datasets.iter(), printer);
            let all: Vec<Value> = datasets.iter().map(fields).collect();
            printer.event("result", &json!({ "datasets": all }));
        }
        DatasetCommand::Show { dir, name } => show(&dir, &name, printer)?,
        DatasetCommand::Remove { dir, name } => {
            let (folder, database) = open(&dir)?;
            let removed = Datasets::load(&folder)?.remove(&folder, &database, &name)?;
            let file =
                if removed.query.is_some() { "its snapshot is gone" } else { "its file is kept" };
            printer.line(format!("{} is no longer offered; {file}", removed.name));
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

/// Shows the remarks about a new dataset, the first ones.
fn print_remarks(dataset: &Dataset, printer: &Printer) {
    let Dataset { path, remarks, looked_at, .. } = dataset;
    let shown = remarks.len().min(REMARKS_SHOWN);
    remarks[..shown].iter().for_each(|remark| printer.note(format!("warning: {remark}")));
    if remarks.len() > shown {
        let n = remarks.len() - shown;
        let path = path.display();
        printer.note(format!("and {n} more remarks; `fedwasm data describe {path}` has all"));
    }
    if let Some(rows) = looked_at {
        let path = path.display();
        printer.note(format!(
            "the first {rows} rows were looked at; `fedwasm data describe {path}` looks at all"
        ));
    }
}

fn print_rows<'a>(datasets: impl IntoIterator<Item = &'a Dataset>, printer: &Printer) {
    let row = |dataset: &Dataset| {
        let Dataset { name, path, tags, n_rows, columns, query, .. } = dataset;
        let size = format!("{n_rows} rows, {} columns", columns.len());
        let place = match query {
            None => path.display().to_string(),
            Some(Query { from, taken_ms, .. }) => format!("{from} of {}", utc(*taken_ms)),
        };
        vec![name.to_string(), format!("[{}]", tags.join(",")), size, place]
    };
    let datasets: Vec<&Dataset> = datasets.into_iter().collect();
    let rows: Vec<Vec<String>> = datasets.iter().copied().map(row).collect();
    Columns::new(2).left(0).left(0).right(0).left(0).print(&rows, printer);
    for Dataset { name, renames, .. } in datasets.iter().filter(|set| !set.renames.is_empty()) {
        let shown = renames.iter().take(RENAMES_SHOWN).map(|(old, new)| format!("{old} as {new}"));
        let more = if renames.len() > RENAMES_SHOWN { ", ..." } else { "" };
        printer.line(format!("{name} has {}{more}", shown.collect::<Vec<_>>().join(", ")));
    }
}

/// Registers a dataset again, and shows what is different.
fn refresh(dir: &Path, name: &DatasetId, printer: &Printer) -> Result<(), CommandError> {
    let (folder, database) = open(dir)?;
    let mut datasets = Datasets::load(&folder)?;
    let snapshots = Snapshots { dir, passwords: &sql::passwords() };
    let (before, now) = datasets.refresh(&folder, &database, name, snapshots)?;
    print_rows([&now], printer);
    let was = format!("{} rows, {} columns", before.n_rows, before.columns.len());
    printer.line(format!("           it was registered with {was}"));
    if let (Some(before), Some(now)) = (&before.query, &now.query) {
        printer.line(match before.digest == now.digest {
            true => "           the answer is the same".to_owned(),
            false => format!("           {} became {}", before.digest, now.digest),
        });
    }
    print_remarks(&now, printer);
    let mut fields = fields(&now);
    fields["rows_before"] = json!(before.n_rows);
    fields["digest_before"] = json!(before.query.map(|query| query.digest));
    fields["remarks"] = json!(now.remarks);
    fields["rows_looked_at"] = json!(now.looked_at.unwrap_or(now.n_rows));
    printer.event("result", &fields);
    Ok(())
}

/// Shows all of a dataset.
fn show(dir: &Path, name: &DatasetId, printer: &Printer) -> Result<(), CommandError> {
    let (_, folder) = NodeConfig::open(dir)?;
    let datasets = Datasets::load(&folder)?;
    let missing = || fedwasm_node::Error::NoDataset { name: name.to_string() };
    let dataset = datasets.find(name).ok_or_else(missing)?;
    let mut fields = fields(dataset);
    fields["remarks"] = json!(dataset.remarks);
    printer.event("result", &fields);
    let Dataset { name, path, tags, n_rows, columns, format, query, remarks, .. } = dataset;
    let mut lines = vec![
        ("name", name.to_string()),
        ("tags", tags.join(", ")),
        ("rows", n_rows.to_string()),
        ("columns", columns.join(", ")),
        ("file", format!("{} ({format})", path.display())),
    ];
    if let Some(Query { from, sql, limits, taken_ms, digest }) = query {
        lines.extend([
            ("from", from.to_string()),
            ("query", sql.trim().replace('\n', "\n         ")),
            ("asked", format!("{} UTC", utc(*taken_ms))),
            ("sha256", digest.to_string()),
            ("limits", format!("{} s, {} rows, {} MiB", limits.seconds, limits.rows, limits.mib)),
        ]);
    }
    lines.iter().for_each(|(what, text)| printer.line(format!("{what:<8} {text}")));
    remarks.iter().for_each(|remark| printer.note(format!("warning: {remark}")));
    Ok(())
}

fn fields(dataset: &Dataset) -> Value {
    json!({
        "name": dataset.name,
        "path": dataset.path,
        "tags": dataset.tags,
        "rows": dataset.n_rows,
        "columns": dataset.columns,
        "type": dataset.format,
        "volumes": dataset.volumes,
        "query": dataset.query,
        "renames": dataset.renames,
    })
}
