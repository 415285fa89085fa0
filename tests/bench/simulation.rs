//! Rounds of simulated federations on digits beside the same rounds as a bare loop in NumPy: 100 of 100
//! nodes, 10 of 1,000 and 100 of 10,000. Each run has a process of its own, so that its memory is its own.
//!
//! ```text
//! FEDWASM_BENCH_PYTHON=venv/bin/python cargo bench -p fedwasm --bench simulation
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fedwasm_dataset::{Renames, Volumes};
use fedwasm_researcher::{Event, ExperimentFile, load_plan};
use fedwasm_sandbox::{Sandbox, WorkerOptions};
use fedwasm_simulation::{Conditions, Simulation, SimulationOptions, Split};
use serde_json::{Value, json};

/// Nodes, and how many of them train in a round.
const SIZES: [(usize, usize); 3] = [(100, 100), (1_000, 10), (10_000, 100)];
/// Epochs and rows of a batch: one pass, and those of McMahan et al. 2017 (E = 5, B = 10).
const WORK: [(usize, usize); 2] = [(1, 32), (5, 10)];
const ROUNDS: usize = 60;
/// The aims; they are printed and not asserted, for the machine is shared.
const RATIO_MAX: f64 = 2.0;
const MIB_MAX: f64 = 300.0;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--one") {
        return one(&args[at + 1..]);
    }
    let dir = tempfile::tempdir().unwrap();
    println!("medians of {ROUNDS} rounds in ms, largest memory of all processes in MiB");
    println!(
        "{:>7} {:>5} {:>6} {:>5}  {:>14} {:>14} {:>14}  {:>6}",
        "nodes", "round", "epochs", "batch", "in process", "workers", "NumPy", "times"
    );
    for (nodes, per_round) in SIZES {
        let data = rows(dir.path(), nodes);
        for (epochs, batch) in WORK {
            let numbers = [nodes, per_round, ROUNDS, epochs, batch].map(|n| n.to_string());
            let here = simulated(&data, &numbers, "here");
            let workers = simulated(&data, &numbers, "workers");
            let numpy = numpy(&data, &numbers);
            let shown = |of: Option<&Value>| {
                let number = |key: &str| of.and_then(|of| of[key].as_f64()).unwrap_or(f64::NAN);
                format!("{:7.2} {:6.0}", number("ms"), number("mib"))
            };
            let ms = |of: &Value| of["ms"].as_f64().unwrap();
            let times = numpy.as_ref().map_or(f64::NAN, |numpy| ms(&here) / ms(numpy));
            println!(
                "{nodes:>7} {per_round:>5} {epochs:>6} {batch:>5}  {:>14} {:>14} {:>14}  {times:6.2}",
                shown(Some(&here)),
                shown(Some(&workers)),
                shown(numpy.as_ref()),
            );
        }
    }
    println!("aims: {RATIO_MAX} times NumPy's loop at most, {MIB_MAX} MiB at most");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Digits, repeated until each node has 18 rows, as of 100 nodes.
fn rows(dir: &Path, nodes: usize) -> PathBuf {
    let text = std::fs::read_to_string(root().join("examples/data/digits.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let digits: Vec<&str> = lines.collect();
    let n = digits.len().max(nodes * 18);
    let rows: Vec<&str> =
        std::iter::once(header).chain(digits.iter().cycle().take(n).copied()).collect();
    let path = dir.join(format!("digits-{nodes}.csv"));
    std::fs::write(&path, rows.join("\n") + "\n").unwrap();
    path
}

/// Runs this program once more, for one simulation.
fn simulated(data: &Path, numbers: &[String], place: &str) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--one").arg(data).args(numbers).arg(place);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn numpy(data: &Path, numbers: &[String]) -> Option<Value> {
    let python = std::env::var("FEDWASM_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = root().join("tests/oracles/simulation_numpy.py");
    let output = Command::new(python).arg(script).arg(data).args(numbers).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// One simulation.
fn one(args: &[String]) {
    let number = |at: usize| args[at].parse::<usize>().unwrap();
    let (nodes, per_round, rounds, epochs, batch) =
        (number(1), number(2), number(3), number(4), number(5));
    let strategy = match per_round < nodes {
        true => format!("name = \"random\"\nfraction = {}", per_round as f64 / nodes as f64),
        false => "name = \"all\"".to_owned(),
    };
    let text = format!(
        "name = \"bench\"\nplan = \"x.wasm\"\nrounds = {rounds}\n\
         [data]\ntags = [\"digits\"]\ntarget = \"digit\"\n\
         [training]\nepochs = {epochs}\nloader_args = {{ batch_size = {batch} }}\n\
         optimizer_args = {{ lr = 0.1 }}\ntest_ratio = 0.2\n\
         [model]\nn_classes = 10\n[strategy]\n{strategy}\n"
    );
    let sandbox = match args[6].as_str() {
        "here" => Sandbox::in_process().unwrap(),
        _ => {
            let program = Some(env!("CARGO_BIN_EXE_fedwasm").into());
            Sandbox::new(WorkerOptions { program, ..WorkerOptions::of_user() }).unwrap()
        }
    };
    let options = SimulationOptions {
        file: ExperimentFile::parse(&text, Path::new("(here)")).unwrap(),
        component: load_plan(&root().join("plugins/dist/logistic-regression.wasm")).unwrap(),
        sandbox,
        random_seed: 42,
        data: args[0].clone().into(),
        format: None,
        volumes: Volumes::default(),
        renames: Renames::new(),
        n_nodes: Some(nodes),
        split: Split::Iid,
        conditions: Conditions::default(),
        min_rows: 1,
        threads: 0,
        out: None,
        force: false,
    };
    let simulation = Simulation::new(options).unwrap();
    let (mut times, mut mib) = (Vec::new(), 0.0_f64);
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let mut events = |event: Event| match event {
        Event::Round(record) => {
            times.push(record.timing.wall_ms);
            mib = mib.max(memory_mib());
        }
        Event::Dropped { node, reason, .. } => panic!("{node}: {reason}"),
        _ => {}
    };
    let run = simulation.run(stopped, &mut events);
    tokio::runtime::Runtime::new().unwrap().block_on(run).unwrap();
    times.sort_by(f64::total_cmp);
    println!("{}", json!({ "ms": times[times.len() / 2], "mib": mib }));
}

/// The most memory that this process and its workers had so far.
fn memory_mib() -> f64 {
    let of = |process: &str| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    };
    let mut sum = of("self");
    // Any of the threads may have started a worker.
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children"));
        sum += children.unwrap_or_default().split_whitespace().map(of).sum::<f64>();
    }
    sum
}
