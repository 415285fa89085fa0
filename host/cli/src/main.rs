//! The command `fedwasm`: parse, call, render, exit code. No rules of its own.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "help texts name tables of files, such as [data]"
)]

mod columns;
mod command_error;
mod commands;
mod drawing;
mod printer;
mod progress;
mod python_template;
mod stop;
mod template;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use fedwasm_sandbox::{WORKER_ARGUMENT, return_large_buffers, serve_worker};
use serde_json::json;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::printer::Printer;

fn main() -> ExitCode {
    // A worker of ours: its process must do nothing else.
    if std::env::args_os().nth(1).is_some_and(|word| word == WORKER_ARGUMENT) {
        return work();
    }
    // Not in workers: batches come and go there, and returning them costs time.
    return_large_buffers();
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        // Help goes to standard output with code 0, mistakes to standard error with code 2.
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() && std::env::args().any(|arg| arg == "--json") {
                let message = error.kind().to_string();
                Printer::new(true).event("error", &json!({ "message": message, "exit_code": 2 }));
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    start_logging();
    let printer = Printer::new(cli.json);
    match commands::run(cli.command, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(error.kind as u8)
        }
    }
}

/// Runs plans for the process that started this one.
fn work() -> ExitCode {
    match serve_worker() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The worker's error, which its host reads.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error: our own from level info on, those of libraries
/// from level warn on. `FEDWASM_LOG` sets our level.
fn start_logging() {
    let level = std::env::var("FEDWASM_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(tracing::Level::INFO);
    let filter = Targets::new()
        .with_default(tracing::Level::WARN)
        .with_target("fedwasm", level)
        // The broker warns of each client that hangs up.
        .with_target("mqtt5", tracing::Level::ERROR);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let format = tracing_subscriber::fmt::layer();
    let format = format.with_writer(std::io::stderr).with_target(false).with_ansi(colours);
    tracing_subscriber::registry().with(format).with(filter).init();
}
