//! `fedwasm node init`: the directory of a new node.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use fedwasm_node::{NodeConfig, Policy};
use fedwasm_protocol::NodeId;
use fedwasm_transport::{RepositoryUrl, Security, join};
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::printer::Printer;

/// Create the directory of a new node.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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

pub(super) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let Args { dir, id, mqtt, repository, approve, trust, operator } = args;
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
    let enrolled = enrol(&config, &dir, printer).await?;
    printer.event(
        "result",
        &json!({
            "node": config.id, "dir": dir, "fingerprint": fingerprint,
            "enrolled": enrolled,
        }),
    );
    Ok(())
}

/// Enrols it where the federation is on this machine, or says what to do; returns whether.
async fn enrol(config: &NodeConfig, dir: &Path, printer: &Printer) -> Result<bool, CommandError> {
    let url: RepositoryUrl = config.repository.parse()?;
    let enrolled = match url.security() {
        Security::Loopback => join(config.identity(dir)?, &url).await.map(|_| true),
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
    match enrolled {
        Err(error @ fedwasm_transport::Error::Repository { .. }) => Err(error.into()),
        enrolled => Ok(enrolled.unwrap_or(false)),
    }
}
