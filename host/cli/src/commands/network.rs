//! `fedwasm network`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use fedwasm_transport::{Broker, Pruned, RepositoryServer};
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::printer::Printer;
use crate::stop::{stop_signal, stopped};

/// The repository's own directory.
const BLOBS: &str = "blobs";

/// Run the broker and the repository of a federation.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until Ctrl-C; prints one line with the addresses when ready.
    Start {
        /// Where the repository keeps its blobs.
        #[arg(long, default_value = "fedwasm-network")]
        dir: PathBuf,
        /// The broker's address; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:1883")]
        mqtt: SocketAddr,
        /// The repository's address; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:8844")]
        http: SocketAddr,
        /// Stop when standard input ends.
        #[arg(long, hide = true)]
        exit_with_stdin: bool,
    },
    /// Delete the blobs of finished experiments, while it serves or not.
    Prune {
        /// Where the repository keeps its blobs.
        #[arg(long, default_value = "fedwasm-network")]
        dir: PathBuf,
    },
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    let (dir, mqtt, http, exit_with_stdin) = match command {
        Command::Start { dir, mqtt, http, exit_with_stdin } => (dir, mqtt, http, exit_with_stdin),
        Command::Prune { dir } => return prune(&dir, printer).await,
    };
    let stop = stop_signal(exit_with_stdin)?;
    let blobs = dir.join(BLOBS);
    std::fs::create_dir_all(&blobs)?;
    let repository = RepositoryServer::start(http, &blobs).await?;
    let broker = match Broker::start(mqtt).await {
        Ok(broker) => broker,
        Err(error) => {
            repository.stop().await;
            return Err(error.into());
        }
    };
    printer.always(
        "ready",
        &json!({
            "mqtt": format!("mqtt://{}", broker.address()),
            "repository": format!("http://{}", repository.address()),
        }),
    );
    stopped(stop).await;
    broker.stop().await;
    repository.stop().await;
    Ok(())
}

async fn prune(dir: &Path, printer: &Printer) -> Result<(), CommandError> {
    let blobs = dir.join(BLOBS);
    if !blobs.is_dir() {
        let message = format!("{} holds no repository", dir.display());
        return Err(CommandError::new(USAGE, message));
    }
    let Pruned { experiments, blobs, bytes, unfinished } = fedwasm_transport::prune(&blobs).await?;
    printer.line(format!(
        "{blobs} blobs of {experiments} finished experiments deleted, {bytes} bytes; those of \
         {unfinished} unfinished ones stay"
    ));
    printer.event("result", &json!({ "experiments": experiments, "blobs": blobs, "bytes": bytes }));
    Ok(())
}
