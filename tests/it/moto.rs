//! S3 on this machine: moto's server, and a line to it whose calls fail or take their time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::{Federation, Fedwasm, Running, event, fedwasm, listening};

const BUCKET: &str = "heart-study";
/// Where a repository keeps its blobs.
pub const STORE: &str = "s3://heart-study/fedwasm";

/// A server that is S3 in its memory, with one bucket.
pub struct Moto {
    child: Child,
    pub port: u16,
}

impl Moto {
    /// Moto's server, named by `FEDWASM_MOTO` or in the path; where it must be, its absence is a
    /// failure.
    #[expect(clippy::print_stderr, reason = "a test that did not run says so")]
    pub fn start() -> Option<Self> {
        let program = std::env::var_os("FEDWASM_MOTO").unwrap_or("moto_server".into());
        let there = Command::new(&program).arg("--help").stdout(Stdio::null()).status();
        if there.is_err() {
            assert!(std::env::var_os("FEDWASM_REQUIRE_S3").is_none(), "moto is not installed");
            eprintln!("SKIPPED: moto is not installed");
            return None;
        }
        let (child, port) = listening("moto_server", |port| {
            Command::new(&program)
                .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        let this = Self { child, port };
        this.ask("PUT", "");
        Some(this)
    }

    /// Sends a request about the bucket; the answer.
    fn ask(&self, method: &str, query: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "{method} /{BUCKET}{query} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n",
            self.port
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        answer
    }

    /// The names of all objects, without the store's prefix.
    pub fn objects(&self) -> Vec<String> {
        let listed = self.ask("GET", "?list-type=2");
        assert!(listed.contains("<IsTruncated>false</IsTruncated>"), "{listed}");
        let keys = listed.split("<Key>fedwasm/").skip(1);
        keys.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    /// How many uploads in parts have begun and not ended.
    pub fn uploads(&self) -> usize {
        self.ask("GET", "?uploads").matches("<UploadId>").count()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has a command find the store at this port of this machine.
pub fn at(command: Fedwasm, port: u16) -> Fedwasm {
    command
        .env("AWS_ACCESS_KEY_ID", "key-of-tests")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-tests")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("NO_PROXY", "127.0.0.1")
}

/// A network on the store, whose own directory is this one. Its broker and its repository.
pub fn network(dir: &Path, port: u16) -> (Running, String, String) {
    let network = fedwasm(&["network", "start", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let network = at(network.args(&["--store", STORE, "--dir"]).arg(dir), port).start();
    let ready = network.wait_for(event("ready"));
    let text = |key: &str| ready[key].as_str().unwrap().to_owned();
    (network, text("mqtt"), text("repository"))
}

/// A federation whose blobs are in the store.
pub fn federation(port: u16) -> Federation {
    let dir = tempfile::tempdir().unwrap();
    let (network, mqtt, repository) = network(&dir.path().join("network"), port);
    let listens = (mqtt.clone(), repository.clone());
    Federation { dir, mqtt, repository, nodes: Vec::new(), network: Some(network), listens }
}

/// A line to the store, on which calls fail or take their time.
pub struct Line {
    pub port: u16,
    pub calls: Arc<AtomicU32>,
    pub failed: Arc<AtomicU32>,
}

impl Line {
    /// Every `nth` call fails: in turn by an answer that the store is overloaded, and by a
    /// connection that is closed. Each one waits for `delay` first.
    pub fn start(moto: &Moto, nth: Option<u32>, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (calls, failed) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
        let (store, all, bad) = (moto.port, Arc::clone(&calls), Arc::clone(&failed));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (all, bad) = (Arc::clone(&all), Arc::clone(&bad));
                std::thread::spawn(move || {
                    // The store's slowness.
                    std::thread::sleep(delay);
                    let call = all.fetch_add(1, Ordering::SeqCst) + 1;
                    let fails = nth.is_some_and(|nth| call % nth == 0);
                    let nth_failed = fails.then(|| bad.fetch_add(1, Ordering::SeqCst));
                    carry(stream, store, nth_failed)
                });
            }
        });
        Self { port, calls, failed }
    }
}

/// Carries one request and its answer, or fails.
fn carry(mut near: TcpStream, store: u16, nth_failed: Option<u32>) -> Option<()> {
    let mut reader = BufReader::new(near.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    match nth_failed {
        None => {}
        Some(n) if n % 2 == 0 => {
            let answer = "HTTP/1.1 503 Slow Down\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            return near.write_all(answer.as_bytes()).ok();
        }
        Some(_) => return None,
    }
    let mut far = TcpStream::connect(("127.0.0.1", store)).ok()?;
    far.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    far.write_all(&body).ok()?;
    std::io::copy(&mut far, &mut near).ok().map(drop)
}
