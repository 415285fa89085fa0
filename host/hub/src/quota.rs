//! The quota of each participant.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fedwasm_protocol::Participant;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};

use crate::index::BLOBS;
use crate::readers::{ANYBODY, OWNERS, READERS, STARTERS};
use crate::store::{AT_ONCE, paths_below};

/// The bytes that a file counts for beside its contents.
pub(crate) const FILE_BYTES: u64 = 4 << 10;

/// Bytes of each participant, and how many there may be.
#[derive(Debug)]
pub(crate) struct Quota {
    bytes_max: u64,
    used: Mutex<Used>,
    /// The time of the last count; held during a count.
    counted: tokio::sync::Mutex<Instant>,
}

/// Bytes of each participant.
#[derive(Debug, Default)]
struct Used {
    /// That are there.
    stored: HashMap<String, u64>,
    /// Bytes of uploads under way. Only the uploads themselves change these.
    coming: HashMap<String, u64>,
    /// That came since the last count began: it may have seen them or not.
    since: HashMap<String, u64>,
}

/// How often stored bytes are counted again: a prune is another program.
const COUNT_PAUSE: Duration = Duration::from_secs(60);

/// Bytes that count while they are under way, and afterwards if they are kept.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    quota: &'a Quota,
    name: String,
    bytes: u64,
}

impl Quota {
    /// Counts the stored bytes.
    pub(crate) async fn load(store: &dyn ObjectStore, bytes_max: u64) -> Result<Self, Error> {
        let used = Used { stored: Self::count(store).await?, ..Used::default() };
        let counted = tokio::sync::Mutex::new(Instant::now());
        Ok(Self { bytes_max, used: Mutex::new(used), counted })
    }

    /// A blob counts for its owner with its bytes and the files about it. Names and sizes say it
    /// all, so that a store is asked for lists, and for the few files that say whose an experiment
    /// is.
    async fn count(store: &dyn ObjectStore) -> Result<HashMap<String, u64>, Error> {
        let (mut used, mut charged) = (HashMap::new(), HashMap::new());
        let add = |used: &mut HashMap<String, u64>, name: &str, bytes: u64| {
            let used = used.entry(name.to_owned()).or_default();
            *used = used.saturating_add(bytes);
        };
        add(&mut used, ANYBODY, 0);
        let mut blobs = store.list(Some(&Path::from(BLOBS)));
        while let Some(blob) = blobs.try_next().await? {
            let bytes = blob.size + FILE_BYTES;
            add(&mut charged, blob.location.filename().unwrap_or_default(), bytes);
            add(&mut used, ANYBODY, bytes);
        }
        for path in paths_below(store, &Path::from(READERS)).await? {
            if let Some(digest) = path.parts().nth(1) {
                add(&mut charged, digest.as_ref(), FILE_BYTES);
            }
        }
        for path in paths_below(store, &Path::from(OWNERS)).await? {
            let (owner, digest) = (path.parts().nth(1), path.filename().unwrap_or_default());
            let Some(owner) = owner else { continue };
            add(&mut used, owner.as_ref(), charged.get(digest).copied().unwrap_or(0));
        }
        let starters = paths_below(store, &Path::from(STARTERS)).await?;
        let owners = futures_util::stream::iter(starters)
            .map(|path| async move { content(store, &path).await })
            .buffer_unordered(AT_ONCE);
        let owners: Vec<Option<Bytes>> = owners.try_collect().await?;
        for owner in owners.iter().flatten() {
            if let Ok(owner) = std::str::from_utf8(owner) {
                add(&mut used, owner, FILE_BYTES);
            }
        }
        Ok(used)
    }

    /// Counts bytes that are about to come; the bytes that are left if there are fewer.
    pub(crate) async fn reserve(
        &self,
        store: &dyn ObjectStore,
        who: Option<&Participant>,
        bytes: u64,
    ) -> Result<Result<Reserved<'_>, u64>, Error> {
        let taken = self.take(who, bytes);
        if taken.is_ok() {
            return Ok(taken);
        }
        {
            // One count at a time; those who come meanwhile wait for it.
            let mut counted = self.counted.lock().await;
            if counted.elapsed() > COUNT_PAUSE {
                self.recount(store).await?;
                *counted = Instant::now();
            }
        }
        Ok(self.take(who, bytes))
    }

    /// Counts stored bytes again.
    pub(crate) async fn recount(&self, store: &dyn ObjectStore) -> Result<(), Error> {
        self.lock().since.clear();
        let stored = Self::count(store).await?;
        let mut used = self.lock();
        used.stored = stored;
        // Counted twice until the next count rather than not at all.
        for (name, bytes) in std::mem::take(&mut used.since) {
            *used.stored.entry(name).or_default() += bytes;
        }
        Ok(())
    }

    fn take(&self, who: Option<&Participant>, bytes: u64) -> Result<Reserved<'_>, u64> {
        let name = who.map_or(ANYBODY.to_owned(), Participant::to_string);
        let mut used = self.lock();
        let of = |all: &HashMap<String, u64>| all.get(&name).copied().unwrap_or(0);
        let left = self.bytes_max.saturating_sub(of(&used.stored).saturating_add(of(&used.coming)));
        if bytes > left {
            return Err(left);
        }
        *used.coming.entry(name.clone()).or_default() += bytes;
        drop(used);
        Ok(Reserved { quota: self, name, bytes })
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content of a small file; none if a prune took it away meanwhile.
async fn content(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>, Error> {
    match store.get(path).await {
        Ok(found) => Ok(Some(found.bytes().await?)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Reserved<'_> {
    /// They stay.
    pub(crate) fn keep(self) {
        let mut used = self.quota.lock();
        *used.stored.entry(self.name.clone()).or_default() += self.bytes;
        *used.since.entry(self.name.clone()).or_default() += self.bytes;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut used = self.quota.lock();
        if let Some(coming) = used.coming.get_mut(&self.name) {
            *coming = coming.saturating_sub(self.bytes);
            if *coming == 0 {
                used.coming.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::PutPayload;
    use object_store::local::LocalFileSystem;

    #[tokio::test]
    async fn a_count_forgets_nothing_that_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
        let who: Participant = "node-a".parse().unwrap();
        // A blob of 8 bytes, whose owner may read it.
        const ONE: u64 = 8 + 2 * FILE_BYTES;
        const MAX: u64 = 2 * ONE + 4;
        let quota = Quota::load(&store, MAX).await.unwrap();
        let take = |bytes: u64| quota.take(Some(&who), bytes);
        let (one, two) = (take(ONE).unwrap(), take(ONE).unwrap());
        assert_eq!(take(ONE).unwrap_err(), 4);
        // Nothing of both is in the store yet.
        quota.recount(&store).await.unwrap();
        assert_eq!(take(ONE).unwrap_err(), 4);
        // One comes, is written down and counted; the other breaks off.
        let digest = fedwasm_protocol::Digest::of(b"blob");
        let blob = crate::index::blob_path(&digest);
        store.put(&blob, PutPayload::from_static(b"8 bytes.")).await.unwrap();
        crate::readers::add(&store, &digest, &who, std::slice::from_ref(&who)).await.unwrap();
        one.keep();
        quota.recount(&store).await.unwrap();
        assert_eq!(take(ONE).unwrap_err(), 4);
        drop(two);
        assert_eq!(take(ONE + 5).unwrap_err(), ONE + 4);
        let three = take(ONE + 4).unwrap();
        drop(three);
        // Bytes that a prune deletes are free after a count.
        let owned = Path::from(format!("{OWNERS}/{who}/{digest}"));
        store.delete(&owned).await.unwrap();
        quota.recount(&store).await.unwrap();
        assert!(take(MAX).is_ok());
    }
}
