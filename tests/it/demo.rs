//! `demo`.

use std::path::Path;

use crate::support::{event, fedwasm, wait_until};

#[test]
fn demo_trains_compares_and_leaves_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let ended = fedwasm(&["--json", "demo", "--dir"]).arg(dir.path()).ok();
    let result = ended.result();
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() >= 0.95, "{result}");
    assert_eq!(result["rounds"], 10);
    assert_eq!(result["nodes"], serde_json::json!(["site-1", "site-2", "site-3"]));
    let rows: Vec<_> =
        result["table"].as_array().unwrap().iter().map(|row| &row["model"]).collect();
    assert_eq!(rows, ["site-1 alone", "site-2 alone", "site-3 alone", "federation", "pooled"]);
    let rounds = ended.events().into_iter().filter(event("round")).count();
    assert_eq!(rounds, 10);
    for file in ["params.mpk", "params.safetensors", "history.json", "curve.svg"] {
        assert!(dir.path().join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let history = std::fs::read(dir.path().join("history.json")).unwrap();
    let history: serde_json::Value = serde_json::from_slice(&history).unwrap();
    for key in ["wall_ms", "send_ms", "train_ms", "upload_ms", "download_ms", "aggregate_ms"] {
        assert!(history["rounds"][1]["timing"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert_no_process_of(dir.path());
}

#[test]
fn processes_end_with_the_demo_however_it_ends() {
    for signal in ["INT", "TERM", "KILL"] {
        let dir = tempfile::tempdir().unwrap();
        let demo =
            fedwasm(&["--json", "demo", "--rounds", "1000", "--dir"]).arg(dir.path()).start();
        demo.wait_for(event("round"));
        demo.signal(signal);
        let (code, _) = demo.end();
        assert_ne!(code, 0, "{signal}");
        assert_no_process_of(dir.path());
    }
}

/// Waits until no process names `dir` on its command line.
fn assert_no_process_of(dir: &Path) {
    let named = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = processes.filter_map(|process| {
            let line = std::fs::read(process.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines.filter(|line| line.contains(&*dir.to_string_lossy())).collect::<Vec<_>>()
    };
    wait_until("the end of all processes", || named().is_empty());
}
