//! The receipts of a node: written after every run, each naming the one before, with the opening of
//! its commitments; and, as long as there is room, the inputs to run it again.

use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_folder::Folder;
use fedwasm_protocol::{Digest, Limits, Participant, Payload, RoundReply, RoundRequest};
use fedwasm_sandbox::{ENGINE_VERSION, Profile};
use fedwasm_trust::{Engine, Opening, RECEIPT_VERSION, Receipt, RunResult};
use rusqlite::{OptionalExtension as _, params};
use serde_json::json;

use crate::database::STATE_OUT;
use crate::log::append;
use crate::round::Used;
use crate::{Database, Error};

const INPUTS: &str = "inputs";

/// All facts of a run that its receipt holds.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) node: &'a Participant,
    pub(crate) researcher: Participant,
    pub(crate) federation: fedwasm_protocol::FederationId,
    pub(crate) request_sha256: Digest,
    pub(crate) request: &'a RoundRequest,
    pub(crate) approved_by: String,
    pub(crate) profile: Profile,
    pub(crate) limits: Limits,
    pub(crate) reply: &'a RoundReply,
    pub(crate) used: Used,
    pub(crate) opening: Opening,
    pub(crate) time_ms: u64,
}

/// The receipts of a node.
#[derive(Clone, Debug)]
pub(crate) struct Receipts {
    database: Database,
    /// The most bytes of inputs that are kept.
    inputs_bytes_max: u64,
    /// Bytes of inputs that are kept; none until they were counted. Counting takes longer
    /// with every run, so it is done once.
    inputs_bytes: Arc<Mutex<Option<u64>>>,
}

impl Receipts {
    pub(crate) fn new(database: Database, inputs_bytes_max: u64) -> Self {
        Self { database, inputs_bytes_max, inputs_bytes: Arc::default() }
    }

    /// Signs and writes the receipt of a run, and its entry in the log. Returns the signed
    /// receipt.
    pub(crate) fn write(&self, run: Run<'_>) -> Result<Vec<u8>, Error> {
        let Run { reply, opening, time_ms, .. } = run;
        self.database.write(|write| {
            let query = "SELECT json_extract(entry, '$.receipt') FROM log
                         WHERE json_extract(entry, '$.kind') = 'run' ORDER BY number DESC LIMIT 1";
            let previous: Option<String> =
                write.query_row(query, [], |row| row.get(0)).optional()?;
            let receipt = Receipt {
                version: RECEIPT_VERSION,
                federation: run.federation,
                node: run.node.clone(),
                researcher: run.researcher,
                request_sha256: run.request_sha256,
                request: Receipt::request(run.request),
                approved_by: run.approved_by,
                engine: engine(run.profile),
                limits: run.limits,
                dataset: opening.dataset(),
                state_in: opening.state_in(),
                result: result(reply, run.used, &opening),
                time_ms,
                previous: previous.and_then(|digest| digest.parse().ok()),
            };
            let signed = receipt.sign(self.database.key())?;
            let digest = Digest::of(&signed);
            let opening = serde_json::to_vec(&opening).unwrap_or_default();
            write.execute(
                "INSERT INTO receipt (digest, signed, opening) VALUES (?1, ?2, ?3)",
                params![digest.to_string(), signed, opening],
            )?;
            let request = run.request;
            let fields = json!({
                "researcher": receipt.researcher, "experiment": request.experiment_id,
                "round": request.round, "mode": request.mode, "plan": request.plan.sha256,
                "dataset": request.dataset_id, "approved_by": receipt.approved_by,
                "left": left(reply), "receipt": digest,
            });
            append(&self.database, write, time_ms, "run", &fields)?;
            Ok(signed)
        })
    }

    /// Keeps the inputs of a run, so that it can be run again; the oldest inputs go when there is
    /// no room. Best effort: a receipt is valid without them.
    pub(crate) fn keep_inputs<'a>(
        &self,
        node: &Folder,
        inputs: impl IntoIterator<Item = &'a [u8]>,
    ) {
        if let Err(error) = self.try_keep_inputs(node, inputs) {
            tracing::warn!("the inputs of the run could not be kept: {error}");
        }
    }

    fn try_keep_inputs<'a>(
        &self,
        node: &Folder,
        inputs: impl IntoIterator<Item = &'a [u8]>,
    ) -> std::io::Result<()> {
        let folder = node.folder(INPUTS)?;
        let mut known = self.inputs_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = known.take();
        for bytes in inputs {
            let (name, len) = (Digest::of(bytes).to_string(), bytes.len() as u64);
            if len <= self.inputs_bytes_max && !folder.has(&name) {
                folder.write_quickly(&name, bytes)?;
                total = total.map(|total| total.saturating_add(len));
            }
        }
        *known = Some(match total {
            Some(total) if total <= self.inputs_bytes_max => total,
            _ => self.prune(&folder)?,
        });
        Ok(())
    }

    /// Removes all inputs because the disk is full.
    pub(crate) fn forget_inputs(&self, node: &Folder) -> std::io::Result<()> {
        let folder = node.folder(INPUTS)?;
        let mut known = self.inputs_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let names = folder.names()?;
        if !names.is_empty() {
            tracing::warn!("the disk is full: the inputs of earlier runs are removed");
        }
        names.iter().try_for_each(|name| folder.remove(name))?;
        *known = Some(0);
        Ok(())
    }

    /// Removes the oldest inputs if there are too many, and some more, so that the next run need
    /// not remove any. Returns the bytes of those that stay.
    fn prune(&self, folder: &Folder) -> std::io::Result<u64> {
        let mut files = Vec::new();
        let mut total = 0_u64;
        for name in folder.names()? {
            let (len, modified) = (folder.len(&name)?, folder.modified(&name)?);
            total = total.saturating_add(len);
            files.push((modified, len, name));
        }
        if total <= self.inputs_bytes_max {
            return Ok(total);
        }
        files.sort();
        // The newest are the inputs of the last run.
        files.pop();
        for (_, len, name) in files {
            if total <= self.inputs_bytes_max / 8 * 7 {
                break;
            }
            folder.remove(&name)?;
            total -= len;
        }
        Ok(total)
    }
}

/// The blobs that left the node in a reply.
fn left(reply: &RoundReply) -> serde_json::Value {
    let blob = |payload: &Option<Payload>| payload.as_ref().map(|payload| payload.blob);
    json!({
        "params": reply.params, "compressed": blob(&reply.compressed), "aux": blob(&reply.aux), "train_loss": reply.train_loss,
        "n_samples": reply.n_samples, "n_steps": reply.n_steps,
        "metrics": reply.evaluation.as_ref().map(|e| &e.metrics), "secagg": reply.secagg,
        "optimizer_args": reply.optimizer_args, "sums": blob(&reply.sums),
    })
}

/// The result of a reply in the form of a receipt.
fn result(reply: &RoundReply, used: Used, opening: &Opening) -> RunResult {
    RunResult {
        memory_bytes: used.memory_bytes,
        fuel: used.fuel,
        params: reply.params,
        aux: reply.aux.as_ref().map(|payload| payload.blob),
        sums: reply.sums.as_ref().map(|payload| payload.blob),
        state_out: opening.state_out(),
        n_samples: reply.n_samples,
        n_steps: reply.n_steps,
        train_loss: reply.train_loss,
        evaluation: reply.evaluation.clone(),
        optimizer_args: reply.optimizer_args.clone(),
        encryption_factor: reply.encryption_factor.clone(),
        secagg: reply.secagg.clone(),
        masks: opening.masks(),
    }
}

/// The fewest digits that name a receipt.
const RECEIPT_DIGITS_MIN: usize = 6;

fn engine(profile: Profile) -> Engine {
    Engine {
        fedwasm: env!("CARGO_PKG_VERSION").into(),
        wasmtime: ENGINE_VERSION.into(),
        profile: match profile {
            Profile::Standard => "standard".into(),
            Profile::Strict => "strict".into(),
        },
        target: std::env::consts::ARCH.into(),
    }
}

impl Database {
    /// A signed receipt of the node.
    ///
    /// # Errors
    /// [`Error::NoReceipt`], [`Error::Database`].
    pub fn receipt(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        self.column("signed", digest)
    }

    /// The receipt whose digest begins with these digits, at least 6 of them.
    ///
    /// # Errors
    /// [`Error::NoReceipt`], [`Error::ReceiptDigits`] if they are too few or begin several,
    /// [`Error::Database`].
    pub fn find_receipt(&self, digits: &str) -> Result<Digest, Error> {
        let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
        let wrong = |reason| Error::ReceiptDigits { digits: digits.to_owned(), reason };
        let none = || Error::NoReceipt { digest: digits.to_owned() };
        if digits.len() < RECEIPT_DIGITS_MIN {
            return Err(wrong("too few digits; give 6 or more"));
        }
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(none());
        }
        let found: Vec<String> = self.read(|connection| {
            let query = "SELECT digest FROM receipt WHERE digest LIKE ?1 || '%' LIMIT 2";
            let mut query = connection.prepare(query)?;
            let rows = query.query_map([digits], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        match &found[..] {
            [] => Err(none()),
            [one] => one.parse().map_err(|_| none()),
            _ => Err(wrong("several receipts begin with these digits")),
        }
    }

    /// The opening of the commitments of a receipt.
    pub(crate) fn opening(&self, digest: &Digest) -> Result<Opening, Error> {
        let json = self.column("opening", digest)?;
        serde_json::from_slice(&json).map_err(|source| Error::Malformed {
            file: format!("the opening of receipt {digest}"),
            source: source.into(),
        })
    }

    /// Whether a receipt names a state of this digest.
    pub(crate) fn left_state(&self, state: &Digest) -> Result<bool, Error> {
        self.read(|connection| {
            let query = format!("SELECT EXISTS (SELECT 1 FROM receipt WHERE {STATE_OUT} = ?1)");
            Ok(connection.query_row(&query, [state.to_string()], |row| row.get(0))?)
        })
    }

    fn column(&self, column: &'static str, digest: &Digest) -> Result<Vec<u8>, Error> {
        self.read(|connection| {
            let query = format!("SELECT {column} FROM receipt WHERE digest = ?1");
            let row = connection.query_row(&query, [digest.to_string()], |row| row.get(0));
            row.optional()?.ok_or_else(|| Error::NoReceipt { digest: digest.to_string() })
        })
    }
}

/// Reads an input of a run and checks its digest.
pub(crate) fn input(node: &Folder, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let name = digest.to_string();
    let bytes = node.folder(INPUTS)?.read(&name, bytes_max)?;
    if Digest::of(&bytes) != *digest {
        let reason = "its bytes do not match its digest";
        return Err(Error::damaged(format!("{INPUTS}/{name}"), reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_trust::Identity;

    #[test]
    fn kept_inputs_stay_within_their_room_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let who = "node-n".parse().unwrap();
        let identity = Identity::open_or_create(&dir.path().join("identity"), |_| who).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let database = Database::open(dir.path(), &identity).unwrap();
        let kept = || -> u64 {
            let inputs = folder.folder(INPUTS).unwrap();
            inputs.names().unwrap().iter().map(|name| inputs.len(name).unwrap()).sum()
        };
        let input = |n: usize| vec![u8::try_from(n).unwrap(); 100];
        // A node that starts again counts the files that exist.
        for start in [0, 20] {
            let receipts = Receipts::new(database.clone(), 800);
            for n in start..start + 20 {
                receipts.try_keep_inputs(&folder, [input(n).as_slice()]).unwrap();
                assert!(kept() <= 800, "{n}: {}", kept());
                assert!(super::input(&folder, &Digest::of(&input(n)), 100).is_ok(), "{n}");
            }
            assert!(kept() >= 700, "{}", kept());
        }
        let receipts = Receipts::new(database, 800);
        receipts.try_keep_inputs(&folder, [vec![0; 801].as_slice()]).unwrap();
        assert!(kept() <= 800);
    }
}
