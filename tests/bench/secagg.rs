//! The price of secure aggregation: a round of three nodes with a model of a million parameters in the
//! clear, under `masking` and under `double_masking`, in turn; then the rounds of the demo.
//!
//! ```text
//! cargo bench -p fedwasm --bench secagg
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fedwasm_folder::Folder;
use fedwasm_node::{Database, Datasets, NewDataset, NodeConfig, Policy, serve_on};
use fedwasm_researcher::{
    Event, Experiment, ExperimentFile, ExperimentOptions, RoundTiming, load_plan,
};
use fedwasm_sandbox::{Sandbox, WorkerOptions};
use fedwasm_transport::{LinkOptions, MemoryHub};
use fedwasm_trust::{Authority, Identity};
use tokio::sync::{oneshot, watch};

const NODES: [&str; 3] = ["a", "b", "c"];
/// 30 · h + h + h · 2 + 2 parameters.
const HIDDEN: usize = 30_303;
/// Experiments of each scheme, in turn, and their rounds; the first ones of each warm up.
const TIMES: usize = 4;
const ROUNDS: usize = 7;
const ROUNDS_COLD: usize = 2;
/// The aims, in milliseconds and as a ratio: they are printed and not asserted, for the machine is shared.
const MASKING_MS_MAX: f64 = 60.0;
const DEMO_RATIO_MAX: f64 = 1.5;

/// A part of a round's time; those of nodes are of the slowest.
type Part = (&'static str, fn(&RoundTiming) -> f64);
const PARTS: [Part; 8] = [
    ("round", |timing| timing.wall_ms),
    ("agree", |timing| timing.agree_ms),
    ("send", |timing| timing.send_ms),
    ("train", |timing| timing.train_ms),
    ("upload", |timing| timing.upload_ms),
    ("download", |timing| timing.download_ms),
    ("unmask", |timing| timing.unmask_ms),
    ("aggregate", |timing| timing.aggregate_ms),
];

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let schemes = [None, Some("masking"), Some("double_masking")];
    let mut rounds = schemes.map(|_| Vec::new());
    let mut processor = [0.0; 3];
    runtime.block_on(async {
        let federation = Federation::start(dir.path()).await;
        for nth in 0..TIMES {
            for ((scheme, rounds), sum) in schemes.iter().zip(&mut rounds).zip(&mut processor) {
                let name = format!("{}-{nth}", scheme.unwrap_or("clear"));
                let (timings, processor_ms) = federation.run(&name, *scheme).await;
                rounds.extend(timings);
                *sum += processor_ms;
            }
        }
        federation.stop().await;
    });
    let n = 30 * HIDDEN + HIDDEN + HIDDEN * 2 + 2;
    println!("a round of {} nodes, {n} parameters, medians in milliseconds", NODES.len());
    print!("{:15}", "");
    PARTS.iter().for_each(|(name, _)| print!("{name:>10}"));
    println!("{:>10}{:>10}", "more", "processor");
    let of = |rounds: &[RoundTiming], part: fn(&RoundTiming) -> f64| {
        median(rounds.iter().map(part).collect())
    };
    let clear = of(&rounds[0], |timing| timing.wall_ms);
    for ((scheme, rounds), sum) in schemes.iter().zip(&rounds).zip(processor) {
        print!("{:15}", scheme.unwrap_or("clear"));
        PARTS.iter().for_each(|(_, part)| print!("{:10.1}", of(rounds, *part)));
        let more = of(rounds, |timing| timing.wall_ms) - clear;
        println!("{more:10.1}{:10.1}", sum / rounds.len() as f64);
    }
    let more = of(&rounds[1], |timing| timing.wall_ms) - clear;
    println!("masking: {more:.1} ms more, aim {MASKING_MS_MAX}");
    demo(dir.path());
}

/// The demo's own numbers.
fn demo(dir: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedwasm"));
    command.args(["--json", "demo", "--private", "--rounds", "40", "--dir"]).arg(dir.join("demo"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let price = &last["private"]["price"];
    println!("the demo: {price}, aim {DEMO_RATIO_MAX}");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The processor time of this process, in steps of 10 ms.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name may have blanks; utime and stime are fields 14 and 15 of proc(5).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks * 10.0
}

/// Three nodes over the network in memory, in this process; plans run in workers.
struct Federation {
    dir: PathBuf,
    hub: MemoryHub,
    nodes: Vec<tokio::task::JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

fn workers(dir: &Path) -> Sandbox {
    let cache = Some(dir.join("compiled"));
    Sandbox::new(WorkerOptions { program: Some(env!("CARGO_BIN_EXE_fedwasm").into()), cache })
        .unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Federation {
    async fn start(dir: &Path) -> Self {
        let authority = Authority::create(&dir.join("federation"), "bench").unwrap();
        let hub = MemoryHub::new(Arc::new(authority), 4 << 30);
        let (stop, nodes) = (watch::Sender::new(false), Vec::new());
        let mut federation = Self { dir: dir.to_owned(), hub, nodes, stop };
        for id in NODES {
            federation.start_node(id).await;
        }
        federation
    }

    async fn start_node(&mut self, id: &str) {
        let dir = self.dir.join(id);
        let address = |scheme: &str| format!("{scheme}://127.0.0.1:1");
        let mut config = NodeConfig::new(id.parse().unwrap(), address("mqtt"), address("http"));
        config.approval.policy = Policy::Any;
        let identity = config.create(&dir).unwrap();
        let database = Database::open(&dir, &identity).unwrap();
        let folder = Folder::open(&dir).unwrap();
        let path = root().join("examples/data/breast_cancer.csv");
        let (name, tags) = ("rows".parse().unwrap(), vec!["rows".to_owned()]);
        let new = NewDataset {
            name,
            path: &path,
            format: None,
            tags,
            volumes: fedwasm_dataset::Volumes::default(),
            renames: fedwasm_dataset::Renames::new(),
        };
        Datasets::load(&folder).unwrap().add(&folder, &database, new).unwrap();
        let link: LinkOptions = self.hub.join(config.identity(&dir).unwrap()).await.unwrap();
        let sandbox = workers(&self.dir);
        let (ready, is_ready) = oneshot::channel();
        let mut stopped = self.stop.subscribe();
        self.nodes.push(tokio::spawn(async move {
            let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
            let ready = |_: &NodeConfig| ready.send(()).unwrap_or_default();
            serve_on((link, sandbox), &dir, ready, stop).await.unwrap();
        }));
        is_ready.await.unwrap();
    }

    /// Runs an experiment, and returns the times of its later rounds, with the processor time of this
    /// process in them: of the researcher and of all nodes, but not of their workers.
    async fn run(&self, name: &str, scheme: Option<&str>) -> (Vec<RoundTiming>, f64) {
        let secagg = scheme.map(|scheme| format!("[secagg]\nscheme = \"{scheme}\"\n"));
        let text = format!(
            "name = \"{name}\"\nplan = \"mlp.wasm\"\nrounds = {ROUNDS}\n\
             [data]\ntags = [\"rows\"]\ntarget = \"benign\"\n\
             [training]\nnum_updates = 1\noptimizer_args = {{ lr = 0.01 }}\nrandom_seed = 42\n\
             [model]\nn_classes = 2\nhidden = {HIDDEN}\n{}",
            secagg.unwrap_or_default()
        );
        let options = ExperimentOptions {
            file: ExperimentFile::parse(&text, Path::new("(here)")).unwrap(),
            component: load_plan(&root().join("plugins/dist/mlp.wasm")).unwrap(),
            signatures: Vec::new(),
            sandbox: workers(&self.dir),
            random_seed: 42,
            out: None,
            resume: false,
            change: false,
            force: false,
            params: None,
        };
        let who = format!("researcher-{}", name.replace('_', "-")).parse().unwrap();
        let identity = Identity::create(&self.dir.join(name), who).unwrap();
        let link = self.hub.join(identity).await.unwrap();
        let (_cancel, cancelled) = watch::channel(false);
        let mut events = |event: Event| {
            assert!(!matches!(event, Event::Dropped { .. }), "{event:?}");
        };
        let started = Experiment::start_on(link, options, cancelled, &mut events).await;
        let mut experiment = started.unwrap();
        let (mut times, mut start) = (Vec::new(), processor_ms());
        while let Some(record) = experiment.run_once(&mut events).await.unwrap() {
            times.push(record.timing);
            if times.len() == ROUNDS_COLD {
                start = processor_ms();
            }
        }
        let processor_ms = processor_ms() - start;
        experiment.finish().await.unwrap();
        (times.split_off(ROUNDS_COLD), processor_ms)
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        for node in self.nodes {
            node.await.unwrap();
        }
    }
}
