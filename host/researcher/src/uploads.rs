//! What a researcher keeps of an experiment so that others can recompute it: the parameters that
//! nodes uploaded, and the receipts that they signed.

use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_protocol::{Digest, Mode, NodeId};
use fedwasm_trust::Member;

use crate::Error;

/// Uploads, each under its digest.
pub(crate) const UPLOADS: &str = "uploads";
/// Receipts, by round and node.
pub(crate) const RECEIPTS: &str = "receipts";
/// Who is who, beside the receipts.
pub(crate) const MEMBERSHIP: &str = "membership.json";

pub(crate) fn upload_name(digest: &Digest) -> String {
    format!("{digest}.safetensors")
}

pub(crate) fn receipt_name(round: u32, node: &NodeId, mode: Mode) -> String {
    let mode = match mode {
        Mode::Train => "train",
        Mode::Validate => "validate",
    };
    format!("round-{round:04}-{node}-{mode}.json")
}

/// Keeps uploads.
pub(crate) fn keep<'a>(
    dir: &Path,
    uploads: impl IntoIterator<Item = (&'a Digest, &'a [u8])>,
) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(UPLOADS)?;
    for (digest, bytes) in uploads {
        let name = upload_name(digest);
        if !folder.has(&name) {
            folder.write(&name, bytes)?;
        }
    }
    Ok(())
}

/// Keeps a node's receipt of a round.
pub(crate) fn keep_receipt(
    dir: &Path,
    (round, node, mode): (u32, &NodeId, Mode),
    signed: &[u8],
) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(RECEIPTS)?;
    Ok(folder.write_quickly(&receipt_name(round, node, mode), signed)?)
}

/// Keeps who is who: without it no receipt could be checked later.
pub(crate) fn keep_membership(dir: &Path, member: &Member) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(RECEIPTS)?;
    let json = serde_json::to_vec(&member.current_membership()?).map_err(std::io::Error::from)?;
    Ok(folder.write(MEMBERSHIP, &json)?)
}
