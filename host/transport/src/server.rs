//! The server of the HTTP repository.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::serve::ListenerExt as _;
use fedwasm_protocol::{Digest, ExperimentId, IdError};
use futures_util::StreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use sha2::Digest as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::index::blob_path;
use crate::{Error, address, index};

/// The largest blob, in bytes.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;
/// Bytes of a part on the way to the store.
const PART_BYTES: usize = 8 << 20;
/// How long a client may be silent while bytes are due.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A running repository: `PUT` and `GET` of `/blobs/sha256/DIGEST`, kept as
/// files. A blob is whole or absent, and only ever what its digest says.
#[derive(Debug)]
pub struct RepositoryServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RepositoryServer {
    /// Serves the blobs of `dir`, which exists; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::NotLoopback`], [`Error::Serve`].
    pub async fn start(address: SocketAddr, dir: &Path) -> Result<Self, Error> {
        let failed = |reason: String| Error::Serve { address: address.to_string(), reason };
        address::loopback(address)?;
        let store = LocalFileSystem::new_with_prefix(dir);
        let store = Arc::new(store.map_err(|error| failed(error.to_string()))?);
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(|error| failed(error.to_string()))?;
        let bound = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        // Small answers must not wait for more to send.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let (stop, mut stopped) = watch::channel(false);
        let serve = axum::serve(listener, app(store)).with_graceful_shutdown(async move {
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

fn app(store: Arc<dyn ObjectStore>) -> Router {
    Router::new()
        .route("/blobs/sha256/{digest}", get(get_blob).put(put_blob))
        .route("/experiments/{experiment}/finished", put(finish))
        .with_state(store)
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
            object_store::Error::NotFound { .. } => {
                Self(StatusCode::NOT_FOUND, "no such blob".into())
            }
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
    State(store): State<Arc<dyn ObjectStore>>,
    UrlPath(digest): UrlPath<String>,
) -> Result<Response, Refusal> {
    let object = store.get(&blob_path(&parse(&digest)?)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, object.meta.size.to_string()),
    ];
    Ok((headers, Body::from_stream(object.into_stream())).into_response())
}

async fn finish(
    State(store): State<Arc<dyn ObjectStore>>,
    UrlPath(experiment): UrlPath<String>,
) -> Result<StatusCode, Refusal> {
    index::finish(&*store, &parse_experiment(&experiment)?).await?;
    Ok(StatusCode::CREATED)
}

fn parse_experiment(id: &str) -> Result<ExperimentId, Refusal> {
    id.parse().map_err(|error: IdError| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

/// `PUT /blobs/sha256/DIGEST`, or `?experiment=ID` with it: then the blob may
/// be pruned once that experiment is finished.
async fn put_blob(
    State(store): State<Arc<dyn ObjectStore>>,
    UrlPath(digest): UrlPath<String>,
    RawQuery(query): RawQuery,
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
    let remember = async {
        match &experiment {
            Some(experiment) => index::add(&*store, experiment, &digest).await,
            None => Ok(()),
        }
    };
    // At once: a prune spares a blob that is newer than it, too.
    let (remembered, stored) = tokio::join!(remember, put_whole(&*store, body, length, &digest));
    remembered?;
    stored
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
        let server = RepositoryServer::start(([127, 0, 0, 1], 0).into(), dir.path()).await.unwrap();
        let url = format!("http://{}", server.address()).parse().unwrap();
        Fixture { dir, server, client: Repository::new(url).unwrap() }
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
        let file = dir.path().join("sha256").join(blob.sha256.to_string());
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
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = |name: &str| format!("http://{}/blobs/sha256/{name}", server.address());
        let digest = Digest::of(b"right").to_string();
        for (name, body, status) in
            [(digest.as_str(), "wrong", 422), ("ABC", "x", 400), ("..%2F..%2Fetc", "x", 400)]
        {
            let response = http.put(url(name)).body(body).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{name}");
        }
        let files = std::fs::read_dir(dir.path().join("sha256"));
        assert_eq!(files.map_or(0, |files| files.count()), 0);
        server.stop().await;
    }
}
