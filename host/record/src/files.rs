//! The files that a run leaves, but for pictures and pages.

use std::path::Path;

use fedwasm_folder::{Folder, Lock};
use fedwasm_params::{Params, from_safetensors, mpk, to_safetensors};
use fedwasm_protocol::{Digest, printable_json};

use crate::{Error, History, read_rounds};

const HISTORY: &str = "history.json";
/// How inputs were scaled at all sites.
const SCALES: &str = "preprocessing.json";
/// The largest history that is read, in bytes.
const HISTORY_BYTES_MAX: u64 = 1 << 30;
/// The largest file of parameters, in bytes.
const PARAMS_BYTES_MAX: u64 = 4 << 30;

/// Returns the identity of parameters: the SHA-256 of `params.safetensors`.
pub fn params_digest(params: &Params) -> Result<(Digest, Vec<u8>), Error> {
    let bytes = to_safetensors(params).map_err(Error::Shapes)?;
    Ok((Digest::of(&bytes), bytes))
}

/// Makes the directory, and fails if files could not be written there later, or
/// if another program writes there.
pub fn prepare(dir: &Path) -> Result<Lock, Error> {
    let folder = Folder::create(dir).map_err(Error::Out)?;
    folder.check_writable().map_err(Error::Out)?;
    let lock = folder.lock_itself().map_err(Error::Out)?;
    lock.ok_or_else(|| Error::Busy { dir: dir.to_owned() })
}

/// Writes `history.json`.
pub fn write_history(dir: &Path, history: &History) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(history).map_err(std::io::Error::from)?;
    Ok(Folder::create(dir)?.write(HISTORY, printable_json(&json).as_bytes())?)
}

/// Writes the scales of a federation, `preprocessing.json`.
pub fn write_scales(dir: &Path, scales: &[u8]) -> Result<(), Error> {
    Ok(Folder::create(dir)?.write(SCALES, scales)?)
}

/// Reads `history.json` of a finished or running experiment, or of a local job. The rounds of a
/// running one, or of one that was killed, are all that `rounds.jsonl` has.
///
/// # Errors
/// [`Error::Io`], [`Error::File`].
pub fn load_history(dir: &Path) -> Result<History, Error> {
    let path = dir.join(HISTORY);
    if !path.is_file() && dir.join("summary.json").is_file() {
        let reason = " is missing: the directory holds several runs; name one of them".into();
        return Err(Error::File { path, reason });
    }
    let bytes = fedwasm_folder::read_file(&path, HISTORY_BYTES_MAX)?;
    let damaged = |error: serde_json::Error| Error::File { path, reason: format!(" {error}") };
    let mut history: History = serde_json::from_slice(&bytes).map_err(damaged)?;
    if history.rounds_file.take().is_some() {
        history.take_rounds(read_rounds(dir, None)?);
    }
    Ok(history)
}

/// Reads parameters: `.safetensors` by its name, otherwise `.mpk`.
///
/// # Errors
/// [`Error::Io`], [`Error::Params`].
pub fn load_params(path: &Path) -> Result<Params, Error> {
    load_params_and_digest(path).map(|(params, _)| params)
}

/// The same, with the SHA-256 of the file.
pub fn load_params_and_digest(path: &Path) -> Result<(Params, Digest), Error> {
    let bytes = fedwasm_folder::read_file(path, PARAMS_BYTES_MAX)?;
    let digest = Digest::of(&bytes);
    let params = match path.extension().is_some_and(|ext| ext == "safetensors") {
        true => from_safetensors(&bytes),
        false => mpk::read_params(&bytes),
    };
    let params = params.map_err(|source| Error::Params { path: path.to_owned(), source })?;
    Ok((params, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_in_history_command_no_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let status = "failed: a\u{9b}2J\u{202e}b\u{200b}".to_owned();
        let history = History { status, ..crate::history::tests::empty_history() };
        write_history(dir.path(), &history).unwrap();
        let text = std::fs::read_to_string(dir.path().join(HISTORY)).unwrap();
        assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{200b}']), "{text}");
        assert_eq!(load_history(dir.path()).unwrap().status, history.status);
    }
}
