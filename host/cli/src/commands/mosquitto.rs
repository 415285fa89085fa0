//! Configuration for mosquitto 2, the broker for more than one machine: a directory of its own,
//! `broker`, which can be given to the user that mosquitto runs as.

use std::path::{Path, PathBuf};

use fedwasm_protocol::MESSAGE_BYTES_MAX;
use fedwasm_transport::Topics;
use fedwasm_trust::Authority;

use crate::command_error::CommandError;

const BROKER: &str = "broker";
const CONF: &str = "mosquitto.conf";
const ACL: &str = "mosquitto.acl";
const REVOKED: &str = "revoked.pem";

/// Writes all files of mosquitto below `dir`; returns the path of its configuration.
pub(crate) fn write(dir: &Path, authority: &Authority, port: u16) -> Result<PathBuf, CommandError> {
    let broker = std::path::absolute(dir)?.join(BROKER);
    let Some(files) = authority.server_files()? else {
        return Err(CommandError::new(crate::command_error::USAGE, "no certificates"));
    };
    fedwasm_folder::write_file(&broker.join("ca.pem"), files.ca.as_bytes())?;
    fedwasm_folder::write_file(&broker.join("server.pem"), files.certificate.as_bytes())?;
    fedwasm_folder::write_private_file(&broker.join("server.key.pem"), files.key_pem().as_bytes())?;
    let (here, bytes) = (broker.display(), MESSAGE_BYTES_MAX);
    let text = format!(
        "# Written by `fedwasm network init`. Give this directory to the user that mosquitto runs\n\
         # as; after `network enrol` and `network revoke`: kill -HUP.\n\
         listener {port}\n\
         cafile {here}/ca.pem\n\
         crlfile {here}/{REVOKED}\n\
         certfile {here}/server.pem\n\
         keyfile {here}/server.key.pem\n\
         tls_version tlsv1.3\n\
         require_certificate true\n\
         # The certificate's common name is the participant.\n\
         use_identity_as_username true\n\
         allow_anonymous false\n\
         acl_file {here}/{ACL}\n\
         message_size_limit {bytes}\n\
         max_queued_messages 1024\n\
         memory_limit 1073741824\n\
         set_tcp_nodelay true\n\
         persistence false\n\
         sys_interval 0\n"
    );
    let conf = broker.join(CONF);
    fedwasm_folder::write_file(&conf, text.as_bytes())?;
    update(dir, authority)?;
    Ok(conf)
}

/// Writes the revocations and the access rules again, if mosquitto is configured.
pub(crate) fn update(dir: &Path, authority: &Authority) -> Result<(), CommandError> {
    let broker = dir.join(BROKER);
    if broker.join(CONF).exists() {
        let revoked = authority.revoked_certificates()?;
        fedwasm_folder::write_file(&broker.join(REVOKED), revoked.as_bytes())?;
        fedwasm_folder::write_file(&broker.join(ACL), access_list(authority)?.as_bytes())?;
    }
    Ok(())
}

/// Each participant writes under its own name and reads its own messages; one without a key may do
/// nothing.
fn access_list(authority: &Authority) -> Result<String, CommandError> {
    let roster = authority.roster()?;
    let gone = roster.entries.iter().map(|entry| &entry.participant);
    let gone = gone.filter(|participant| roster.key(participant).is_none());
    let gone: std::collections::BTreeSet<String> = gone.map(ToString::to_string).collect();
    let denied = gone.iter().map(|name| format!("user {name}\ntopic deny #\n"));
    Ok(Topics::new(&roster.federation).mosquitto_acl() + &denied.collect::<String>())
}
