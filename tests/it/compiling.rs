//! Compiling: what takes longer than a round, what is done when a plan is approved, and plans of
//! several parts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fedwasm_artifact::Component;
use fedwasm_protocol::Arguments;
use fedwasm_sandbox::{Cancel, DataFacts, Limits, PlanEvent, Sandbox, Start};
use serde_json::Value;

use crate::hostile::with_module_field;
use crate::support::{Edit, Federation, Rows, data, event, fedwasm, plan, root, workers};

/// Blocks of the function below: compiling it takes four times as long as a node waits below.
const SLOW_BLOCKS: usize = 24_000;

/// A good plan with a function that is never called and takes long to compile, on one thread:
/// its values live to the end of a web of branches.
fn slow_to_compile(dir: &Path) -> PathBuf {
    let mut field = String::from("(func $slow (param i32) (result i32)\n");
    (0..400).for_each(|n| field.push_str(&format!("(local $v{n} i32)\n")));
    for n in 0..SLOW_BLOCKS {
        let (a, b, c) = (n % 400, (n * 7 + 3) % 400, (n * 31) % 400);
        field.push_str(&format!(
            "(block (br_if 0 (i32.eqz (local.get $v{a}))) (local.set $v{c} (i32.add (local.get $v{a}) (local.get $v{b}))))\n"
        ));
    }
    field.push_str("(local.get $v0))\n");
    let path = dir.join("slow.wasm");
    std::fs::write(&path, with_module_field(&field)).unwrap();
    path
}

/// A plan that compiles longer than the deadline of a round runs all the same: the node goes on
/// with it, says so, and is asked again.
#[test]
fn a_plan_that_compiles_longer_than_a_round_runs() {
    let mut federation = Federation::start();
    let file = data("breast_cancer.csv");
    federation.node("a", &file);
    let slow = slow_to_compile(federation.dir.path());
    let experiment = federation.experiment(|text| {
        let text = text.edit(&plan().display().to_string(), &slow.display().to_string());
        let text = text.edit("n_classes = 2", "").edit("optimizer_args = { lr = 0.1 }", "");
        let text = text.edit("round_deadline_s = 120", "round_deadline_s = 3");
        text.edit("rounds = 2", "rounds = 1").edit("min_nodes = 2", "min_nodes = 1")
    });
    let ended = federation.run(&experiment).ok();
    let warning = |event: &&Value| event["event"] == "warning";
    let warnings: Vec<String> =
        ended.events().iter().filter(warning).map(|event| event.to_string()).collect();
    let said =
        warnings.iter().any(|text| text.contains("a is asked again: the plan is still being"));
    assert!(said, "{warnings:?}\n{}", ended.stderr);
    assert_eq!(ended.result()["rounds"], 1, "{}", ended.result());
}

#[test]
fn approving_a_plan_compiles_it_for_the_node() {
    let mut federation = Federation::start();
    let dir = federation.dir.path().join("a");
    fedwasm(&["node", "init", "--id", "a", "--mqtt", &federation.mqtt, "--repository"])
        .arg(&federation.repository)
        .arg(&dir)
        .ok();
    let kept = || {
        let entries = std::fs::read_dir(dir.join("compiled")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "compiled")).count()
    };
    assert_eq!(kept(), 0);
    fedwasm(&["node", "plan", "approve"]).arg(&dir).arg(plan()).ok();
    assert_eq!(kept(), 1);

    // The node uses that very entry: it starts no compiler, and keeps no second one.
    fedwasm(&["node", "dataset", "add", "--name", "d", "--tags", "t,u", "--type", "csv"])
        .arg(&dir)
        .arg("--path")
        .arg(data("breast_cancer.csv"))
        .ok();
    let node = fedwasm(&["node", "start"]).arg(&dir).start();
    node.wait_for(event("ready"));
    federation.nodes.push(node);
    let experiment = federation.experiment(|text| {
        text.edit("rounds = 2", "rounds = 1").edit("min_nodes = 2", "min_nodes = 1")
    });
    federation.run(&experiment).ok();
    assert_eq!(kept(), 1);
}

/// A plan that cannot be compiled within the node's limits is refused by name, and not for ever
/// said to be compiling.
#[test]
fn a_limit_of_compiling_names_its_setting() {
    let mut federation = Federation::start();
    federation.node("a", &data("breast_cancer.csv"));
    let experiment = federation.experiment(|text| {
        text.edit("rounds = 2", "rounds = 1").edit("min_nodes = 2", "min_nodes = 1")
    });
    // The node's own, which an experiment can only lower.
    drop(federation.nodes.pop());
    let config = federation.dir.path().join("a/node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let limited = text.edit("compile_ms_max = 120000", "compile_ms_max = 1");
    assert_ne!(text, limited);
    std::fs::write(&config, limited).unwrap();
    let node = fedwasm(&["node", "start"]).arg(federation.dir.path().join("a")).start();
    node.wait_for(event("ready"));
    federation.nodes.push(node);
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 4, "{}\n{}", ended.stdout, ended.stderr);
    let text = "compiling it took longer than 1 ms (`compile_ms_max`)";
    assert!(ended.stderr.contains(text), "{}", ended.stderr);
}

/// Two components that call each other with texts and lists, composed with wac: each step of
/// training goes through both. `tests/oracles/compose` makes it.
#[test]
fn a_plan_of_two_components_that_call_each_other_runs() {
    let path = root().join("tests/guests/composed/composed.wasm");
    let component = Component::admit(std::fs::read(path).unwrap()).unwrap();
    for sandbox in [workers(), Sandbox::in_process().unwrap()] {
        let described = sandbox.describe(&component, Limits::default()).unwrap();
        assert_eq!(described.metadata().name, "composed");
        let facts = DataFacts { n_inputs: Some(3), n_classes: None };
        let given = described.metadata().arguments(&Arguments::new(), &facts, &["model."]);
        let session = described.session(given.unwrap()).unwrap();
        let cancel = Cancel::new();
        let model = session.init([7; 32], &cancel).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let events = move |event| {
            if let PlanEvent::Log(_, line) = event {
                heard.lock().unwrap().push(line);
            }
        };
        let start = Start { model, ..Start::default() };
        let loader = Box::new(Rows(5));
        let outcome = session.train(start, [0; 32], loader, Box::new(events), &cancel).unwrap();
        // The helper adds 0.5 to every element, five times; the first one began at 0.01.
        let first = (0..5).fold(0.01_f32, |w, _| w + 0.5);
        let expected: Vec<f64> =
            [first, 2.5, 2.5, 2.5, 2.5, 2.5].iter().map(|w| f64::from(*w)).collect();
        assert_eq!(outcome.model.tensor("w").unwrap().floats().unwrap(), expected);
        // A text that went there and came back.
        assert_eq!(*lines.lock().unwrap(), ["an unknown name"]);
    }
}
