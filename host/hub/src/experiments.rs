//! `/experiments`: which are finished. Where clients are known, an experiment belongs to its
//! researcher.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use fedwasm_protocol::{Digest, ExperimentId, IdError, Participant, Role};
use fedwasm_transport::RELEASED_MAX;

use crate::federation::small_body;
use crate::places::Peer;
use crate::refusal::Refusal;
use crate::state::RepositoryState;
use crate::{index, readers};

/// A digest in hexadecimal and the end of its line.
const DIGEST_LINE_BYTES: usize = 65;

pub(crate) async fn finish(
    State(repository): State<Arc<RepositoryState>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(experiment): UrlPath<String>,
) -> Result<StatusCode, Refusal> {
    let experiment = parse_experiment(&experiment)?;
    let owner = readers::owner(&*repository.store.objects, &experiment).await?;
    check_own(&repository, &experiment, &peer, owner)?;
    index::finish(&*repository.store.objects, &experiment).await?;
    Ok(StatusCode::CREATED)
}

/// Reopens a finished experiment: its researcher alone may do so. Nothing is stored in the
/// name of one that is over.
pub(crate) async fn reopen(
    State(repository): State<Arc<RepositoryState>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(experiment): UrlPath<String>,
) -> Result<StatusCode, Refusal> {
    let experiment = parse_experiment(&experiment)?;
    match readers::owner(&*repository.store.objects, &experiment).await? {
        // One that is new.
        None if peer.who.is_some() => return Ok(StatusCode::NO_CONTENT),
        owner => check_own(&repository, &experiment, &peer, owner)?,
    }
    index::reopen(&*repository.store.objects, &experiment).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives up blobs of an experiment, whose digests are the lines of the body: no round needs them
/// any more. Its researcher alone may do so. They are deleted with the next sweep, unless another
/// experiment has them.
pub(crate) async fn release(
    State(repository): State<Arc<RepositoryState>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(experiment): UrlPath<String>,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let experiment = parse_experiment(&experiment)?;
    let owner = readers::owner(&*repository.store.objects, &experiment).await?;
    check_own(&repository, &experiment, &peer, owner)?;
    let body = small_body(body, RELEASED_MAX * DIGEST_LINE_BYTES).await?;
    let bad = |text: String| Refusal(StatusCode::BAD_REQUEST, text);
    let text = std::str::from_utf8(&body).map_err(|error| bad(error.to_string()))?;
    let digests: Result<Vec<Digest>, _> = text.lines().map(str::parse).collect();
    let digests = digests.map_err(|error| bad(error.to_string()))?;
    index::release(&*repository.store.objects, &experiment, &digests).await?;
    repository.released.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// Where clients are known, an experiment belongs to its researcher.
fn check_own(
    repository: &RepositoryState,
    experiment: &ExperimentId,
    peer: &Peer,
    owner: Option<Participant>,
) -> Result<(), Refusal> {
    let Some(peer) = &peer.who else { return Ok(()) };
    repository.check_revoked(peer)?;
    let (who, _) = peer;
    if who.role == Role::Researcher && owner.as_ref() == Some(who) {
        return Ok(());
    }
    Err(not_one_of(experiment, who))
}

pub(crate) fn parse_experiment(id: &str) -> Result<ExperimentId, Refusal> {
    id.parse().map_err(|error: IdError| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

pub(crate) fn not_one_of(experiment: &ExperimentId, who: &Participant) -> Refusal {
    Refusal(StatusCode::FORBIDDEN, format!("experiment {experiment} does not belong to {who}"))
}
