//! Deletes what no experiment needs any more: all blobs are listed, and those that no entry of the
//! index names go, with their records.
//!
//! Uploads and other sweeps may be under way, also of other repositories on the same store. A blob
//! is marked, `doomed/DIGEST/NONCE`, before a sweep looks for the last time whether it is needed,
//! and the mark goes after the blob and its records. An upload writes its entry of the index, and
//! waits until the blob has no mark, before the blob exists: a later sweep sees the entry, and an
//! earlier one is done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use fedwasm_protocol::{Digest, ExperimentId};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::Error;
use crate::index::{self, BLOBS, Found, blob_path};
use crate::readers::{OWNERS, READERS};
use crate::store::{AT_ONCE, Store, delete_all, nonce, paths_below};

const DOOMED: &str = "doomed";
/// The least time without a new blob after which an experiment is over for want of room.
const FULL_IDLE_MIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Blobs that are marked at once.
const MARKED_MAX: usize = 1_000;
/// How long a sweep may act on its marks, and how old a mark is that counts no more: its sweep was
/// killed.
const SWEEP_TIME_MAX: Duration = Duration::from_secs(300);
const MARK_TIME_MAX: Duration = Duration::from_secs(600);
/// How long an upload waits for a sweep that is deleting the same blob.
const WAIT_TIME_MAX: Duration = Duration::from_secs(20);
const WAIT_PAUSE: Duration = Duration::from_millis(50);

/// The experiments that count as finished beside those marked so.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Those without a new blob for so long: their researcher was killed.
    pub idle: Option<Duration>,
    /// These, by name.
    pub experiments: Vec<ExperimentId>,
    /// If all blobs have more bytes than this together, those without a new blob for longest, and
    /// for a day: their researcher was killed, too.
    pub bytes_max: Option<u64>,
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

/// Deletes the blobs of experiments that are over, unless another one also has them, and the
/// remains of interrupted uploads. Repositories that serve the store meanwhile are not disturbed.
///
/// # Errors
/// [`Error::Store`] if the store cannot be read or changed.
pub async fn prune(store: &Store, options: &PruneOptions) -> Result<Pruned, Error> {
    let failed = |reason| Error::Store { store: store.to_string(), reason };
    let pruned = sweep(&*store.objects, options, SystemTime::now()).await;
    let mut pruned = pruned.map_err(|error| failed(error.into()))?;
    pruned.bytes += store.remove_partial().await.map_err(failed)?;
    Ok(pruned)
}

pub(crate) async fn sweep(
    store: &dyn ObjectStore,
    options: &PruneOptions,
    now: SystemTime,
) -> Result<Pruned, object_store::Error> {
    let sizes = sizes(store).await?;
    let experiments = index::list(store).await?;
    let over = over(&experiments, &sizes, options, now);
    for id in &over {
        index::forget(store, id).await?;
    }
    let mut pruned = Pruned {
        experiments: over.len() as u64,
        unfinished: (experiments.len() - over.len()) as u64,
        ..Pruned::default()
    };
    let needed = index::needed(store).await?;
    let listed: BTreeSet<Digest> =
        sizes.keys().copied().chain(records(store).await?.into_keys()).collect();
    let unneeded: Vec<Digest> = listed.difference(&needed).copied().collect();
    for digests in unneeded.chunks(MARKED_MAX) {
        let dead = delete(store, digests).await?;
        let bytes = dead.iter().filter_map(|digest| sizes.get(digest));
        pruned.blobs += bytes.clone().count() as u64;
        pruned.bytes += bytes.sum::<u64>();
    }
    Ok(pruned)
}

/// The experiments that are over.
fn over<'a>(
    experiments: &'a BTreeMap<String, Found>,
    sizes: &BTreeMap<Digest, u64>,
    options: &PruneOptions,
    now: SystemTime,
) -> BTreeSet<&'a str> {
    let idle = |found: &Found| now.duration_since(found.newest).unwrap_or_default();
    let is_over = |id: &str, found: &Found| {
        found.finished
            || options.experiments.iter().any(|named| named.as_str() == id)
            || options.idle.is_some_and(|max| idle(found) > max)
    };
    let all = experiments.iter().map(|(id, found)| (id.as_str(), found));
    let (over, mut open): (Vec<_>, Vec<_>) = all.partition(|(id, found)| is_over(id, found));
    let mut over: BTreeSet<&str> = over.into_iter().map(|(id, _)| id).collect();
    // Those that were idle for longest are the last.
    open.sort_by_key(|(_, found)| std::cmp::Reverse(found.newest));
    let bytes = |open: &[(&str, &Found)]| -> u64 {
        let digests: BTreeSet<Digest> =
            open.iter().flat_map(|(_, found)| found.digests.iter().copied()).collect();
        digests.iter().filter_map(|digest| sizes.get(digest)).sum()
    };
    while let (Some((id, found)), Some(max)) = (open.last(), options.bytes_max)
        && idle(found) > FULL_IDLE_MIN
        && bytes(&open) > max
    {
        over.insert(id);
        open.pop();
    }
    over
}

/// Deletes those of these blobs that are not needed after all; returns them.
async fn delete(
    store: &dyn ObjectStore,
    digests: &[Digest],
) -> Result<BTreeSet<Digest>, object_store::Error> {
    let (nonce, start) = (nonce(), Instant::now());
    let marks = |digests: &[Digest]| -> Vec<ObjectPath> {
        digests.iter().map(|it| ObjectPath::from(format!("{DOOMED}/{it}/{nonce}"))).collect()
    };
    let marked = futures_util::stream::iter(marks(digests))
        .map(|mark| async move { store.put(&mark, PutPayload::new()).await })
        .buffer_unordered(AT_ONCE);
    marked.try_for_each(|_| async { Ok(()) }).await?;
    let needed = index::needed(store).await?;
    let dead: BTreeSet<Digest> = digests.iter().copied().filter(|d| !needed.contains(d)).collect();
    let records = records(store).await?;
    let mut paths: Vec<ObjectPath> = dead.iter().map(blob_path).collect();
    paths.extend(dead.iter().filter_map(|digest| records.get(digest)).flatten().cloned());
    // A mark does not count for ever. The rest is left to the next sweep.
    let in_time = start.elapsed() < SWEEP_TIME_MAX;
    if in_time {
        delete_all(store, paths).await?;
    }
    delete_all(store, marks(digests)).await?;
    Ok(if in_time { dead } else { BTreeSet::new() })
}

/// Waits until no sweep is about to delete a blob, which has an entry in the index by now.
/// Whether that is so.
pub(crate) async fn wait_for_no_mark(
    store: &dyn ObjectStore,
    digest: &Digest,
) -> Result<bool, object_store::Error> {
    let (path, start) = (ObjectPath::from(format!("{DOOMED}/{digest}")), Instant::now());
    loop {
        let marks: Vec<_> = store.list(Some(&path)).try_collect().await?;
        let counts = |mark: &object_store::ObjectMeta| {
            let age = SystemTime::from(mark.last_modified).elapsed().unwrap_or_default();
            age < MARK_TIME_MAX
        };
        if !marks.iter().any(counts) {
            return Ok(true);
        }
        if start.elapsed() > WAIT_TIME_MAX {
            return Ok(false);
        }
        tokio::time::sleep(WAIT_PAUSE).await;
    }
}

/// The bytes of each blob.
async fn sizes(store: &dyn ObjectStore) -> Result<BTreeMap<Digest, u64>, object_store::Error> {
    let mut sizes = BTreeMap::new();
    let mut listed = store.list(Some(&ObjectPath::from(BLOBS)));
    while let Some(blob) = listed.try_next().await? {
        if let Some(digest) = blob.location.filename().and_then(|name| name.parse().ok()) {
            sizes.insert(digest, blob.size);
        }
    }
    Ok(sizes)
}

/// The records of each blob: of its readers and of its owners.
async fn records(
    store: &dyn ObjectStore,
) -> Result<BTreeMap<Digest, Vec<ObjectPath>>, object_store::Error> {
    let mut records: BTreeMap<Digest, Vec<ObjectPath>> = BTreeMap::new();
    // `readers/DIGEST/PARTICIPANT` and `owners/PARTICIPANT/DIGEST`.
    for (name, place) in [(READERS, 1), (OWNERS, 2)] {
        for path in paths_below(store, &ObjectPath::from(name)).await? {
            let digest = path.parts().nth(place);
            if let Some(digest) = digest.and_then(|digest| digest.as_ref().parse().ok()) {
                records.entry(digest).or_default().push(path);
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn store(dir: &tempfile::TempDir) -> Store {
        Store::files(dir.path()).unwrap()
    }

    async fn put(store: &Store, experiments: &[&ExperimentId], bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        for experiment in experiments {
            index::add(&*store.objects, Some(experiment), &digest).await.unwrap();
        }
        put_blob(store, &digest).await;
        digest
    }

    async fn put_blob(store: &Store, digest: &Digest) {
        store.objects.put(&blob_path(digest), PutPayload::from_static(b"x")).await.unwrap();
    }

    async fn is_there(store: &Store, digest: &Digest) -> bool {
        store.objects.head(&blob_path(digest)).await.is_ok()
    }

    #[tokio::test]
    async fn only_blobs_that_no_unfinished_experiment_has_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let objects = &*store.objects;
        let (done, runs): (ExperimentId, ExperimentId) =
            ("done".parse().unwrap(), "runs".parse().unwrap());
        let shared = put(&store, &[&done, &runs], b"a").await;
        let own = put(&store, &[&done], b"b").await;
        let nobody_s = put(&store, &[], b"c").await;
        index::add(objects, None, &nobody_s).await.unwrap();
        // Stored in no experiment's name, and in that of a finished one.
        let kept = put(&store, &[&done], b"d").await;
        index::add(objects, None, &kept).await.unwrap();
        let options = PruneOptions::default();
        let none = Pruned { unfinished: 2, ..Pruned::default() };
        assert_eq!(prune(&store, &options).await.unwrap(), none);
        index::finish(objects, &done).await.unwrap();
        assert!(index::is_finished(objects, &done).await.unwrap());
        let pruned = prune(&store, &options).await.unwrap();
        assert_eq!(pruned, Pruned { experiments: 1, blobs: 1, bytes: 1, unfinished: 1 });
        for (digest, expected) in [(shared, true), (own, false), (nobody_s, true), (kept, true)] {
            assert_eq!(is_there(&store, &digest).await, expected);
        }
        let rest = Pruned { unfinished: 1, ..Pruned::default() };
        assert_eq!(prune(&store, &options).await.unwrap(), rest);
        // A reopened experiment is no longer finished.
        index::finish(objects, &runs).await.unwrap();
        index::reopen(objects, &runs).await.unwrap();
        assert_eq!(prune(&store, &options).await.unwrap(), rest);
        assert!(is_there(&store, &shared).await);
        // Nothing is left of the finished experiment.
        assert!(!dir.path().join("experiments/done").exists());
        assert!(!dir.path().join(DOOMED).exists());
    }

    /// A server or a sweep that was killed leaves these behind.
    #[tokio::test]
    async fn blobs_and_records_that_no_entry_names_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let node = "node-a".parse().unwrap();
        let orphan = put(&store, &[], b"a").await;
        let recorded = Digest::of(b"b");
        for digest in [&orphan, &recorded] {
            crate::readers::add(&*store.objects, digest, &node, std::slice::from_ref(&node))
                .await
                .unwrap();
        }
        let pruned = prune(&store, &PruneOptions::default()).await.unwrap();
        assert_eq!(pruned, Pruned { blobs: 1, bytes: 1, ..Pruned::default() });
        assert!(!is_there(&store, &orphan).await);
        assert!(records(&*store.objects).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_announced_while_a_sweep_marks_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let runs: ExperimentId = "runs".parse().unwrap();
        let [announced, old] = [b"a", b"b"].map(|bytes| Digest::of(bytes));
        for digest in [&announced, &old] {
            put_blob(&store, digest).await;
        }
        // After the sweep listed what is needed, before it looks again.
        index::add(&*store.objects, Some(&runs), &announced).await.unwrap();
        let dead = delete(&*store.objects, &[announced, old]).await.unwrap();
        assert_eq!(dead, BTreeSet::from([old]));
        assert!(is_there(&store, &announced).await && !is_there(&store, &old).await);
        assert!(!dir.path().join(DOOMED).exists());
    }

    #[tokio::test]
    async fn an_upload_waits_for_a_sweep_and_not_for_one_that_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(store(&dir));
        let digest = Digest::of(b"a");
        assert!(wait_for_no_mark(&*store.objects, &digest).await.unwrap());
        let mark = ObjectPath::from(format!("{DOOMED}/{digest}/{}", nonce()));
        store.objects.put(&mark, PutPayload::new()).await.unwrap();
        let waits = tokio::spawn({
            let store = Arc::clone(&store);
            async move { wait_for_no_mark(&*store.objects, &digest).await.unwrap() }
        });
        // Time in which it would return.
        tokio::time::sleep(2 * WAIT_PAUSE).await;
        assert!(!waits.is_finished());
        delete_all(&*store.objects, vec![mark.clone()]).await.unwrap();
        assert!(waits.await.unwrap());
        store.objects.put(&mark, PutPayload::new()).await.unwrap();
        let file = std::fs::File::options().write(true).open(dir.path().join(mark.as_ref()));
        file.unwrap().set_modified(SystemTime::now() - MARK_TIME_MAX).unwrap();
        assert!(wait_for_no_mark(&*store.objects, &digest).await.unwrap());
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
        let later = |time| sweep(&*store.objects, &idle, SystemTime::now() + time);
        assert_eq!(later(hour / 2).await.unwrap().experiments, 0);
        let named = PruneOptions { experiments: vec![killed.clone()], ..PruneOptions::default() };
        let pruned = prune(&store, &named).await.unwrap();
        assert_eq!(pruned, Pruned { experiments: 1, blobs: 1, bytes: 1, unfinished: 1 });
        assert!(!is_there(&store, &of_killed).await && is_there(&store, &of_runs).await);
        assert_eq!(later(hour * 2).await.unwrap().experiments, 1);
        assert!(!is_there(&store, &of_runs).await);
    }

    #[tokio::test]
    async fn a_full_store_gives_up_what_was_idle_for_longest_and_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let ids = ["old", "older", "new"].map(|id| id.parse::<ExperimentId>().unwrap());
        let (day, now) = (FULL_IDLE_MIN, SystemTime::now());
        for (id, age) in ids.iter().zip([day * 2, day * 3, day / 2]) {
            let digest = put(&store, &[id], id.as_str().as_bytes()).await;
            let entry = dir.path().join(format!("experiments/{id}/{digest}"));
            let file = std::fs::File::options().write(true).open(entry).unwrap();
            file.set_modified(now - age).unwrap();
        }
        // Each has a byte.
        for (bytes_max, experiments) in [(3, 0), (2, 1), (0, 1), (0, 0)] {
            let options = PruneOptions { bytes_max: Some(bytes_max), ..PruneOptions::default() };
            let pruned = sweep(&*store.objects, &options, now).await.unwrap();
            assert_eq!(pruned.experiments, experiments, "{bytes_max}");
        }
        assert!(is_there(&store, &Digest::of(b"new")).await);
    }
}
