//! Configuration for mosquitto 2, the broker for more than one machine.

use std::path::{Path, PathBuf};

use fedwasm_protocol::MESSAGE_BYTES_MAX;
use fedwasm_transport::Topics;
use fedwasm_trust::Authority;

use crate::command_error::CommandError;

const CONF: &str = "mosquitto.conf";
const ACL: &str = "mosquitto.acl";

/// Writes configuration and access list into `dir`; returns the path of the first.
pub(crate) fn write(
    dir: &Path,
    home: &Path,
    authority: &Authority,
    port: u16,
) -> Result<PathBuf, CommandError> {
    let dir = std::path::absolute(dir)?;
    let home = std::path::absolute(home)?;
    let (home, acl) = (home.display(), dir.join(ACL));
    let (acl_path, bytes) = (acl.display(), MESSAGE_BYTES_MAX);
    let text = format!(
        "# Written by `fedwasm network init`. Whoever runs mosquitto must be able to read the\n\
         # key; after `network enrol` and `network revoke`: kill -HUP.\n\
         listener {port}\n\
         cafile {home}/ca.pem\n\
         certfile {home}/server.pem\n\
         keyfile {home}/server.key.pem\n\
         tls_version tlsv1.3\n\
         require_certificate true\n\
         # The certificate's common name is the participant, and nobody takes another's id.\n\
         use_identity_as_username true\n\
         use_username_as_clientid true\n\
         allow_anonymous false\n\
         acl_file {acl_path}\n\
         message_size_limit {bytes}\n\
         max_queued_messages 1024\n\
         set_tcp_nodelay true\n\
         persistence false\n\
         sys_interval 0\n"
    );
    let conf = dir.join(CONF);
    fedwasm_folder::write_file(&conf, text.as_bytes())?;
    fedwasm_folder::write_file(&acl, access_list(authority)?.as_bytes())?;
    Ok(conf)
}

/// Writes the access list again, if there is one.
pub(crate) fn update(dir: &Path, authority: &Authority) -> Result<(), CommandError> {
    let acl = dir.join(ACL);
    if acl.exists() {
        fedwasm_folder::write_file(&acl, access_list(authority)?.as_bytes())?;
    }
    Ok(())
}

/// Everybody writes as itself and reads its own; whoever has no key any more, nothing.
fn access_list(authority: &Authority) -> Result<String, CommandError> {
    let roster = authority.roster()?;
    let gone = roster.entries.iter().map(|entry| &entry.participant);
    let gone = gone.filter(|participant| roster.key(participant).is_none());
    let gone: std::collections::BTreeSet<String> = gone.map(ToString::to_string).collect();
    let denied = gone.iter().map(|name| format!("user {name}\ntopic deny #\n"));
    Ok(Topics::new(&roster.federation).mosquitto_acl() + &denied.collect::<String>())
}
