//! An experiment over the network in memory: no socket, and the same bytes as over MQTT and HTTP.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fedwasm_folder::Folder;
use fedwasm_hub::{Broker, PruneOptions, QUOTA_BYTES, RepositoryOptions, RepositoryServer, Store};
use fedwasm_node::{
    Database, Datasets, Error as NodeError, NewDataset, NodeConfig, Policy, serve, serve_on,
};
use fedwasm_researcher::{
    Event, Experiment, ExperimentFile, ExperimentOptions, ExperimentResult, load_plan,
};
use fedwasm_sandbox::Sandbox;
use fedwasm_transport::conformance::Faulty;
use fedwasm_transport::{LinkOptions, MemoryHub};
use fedwasm_trust::{Authority, Identity};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::support::{data, plan};

const NODES: [&str; 3] = ["a", "b", "c"];

/// A node with every third row of the example.
fn node(dir: &Path, n: usize, [mqtt, repository]: [&str; 2]) -> PathBuf {
    let dir = dir.join(NODES[n]);
    let mut config = NodeConfig::new(NODES[n].parse().unwrap(), mqtt.into(), repository.into());
    config.approval.policy = Policy::Any;
    // This program is a test's, and no worker.
    config.worker = Some(env!("CARGO_BIN_EXE_fedwasm").into());
    let database = Database::open(&dir, &config.create(&dir).unwrap()).unwrap();
    let text = std::fs::read_to_string(data("breast_cancer.csv")).unwrap();
    let mut lines = text.lines();
    let mut rows = vec![lines.next().unwrap()];
    rows.extend(lines.enumerate().filter(|(row, _)| row % 3 == n).map(|(_, line)| line));
    let file = dir.join("rows.csv");
    std::fs::write(&file, rows.join("\n") + "\n").unwrap();
    let folder = Folder::open(&dir).unwrap();
    let (name, tags) = ("rows".parse().unwrap(), vec!["rows".to_owned()]);
    let new = NewDataset {
        name,
        path: &file,
        format: None,
        tags,
        volumes: fedwasm_dataset::Volumes::default(),
        renames: fedwasm_dataset::Renames::new(),
    };
    let mut datasets = Datasets::load(&folder).unwrap();
    datasets.add(&folder, &database, new).unwrap();
    dir
}

fn options(network: &str) -> ExperimentOptions {
    let text = format!(
        "name = \"memory\"\nplan = \"x.wasm\"\nrounds = 3\n\
         [data]\ntags = [\"rows\"]\ntarget = \"benign\"\n\
         [training]\nepochs = 2\ntest_ratio = 0.2\ntest_on_global_updates = true\n\
         [model]\nn_classes = 2\n{network}"
    );
    ExperimentOptions {
        file: ExperimentFile::parse(&text, Path::new("(here)")).unwrap(),
        component: load_plan(&plan()).unwrap(),
        signatures: Vec::new(),
        sandbox: Sandbox::in_process().unwrap(),
        random_seed: 42,
        out: None,
        resume: false,
        change: false,
        force: false,
        params: None,
    }
}

/// Nodes that serve until they are told to stop.
struct Serving {
    nodes: Vec<JoinHandle<Result<(), NodeError>>>,
    stop: watch::Sender<bool>,
}

impl Serving {
    fn new() -> Self {
        Self { nodes: Vec::new(), stop: watch::Sender::new(false) }
    }

    /// Starts one, over this connection or the one that its configuration names.
    async fn start(&mut self, dir: PathBuf, link: Option<LinkOptions>) {
        let (ready, is_ready) = oneshot::channel();
        let mut stopped = self.stop.subscribe();
        self.nodes.push(tokio::spawn(async move {
            let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
            let ready = |_: &NodeConfig| ready.send(()).unwrap_or_default();
            match link {
                Some(link) => serve_on((link, Sandbox::in_process()?), &dir, ready, stop).await,
                None => serve(&dir, ready, stop).await,
            }
        }));
        is_ready.await.unwrap();
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        for node in self.nodes {
            node.await.unwrap().unwrap();
        }
    }
}

async fn run(link: Option<LinkOptions>, options: ExperimentOptions) -> ExperimentResult {
    let (_cancel, cancelled) = watch::channel(false);
    let mut events = |event: Event| {
        assert!(!matches!(event, Event::Dropped { .. }), "{event:?}");
    };
    let mut experiment = match link {
        Some(link) => Experiment::start_on(link, options, cancelled, &mut events).await,
        None => Experiment::start(options, cancelled, &mut events).await,
    }
    .unwrap();
    while experiment.run_once(&mut events).await.unwrap().is_some() {}
    experiment.finish().await.unwrap()
}

/// How long the experiment takes, nodes' beginning and end included; `over` may put a network
/// between a participant and the one in memory.
async fn in_memory(
    dir: &Path,
    over: impl Fn(LinkOptions) -> LinkOptions,
) -> (ExperimentResult, Duration) {
    let nodes = [0, 1, 2].map(|n| node(dir, n, ["mqtt://127.0.0.1:1", "http://127.0.0.1:1"]));
    let authority = Authority::create(&dir.join("federation"), "memory").unwrap();
    let hub = MemoryHub::new(Arc::new(authority), 1 << 30);
    let options = options("");
    let start = Instant::now();
    let mut serving = Serving::new();
    for dir in nodes {
        let (config, _) = NodeConfig::open(&dir).unwrap();
        let link = hub.join(config.identity(&dir).unwrap()).await.unwrap();
        serving.start(dir, Some(over(link))).await;
    }
    let who = "researcher-r".parse().unwrap();
    let identity = Identity::create(&dir.join("researcher"), who).unwrap();
    let result = run(Some(over(hub.join(identity).await.unwrap())), options).await;
    serving.stop().await;
    (result, start.elapsed())
}

async fn over_mqtt(dir: &Path) -> ExperimentResult {
    let (any, blobs) = (([127, 0, 0, 1], 0).into(), dir.join("blobs"));
    std::fs::create_dir(&blobs).unwrap();
    let authority = Arc::new(Authority::create(&dir.join("federation"), "mqtt").unwrap());
    let broker = Broker::start(any, &authority).await.unwrap();
    let (address, quota_bytes) = (any, QUOTA_BYTES);
    let store = Store::files(&blobs).unwrap();
    let options_of_server = RepositoryOptions {
        address,
        store,
        authority,
        quota_bytes,
        prune: PruneOptions::default(),
    };
    let repository = RepositoryServer::start(options_of_server).await.unwrap();
    let mqtt = format!("mqtt://{}", broker.address());
    let url = format!("http://{}", repository.address());
    let mut serving = Serving::new();
    for n in 0..NODES.len() {
        serving.start(node(dir, n, [&mqtt, &url]), None).await;
    }
    let identity = dir.join("researcher");
    Identity::create(&identity, "researcher-r".parse().unwrap()).unwrap();
    let network = format!(
        "[network]\nmqtt = \"{mqtt}\"\nrepository = \"{url}\"\nidentity = \"{}\"\n",
        identity.display()
    );
    let result = run(None, options(&network)).await;
    serving.stop().await;
    broker.stop().await;
    repository.stop().await;
    result
}

#[test]
fn an_experiment_in_memory_gives_the_same_bytes_as_over_mqtt() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (here, took) = runtime.block_on(in_memory(dirs[0].path(), |link| link));
    let there = runtime.block_on(over_mqtt(dirs[1].path()));
    assert_eq!(here.nodes.len(), 3);
    assert_eq!(here.history.rounds.len(), 3);
    assert_eq!(here.params_sha256, there.params_sha256);
    assert_eq!(here.evaluation, there.evaluation);
    // How long it took depends on the machine, and is for people.
    println!("three nodes and three rounds in memory: {took:?}");
}

/// Where messages come twice, late and in another order between topics, nothing but time differs.
#[test]
fn duplicates_and_delays_do_not_change_the_result() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let quiet = tempfile::tempdir().unwrap();
    let (quiet, _) = runtime.block_on(in_memory(quiet.path(), |link| link));
    for seed in 0..5 {
        let (dir, networks) = (tempfile::tempdir().unwrap(), Mutex::new(Vec::new()));
        let over = |link: LinkOptions| {
            let faulty = Arc::new(Faulty::new(link.messages, seed));
            networks.lock().unwrap().push(Arc::clone(&faulty));
            LinkOptions { messages: faulty, ..link }
        };
        let (disturbed, _) = runtime.block_on(in_memory(dir.path(), over));
        let faults: u64 = networks.lock().unwrap().iter().map(|network| network.faults()).sum();
        assert!(faults > 0, "seed {seed}");
        assert_eq!(disturbed.params_sha256, quiet.params_sha256, "seed {seed}");
        assert_eq!(disturbed.evaluation, quiet.evaluation, "seed {seed}");
        assert_eq!(disturbed.nodes, quiet.nodes, "seed {seed}");
    }
}
