//! The processes of the demo: broker and repository, and a node each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::command_error::{CommandError, FAILED};

/// How long a process may take to say that it serves.
const READY_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a process may take to leave.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);

/// A process of the demo; killed when dropped. It holds our end of its
/// standard input, so it stops even if we are killed.
pub(super) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    pub(super) fn start(
        command: &[&str],
        args: &[&std::ffi::OsStr],
        log: &Path,
    ) -> Result<Self, CommandError> {
        let stderr = std::fs::File::create(log)?;
        let child = Command::new(std::env::current_exe()?)
            .args(command)
            .args(args)
            .arg("--exit-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, name: command.join(" "), log: log.to_owned() })
    }

    /// Waits for the line that reports that it serves.
    pub(super) async fn ready(&mut self) -> Result<Value, CommandError> {
        let mut line = String::new();
        if let Some(stdout) = self.child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let read = tokio::time::timeout(READY_TIME_MAX, stdout.read_line(&mut line));
            if read.await.is_err() {
                line.clear();
            }
        }
        serde_json::from_str(&line).map_err(|_| {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let log = log.lines().last().unwrap_or("it said nothing").to_owned();
            CommandError::new(FAILED, format!("`fedwasm {}` does not serve: {log}", self.name))
        })
    }

    /// Lets it say farewell, then makes sure that it is gone.
    pub(super) async fn leave(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(LEAVE_TIME_MAX, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
