//! The repository of a simulation: blobs in memory, for as long as a round may ask for them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fedwasm_protocol::{BlobRef, Digest, ExperimentId, FederationId};
use fedwasm_transport::Error;
use fedwasm_transport::port::{Blobs, Label, Later};
use fedwasm_trust::{Identity, Membership};

/// How the repository is called in errors.
const NAME: &str = "simulation";
/// For so many rounds a blob of the researcher stays that no node fetches any more.
const ROUNDS_KEPT: u64 = 2;

/// Keeps blobs in this process.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Of the researcher, each with the round in which it was used last.
    ours: HashMap<Digest, (Bytes, u64)>,
    /// Of nodes, in this round.
    uploads: HashMap<Digest, Bytes>,
    /// Questions to train so far.
    round: u64,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nodes are asked to train: updates of earlier rounds were used.
    pub(crate) fn begin_round(&self) {
        let mut kept = self.lock();
        kept.round += 1;
        kept.uploads.clear();
        let oldest = kept.round.saturating_sub(ROUNDS_KEPT);
        kept.ours.retain(|_, (_, used)| *used >= oldest);
    }

    /// Stores a blob of a node.
    pub(crate) fn upload(&self, bytes: Vec<u8>) {
        let digest = Digest::of(&bytes);
        self.lock().uploads.insert(digest, bytes.into());
    }

    /// Finds a blob.
    pub(crate) fn find(&self, blob: &BlobRef) -> Option<Bytes> {
        let mut kept = self.lock();
        let round = kept.round;
        if let Some((bytes, used)) = kept.ours.get_mut(&blob.sha256) {
            *used = round;
            return Some(bytes.clone());
        }
        kept.uploads.get(&blob.sha256).cloned()
    }
}

/// A simulation has no members.
fn no_members<T>() -> Result<T, Error> {
    let text = "a simulation has no federation".to_owned();
    Err(Error::Repository { url: NAME.into(), status: 404, text })
}

impl Blobs for Shelf {
    fn put<'a>(
        &'a self,
        blob: &'a BlobRef,
        bytes: Bytes,
        _: Label<'a>,
    ) -> Later<'a, Result<(), Error>> {
        Box::pin(async move {
            if BlobRef::of(&bytes) != *blob {
                let text = "the bytes do not match the digest".to_owned();
                return Err(Error::Repository { url: NAME.into(), status: 422, text });
            }
            let mut kept = self.lock();
            let round = kept.round;
            kept.ours.insert(blob.sha256, (bytes, round));
            Ok(())
        })
    }

    fn get<'a>(&'a self, blob: &'a BlobRef) -> Later<'a, Result<Bytes, Error>> {
        Box::pin(async move {
            let bytes = self.find(blob).ok_or_else(|| {
                let text = "the blob does not exist, or is of an earlier round".to_owned();
                Error::Repository { url: NAME.into(), status: 404, text }
            })?;
            let (expected, got) = (blob.size, bytes.len() as u64);
            match got > expected {
                true => Err(Error::WrongSize { digest: blob.sha256, expected, got }),
                false => Ok(bytes),
            }
        })
    }

    fn finish<'a>(&'a self, _: &'a ExperimentId) -> Later<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn reopen<'a>(&'a self, _: &'a ExperimentId) -> Later<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// Blobs of earlier rounds go by themselves.
    fn release<'a>(&'a self, _: &'a ExperimentId, _: &'a [Digest]) -> Later<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn federation(&self) -> Later<'_, Result<FederationId, Error>> {
        Box::pin(async { no_members() })
    }

    fn roster(&self) -> Later<'_, Result<Vec<u8>, Error>> {
        Box::pin(async { no_members() })
    }

    fn enrol<'a>(&'a self, _: &'a Identity) -> Later<'a, Result<Membership, Error>> {
        Box::pin(async { no_members() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn updates_stay_for_a_round_and_what_nodes_fetch_stays() {
        let shelf = Shelf::default();
        let put = async |bytes: &'static [u8]| {
            let blob = BlobRef::of(bytes);
            shelf.put(&blob, Bytes::from_static(bytes), Label::default()).await.unwrap();
            blob
        };
        let (plan, params) = (put(b"plan").await, put(b"params").await);
        shelf.begin_round();
        shelf.upload(b"update".to_vec());
        let update = BlobRef::of(b"update");
        assert_eq!(shelf.get(&update).await.unwrap(), b"update".as_slice());
        for _ in 0..4 {
            shelf.begin_round();
            assert!(shelf.find(&plan).is_some());
        }
        assert!(shelf.get(&update).await.is_err());
        assert!(shelf.get(&params).await.is_err());
        let wrong = shelf.put(&plan, Bytes::from_static(b"plam"), Label::default()).await;
        assert!(matches!(wrong, Err(Error::Repository { status: 422, .. })));
        let short = BlobRef { size: 3, ..plan };
        assert!(matches!(shelf.get(&short).await, Err(Error::WrongSize { .. })));
    }
}
