//! Whole experiments under secure aggregation: real nodes, a real broker, the binary.

use std::path::{Path, PathBuf};

use fedwasm_params::{Params, from_safetensors};
use fedwasm_researcher::load_history;
use serde_json::{Value, json};

use crate::support::{Edit, Federation, Running, event, fedwasm, part};

fn federation(n: usize) -> Federation {
    let mut federation = Federation::start();
    for at in 0..n {
        let file = part(federation.dir.path(), at, n);
        federation.node(&format!("n{at}"), &file);
    }
    federation
}

/// An experiment of some rounds with these tables behind it.
fn experiment(federation: &Federation, rounds: u32, name: &str, tables: &str) -> PathBuf {
    let path = federation.experiment(|text| {
        let rounds = format!("rounds = {rounds}\nkeep_uploads = true");
        text.edit("rounds = 2", &rounds).edit("min_nodes = 2", "min_nodes = 3") + tables
    });
    let own = path.with_file_name(format!("{name}.toml"));
    std::fs::copy(path, &own).unwrap();
    own
}

fn run(experiment: &Path, out: &Path) -> Value {
    fedwasm(&["--json", "experiment", "run"]).arg(experiment).arg("--out").arg(out).ok().result()
}

fn params(out: &Path) -> Params {
    from_safetensors(&std::fs::read(out.join("params.safetensors")).unwrap()).unwrap()
}

/// The largest difference of two models.
fn distance(a: &Params, b: &Params) -> f64 {
    let values = |params: &Params| -> Vec<f64> {
        params.iter().flat_map(|(_, tensor)| tensor.floats().unwrap()).collect()
    };
    let both = values(a).into_iter().zip(values(b));
    both.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

const MASKING: &str = "[secagg]\nscheme = \"masking\"\n";
const DOUBLE: &str = "[secagg]\nscheme = \"double_masking\"\n";

/// Every aggregator that works on sums gives the clear result within the quantisation, and the
/// masked uploads that were kept give it again.
#[test]
fn aggregators_on_sums_end_where_clear_ones_do() {
    let federation = federation(3);
    let dir = federation.dir.path();
    for (name, settings, bound) in [
        ("fedavg", "", 1e-5),
        ("fedprox", "mu = 0.1", 1e-5),
        ("fedavgm", "", 1e-5),
        ("scaffold", "", 1e-5),
        // A step of Adam and its kin is as long for a small gradient.
        ("fedadam", "", 1e-3),
        ("fedadagrad", "", 1e-3),
        ("fedyogi", "", 1e-3),
    ] {
        let table = format!("[aggregator]\nname = \"{name}\"\n{settings}\n");
        let clear_file = experiment(&federation, 3, &format!("{name}-clear"), &table);
        let clear_out = dir.join(format!("{name}-clear"));
        let clear = run(&clear_file, &clear_out);
        for (scheme, text) in [("masking", MASKING), ("double", DOUBLE)] {
            let file =
                experiment(&federation, 3, &format!("{name}-{scheme}"), &(table.clone() + text));
            let out = dir.join(format!("{name}-{scheme}"));
            let result = run(&file, &out);
            let off = distance(&params(&out), &params(&clear_out));
            assert!(off <= bound, "{name} {scheme}: {off}");
            for metric in ["accuracy", "loss"] {
                let of = |result: &Value| result["metrics"][metric].as_f64().unwrap();
                let off = (of(&result) - of(&clear)).abs();
                assert!(off < 0.01, "{name} {scheme}: {metric} is off by {off}");
            }
            fedwasm(&["experiment", "verify"]).arg(&out).ok();
            // No number of a single node is in a file of the result.
            let history = load_history(&out).unwrap();
            let clear = load_history(&clear_out).unwrap();
            let text = std::fs::read_to_string(out.join("history.json")).unwrap();
            for (round, of_clear) in history.rounds.iter().zip(&clear.rounds) {
                assert!(round.secagg.is_some(), "{name} {scheme}");
                for (node, own) in &of_clear.nodes {
                    let loss = own.train_loss.unwrap().to_string();
                    assert!(!text.contains(&loss), "{name} {scheme}: the loss of {node}");
                }
            }
        }
    }
}

/// One flipped lane of a kept upload, or another count in the record, is found.
#[test]
fn a_sum_that_was_changed_afterwards_is_found() {
    let federation = federation(3);
    for (name, text) in [("masking", MASKING), ("double", DOUBLE)] {
        let out = federation.dir.path().join(name);
        run(&experiment(&federation, 2, name, text), &out);
        let verify = || fedwasm(&["experiment", "verify"]).arg(&out).run();
        assert_eq!(verify().code, 0, "{}", verify().stderr);
        let file = out.join("history.json");
        let history = std::fs::read_to_string(&file).unwrap();
        let mut changed: Value = serde_json::from_str(&history).unwrap();
        let n = &mut changed["rounds"][1]["secagg"]["n_samples"];
        *n = json!(n.as_u64().unwrap() + 1);
        std::fs::write(&file, changed.to_string()).unwrap();
        assert_ne!(verify().code, 0, "{name}: a count");
        std::fs::write(&file, &history).unwrap();
        let scores = json!(0.999);
        let mut changed: Value = serde_json::from_str(&history).unwrap();
        changed["rounds"][1]["evaluation"]["metrics"]["accuracy"] = scores;
        std::fs::write(&file, changed.to_string()).unwrap();
        assert_ne!(verify().code, 0, "{name}: a score");
        std::fs::write(&file, &history).unwrap();
        assert_eq!(verify().code, 0);
        // The keys, shares or signatures from which the sum was opened.
        let secagg = out.join("secagg");
        let names = std::fs::read_dir(&secagg).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<PathBuf> =
            names.filter(|name| !name.to_str().unwrap().ends_with("asked.json")).collect();
        names.sort();
        let transcript = std::fs::read_to_string(&names[0]).unwrap();
        std::fs::write(&names[0], transcript.replacen('1', "2", 1)).unwrap();
        assert_ne!(verify().code, 0, "{name}: {}", names[0].display());
    }
}

fn start(experiment: &Path, out: &Path, flags: &[&str]) -> Running {
    let command = fedwasm(&["--json", "experiment", "run"]).arg(experiment).arg("--out").arg(out);
    let command = command.env("FEDWASM_LOG", "debug");
    flags.iter().fold(command, |command, flag| command.arg(flag)).start()
}

/// A researcher that is killed (-9) resumes to the same bytes, whatever the step was.
#[test]
fn a_killed_researcher_resumes_to_the_same_sums() {
    let federation = federation(3);
    let dir = federation.dir.path();
    for (name, text) in [("masking", MASKING), ("double", DOUBLE)] {
        let file = experiment(&federation, 3, name, text);
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.edit("keep_uploads = true", "keep_uploads = true\nsave_breakpoints = true");
        std::fs::write(&file, text).unwrap();
        let whole = run(&file, &dir.join(format!("{name}-whole")));
        // A kill may land in any step: also in one of agreeing, masking or unmasking.
        for (n, step) in
            ["started", "round 1: aggregated", "round 2: parameters stored", "round 3: validated"]
                .into_iter()
                .enumerate()
        {
            let out = dir.join(format!("{name}-{n}"));
            let running = start(&file, &out, &[]);
            match step {
                "started" => drop(running.wait_for(event("started"))),
                line => running.wait_for_log(line),
            }
            drop(running);
            let (code, events) = start(&file, &out, &["--resume"]).end();
            assert_eq!(code, 0, "{name}, {step}: {events:?}");
            let resumed = events.last().unwrap();
            assert_eq!(resumed["params_sha256"], whole["params_sha256"], "{name}: {step}");
            fedwasm(&["experiment", "verify"]).arg(&out).ok();
        }
    }
}

/// Of five nodes one is killed (-9) while rounds run, and comes back.
#[test]
fn double_masking_goes_on_without_a_node_that_died() {
    let mut federation = federation(5);
    let file = experiment(&federation, 40, "killed", DOUBLE);
    let out = federation.dir.path().join("killed");
    let running = start(&file, &out, &[]);
    let round = |n: u64| move |event: &Value| event["event"] == "round" && event["round"] == n;
    running.wait_for(round(2));
    drop(federation.nodes.pop());
    running.wait_for(round(8));
    federation.start_node("n4");
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    let history = load_history(&out).unwrap();
    assert_eq!(history.rounds.len(), 40);
    let n_nodes: Vec<usize> =
        history.rounds.iter().map(|round| round.secagg.as_ref().unwrap().sum_of.len()).collect();
    assert!(n_nodes.contains(&4) && n_nodes[39] == 5, "{n_nodes:?}");
    fedwasm(&["experiment", "verify"]).arg(&out).ok();
}

/// `masking` is for all or none: without the lost node nothing is summed, and the experiment ends
/// with its name, or waits for it.
#[test]
fn masking_waits_for_a_lost_node_and_never_asks_fewer() {
    let mut federation = federation(4);
    let file = experiment(&federation, 60, "waits", MASKING);
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.edit("min_nodes = 3", "min_nodes = 3\nretries = 60\nretry_pause_s = 1");
    std::fs::write(&file, text.edit("rounds = 60", "rounds = 60\nsave_breakpoints = true"))
        .unwrap();
    let out = federation.dir.path().join("waits");
    let running = start(&file, &out, &[]);
    running.wait_for(|event| event["event"] == "round" && event["round"] == 2);
    drop(federation.nodes.pop());
    running.wait_for(|event| event["event"] == "retry" || event["event"] == "warning");
    federation.start_node("n3");
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    let history = load_history(&out).unwrap();
    let is_whole = |n: usize| {
        move |round: &fedwasm_researcher::RoundRecord| {
            round.secagg.as_ref().unwrap().sum_of.len() == n
        }
    };
    assert!(history.rounds.iter().all(is_whole(4)));
    fedwasm(&["experiment", "verify"]).arg(&out).ok();
}

/// Five researchers at once get what each would get alone.
#[test]
fn five_researchers_at_once() {
    let federation = federation(3);
    let dir = federation.dir.path();
    let alone = run(&experiment(&federation, 3, "alone", MASKING), &dir.join("alone"));
    let running: Vec<(usize, Running)> = (0..5)
        .map(|n| {
            let scheme = if n % 2 == 0 { MASKING } else { DOUBLE };
            let file = experiment(&federation, 3, &format!("five-{n}"), scheme);
            let text = std::fs::read_to_string(&file).unwrap();
            let own = format!("identity = \"researcher-{n}\"");
            std::fs::write(&file, text.edit("identity = \"researcher\"", &own)).unwrap();
            (n, start(&file, &dir.join(format!("five-{n}")), &[]))
        })
        .collect();
    for (n, running) in running {
        let (code, events) = running.end();
        assert_eq!(code, 0, "{n}: {events:?}");
        let result = events.last().unwrap();
        assert_eq!(result["params_sha256"], alone["params_sha256"], "researcher {n}");
    }
}

/// Noise of nodes, and noise of the aggregator, on a sum: in the record, and made again.
#[test]
fn noise_is_added_to_a_sum() {
    let federation = federation(3);
    let dir = federation.dir.path();
    let clear = run(&experiment(&federation, 2, "clear", ""), &dir.join("clear"));
    let at_nodes = |text: String| {
        let dp = "random_seed = 42\ndp_args = { type = \"local\", sigma = 0.05, clip = 1.0 }";
        text.edit("random_seed = 42", dp).edit("test_on_global_updates = true", "")
    };
    let aggregator = |text: String| text + "[privacy]\nclip = 1.0\nnoise_multiplier = 0.05\n";
    let cases: [(&str, &dyn Fn(String) -> String); 2] =
        [("nodes", &at_nodes), ("aggregator", &aggregator)];
    for (name, change) in cases {
        for (scheme, table) in [("masking", MASKING), ("double", DOUBLE)] {
            let file = experiment(&federation, 2, &format!("{name}-{scheme}"), table);
            let text = change(std::fs::read_to_string(&file).unwrap());
            std::fs::write(&file, text).unwrap();
            let out = dir.join(format!("{name}-{scheme}"));
            let result = run(&file, &out);
            assert_ne!(result["params_sha256"], clear["params_sha256"]);
            let off = distance(&params(&out), &params(&dir.join("clear")));
            assert!((1e-3..1.0).contains(&off), "{name} {scheme}: {off}");
            fedwasm(&["experiment", "verify"]).arg(&out).ok();
        }
    }
}
