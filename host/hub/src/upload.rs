//! Bodies on their way to the store: part by part, few at once, and none slower than a pace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use fedwasm_protocol::{Digest, Participant};
use fedwasm_transport::Pace;
use futures_util::StreamExt as _;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use sha2::Digest as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::index::blob_path;
use crate::refusal::Refusal;
use crate::store::Store;

/// The most uploads of one participant at once; further ones wait their turn.
pub(crate) const UPLOADS_OF_ONE_MAX: usize = 4;
/// The most that is read of an upload that is refused, and for how long.
const DRAINED_BYTES_MAX: u64 = 64 << 20;
const DRAINED_TIME_MAX: Duration = Duration::from_secs(5);
/// How long one waits for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(20);

/// Turns to upload, bounded in all and for each participant.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    all_max: usize,
    /// At most one for each name that ever was on the roster.
    own: Mutex<HashMap<Participant, Arc<Semaphore>>>,
    time_max: Duration,
}

/// One upload that is under way.
#[derive(Debug)]
pub(crate) struct Turn {
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Turns {
    /// So many at once.
    pub(crate) fn new(all_max: usize) -> Self {
        let all = Arc::new(Semaphore::new(all_max));
        Self { all, all_max, own: Mutex::default(), time_max: TURN_TIME_MAX }
    }

    /// Waits for a turn; nothing of the body is read meanwhile.
    pub(crate) async fn take(&self, who: Option<&Participant>) -> Result<Turn, Refusal> {
        let own = who.map(|who| {
            let mut all = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(UPLOADS_OF_ONE_MAX));
            Arc::clone(all.entry(who.clone()).or_insert_with(new))
        });
        let turn = async {
            // The participant's own bound first: waiting for it delays no other participant.
            let own = match own {
                Some(own) => Some(own.acquire_owned().await.ok()?),
                None => None,
            };
            Some(Turn { _own: own, _all: Arc::clone(&self.all).acquire_owned().await.ok()? })
        };
        match tokio::time::timeout(self.time_max, turn).await {
            Ok(Some(turn)) => Ok(turn),
            _ => {
                let text = format!(
                    "at most {UPLOADS_OF_ONE_MAX} uploads of one participant, and {} in all, may \
                     run at once",
                    self.all_max
                );
                Err(Refusal(StatusCode::TOO_MANY_REQUESTS, text))
            }
        }
    }
}

/// A blob that came whole, and does not exist yet.
pub(crate) struct Received<'a> {
    store: &'a Store,
    digest: Digest,
    bytes: Incoming,
}

/// Where the bytes of an upload are: here, if all of them are not more than a part, or in the
/// store.
enum Incoming {
    Here(Vec<u8>),
    InParts(Box<dyn MultipartUpload>),
}

impl Received<'_> {
    /// Has it exist. An earlier object under this digest is replaced:
    /// should it have been damaged, it is whole again.
    pub(crate) async fn keep(self) -> Result<(), Refusal> {
        match self.bytes {
            Incoming::Here(bytes) => {
                self.store.objects.put(&blob_path(&self.digest), bytes.into()).await?;
            }
            Incoming::InParts(mut upload) => drop(upload.complete().await?),
        }
        Ok(())
    }

    /// Deletes it.
    pub(crate) async fn discard(self) {
        self.bytes.discard().await;
    }
}

impl Incoming {
    async fn discard(self) {
        if let Self::InParts(mut upload) = self {
            let _ = upload.abort().await;
        }
    }
}

/// Receives a body of this length and digest; nothing of another one is left.
pub(crate) async fn receive<'a>(
    store: &'a Store,
    body: Body,
    (length, digest): (u64, &Digest),
    pace: Pace,
) -> Result<Received<'a>, Refusal> {
    let part_bytes = store.part_bytes();
    let mut bytes = match usize::try_from(length) {
        Ok(length) if length <= part_bytes => Incoming::Here(Vec::with_capacity(length)),
        _ => Incoming::InParts(store.begin(digest).await?),
    };
    let written = write(body.into_data_stream(), (length, digest), part_bytes, pace, &mut bytes);
    match written.await {
        Ok(()) => Ok(Received { store, digest: *digest, bytes }),
        Err(refusal) => {
            bytes.discard().await;
            Err(refusal)
        }
    }
}

async fn write(
    mut body: BodyDataStream,
    (length, digest): (u64, &Digest),
    part_bytes: usize,
    pace: Pace,
    into: &mut Incoming,
) -> Result<(), Refusal> {
    let bad = |text: &str| Refusal(StatusCode::BAD_REQUEST, text.to_owned());
    let (mut hasher, mut got, mut part) = (sha2::Sha256::new(), 0u64, Vec::new());
    let start = Instant::now();
    loop {
        let due = pace.next_due(start, got, Instant::now());
        let chunk = tokio::time::timeout_at(due.into(), body.next()).await;
        let Some(chunk) = chunk.map_err(|_| too_slow(got, length))? else { break };
        let chunk = chunk.map_err(|_| bad("the body ended early"))?;
        got += chunk.len() as u64;
        if got > length {
            return Err(bad("the body is longer than announced"));
        }
        hasher.update(&chunk);
        match into {
            Incoming::Here(bytes) => bytes.extend_from_slice(&chunk),
            Incoming::InParts(upload) => {
                part.extend_from_slice(&chunk);
                // All of one size but the last, as some stores demand.
                while part.len() >= part_bytes {
                    let rest = part.split_off(part_bytes);
                    let whole = std::mem::replace(&mut part, rest);
                    upload.put_part(PutPayload::from(whole)).await?;
                }
            }
        }
    }
    if got != length {
        return Err(bad("the body is shorter than announced"));
    }
    if <[u8; 32]>::from(hasher.finalize()) != *digest.as_bytes() {
        return Err(Refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the bytes do not match the digest".into(),
        ));
    }
    if let Incoming::InParts(upload) = into
        && !part.is_empty()
    {
        upload.put_part(PutPayload::from(part)).await?;
    }
    Ok(())
}

/// Reads the body of an upload that is refused, up to a bound, so that its sender reads why.
pub(crate) async fn drain(body: Body) {
    let mut body = body.into_data_stream();
    let drained = async {
        let mut got = 0;
        while let Some(Ok(chunk)) = body.next().await {
            got += chunk.len() as u64;
            if got > DRAINED_BYTES_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAINED_TIME_MAX, drained).await;
}

fn too_slow(got: u64, length: u64) -> Refusal {
    let text = format!("too slow: {got} of {length} bytes arrived");
    Refusal(StatusCode::REQUEST_TIMEOUT, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn four_uploads_of_one_and_others_go_on() {
        let turns = Turns { time_max: Duration::from_millis(50), ..Turns::new(256) };
        let [a, b]: [Participant; 2] = ["node-a", "node-b"].map(|who| who.parse().unwrap());
        let mut held = Vec::new();
        for _ in 0..UPLOADS_OF_ONE_MAX {
            held.push(turns.take(Some(&a)).await.ok().unwrap());
        }
        let Err(Refusal(status, _)) = turns.take(Some(&a)).await else { panic!("a fifth") };
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        turns.take(Some(&b)).await.ok().unwrap();
        turns.take(None).await.ok().unwrap();
        held.pop();
        turns.take(Some(&a)).await.ok().unwrap();
    }
}
