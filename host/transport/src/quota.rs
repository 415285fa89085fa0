//! What each participant may store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_protocol::Participant;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};

use crate::index::BLOBS;
use crate::readers::{ANYBODY, OWNERS};
use crate::server::FILE_BYTES;

/// Bytes of each participant, and how many there may be.
#[derive(Debug)]
pub(crate) struct Quota {
    bytes_max: u64,
    used: Mutex<HashMap<String, u64>>,
    /// When what is there was added up last.
    counted: Mutex<Instant>,
}

/// How often what is there is added up again: a prune is another program.
const COUNT_PAUSE: Duration = Duration::from_secs(60);

/// Bytes that count while they are under way, and afterwards if they are kept.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    quota: &'a Quota,
    name: String,
    bytes: u64,
}

impl Quota {
    /// Adds up what is there.
    pub(crate) async fn load(store: &dyn ObjectStore, bytes_max: u64) -> Result<Self, Error> {
        let used = Mutex::new(Self::count(store).await?);
        Ok(Self { bytes_max, used, counted: Mutex::new(Instant::now()) })
    }

    async fn count(store: &dyn ObjectStore) -> Result<HashMap<String, u64>, Error> {
        let mut used: HashMap<String, u64> = HashMap::new();
        let mut listed = store.list(Some(&Path::from(OWNERS)));
        while let Some(object) = listed.try_next().await? {
            let Some(owner) = object.location.parts().nth(1) else { continue };
            let length = store.get(&object.location).await?.bytes().await?;
            let length = std::str::from_utf8(&length).ok().and_then(|text| text.parse().ok());
            let used = used.entry(owner.as_ref().to_owned()).or_default();
            *used = used.saturating_add(length.unwrap_or(0));
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
        let is_due = {
            let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.elapsed() > COUNT_PAUSE
        };
        match self.take(who, bytes) {
            Err(_) if is_due => {
                let used = Self::count(store).await?;
                *self.lock() = used;
                *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                Ok(self.take(who, bytes))
            }
            taken => Ok(taken),
        }
    }

    fn take(&self, who: Option<&Participant>, bytes: u64) -> Result<Reserved<'_>, u64> {
        let name = who.map_or(ANYBODY.to_owned(), Participant::to_string);
        let mut all = self.lock();
        let used = all.entry(name.clone()).or_default();
        let left = self.bytes_max.saturating_sub(*used);
        if bytes > left {
            return Err(left);
        }
        *used += bytes;
        Ok(Reserved { quota: self, name, bytes })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved<'_> {
    /// They stay.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(used) = self.quota.lock().get_mut(&self.name) {
            *used = used.saturating_sub(self.bytes);
        }
    }
}
