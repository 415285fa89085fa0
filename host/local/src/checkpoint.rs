//! The checkpoint of a local job, from which `local --resume` continues.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedwasm_dataset::{Renames, Volumes};
use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors, to_safetensors};
use fedwasm_protocol::{Digest, Hasher};
use fedwasm_training::Fold;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use fedwasm_record::{
    Error as RecordError, History, bounded, differences, load_history, load_params, params_digest,
};

use crate::Error;
use crate::local_job::Validated;

const FILE: &str = "checkpoint.json";
/// The tensors that stay between rounds: node state, such as the optimizer's.
const KEPT: &str = "kept.safetensors";
const PARAMS: &str = "params.safetensors";
/// The parameters to go on from, if others are the result: the best.
const LAST: &str = "last.safetensors";
/// Where checkpoints of a run lie that is not over: one at a time, in a directory of its own.
const PIECES: &str = "checkpoints";
const FILE_BYTES_MAX: u64 = 64 << 20;
const KEPT_BYTES_MAX: u64 = 4 << 30;
/// Training arguments that may change: the length, and the output.
///
/// `batch_maxnum` is not among them: batches of another epoch are other batches.
const OF_LENGTH: [&str; 3] = ["training.epochs", "training.num_updates", "training.log_interval"];
/// Also when to stop earlier, which changes no parameters.
const EARLY_STOPPING: &str = "local.early_stopping";

/// The progress of a run, and its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    /// SHA-256 of the plan.
    pub(crate) plan: Digest,
    /// Of the data, see [`data_digest`].
    pub(crate) data: Digest,
    /// By section.
    pub(crate) arguments: BTreeMap<String, Value>,
    pub(crate) random_seed: u64,
    pub(crate) fold: Option<Fold>,
    /// Batches of an epoch.
    pub(crate) per_epoch: u64,
    /// Batches since the start.
    pub(crate) batches: u64,
    /// Random bytes that the plan drew in them.
    pub(crate) drawn: u64,
    /// SHA-256 of `params.safetensors`.
    pub(crate) params_sha256: Digest,
}

impl Checkpoint {
    /// Writes it, after the files that belong to it.
    /// `last` are the bytes of the parameters to go on from, if others are the result.
    pub(crate) fn write(
        &self,
        folder: &Folder,
        last: Option<&[u8]>,
        kept: Option<&Params>,
    ) -> Result<(), Error> {
        match last {
            Some(last) => folder.write(LAST, last)?,
            None => folder.remove(LAST)?,
        }
        let kept =
            to_safetensors(kept.unwrap_or(&Params::default())).map_err(RecordError::Shapes)?;
        folder.write(KEPT, &kept)?;
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?;
        Ok(folder.write(FILE, &json)?)
    }

    /// Writes the checkpoint of a running job: whole or not at all, in the place of the one before.
    /// `result` are the bytes of the best parameters, or of the last.
    pub(crate) fn write_piece(
        &self,
        dir: &Path,
        (result, last): (&[u8], &[u8]),
        kept: Option<&Params>,
        history: &History,
    ) -> Result<(), Error> {
        let folder = Folder::create(dir)?.folder(PIECES)?;
        let (name, unfinished) = (format!("batch-{:012}", self.batches), ".unfinished");
        folder.remove_folder(unfinished)?;
        let inner = folder.folder(unfinished)?;
        inner.write(PARAMS, result)?;
        let json = serde_json::to_vec_pretty(history).map_err(std::io::Error::from)?;
        inner.write("history.json", &json)?;
        self.write(&inner, history.best.is_some().then_some(last), kept)?;
        inner.sync()?;
        folder.remove_folder(&name)?;
        folder.rename(unfinished, &name)?;
        folder.sync()?;
        for old in folder.names()?.iter().filter(|old| **old != name) {
            folder.remove_folder(old)?;
        }
        Ok(())
    }

    /// Names the first thing that is not the same here and there.
    fn difference(&self, now: &Self) -> Option<String> {
        if self.plan != now.plan {
            return Some(format!("the plan was sha256:{}, it is sha256:{}", self.plan, now.plan));
        }
        if self.data != now.data {
            return Some("the data have changed".into());
        }
        if self.random_seed != now.random_seed {
            let (was, is) = (self.random_seed, now.random_seed);
            return Some(format!("the seed was {was}, it is {is}"));
        }
        if self.fold != now.fold {
            return Some("another fold was held out before".into());
        }
        if let Some(difference) = self.difference_of_arguments(now) {
            return Some(difference);
        }
        let (was, is) = (self.per_epoch, now.per_epoch);
        (was != is).then(|| format!("an epoch had {was} batches, it has {is}"))
    }

    fn difference_of_arguments(&self, now: &Self) -> Option<String> {
        differences(&self.arguments, &now.arguments)
            .into_iter()
            .find(|(name, ..)| !OF_LENGTH.contains(&&**name) && !name.starts_with(EARLY_STOPPING))
            .map(|(name, was, is)| format!("`{name}` was {was}, it is {is}"))
    }
}

/// The files of an earlier run in its directory.
#[derive(Debug)]
pub(crate) struct Earlier {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) params: Params,
    pub(crate) kept: Option<Params>,
    /// The best parameters so far, if they are the result.
    best: Option<Params>,
    history: History,
}

impl Earlier {
    /// The scores so far.
    pub(crate) fn validated(&self) -> Validated {
        let best = self.history.best.clone().zip(self.best.clone());
        Validated { records: self.history.validations.clone(), best, ..Validated::default() }
    }

    /// Parameters that the first run started from.
    pub(crate) fn initial_sha256(&self) -> Option<Digest> {
        self.history.initial_sha256
    }
}

/// The seed of the run that a directory holds; none if no run can be read, which
/// continuing from it will report.
#[must_use]
pub fn resumed_seed(dir: &Path) -> Option<u64> {
    Some(newest(dir)?.random_seed)
}

/// Batches after which a run was checkpointed that never came to its end.
pub(crate) fn unfinished(dir: &Path) -> Option<u64> {
    pieces(dir).iter().filter_map(|piece| Some(read(piece).ok()??.batches)).max()
}

/// Removes the checkpoint of a run.
pub(crate) fn clear(dir: &Path) -> Result<(), Error> {
    let folder = Folder::open(dir)?;
    folder.remove(FILE)?;
    folder.remove(LAST)?;
    Ok(folder.remove_folder(PIECES)?)
}

/// Removes the checkpoints of a run that is over.
pub(crate) fn clear_pieces(folder: &Folder) -> Result<(), Error> {
    Ok(folder.remove_folder(PIECES)?)
}

/// Directories that hold a checkpoint of a run that was not over.
fn pieces(dir: &Path) -> Vec<PathBuf> {
    let names = Folder::open(&dir.join(PIECES)).and_then(|folder| folder.names());
    let is_piece = |name: &String| name.starts_with("batch-");
    names
        .unwrap_or_default()
        .iter()
        .filter(|name| is_piece(name))
        .map(|name| dir.join(PIECES).join(name))
        .collect()
}

/// The checkpoint of the most batches in a directory.
fn newest(dir: &Path) -> Option<Checkpoint> {
    let places = pieces(dir).into_iter().chain([dir.to_owned()]);
    places.filter_map(|place| read(&place).ok()?).max_by_key(|checkpoint| checkpoint.batches)
}

fn read(dir: &Path) -> Result<Option<Checkpoint>, Error> {
    let path = dir.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fedwasm_folder::read_file(&path, FILE_BYTES_MAX)?;
    let damaged =
        |error: serde_json::Error| RecordError::File { path, reason: format!(" {error}") };
    Ok(serde_json::from_slice(&bytes).map(Some).map_err(damaged)?)
}

impl Earlier {
    /// Reads the whole checkpoint with the most batches, if `now` can continue from it. A run
    /// that was killed has its last checkpoint in a directory of its own.
    pub(crate) fn read(dir: &Path, now: &Checkpoint) -> Result<Self, Error> {
        let mut best = Self::read_one(dir, dir, now);
        for piece in pieces(dir) {
            let found = Self::read_one(&piece, dir, now);
            best = match (best, found) {
                (Ok(best), Ok(found)) if found.checkpoint.batches > best.checkpoint.batches => {
                    Ok(found)
                }
                (Err(_), found) => found,
                (best, _) => best,
            };
        }
        best
    }

    fn read_one(place: &Path, dir: &Path, now: &Checkpoint) -> Result<Self, Error> {
        let refused = |reason: String| Error::Resume { dir: dir.to_owned(), reason };
        let Some(checkpoint) = read(place)? else {
            return Err(refused(format!("it has no {FILE}; run without --resume first")));
        };
        if let Some(difference) = checkpoint.difference(now) {
            return Err(refused(difference));
        }
        let history = load_history(place)?;
        let result = load_params(&place.join(PARAMS))?;
        let (params, best) = match &history.best {
            None => (result, None),
            Some(best) if params_digest(&result)?.0 == best.params_sha256 => {
                (load_params(&place.join(LAST))?, Some(result))
            }
            Some(_) => {
                return Err(refused("params.safetensors does not belong to its last run".into()));
            }
        };
        let (sha256, _) = params_digest(&params)?;
        if sha256 != checkpoint.params_sha256 {
            return Err(refused("params.safetensors does not belong to its last run".into()));
        }
        let kept = place.join(KEPT);
        let bytes = fedwasm_folder::read_file(&kept, KEPT_BYTES_MAX)?;
        let read = from_safetensors(&bytes);
        let kept = read.map_err(|source| RecordError::Params { path: kept, source })?;
        let is_empty = kept.iter().next().is_none();
        let kept = (!is_empty).then_some(kept);
        Ok(Self { checkpoint, params, kept, best, history })
    }

    /// Puts the earlier history in front of the new one.
    pub(crate) fn prepend_to(&self, history: &mut History, rows_before: u64, rows: u64) {
        let mut steps = self.history.steps.clone();
        steps.append(&mut history.steps);
        history.steps = bounded(steps);
        let before = self.history.rounds.first().and_then(|round| round.nodes.first_key_value());
        let now = history.rounds.first_mut();
        let now = now.and_then(|round| round.nodes.values_mut().next());
        let (Some((_, before)), Some(now)) = (before, now) else { return };
        now.n_steps = now.n_steps.saturating_add(before.n_steps);
        if let (Some(was), Some(is)) = (before.train_loss, now.train_loss) {
            let share = rows_before as f64 / rows.max(1) as f64;
            now.train_loss =
                Some(if rows_before == rows { was } else { was * share + is * (1.0 - share) });
        }
        now.timing.train_ms += before.timing.train_ms;
    }
}

/// The SHA-256 of a file; of a directory, of its files' names and digests in the order of names,
/// six directories deep at most, as derivatives of BIDS are; with how volumes are read and which
/// columns are renamed, if that is said.
pub(crate) fn data_digest(
    path: &Path,
    volumes: &Volumes,
    renames: &Renames,
) -> Result<Digest, Error> {
    fn of(path: &Path, depth: usize) -> std::io::Result<Digest> {
        if !path.is_dir() || depth == 0 {
            return Digest::of_reader(std::fs::File::open(path)?);
        }
        let mut names: Vec<_> = std::fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<std::io::Result<_>>()?;
        names.sort();
        let mut hasher = Hasher::default();
        for name in names {
            hasher.update(name.as_encoded_bytes());
            hasher.update(of(&path.join(&name), depth - 1)?.as_bytes());
        }
        Ok(hasher.finish())
    }
    let files = of(path, 6)?;
    if volumes.is_default() && renames.is_empty() {
        return Ok(files);
    }
    let mut hasher = Hasher::default();
    hasher.update(files.as_bytes());
    if !volumes.is_default() {
        hasher.update(&serde_json::to_vec(volumes).map_err(std::io::Error::other)?);
    }
    if !renames.is_empty() {
        let renames = serde_json::json!({ "renames": renames });
        hasher.update(&serde_json::to_vec(&renames).map_err(std::io::Error::other)?);
    }
    Ok(hasher.finish())
}
