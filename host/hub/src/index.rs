//! The experiments in whose names blobs were stored, so that those of
//! finished ones can be deleted. Empty objects beside the blobs:
//! `experiments/ID/DIGEST` and, once it is over, `experiments/ID/finished`; `kept/DIGEST` for
//! blobs of none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use fedwasm_protocol::{Digest, ExperimentId};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

use fedwasm_transport::Cause;

use crate::{Error, readers};

const EXPERIMENTS: &str = "experiments";
const FINISHED: &str = "finished";
/// Blobs that were stored in no experiment's name, and stay.
const KEPT: &str = "kept";
/// Blobs that are about to be deleted.
const DOOMED: &str = "doomed";
/// Where blobs lie.
pub(crate) const BLOBS: &str = "sha256";
/// An upload without new bytes for so long is abandoned: slower ones are refused.
const PARTIAL_TIME_MAX: Duration = Duration::from_secs(600);

/// The experiments that count as finished beside those marked so.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Those without a new blob for so long: their researcher was killed.
    pub idle: Option<Duration>,
    /// These, by name.
    pub experiments: Vec<ExperimentId>,
}

/// The result of a prune.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Experiments that are over.
    pub experiments: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes, and those of uploads that broke off.
    pub bytes: u64,
    /// Unfinished experiments, whose blobs stay.
    pub unfinished: u64,
}

pub(crate) fn blob_path(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("{BLOBS}/{digest}"))
}

fn entry(experiment: &str, name: &str) -> ObjectPath {
    ObjectPath::from(format!("{EXPERIMENTS}/{experiment}/{name}"))
}

/// Remembers a blob of an experiment, or of none. Before it gets its name: a prune that finds
/// the name looks here again.
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

/// Reopens a finished experiment.
pub(crate) async fn reopen(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
) -> Result<(), object_store::Error> {
    delete(store, &entry(experiment.as_str(), FINISHED)).await
}

/// Deletes an object that may already be gone.
async fn delete(store: &dyn ObjectStore, path: &ObjectPath) -> Result<(), object_store::Error> {
    match store.delete(path).await {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        deleted => deleted,
    }
}

/// Deletes the blobs of experiments that are over from the repository in `dir`, unless another
/// one also has them, and the remains of interrupted uploads. A repository that serves `dir`
/// meanwhile is not disturbed.
///
/// # Errors
/// [`Error::Serve`] if the directory cannot be read or changed.
pub async fn prune(dir: &Path, options: &PruneOptions) -> Result<Pruned, Error> {
    let failed = |reason: Cause| Error::Serve { address: dir.display().to_string(), reason };
    let store = LocalFileSystem::new_with_prefix(dir).map_err(|error| failed(error.into()))?;
    let store = store.with_automatic_cleanup(true);
    let pruned = prune_store(&store, options, SystemTime::now()).await;
    let mut pruned = pruned.map_err(|error| failed(error.into()))?;
    let partial = remove_partial(dir, PARTIAL_TIME_MAX);
    pruned.bytes += partial.map_err(|error| failed(error.into()))?;
    Ok(pruned)
}

/// Deletes the remains of uploads without new bytes for `idle`; returns their bytes. The store
/// writes a blob to `DIGEST#N` until it is whole.
pub(crate) fn remove_partial(dir: &Path, idle: Duration) -> std::io::Result<u64> {
    let found = match std::fs::read_dir(dir.join(BLOBS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        found => found?,
    };
    let mut bytes = 0;
    for found in found {
        let found = found?;
        // Gone meanwhile: it got its name.
        let Ok(about) = found.metadata() else { continue };
        let age = about.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
        if found.file_name().to_string_lossy().contains('#')
            && age >= idle
            && std::fs::remove_file(found.path()).is_ok()
        {
            bytes += about.len();
        }
    }
    Ok(bytes)
}

async fn prune_store(
    store: &dyn ObjectStore,
    options: &PruneOptions,
    now: SystemTime,
) -> Result<Pruned, object_store::Error> {
    let mut pruned = Pruned::default();
    let mut doomed = doomed(store).await?;
    for (id, found) in list(store).await? {
        let idle = now.duration_since(found.newest).unwrap_or_default();
        let is_named = options.experiments.iter().any(|named| named.as_str() == id);
        if !(found.finished || is_named || options.idle.is_some_and(|max| idle > max)) {
            pruned.unfinished += 1;
            continue;
        }
        pruned.experiments += 1;
        // A late upload finds it closed. Last to go, so that the next prune continues an
        // interrupted one.
        store.put(&entry(&id, FINISHED), PutPayload::new()).await?;
        for digest in found.digests {
            delete(store, &entry(&id, &digest.to_string())).await?;
            doomed.insert(digest);
        }
        readers::disown(store, &id).await?;
        delete(store, &entry(&id, FINISHED)).await?;
    }
    // Moved aside and looked for again before they go: an upload that stores one of them meanwhile
    // says so first, and gives it its name afterwards.
    let needed = needed(store).await?;
    let mut moved = BTreeSet::new();
    for digest in doomed.difference(&needed) {
        match store.rename(&blob_path(digest), &doomed_path(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => moved.insert(*digest),
            Err(error) => return Err(error),
        };
    }
    let needed = self::needed(store).await?;
    for digest in doomed.union(&moved) {
        let path = doomed_path(digest);
        let Ok(blob) = store.head(&path).await else { continue };
        if needed.contains(digest) {
            match store.rename_if_not_exists(&path, &blob_path(digest)).await {
                Ok(()) => continue,
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        } else {
            readers::remove(store, digest).await?;
            pruned.blobs += 1;
            pruned.bytes += blob.size;
        }
        delete(store, &path).await?;
    }
    Ok(pruned)
}

fn doomed_path(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("{DOOMED}/{digest}"))
}

/// The remains of an interrupted prune.
async fn doomed(store: &dyn ObjectStore) -> Result<BTreeSet<Digest>, object_store::Error> {
    digests(store, DOOMED).await
}

/// Blobs that an experiment has, or that are of none.
async fn needed(store: &dyn ObjectStore) -> Result<BTreeSet<Digest>, object_store::Error> {
    let mut needed = digests(store, KEPT).await?;
    needed.extend(list(store).await?.into_values().flat_map(|found| found.digests));
    Ok(needed)
}

async fn digests(
    store: &dyn ObjectStore,
    name: &str,
) -> Result<BTreeSet<Digest>, object_store::Error> {
    let mut listed = store.list(Some(&ObjectPath::from(name)));
    let mut found = BTreeSet::new();
    while let Some(object) = listed.try_next().await? {
        found.extend(object.location.filename().and_then(|name| name.parse::<Digest>().ok()));
    }
    Ok(found)
}

/// The facts about an experiment.
struct Found {
    finished: bool,
    digests: Vec<Digest>,
    /// When something was stored in its name last.
    newest: SystemTime,
}

/// All experiments, and their blobs.
async fn list(store: &dyn ObjectStore) -> Result<BTreeMap<String, Found>, object_store::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &tempfile::TempDir) -> LocalFileSystem {
        LocalFileSystem::new_with_prefix(dir.path()).unwrap()
    }

    async fn put(store: &LocalFileSystem, experiments: &[&ExperimentId], bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        for experiment in experiments {
            add(store, Some(experiment), &digest).await.unwrap();
        }
        store.put(&blob_path(&digest), PutPayload::from_static(b"x")).await.unwrap();
        digest
    }

    async fn is_there(store: &LocalFileSystem, digest: &Digest) -> bool {
        store.head(&blob_path(digest)).await.is_ok()
    }

    #[tokio::test]
    async fn only_blobs_that_no_unfinished_experiment_has_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let (done, runs): (ExperimentId, ExperimentId) =
            ("done".parse().unwrap(), "runs".parse().unwrap());
        let shared = put(&store, &[&done, &runs], b"a").await;
        let own = put(&store, &[&done], b"b").await;
        let nobody_s = put(&store, &[], b"c").await;
        // Stored in no experiment's name, and in that of a finished one.
        let kept = put(&store, &[&done], b"d").await;
        add(&store, None, &kept).await.unwrap();
        let options = PruneOptions::default();
        let none = Pruned { unfinished: 2, ..Pruned::default() };
        assert_eq!(prune(dir.path(), &options).await.unwrap(), none);
        finish(&store, &done).await.unwrap();
        assert!(is_finished(&store, &done).await.unwrap());
        let pruned = prune(dir.path(), &options).await.unwrap();
        assert_eq!(pruned, Pruned { experiments: 1, blobs: 1, bytes: 1, unfinished: 1 });
        for (digest, expected) in [(shared, true), (own, false), (nobody_s, true), (kept, true)] {
            assert_eq!(is_there(&store, &digest).await, expected);
        }
        let rest = Pruned { unfinished: 1, ..Pruned::default() };
        assert_eq!(prune(dir.path(), &options).await.unwrap(), rest);
        // A reopened experiment is no longer finished.
        finish(&store, &runs).await.unwrap();
        reopen(&store, &runs).await.unwrap();
        assert_eq!(prune(dir.path(), &options).await.unwrap(), rest);
        assert!(is_there(&store, &shared).await);
        // Nothing is left of the finished experiment.
        assert!(!dir.path().join(EXPERIMENTS).join("done").exists());
        assert!(!dir.path().join(DOOMED).exists());
    }

    #[tokio::test]
    async fn what_is_stored_while_a_prune_moves_it_aside_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let (done, runs): (ExperimentId, ExperimentId) =
            ("done".parse().unwrap(), "runs".parse().unwrap());
        let [early, late, old] = [b"a", b"b", b"c"].map(|bytes| Digest::of(bytes));
        // As a prune that broke off leaves them: moved aside, their experiment forgotten. One
        // was announced since, one was announced and got its name, one has no owner.
        for digest in [&early, &late, &old] {
            store.put(&doomed_path(digest), PutPayload::from_static(b"x")).await.unwrap();
        }
        for digest in [&early, &late] {
            add(&store, Some(&runs), digest).await.unwrap();
        }
        store.put(&blob_path(&late), PutPayload::from_static(b"new")).await.unwrap();
        finish(&store, &done).await.unwrap();
        let pruned = prune(dir.path(), &PruneOptions::default()).await.unwrap();
        assert_eq!(pruned, Pruned { experiments: 1, blobs: 1, bytes: 1, unfinished: 1 });
        assert!(is_there(&store, &early).await && !is_there(&store, &old).await);
        let blob = store.get(&blob_path(&late)).await.unwrap().bytes().await.unwrap();
        assert_eq!(&blob[..], b"new");
    }

    #[tokio::test]
    async fn experiments_that_nobody_ends_are_over_by_name_or_by_age() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let [killed, runs] = ["killed", "runs"].map(|id| id.parse::<ExperimentId>().unwrap());
        let of_killed = put(&store, &[&killed], b"a").await;
        let of_runs = put(&store, &[&runs], b"b").await;
        let hour = Duration::from_secs(60 * 60);
        let idle = PruneOptions { idle: Some(hour), ..PruneOptions::default() };
        let later = |time| prune_store(&store, &idle, SystemTime::now() + time);
        assert_eq!(later(hour / 2).await.unwrap().experiments, 0);
        let named = PruneOptions { experiments: vec![killed.clone()], ..PruneOptions::default() };
        let pruned = prune(dir.path(), &named).await.unwrap();
        assert_eq!(pruned, Pruned { experiments: 1, blobs: 1, bytes: 1, unfinished: 1 });
        assert!(!is_there(&store, &of_killed).await && is_there(&store, &of_runs).await);
        assert_eq!(later(hour * 2).await.unwrap().experiments, 1);
        assert!(!is_there(&store, &of_runs).await);
    }

    #[tokio::test]
    async fn uploads_that_broke_off_are_deleted_and_those_under_way_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join(BLOBS);
        std::fs::create_dir(&blobs).unwrap();
        let [old, new] = ["ab#1", "ab#2"].map(|name| blobs.join(name));
        std::fs::write(&old, [0; 10]).unwrap();
        std::fs::write(&new, [0; 10]).unwrap();
        let file = std::fs::File::options().write(true).open(&old).unwrap();
        file.set_modified(SystemTime::now() - PARTIAL_TIME_MAX).unwrap();
        let pruned = prune(dir.path(), &PruneOptions::default()).await.unwrap();
        assert_eq!((pruned.bytes, old.exists(), new.exists()), (10, false, true));
        // A server that starts is the only one.
        assert_eq!(remove_partial(dir.path(), Duration::ZERO).unwrap(), 10);
        assert!(!new.exists());
    }
}
