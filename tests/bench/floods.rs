//! The strongest floods of a member and of strangers against `network start` and the nodes,
//! beside an experiment that must go on. Prints a line a minute and the largest values at the end; fails if
//! a bound of the operator's guide is passed or if a round of the experiment is lost.
//!
//! ```text
//! cargo bench -p fedwasm --bench floods -- --minutes 60
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

#[path = "flood_rounds.rs"]
mod flood_rounds;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fedwasm_protocol::Digest;
use fedwasm_trust::Member;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

/// What each participant may store, in bytes.
const QUOTA: u64 = 64 << 20;
/// The bounds of the operator's guide: memory and descriptors of `network start`.
const RSS_MAX: u64 = 512 << 20;
const DESCRIPTORS_MAX: usize = 12_000;
/// What the nodes here may keep of experiments, and what a node may take of the disk and of
/// memory, its workers among it: its log and receipts grow with what runs.
const EXPERIMENTS: u64 = 64 << 20;
const NODE_DISK_MAX: u64 = 1 << 30;
const NODE_MEMORY_MAX: u64 = 1 << 30;
/// Connections that are held idle at each server, by a member and by a stranger.
const IDLE: usize = 1_000;
/// Uploads that are begun and go on a byte at a time.
const SLOW: usize = 150;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A federation with certificates, two good nodes and somebody who floods.
struct Floods {
    dir: PathBuf,
    mqtt: String,
    http: String,
    network: Child,
    nodes: Vec<Child>,
    stop: Arc<AtomicBool>,
    /// What was tried and what was done, by flood; a handshake is done before it is refused.
    counts: Vec<(&'static str, Arc<AtomicU64>, Arc<AtomicU64>)>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Drop for Floods {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().chain([&mut self.network]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let minutes = args.iter().position(|arg| arg == "--minutes");
    let Some(minutes) = minutes.and_then(|at| args.get(at + 1)?.parse::<f64>().ok()) else {
        println!("floods: SKIPPED, say for how long: `-- --minutes 60`");
        return;
    };
    fedwasm_hub::raise_open_files();
    let dir = tempfile::tempdir().unwrap();
    let mut floods = Floods::start(dir.path());
    floods.open();
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let most = floods.watch(end);
    floods.stop.store(true, Ordering::Relaxed);
    floods.threads.drain(..).for_each(|thread| drop(thread.join()));
    most.judge();
}

fn fedwasm(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedwasm"));
    command.args(args).stdin(Stdio::null());
    command
}

fn done(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Starts a program and waits for its line with `event: ready`.
fn ready(mut command: Command, log: &Path) -> (Child, Value) {
    let log = std::fs::File::create(log).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let event: Value = serde_json::from_str(&line).ok()?;
        (event["event"] == "ready").then_some(event)
    });
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (child, ready.expect("it does not start"))
}

impl Floods {
    fn start(dir: &Path) -> Self {
        let path = |name: &str| dir.join(name).display().to_string();
        let network = path("network");
        done(fedwasm(&["network", "init", "--host", "127.0.0.1", "--dir", &network]));
        let quota = QUOTA.to_string();
        let start = fedwasm(&[
            "network",
            "start",
            "--mqtt",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--dir",
            &network,
            "--quota-bytes",
            &quota,
        ]);
        let (child, event) = ready(start, &dir.join("network.log"));
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        let enrol = |role: &str, id: &str, key: &str| {
            let member = path(&format!("{id}.json"));
            done(fedwasm(&[
                "network", "enrol", "--role", role, "--id", id, "--key", key, "--dir", &network,
                "-o", &member,
            ]));
            member
        };
        for who in ["good", "flood", "slow", "quota", "claims", "rounds"] {
            let home = path(who);
            done(fedwasm(&["keys", "generate", "--as", &format!("researcher-{who}"), &home]));
            let member = enrol("researcher", who, &format!("{home}/key.pem.pub"));
            done(fedwasm(&["keys", "join", &home, &member]));
        }
        let mut this = Self {
            dir: dir.to_owned(),
            mqtt: text("mqtt"),
            http: text("repository"),
            network: child,
            nodes: Vec::new(),
            stop: Arc::default(),
            counts: Vec::new(),
            threads: Vec::new(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = root.join("examples/data/breast_cancer.csv").display().to_string();
        for id in ["a", "b"] {
            let home = path(id);
            done(fedwasm(&[
                "node",
                "init",
                &home,
                "--id",
                id,
                "--mqtt",
                &this.mqtt,
                "--repository",
                &this.http,
                "--approve",
                "any",
            ]));
            let member = enrol("node", id, &format!("{home}/identity/key.pem.pub"));
            done(fedwasm(&["node", "join", &home, &member]));
            done(fedwasm(&[
                "node", "dataset", "add", &home, "--name", "d", "--tags", "t", "--path", &data,
            ]));
            let file = Path::new(&home).join("node.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let quota = format!("experiments_bytes_max = {EXPERIMENTS}");
            let text = text.replace("experiments_bytes_max = 8589934592", &quota);
            // Rounds here take milliseconds: whoever wants an hour has a few seconds.
            let text = text.replace("turn_s = 600", "turn_s = 5");
            assert!(text.contains(&quota) && text.contains("turn_s = 5"));
            std::fs::write(file, text).unwrap();
            let log = dir.join(format!("{id}.log"));
            this.nodes.push(ready(fedwasm(&["node", "start", &home]), &log).0);
        }
        let text = format!(
            "name = \"good\"\nplan = \"{}\"\nrounds = 40\n[data]\ntags = [\"t\"]\ntarget = \
             \"benign\"\n[training]\nepochs = 1\ntest_ratio = 0.2\ntest_on_global_updates = true\n\
             random_seed = 42\n[model]\nn_classes = 2\n[strategy]\nmin_nodes = 2\n\
             round_deadline_s = 60\n[network]\nmqtt = \"{}\"\nrepository = \"{}\"\nidentity = \
             \"good\"\n",
            root.join("plugins/dist/logistic-regression.wasm").display(),
            this.mqtt,
            this.http,
        );
        std::fs::write(dir.join("experiment.toml"), text).unwrap();
        let plan = root.join("plugins/dist/logistic-regression.wasm").display().to_string();
        let local = path("local");
        done(fedwasm(&[
            "local", "--plan", &plan, "--data", &data, "--target", "benign", "--seed", "1",
            "--out", &local,
        ]));
        this
    }

    /// Begins all floods, each in threads of its own.
    fn open(&mut self) {
        // One for each, or the first would use up what the others may do.
        let tls = |who: &str| Arc::new(client(&Member::open(&self.dir.join(who)).unwrap()));
        let [tls, slow, quota, claims] = ["flood", "slow", "quota", "claims"].map(tls);
        let broker = address(&self.mqtt);
        let http = address(&self.http);
        for (name, to) in [("idle-mqtt", broker), ("idle-http", http)] {
            let tls = Arc::clone(&tls);
            self.flood(name, move |stop, tried, let_in| {
                hold(stop, IDLE, tried, let_in, || greet(&tls, to).ok());
            });
        }
        for (name, to) in [("stranger-mqtt", broker), ("stranger-http", http)] {
            self.flood(name, move |stop, tried, let_in| {
                hold(stop, IDLE, tried, let_in, || TcpStream::connect(to).ok());
            });
        }
        for _ in 0..2 {
            let tls = Arc::clone(&tls);
            self.flood("reconnects", move |stop, tried, let_in| {
                while !stop.load(Ordering::Relaxed) {
                    tried.fetch_add(1, Ordering::Relaxed);
                    let_in.fetch_add(u64::from(greet(&tls, broker).is_ok()), Ordering::Relaxed);
                }
            });
        }
        self.flood("slow-uploads", move |stop, tried, let_in| {
            hold(stop, SLOW, tried, let_in, || {
                let mut stream = greet(&slow, http).ok()?;
                let n = tried.load(Ordering::Relaxed);
                let head = put_head(&Digest::of(&n.to_le_bytes()), "", 8 << 20);
                stream.write_all(head.as_bytes()).ok()?;
                stream.write_all(&vec![0; 1 << 20]).ok()?;
                // The mark of an upload, below.
                stream.sock.set_nodelay(true).ok()?;
                Some(stream)
            });
        });
        for worker in 0..6u64 {
            let tls = Arc::clone(&quota);
            self.flood("quota-race", move |stop, tried, let_in| {
                let mut stream = None;
                while !stop.load(Ordering::Relaxed) {
                    let n = tried.fetch_add(1, Ordering::Relaxed);
                    let mut bytes = vec![worker as u8; 8 << 20];
                    bytes[..8].copy_from_slice(&n.to_le_bytes());
                    // A second on the way, so that many are at once.
                    let status = put(&tls, http, &mut stream, &bytes, "", Duration::from_secs(1));
                    let_in.fetch_add(u64::from(status == Some(201)), Ordering::Relaxed);
                }
            });
        }
        let (dir, mqtt, url) = (self.dir.clone(), self.mqtt.clone(), self.http.clone());
        self.flood("rounds", move |stop, tried, let_in| {
            let about = flood_rounds::About {
                root: &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
                home: &dir.join("rounds"),
                mqtt: &mqtt,
                http: &url,
                params: std::fs::read(dir.join("local/params.safetensors")).unwrap(),
            };
            flood_rounds::flood(&about, stop, tried, let_in);
        });
        for worker in 0..2u64 {
            let tls = Arc::clone(&claims);
            self.flood("failing-claims", move |stop, tried, let_in| {
                let mut stream = None;
                while !stop.load(Ordering::Relaxed) {
                    let n = tried.fetch_add(1, Ordering::Relaxed);
                    let query = format!("?experiment=x-{worker}-{n}");
                    // Other bytes than the digest says.
                    let status = put_as(
                        (&tls, http, &mut stream),
                        &Digest::of(b"other"),
                        b"x",
                        &query,
                        Duration::ZERO,
                    );
                    let_in.fetch_add(u64::from(status.is_some()), Ordering::Relaxed);
                }
            });
        }
    }

    fn flood(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&AtomicBool, &AtomicU64, &AtomicU64) + Send + 'static,
    ) {
        let known = self.counts.iter().find(|(known, ..)| *known == name).cloned();
        let (_, tried, let_in) = known.unwrap_or_else(|| {
            let new = (name, Arc::default(), Arc::default());
            self.counts.push(new.clone());
            new
        });
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || run(&stop, &tried, &let_in)));
    }

    /// Runs the good experiment again and again, and looks at the network every ten seconds.
    fn watch(&mut self, end: Instant) -> Most {
        let mut most = Most::default();
        let start = Instant::now();
        let rounds = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        let (stop, dir) = (Arc::new(AtomicBool::new(false)), self.dir.clone());
        let good = {
            let (rounds, failed, stop) = (Arc::clone(&rounds), Arc::clone(&failed), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    run_good(&dir, &rounds, &failed);
                }
            })
        };
        println!(
            "minute  RSS MiB  files open  stored MiB  quota race  files  node MiB  node disk  \
             rounds  lost"
        );
        let mut minute = 0;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_secs(10).min(end - Instant::now()));
            let seen = self.look();
            most = most.max(seen);
            most.rounds = rounds.load(Ordering::Relaxed);
            most.failed = failed.load(Ordering::Relaxed);
            if start.elapsed().as_secs() / 60 > minute || Instant::now() >= end {
                minute = start.elapsed().as_secs() / 60;
                println!(
                    "{minute:>6}  {:>7}  {:>10}  {:>10}  {:>10}  {:>5}  {:>8}  {:>9}  {:>6}  {:>4}",
                    seen.rss >> 20,
                    seen.descriptors,
                    seen.stored >> 20,
                    seen.of_flood >> 20,
                    seen.files,
                    seen.node_memory >> 20,
                    seen.node_disk >> 20,
                    most.rounds,
                    most.failed,
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
        good.join().unwrap();
        (most.rounds, most.failed) =
            (rounds.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
        for (name, tried, let_in) in &self.counts {
            let (tried, let_in) = (tried.load(Ordering::Relaxed), let_in.load(Ordering::Relaxed));
            println!("{name}: {tried} tried, {let_in} done");
        }
        most
    }

    fn look(&mut self) -> Most {
        let ended = self.network.try_wait().unwrap();
        assert!(ended.is_none(), "`network start` ended: {ended:?}");
        let process = PathBuf::from(format!("/proc/{}", self.network.id()));
        let status = std::fs::read_to_string(process.join("status")).unwrap();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rss| rss.split_whitespace().next()?.parse::<u64>().ok());
        let descriptors = std::fs::read_dir(process.join("fd")).unwrap().count();
        let blobs = self.dir.join("network/blobs");
        let (mut stored, mut files) = (0, 0);
        walk(&blobs, &mut |_, bytes| (stored, files) = (stored + bytes, files + 1));
        // What its blobs count for is what they and their files take.
        let mut of_flood = 0;
        walk(&blobs.join("owners/researcher-quota"), &mut |path, _| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            of_flood += text.parse::<u64>().unwrap_or(0);
        });
        let rss = rss.unwrap_or(0) << 10;
        let node_memory =
            self.nodes.iter().map(|node| memory_of_tree(node.id())).max().unwrap_or(0);
        let node_disk = ["a", "b"].map(|id| {
            let mut bytes = 0;
            walk(&self.dir.join(id), &mut |_, n| bytes += n);
            bytes
        });
        let node_disk = node_disk.into_iter().max().unwrap_or(0);
        let (rounds, failed) = (0, 0);
        Most { rss, descriptors, stored, of_flood, files, node_memory, node_disk, rounds, failed }
    }
}

/// What was seen, or the largest of it.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    rss: u64,
    descriptors: usize,
    stored: u64,
    of_flood: u64,
    files: u64,
    /// Of the larger node: memory with its workers, and bytes on the disk.
    node_memory: u64,
    node_disk: u64,
    rounds: u64,
    failed: u64,
}

impl Most {
    fn max(self, other: Self) -> Self {
        Self {
            rss: self.rss.max(other.rss),
            descriptors: self.descriptors.max(other.descriptors),
            stored: self.stored.max(other.stored),
            of_flood: self.of_flood.max(other.of_flood),
            files: self.files.max(other.files),
            node_memory: self.node_memory.max(other.node_memory),
            node_disk: self.node_disk.max(other.node_disk),
            ..self
        }
    }

    fn judge(self) {
        println!(
            "at most: {} MiB of memory, {} files open, {} MiB stored, {} MiB of the quota race (quota \
             {}), {} files; {} rounds of the good experiment, {} experiments lost",
            self.rss >> 20,
            self.descriptors,
            self.stored >> 20,
            self.of_flood >> 20,
            QUOTA >> 20,
            self.files,
            self.rounds,
            self.failed,
        );
        println!(
            "a node: at most {} MiB of memory with its workers, {} MiB on the disk",
            self.node_memory >> 20,
            self.node_disk >> 20,
        );
        assert!(self.node_memory <= NODE_MEMORY_MAX, "a node takes more memory than the bound");
        assert!(self.node_disk <= NODE_DISK_MAX, "a node takes more of the disk than the bound");
        assert!(self.rss <= RSS_MAX, "more memory than the bound");
        assert!(self.descriptors <= DESCRIPTORS_MAX, "more files than the bound");
        assert!(self.of_flood <= QUOTA, "more is stored than the quota");
        assert!(self.rounds > 0 && self.failed == 0, "the good experiment is hurt");
    }
}

/// Memory of a process and of all that it started; what several have counts once.
fn memory_of_tree(id: u32) -> u64 {
    let read = |name: String| std::fs::read_to_string(name).unwrap_or_default();
    let status = read(format!("/proc/{id}/smaps_rollup"));
    let own = status.lines().find_map(|line| line.strip_prefix("Pss:"));
    let own = own.and_then(|rss| rss.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else { return own << 10 };
    let children = tasks.flatten().map(|task| read(format!("{}/children", task.path().display())));
    let children: Vec<u32> = children
        .flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    (own << 10) + children.into_iter().map(memory_of_tree).sum::<u64>()
}

/// One experiment of the good researcher; afterwards its blobs go.
fn run_good(dir: &Path, rounds: &AtomicU64, failed: &AtomicU64) {
    let out = dir.join("run");
    let _ = std::fs::remove_dir_all(&out);
    let mut run = fedwasm(&["--json", "experiment", "run", "--out"]);
    run.arg(&out).arg(dir.join("experiment.toml")).current_dir(dir);
    let output = run.output().unwrap();
    let result = String::from_utf8_lossy(&output.stdout).lines().last().and_then(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        event["rounds"].as_u64()
    });
    match result {
        Some(n) if output.status.success() => drop(rounds.fetch_add(n, Ordering::Relaxed)),
        _ => {
            failed.fetch_add(1, Ordering::Relaxed);
            println!("lost: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let mut prune = fedwasm(&["network", "prune", "--dir"]);
    prune.arg(dir.join("network"));
    done(prune);
}

/// Keeps `n` connections and says a byte on one after another; opens those again that end.
fn hold<T: Connected>(
    stop: &AtomicBool,
    n: usize,
    tried: &AtomicU64,
    let_in: &AtomicU64,
    open: impl Fn() -> Option<T>,
) {
    let mut held: Vec<T> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        held.retain_mut(T::is_open);
        for _ in held.len()..n {
            tried.fetch_add(1, Ordering::Relaxed);
            let Some(connection) = open() else { break };
            let_in.fetch_add(1, Ordering::Relaxed);
            held.push(connection);
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
        std::thread::sleep(Duration::from_secs(5));
    }
}

/// A connection that is held.
trait Connected {
    /// Whether the other end is still there; an upload goes on by a byte.
    fn is_open(&mut self) -> bool;
}

impl Connected for TcpStream {
    fn is_open(&mut self) -> bool {
        let _ = self.set_read_timeout(Some(Duration::from_millis(1)));
        // Whatever else is said, such as tickets for later: it is the end that counts.
        match self.read(&mut [0; 4_096]) {
            Ok(n) => n > 0,
            Err(error) => matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        }
    }
}

impl Connected for Tls {
    fn is_open(&mut self) -> bool {
        // Idle connections say nothing at all; what is in the middle of an upload sends a byte.
        let is_upload = self.sock.nodelay().unwrap_or(false);
        (!is_upload || self.write_all(&[0]).is_ok()) && self.sock.is_open()
    }
}

fn put_head(digest: &Digest, query: &str, length: usize) -> String {
    format!(
        "PUT /blobs/sha256/{digest}{query} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn put(
    tls: &Arc<ClientConfig>,
    to: SocketAddr,
    stream: &mut Option<Tls>,
    bytes: &[u8],
    query: &str,
    time: Duration,
) -> Option<u16> {
    put_as((tls, to, stream), &Digest::of(bytes), bytes, query, time)
}

/// Uploads, over the connection that is there if there is one; the status.
fn put_as(
    (tls, to, stream): (&Arc<ClientConfig>, SocketAddr, &mut Option<Tls>),
    digest: &Digest,
    bytes: &[u8],
    query: &str,
    time: Duration,
) -> Option<u16> {
    let mut connection = match stream.take() {
        Some(connection) => connection,
        None => greet(tls, to).ok().or_else(|| {
            std::thread::sleep(Duration::from_millis(50));
            None
        })?,
    };
    connection.write_all(put_head(digest, query, bytes.len()).as_bytes()).ok()?;
    let (first, last) = bytes.split_at(bytes.len() / 2);
    connection.write_all(first).ok()?;
    connection.flush().ok()?;
    std::thread::sleep(time);
    connection.write_all(last).ok()?;
    connection.flush().ok()?;
    let _ = connection.sock.set_read_timeout(Some(Duration::from_secs(60)));
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut some = [0; 1_024];
        match connection.read(&mut some) {
            Ok(n @ 1..) => answer.extend_from_slice(&some[..n]),
            _ => return None,
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1)?.parse().ok()?;
    if status == 201 {
        *stream = Some(connection);
    }
    Some(status)
}

fn client(member: &Member) -> ClientConfig {
    let files = member.membership().tls.as_ref().unwrap();
    let pem = |text: &str| {
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap()
    };
    let mut roots = rustls::RootCertStore::empty();
    pem(&files.ca).into_iter().for_each(|ca| roots.add(ca).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(pem(&files.certificate), member.key().to_pkcs8().into())
        .unwrap()
}

/// Connects and shakes hands.
fn greet(tls: &Arc<ClientConfig>, to: SocketAddr) -> std::io::Result<Tls> {
    let mut sock = TcpStream::connect(to)?;
    sock.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut conn = ClientConnection::new(Arc::clone(tls), ServerName::from(to.ip()))
        .map_err(std::io::Error::other)?;
    while conn.is_handshaking() {
        conn.complete_io(&mut sock)?;
    }
    Ok(StreamOwned::new(conn, sock))
}

fn address(url: &str) -> SocketAddr {
    url.rsplit_once("//").unwrap().1.trim_end_matches('/').parse().unwrap()
}

fn walk(dir: &Path, seen: &mut impl FnMut(&Path, u64)) {
    // What a prune takes away meanwhile is not there.
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(about) if about.is_dir() => walk(&entry.path(), seen),
            Ok(about) => seen(&entry.path(), about.len()),
            Err(_) => {}
        }
    }
}
