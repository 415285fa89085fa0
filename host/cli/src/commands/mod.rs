//! One module a command; the folder mirrors the command line.

mod compare;
mod data;
mod demo;
mod doctor;
mod evaluate;
mod experiment;
mod keys;
mod local;
mod model;
mod mosquitto;
mod network;
mod node;
mod nodes;
mod plan;
mod predict;
mod rename;
mod scores;
mod simulate;
mod sql;
mod start;
mod verify;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use fedwasm_protocol::FieldSelection;
use fedwasm_sandbox::{Profile, Sandbox, WorkerOptions};

use crate::command_error::{CommandError, FAILED, USAGE};
use crate::printer::Printer;

/// Host for federated-learning training plans compiled to WebAssembly components.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub(crate) struct Cli {
    /// Write JSON Lines to standard output, one object an event.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole federation on this machine and compare it with each site alone.
    Demo(demo::Args),
    /// Build and inspect training plans.
    #[command(subcommand)]
    Plan(plan::Command),
    /// Train on a local file, in the sandbox.
    Local(local::Args),
    /// Show the differences of two runs, and their scores side by side.
    Compare(compare::Args),
    /// Score a model, or parameters, on a file.
    Evaluate(evaluate::Args),
    /// Look at data before a plan does.
    #[command(subcommand)]
    Data(data::Command),
    /// Predict for the rows of a file with the model of a run.
    Predict(predict::Args),
    /// Show, check and sign the models of runs.
    #[command(subcommand)]
    Model(model::Command),
    /// Found a federation, enrol its participants, and run its broker and repository.
    #[command(subcommand)]
    Network(network::Command),
    /// Set up and run a node.
    #[command(subcommand)]
    Node(node::Command),
    /// Show the connected nodes and the datasets that they offer.
    Nodes(nodes::Args),
    /// Run an experiment on a federation, and show its results.
    #[command(subcommand)]
    Experiment(experiment::Command),
    /// Simulate an experiment: thousands of nodes in this process, with the rows of one file.
    Simulate(simulate::Args),
    /// Make and show keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Check a receipt: its signer and, at the site, that running the round again gives the same
    /// bytes.
    Verify(verify::Args),
    /// Show the protections and tools that this machine has for plans, and those that it lacks.
    ///
    /// The exit code is 1 if anything is missing that plans run with. Parts marked `absent` are
    /// needed only to build plans.
    Doctor,
}

impl Command {
    /// The file that gives arguments, if there is one.
    fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Plan(command) => command.file(),
            Self::Local(args) => args.file(),
            Self::Evaluate(args) => args.file(),
            Self::Data(command) => command.file(),
            Self::Experiment(command) => command.file(),
            Self::Simulate(args) => args.file(),
            _ => None,
        }
    }
}

/// Runs a command.
pub(crate) fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    let file = command.file();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::new(FAILED, error))?;
    let result = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args, printer).await,
            Command::Plan(command) => plan::run(command, printer).await,
            Command::Local(args) => local::run(args, printer).await,
            Command::Compare(args) => compare::run(&args, printer),
            Command::Evaluate(args) => evaluate::run(args, printer),
            Command::Data(command) => data::run(command, printer).await,
            Command::Predict(args) => predict::run(args, printer),
            Command::Model(command) => model::run(command, printer),
            Command::Network(command) => network::run(command, printer).await,
            Command::Node(command) => node::run(command, printer).await,
            Command::Nodes(args) => nodes::run(args, printer).await,
            Command::Experiment(command) => experiment::run(command, printer).await,
            Command::Simulate(args) => simulate::run(args, printer).await,
            Command::Keys(command) => keys::run(command, printer),
            Command::Verify(args) => verify::run(args, printer),
            Command::Doctor => doctor::run(printer),
        }
    });
    // A plan that was told to stop does so within a tick; no other task is waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result.map_err(|error| error.in_file(file.as_deref()))
}

/// The sandbox of plans: workers of this program. Without a cache they only start slower.
fn sandbox(strict: bool, printer: &Printer) -> Result<Sandbox, CommandError> {
    let options = WorkerOptions::of_user();
    let sandbox = match Sandbox::new(options.clone()) {
        Err(fedwasm_sandbox::Error::Cache(error)) => {
            printer.note(format!("compiled plans cannot be cached: {error}"));
            Sandbox::new(WorkerOptions { cache: None, ..options })
        }
        result => result,
    };
    let profile = if strict { Profile::Strict } else { Profile::Standard };
    Ok(sandbox?.with_profile(profile))
}

/// The column to predict, from the flag or from the file; the only one that the
/// data can mean if neither names one.
fn target(
    file: &fedwasm_local::LocalFile,
    flag: Option<&str>,
    (data, format, volumes, renames): (
        &std::path::Path,
        Option<fedwasm_dataset::Format>,
        &fedwasm_dataset::Volumes,
        &fedwasm_dataset::Renames,
    ),
) -> Result<FieldSelection, CommandError> {
    if let Some(target) = file.target(flag) {
        return Ok(target);
    }
    let data = fedwasm_dataset::Dataset::open_with(data, format, volumes);
    let data = data.and_then(|data| data.renamed(renames));
    let data = data.map_err(fedwasm_local::Error::from)?;
    data.default_target().map(FieldSelection::from).ok_or_else(|| {
        CommandError::new(USAGE, "the target is missing; name the column to predict with --target")
    })
}

/// The settings of volumes in a TOML file; none are set without one.
fn read_volumes(path: Option<&std::path::Path>) -> Result<fedwasm_dataset::Volumes, CommandError> {
    /// The largest file, in bytes.
    const BYTES_MAX: u64 = 1 << 20;
    let Some(path) = path else { return Ok(fedwasm_dataset::Volumes::default()) };
    let wrong = |error: String| CommandError::new(USAGE, format!("{}: {error}", path.display()));
    let text = fedwasm_folder::read_file(path, BYTES_MAX)?;
    let text = String::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Runs blocking work away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| CommandError::new(FAILED, error))
}
