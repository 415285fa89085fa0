//! The server of the HTTP repository.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::serve::{IncomingStream, Listener};
use fedwasm_protocol::{Digest, ExperimentId, IdError, Participant, Role};
use fedwasm_trust::{Authority, PublicKey};
use futures_util::StreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use sha2::Digest as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::enrolment::{Enrolment, REQUEST_BYTES_MAX};
use crate::index::blob_path;
use crate::quota::Quota;
use crate::tls::{Front, Peer, Stream};
use crate::{Error, address, index, readers};

/// The largest blob, in bytes.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;
/// What a participant may store if nothing else is said, in bytes.
pub const QUOTA_BYTES: u64 = 256 << 30;
/// The header that names who may fetch a blob, separated by commas.
pub(crate) const RECIPIENTS: &str = "fedwasm-recipients";
/// The most recipients of a blob.
const RECIPIENTS_MAX: usize = 1_024;
/// What a file counts for beside its bytes.
pub(crate) const FILE_BYTES: u64 = 4 << 10;
/// Bytes of a part on the way to the store.
const PART_BYTES: usize = 8 << 20;
/// How long a client may be silent while bytes are due.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What a repository serves, and to whom.
#[derive(Debug)]
pub struct RepositoryOptions<'a> {
    /// Where; port 0 takes a free one. Another address than loopback needs TLS.
    pub address: SocketAddr,
    /// The directory of blobs, which exists.
    pub dir: &'a Path,
    /// Who is who. With certificates it speaks TLS and knows who asks; without, it serves this
    /// machine alone, and takes in whoever asks.
    pub authority: Arc<Authority>,
    /// What each participant may store, in bytes; all together where nobody is known.
    pub quota_bytes: u64,
}

/// A running repository: `PUT` and `GET` of `/blobs/sha256/DIGEST`, kept as
/// files. A blob is whole or absent, and only ever what its digest says.
#[derive(Debug)]
pub struct RepositoryServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What all requests share.
#[derive(Debug)]
struct Shelf {
    store: Arc<dyn ObjectStore>,
    authority: Arc<Authority>,
    quota: Quota,
}

impl Listener for Front {
    type Io = Box<dyn Stream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Peer) {
        self.next().await
    }

    fn local_addr(&self) -> std::io::Result<Peer> {
        Ok(Peer { who: None })
    }
}

impl Connected<IncomingStream<'_, Front>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Front>) -> Self {
        stream.remote_addr().clone()
    }
}

impl RepositoryServer {
    /// Serves the blobs of a directory.
    ///
    /// # Errors
    /// [`Error::NotLoopback`], [`Error::Serve`], [`Error::Tls`].
    pub async fn start(options: RepositoryOptions<'_>) -> Result<Self, Error> {
        let RepositoryOptions { address, dir, authority, quota_bytes } = options;
        let failed = |reason: String| Error::Serve { address: address.to_string(), reason };
        if !authority.has_tls() {
            address::loopback(address)?;
        }
        let store = LocalFileSystem::new_with_prefix(dir);
        let store: Arc<dyn ObjectStore> =
            Arc::new(store.map_err(|error| failed(error.to_string()))?);
        let quota = Quota::load(&*store, quota_bytes).await;
        let quota = quota.map_err(|error| failed(error.to_string()))?;
        let front = Front::start(address, &authority).await?;
        let bound = front.address();
        let (stop, mut stopped) = watch::channel(false);
        let app = app(Arc::new(Shelf { store, authority, quota }));
        let app = app.into_make_service_with_connect_info::<Peer>();
        let serve = axum::serve(front, app).with_graceful_shutdown(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        let task = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!("the repository stopped: {error}");
            }
        });
        Ok(Self { address: bound, stop, task })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, within five seconds.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(Duration::from_secs(5), self.task).await.is_err() {
            abort.abort();
        }
    }
}

fn app(shelf: Arc<Shelf>) -> Router {
    Router::new()
        .route("/blobs/sha256/{digest}", get(get_blob).put(put_blob))
        .route("/experiments/{experiment}/finished", put(finish))
        .route("/federation/id", get(get_id))
        .route("/federation/roster", get(get_roster))
        .route("/federation/members", post(enrol))
        .with_state(shelf)
}

async fn get_id(State(shelf): State<Arc<Shelf>>) -> String {
    shelf.authority.federation().to_string()
}

async fn get_roster(State(shelf): State<Arc<Shelf>>) -> Result<Response, Refusal> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match shelf.authority.signed_roster() {
        Ok(roster) => Ok((json, roster).into_response()),
        Err(error) => {
            tracing::error!("the roster: {error}");
            Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the roster cannot be read".into()))
        }
    }
}

/// Takes in whoever asks, on this machine alone.
async fn enrol(State(shelf): State<Arc<Shelf>>, body: Body) -> Result<Response, Refusal> {
    if shelf.authority.has_tls() {
        let text = "this federation takes in whom its authority enrols: `fedwasm network enrol`";
        return Err(Refusal(StatusCode::FORBIDDEN, text.into()));
    }
    let body = axum::body::to_bytes(body, REQUEST_BYTES_MAX);
    let body = tokio::time::timeout(SILENCE_MAX, body).await;
    let body = body.map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "silence".into()))?;
    let body = body.map_err(|_| Refusal(StatusCode::PAYLOAD_TOO_LARGE, "too large".into()))?;
    let bad = |error: &dyn std::fmt::Display| Refusal(StatusCode::BAD_REQUEST, error.to_string());
    let Enrolment { participant, key, .. } = Enrolment::verify(&body).map_err(|e| bad(&e))?;
    if !matches!(participant.role, Role::Node | Role::Researcher) {
        return Err(bad(&"only nodes and researchers enrol here"));
    }
    let (authority, who) = (Arc::clone(&shelf.authority), participant.clone());
    let enrolled = tokio::task::spawn_blocking(move || authority.enrol(&who, &key)).await;
    let membership = match enrolled {
        Ok(Ok(membership)) => membership,
        Ok(Err(error @ fedwasm_trust::Error::Taken { .. })) => {
            return Err(Refusal(StatusCode::CONFLICT, error.to_string()));
        }
        Ok(Err(error)) => return Err(bad(&error)),
        Err(error) => return Err(bad(&error)),
    };
    tracing::info!("{participant} is on the roster");
    let json = serde_json::to_vec(&membership).map_err(|error| bad(&error))?;
    Ok((StatusCode::CREATED, json).into_response())
}

const NO_BLOB: &str = "no such blob, or not for you";

/// A connection outlives a revocation.
fn check_revoked(shelf: &Shelf, (who, key): &(Participant, PublicKey)) -> Result<(), Refusal> {
    match shelf.authority.current_roster() {
        // The same key: a name can have another one by now.
        Ok(roster) if roster.key(who) == Some(key) => Ok(()),
        _ => Err(Refusal(StatusCode::FORBIDDEN, format!("{who} is not on the roster"))),
    }
}

/// Why a request is not answered as asked.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<object_store::Error> for Refusal {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self(StatusCode::NOT_FOUND, NO_BLOB.into()),
            error => {
                tracing::error!("blob store: {error}");
                Self(StatusCode::INTERNAL_SERVER_ERROR, "the blob store failed".into())
            }
        }
    }
}

fn parse(digest: &str) -> Result<Digest, Refusal> {
    digest.parse().map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("{error}")))
}

async fn get_blob(
    State(shelf): State<Arc<Shelf>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(digest): UrlPath<String>,
) -> Result<Response, Refusal> {
    let digest = parse(&digest)?;
    if let Some(peer) = &peer.who {
        check_revoked(&shelf, peer)?;
        let (who, _) = peer;
        // Whoever may not have it learns nothing of whether it is there.
        if !readers::may_read(&*shelf.store, &digest, who).await? {
            return Err(Refusal(StatusCode::NOT_FOUND, NO_BLOB.into()));
        }
    }
    let object = shelf.store.get(&blob_path(&digest)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, object.meta.size.to_string()),
    ];
    Ok((headers, Body::from_stream(object.into_stream())).into_response())
}

async fn finish(
    State(shelf): State<Arc<Shelf>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(experiment): UrlPath<String>,
) -> Result<StatusCode, Refusal> {
    let experiment = parse_experiment(&experiment)?;
    if let Some(peer) = &peer.who {
        check_revoked(&shelf, peer)?;
        let (who, _) = peer;
        let owner = readers::owner(&*shelf.store, &experiment).await?;
        if who.role != Role::Researcher || owner.as_ref() != Some(who) {
            let text = format!("experiment {experiment} is not one of {who}");
            return Err(Refusal(StatusCode::FORBIDDEN, text));
        }
    }
    index::finish(&*shelf.store, &experiment).await?;
    Ok(StatusCode::CREATED)
}

fn parse_experiment(id: &str) -> Result<ExperimentId, Refusal> {
    id.parse().map_err(|error: IdError| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

/// `PUT /blobs/sha256/DIGEST`, or `?experiment=ID` with it: then the blob may
/// be pruned once that experiment is finished.
async fn put_blob(
    State(shelf): State<Arc<Shelf>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(digest): UrlPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let digest = parse(&digest)?;
    let experiment = query.as_deref().and_then(|query| query.strip_prefix("experiment="));
    let experiment = experiment.map(parse_experiment).transpose()?;
    let length = body.size_hint().exact();
    let Some(length) = length else {
        return Err(Refusal(StatusCode::LENGTH_REQUIRED, "say how long the blob is".into()));
    };
    if length > BLOB_BYTES_MAX {
        let text = format!("{length} bytes, at most {BLOB_BYTES_MAX} are stored");
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let who = peer.who.as_ref().map(|(who, _)| who);
    let store = &*shelf.store;
    let readers: Vec<Participant> = match &peer.who {
        Some(peer) => {
            check_revoked(&shelf, peer)?;
            let recipients = recipients(&headers, &shelf)?;
            if let Some(experiment) = &experiment {
                check_owner(store, experiment, &peer.0, &recipients).await?;
            }
            recipients.into_iter().chain([peer.0.clone()]).collect()
        }
        None => Vec::new(),
    };
    // Every file counts, too.
    let charged = length.saturating_add(FILE_BYTES * (1 + readers.len() as u64));
    // It counts as long as it is under way, so that many at once do not get past the quota.
    let reserved = shelf.quota.reserve(store, who, charged).await?.map_err(|left| {
        let text = format!("{length} bytes, and {left} are left of the quota");
        Refusal(StatusCode::INSUFFICIENT_STORAGE, text)
    })?;
    let remember = async {
        match &experiment {
            Some(experiment) => index::add(store, experiment, &digest).await,
            None => Ok(()),
        }
    };
    // Where nobody is known, blobs are nobody's: they are counted as they lie.
    let was_there = who.is_none() && store.head(&blob_path(&digest)).await.is_ok();
    // At once: a prune spares a blob that is newer than it, too.
    let (remembered, stored) = tokio::join!(remember, put_whole(store, body, length, &digest));
    if stored.is_err()
        && let Some(experiment) = &experiment
    {
        index::forget(store, experiment, &digest).await?;
    }
    let stored = stored?;
    remembered?;
    let is_new = match who {
        Some(who) => readers::add(store, &digest, who, charged, &readers).await?,
        None => !was_there,
    };
    if is_new {
        reserved.keep();
    }
    Ok(stored)
}

/// An experiment is of the researcher that stored something in its name first; nodes store
/// in it what is for that one.
async fn check_owner(
    store: &dyn ObjectStore,
    experiment: &ExperimentId,
    who: &Participant,
    recipients: &[Participant],
) -> Result<(), Refusal> {
    let owner = match who.role {
        Role::Researcher => Some(readers::claim(store, experiment, who).await?),
        _ => readers::owner(store, experiment).await?,
    };
    match owner {
        Some(owner) if owner == *who || recipients.contains(&owner) => Ok(()),
        _ => {
            let text = format!("experiment {experiment} is not one of {who}");
            Err(Refusal(StatusCode::FORBIDDEN, text))
        }
    }
}

fn recipients(headers: &HeaderMap, shelf: &Shelf) -> Result<Vec<Participant>, Refusal> {
    let bad = |text: String| Refusal(StatusCode::BAD_REQUEST, text);
    let Some(value) = headers.get(RECIPIENTS) else { return Ok(Vec::new()) };
    let text = value.to_str().map_err(|_| bad(format!("{RECIPIENTS} is no text")))?;
    let names: Vec<&str> = text.split(',').collect();
    if names.len() > RECIPIENTS_MAX {
        return Err(bad(format!("more than {RECIPIENTS_MAX} recipients")));
    }
    let names = names.into_iter();
    let parsed = names.map(|name| name.parse().map_err(|e: IdError| bad(e.to_string())));
    let mut recipients: Vec<Participant> = parsed.collect::<Result<_, _>>()?;
    let roster = shelf.authority.current_roster().map_err(|error| bad(error.to_string()))?;
    // Nobody who is not there could fetch it.
    recipients.retain(|who| roster.key(who).is_some());
    Ok(recipients)
}

async fn put_whole(
    store: &dyn ObjectStore,
    body: Body,
    length: u64,
    digest: &Digest,
) -> Result<StatusCode, Refusal> {
    let mut upload = store.put_multipart(&blob_path(digest)).await?;
    match receive(body, length, digest, upload.as_mut()).await {
        // What was there under this digest before, if anything, is replaced:
        // should it have been damaged, it is whole again.
        Ok(()) => {
            upload.complete().await?;
            Ok(StatusCode::CREATED)
        }
        Err(refusal) => {
            let _ = upload.abort().await;
            Err(refusal)
        }
    }
}

async fn receive(
    body: Body,
    length: u64,
    digest: &Digest,
    upload: &mut dyn MultipartUpload,
) -> Result<(), Refusal> {
    let bad = |text: &str| Refusal(StatusCode::BAD_REQUEST, text.to_owned());
    let mut body = body.into_data_stream();
    let (mut hasher, mut got, mut part) = (sha2::Sha256::new(), 0u64, Vec::new());
    loop {
        let chunk = tokio::time::timeout(SILENCE_MAX, body.next()).await;
        let chunk = chunk.map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "silence".into()))?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|_| bad("the body broke off"))?;
        got += chunk.len() as u64;
        if got > length {
            return Err(bad("the body is longer than announced"));
        }
        hasher.update(&chunk);
        part.extend_from_slice(&chunk);
        if part.len() >= PART_BYTES {
            upload.put_part(PutPayload::from(std::mem::take(&mut part))).await?;
        }
    }
    if got != length {
        return Err(bad("the body is shorter than announced"));
    }
    if <[u8; 32]>::from(hasher.finalize()) != *digest.as_bytes() {
        return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, "the digest is another one".into()));
    }
    upload.put_part(PutPayload::from(part)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Repository;
    use fedwasm_protocol::BlobRef;

    struct Fixture {
        dir: tempfile::TempDir,
        server: RepositoryServer,
        client: Repository,
    }

    async fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::create(&dir.path().join("net"), "test").unwrap());
        let blobs = dir.path().join("blobs");
        std::fs::create_dir(&blobs).unwrap();
        let options = RepositoryOptions {
            address: ([127, 0, 0, 1], 0).into(),
            dir: &blobs,
            authority,
            quota_bytes: 32 << 20,
        };
        let server = RepositoryServer::start(options).await.unwrap();
        let url = format!("http://{}", server.address()).parse().unwrap();
        Fixture { dir, server, client: Repository::new(url, None).unwrap() }
    }

    #[tokio::test]
    async fn what_is_stored_comes_back_even_twice_and_empty() {
        let Fixture { server, client, dir: _dir } = fixture().await;
        for bytes in [vec![], vec![1, 2, 3], vec![7; PART_BYTES + 1], vec![1, 2, 3]] {
            let blob = client.put(bytes.clone()).await.unwrap();
            assert_eq!(client.get(&blob).await.unwrap(), bytes);
        }
        server.stop().await;
    }

    #[tokio::test]
    async fn changed_byte_is_refused_and_healed_by_the_next_put() {
        let Fixture { dir, server, client } = fixture().await;
        let blob = client.put(vec![1, 2, 3]).await.unwrap();
        let file = dir.path().join("blobs/sha256").join(blob.sha256.to_string());
        std::fs::write(&file, [1, 2, 4]).unwrap();
        assert!(matches!(client.get(&blob).await, Err(Error::WrongDigest { .. })));
        std::fs::write(&file, [1, 2, 3, 4]).unwrap();
        assert!(matches!(client.get(&blob).await, Err(Error::WrongSize { got: 4, .. })));
        client.put(vec![1, 2, 3]).await.unwrap();
        assert_eq!(client.get(&blob).await.unwrap(), [1, 2, 3]);
        server.stop().await;
    }

    #[tokio::test]
    async fn absent_blob_is_not_found() {
        let Fixture { server, client, dir: _dir } = fixture().await;
        let error = client.get(&BlobRef::of(b"x")).await.unwrap_err();
        assert!(matches!(error, Error::Repository { status: 404, .. }), "{error}");
        server.stop().await;
    }

    #[tokio::test]
    async fn only_what_the_digest_says_is_stored() {
        let Fixture { dir, server, client: _ } = fixture().await;
        let http = reqwest::Client::builder().no_proxy();
        let http = http.tls_backend_preconfigured(crate::tls::no_tls().unwrap()).build().unwrap();
        let url = |name: &str| format!("http://{}/blobs/sha256/{name}", server.address());
        let digest = Digest::of(b"right").to_string();
        for (name, body, status) in
            [(digest.as_str(), "wrong", 422), ("ABC", "x", 400), ("..%2F..%2Fetc", "x", 400)]
        {
            let response = http.put(url(name)).body(body).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{name}");
        }
        let files = std::fs::read_dir(dir.path().join("blobs/sha256"));
        assert_eq!(files.map_or(0, |files| files.count()), 0);
        server.stop().await;
    }

    #[tokio::test]
    async fn more_than_the_quota_is_refused_and_what_broke_off_does_not_count() {
        let Fixture { server, client, dir: _dir } = fixture().await;
        // A file counts for its bytes and 4 KiB.
        let size = (32 << 20) - 2 * 4_096 - 10;
        client.put(vec![1; size]).await.unwrap();
        // The same bytes again take no more room.
        client.put(vec![1; 10]).await.unwrap();
        let error = client.put(vec![2; 1]).await.unwrap_err();
        assert!(matches!(error, Error::Repository { status: 507, .. }), "{error}");
        server.stop().await;
    }
}
