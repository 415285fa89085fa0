//! `compare` of any number of runs, folds and seeds.

use std::path::Path;

use serde_json::Value;

use crate::support::{Fedwasm, fedwasm, root};

fn local(dir: &Path, lr: f64, seed: &str, out: &str) -> Fedwasm {
    let args = dir.join("args.toml");
    let text = format!(
        "[data]\ntarget = \"digit\"\n[training]\nepochs = 2\noptimizer_args = {{ lr = {lr} }}"
    );
    std::fs::write(&args, text).unwrap();
    let plan = root().join("plugins/dist/logistic-regression.wasm");
    let command = fedwasm(&["--json", "local", "--seed", seed, "--plan"]).arg(plan);
    let command = command.arg("--data").arg(root().join("examples/data/digits.csv"));
    command.arg("--args").arg(args).arg("--out").arg(dir.join(out))
}

fn compare(dir: &Path, names: &[&str]) -> Fedwasm {
    let command = fedwasm(&["--json", "compare"]);
    names.iter().fold(command, |command, name| command.arg(dir.join(name)))
}

fn metric(test: &Value, key: &str) -> f64 {
    test[key].as_f64().unwrap_or(f64::NAN)
}

#[test]
fn folds_of_several_methods_are_tested_in_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (lr, out) in [(0.1, "a"), (0.001, "b"), (0.05, "c")] {
        local(dir, lr, "7", out).args(&["--folds", "5"]).ok();
    }
    let page = dir.join("page.html");
    let result = compare(dir, &["a", "b", "c"]).arg("--html").arg(&page).ok().result();
    let methods = result["methods"].as_array().unwrap();
    let runs: Vec<&Value> = methods.iter().map(|method| &method["runs"]).collect();
    assert_eq!(runs, [5, 5, 5]);
    assert_eq!(methods[1]["differences"][0]["name"], "training.optimizer_args.lr");
    assert_eq!(methods[1]["differences"].as_array().unwrap().len(), 1, "{methods:?}");
    let tests = result["tests"].as_array().unwrap();
    let of = |b: &str| {
        let is_of = |test: &&Value| {
            test["metric"] == "accuracy" && test["b"].as_str().unwrap().ends_with(b)
        };
        tests.iter().find(is_of).unwrap().clone()
    };
    let accuracy = |run: &str, fold: u32| {
        let history = fedwasm_researcher::load_history(&dir.join(run).join(format!("fold-{fold}")));
        history.unwrap().rounds[0].evaluation.as_ref().unwrap().metrics["accuracy"]
    };
    let differences: Vec<f64> =
        (1..=5).map(|fold| accuracy("b", fold) - accuracy("a", fold)).collect();
    let mean = differences.iter().sum::<f64>() / 5.0;
    let slow = of("b");
    assert!((metric(&slow, "mean") - mean).abs() < 1e-12 && mean < 0.0, "{slow}");
    // All five differences have one sign: the least p that five pairs can have.
    assert!(differences.iter().all(|difference| *difference < 0.0), "{differences:?}");
    assert!((metric(&slow, "wilcoxon_p") - 0.0625).abs() < 1e-12, "{slow}");
    let (p, corrected) = (metric(&slow, "p"), metric(&slow, "p_corrected"));
    assert!(p < corrected && corrected < 0.05, "{slow}");
    assert_eq!((&slow["n"], &slow["over"]), (&5.into(), &"folds".into()));
    let text = std::fs::read_to_string(&page).unwrap();
    for words in ["<h2>Tests of differences</h2>", "fold 5/5", "accuracy by run", "<svg"] {
        assert!(text.contains(words), "{words}");
    }
    let shown = fedwasm(&["compare"]).arg(dir.join("a")).arg(dir.join("b")).ok().stdout;
    assert!(shown.contains("paired over 5 folds") && shown.contains(" ± "), "{shown}");
}

#[test]
fn runs_of_other_rows_are_not_tested() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    local(dir, 0.1, "7", "a").args(&["--folds", "3"]).ok();
    local(dir, 0.1, "8", "b").args(&["--folds", "3"]).ok();
    local(dir, 0.1, "7", "one").ok();
    local(dir, 0.1, "7", "r").args(&["--repeat", "3"]).ok();
    local(dir, 0.2, "7", "s").args(&["--repeat", "3"]).ok();
    let result = compare(dir, &["a", "b", "one"]).ok().result();
    assert_eq!(result["tests"].as_array().unwrap().len(), 0, "{result}");
    let note = result["notes"][0].as_str().unwrap();
    assert!(note.contains("no two of their runs held out the same rows"), "{note}");
    // Seeds pair as folds do.
    let result = compare(dir, &["r", "s"]).ok().result();
    assert_eq!(result["tests"][0]["over"], "seeds", "{result}");
    assert_eq!(result["tests"][0]["n"], 3);
    // Three single runs in one chart.
    let single = ["a/fold-1", "a/fold-2", "one"];
    let svg = dir.join("all.svg");
    let result = compare(dir, &single).arg("--svg").arg(&svg).ok().result();
    assert_eq!(result["methods"][1]["runs"], 1);
    let chart = std::fs::read_to_string(&svg).unwrap();
    assert!(chart.contains("fold-1") && chart.contains("fold-2") && chart.contains("one"));
    for (names, words) in [
        (&["a", "one"][..], "--svg draws the losses of single runs"),
        (&["a", "nowhere"], "nowhere"),
        (&["a"], "2 values"),
    ] {
        let ended = compare(dir, names).arg("--svg").arg(&svg).run();
        assert!(ended.code == 2 && ended.stderr.contains(words), "{}", ended.stderr);
    }
}
