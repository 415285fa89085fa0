//! The record of a secure sum: results of all its nodes together, and none of a single one.

use std::collections::BTreeSet;
use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_protocol::{Digest, Evaluation, Mode, NodeId, SecaggArgs, SecaggScheme};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A secure sum of a round, or of scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecaggRecord {
    /// How parts were hidden.
    pub scheme: SecaggScheme,
    /// The context or the setup of the sum.
    pub sum_id: Digest,
    /// The nodes that masked for each other.
    pub parties: BTreeSet<NodeId>,
    /// Those whose parts are in the sum.
    pub sum_of: BTreeSet<NodeId>,
    /// Rows of all training parts.
    pub n_samples: u64,
    /// All optimizer steps.
    pub n_steps: u64,
    /// Mean training loss, weighted by rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Scores on all held-out rows: of each node's own update after training, of the model that was
    /// sent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// SHA-256 of the sums of whole numbers, each of 64 bits, little-endian; none without some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers_sha256: Option<Digest>,
    /// The arguments that nodes were asked for, without the shares.
    pub args: SecaggArgs,
    /// SHA-256 of the transcript, from which the sum can be computed again; none if no files are
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Digest>,
}

impl SecaggRecord {
    /// In words: `secure aggregation (masking), sum of 3 nodes`.
    pub fn sentence(&self) -> String {
        let (scheme, n) = (self.scheme, self.sum_of.len());
        format!("secure aggregation ({scheme}), sum of {n} nodes")
    }
}

/// The digest of sums of whole numbers, if there are some.
pub fn numbers_sha256(numbers: &[u64]) -> Option<Digest> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    (!numbers.is_empty()).then(|| Digest::of(&bytes))
}

/// The directory of secure sums in that of an experiment.
const SECAGG: &str = "secagg";
/// The largest of its files, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The nodes that were asked for a run under secure aggregation. The same run is never summed over
/// other nodes: the difference of two sums would tell a single part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedNodes {
    /// Plan, parameters and arguments.
    pub run: Digest,
    /// The nodes.
    pub parties: BTreeSet<NodeId>,
}

/// The name of a file of a sum, such as `round-0003-train`.
fn name(round: u32, mode: Mode, kind: &str) -> String {
    let mode = match mode {
        Mode::Train => "train",
        Mode::Validate => "validate",
        Mode::Scale => "scale",
        Mode::Statistics => "statistics",
    };
    format!("round-{round:04}-{mode}{kind}.json")
}

/// Writes down who is asked for a round. A power cut may lose it; nodes remember by themselves.
///
/// # Errors
/// [`Error::Io`].
pub fn keep_asked(dir: &Path, (round, mode): (u32, Mode), asked: &AskedNodes) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(SECAGG)?;
    let json = serde_json::to_vec(asked).map_err(std::io::Error::from)?;
    Ok(folder.write_quickly(&name(round, mode, ".asked"), &json)?)
}

/// Keeps the transcript of a sum.
///
/// # Errors
/// [`Error::Io`].
pub fn keep_transcript(dir: &Path, (round, mode): (u32, Mode), json: &[u8]) -> Result<(), Error> {
    let folder = Folder::create(dir)?.folder(SECAGG)?;
    Ok(folder.write_quickly(&name(round, mode, ""), json)?)
}

/// Reads the transcript of a sum again, and checks its digest.
#[cfg(feature = "verify")]
pub(crate) fn load_transcript(
    folder: &Folder,
    (round, mode): (u32, Mode),
    digest: &Digest,
) -> Result<Vec<u8>, String> {
    let name = name(round, mode, "");
    let read = || folder.folder(SECAGG)?.read(&name, FILE_BYTES_MAX);
    let json = read().map_err(|error| format!("{SECAGG}/{name}: {error}"))?;
    match Digest::of(&json) == *digest {
        true => Ok(json),
        false => Err(format!("{SECAGG}/{name} does not have the digest that the history names")),
    }
}

/// Who was asked for a round, in this run of the program or an earlier one.
///
/// # Errors
/// [`Error::File`] if the file is damaged: without it a second set of nodes could be asked.
pub fn load_asked(dir: &Path, (round, mode): (u32, Mode)) -> Result<Option<AskedNodes>, Error> {
    match dir.join(SECAGG).is_dir() {
        true => load_asked_in(&Folder::open(dir)?, (round, mode)),
        false => Ok(None),
    }
}

/// The same in an open directory.
pub(crate) fn load_asked_in(
    folder: &Folder,
    (round, mode): (u32, Mode),
) -> Result<Option<AskedNodes>, Error> {
    let name = name(round, mode, ".asked");
    let secagg = folder.folder(SECAGG)?;
    if !secagg.has(&name) {
        return Ok(None);
    }
    let read = serde_json::from_slice(&secagg.read(&name, FILE_BYTES_MAX)?);
    let path = Path::new(SECAGG).join(name);
    read.map(Some).map_err(|error| Error::File { path, reason: format!(" {error}") })
}
