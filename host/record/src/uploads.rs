//! The files of an experiment that a researcher keeps so that others can recompute it: the
//! parameters that nodes uploaded, and the receipts that they signed.

use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors};
use fedwasm_protocol::{Digest, Mode, NodeId};

use serde::Serialize;

use crate::Error;

/// Uploads, each under its digest.
pub const UPLOADS: &str = "uploads";
/// Parameters after each round.
const PARAMS: &str = "params";
/// The largest upload that is read, in bytes.
pub const UPLOAD_BYTES_MAX: u64 = 4 << 30;
/// Receipts, by round and node.
pub const RECEIPTS: &str = "receipts";
/// The membership file, beside the receipts.
pub const MEMBERSHIP: &str = "membership.json";

/// The name of the file of an upload.
pub fn upload_name(digest: &Digest) -> String {
    format!("{digest}.safetensors")
}

/// The name of the file of a receipt.
pub fn receipt_name(round: u32, node: &NodeId, mode: Mode) -> String {
    let mode = match mode {
        Mode::Train => "train",
        Mode::Validate => "validate",
        Mode::Scale => "scale",
        Mode::Statistics => "statistics",
    };
    format!("round-{round:04}-{node}-{mode}.json")
}

/// Keeps uploads. They are evidence, checked when they are read: a power cut may lose the newest.
pub fn keep<'a>(
    dir: &Path,
    uploads: impl IntoIterator<Item = (&'a Digest, &'a [u8])>,
) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(UPLOADS)?;
    for (digest, bytes) in uploads {
        let name = upload_name(digest);
        if !folder.has(&name) {
            folder.write_quickly(&name, bytes)?;
        }
    }
    Ok(())
}

/// Reads an upload again, and checks its digest.
pub fn load(uploads: &Folder, digest: &Digest) -> Result<Params, String> {
    let bytes = uploads.read(&upload_name(digest), UPLOAD_BYTES_MAX);
    let bytes = bytes.map_err(|error| error.to_string())?;
    if Digest::of(&bytes) != *digest {
        return Err(format!("upload {digest} has other bytes"));
    }
    from_safetensors(&bytes).map_err(|error| error.to_string())
}

/// Keeps the parameters after a round, and those of the newest `keep` rounds.
pub fn keep_params(dir: &Path, round: u32, bytes: &[u8], keep: usize) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(PARAMS)?;
    let name = |round: u32| format!("round-{round:04}.safetensors");
    folder.write(&name(round), bytes)?;
    let round_of = |known: &String| -> Option<u32> {
        let round = known.strip_prefix("round-")?.strip_suffix(".safetensors")?.parse().ok()?;
        (name(round) == *known).then_some(round)
    };
    for known in folder.names()? {
        let Some(other) = round_of(&known) else { continue };
        // Later ones belong to a future that was given up.
        let age = usize::try_from(round.saturating_sub(other)).unwrap_or(usize::MAX);
        if other > round || age >= keep {
            folder.remove(&known)?;
        }
    }
    Ok(())
}

/// Forgets the parameters of an earlier experiment.
pub fn forget_params(dir: &Path) -> Result<(), Error> {
    Ok(Folder::open(dir)?.remove_folder(PARAMS)?)
}

/// Keeps the receipts of nodes for a round.
pub fn keep_receipts<'a>(
    dir: &Path,
    (round, mode): (u32, Mode),
    receipts: impl IntoIterator<Item = (&'a NodeId, &'a Vec<u8>)>,
) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(RECEIPTS)?;
    for (node, signed) in receipts {
        folder.write_quickly(&receipt_name(round, node, mode), signed)?;
    }
    Ok(())
}

/// Keeps the membership: without it no receipt could be checked later.
pub fn keep_membership(dir: &Path, membership: &impl Serialize) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(RECEIPTS)?;
    let json = serde_json::to_vec(membership).map_err(std::io::Error::from)?;
    Ok(folder.write(MEMBERSHIP, &json)?)
}
