//! A round of two nodes over loopback, with processes of the program: one training step of the shipped
//! logistic regression, with a score of each global model and without. Beside it the same arithmetic in
//! plain Rust over plain sockets, without signatures, receipts, logs or a sandbox: what a round costs at
//! least.
//!
//! ```text
//! cargo bench -p fedwasm --bench rounds
//! cargo bench -p fedwasm --bench rounds -- --program OTHER/fedwasm
//! ```
//!
//! The second line measures another build in turn with this one; `--times 1` is quicker.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

#[path = "plain_rounds.rs"]
mod plain_rounds;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

/// Experiments of each kind, in turn, their rounds, and those of them that warm up.
const TIMES: usize = 5;
const ROUNDS: usize = 120;
const ROUNDS_COLD: usize = 20;
/// The aims, in milliseconds: they are printed and not asserted, for the machine is shared.
const MEDIAN_MS_MAX: f64 = 5.0;
const P95_MS_MAX: f64 = 10.0;
/// A plain program learns the same: how far its accuracy may be off.
const ACCURACY_OFF_MAX: f64 = 0.03;

/// Parts of a round, as `history.json` has them.
const PARTS: [&str; 7] =
    ["send", "prepare", "train", "upload", "download", "aggregate", "validate"];

/// Times of rounds in milliseconds, from one to the next, and their parts.
#[derive(Default)]
struct Times {
    whole: Vec<f64>,
    parts: [Vec<f64>; PARTS.len()],
}

fn main() {
    let mut programs = vec![("this build", PathBuf::from(env!("CARGO_BIN_EXE_fedwasm")))];
    let args: Vec<String> = std::env::args().collect();
    let given = |name: &str| Some(&args[args.iter().position(|arg| arg == name)? + 1]);
    programs.extend(given("--program").map(|path| ("the other build", PathBuf::from(path))));
    let times = given("--times").map_or(TIMES, |times| times.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let tables = tables(dir.path());
    let kinds = [("trained", false), ("trained and scored", true)];
    let mut rows: Vec<(String, Times)> = Vec::new();
    let mut all: Vec<Federation> = Vec::new();
    for (name, program) in &programs {
        all.push(Federation::start(program, &dir.path().join(name.replace(' ', "-")), &tables));
        rows.extend(kinds.map(|(kind, _)| (format!("{kind}, {name}"), Times::default())));
    }
    rows.extend(kinds.map(|(kind, _)| (format!("{kind}, plainly"), Times::default())));
    for _ in 0..times {
        let mut rows = rows.iter_mut().map(|(_, times)| times);
        let mut accuracy = 0.0;
        for federation in &all {
            for (_, is_scored) in kinds {
                accuracy = federation.run(is_scored, rows.next().unwrap()).unwrap_or(accuracy);
            }
        }
        for (_, is_scored) in kinds {
            let (whole, plain) = plain_rounds::run(&tables, ROUNDS, is_scored);
            rows.next().unwrap().whole.extend(&whole[ROUNDS_COLD..]);
            assert!((plain - accuracy).abs() <= ACCURACY_OFF_MAX, "{plain} and {accuracy}");
        }
    }
    println!("a round of two nodes over loopback, one step, in milliseconds");
    print!("{:36}{:>9}{:>9}", "", "median", "p95");
    PARTS.iter().for_each(|name| print!("{name:>10}"));
    println!();
    for (name, times) in &rows {
        let (median, p95) = (quantile(&times.whole, 0.5), quantile(&times.whole, 0.95));
        print!("{name:36}{median:9.2}{p95:9.2}");
        times.parts.iter().filter(|part| !part.is_empty()).for_each(|part| {
            print!("{:10.2}", quantile(part, 0.5));
        });
        println!();
    }
    println!("aim, trained and scored: median {MEDIAN_MS_MAX}, p95 {P95_MS_MAX}");
}

fn quantile(times: &[f64], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share).round() as usize]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every second row of breast cancer for each node.
fn tables(dir: &Path) -> [PathBuf; 2] {
    let text = std::fs::read_to_string(root().join("examples/data/breast_cancer.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let lines: Vec<&str> = lines.collect();
    [0, 1].map(|part| {
        let rows: Vec<&str> = lines.iter().skip(part).step_by(2).copied().collect();
        let path = dir.join(format!("{part}.csv"));
        std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        path
    })
}

/// A network and two nodes.
struct Federation {
    program: PathBuf,
    dir: PathBuf,
    mqtt: String,
    repository: String,
    children: Vec<Child>,
}

impl Drop for Federation {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Federation {
    fn start(program: &Path, dir: &Path, tables: &[PathBuf]) -> Self {
        std::fs::create_dir(dir).unwrap();
        let (program, dir) = (program.to_owned(), dir.to_owned());
        let (mqtt, repository, children) = (String::new(), String::new(), Vec::new());
        let mut this = Self { program, dir, mqtt, repository, children };
        let network = ["network", "start", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut network = this.command(&network);
        network.arg("--dir").arg(this.dir.join("network"));
        let ready = this.serve(network);
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        (this.mqtt, this.repository) = (text("mqtt"), text("repository"));
        for (at, table) in tables.iter().enumerate() {
            let (id, home) = (format!("n{at}"), this.dir.join(format!("n{at}")));
            let mut init = this.command(&["node", "init", "--id", &id, "--approve", "any"]);
            let at = ["--mqtt", &this.mqtt, "--repository", &this.repository];
            done(init.args(at).arg(&home));
            let mut add = this.command(&["node", "dataset", "add", "--name", "d", "--tags", "t"]);
            done(add.arg(&home).arg("--path").arg(table));
            let mut start = this.command(&["node", "start"]);
            start.arg(&home);
            this.serve(start);
        }
        this
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--json").args(args).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts a server and returns its line with `event: ready`.
    fn serve(&mut self, mut command: Command) -> Value {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = |line: String| {
            let event: Value = serde_json::from_str(&line).ok()?;
            (event["event"] == "ready").then_some(event)
        };
        let ready = lines.by_ref().map_while(Result::ok).find_map(is_ready);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        self.children.push(child);
        ready.expect("the server starts")
    }

    /// Runs an experiment; the accuracy of its model, if it was scored.
    fn run(&self, is_scored: bool, times: &mut Times) -> Option<f64> {
        let file = self.dir.join("experiment.toml");
        let text = format!(
            "name = \"rounds\"\nplan = \"{}\"\nrounds = {ROUNDS}\n[data]\ntags = [\"t\"]\ntarget = \
             \"benign\"\n[training]\nepochs = 1\nloader_args = {{ batch_size = 1024 }}\n\
             optimizer_args = {{ lr = 0.1 }}\ntest_ratio = 0.2\ntest_on_global_updates = \
             {is_scored}\nrandom_seed = 42\n[model]\nn_classes = 2\n[strategy]\nmin_nodes = 2\n\
             [network]\nmqtt = \"{}\"\nrepository = \"{}\"\nidentity = \"researcher\"\n",
            root().join("plugins/dist/logistic-regression.wasm").display(),
            self.mqtt,
            self.repository,
        );
        std::fs::write(&file, text).unwrap();
        let out = self.dir.join("out");
        let _ = std::fs::remove_dir_all(&out);
        let mut run = self.command(&["experiment", "run"]);
        let mut child =
            run.arg(&file).arg("--out").arg(&out).stdout(Stdio::piped()).spawn().unwrap();
        let mut ends = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["event"] == "round" {
                ends.push(Instant::now());
            }
        }
        assert!(child.wait().unwrap().success() && ends.len() == ROUNDS);
        let whole = ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3);
        times.whole.extend(whole.skip(ROUNDS_COLD - 1));
        let history = std::fs::read(out.join("history.json")).unwrap();
        let history: Value = serde_json::from_slice(&history).unwrap();
        let rounds = history["rounds"].as_array().unwrap();
        for round in &rounds[ROUNDS_COLD..] {
            for (name, part) in PARTS.iter().zip(&mut times.parts) {
                part.push(round["timing"][format!("{name}_ms")].as_f64().unwrap());
            }
        }
        rounds[ROUNDS - 1]["evaluation"]["metrics"]["accuracy"].as_f64()
    }
}

fn done(command: &mut Command) {
    assert!(command.output().unwrap().status.success(), "{command:?}");
}
