//! `fedwasm data`: looks at data before a plan sees them.

mod check;
mod describe;
mod snapshot;
mod statistics;

use std::path::PathBuf;

use clap::Subcommand;

use crate::command_error::CommandError;
use crate::printer::Printer;

/// Look at data before a plan does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the columns of a file are, and propose rules that make numbers of them.
    Describe(describe::Args),
    /// Find all mistakes of a file by the rules of [data], before a plan sees it.
    Check(check::Args),
    /// Keep the answer of a database to a query as a Parquet file.
    Snapshot(snapshot::Args),
    /// Show statistics of the data of a federation: each site tells sums, never a row.
    ///
    /// Counts, means, standard deviations, quantiles within the bins of a histogram, and counts of
    /// whole numbers, of all sites that have the data of the experiment and let statistics out.
    Statistics(statistics::Args),
}

impl Command {
    /// The file that gives arguments, if there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Describe(_) | Self::Snapshot(_) => None,
            Self::Check(args) => Some(args.file()),
            Self::Statistics(args) => Some(args.file.clone()),
        }
    }
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Describe(args) => describe::run(args, printer).await,
        Command::Check(args) => check::run(args, printer).await,
        Command::Snapshot(args) => snapshot::run(args, printer).await,
        Command::Statistics(args) => statistics::run(args, printer).await,
    }
}
