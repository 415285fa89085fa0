//! The server of the HTTP repository.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use fedwasm_transport::{Cause, IDLE_MAX, Pace, loopback};
use fedwasm_trust::Authority;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::blobs::{get_blob, put_blob};
use crate::experiments::{finish, release, reopen};
use crate::federation::{enrol, get_id, get_roster};
use crate::front::{Connection, Front};
use crate::housekeeping::{SWEEP_PAUSES, keep_house};
use crate::places::Bounds;
use crate::quota::Quota;
use crate::state::RepositoryState;
use crate::store::Store;
use crate::sweep::PruneOptions;
use crate::upload::Turns;
use crate::{Error, descriptors};

/// The default quota of a participant, in bytes.
pub const QUOTA_BYTES: u64 = 256 << 30;
/// The most connections, and of one participant: a program of ours has a handful.
const CONNECTIONS_MAX: usize = 4_096;
const CONNECTIONS_OF_ONE_MAX: usize = 64;
/// The buffer of a connection, in bytes: a head with all recipients fits.
const BUFFER_BYTES_MAX: usize = 96 << 10;
/// How long requests may continue after a stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// The settings of a repository.
#[derive(Debug)]
pub struct RepositoryOptions {
    /// Where; port 0 takes a free one. Another address than loopback needs TLS.
    pub address: SocketAddr,
    /// Where blobs are kept.
    pub store: Store,
    /// The roster. With certificates the repository speaks TLS and knows its clients; without, it
    /// serves this machine alone, and enrols any participant.
    pub authority: Arc<Authority>,
    /// The quota of each participant, in bytes; of all together where clients are unknown.
    pub quota_bytes: u64,
    /// What it deletes by itself, every hour, and a minute after blobs were given up.
    pub prune: PruneOptions,
}

/// A running repository: `PUT` and `GET` of `/blobs/sha256/DIGEST`, kept as
/// files. A blob is whole or absent, and always the bytes of its digest.
#[derive(Debug)]
pub struct RepositoryServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RepositoryServer {
    /// Serves the blobs of a store: of a directory, which no other server does, or of a bucket.
    ///
    /// # Errors
    /// [`Error::Serve`], [`Error::Store`]; [`Error::Transport`] for an address or a certificate.
    pub async fn start(options: RepositoryOptions) -> Result<Self, Error> {
        Self::start_with(options, Pace::USUAL, IDLE_MAX, SWEEP_PAUSES).await
    }

    pub(crate) async fn start_with(
        options: RepositoryOptions,
        pace: Pace,
        idle: Duration,
        sweep_pauses: (Duration, Duration),
    ) -> Result<Self, Error> {
        let RepositoryOptions { address, store, authority, quota_bytes, prune } = options;
        let failed = |reason: Cause| Error::Store { store: store.to_string(), reason };
        if !authority.has_tls() {
            loopback(address)?;
        }
        let partial = store.remove_partial_at_start().await.map_err(failed)?;
        if partial > 0 {
            tracing::info!("{partial} bytes of interrupted uploads are deleted");
        }
        let quota = Quota::load(&*store.objects, quota_bytes).await;
        let quota = quota.map_err(|error| failed(error.into()))?;
        // One to the client, and a file.
        let all = descriptors::share(3, 2, CONNECTIONS_MAX);
        let front =
            Front::start(address, &authority, Bounds { all, of_one: CONNECTIONS_OF_ONE_MAX });
        let front = front.await?;
        let bound = front.address();
        let (stop, stopped) = watch::channel(false);
        let turns = Turns::new(store.uploads_max());
        let released = Notify::new();
        let state = RepositoryState { store, authority, quota, turns, pace, released };
        let state = Arc::new(state);
        let house = keep_house(Arc::clone(&state), prune, sweep_pauses);
        let serve = serve(front, app(state), idle, stopped);
        let task = tokio::spawn(async {
            tokio::select! {
                () = serve => {}
                () = house => {}
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
        if tokio::time::timeout(STOP_TIME_MAX, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Serves all clients until the stop, and then requests that have begun.
async fn serve(mut front: Front, app: Router, idle: Duration, stopped: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    let mut stop = stopped.clone();
    loop {
        let connection = tokio::select! {
            connection = front.next() => connection,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while open.try_join_next().is_some() {}
        open.spawn(serve_one(connection, app.clone(), idle, stopped.clone()));
    }
    drop(front);
    while open.join_next().await.is_some() {}
}

async fn serve_one(
    connection: Connection,
    app: Router,
    idle: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let Connection { stream, peer, place } = connection;
    let service = TowerToHyperService::new(app.layer(Extension(ConnectInfo(peer))));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(BUFFER_BYTES_MAX);
    let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client that hangs up, keeps silent or sends no HTTP is not logged.
        _ = &mut served => return,
        () = place.revoked() => return,
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = served.await;
}

fn app(repository: Arc<RepositoryState>) -> Router {
    Router::new()
        .route("/blobs/sha256/{digest}", get(get_blob).put(put_blob))
        .route("/experiments/{experiment}/finished", put(finish).delete(reopen))
        .route("/experiments/{experiment}/released", post(release))
        .route("/federation/id", get(get_id))
        .route("/federation/roster", get(get_roster))
        .route("/federation/members", post(enrol))
        .with_state(repository)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::index::BLOBS;
    use crate::store::FILE_PART_BYTES;
    use fedwasm_protocol::{BlobRef, Digest};
    use fedwasm_transport::{Error, Repository, tls};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    const SILENCE: Duration = Duration::from_secs(2);
    /// Between two sweeps.
    const PAUSES: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_millis(50));

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
            store: Store::files(&blobs).unwrap(),
            authority,
            quota_bytes: 32 << 20,
            prune: PruneOptions::default(),
        };
        // Patience of a test: otherwise as it is.
        let pace = Pace { silence: SILENCE, ..Pace::USUAL };
        let server = RepositoryServer::start_with(options, pace, SILENCE, PAUSES).await.unwrap();
        let url = format!("http://{}", server.address()).parse().unwrap();
        Fixture { dir, server, client: Repository::new(url, None).unwrap() }
    }

    #[tokio::test]
    async fn what_is_stored_comes_back_even_twice_and_empty() {
        let Fixture { server, client, dir: _dir } = fixture().await;
        for bytes in [vec![], vec![1, 2, 3], vec![7; FILE_PART_BYTES + 1], vec![1, 2, 3]] {
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
        let http = http.tls_backend_preconfigured(tls::no_tls().unwrap()).build().unwrap();
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

    impl Fixture {
        /// Begins an upload of so many bytes, and sends some.
        async fn begin(&self, bytes: &[u8], sent: usize) -> TcpStream {
            let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
            let head = format!(
                "PUT /blobs/sha256/{} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
                Digest::of(bytes),
                bytes.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&bytes[..sent]).await.unwrap();
            stream
        }

        /// Files of uploads that are under way, and their bytes.
        fn partial(&self) -> (usize, u64) {
            let found = std::fs::read_dir(self.dir.path().join("blobs/sha256"));
            let partial = found.into_iter().flatten().flatten();
            let partial = partial.filter(|file| file.file_name().to_string_lossy().contains('#'));
            let bytes: Vec<u64> = partial.map(|file| file.metadata().unwrap().len()).collect();
            (bytes.len(), bytes.iter().sum())
        }

        async fn until(&self, partial: impl Fn((usize, u64)) -> bool) {
            let deadline = Instant::now() + Duration::from_secs(20);
            while !partial(self.partial()) {
                assert!(Instant::now() < deadline, "{:?}", self.partial());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    #[tokio::test]
    async fn more_than_the_quota_is_refused_and_what_broke_off_does_not_count() {
        let fixture = fixture().await;
        let client = &fixture.client;
        // A file counts for its bytes and 4 KiB.
        let size = (32 << 20) - 2 * 4_096 - 10;
        // One that breaks off counts as long as it is under way, and no longer.
        let half = fixture.begin(&vec![3; size], size / 2).await;
        fixture.until(|(n, bytes)| n == 1 && bytes > size as u64 / 4).await;
        let error = client.put(vec![1; size]).await.unwrap_err();
        assert!(matches!(error, Error::Repository { status: 507, .. }), "{error}");
        drop(half);
        fixture.until(|partial| partial == (0, 0)).await;
        client.put(vec![1; size]).await.unwrap();
        // The same bytes again take no more room.
        client.put(vec![1; 10]).await.unwrap();
        let error = client.put(vec![2; 1]).await.unwrap_err();
        assert!(matches!(error, Error::Repository { status: 507, .. }), "{error}");
        fixture.server.stop().await;
    }

    #[tokio::test]
    async fn bodies_go_to_files_as_they_come_and_slow_ones_are_ended() {
        let fixture = fixture().await;
        let mut streams = Vec::new();
        for n in 0..5u8 {
            streams.push(fixture.begin(&vec![n; 2 << 20], 1 << 20).await);
        }
        // Nothing but the last part is in memory.
        let held = 5 * FILE_PART_BYTES as u64;
        fixture.until(|(n, bytes)| n == 5 && bytes >= 5 * (1 << 20) - held).await;
        let mut answer = String::new();
        streams[0].read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("too slow"), "{answer}");
        fixture.until(|partial| partial == (0, 0)).await;
        fixture.server.stop().await;
    }

    #[tokio::test]
    async fn a_byte_now_and_then_is_no_progress() {
        let fixture = fixture().await;
        let mut stream = fixture.begin(&[7; 512 << 10], 1).await;
        let sent = async {
            loop {
                tokio::time::sleep(SILENCE / 4).await;
                if stream.write_all(&[7]).await.is_err() {
                    return;
                }
            }
        };
        fixture.until(|(n, _)| n == 1).await;
        // All of it would take days.
        tokio::select! {
            () = sent => {}
            () = fixture.until(|(n, _)| n == 0) => {}
        }
        fixture.server.stop().await;
    }

    #[tokio::test]
    async fn connections_that_ask_for_nothing_are_closed() {
        let Fixture { server, client, dir: _dir } = fixture().await;
        let mut silent = TcpStream::connect(server.address()).await.unwrap();
        let mut slow = TcpStream::connect(server.address()).await.unwrap();
        slow.write_all(b"GET /federation/id HTTP/1.1\r\n").await.unwrap();
        // One that asked, and keeps its connection.
        let mut kept = TcpStream::connect(server.address()).await.unwrap();
        kept.write_all(b"GET /federation/id HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        for stream in [&mut silent, &mut slow, &mut kept] {
            let mut answer = Vec::new();
            let ended = stream.read_to_end(&mut answer);
            let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
            ended.expect("the connection stays open").unwrap();
        }
        client.put(vec![1]).await.unwrap();
        server.stop().await;
    }

    #[tokio::test]
    async fn an_experiment_that_is_over_takes_nothing_until_it_is_reopened() {
        let Fixture { server, client, dir } = fixture().await;
        let client = client.of_experiment(&"e".parse().unwrap());
        let blob = client.put(vec![1]).await.unwrap();
        client.finish().await.unwrap();
        let error = client.put(vec![2]).await.unwrap_err();
        assert!(matches!(error, Error::Repository { status: 409, .. }), "{error}");
        client.reopen().await.unwrap();
        client.put(vec![2]).await.unwrap();
        client.finish().await.unwrap();
        // An upload that fails leaves nothing in its name.
        let http = format!(
            "PUT /blobs/sha256/{}?experiment=f HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx",
            Digest::of(b"other")
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(http.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 422");
        assert!(!dir.path().join("blobs/experiments/f").exists());
        let options = crate::PruneOptions::default();
        let pruned = crate::prune(&Store::files(&dir.path().join("blobs")).unwrap(), &options)
            .await
            .unwrap();
        assert_eq!((pruned.experiments, pruned.blobs, pruned.unfinished), (1, 2, 0));
        assert!(client.get(&blob).await.is_err());
        server.stop().await;
    }

    #[tokio::test]
    async fn what_is_given_up_goes_while_the_experiment_runs() {
        let Fixture { server, client, dir } = fixture().await;
        let [a, b] = ["a", "b"].map(|id| client.of_experiment(&id.parse().unwrap()));
        let shared = a.put(vec![1]).await.unwrap();
        b.put(vec![1]).await.unwrap();
        let [own, kept] = [a.put(vec![2]).await.unwrap(), a.put(vec![3]).await.unwrap()];
        a.release(&[shared.sha256, own.sha256]).await.unwrap();
        let file = dir.path().join("blobs/sha256").join(own.sha256.to_string());
        let deadline = Instant::now() + Duration::from_secs(20);
        while file.exists() {
            assert!(Instant::now() < deadline, "it stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(a.get(&kept).await.unwrap(), [3]);
        assert_eq!(b.get(&shared).await.unwrap(), [1]);
        let digest = kept.sha256;
        let too_long = "x".repeat(fedwasm_transport::RELEASED_MAX * 65 + 1);
        for (lines, status) in [(format!("{digest}\nx\n"), 400), (too_long, 413)] {
            let http = format!(
                "POST /experiments/a/released HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{lines}",
                lines.len()
            );
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            stream.write_all(http.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes());
        }
        assert_eq!(a.get(&kept).await.unwrap(), [3]);
        server.stop().await;
    }

    #[tokio::test]
    async fn links_in_the_repository_lead_nowhere() {
        let Fixture { server, client, dir } = fixture().await;
        client.put(vec![1]).await.unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        let blob = BlobRef::of(b"secret");
        let blobs = dir.path().join("blobs");
        let link = blobs.join(BLOBS).join(blob.sha256.to_string());
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let error = client.get(&blob).await.unwrap_err();
        assert!(matches!(error, Error::Repository { status: 404, .. }), "{error}");
        // An upload replaces the link, and leaves its target alone.
        std::fs::write(&secret, "changed").unwrap();
        client.put(b"secret".to_vec()).await.unwrap();
        assert_eq!(client.get(&blob).await.unwrap(), b"secret");
        assert_eq!(std::fs::read(&secret).unwrap(), b"changed");
        server.stop().await;
        std::os::unix::fs::symlink(dir.path(), blobs.join("owners")).unwrap();
        let told = Store::files(&blobs).unwrap_err().to_string();
        assert!(told.contains("owners is a link"), "{told}");
    }
}
