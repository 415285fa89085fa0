//! Transfers over lines that are slow or stand still.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fedwasm_transport::{Error, Http, Pace, Repository, tls};
use fedwasm_trust::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{PruneOptions, QUOTA_BYTES, RepositoryOptions, RepositoryServer, Store};

const SILENCE: Duration = Duration::from_millis(1_500);

async fn server(dir: &Path) -> RepositoryServer {
    let authority = Arc::new(Authority::create(&dir.join("net"), "test").unwrap());
    std::fs::create_dir(dir.join("blobs")).unwrap();
    let options = RepositoryOptions {
        address: ([127, 0, 0, 1], 0).into(),
        store: Store::files(&dir.join("blobs")).unwrap(),
        authority,
        quota_bytes: QUOTA_BYTES,
        prune: PruneOptions::default(),
    };
    RepositoryServer::start(options).await.unwrap()
}

/// A client that allows so much silence, by way of this address.
fn client(address: SocketAddr) -> Repository {
    let url = format!("http://{address}").parse().unwrap();
    let pace = Pace { silence: SILENCE, rate_min: 1 << 20 };
    Repository::over(Arc::new(Http::new(url, None).unwrap().at_pace(pace)))
}

/// A line to `server` that carries `rate` bytes a second each way, and `bytes_max` at most.
async fn slow_line(server: SocketAddr, rate: u64, bytes_max: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(server).await.unwrap();
            let left = Arc::new(AtomicU64::new(bytes_max));
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::spawn(carry(near_read, far_write, rate, Arc::clone(&left)));
            tokio::spawn(carry(far_read, near_write, rate, left));
        }
    });
    address
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    rate: u64,
    left: Arc<AtomicU64>,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if left.load(Ordering::Relaxed) < n as u64 {
            std::future::pending::<()>().await;
        }
        left.fetch_sub(n as u64, Ordering::Relaxed);
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(n as u64 * 1_000 / rate)).await;
    }
}

#[tokio::test]
async fn a_transfer_that_moves_may_take_as_long_as_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    // More than sockets hold, or it would only wait for an answer.
    let bytes: Vec<u8> = (0..12u32 << 20).map(|n| (n >> 7) as u8).collect();
    let line = slow_line(server.address(), 3 << 19, u64::MAX).await;
    let client = client(line);
    let at = Instant::now();
    let blob = client.put(bytes.clone()).await.unwrap();
    assert!(at.elapsed() > 3 * SILENCE, "{:?}", at.elapsed());
    let at = Instant::now();
    assert!(client.get(&blob).await.unwrap() == bytes);
    assert!(at.elapsed() > 3 * SILENCE, "{:?}", at.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn a_transfer_that_stands_still_ends() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let line = slow_line(server.address(), 1 << 30, 1 << 20).await;
    let error = client(line).put(vec![7; 12 << 20]).await.unwrap_err().to_string();
    assert!(error.contains("no bytes moved for "), "{error}");
    let blob = client(server.address()).put(vec![7; 8 << 20]).await.unwrap();
    let line = slow_line(server.address(), 1 << 30, 1 << 20).await;
    let error = client(line).get(&blob).await.unwrap_err().to_string();
    assert!(error.contains("no bytes moved for "), "{error}");
    server.stop().await;
}

/// A line to `server` that hangs up after so many bytes of an answer; and how many it carried.
async fn short_line(server: SocketAddr, bytes_max: u64) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, carried) = (listener.local_addr().unwrap(), Arc::<AtomicU64>::default());
    let sum = Arc::clone(&carried);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(server).await.unwrap();
            let (mut asked, mut answered) = near.into_split();
            let (far_read, mut far_write) = far.into_split();
            let (sum, mut far_read) = (Arc::clone(&sum), far_read.take(bytes_max));
            tokio::spawn(async move { tokio::io::copy(&mut asked, &mut far_write).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(n @ 1..) = far_read.read(&mut bytes).await {
                    sum.fetch_add(n as u64, Ordering::SeqCst);
                    answered.write_all(&bytes[..n]).await.unwrap();
                }
            });
        }
    });
    (address, carried)
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let bytes: Vec<u8> = (0..12u32 << 20).map(|n| (n >> 7) as u8).collect();
    let blob = client(server.address()).put(bytes.clone()).await.unwrap();
    let (line, carried) = short_line(server.address(), 5 << 20).await;
    assert!(client(line).get(&blob).await.unwrap() == bytes);
    // Three answers, their heads, and nothing twice.
    let carried = carried.load(Ordering::SeqCst);
    assert!((12 << 20..(12 << 20) + 2_000).contains(&carried), "{carried}");
    // A line that carries nothing of the blob is given up.
    let (line, _) = short_line(server.address(), 20).await;
    let error = client(line).get(&blob).await.unwrap_err();
    assert!(matches!(error, Error::RepositoryUnreachable { .. }), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn the_rest_of_a_blob_is_given_by_its_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).await;
    let blob = client(server.address()).put(vec![1, 2, 3, 4, 5]).await.unwrap();
    let http = reqwest::Client::builder().no_proxy();
    let http = http.tls_backend_preconfigured(tls::no_tls().unwrap()).build().unwrap();
    let url = format!("http://{}/blobs/sha256/{}", server.address(), blob.sha256);
    for (range, status, body, content) in [
        ("bytes=0-", 206, &[1, 2, 3, 4, 5][..], Some("bytes 0-4/5")),
        ("bytes=3-", 206, &[4, 5], Some("bytes 3-4/5")),
        // Another range is not understood, and gives all of it.
        ("bytes=1-2", 200, &[1, 2, 3, 4, 5], None),
        ("rows=3-", 200, &[1, 2, 3, 4, 5], None),
        ("bytes=5-", 416, b"the blob has no byte 5", None),
        ("bytes=18446744073709551615-", 416, b"the blob has no byte 18446744073709551615", None),
    ] {
        let answer = http.get(&url).header("range", range).send().await.unwrap();
        let told = answer.headers().get("content-range").map(|it| it.to_str().unwrap().to_owned());
        assert_eq!((answer.status().as_u16(), told.as_deref()), (status, content), "{range}");
        assert_eq!(answer.bytes().await.unwrap(), body, "{range}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_upload_waits_for_its_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let busy = tokio::spawn(async move {
        for answer in ["429 Too Many Requests", "201 Created"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1_024];
            let _ = stream.read(&mut head).await.unwrap();
            let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let url = format!("http://{address}").parse().unwrap();
    Repository::new(url, None).unwrap().put(Vec::new()).await.unwrap();
    busy.await.unwrap();
}
