//! The experiments in whose names blobs were stored, so that those of
//! finished ones can be deleted. Empty objects beside the blobs:
//! `experiments/ID/DIGEST` and, once it is over, `experiments/ID/finished`; `kept/DIGEST` for
//! blobs of none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use fedwasm_protocol::{Digest, ExperimentId};
use futures_util::TryStreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::readers;
use crate::store::{delete_all, paths_below};

const EXPERIMENTS: &str = "experiments";
const FINISHED: &str = "finished";
/// Blobs that were stored in no experiment's name, and stay.
const KEPT: &str = "kept";
/// Where blobs lie.
pub(crate) const BLOBS: &str = "sha256";

pub(crate) fn blob_path(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("{BLOBS}/{digest}"))
}

fn entry(experiment: &str, name: &str) -> ObjectPath {
    ObjectPath::from(format!("{EXPERIMENTS}/{experiment}/{name}"))
}

/// Remembers a blob of an experiment, or of none. Before it exists: a sweep that finds the blob
/// looks here.
pub(crate) async fn add(
    store: &dyn ObjectStore,
    experiment: Option<&ExperimentId>,
    digest: &Digest,
) -> Result<(), object_store::Error> {
    let path = match experiment {
        Some(experiment) => entry(experiment.as_str(), &digest.to_string()),
        None => ObjectPath::from(format!("{KEPT}/{digest}")),
    };
    store.put(&path, PutPayload::new()).await.map(drop)
}

/// Whether an experiment is over.
pub(crate) async fn is_finished(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
) -> Result<bool, object_store::Error> {
    match store.head(&entry(experiment.as_str(), FINISHED)).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Remembers that an experiment is over.
pub(crate) async fn finish(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
) -> Result<(), object_store::Error> {
    store.put(&entry(experiment.as_str(), FINISHED), PutPayload::new()).await.map(drop)
}

/// Forgets blobs of an experiment.
pub(crate) async fn release(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
    digests: &[Digest],
) -> Result<(), object_store::Error> {
    let paths = digests.iter().map(|digest| entry(experiment.as_str(), &digest.to_string()));
    delete_all(store, paths.collect()).await
}

/// Reopens a finished experiment.
pub(crate) async fn reopen(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
) -> Result<(), object_store::Error> {
    delete_all(store, vec![entry(experiment.as_str(), FINISHED)]).await
}

/// Forgets an experiment that is over.
pub(crate) async fn forget(
    store: &dyn ObjectStore,
    experiment: &str,
) -> Result<(), object_store::Error> {
    // A late upload finds it closed. Last to go, so that the next sweep continues an interrupted
    // one.
    let finished = entry(experiment, FINISHED);
    store.put(&finished, PutPayload::new()).await?;
    let all = ObjectPath::from(format!("{EXPERIMENTS}/{experiment}"));
    let mut paths = paths_below(store, &all).await?;
    paths.retain(|path| *path != finished);
    delete_all(store, paths).await?;
    readers::disown(store, experiment).await?;
    delete_all(store, vec![finished]).await
}

/// Blobs that an experiment has, or that are of none.
pub(crate) async fn needed(
    store: &dyn ObjectStore,
) -> Result<BTreeSet<Digest>, object_store::Error> {
    let kept = paths_below(store, &ObjectPath::from(KEPT)).await?;
    let kept = kept.iter().filter_map(|path| path.filename()?.parse().ok());
    let mut needed: BTreeSet<Digest> = kept.collect();
    needed.extend(list(store).await?.into_values().flat_map(|found| found.digests));
    Ok(needed)
}

/// The facts about an experiment.
pub(crate) struct Found {
    pub(crate) finished: bool,
    pub(crate) digests: Vec<Digest>,
    /// When something was stored in its name last.
    pub(crate) newest: SystemTime,
}

/// All experiments, and their blobs.
pub(crate) async fn list(
    store: &dyn ObjectStore,
) -> Result<BTreeMap<String, Found>, object_store::Error> {
    let mut experiments: BTreeMap<String, Found> = BTreeMap::new();
    let mut listed = store.list(Some(&ObjectPath::from(EXPERIMENTS)));
    while let Some(object) = listed.try_next().await? {
        let mut parts = object.location.parts().skip(1).map(|part| part.as_ref().to_owned());
        let (Some(id), Some(name)) = (parts.next(), parts.next()) else { continue };
        let nothing =
            || Found { finished: false, digests: Vec::new(), newest: SystemTime::UNIX_EPOCH };
        let found = experiments.entry(id).or_insert_with(nothing);
        found.newest = found.newest.max(object.last_modified.into());
        match name.parse() {
            Ok(digest) => found.digests.push(digest),
            Err(_) => found.finished |= name == FINISHED,
        }
    }
    Ok(experiments)
}
