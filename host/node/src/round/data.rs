//! The rows of a round, and the digest of the files that they were read from.

use fedwasm_protocol::{Digest, Reason, Refusal, RoundRequest};
use fedwasm_sandbox::Cancel;
use fedwasm_training::{Classes, Examples, Preprocessing, Round, Turn};

use crate::Dataset;
use crate::refusal::{refusal, training_refusal};

pub(super) fn read(
    request: &RoundRequest,
    dataset: &Dataset,
    round: &Round,
    turn: &Turn,
    scales: Option<&Preprocessing>,
) -> Result<Examples, Refusal> {
    // Paths and cells are the node's business: the mistake in a file stays
    // in its log.
    let hide = |error: fedwasm_training::Error| match error {
        fedwasm_training::Error::Dataset(error) => {
            tracing::warn!("{error}");
            let name = &dataset.name;
            let what = match of_rule(&error) {
                Some(column) => format!(": the column `{column}` does not fit its rule"),
                None => " cannot be read".to_owned(),
            };
            let message = format!("dataset {name}{what}; the node's log says more");
            let message = dataset.touched().unwrap_or(message);
            refusal(Reason::Dataset, message)
        }
        error => training_refusal(&error),
    };
    let file = dataset.open().map_err(|error| hide(error.into()))?;
    if let Some(change) = dataset.change(&file) {
        tracing::warn!("{change}");
        return Err(refusal(Reason::Dataset, change));
    }
    // Other cells in as many rows: receipts have the digest of the file.
    if let Some(change) = dataset.touched() {
        tracing::warn!("{change}");
    }
    let examples = Examples::read_scaled(&file, &request.data, round, turn, scales);
    let examples = examples.map_err(hide)?;
    for remark in examples.classes().map(Classes::remarks).unwrap_or_default() {
        tracing::warn!("dataset {}, target {:?}: {remark}", dataset.name, request.data.target);
    }
    for remark in examples.prepared().remarks() {
        tracing::info!("dataset {}, {remark}", dataset.name);
    }
    Ok(examples)
}

/// The column whose cells are not as the request's rule says: the researcher named it.
fn of_rule(error: &fedwasm_dataset::Error) -> Option<&String> {
    use fedwasm_dataset::Error as E;
    match error {
        E::Mismatch { column, .. }
        | E::MissingValue { column, .. }
        | E::MissingTargets { column, .. }
        | E::TooManyValues { column, .. }
        | E::NoLogarithm { column, .. } => Some(column),
        _ => None,
    }
}

pub(crate) fn data_digest(dataset: &Dataset, cancel: &Cancel) -> Result<Digest, Refusal> {
    dataset_digest(dataset, cancel).map_err(|error| {
        tracing::warn!("{}: {error}", dataset.path.display());
        let name = &dataset.name;
        let message = format!("dataset {name} cannot be read; the node's log says more");
        refusal(Reason::Dataset, message)
    })
}

/// The SHA-256 of a dataset: that of its file, or of a text with a line for each of
/// its files in their order, which has its digest and its quoted path from the
/// dataset's folder on, and as JSON, if there are some, the settings of its volumes and the other names
/// of its columns.
pub(crate) fn dataset_digest(dataset: &Dataset, cancel: &Cancel) -> std::io::Result<Digest> {
    let files = dataset.format.files(&dataset.path).map_err(std::io::Error::other)?;
    if let [file] = &files[..]
        && dataset.volumes.is_default()
        && dataset.renames.is_empty()
    {
        return file_digest(file, cancel);
    }
    let mut hasher = fedwasm_protocol::Hasher::default();
    let folder = dataset.path.parent().filter(|_| !dataset.path.is_dir());
    for file in files {
        let name = file.strip_prefix(folder.unwrap_or(&dataset.path)).unwrap_or(&file);
        hasher.update(format!("{} {name:?}\n", file_digest(&file, cancel)?).as_bytes());
    }
    if !dataset.volumes.is_default() {
        // The same files are other rows with other settings.
        hasher.update(&serde_json::to_vec(&dataset.volumes).map_err(std::io::Error::other)?);
    }
    if !dataset.renames.is_empty() {
        // So are the same numbers under other names.
        let renames = serde_json::json!({ "renames": dataset.renames });
        hasher.update(&serde_json::to_vec(&renames).map_err(std::io::Error::other)?);
    }
    Ok(hasher.finish())
}

/// The SHA-256 of a file of any size, unless the round is cancelled.
pub(crate) fn file_digest(path: &std::path::Path, cancel: &Cancel) -> std::io::Result<Digest> {
    struct Until<'a>(std::fs::File, &'a Cancel);
    impl std::io::Read for Until<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_cancelled() {
                return Err(std::io::Error::other("the round was cancelled"));
            }
            self.0.read(buffer)
        }
    }
    Digest::of_reader(Until(std::fs::File::open(path)?, cancel))
}

/// Names everything that prepared rows depend on.
pub(super) fn examples_key(
    request: &RoundRequest,
    dataset: &Dataset,
    round: &Round,
) -> Result<Digest, Refusal> {
    let stamp = |file: &std::path::PathBuf| {
        let file = std::fs::metadata(file).ok()?;
        Some((file.len(), file.modified().ok()?))
    };
    let files = dataset.format.files(&dataset.path).unwrap_or_default();
    let changed: Vec<_> = files.iter().map(|file| (file, stamp(file))).collect();
    let declaration = round.declaration();
    let split_of = request.training.shuffle_testing_dataset.then_some(request.round);
    let scales = request.scales.as_ref().map(|scales| scales.blob.sha256);
    let key = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {split_of:?} {scales:?} {changed:?}",
        round.plan().metadata().dependencies,
        dataset,
        request.data,
        request.training.test_ratio,
        request.training.random_seed,
        declaration.inputs,
        declaration.targets,
    );
    Ok(Digest::of(key.as_bytes()))
}
