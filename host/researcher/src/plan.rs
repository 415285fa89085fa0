//! Reading of plans and parameters.

use std::path::Path;

use fedwasm_artifact::{COMPONENT_BYTES_MAX, Component};
use fedwasm_params::{Params, from_safetensors, mpk};
use fedwasm_protocol::Digest;

use crate::Error;

/// The largest file of parameters, in bytes.
const PARAMS_BYTES_MAX: u64 = 4 << 30;

/// Reads and admits a component.
///
/// # Errors
/// [`Error::Io`], [`Error::Plan`].
pub fn load_plan(path: &Path) -> Result<Component, Error> {
    if path.is_dir() {
        let reason =
            format!(" is a directory; `fedwasm plan build {}` makes the component", path.display());
        return Err(Error::File { path: path.to_owned(), reason });
    }
    // One byte more than is admitted, so that admission says so.
    let bytes = fedwasm_folder::read_file(path, COMPONENT_BYTES_MAX + 1)?;
    Component::admit(bytes).map_err(|source| Error::Plan { path: path.to_owned(), source })
}

/// Reads parameters: `.safetensors` by its name, otherwise `.mpk`.
///
/// # Errors
/// [`Error::Io`], [`Error::Params`].
pub fn load_params(path: &Path) -> Result<Params, Error> {
    load_params_and_digest(path).map(|(params, _)| params)
}

/// The same, with the SHA-256 of the file.
pub(crate) fn load_params_and_digest(path: &Path) -> Result<(Params, Digest), Error> {
    let bytes = fedwasm_folder::read_file(path, PARAMS_BYTES_MAX)?;
    let digest = Digest::of(&bytes);
    let params = match path.extension().is_some_and(|ext| ext == "safetensors") {
        true => from_safetensors(&bytes),
        false => mpk::read_params(&bytes),
    };
    let params = params.map_err(|source| Error::Params { path: path.to_owned(), source })?;
    Ok((params, digest))
}
