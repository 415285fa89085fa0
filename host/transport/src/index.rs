//! Which blobs were stored in the name of which experiment, so that those of
//! finished ones can be deleted. Empty objects beside the blobs:
//! `experiments/ID/DIGEST` and, once it is over, `experiments/ID/finished`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fedwasm_protocol::{Digest, ExperimentId};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::Error;

const EXPERIMENTS: &str = "experiments";
const FINISHED: &str = "finished";

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Finished experiments.
    pub experiments: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

pub(crate) fn blob_path(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("sha256/{digest}"))
}

/// Remembers a blob of an experiment.
pub(crate) async fn add(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
    digest: &Digest,
) -> Result<(), object_store::Error> {
    let path = ObjectPath::from(format!("{EXPERIMENTS}/{experiment}/{digest}"));
    store.put(&path, PutPayload::new()).await.map(drop)
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
    let unfinished = experiments.values().filter(|(finished, _)| !finished);
    let needed: BTreeSet<Digest> = unfinished.flat_map(|(_, digests)| digests.clone()).collect();
    let mut pruned = Pruned::default();
    for (id, (_, digests)) in experiments.iter().filter(|(_, (finished, _))| *finished) {
        pruned.experiments += 1;
        for digest in digests {
            if !needed.contains(digest)
                && let Ok(blob) = store.head(&blob_path(digest)).await
            {
                store.delete(&blob_path(digest)).await?;
                pruned.blobs += 1;
                pruned.bytes += blob.size;
            }
            let entry = ObjectPath::from(format!("{EXPERIMENTS}/{id}/{digest}"));
            store.delete(&entry).await?;
        }
        // Last, so that a prune that breaks off is gone on with by the next.
        store.delete(&ObjectPath::from(format!("{EXPERIMENTS}/{id}/{FINISHED}"))).await?;
    }
    Ok(pruned)
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
        assert_eq!(prune(dir.path()).await.unwrap(), Pruned::default());
        finish(&store, &done).await.unwrap();
        let pruned = prune(dir.path()).await.unwrap();
        assert_eq!(pruned, Pruned { experiments: 1, blobs: 1, bytes: 1 });
        for (digest, is_there) in digests.iter().zip([true, false, true]) {
            assert_eq!(store.head(&blob_path(digest)).await.is_ok(), is_there);
        }
        assert_eq!(prune(dir.path()).await.unwrap(), Pruned::default());
    }
}
