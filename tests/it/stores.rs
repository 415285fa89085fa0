//! Repositories whose blobs are in S3.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedwasm_protocol::{BlobRef, Digest, Participant};
use fedwasm_transport::conformance::{self, BlobsUnderTest};
use fedwasm_transport::port::Blobs;
use fedwasm_transport::{Http, Repository};
use fedwasm_trust::{Authority, Identity, Member};
use serde_json::Value;

use crate::book::Page;
use crate::moto::{Line, Moto, STORE, at, federation, network};
use crate::outages::faketime;
use crate::support::{
    Edit as _, Federation, Proxy, Running, event, fedwasm, part, plan, root, wait_until,
};

/// Two nodes and so many rounds of a model that does not fit into messages.
fn run(mut federation: Federation, rounds: u32) -> (Federation, Value) {
    for node in 0..2 {
        let file = part(federation.dir.path(), node, 2);
        federation.node(&format!("n{node}"), &file);
    }
    let mlp = root().join("plugins/dist/mlp.wasm").display().to_string();
    let experiment = federation.experiment(|text| {
        let text = text.edit(&plan().display().to_string(), &mlp);
        let text = text.edit("n_classes = 2", "n_classes = 2\nhidden = 256");
        text.edit("rounds = 2", &format!("rounds = {rounds}"))
    });
    let result = federation.run(&experiment).ok().result();
    (federation, result)
}

/// The digest of the same experiment on files.
fn expected(rounds: u32) -> Value {
    run(Federation::start(), rounds).1["params_sha256"].clone()
}

fn prune(port: u16, more: &[&str]) -> Value {
    let prune = fedwasm(&["--json", "network", "prune", "--store", STORE]).args(more);
    at(prune, port).ok().result()
}

#[test]
fn an_experiment_over_s3_gives_the_same_bytes_and_prune_frees_the_bucket() {
    let Some(moto) = Moto::start() else { return };
    let (federation, result) = run(federation(moto.port), 2);
    assert_eq!(result["params_sha256"], expected(2));
    // Nothing but the federation's own files is in the directory.
    assert!(!federation.dir.path().join("network/blobs").exists());
    let blobs = moto.objects().iter().filter(|name| name.starts_with("sha256/")).count();
    let pruned = prune(moto.port, &[]);
    assert_eq!((&pruned["experiments"], &pruned["blobs"]), (&1.into(), &blobs.into()));
    assert_eq!(moto.objects(), [""; 0]);
}

#[test]
fn a_store_that_fails_every_tenth_call_changes_nothing() {
    let Some(moto) = Moto::start() else { return };
    let line = Line::start(&moto, Some(10), Duration::ZERO);
    let (_federation, result) = run(federation(line.port), 6);
    assert_eq!(result["params_sha256"], expected(6));
    let (calls, failed) = (line.calls.load(Ordering::SeqCst), line.failed.load(Ordering::SeqCst));
    assert!(failed >= 10 && failed == calls / 10, "{failed} of {calls}");
}

#[test]
fn a_store_that_answers_slowly_changes_nothing() {
    let Some(moto) = Moto::start() else { return };
    let line = Line::start(&moto, None, Duration::from_millis(150));
    let (_federation, result) = run(federation(line.port), 2);
    assert_eq!(result["params_sha256"], expected(2));
}

fn client(url: &str) -> Repository {
    Repository::new(url.parse().unwrap(), None).unwrap()
}

#[tokio::test]
async fn two_hubs_share_a_store() {
    let Some(moto) = Moto::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (_a, _, a) = network(&dir.path().join("a"), moto.port);
    let (_b, _, b) = network(&dir.path().join("b"), moto.port);
    let (a, b) = (client(&a), client(&b));
    // In one piece, and in three parts.
    let large: Vec<u8> = (0..12u32 << 20).map(|n| (n >> 8) as u8).collect();
    for bytes in [vec![1, 2, 3], large] {
        let blob = a.put(bytes.clone()).await.unwrap();
        assert!(b.get(&blob).await.unwrap() == bytes);
    }
    assert_eq!(moto.uploads(), 0);
    // What one says about an experiment, the other knows.
    let ids = ["of-a".parse().unwrap(), "of-b".parse().unwrap()];
    let (of_a, of_b) = (a.of_experiment(&ids[0]), b.of_experiment(&ids[1]));
    let both = of_a.put(vec![4; 100]).await.unwrap();
    of_b.put(vec![4; 100]).await.unwrap();
    let own = of_a.put(vec![5; 100]).await.unwrap();
    b.of_experiment(&ids[0]).finish().await.unwrap();
    let refused = of_a.put(vec![6; 100]).await.unwrap_err();
    assert!(refused.to_string().contains("409"), "{refused}");
    let pruned = prune(moto.port, &[]);
    assert_eq!((&pruned["experiments"], &pruned["blobs"]), (&1.into(), &1.into()));
    assert_eq!(a.get(&both).await.unwrap(), [4; 100]);
    assert!(a.get(&own).await.unwrap_err().to_string().contains("404"));
}

/// Begins an upload of 12 MiB, and sends so many bytes.
fn begin(repository: &str, sent: usize) -> TcpStream {
    let address = repository.trim_start_matches("http://").trim_end_matches('/');
    let (mut stream, bytes) = (TcpStream::connect(address).unwrap(), vec![7; 12 << 20]);
    let head = format!(
        "PUT /blobs/sha256/{} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        Digest::of(&bytes),
        bytes.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..sent]).unwrap();
    stream
}

#[test]
fn uploads_that_break_off_leave_nothing() {
    let Some(moto) = Moto::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (network, _, repository) = network(&dir.path().join("network"), moto.port);
    // The client goes away.
    let half = begin(&repository, 7 << 20);
    wait_until("an upload", || moto.uploads() == 1);
    drop(half);
    wait_until("the end of the upload", || moto.uploads() == 0 && moto.objects().is_empty());
    // Its bytes are others than it said.
    let mut wrong = begin(&repository, 8 << 20);
    wrong.write_all(&[8; 4 << 20]).unwrap();
    let mut answer = [0; 12];
    wrong.read_exact(&mut answer).unwrap();
    assert_eq!((&answer, moto.uploads()), (b"HTTP/1.1 422", 0));
    assert_eq!(moto.objects(), [""; 0]);
    // The server is killed.
    let half = begin(&repository, 7 << 20);
    wait_until("an upload", || moto.uploads() == 1);
    drop((network, half));
    prune(moto.port, &[]);
    assert_eq!((moto.uploads(), moto.objects().len()), (1, 1));
    // An hour later it is of no upload any more.
    let Some(library) = faketime() else {
        assert!(std::env::var_os("FEDWASM_REQUIRE_FAKETIME").is_none(), "no libfaketime");
        return;
    };
    let prune = fedwasm(&["--json", "network", "prune", "--store", STORE]);
    let prune = prune.env("LD_PRELOAD", library.to_str().unwrap()).env("FAKETIME", "+2h");
    at(prune, moto.port).ok();
    assert_eq!((moto.uploads(), moto.objects().len()), (0, 0));
}

#[test]
fn a_store_that_cannot_be_used_is_told_by_its_reason_and_no_secret() {
    let Some(moto) = Moto::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let start = |store: &str| {
        let start = fedwasm(&["network", "start", "--mqtt", "off", "--http", "127.0.0.1:0"]);
        start.args(&["--store", store, "--dir"]).arg(dir.path().join("network"))
    };
    let told = at(start("s3://another-bucket"), moto.port).run();
    assert_eq!(told.code, 1, "{}", told.stderr);
    assert!(told.stderr.contains("cannot keep blobs in s3://another-bucket"), "{}", told.stderr);
    assert!(told.stderr.contains("NoSuchBucket"), "{}", told.stderr);
    assert!(!told.stderr.contains("secret-of-tests"), "{}", told.stderr);
    let told = at(start(STORE), moto.port).env("AWS_ALLOW_HTTP", "false").run();
    assert!(told.stderr.contains("is not encrypted"), "{}", told.stderr);
    let told = at(start(STORE), moto.port).env("AWS_SECRET_ACCESS_KEY", "").run();
    assert!(told.stderr.contains("set AWS_ACCESS_KEY_ID"), "{}", told.stderr);
    let told = start("heart-study").run();
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert!(told.stderr.contains("s3://BUCKET/PREFIX"), "{}", told.stderr);
}

/// A repository on the store with certificates, which knows its clients.
struct Served {
    dir: tempfile::TempDir,
    _network: Mutex<Running>,
    authority: Authority,
    repository: String,
    lines: Mutex<Vec<(Participant, Arc<Proxy>)>>,
}

const ROOM: u64 = 16 << 20;

impl Served {
    fn start(dir: tempfile::TempDir, port: u16) -> Self {
        let home = dir.path().join("network");
        fedwasm(&["network", "init", "--host", "127.0.0.1", "--dir"]).arg(&home).ok();
        let network = fedwasm(&["network", "start", "--mqtt", "off", "--http", "127.0.0.1:0"]);
        let network = network.args(&["--store", STORE, "--quota-bytes", &ROOM.to_string()]);
        let network = at(network.arg("--dir").arg(&home), port).start();
        let ready = network.wait_for(event("ready"));
        let repository = ready["repository"].as_str().unwrap().to_owned();
        let authority = Authority::open(&home.join("federation")).unwrap();
        Self { dir, _network: Mutex::new(network), authority, repository, lines: Mutex::default() }
    }

    fn member(&self, who: &Participant) -> Member {
        let dir = self.dir.path().join(who.to_string());
        if dir.exists() {
            return Member::open(&dir).unwrap();
        }
        let identity = Identity::create(&dir, who.clone()).unwrap();
        let membership = self.authority.enrol(who, identity.key.public()).unwrap();
        identity.join(&membership).unwrap()
    }

    fn line(&self, who: &Participant) -> Arc<Proxy> {
        let mut lines = self.lines.lock().unwrap();
        if let Some((_, line)) = lines.iter().find(|(of, _)| of == who) {
            return Arc::clone(line);
        }
        let address = self.repository.edit("https://", "");
        let line = Arc::new(Proxy::start(address.trim_end_matches('/')));
        lines.push((who.clone(), Arc::clone(&line)));
        line
    }
}

impl BlobsUnderTest for Served {
    fn blobs(&self, who: &Participant) -> Arc<dyn Blobs> {
        let url = format!("https://127.0.0.1:{}", self.line(who).port).parse().unwrap();
        Arc::new(Http::new(url, Some(&self.member(who))).unwrap())
    }

    fn room(&self) -> u64 {
        ROOM
    }

    fn cut(&self, who: &Participant) {
        self.line(who).shut();
    }

    fn mend(&self, who: &Participant) {
        self.line(who).open();
    }
}

#[tokio::test]
async fn a_repository_on_s3_keeps_blobs_as_promised() {
    let Some(moto) = Moto::start() else { return };
    let served = Served::start(tempfile::tempdir().unwrap(), moto.port);
    conformance::blobs(&served).await;
}

/// Bytes count for those that stored them, whichever hub they came through and after a restart.
#[tokio::test]
async fn the_quota_is_counted_from_the_store() {
    let Some(moto) = Moto::start() else { return };
    let who = "node-a".parse().unwrap();
    let put = async |blobs: &dyn Blobs, bytes: Vec<u8>| {
        blobs.put(&BlobRef::of(&bytes), bytes.into(), Default::default()).await
    };
    let served = Served::start(tempfile::tempdir().unwrap(), moto.port);
    put(&*served.blobs(&who), vec![1; 9 << 20]).await.unwrap();
    let another = Served::start(tempfile::tempdir().unwrap(), moto.port);
    let refused = put(&*another.blobs(&who), vec![2; 9 << 20]).await.unwrap_err().to_string();
    assert!(refused.contains("only 7331840 bytes of the quota are left"), "{refused}");
    put(&*another.blobs(&"node-b".parse().unwrap()), vec![2; 9 << 20]).await.unwrap();
}

#[test]
fn commands_of_the_page_on_stores_are_as_it_says() {
    let Some(moto) = Moto::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut page = Page::open("stores.md", dir.path())
        .word("--http 0.0.0.0:8843", "--http 127.0.0.1:0")
        .word("AWS_ACCESS_KEY_ID=…", "AWS_ACCESS_KEY_ID=key-of-tests")
        .word("AWS_SECRET_ACCESS_KEY=…", "AWS_SECRET_ACCESS_KEY=secret-of-tests");
    let (export, start) = (page.take("export"), page.take("fedwasm network start"));
    // The store is on this machine.
    let command = page.shell(&format!("{export}; exec {start}"));
    let command = command.env("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", moto.port));
    let network = command.env("AWS_ALLOW_HTTP", "true").env("NO_PROXY", "127.0.0.1").start();
    network.wait_for(event("ready"));
}

/// The blobs of earlier rounds are given up while the experiment runs.
#[test]
fn a_running_experiment_holds_a_few_rounds() {
    let mut federation = Federation::start();
    for node in 0..2 {
        let file = part(federation.dir.path(), node, 2);
        federation.node(&format!("n{node}"), &file);
    }
    let experiment = federation.experiment(|text| {
        let mlp = root().join("plugins/dist/mlp.wasm");
        text.edit(&plan().display().to_string(), &mlp.display().to_string())
            .edit("test_on_global_updates = true", "test_on_global_updates = false")
            .edit("n_classes = 2", "n_classes = 2\nhidden = 8000")
            .edit("rounds = 2", "rounds = 12")
    });
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "round" && event["round"] == 12);
    let experiments = federation.dir.path().join("network/blobs/experiments");
    let mut all = std::fs::read_dir(experiments).unwrap().map(|entry| entry.unwrap().path());
    let (id, another) = (all.next().unwrap(), all.next());
    assert!(another.is_none(), "{another:?}");
    // The plan, 13 models and 24 updates were stored, of 1 MB each; 16 MB and two rounds stay.
    let left = std::fs::read_dir(id).unwrap().count();
    assert!((8..28).contains(&left), "{left}");
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
}
