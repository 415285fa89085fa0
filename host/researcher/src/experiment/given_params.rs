//! The parameters that an experiment starts from.

use std::path::Path;

use fedwasm_params::Params;
use fedwasm_protocol::Digest;
use fedwasm_record::{Error as RecordError, load_init, load_params_and_digest, params_digest};

use crate::{Error, ExperimentFile};

/// The parameters to start from, and their SHA-256: of the file, or of safetensors
/// with the same tensors.
pub(crate) fn given_params(
    params: Option<Params>,
    file: &ExperimentFile,
) -> Result<(Option<Params>, Option<Digest>), Error> {
    if let (None, Some(init)) = (&params, &file.init) {
        let (params, digest) = load_init(init)?;
        return Ok((Some(params), Some(digest)));
    }
    match (params, given_file(file)) {
        (Some(_), Some(file)) => Err(Error::BothParameters { file: file.to_owned() }),
        (Some(params), None) => {
            let (digest, _) = params_digest(&params)?;
            Ok((Some(params), Some(digest)))
        }
        (None, Some(file)) => {
            let (params, digest) = load_params_and_digest(file)?;
            Ok((Some(params), Some(digest)))
        }
        (None, None) => Ok((None, None)),
    }
}

/// The file of parameters that are given, if there is one.
pub(crate) fn given_file(file: &ExperimentFile) -> Option<&Path> {
    file.params.as_deref().or(file.init.as_deref())
}

/// Names the file of parameters that do not fit.
pub(crate) fn in_file(error: Error, file: Option<&Path>) -> Error {
    match (error, file) {
        (Error::Record(RecordError::Shapes(source)), Some(file)) => {
            RecordError::Params { path: file.to_owned(), source }.into()
        }
        (error, _) => error,
    }
}
