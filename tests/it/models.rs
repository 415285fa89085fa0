//! Models of tens and hundreds of megabytes: declared, trained and scored, here and at a node, and
//! what processes hold of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fedwasm_protocol::ApprovalStatus;

use crate::fake::{Fake, columns};
use crate::hostile::with_module_field;
use crate::support::{Edit, Federation, data, fedwasm, plan, root};

/// Bytes of a hidden unit of `mlp` with 30 columns and two classes.
const UNIT_BYTES: usize = 4 * (30 + 1 + 2);

/// Writes the first rows of breast_cancer.csv: a large model is slow on many.
fn few_rows(dir: &Path, n: usize) -> PathBuf {
    let text = std::fs::read_to_string(data("breast_cancer.csv")).unwrap();
    let lines: Vec<&str> = text.lines().take(n + 1).collect();
    let path = dir.join(format!("first-{n}.csv"));
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

/// Trains and scores `mlp` with so many bytes of parameters.
fn local(bytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    let text = format!(
        "[training]\nepochs = 1\ntest_ratio = 0.25\ntest_batch_size = 3\nrandom_seed = 1\n\
         loader_args = {{ batch_size = 3 }}\noptimizer_args = {{ lr = 0.001 }}\n\
         [model]\nn_classes = 2\nhidden = {}\n",
        bytes / UNIT_BYTES
    );
    std::fs::write(&args, text).unwrap();
    let job = fedwasm(&["--json", "local", "--target", "benign", "--out"])
        .arg(dir.path().join("out"))
        .arg("--plan")
        .arg(root().join("plugins/dist/mlp.wasm"))
        .arg("--data")
        .arg(few_rows(dir.path(), 12))
        .arg("--args")
        .arg(args);
    let ended = job.ok();
    let result = ended.result();
    assert_eq!(result["n_test"], 3, "{result}");
    assert!(result["metrics"]["loss"].as_f64().is_some_and(f64::is_finite), "{result}");
    assert!(result["metrics"]["accuracy"].as_f64().is_some(), "{result}");
    let written = std::fs::metadata(dir.path().join("out/params.safetensors")).unwrap().len();
    assert!(written as usize > bytes - UNIT_BYTES, "{written}");
}

#[test]
fn a_model_of_20_mb_is_trained_and_scored() {
    local(20_000_000);
}

#[test]
fn a_model_of_200_mb_is_trained_and_scored() {
    local(200_000_000);
}

#[test]
fn a_model_of_20_mb_is_trained_and_scored_by_a_node() {
    let mut federation = Federation::start();
    let rows = few_rows(federation.dir.path(), 60);
    federation.node("a", &rows);
    let mlp = root().join("plugins/dist/mlp.wasm");
    let experiment = federation.experiment(|text| {
        let text = text.edit(&plan().display().to_string(), &mlp.display().to_string());
        let text = text
            .edit("test_on_global_updates", "test_on_local_updates = true\ntest_on_global_updates");
        let text = text.edit("rounds = 2", "rounds = 1").edit("min_nodes = 2", "min_nodes = 1");
        let hidden = 20_000_000 / UNIT_BYTES;
        text.edit("n_classes = 2", &format!("n_classes = 2\nhidden = {hidden}"))
    });
    let ended = federation.run(&experiment).ok();
    let rounds = ended.events();
    let round = rounds.iter().find(|event| event["event"] == "round").unwrap();
    let text = round.to_string();
    assert!(text.contains("accuracy"), "{text}");
    let history = std::fs::read_to_string(federation.dir.path().join("out/history.json")).unwrap();
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    let of_node = &history["rounds"][0]["nodes"]["a"];
    for scores in ["evaluation", "global_evaluation"] {
        assert!(of_node[scores]["metrics"]["accuracy"].as_f64().is_some(), "{of_node}");
    }
}

/// The error names the limit that is in the way of a larger model.
#[test]
fn a_model_that_is_too_large_names_the_limit_to_raise() {
    let dir = tempfile::tempdir().unwrap();
    let run = |limits: &str| {
        let args = dir.path().join("args.toml");
        let text = format!(
            "[training]\nepochs = 1\nrandom_seed = 1\ntest_ratio = 0.25\n[model]\nn_classes = 2\n\
             hidden = 400000\n[limits]\n{limits}\n"
        );
        std::fs::write(&args, text).unwrap();
        let job = fedwasm(&["local", "--target", "benign", "--out"]).arg(dir.path().join("out"));
        let job = job.arg("--plan").arg(root().join("plugins/dist/mlp.wasm"));
        let ended = job.arg("--data").arg(few_rows(dir.path(), 12)).arg("--args").arg(args).run();
        assert_eq!(ended.code, 4, "{}", ended.stderr);
        ended.stderr
    };
    let words = run("memory_bytes_max = 67108864");
    assert!(words.contains("its memory may have 67108864 bytes (`memory_bytes_max`)"), "{words}");
    assert!(words.contains("give a larger `memory_bytes_max` under [limits]"), "{words}");
    let words = run("declared_bytes_max = 50000000");
    assert!(words.contains("more than 50000000 bytes of tensors"), "{words}");
    assert!(words.contains("give a larger `declared_bytes_max` under [limits]"), "{words}");
}

/// The most that a process and its workers hold at once, in bytes.
pub struct Watched {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What a process holds of its own, in bytes: pages of the program's file come and go as it runs.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

impl Watched {
    pub fn start(pid: u32) -> Self {
        Self::start_with(pid, crate::worker::workers_of)
    }

    /// Watches a process without its workers.
    fn start_alone(pid: u32) -> Self {
        Self::start_with(pid, |_| Vec::new())
    }

    fn start_with(pid: u32, workers_of: fn(u32) -> Vec<u32>) -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (high, stopped) = (Arc::clone(&peak), Arc::clone(&stop));
        let watch = move || {
            while !stopped.load(Ordering::Relaxed) {
                let workers = workers_of(pid);
                let all = resident(pid) + workers.into_iter().map(resident).sum::<u64>();
                high.fetch_max(all, Ordering::Relaxed);
                // Often enough to see the peak.
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Self { peak, stop, thread: Some(std::thread::spawn(watch)) }
    }

    pub fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(std::thread::JoinHandle::join);
        self.peak.load(Ordering::Relaxed)
    }
}

/// A plan that has parameters and holds none: what is held is the host's.
fn wide(dir: &Path, bytes: usize) -> PathBuf {
    let field = format!(
        "(func $model (param $at i32)
           (i64.store (i32.const 4096) (i64.const {}))
           (call $tensor_spec (i32.const 384)
             (i32.const 1056) (i32.const 1) (i32.const 8) (i32.const 4096) (i32.const 1)
             (i32.const 1) (i32.const 0))
           (call $put (local.get $at) (i32.const 384) (i32.const 1)))",
        bytes / 4
    );
    let path = dir.join(format!("wide-{bytes}.wasm"));
    std::fs::write(&path, with_module_field(&field)).unwrap();
    path
}

/// A node and its workers hold parameters three times at most: as they came, as they are trained,
/// and as they leave or are scored.
#[test]
fn a_node_and_its_workers_hold_parameters_three_times_in_all() {
    let held = |bytes: usize| {
        let mut federation = Federation::start();
        federation.node("a", &data("breast_cancer.csv"));
        let wide = wide(federation.dir.path(), bytes);
        let experiment = federation.experiment(|text| {
            let text = text.edit(&plan().display().to_string(), &wide.display().to_string());
            let text = text.edit("n_classes = 2", "").edit("optimizer_args = { lr = 0.1 }", "");
            let text = text.edit(
                "test_on_global_updates",
                "test_on_local_updates = true\ntest_on_global_updates",
            );
            text.edit("min_nodes = 2", "min_nodes = 1")
        });
        let watched = Watched::start(federation.nodes[0].child.id());
        federation.run(&experiment).ok();
        watched.end()
    };
    let (bytes, idle) = (100_000_000, held(1_000));
    let held = held(bytes).saturating_sub(idle);
    eprintln!(
        "{} MB of parameters are held {:.2} times",
        bytes / 1_000_000,
        held as f64 / bytes as f64
    );
    // Buffers of pipes and of the network, pages that are not given back yet.
    assert!(held < bytes as u64 * 32 / 10, "{held} bytes");
}

/// A mean holds the global parameters, its sum in float64 (two models) and one update, whatever
/// the number of nodes.
#[test]
fn a_researcher_holds_a_mean_of_sixteen_nodes_in_four_models() {
    let held = |bytes: usize| {
        let federation = Federation::start();
        let node = |n: usize| {
            let (id, approved) = (format!("n{n:02}"), ApprovalStatus::Approved);
            Fake::node_with(&federation, &id, columns(), approved, Box::new(|_| None))
        };
        let _nodes: Vec<Fake> = (0..16).map(node).collect();
        let wide = wide(federation.dir.path(), bytes);
        let experiment = federation.experiment(|text| {
            let text = text.edit(&plan().display().to_string(), &wide.display().to_string());
            let text = text.edit("n_classes = 2", "").edit("optimizer_args = { lr = 0.1 }", "");
            text.edit("min_nodes = 2", "min_nodes = 16")
        });
        let running = federation.run(&experiment).start();
        let watched = Watched::start_alone(running.child.id());
        let (code, events) = running.end();
        assert_eq!(code, 0, "{events:?}");
        watched.end()
    };
    // Too large for messages, as the other one: its way is through the repository.
    let (bytes, idle) = (10 << 20, held(20 << 10));
    let held = held(bytes).saturating_sub(idle);
    eprintln!("16 nodes: {:.2} models above {} MiB", held as f64 / bytes as f64, idle >> 20);
    // Parts of bodies, and pages of the allocator: 0.3 to 1.1 MiB were seen.
    assert!(held <= bytes as u64 * 4 + (2 << 20), "{held} bytes");
}
