//! Experiments that are killed and go on: the same bytes as without.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Edit, Federation, Running, event, fedwasm, part};

fn federation() -> Federation {
    let mut federation = Federation::start();
    for n in 0..3 {
        let file = part(federation.dir.path(), n, 3);
        federation.node(&format!("n{n}"), &file);
    }
    federation
}

/// Four rounds of all three nodes, with breakpoints.
fn experiment(federation: &Federation, aggregator: &str) -> std::path::PathBuf {
    federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 4\nsave_breakpoints = true");
        let text = text.edit("min_nodes = 2", "min_nodes = 3\nretries = 50\nretry_pause_s = 1");
        let momentum = "lr = 0.05, momentum = 0.9, keep_state = true";
        text.edit("lr = 0.1", momentum) + &format!("[aggregator]\n{aggregator}\n")
    })
}

fn start(experiment: &Path, out: &Path, flags: &[&str]) -> Running {
    let command = fedwasm(&["--json", "experiment", "run"]).arg(experiment).arg("--out").arg(out);
    let command = command.env("FEDWASM_LOG", "debug");
    flags.iter().fold(command, |command, flag| command.arg(flag)).start()
}

fn end(running: Running) -> Value {
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    events.last().cloned().unwrap()
}

/// The files of a directory that do not belong there.
fn litter(out: &Path) -> Vec<String> {
    let known = [
        "breakpoints",
        "curve.svg",
        "history.json",
        "model",
        "params.mpk",
        "params.safetensors",
        "receipts",
        "rounds.jsonl",
    ];
    let names = std::fs::read_dir(out).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut litter: Vec<String> =
        names.filter(|name| !known.contains(&name.as_str()) && name != "report.html").collect();
    let breakpoints = std::fs::read_dir(out.join("breakpoints")).unwrap();
    let breakpoints = breakpoints.map(|e| e.unwrap().file_name().into_string().unwrap());
    litter.extend(breakpoints.filter(|name| name != "round-0003" && name != "round-0004"));
    litter
}

/// Kills a researcher after a step. A kill that came too late tests another
/// step: then it is done again.
fn kill_after(experiment: &Path, out: &Path, step: &str, newest: u32) {
    for _ in 0..20 {
        let running = start(experiment, out, &[]);
        match step {
            "started" => drop(running.wait_for(event("started"))),
            line => running.wait_for_log(line),
        }
        // Dropped, it is killed with SIGKILL.
        drop(running);
        let landed = fedwasm_researcher::Breakpoint::newest(out, |_| {}).unwrap();
        if landed.is_some_and(|breakpoint| breakpoint.round == newest) {
            return;
        }
        std::fs::remove_dir_all(out).unwrap();
    }
    panic!("no kill lands after `{step}`");
}

#[test]
fn killed_researcher_resumes_to_the_same_bytes() {
    let federation = federation();
    for aggregator in ["name = \"fedavg\"", "name = \"fedadam\"", "name = \"scaffold\""] {
        let experiment = experiment(&federation, aggregator);
        let dir = federation.dir.path();
        let whole = end(start(&experiment, &dir.join("whole"), &[]));
        // The lines of the log that mark the steps of a round, and the newest
        // breakpoint that is whole then.
        for (n, (step, newest)) in [
            ("started", 0),
            ("round 0: breakpoint written", 0),
            ("round 1: 3 nodes trained", 0),
            ("round 2: aggregated", 1),
            ("round 2: parameters stored", 1),
            ("round 3: validated", 2),
            ("round 3: breakpoint written", 3),
        ]
        .into_iter()
        .enumerate()
        {
            let out = dir.join(format!("{}-{n}", &aggregator[8..aggregator.len() - 1]));
            kill_after(&experiment, &out, step, newest);
            let resumed = end(start(&experiment, &out, &["--resume"]));
            assert_eq!(resumed["params_sha256"], whole["params_sha256"], "{aggregator}: {step}");
            assert_eq!(resumed["metrics"], whole["metrics"]);
            assert_eq!((&resumed["rounds"], &resumed["nodes"]), (&json!(4), &whole["nodes"]));
            assert_eq!(litter(&out), [""; 0]);
        }
        std::fs::remove_dir_all(dir.join("whole")).unwrap();
    }
}

/// An experiment that gave up is pruned by itself; one that was killed is named by hand.
/// Both go on all the same.
#[test]
fn abandoned_experiments_are_pruned_and_resume_to_the_same_bytes() {
    let federation = federation();
    let experiment = experiment(&federation, "name = \"scaffold\"");
    let dir = federation.dir.path();
    let prune = |flags: &[&str]| {
        let prune = fedwasm(&["--json", "network", "prune", "--dir"]).arg(dir.join("network"));
        prune.args(flags).ok().result()
    };
    let whole = end(start(&experiment, &dir.join("whole"), &[]));
    assert_eq!(prune(&[])["experiments"], 1);
    let cancelled = dir.join("cancelled");
    let landed = (0..20).any(|_| {
        let _ = std::fs::remove_dir_all(&cancelled);
        let running = start(&experiment, &cancelled, &[]);
        running.wait_for_log("round 2: aggregated");
        running.signal("INT");
        let is_cancelled = running.end().0 == 1;
        let pruned = prune(&[]);
        assert_eq!(pruned["experiments"], 1);
        assert!(pruned["blobs"].as_u64().unwrap() > 0);
        is_cancelled
    });
    assert!(landed, "no Ctrl-C lands after round 2");
    let resumed = end(start(&experiment, &cancelled, &["--resume"]));
    assert_eq!(resumed["params_sha256"], whole["params_sha256"]);
    assert_eq!(prune(&[])["experiments"], 1);
    let killed = dir.join("killed");
    kill_after(&experiment, &killed, "round 2: parameters stored", 1);
    assert_eq!(prune(&["--idle-days", "1"])["blobs"], 0);
    let newest = fedwasm_researcher::Breakpoint::newest(&killed, |_| {}).unwrap().unwrap();
    let pruned = prune(&["--experiment", newest.job.experiment_id.as_str()]);
    assert_eq!(pruned["experiments"], 1);
    assert!(pruned["blobs"].as_u64().unwrap() > 0);
    let resumed = end(start(&experiment, &killed, &["--resume"]));
    assert_eq!(resumed["params_sha256"], whole["params_sha256"]);
}

#[test]
fn node_killed_between_rounds_resumes_from_its_state() {
    let mut federation = federation();
    let experiment = experiment(&federation, "name = \"scaffold\"");
    let dir = federation.dir.path().to_owned();
    let whole = end(start(&experiment, &dir.join("whole"), &[]));
    let running = start(&experiment, &dir.join("broken"), &[]);
    running.wait_for(|event| event["event"] == "round" && event["round"] == 2);
    drop(federation.nodes.remove(1));
    running.wait_for(event("retry"));
    let node = fedwasm(&["node", "start"]).arg(dir.join("n1")).start();
    node.wait_for(event("ready"));
    federation.nodes.push(node);
    let broken = end(running);
    assert_eq!(broken["params_sha256"], whole["params_sha256"]);
    assert_eq!(broken["nodes"], json!(["n0", "n1", "n2"]));
    // Of each experiment the node keeps three states: the last start and end,
    // and what the breakpoint before names.
    let experiments = std::fs::read_dir(dir.join("n1/experiments")).unwrap();
    for experiment in experiments {
        let states = std::fs::read_dir(experiment.unwrap().path().join("state")).unwrap();
        assert_eq!(states.count(), 3);
    }
}

#[test]
fn node_that_lost_its_state_is_refused_by_name() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 3);
    federation.node("n0", &file);
    let experiment = federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 3\nsave_breakpoints = true");
        let text = text.edit("min_nodes = 2", "min_nodes = 1");
        text.edit("lr = 0.1", "lr = 0.1, momentum = 0.9, keep_state = true")
    });
    let dir = federation.dir.path();
    end(start(&experiment, &dir.join("out"), &[]));
    for experiment in std::fs::read_dir(dir.join("n0/experiments")).unwrap() {
        std::fs::remove_dir_all(experiment.unwrap().path().join("state")).unwrap();
    }
    let more = std::fs::read_to_string(&experiment).unwrap().edit("rounds = 3", "rounds = 4");
    std::fs::write(&experiment, more).unwrap();
    let (code, events) = start(&experiment, &dir.join("out"), &["--resume"]).end();
    assert_eq!(code, 5);
    let dropped = events.iter().find(|event| event["event"] == "dropped").unwrap();
    assert!(
        dropped["reason"].as_str().unwrap().contains("does not have the node state"),
        "{dropped}"
    );
}

#[test]
fn finished_experiment_resumes_for_more_rounds() {
    let federation = federation();
    let experiment = experiment(&federation, "name = \"fedadam\"");
    let dir = federation.dir.path();
    let whole = end(start(&experiment, &dir.join("whole"), &[]));
    let text = std::fs::read_to_string(&experiment).unwrap();
    std::fs::write(&experiment, text.edit("rounds = 4", "rounds = 2")).unwrap();
    end(start(&experiment, &dir.join("parts"), &[]));
    std::fs::write(&experiment, &text).unwrap();
    // Moved, it is still the same experiment.
    std::fs::rename(dir.join("parts"), dir.join("moved")).unwrap();
    let parts = end(start(&experiment, &dir.join("moved"), &["--resume"]));
    assert_eq!(parts["params_sha256"], whole["params_sha256"]);
    // There is nothing left to do, and nothing is done.
    let again = end(start(&experiment, &dir.join("moved"), &["--resume"]));
    assert_eq!(again["params_sha256"], whole["params_sha256"]);
}

#[test]
fn damaged_breakpoint_is_named_and_the_previous_one_is_used() {
    let federation = federation();
    let experiment = experiment(&federation, "name = \"fedadam\"");
    let out = federation.dir.path().join("out");
    let whole = end(start(&experiment, &out, &[]));
    let newest = out.join("breakpoints/round-0004/params.safetensors");
    std::fs::write(&newest, b"no").unwrap();
    let (code, events) = start(&experiment, &out, &["--resume"]).end();
    assert_eq!(code, 0, "{events:?}");
    let warning = events.iter().find(|event| event["event"] == "warning").unwrap();
    assert!(warning["message"].as_str().unwrap().contains("round-0004"), "{warning}");
    assert_eq!(events.last().unwrap()["params_sha256"], whole["params_sha256"]);
}

#[test]
fn early_stopped_experiment_stays_stopped_when_resumed() {
    let federation = federation();
    let experiment = federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 9\nsave_breakpoints = true");
        let stopping = "early_stopping = { metric = \"accuracy\", min_delta = 0.5 }";
        text.edit("min_nodes = 2", stopping)
    });
    let out = federation.dir.path().join("out");
    let first = end(start(&experiment, &out, &[]));
    assert_eq!(first["rounds"], 2);
    let again = end(start(&experiment, &out, &["--resume"]));
    assert_eq!((&again["rounds"], &again["params_sha256"]), (&json!(2), &first["params_sha256"]));
}

#[test]
fn breakpoint_of_another_experiment_is_refused_by_the_section_that_differs() {
    let federation = federation();
    let experiment = experiment(&federation, "name = \"fedavg\"");
    let out = federation.dir.path().join("out");
    end(start(&experiment, &out, &[]));
    let text = std::fs::read_to_string(&experiment).unwrap();
    for (from, to, expected) in [
        ("lr = 0.05", "lr = 0.06", "`training.optimizer_args.lr` was 0.05, now it is 0.06"),
        ("\"fedavg\"", "\"median\"", "`aggregator` was \"fedavg\", now it is \"median\""),
        ("random_seed = 42", "random_seed = 43", "`training.random_seed` was 42, now it is 43"),
    ] {
        std::fs::write(&experiment, text.edit(from, to)).unwrap();
        let ended = fedwasm(&["experiment", "run", "--resume"]).arg(&experiment).arg("--out");
        let ended = ended.arg(&out).run();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
    std::fs::write(&experiment, &text).unwrap();
    let ended = fedwasm(&["experiment", "run"]).arg(&experiment).arg("--out").arg(&out).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("continue with --resume"), "{}", ended.stderr);
    let ended = fedwasm(&["experiment", "run", "--resume"]).arg(&experiment).arg("--out");
    let ended = ended.arg(federation.dir.path().join("absent")).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("is not a directory"), "{}", ended.stderr);
}

#[test]
fn results_are_not_overwritten_by_accident() {
    let federation = federation();
    let out = federation.dir.path().join("out");
    // Rounds without a breakpoint cannot be resumed.
    let plain = federation.experiment(|text| text);
    end(start(&plain, &out, &[]));
    let ended =
        fedwasm(&["experiment", "run", "--resume"]).arg(&plain).arg("--out").arg(&out).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("2 rounds but no breakpoint"), "{}", ended.stderr);
    let ended = fedwasm(&["experiment", "run"]).arg(&plain).arg("--out").arg(&out).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("it holds an earlier run of 2 rounds"), "{}", ended.stderr);
    end(start(&plain, &out, &["--force"]));
    // Two programs in one directory would mix their files.
    let long = federation.experiment(|text| text.edit("epochs = 1", "num_updates = 100000000"));
    let running = start(&long, &out, &["--force"]);
    running.wait_for(event("progress"));
    let ended = fedwasm(&["experiment", "run"]).arg(&plain).arg("--out").arg(&out).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("another program is writing into"), "{}", ended.stderr);
    drop(running);
    // Files that are to be written need a place.
    let saves =
        federation.experiment(|text| text.edit("rounds = 2", "rounds = 2\ntensorboard = true"));
    let ended = fedwasm(&["experiment", "run"]).arg(&saves).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("`tensorboard` is set"), "{}", ended.stderr);
}

/// The status names no file that could not be written, and does not call a dead run running.
#[test]
fn the_status_of_an_interrupted_run_is_accurate() {
    let federation = federation();
    let experiment = experiment(&federation, "name = \"fedavg\"");
    let long = std::fs::read_to_string(&experiment).unwrap().edit("rounds = 4", "rounds = 400");
    std::fs::write(&experiment, long).unwrap();
    let show = |out: &Path| {
        let shown = fedwasm(&["--json", "experiment", "show"]).arg(out).ok();
        let result = shown.result();
        (result["status"].clone(), result["rounds"].as_u64().unwrap())
    };
    let out = federation.dir.path().join("killed");
    let running = start(&experiment, &out, &[]);
    let at = |round| move |event: &Value| event["event"] == "round" && event["round"] == round;
    running.wait_for(at(3));
    let (status, rounds) = show(&out);
    assert!(status == "running" && rounds >= 3, "{status} {rounds}");
    drop(running);
    let (status, rounds) = show(&out);
    assert!(status == "interrupted" && rounds >= 3, "{status} {rounds}");
    // The rounds are in a file that only grows.
    let history = std::fs::read(out.join("history.json")).unwrap();
    let history: Value = serde_json::from_slice(&history).unwrap();
    assert_eq!(history["rounds"], json!([]));
    // As on a disk without room: nothing can be written any more.
    let out = federation.dir.path().join("full");
    let run = fedwasm(&["experiment", "run"]).arg(&experiment).arg("--out").arg(&out);
    let ended = std::thread::spawn(move || run.run());
    while !out.join("breakpoints/round-0002").exists() {
        assert!(!ended.is_finished());
        std::thread::yield_now();
    }
    let _ = std::fs::remove_file(out.join("history.json"));
    std::fs::create_dir_all(out.join("history.json/full")).unwrap();
    let ended = ended.join().unwrap();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("the results so far cannot be written"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("the parameters after round"), "{}", ended.stderr);
}

/// Resident memory of a process in KiB.
fn resident_kib(running: &Running) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn fifty_rounds_leave_no_litter_and_do_not_grow() {
    let federation = federation();
    let experiment = federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 50\nsave_breakpoints = true");
        text + "[aggregator]\nname = \"scaffold\"\n"
    });
    let out = federation.dir.path().join("out");
    let temporary = tempfile::tempdir().unwrap();
    let running = fedwasm(&["--json", "experiment", "run"]).arg(&experiment).arg("--out").arg(&out);
    let running = running.env("TMPDIR", temporary.path().to_str().unwrap()).start();
    let at = |round| move |event: &Value| event["event"] == "round" && event["round"] == round;
    let memory = || {
        let nodes = federation.nodes.iter().map(resident_kib).sum::<u64>();
        (resident_kib(&running), nodes)
    };
    running.wait_for(at(5));
    let (researcher_5, nodes_5) = memory();
    running.wait_for(at(49));
    let (researcher_50, nodes_50) = memory();
    println!("KiB: researcher {researcher_5} -> {researcher_50}, nodes {nodes_5} -> {nodes_50}");
    // A model of 62 numbers, and a history whose rounds are in a file.
    assert!(researcher_50 < researcher_5 + 2_048, "{researcher_5} {researcher_50}");
    assert!(nodes_50 < nodes_5 + 3 * 4_096, "{nodes_5} {nodes_50}");
    let (code, _) = running.end();
    assert_eq!(code, 0);
    let names = |dir: &Path| {
        let names = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&out),
        [
            "breakpoints",
            "curve.svg",
            "history.json",
            "model",
            "params.mpk",
            "params.safetensors",
            "receipts",
            "report.html",
            "rounds.jsonl"
        ]
    );
    assert_eq!(names(&out.join("breakpoints")), ["round-0049", "round-0050"]);
    assert_eq!(names(temporary.path()), [""; 0]);
    for entry in std::fs::read_dir(federation.dir.path().join("n0/experiments")).unwrap() {
        // SCAFFOLD keeps nothing at a node.
        assert_eq!(names(&entry.unwrap().path()), ["data", "owner", "preprocessing.json"]);
    }
    // Pruning takes the blobs of the finished experiment and nothing else.
    let network = federation.dir.path().join("network");
    // An empty directory goes with its last blob.
    let blobs = || std::fs::read_dir(network.join("blobs/sha256")).map_or(0, Iterator::count);
    // The plan: parameters ride in messages.
    assert_eq!(blobs(), 1);
    let pruned = fedwasm(&["--json", "network", "prune", "--dir"]).arg(&network).ok().result();
    assert_eq!(pruned["experiments"], 1);
    assert_eq!(blobs(), 0);
}
