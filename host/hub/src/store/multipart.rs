//! Uploads to S3 in parts. S3 keeps the parts of an upload that broke off until it is aborted, and
//! lists them in no directory; so each upload is written down beside the blobs while it is under
//! way: `uploads/DIGEST/NONCE`, whose content is its id.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use fedwasm_protocol::Digest;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error, MultipartId, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload, PutResult,
    Result, UploadPart,
};

use super::{Bucket, nonce};
use crate::index::blob_path;

const UPLOADS: &str = "uploads";
/// How often an upload says that it is under way.
const SIGN_PAUSE: Duration = Duration::from_secs(300);
/// An upload without a sign for so long is abandoned: at the least pace, a part takes a fifth of
/// it.
const IDLE_MAX: Duration = Duration::from_secs(60 * 60);

/// Uploads in parts.
#[derive(Clone, Debug)]
pub(super) struct Multipart {
    s3: AmazonS3,
    bucket: Bucket,
}

impl std::fmt::Display for Multipart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bucket.fmt(f)
    }
}

/// One upload under way.
#[derive(Debug)]
struct Upload {
    s3: AmazonS3,
    objects: Arc<dyn ObjectStore>,
    /// The blob, with the store's prefix.
    path: ObjectPath,
    id: MultipartId,
    mark: ObjectPath,
    signed: Instant,
    sent: usize,
    /// The parts that arrived, by their number.
    parts: Arc<Mutex<Vec<(usize, PartId)>>>,
}

impl Multipart {
    pub(super) fn new(s3: AmazonS3, bucket: Bucket) -> Self {
        Self { s3, bucket }
    }

    /// Begins to store a blob.
    pub(super) async fn begin(
        &self,
        objects: &Arc<dyn ObjectStore>,
        digest: &Digest,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.full(&blob_path(digest));
        let id = self.s3.create_multipart(&path).await?;
        let mark = ObjectPath::from(format!("{UPLOADS}/{digest}/{}", nonce()));
        let upload = Upload {
            s3: self.s3.clone(),
            objects: Arc::clone(objects),
            path,
            id,
            mark,
            signed: Instant::now(),
            sent: 0,
            parts: Arc::default(),
        };
        if let Err(error) = upload.sign().await {
            let _ = upload.s3.abort_multipart(&upload.path, &upload.id).await;
            return Err(error);
        }
        Ok(Box::new(upload))
    }

    /// Aborts uploads that were abandoned. The bytes of their parts are not known: 0.
    pub(super) async fn abort_abandoned(&self, objects: &Arc<dyn ObjectStore>) -> Result<u64> {
        let mut listed = objects.list(Some(&ObjectPath::from(UPLOADS)));
        while let Some(mark) = listed.try_next().await? {
            let signed = SystemTime::from(mark.last_modified);
            let digest = mark.location.parts().nth(1);
            let digest = digest.and_then(|digest| digest.as_ref().parse::<Digest>().ok());
            let Some(digest) = digest.filter(|_| signed.elapsed().is_ok_and(|age| age > IDLE_MAX))
            else {
                continue;
            };
            let id = objects.get(&mark.location).await?.bytes().await?;
            let id = String::from_utf8_lossy(&id).into_owned();
            match self.s3.abort_multipart(&self.full(&blob_path(&digest)), &id).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            super::delete_all(&**objects, vec![mark.location]).await?;
        }
        Ok(0)
    }

    fn full(&self, path: &ObjectPath) -> ObjectPath {
        self.bucket.prefix().parts().chain(path.parts()).collect()
    }
}

impl Upload {
    /// Says that it is under way.
    async fn sign(&self) -> Result<()> {
        self.objects.put(&self.mark, PutPayload::from(self.id.clone())).await.map(drop)
    }

    async fn forget(&self) -> Result<()> {
        super::delete_all(&*self.objects, vec![self.mark.clone()]).await
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let number = self.sent;
        self.sent += 1;
        let sign = (self.signed.elapsed() > SIGN_PAUSE).then(|| {
            self.signed = Instant::now();
            (Arc::clone(&self.objects), self.mark.clone(), PutPayload::from(self.id.clone()))
        });
        let (s3, path, id) = (self.s3.clone(), self.path.clone(), self.id.clone());
        let parts = Arc::clone(&self.parts);
        Box::pin(async move {
            if let Some((objects, mark, id)) = sign {
                objects.put(&mark, id).await?;
            }
            let part = s3.put_part(&path, &id, number, data).await?;
            parts.lock().unwrap_or_else(PoisonError::into_inner).push((number, part));
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut parts = {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *parts)
        };
        parts.sort_by_key(|(number, _)| *number);
        let parts = parts.into_iter().map(|(_, part)| part).collect();
        let stored = self.s3.complete_multipart(&self.path, &self.id, parts).await?;
        self.forget().await?;
        Ok(stored)
    }

    async fn abort(&mut self) -> Result<()> {
        self.s3.abort_multipart(&self.path, &self.id).await?;
        self.forget().await
    }
}
