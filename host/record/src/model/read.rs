//! Reads a model. Nothing in its directory is believed: names, sizes and digests are checked.

use std::path::{Path, PathBuf};

use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors};
use fedwasm_protocol::Digest;
use serde::Deserialize;

use super::{FORMAT, FileRecord, MODEL, MODEL_FILE, ModelFile, PARAMS, PLAN, PREPROCESSING};
use crate::{Error, load_params_and_digest, params_digest};

/// The largest `model.json`, in bytes.
const MODEL_FILE_BYTES_MAX: u64 = 64 << 20;
/// The largest plan, in bytes; admission has a smaller bound.
const PLAN_BYTES_MAX: u64 = 256 << 20;
/// The largest file of parameters, in bytes.
const PARAMS_BYTES_MAX: u64 = 4 << 30;
/// The largest `preprocessing.json`, in bytes.
const PREPROCESSING_BYTES_MAX: u64 = 64 << 20;

/// A model that was read: all of its files have the digests that `model.json` names.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its directory.
    pub dir: PathBuf,
    /// `model.json`.
    pub about: ModelFile,
    /// Its exact bytes: those that are signed.
    pub json: Vec<u8>,
    /// The bytes of the component; not admitted yet.
    pub plan: Vec<u8>,
    /// The parameters.
    pub params: Params,
    /// The bytes of `preprocessing.json`.
    pub preprocessing: Option<Vec<u8>>,
}

/// The field that every version of `model.json` has.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// The directory of a model that a person names: it, or the one inside the directory of a run.
/// None if there is no model.
pub fn model_dir(path: &Path) -> Option<PathBuf> {
    let inner = path.join(MODEL);
    [path.to_owned(), inner].into_iter().find(|dir| dir.join(MODEL_FILE).is_file())
}

/// Reads the parameters of a model, or a file of parameters, and their SHA-256.
///
/// # Errors
/// Those of [`Model::read`] and of [`load_params_and_digest`].
pub fn load_init(path: &Path) -> Result<(Params, Digest), Error> {
    if !path.is_dir() {
        return load_params_and_digest(path);
    }
    let Model { params, .. } = Model::read(path)?;
    let (digest, _) = params_digest(&params)?;
    Ok((params, digest))
}

impl Model {
    /// Reads a model's directory, or that of the run that has one.
    ///
    /// # Errors
    /// [`Error::Model`], which names the file that is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let Some(dir) = model_dir(path) else {
            let (path, reason) = (path.to_owned(), format!("it has no {MODEL_FILE}"));
            return Err(Error::Model { path, reason });
        };
        Self::read_dir(&dir).map_err(|reason| Error::Model { path: dir, reason })
    }

    fn read_dir(dir: &Path) -> Result<Self, String> {
        let folder = Folder::open(dir).map_err(|error| error.to_string())?;
        let json = folder.read(MODEL_FILE, MODEL_FILE_BYTES_MAX);
        let json = json.map_err(|error| error.to_string())?;
        let about = model_file(&json)?;
        let read = |name: &str, bytes_max: u64| match about.files.get(name) {
            Some(record) => read(&folder, name, *record, bytes_max).map(Some),
            None => Ok(None),
        };
        let missing = |name: &str| format!("{MODEL_FILE} does not name {name}");
        let plan = read(PLAN, PLAN_BYTES_MAX)?.ok_or_else(|| missing(PLAN))?;
        if Digest::of(&plan) != about.plan.sha256 {
            return Err(format!("{MODEL_FILE} names two digests of the plan"));
        }
        let params = read(PARAMS, PARAMS_BYTES_MAX)?.ok_or_else(|| missing(PARAMS))?;
        let params = from_safetensors(&params).map_err(|error| format!("{PARAMS}: {error}"))?;
        let preprocessing = read(PREPROCESSING, PREPROCESSING_BYTES_MAX)?;
        Ok(Self { dir: dir.to_owned(), about, json, plan, params, preprocessing })
    }
}

fn model_file(json: &[u8]) -> Result<ModelFile, String> {
    let wrong = |error: serde_json::Error| format!("{MODEL_FILE}: {error}");
    let Versioned { format } = serde_json::from_slice(json).map_err(wrong)?;
    if format != FORMAT {
        return Err(format!("{MODEL_FILE} has format {format}, this program reads {FORMAT}"));
    }
    let about: ModelFile = serde_json::from_slice(json).map_err(wrong)?;
    let known = [PLAN, PARAMS, PREPROCESSING];
    match about.files.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let name = fedwasm_protocol::plain(name, 100);
            Err(format!("{MODEL_FILE} names `{name}`, which is not a file of a model"))
        }
        None => Ok(about),
    }
}

/// Reads a file if it is as large as `record` says, and has that digest.
fn read(
    folder: &Folder,
    name: &str,
    record: FileRecord,
    bytes_max: u64,
) -> Result<Vec<u8>, String> {
    let FileRecord { sha256, bytes } = record;
    if bytes > bytes_max {
        return Err(format!("{name} has {bytes} bytes by {MODEL_FILE}, at most {bytes_max}"));
    }
    let read = folder.read(name, bytes).map_err(|error| error.to_string())?;
    let (got, got_sha256) = (read.len() as u64, Digest::of(&read));
    if (got, got_sha256) != (bytes, sha256) {
        return Err(format!(
            "{name} is another file than {MODEL_FILE} names: {got} bytes, sha256:{got_sha256}, \
             not {bytes} bytes, sha256:{sha256}"
        ));
    }
    Ok(read)
}
