//! Where a repository keeps its blobs and what it knows about them: a directory, or a bucket of S3,
//! which several repositories may share. Everything is in the store; a repository itself keeps
//! nothing.

mod https;
mod multipart;
mod s3;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::Digest;
use fedwasm_transport::Cause;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};

pub use s3::Bucket;

use crate::Error;
use crate::index::{BLOBS, blob_path};
use multipart::Multipart;

/// Bytes of a part on its way into a file.
pub(crate) const FILE_PART_BYTES: usize = 256 << 10;
/// Bytes of a part on its way to S3, the least that S3 takes; an upload holds one in memory.
const S3_PART_BYTES: usize = 5 << 20;
/// The most uploads at once into files, and to S3, where they have larger parts in memory.
const FILE_UPLOADS_MAX: usize = 256;
const S3_UPLOADS_MAX: usize = 64;
/// A file without new bytes for so long is of an upload that was abandoned: slower ones are
/// refused.
const FILE_IDLE_MAX: Duration = Duration::from_secs(600);
/// Requests of one sweep at once.
pub(crate) const AT_ONCE: usize = 16;

/// A store of blobs. Its `Debug` has no credentials.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Files(PathBuf),
    S3(Multipart),
}

impl Store {
    /// Keeps blobs as files of a directory, which exists and is of one repository.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be read, or has links, which would lead out of it.
    pub fn files(dir: &Path) -> Result<Self, Error> {
        let failed = |reason: Cause| Error::Store { store: dir.display().to_string(), reason };
        check_links(dir).map_err(|reason| failed(reason.into()))?;
        let files = LocalFileSystem::new_with_prefix(dir).map_err(|error| failed(error.into()))?;
        let objects = Arc::new(files.with_automatic_cleanup(true));
        Ok(Self { objects, place: Place::Files(dir.to_owned()) })
    }

    /// Keeps blobs in a bucket of S3. Endpoint, region and credentials are those of the
    /// environment (`AWS_*`); the bucket is asked whether it does what is needed.
    ///
    /// # Errors
    /// [`Error::Store`] if the environment lacks something, or the store does not answer, refuses
    /// the credentials, or knows no conditional writes.
    pub async fn s3(bucket: &Bucket) -> Result<Self, Error> {
        let failed = |reason: Cause| Error::Store { store: bucket.to_string(), reason };
        let (objects, multipart) = bucket.open().map_err(failed)?;
        s3::probe(&*objects).await.map_err(failed)?;
        Ok(Self { objects, place: Place::S3(multipart) })
    }

    /// Bytes of a part of an upload; a smaller blob is stored in one piece.
    pub(crate) fn part_bytes(&self) -> usize {
        match self.place {
            Place::Files(_) => FILE_PART_BYTES,
            Place::S3(_) => S3_PART_BYTES,
        }
    }

    /// The most uploads at once.
    pub(crate) fn uploads_max(&self) -> usize {
        match self.place {
            Place::Files(_) => FILE_UPLOADS_MAX,
            Place::S3(_) => S3_UPLOADS_MAX,
        }
    }

    /// Begins to store a blob in parts. It exists once that is completed.
    pub(crate) async fn begin(
        &self,
        digest: &Digest,
    ) -> Result<Box<dyn MultipartUpload>, object_store::Error> {
        match &self.place {
            Place::Files(_) => self.objects.put_multipart(&blob_path(digest)).await,
            Place::S3(multipart) => multipart.begin(&self.objects, digest).await,
        }
    }

    /// Whether a blob is an ordinary file: a link in its place would serve a file from elsewhere.
    pub(crate) async fn is_plain(&self, digest: &Digest) -> bool {
        let Place::Files(dir) = &self.place else { return true };
        let path = dir.join(BLOBS).join(digest.to_string());
        let about = tokio::task::spawn_blocking(move || std::fs::symlink_metadata(path)).await;
        about.is_ok_and(|about| about.is_ok_and(|about| about.is_file()))
    }

    /// Deletes what uploads that broke off left behind; returns its bytes, where they are known.
    pub(crate) async fn remove_partial(&self) -> Result<u64, Cause> {
        match &self.place {
            Place::Files(dir) => Ok(remove_partial(dir, FILE_IDLE_MAX)?),
            Place::S3(multipart) => Ok(multipart.abort_abandoned(&self.objects).await?),
        }
    }

    /// The same at a start: what lies in a directory then is of no upload any more.
    pub(crate) async fn remove_partial_at_start(&self) -> Result<u64, Cause> {
        match &self.place {
            Place::Files(dir) => Ok(remove_partial(dir, Duration::ZERO)?),
            // Another repository may be at work.
            Place::S3(_) => self.remove_partial().await,
        }
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Files(dir) => dir.display().fmt(f),
            Place::S3(multipart) => multipart.fmt(f),
        }
    }
}

/// Deletes objects that may already be gone.
pub(crate) async fn delete_all(
    store: &dyn ObjectStore,
    paths: Vec<ObjectPath>,
) -> Result<(), object_store::Error> {
    let paths = futures_util::stream::iter(paths.into_iter().map(Ok)).boxed();
    let mut deleted = store.delete_stream(paths);
    while let Some(one) = deleted.next().await {
        match one {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The paths of all objects below one.
pub(crate) async fn paths_below(
    store: &dyn ObjectStore,
    path: &ObjectPath,
) -> Result<Vec<ObjectPath>, object_store::Error> {
    store.list(Some(path)).map_ok(|object| object.location).try_collect().await
}

/// A name that no other has.
pub(crate) fn nonce() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Keyed anew by the operating system's randomness for every hasher.
    let part = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", part(), part())
}

/// Deletes the remains of uploads without new bytes for `idle`; returns their bytes. A file of a
/// blob is called `DIGEST#N` until it is whole.
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

/// Links in the repository's directory would lead out of it.
fn check_links(dir: &Path) -> Result<(), String> {
    for entry in std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        let entry = entry.map_err(|error| format!("{}: {error}", dir.display()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            let path = entry.path();
            return Err(format!(
                "{} is a link, but the repository's files must lie in its own directory; to keep \
                 them on another disk, give a directory there as --dir, or mount it",
                path.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_that_broke_off_are_deleted_and_those_under_way_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join(BLOBS);
        std::fs::create_dir(&blobs).unwrap();
        let [old, new] = ["ab#1", "ab#2"].map(|name| blobs.join(name));
        std::fs::write(&old, [0; 10]).unwrap();
        std::fs::write(&new, [0; 10]).unwrap();
        let file = std::fs::File::options().write(true).open(&old).unwrap();
        file.set_modified(std::time::SystemTime::now() - FILE_IDLE_MAX).unwrap();
        let store = Store::files(dir.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let removed = runtime.block_on(store.remove_partial()).unwrap();
        assert_eq!((removed, old.exists(), new.exists()), (10, false, true));
        // A server that starts is the only one.
        assert_eq!(runtime.block_on(store.remove_partial_at_start()).unwrap(), 10);
        assert!(!new.exists());
    }
}
