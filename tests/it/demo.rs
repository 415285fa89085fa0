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

/// Under masks no number of a site is a value of it; their sum gives the model of the run in the clear.
#[test]
fn private_demo_shows_masked_numbers_whose_sum_gives_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let demo = ["--json", "demo", "--private", "--rounds", "4", "--dir"];
    let ended = fedwasm(&demo).arg(dir.path()).ok();
    let result = ended.result();
    let table = result["table"].as_array().unwrap();
    let labels: Vec<_> = table.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(labels[3..], ["federation", "under masks", "pooled"]);
    let (seen, price) = (&result["private"]["seen"], &result["private"]["price"]);
    assert_eq!((&result["private"]["scheme"], &seen["round"]), (&"masking".into(), &4.into()));

    let lanes = |texts: &serde_json::Value| -> Vec<u64> {
        texts.as_array().unwrap().iter().map(|t| t.as_str().unwrap().parse().unwrap()).collect()
    };
    let sites = seen["masked"].as_object().unwrap();
    let masked: Vec<Vec<u64>> = sites.values().map(lanes).collect();
    assert_eq!((masked.len(), seen["clear"].as_object().unwrap().len()), (3, 3));
    // A value of a site, weighted by its rows, is below 2^33.
    assert!(masked.iter().flatten().all(|lane| *lane >= 1 << 33), "{masked:?}");
    let sum = lanes(&seen["sum"]);
    for (at, sum) in sum.iter().enumerate() {
        let added = masked.iter().fold(0u64, |added, lanes| added.wrapping_add(lanes[at]));
        assert_eq!(added, *sum);
        assert!(*sum < 1 << 33, "{sum}");
    }
    let params = |path: &str| {
        let bytes = std::fs::read(dir.path().join(path)).unwrap();
        let params = fedwasm_params::from_safetensors(&bytes).unwrap();
        params.iter().flat_map(|(_, tensor)| tensor.floats().unwrap()).collect::<Vec<f64>>()
    };
    let (clear, under_masks) = (params("params.safetensors"), params("private/params.safetensors"));
    for (clear, masked) in clear.iter().zip(&under_masks) {
        assert!((clear - masked).abs() < 1e-5, "{clear} {masked}");
    }
    let [clear, masked] = ["clear", "masked"].map(|of| price["accuracy"][of].as_f64().unwrap());
    assert!((clear - masked).abs() <= 0.01, "{price}");
    assert!(price["ratio"].as_f64().unwrap() > 0.0, "{price}");
    assert_no_process_of(dir.path());
}

#[test]
fn private_demo_is_for_three_sites_and_says_what_it_shows() {
    let refused = fedwasm(&["demo", "--private", "--nodes", "2"]).run();
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("3 sites or more"), "{}", refused.stderr);
    let dir = tempfile::tempdir().unwrap();
    let shown = fedwasm(&["demo", "--private", "--rounds", "1", "--dir"]).arg(dir.path()).ok();
    for text in ["under masks", "their sum", "the model", "ms in the clear"] {
        assert!(shown.stdout.contains(text), "{text}: {}", shown.stdout);
    }
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
