//! `fedwasm keys`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use fedwasm_protocol::Participant;
use fedwasm_trust::{Identity, KeyPair, Membership, PublicKey};
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::printer::Printer;

/// The key in an identity's directory.
const KEY: &str = "key.pem";
/// The largest file of a membership: it holds a roster.
const MEMBERSHIP_BYTES_MAX: u64 = 8 << 20;

/// Make and show keys: ECDSA over P-256, as openssl has them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Draw a key. Only its owner can read the file.
    Generate {
        /// The file of the private key; the public key goes beside it as FILE.pub. With --as, the
        /// directory of a participant.
        path: PathBuf,
        /// The participant that owns the key, such as `researcher-alice`.
        #[arg(long = "as")]
        participant: Option<Participant>,
    },
    /// Show the public key of a file or of a participant's directory.
    Show {
        /// The file or directory.
        path: PathBuf,
    },
    /// Show the SHA-256 of the public key, by which people compare it.
    Fingerprint {
        /// The file or directory.
        path: PathBuf,
    },
    /// Join a participant to the federation that enrolled it.
    Join {
        /// The participant's directory.
        dir: PathBuf,
        /// The membership file that `fedwasm network enrol` wrote for it.
        membership: PathBuf,
    },
}

pub(crate) fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Generate { path, participant: None } => {
            let key = KeyPair::create(&path)?;
            printer.line(format!("private    {}", path.display()));
            printer.line(format!("public     {}.pub", path.display()));
            show_fingerprint(key.public(), printer);
            Ok(())
        }
        Command::Generate { path, participant: Some(participant) } => {
            let identity = Identity::create(&path, participant)?;
            printer.line(format!("identity   {} in {}", identity.participant, path.display()));
            printer.line(format!("public     {}.pub", path.join(KEY).display()));
            show_fingerprint(identity.key.public(), printer);
            Ok(())
        }
        Command::Show { path } => {
            let key = read(&path)?;
            printer.line(key.to_pem().trim_end());
            printer.line(format!("base64     {}", String::from(key.clone())));
            show_fingerprint(&key, printer);
            Ok(())
        }
        Command::Fingerprint { path } => {
            let fingerprint = read(&path)?.fingerprint();
            printer.line(fingerprint);
            printer.event("result", &json!({ "fingerprint": fingerprint }));
            Ok(())
        }
        Command::Join { dir, membership } => join(Identity::open(&dir)?, &membership, printer),
    }
}

/// Joins a participant.
pub(crate) fn join(identity: Identity, path: &Path, printer: &Printer) -> Result<(), CommandError> {
    let json = fedwasm_folder::read_file(path, MEMBERSHIP_BYTES_MAX)?;
    let membership: Membership = serde_json::from_slice(&json)
        .map_err(|error| CommandError::new(USAGE, format!("{}: {error}", path.display())))?;
    let member = identity.join(&membership)?;
    let (participant, roster) = (member.participant(), member.roster());
    let authority = membership.authority.fingerprint();
    printer.line(format!("joined     {} ({})", roster.name, roster.federation));
    printer.line(format!("as         {participant}"));
    printer.line(format!("authority  {authority}"));
    printer.line(
        "           have the authority read it to you over another channel than that of the file",
    );
    printer.event(
        "result",
        &json!({
            "participant": participant, "federation": roster.federation, "authority": authority,
        }),
    );
    Ok(())
}

fn read(path: &Path) -> Result<PublicKey, CommandError> {
    let path = if path.is_dir() { path.join(KEY) } else { path.to_owned() };
    Ok(PublicKey::read(&path)?)
}

fn show_fingerprint(key: &PublicKey, printer: &Printer) {
    let fingerprint = key.fingerprint();
    printer.line(format!("fingerprint {fingerprint}"));
    let base64 = String::from(key.clone());
    printer.event(
        "result",
        &json!({ "fingerprint": fingerprint, "public": key.to_pem(), "base64": base64 }),
    );
}
