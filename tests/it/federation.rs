//! Experiments on real federations.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};

use crate::support::{Edit, Federation, data, event, fedwasm, part, plan};

#[test]
fn one_node_with_all_rows_equals_one_local_run_bit_for_bit() {
    let mut federation = Federation::start();
    federation.node("all", &data("breast_cancer.csv"));
    let one = |text: String| {
        let text = text.edit("rounds = 2", "rounds = 1");
        text.edit("min_nodes = 2", "min_nodes = 1")
    };
    let experiment = federation.experiment(one);
    let result = federation.run(&experiment).ok().result();
    let local = |args: &[&str]| {
        let command = fedwasm(&["--json", "local", "--target", "benign", "--seed", "42", "--plan"]);
        let command = command.arg(plan()).arg("--data").arg(data("breast_cancer.csv"));
        args.iter().fold(command, |command, arg| command.arg(arg)).ok().result()
    };
    // No epoch at all: the initial parameters.
    let none = std::fs::read_to_string(&experiment).unwrap().edit("epochs = 1", "epochs = 0");
    let (none_file, out) =
        (federation.dir.path().join("none.toml"), federation.dir.path().join("i"));
    std::fs::write(&none_file, none).unwrap();
    local(&["--args", none_file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let params = out.join("params.mpk");
    let with_params =
        local(&["--args", experiment.to_str().unwrap(), "--params", params.to_str().unwrap()]);
    assert_eq!(result["params_sha256"], with_params["params_sha256"]);
    assert_eq!(result["metrics"], with_params["metrics"]);
    let drawn = local(&["--args", experiment.to_str().unwrap()]);
    assert_eq!(result["params_sha256"], drawn["params_sha256"]);
}

/// Blobs in the repository.
fn n_blobs(federation: &Federation) -> usize {
    let is_blob = |path: &std::path::Path| path.parent().unwrap().ends_with("sha256");
    let mut dirs = vec![federation.dir.path().join("network")];
    let mut n = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => n += usize::from(is_blob(&path)),
            }
        }
    }
    n
}

/// Hostile plans at a node, within limits that the experiment lowers: nothing
/// is stored but what the researcher stored, the reason that leaves the node is
/// a kind and no word of the plan, and the same node runs a good plan next.
#[test]
fn hostile_plans_leave_nothing_at_a_node_and_it_goes_on() {
    let mut federation = Federation::start();
    federation.node("n", &part(federation.dir.path(), 0, 4));
    let experiment = |plan: &std::path::Path| {
        federation.experiment(|text| {
            let text = text.edit("min_nodes = 2", "min_nodes = 1");
            let text = text.edit("n_classes = 2", "").edit("{ lr = 0.1 }", "{}");
            let text = text.edit("rounds = 2", "rounds = 1");
            let plan = format!("{:?}", plan.display().to_string());
            let own = format!("{:?}", crate::support::plan().display().to_string());
            text.edit(&own, &plan) + "[limits]\ntime_ms_max = 1000\nhost_calls_max = 10000\n"
        })
    };
    let run = |name: &str| {
        let guests = crate::support::root().join("tests/guests/hostile");
        let read = |name: &str| std::fs::read_to_string(guests.join(name)).unwrap();
        let guest = match name {
            "good" => "(data $nothing \"\")".to_owned(),
            name => read(&format!("{name}.wat")),
        };
        let path = federation.dir.path().join(format!("{name}.wasm"));
        let bytes = crate::hostile::component(&read("skeleton.wat"), &guest);
        std::fs::write(&path, bytes).unwrap();
        let before = n_blobs(&federation);
        let ended = federation.run(&experiment(&path)).run();
        (ended, n_blobs(&federation) - before)
    };
    // The plan; parameters are so small that they ride in messages.
    let (good, stored) = run("good");
    assert_eq!((good.code, stored), (0, 1), "{}", good.stderr);
    let mut n_plans = 0;
    for (name, kind) in [
        ("loop-in-train", "exceeded its deadline"),
        ("log-flood", "exceeded a limit"),
        ("nan-parameters", "left the range of finite numbers"),
        ("wrong-rows", "gave bad output"),
        ("report-unannounced-name", "gave bad output"),
        ("trap-after-half-the-writes", "panicked"),
        ("recursion", "exhausted its stack"),
        ("error-escape-codes", "gave up"),
    ] {
        let (ended, stored) = run(name);
        assert_eq!(ended.code, 4, "{name}: {}", ended.stderr);
        let said = format!("{kind}; the node's log says more");
        assert!(ended.stderr.contains(&said), "{name}: {}", ended.stderr);
        // The plan.
        assert_eq!(stored, 1, "{name}");
        n_plans += 1;
        let (good, stored) = run("good");
        assert_eq!((good.code, stored), (0, 0), "after {name}: {}", good.stderr);
    }
    assert_eq!(n_plans, 8);
}

#[test]
fn a_strict_experiment_gives_the_same_bytes() {
    let mut federation = Federation::start();
    federation.node("n", &part(federation.dir.path(), 0, 4));
    let run = |head: &str| {
        let experiment = federation
            .experiment(|text| head.to_owned() + &text.edit("min_nodes = 2", "min_nodes = 1"));
        federation.run(&experiment).ok().result()["params_sha256"].clone()
    };
    assert_eq!(run(""), run("strict = true\n"));
}

#[test]
fn equal_experiments_give_equal_bytes() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    let experiment = federation.experiment(|text| text);
    let first = federation.run(&experiment).ok().result();
    let second = federation.run(&experiment).ok().result();
    assert_eq!(first["params_sha256"], second["params_sha256"]);
    assert_eq!(first["nodes"], json!(["n0", "n1"]));
    // The node keeps what the parameters need to be used.
    let scales = std::fs::read_dir(federation.dir.path().join("n0/experiments")).unwrap();
    assert!(scales.map(Result::unwrap).all(|dir| dir.path().join("preprocessing.json").exists()));
}

#[test]
fn node_with_other_columns_is_refused_by_name_before_training() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 3);
        federation.node(&format!("n{n}"), &file);
    }
    let text = std::fs::read_to_string(part(federation.dir.path(), 2, 3)).unwrap();
    let other = federation.dir.path().join("other.csv");
    std::fs::write(&other, text.edit("mean_texture", "texture")).unwrap();
    federation.node("odd", &other);
    let ended = federation.run(&federation.experiment(|text| text)).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "n1"]));
    let events = ended.events();
    assert_eq!(events[0]["event"], "dropped");
    assert_eq!(events[0]["node"], "odd");
    let reason = events[0]["reason"].as_str().unwrap();
    assert_eq!(reason, "dataset d has the column `texture`, but others have `mean_texture`");
}

/// Long enough to be interrupted.
fn long(text: String) -> String {
    text.edit("epochs = 1", "num_updates = 60000")
}

#[test]
fn killed_node_ends_the_wait_at_once_and_the_run_goes_on() {
    let mut federation = Federation::start();
    for n in 0..3 {
        let file = part(federation.dir.path(), n, 3);
        federation.node(&format!("n{n}"), &file);
    }
    let running = federation.run(&federation.experiment(long)).start();
    running.wait_for(|event| event["event"] == "progress" && event["node"] == "n1");
    federation.nodes[1].signal("KILL");
    let dropped = running.wait_for(event("dropped"));
    assert_eq!(dropped["node"], "n1");
    // The will ended the wait, not the deadline.
    assert!(dropped["reason"].as_str().unwrap().contains("last will"), "{dropped}");
    let (code, events) = running.end();
    assert_eq!(code, 0);
    let result = events.last().unwrap();
    assert_eq!(result["nodes"], json!(["n0", "n2"]));
    assert_eq!(result["rounds"], 2);
}

#[test]
fn stopped_node_costs_one_deadline_once() {
    let mut federation = Federation::start();
    for n in 0..3 {
        let file = part(federation.dir.path(), n, 3);
        federation.node(&format!("n{n}"), &file);
    }
    let experiment = federation.experiment(|text| {
        let text = text.edit("epochs = 1", "num_updates = 2000");
        text.edit("rounds = 2", "rounds = 3").edit("deadline_s = 120", "deadline_s = 8")
    });
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "progress" && event["node"] == "n1");
    federation.nodes[1].signal("STOP");
    let dropped = running.wait_for(event("dropped"));
    assert!(dropped["reason"].as_str().unwrap().contains("deadline"), "{dropped}");
    let (code, events) = running.end();
    federation.nodes[1].signal("CONT");
    assert_eq!(code, 0);
    // Only the first round waited for it; the others did not ask it.
    let rounds: Vec<&Value> = events.iter().filter(|event| event["event"] == "round").collect();
    assert_eq!(rounds.len(), 3);
    assert!(rounds[0]["timing"]["wall_ms"].as_f64().unwrap() >= 8_000.0, "{rounds:?}");
    assert!(rounds.iter().all(|round| round["nodes"] == json!(["n0", "n2"])), "{rounds:?}");
    let is_late = |event: &Value| {
        event["event"] == "dropped" && event["reason"].as_str().unwrap().contains("deadline")
    };
    assert!(!events.iter().any(is_late), "{events:?}");
}

/// A repository that flips one byte of what it hands out while it is armed.
struct Tampering {
    blobs: PathBuf,
    armed: AtomicBool,
}

async fn tampered(
    State(state): State<Arc<Tampering>>,
    UrlPath(digest): UrlPath<String>,
) -> Result<Vec<u8>, StatusCode> {
    let bytes = std::fs::read(state.blobs.join(digest));
    let mut bytes = bytes.map_err(|_| StatusCode::NOT_FOUND)?;
    if state.armed.load(Ordering::SeqCst) {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    }
    Ok(bytes)
}

async fn store(
    State(state): State<Arc<Tampering>>,
    UrlPath(digest): UrlPath<String>,
    body: Bytes,
) -> StatusCode {
    std::fs::write(state.blobs.join(digest), body).unwrap();
    StatusCode::CREATED
}

#[test]
fn blob_changed_by_one_byte_is_refused_and_the_node_serves_on() {
    let mut federation = Federation::start();
    let blobs = federation.dir.path().join("network/blobs/sha256");
    let state = Arc::new(Tampering { blobs, armed: AtomicBool::new(true) });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let route = get(tampered).put(store);
    let roster = federation.dir.path().join("network/federation/roster.json");
    let roster = move || async move { std::fs::read(roster).unwrap() };
    let app = Router::new()
        .route("/blobs/sha256/{digest}", route)
        .route("/federation/roster", get(roster))
        .with_state(Arc::clone(&state));
    runtime.spawn(async { axum::serve(listener, app).await });
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node_with_repository(&format!("n{n}"), &file, &url);
    }
    let experiment = federation.experiment(|text| text);
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("its bytes have the digest"), "{}", ended.stderr);
    assert!(ended.stderr.contains("n0, n1: blob"), "{}", ended.stderr);
    state.armed.store(false, Ordering::SeqCst);
    assert_eq!(federation.run(&experiment).ok().result()["nodes"], json!(["n0", "n1"]));
}

#[test]
fn plan_that_fails_everywhere_is_exit_code_4_and_nodes_serve_on() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    let experiment = federation.experiment(|text| {
        let text = text.edit(&plan().display().to_string(), &guest());
        text.edit("n_classes = 2", "deed = \"panic\"")
    });
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(ended.stderr.contains("plan misbehaves 0.1.0"), "{}", ended.stderr);
    // The plan's own words stay at the node.
    assert!(!ended.stderr.contains("rows"), "{}", ended.stderr);
    federation.run(&federation.experiment(|text| text)).ok();
}

fn guest() -> String {
    crate::support::misbehaves().display().to_string()
}

#[test]
fn cells_of_a_dataset_stay_at_the_node() {
    let mut federation = Federation::start();
    let text = std::fs::read_to_string(part(federation.dir.path(), 0, 2)).unwrap();
    let file = federation.dir.path().join("names.csv");
    let (header, rows) = text.split_once('\n').unwrap();
    let (_, rest) = rows.split_once(',').unwrap();
    std::fs::write(&file, format!("{header}\nJane Doe,{rest}")).unwrap();
    federation.node("n0", &file);
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("dataset d cannot be read"), "{}", ended.stderr);
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!all.contains("Jane") && !all.contains("names.csv"), "{all}");
}

#[test]
fn node_is_served_once() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    let second = fedwasm(&["node", "start"]).arg(federation.dir.path().join("n0")).run();
    assert_eq!(second.code, 2, "{}", second.stderr);
    assert!(second.stderr.contains("already running"), "{}", second.stderr);
    federation.run(&federation.experiment(|text| text)).ok();
}

#[test]
fn results_directory_is_checked_before_the_work() {
    let federation = Federation::start();
    let file = federation.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let experiment = federation.experiment(|text| text);
    let ended = fedwasm(&["experiment", "run"]).arg(&experiment).arg("--out").arg(&file).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("results cannot be written"), "{}", ended.stderr);
}
