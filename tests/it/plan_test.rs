//! `plan test`: a good plan passes, each mistake fails its check.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Ended, data, fedwasm, guest, plan};

fn mistaken() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| guest("mistaken"))
}

/// Tries the guest with a mistake, and returns how it ended and the names of what failed.
fn tried(mistake: &str) -> (Ended, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    std::fs::write(&args, format!("[model]\nmistake = \"{mistake}\"\n")).unwrap();
    let command = fedwasm(&["--json", "plan", "test"]).arg(mistaken());
    let ended = command.arg("--args").arg(&args).run();
    let events = ended.events();
    let failed = events.iter().filter(|event| event["outcome"] == "failed");
    let names = failed.map(|event| event["name"].as_str().unwrap().to_owned()).collect();
    (ended, names)
}

#[test]
fn the_shipped_plan_passes_on_drawn_rows_and_on_real_ones() {
    for (file, target) in [("", ""), ("digits.csv", "digit"), ("breast_cancer.csv", "benign")] {
        let mut command = fedwasm(&["--json", "plan", "test"]).arg(plan());
        if !file.is_empty() {
            command = command.arg("--data").arg(data(file)).args(&["--target", target]);
        }
        let result = command.ok().result();
        assert_eq!(result["failed"], 0, "{file}: {result}");
        assert!(result["passed"].as_u64().unwrap() >= 15, "{file}: {result}");
    }
}

#[test]
fn each_mistake_fails_its_check_and_no_other() {
    const GRADIENT: &str = "the gradient is that of the loss";
    let (ended, failed) = tried("none");
    assert_eq!((ended.code, failed.len()), (0, 0), "{ended:?}");
    for (mistake, check) in [
        ("gradient", GRADIENT),
        ("sign", GRADIENT),
        ("batch", "predictions of a row do not depend on its batch"),
        ("one-row", "training takes a batch of one row"),
    ] {
        let (ended, failed) = tried(mistake);
        assert_eq!(ended.code, 4, "{mistake}: {ended:?}");
        let expected: &[&str] = match mistake {
            // A last batch of one row is one, too.
            "one-row" => &[check, "training takes a short last batch"],
            _ => &[check],
        };
        assert_eq!(failed, expected, "{mistake}");
        assert_eq!(ended.result()["event"], "error");
    }
    let (_, failed) = tried("frozen");
    assert!(failed.contains(&"training changes every trainable parameter".into()), "{failed:?}");
    assert!(failed.contains(&GRADIENT.into()), "{failed:?}");
    let (ended, failed) = tried("metric");
    assert!(failed.contains(&"validation counts its rows and gives the same twice".into()));
    assert!(ended.stdout.contains("the metric `loss` is reported anyway"), "{}", ended.stdout);
    let (ended, failed) = tried("not-finite");
    let first = "training gives finite parameters and counts its rows";
    assert_eq!(failed.first().map(String::as_str), Some(first), "{ended:?}");
}

#[test]
fn failures_say_what_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    std::fs::write(&args, "[model]\nmistake = \"one-row\"\n").unwrap();
    let command = fedwasm(&["plan", "test"]).arg(mistaken());
    let text = command.arg("--args").arg(&args).run().stdout;
    assert!(text.contains("check training takes a batch of one row ... FAILED"), "{text}");
    assert!(text.contains("the variance of one row"), "{text}");
    assert!(text.contains("result: FAILED. 14 passed; 2 failed; 0 not applicable"), "{text}");
}

#[test]
fn golden_metrics_are_written_compared_and_missed() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    std::fs::copy(plan(), file("plan.wasm")).unwrap();
    std::fs::copy(data("breast_cancer.csv"), file("data.csv")).unwrap();
    let run =
        |args: &[&str]| fedwasm(&["--json", "plan", "test"]).arg(file("plan.wasm")).args(args);
    // Without a file there is nothing to compare with, and nothing to write.
    assert!(!run(&[]).ok().stdout.contains("golden"));
    let ended = run(&["--bless"]).run();
    assert!(ended.code == 2 && ended.stderr.contains("--data and --target"), "{}", ended.stderr);
    let rows = file("data.csv");
    run(&["--bless", "--target", "benign", "--data"]).arg(&rows).ok();
    let text = std::fs::read_to_string(file("plan.golden.toml")).unwrap();
    assert!(text.contains("data = \"data.csv\"") && text.contains("accuracy = 0.9"), "{text}");
    let passed = |ended: &Ended| {
        let events = ended.events();
        let golden = |event: &&Value| event["name"].as_str().is_some_and(|n| n.contains("golden"));
        events.iter().find(golden).unwrap()["outcome"] == "passed"
    };
    assert!(passed(&run(&[]).ok()));
    std::fs::write(file("plan.golden.toml"), text.replace("accuracy = 0.9", "accuracy = 0.8"))
        .unwrap();
    let ended = run(&[]).run();
    assert!(ended.code == 4 && !passed(&ended), "{}", ended.stdout);
    assert!(ended.stdout.contains("accuracy is 0.9"), "{}", ended.stdout);
    std::fs::write(file("plan.golden.toml"), text + "[more]\n").unwrap();
    let ended = run(&[]).run();
    assert!(ended.code == 2 && ended.stderr.contains("unknown field"), "{}", ended.stderr);
}

/// Whatever a plan does, the suite ends, and says which check it was.
#[test]
fn plans_that_misbehave_fail_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    for (deed, said) in [
        ("none", "training left `linear.weight`, `linear.bias` as it was"),
        ("loop", "exceeded its deadline"),
        ("hoard", "ran out of memory"),
        ("recurse", "exhausted its stack"),
        ("panic", "panicked at misbehaves/src/lib.rs:"),
        ("divide", "attempt to divide by zero"),
        ("infinite", "`linear.weight` is not finite"),
        ("narrow", "predictions"),
    ] {
        let limits = "[limits]\nmemory_bytes_max = 33554432\ntime_ms_max = 300\n";
        std::fs::write(&args, format!("[model]\ndeed = \"{deed}\"\n{limits}")).unwrap();
        let command = fedwasm(&["plan", "test"]).arg(crate::support::misbehaves());
        let ended = command.arg("--args").arg(&args).run();
        assert_eq!(ended.code, 4, "{deed}: {ended:?}");
        assert!(ended.stdout.contains(said), "{deed}: {}", ended.stdout);
    }
}
