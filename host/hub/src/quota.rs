//! The quota of each participant.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fedwasm_protocol::Participant;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};

use crate::index::BLOBS;
use crate::readers::{ANYBODY, OWNERS, STARTERS};

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

    async fn count(store: &dyn ObjectStore) -> Result<HashMap<String, u64>, Error> {
        let mut used: HashMap<String, u64> = HashMap::new();
        let mut listed = store.list(Some(&Path::from(OWNERS)));
        while let Some(object) = listed.try_next().await? {
            let Some(owner) = object.location.parts().nth(1) else { continue };
            let Some(length) = content(store, &object.location).await? else { continue };
            let length = std::str::from_utf8(&length).ok().and_then(|text| text.parse().ok());
            let used = used.entry(owner.as_ref().to_owned()).or_default();
            *used = used.saturating_add(length.unwrap_or(0));
        }
        let mut starters = store.list(Some(&Path::from(STARTERS)));
        while let Some(object) = starters.try_next().await? {
            let Some(owner) = content(store, &object.location).await? else { continue };
            let Ok(owner) = std::str::from_utf8(&owner) else { continue };
            let used = used.entry(owner.to_owned()).or_default();
            *used = used.saturating_add(FILE_BYTES);
        }
        let mut blobs = store.list(Some(&Path::from(BLOBS)));
        let all = used.entry(ANYBODY.to_owned()).or_default();
        while let Some(blob) = blobs.try_next().await? {
            *all = all.saturating_add(blob.size + FILE_BYTES);
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

    async fn recount(&self, store: &dyn ObjectStore) -> Result<(), Error> {
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
        let quota = Quota::load(&store, 20).await.unwrap();
        let take = |bytes: u64| quota.take(Some(&who), bytes);
        let (one, two) = (take(8).unwrap(), take(8).unwrap());
        assert_eq!(take(8).unwrap_err(), 4);
        // Nothing of both is in the store yet.
        quota.recount(&store).await.unwrap();
        assert_eq!(take(8).unwrap_err(), 4);
        // One comes, is written down and counted; the other breaks off.
        let path = Path::from(format!("{OWNERS}/{who}/d"));
        store.put(&path, PutPayload::from("8")).await.unwrap();
        one.keep();
        quota.recount(&store).await.unwrap();
        assert_eq!(take(8).unwrap_err(), 4);
        drop(two);
        assert_eq!(take(13).unwrap_err(), 12);
        let three = take(12).unwrap();
        drop(three);
        // Bytes that a prune deletes are free after a count.
        store.delete(&path).await.unwrap();
        quota.recount(&store).await.unwrap();
        assert!(take(20).is_ok());
    }
}
