//! The owners and readers of each blob: empty objects beside the blobs,
//! `readers/DIGEST/PARTICIPANT` and `owners/PARTICIPANT/DIGEST`. Both are only kept where clients
//! are known.

use fedwasm_protocol::{Digest, ExperimentId, Participant};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};

use crate::store::AT_ONCE;

pub(crate) const READERS: &str = "readers";
pub(crate) const OWNERS: &str = "owners";
/// The owner of an experiment: `starters/EXPERIMENT` holds its researcher.
pub(crate) const STARTERS: &str = "starters";
/// The owner of blobs where clients are unknown.
pub(crate) const ANYBODY: &str = "anybody";

/// Remembers the owner and the readers of a blob. Returns whether it is the
/// owner's first of these bytes.
pub(crate) async fn add(
    store: &dyn ObjectStore,
    digest: &Digest,
    owner: &Participant,
    readers: &[Participant],
) -> Result<bool, Error> {
    let owned = Path::from(format!("{OWNERS}/{owner}/{digest}"));
    let is_new = !exists(store, &owned).await?;
    if is_new {
        store.put(&owned, PutPayload::new()).await?;
    }
    let path = |reader| Path::from(format!("{READERS}/{digest}/{reader}"));
    let paths: Vec<Path> = readers.iter().map(path).collect();
    let records = futures_util::stream::iter(paths)
        .map(|path| async move { store.put(&path, PutPayload::new()).await })
        .buffer_unordered(AT_ONCE);
    records.try_for_each(|_| async { Ok(()) }).await?;
    Ok(is_new)
}

/// Whether a participant may fetch a blob.
pub(crate) async fn may_read(
    store: &dyn ObjectStore,
    digest: &Digest,
    who: &Participant,
) -> Result<bool, Error> {
    exists(store, &Path::from(format!("{READERS}/{digest}/{who}"))).await
}

/// Gives an experiment without an owner to this one, and returns its owner.
pub(crate) async fn claim(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
    who: &Participant,
) -> Result<Participant, Error> {
    let payload = PutPayload::from(who.to_string());
    match store.put_opts(&starter(experiment), payload, PutMode::Create.into()).await {
        Ok(_) => Ok(who.clone()),
        Err(Error::AlreadyExists { .. }) => {
            Ok(owner(store, experiment).await?.unwrap_or_else(|| who.clone()))
        }
        Err(error) => Err(error),
    }
}

/// The owner of an experiment.
pub(crate) async fn owner(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
) -> Result<Option<Participant>, Error> {
    match store.get(&starter(experiment)).await {
        Ok(found) => {
            let name = found.bytes().await?;
            Ok(std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// From then on it has no owner.
pub(crate) async fn disown(store: &dyn ObjectStore, experiment: &str) -> Result<(), Error> {
    match store.delete(&Path::from(format!("{STARTERS}/{experiment}"))).await {
        Err(Error::NotFound { .. }) => Ok(()),
        deleted => deleted,
    }
}

fn starter(experiment: &ExperimentId) -> Path {
    Path::from(format!("{STARTERS}/{experiment}"))
}

async fn exists(store: &dyn ObjectStore, path: &Path) -> Result<bool, Error> {
    match store.head(path).await {
        Ok(_) => Ok(true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
