//! Processes that are killed at random moments of experiments of all kinds: the same bytes as without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fedwasm_researcher::load_history;

use crate::support::{Edit, Federation, Running, event, fedwasm, part, wait_until};

const NODES: usize = 3;

/// Kinds of experiments, and the tables that make them.
const KINDS: [(&str, &str); 5] = [
    ("fedavg", "[aggregator]\nname = \"fedavg\"\n"),
    ("fedadam", "[aggregator]\nname = \"fedadam\"\n"),
    ("scaffold", "[aggregator]\nname = \"scaffold\"\n"),
    ("masking", "[secagg]\nscheme = \"masking\"\n"),
    ("double", "[secagg]\nscheme = \"double_masking\"\n"),
];

/// Numbers that follow from a seed (Knuth's linear congruential generator, its upper bits).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pause(&mut self, from_ms: u64, to_ms: u64) {
        // What the test is about: kills come at any moment.
        std::thread::sleep(Duration::from_millis(from_ms + self.below(to_ms - from_ms)));
    }
}

struct Stage {
    federation: Federation,
    random: Random,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let mut federation = Federation::start();
        for node in 0..NODES {
            let file = part(federation.dir.path(), node, NODES);
            federation.node(&format!("n{node}"), &file);
        }
        Self { federation, random: Random(seed) }
    }

    fn experiment(&self, name: &str, tables: &str) -> PathBuf {
        let path = self.federation.experiment(|text| {
            let text = text.edit("epochs = 1", "num_updates = 1000");
            let text = text.edit("rounds = 2", "rounds = 8\nsave_breakpoints = true");
            let text = text.edit("min_nodes = 2", &format!("min_nodes = {NODES}"));
            text.edit("patience_s = 0", "patience_s = 300") + tables
        });
        let own = path.with_file_name(format!("{name}.toml"));
        std::fs::copy(path, &own).unwrap();
        own
    }

    fn start(&self, experiment: &Path, out: &Path, flag: &str) -> Running {
        let run = fedwasm(&["--json", "experiment", "run", flag]).arg(experiment);
        run.arg("--out").arg(out).start()
    }

    /// Kills one process, and starts it again after a while; whether it was the researcher.
    fn kill(&mut self, running: &mut Running, told: &mut Vec<String>) -> bool {
        match self.random.below(4) {
            0 => {
                let node = self.random.below(NODES as u64) as usize;
                told.push(format!("node {node}"));
                self.restart_node(&format!("n{node}"));
            }
            1 => {
                told.push("hub".into());
                self.federation.stop_network();
                self.random.pause(100, 2_000);
                self.federation.start_network();
            }
            2 => {
                told.push("researcher".into());
                let _ = running.child.kill();
                let _ = running.child.wait();
                return true;
            }
            _ => {
                told.push("all nodes".into());
                for node in 0..NODES {
                    self.restart_node(&format!("n{node}"));
                }
            }
        }
        false
    }

    fn restart_node(&mut self, id: &str) {
        let at: usize = id.trim_start_matches('n').parse().unwrap();
        let nodes = &mut self.federation.nodes;
        drop(nodes.remove(at));
        self.random.pause(100, 2_000);
        self.federation.start_node(id);
        let node = self.federation.nodes.pop().unwrap();
        self.federation.nodes.insert(at, node);
    }

    /// Runs an experiment of a kind without kills and with so many; what was killed.
    fn kills(&mut self, (name, tables): (&str, &str), n: usize) -> Vec<String> {
        let experiment = self.experiment(name, tables);
        let dir = self.federation.dir.path().to_owned();
        let whole = self.start(&experiment, &dir.join(format!("{name}-whole")), "--force");
        let (code, events) = whole.end();
        assert_eq!(code, 0, "{events:?}");
        let digest = events.last().unwrap()["params_sha256"].clone();
        let mut told = Vec::new();
        // An experiment is over at some time; further kills come in the next one.
        while told.len() < n {
            // A new experiment waits for no node.
            wait_until("all nodes are connected", || {
                let nodes = fedwasm(&["--json", "nodes", "--mqtt", &self.federation.mqtt]).run();
                nodes.result()["nodes"].as_array().is_some_and(|nodes| nodes.len() == NODES)
            });
            let out = dir.join(format!("{name}-broken"));
            let mut running = self.start(&experiment, &out, "--force");
            running.wait_for(event("started"));
            while told.len() < n && running.child.try_wait().unwrap().is_none() {
                self.random.pause(100, 1_500);
                if self.kill(&mut running, &mut told) {
                    self.random.pause(100, 1_000);
                    running = self.start(&experiment, &out, "--resume");
                }
            }
            let (code, events) = running.end();
            assert_eq!(code, 0, "{name}, {told:?}: {events:?}");
            assert_eq!(events.last().unwrap()["params_sha256"], digest, "{name}, {told:?}");
            let history = load_history(&out).unwrap();
            assert_eq!(history.rounds.len(), 8);
        }
        told
    }
}

#[test]
fn random_kills_change_no_byte() {
    let mut stage = Stage::new(1);
    for kind in [KINDS[1], KINDS[4]] {
        stage.kills(kind, 3);
    }
}

/// `cargo test --workspace --test it -- --ignored sixty_kills`
#[test]
#[ignore = "ten minutes; by hand"]
fn sixty_kills_of_five_kinds() {
    let seed = std::env::var("FEDWASM_SEED").map_or(42, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut stage = Stage::new(seed);
    for kind in KINDS {
        let told = stage.kills(kind, 12);
        println!("{}: {} kills, equal digests: {}", kind.0, told.len(), told.join(", "));
    }
}
