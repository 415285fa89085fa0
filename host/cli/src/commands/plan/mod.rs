//! `fedwasm plan`: new, build, inspect, test, sign and verify.

mod build;
mod inspect;
mod new;
mod registry;
mod sign;
mod test;
pub(crate) mod traced;
mod verify;

use std::path::PathBuf;

use crate::command_error::CommandError;
use crate::printer::Printer;
use clap::Subcommand;

pub(crate) use sign::sign;
pub(crate) use verify::judge;

/// Build and inspect training plans.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the crate of a new plan with all of its dependencies, or a new plan in Python.
    New(new::Args),
    /// Build a component from a plan crate or a Python file, the same bytes on every machine.
    Build(build::Args),
    /// Show the contents of a component, its arguments and its needs.
    Inspect {
        /// The component.
        file: PathBuf,
        /// Model arguments for the parameter shapes: the [model] of this file.
        #[arg(long)]
        args: Option<PathBuf>,
    },
    /// Test a plan: the promises of every plan, its gradient, and golden metrics.
    Test(test::Args),
    /// Sign a plan: its exact bytes, and a statement about it.
    Sign(sign::Args),
    /// Show the signers of a plan, its needs, and whether it is trusted.
    Verify(verify::Args),
    /// Push a plan and its signatures to an OCI registry.
    Push(registry::PushArgs),
    /// Pull a plan and its signatures from an OCI registry.
    Pull(registry::PullArgs),
}

impl Command {
    /// The file of --args.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Inspect { args, .. } => args.clone(),
            Self::Test(args) => args.args.clone(),
            _ => None,
        }
    }
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::New(args) => new::run(&args, printer),
        Command::Build(args) => build::run(&args, printer),
        Command::Inspect { file, args } => inspect::run(&file, args, printer),
        Command::Test(args) => test::run(args, printer),
        Command::Sign(args) => sign::run(args, printer),
        Command::Verify(args) => verify::run(args, printer),
        Command::Push(args) => registry::push(args, printer).await,
        Command::Pull(args) => registry::pull(args, printer).await,
    }
}
