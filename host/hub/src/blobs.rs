//! `/blobs`: whole or absent, and always the bytes of the digest.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fedwasm_protocol::{Digest, ExperimentId, IdError, Participant, Role};
use fedwasm_transport::{BLOB_BYTES_MAX, RECIPIENTS};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};

use crate::experiments::{not_one_of, parse_experiment};
use crate::index::{self, blob_path};
use crate::places::Peer;
use crate::quota::FILE_BYTES;
use crate::refusal::{NO_BLOB, Refusal};
use crate::state::RepositoryState;
use crate::upload::{drain, receive};
use crate::{readers, sweep};

/// The most recipients of a blob.
const RECIPIENTS_MAX: usize = 1_024;

pub(crate) async fn get_blob(
    State(repository): State<Arc<RepositoryState>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(digest): UrlPath<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let digest = parse(&digest)?;
    if let Some(peer) = &peer.who {
        repository.check_revoked(peer)?;
        let (who, _) = peer;
        // A participant that may not fetch it does not learn whether it exists.
        if !readers::may_read(&*repository.store.objects, &digest, who).await? {
            return Err(Refusal(StatusCode::NOT_FOUND, NO_BLOB.into()));
        }
    }
    if !repository.store.is_plain(&digest).await {
        return Err(Refusal(StatusCode::NOT_FOUND, NO_BLOB.into()));
    }
    let store = &*repository.store.objects;
    let from = headers.get(header::RANGE).and_then(|range| rest_from(range.to_str().ok()?));
    if let Some(from) = from
        && from >= store.head(&blob_path(&digest)).await?.size
    {
        let text = format!("the blob has no byte {from}");
        return Err(Refusal(StatusCode::RANGE_NOT_SATISFIABLE, text));
    }
    let options = GetOptions { range: from.map(GetRange::Offset), ..GetOptions::default() };
    let object = store.get_opts(&blob_path(&digest), options).await?;
    let (size, range) = (object.meta.size, object.range.clone());
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, (range.end - range.start).to_string()),
    ];
    let body = Body::from_stream(object.into_stream());
    if from.is_none() {
        return Ok((headers, body).into_response());
    }
    let range = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    let range = [(header::CONTENT_RANGE, range)];
    Ok((StatusCode::PARTIAL_CONTENT, range, headers, body).into_response())
}

/// The start of `bytes=START-`, with which a client asks for the rest of a blob. Another range is
/// not understood, and gives all of it, as HTTP has it.
fn rest_from(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// `PUT /blobs/sha256/DIGEST`, or `?experiment=ID` with it: then the blob may
/// be pruned once that experiment is finished.
pub(crate) async fn put_blob(
    State(repository): State<Arc<RepositoryState>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(digest): UrlPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let mut body = Some(body);
    let request = Upload { peer, digest, query, headers };
    let stored = store_blob(&repository, request, &mut body).await;
    if stored.is_err()
        && let Some(body) = body
    {
        // A client that still writes does not read the refusal.
        drain(body).await;
    }
    stored
}

/// A request to store a blob, without its body.
struct Upload {
    peer: Peer,
    digest: String,
    query: Option<String>,
    headers: HeaderMap,
}

/// Stores a blob; takes the body once nothing speaks against it.
async fn store_blob(
    repository: &RepositoryState,
    Upload { peer, digest, query, headers }: Upload,
    whole: &mut Option<Body>,
) -> Result<StatusCode, Refusal> {
    let digest = parse(&digest)?;
    let experiment = query.as_deref().and_then(|query| query.strip_prefix("experiment="));
    let experiment = experiment.map(parse_experiment).transpose()?;
    let length = whole.as_ref().and_then(|body| body.size_hint().exact());
    let Some(length) = length else {
        return Err(Refusal(
            StatusCode::LENGTH_REQUIRED,
            "the content-length of the blob is missing".into(),
        ));
    };
    if length > BLOB_BYTES_MAX {
        let text = format!("the blob has {length} bytes, at most {BLOB_BYTES_MAX} are stored");
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let who = peer.who.as_ref().map(|(who, _)| who);
    let store = &*repository.store.objects;
    let mut readers: Vec<Participant> = Vec::new();
    let mut is_first = false;
    if let Some(peer) = &peer.who {
        repository.check_revoked(peer)?;
        readers = recipients(&headers, repository)?;
        if let Some(experiment) = &experiment {
            is_first = check_owner(store, experiment, &peer.0, &readers).await?;
        }
        readers.push(peer.0.clone());
    }
    if let Some(experiment) = &experiment
        && index::is_finished(store, experiment).await?
    {
        let text = format!("experiment {experiment} is over");
        return Err(Refusal(StatusCode::CONFLICT, text));
    }
    let _turn = repository.turns.take(who).await?;
    // Every file also counts by itself.
    let files = 1 + readers.len() as u64 + u64::from(is_first);
    let charged = length.saturating_add(FILE_BYTES * files);
    // It counts as long as it is under way, so that many at once do not get past the quota.
    let reserved = repository.quota.reserve(store, who, charged).await?.map_err(|left| {
        let text =
            format!("the blob has {length} bytes, but only {left} bytes of the quota are left");
        Refusal(StatusCode::INSUFFICIENT_STORAGE, text)
    })?;
    let body = whole.take().unwrap_or_default();
    let received = receive(&repository.store, body, (length, &digest), repository.pace).await?;
    // No owner is written before the bytes are here.
    let noted = note(store, experiment.as_ref(), &digest, who).await;
    if let Err(refusal) = noted {
        received.discard().await;
        return Err(refusal);
    }
    // Without known clients, blobs have no owner: they are counted on the disk.
    let was_there = who.is_none() && store.head(&blob_path(&digest)).await.is_ok();
    received.keep().await?;
    let is_new = match who {
        Some(who) => readers::add(store, &digest, who, &readers).await?,
        None => !was_there,
    };
    if is_new {
        reserved.keep();
    }
    Ok(StatusCode::CREATED)
}

/// Remembers the experiment in whose name a blob is about to be stored.
async fn note(
    store: &dyn ObjectStore,
    experiment: Option<&ExperimentId>,
    digest: &Digest,
    who: Option<&Participant>,
) -> Result<(), Refusal> {
    if let (Some(experiment), Some(who)) = (experiment, who)
        && who.role == Role::Researcher
        && readers::claim(store, experiment, who).await? != *who
    {
        return Err(not_one_of(experiment, who));
    }
    index::add(store, experiment, digest).await?;
    if !sweep::wait_for_no_mark(store, digest).await? {
        let text = "an earlier copy of the blob is being deleted: store it again";
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, text.into()));
    }
    Ok(())
}

/// An experiment is of the researcher that stored something in its name first; nodes store
/// blobs for that one in it. Returns whether this is the first.
async fn check_owner(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
    who: &Participant,
    recipients: &[Participant],
) -> Result<bool, Refusal> {
    match readers::owner(store, experiment).await? {
        Some(owner) if owner == *who || recipients.contains(&owner) => Ok(false),
        None if who.role == Role::Researcher => Ok(true),
        _ => Err(not_one_of(experiment, who)),
    }
}

fn recipients(
    headers: &HeaderMap,
    repository: &RepositoryState,
) -> Result<Vec<Participant>, Refusal> {
    let bad = |text: String| Refusal(StatusCode::BAD_REQUEST, text);
    let Some(value) = headers.get(RECIPIENTS) else { return Ok(Vec::new()) };
    let text = value.to_str().map_err(|_| bad(format!("{RECIPIENTS} is not text")))?;
    let names: Vec<&str> = text.split(',').collect();
    if names.len() > RECIPIENTS_MAX {
        return Err(bad(format!("more than {RECIPIENTS_MAX} recipients")));
    }
    let names = names.into_iter();
    let parsed = names.map(|name| name.parse().map_err(|e: IdError| bad(e.to_string())));
    let mut recipients: Vec<Participant> = parsed.collect::<Result<_, _>>()?;
    let roster = repository.authority.current_roster().map_err(|error| bad(error.to_string()))?;
    // A participant that is not on the roster could not fetch it.
    recipients.retain(|who| roster.key(who).is_some());
    Ok(recipients)
}

fn parse(digest: &str) -> Result<Digest, Refusal> {
    digest.parse().map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("{error}")))
}
