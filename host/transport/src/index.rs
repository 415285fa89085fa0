//! Which blobs were stored in the name of which experiment, so that those of
//! finished ones can be deleted. Empty objects beside the blobs:
//! `experiments/ID/DIGEST` and, once it is over, `experiments/ID/finished`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use fedwasm_protocol::{Digest, ExperimentId};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::{Error, readers};

const EXPERIMENTS: &str = "experiments";
const FINISHED: &str = "finished";
/// Where blobs lie.
pub(crate) const BLOBS: &str = "sha256";

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Finished experiments.
    pub experiments: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Experiments that are not finished, whose blobs stay.
    pub unfinished: u64,
}

pub(crate) fn blob_path(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("{BLOBS}/{digest}"))
}

/// Remembers a blob of an experiment.
pub(crate) async fn add(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
    digest: &Digest,
) -> Result<(), object_store::Error> {
    let path = ObjectPath::from(format!("{EXPERIMENTS}/{experiment}/{digest}"));
    // An experiment that was over goes on.
    let mark = ObjectPath::from(format!("{EXPERIMENTS}/{experiment}/{FINISHED}"));
    let (added, unmarked) = tokio::join!(store.put(&path, PutPayload::new()), store.delete(&mark));
    added?;
    match unmarked {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        unmarked => unmarked,
    }
}

/// Forgets a blob that was announced and did not come, unless it was there before.
pub(crate) async fn forget(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
    digest: &Digest,
) -> Result<(), object_store::Error> {
    match store.head(&blob_path(digest)).await {
        Err(object_store::Error::NotFound { .. }) => {
            let path = ObjectPath::from(format!("{EXPERIMENTS}/{experiment}/{digest}"));
            match store.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                deleted => deleted,
            }
        }
        found => found.map(drop),
    }
}

/// Remembers that an experiment is over.
pub(crate) async fn finish(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
) -> Result<(), object_store::Error> {
    let path = ObjectPath::from(format!("{EXPERIMENTS}/{experiment}/{FINISHED}"));
    store.put(&path, PutPayload::new()).await.map(drop)
}

/// Deletes the blobs of finished experiments from the repository in `dir`,
/// unless an unfinished one has them, too. A repository that serves `dir`
/// meanwhile is not disturbed.
///
/// # Errors
/// [`Error::Serve`] if the directory cannot be read or changed.
pub async fn prune(dir: &Path) -> Result<Pruned, Error> {
    let failed = |error: object_store::Error| Error::Serve {
        address: dir.display().to_string(),
        reason: error.to_string(),
    };
    let store = LocalFileSystem::new_with_prefix(dir).map_err(failed)?;
    prune_store(&store).await.map_err(failed)
}

async fn prune_store(store: &dyn ObjectStore) -> Result<Pruned, object_store::Error> {
    let start = SystemTime::now();
    let mut pruned = Pruned::default();
    // Entries first: whatever stores a blob from here on makes a new one.
    let mut candidates = BTreeSet::new();
    for (id, (finished, digests)) in list(store).await? {
        if !finished {
            pruned.unfinished += 1;
            continue;
        }
        pruned.experiments += 1;
        for digest in digests {
            let entry = ObjectPath::from(format!("{EXPERIMENTS}/{id}/{digest}"));
            store.delete(&entry).await?;
            candidates.insert(digest);
        }
        // Last, so that a prune that breaks off is gone on with by the next.
        store.delete(&ObjectPath::from(format!("{EXPERIMENTS}/{id}/{FINISHED}"))).await?;
    }
    let needed: BTreeSet<Digest> =
        list(store).await?.into_values().flat_map(|(_, digests)| digests).collect();
    for digest in candidates.difference(&needed) {
        let path = blob_path(digest);
        // What was stored meanwhile is somebody's.
        if let Ok(blob) = store.head(&path).await
            && SystemTime::from(blob.last_modified) < start
        {
            store.delete(&path).await?;
            readers::remove(store, digest).await?;
            pruned.blobs += 1;
            pruned.bytes += blob.size;
        }
    }
    Ok(pruned)
}

/// Whether each experiment is finished, and its blobs.
async fn list(
    store: &dyn ObjectStore,
) -> Result<BTreeMap<String, (bool, Vec<Digest>)>, object_store::Error> {
    let mut experiments: BTreeMap<String, (bool, Vec<Digest>)> = BTreeMap::new();
    let mut listed = store.list(Some(&ObjectPath::from(EXPERIMENTS)));
    while let Some(object) = listed.try_next().await? {
        let mut parts = object.location.parts().skip(1).map(|part| part.as_ref().to_owned());
        let (Some(id), Some(name)) = (parts.next(), parts.next()) else { continue };
        let (finished, digests) = experiments.entry(id).or_default();
        match name.parse() {
            Ok(digest) => digests.push(digest),
            Err(_) => *finished |= name == FINISHED,
        }
    }
    Ok(experiments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_blobs_that_no_unfinished_experiment_has_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
        let (done, runs): (ExperimentId, ExperimentId) =
            ("done".parse().unwrap(), "runs".parse().unwrap());
        let digests = [b"a", b"b", b"c"].map(|bytes| Digest::of(bytes));
        for digest in &digests {
            store.put(&blob_path(digest), PutPayload::from_static(b"x")).await.unwrap();
        }
        // The first is of both, the second of the finished one, the third of none.
        for (experiment, digest) in
            [(&done, &digests[0]), (&done, &digests[1]), (&runs, &digests[0])]
        {
            add(&store, experiment, digest).await.unwrap();
        }
        let none = Pruned { unfinished: 2, ..Pruned::default() };
        assert_eq!(prune(dir.path()).await.unwrap(), none);
        finish(&store, &done).await.unwrap();
        let pruned = prune(dir.path()).await.unwrap();
        assert_eq!(pruned, Pruned { experiments: 1, blobs: 1, bytes: 1, unfinished: 1 });
        for (digest, is_there) in digests.iter().zip([true, false, true]) {
            assert_eq!(store.head(&blob_path(digest)).await.is_ok(), is_there);
        }
        let rest = Pruned { unfinished: 1, ..Pruned::default() };
        assert_eq!(prune(dir.path()).await.unwrap(), rest);
        // An experiment that goes on is not finished any more.
        finish(&store, &runs).await.unwrap();
        add(&store, &runs, &digests[0]).await.unwrap();
        assert_eq!(prune(dir.path()).await.unwrap(), rest);
    }
}
