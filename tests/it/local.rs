//! `local` and `evaluate`.

use std::path::Path;

use fedwasm_params::{Params, Tensor, from_safetensors, mpk};
use serde_json::Value;

use crate::experiment::doubled;
use crate::support::{Fedwasm, data, fedwasm, misbehaves, plan, root};

fn local(plan: &Path, file: &Path, target: &str) -> Fedwasm {
    fedwasm(&["--json", "local", "--target", target])
        .arg("--plan")
        .arg(plan)
        .arg("--data")
        .arg(file)
}

fn breast_cancer() -> Fedwasm {
    local(&plan(), &data("breast_cancer.csv"), "benign")
}

/// Writes an arguments file.
fn args(dir: &Path, text: &str) -> std::path::PathBuf {
    let path = dir.join("args.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// A name made from data would carry it out.
#[test]
fn only_announced_metrics_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let guests = root().join("tests/guests/hostile");
    let read = |name: &str| std::fs::read_to_string(guests.join(name)).unwrap();
    let run = |name: &str| {
        let path = dir.path().join(format!("{name}.wasm"));
        let guest = read(&format!("{name}.wat"));
        let bytes = crate::hostile::component(&read("skeleton.wat"), &guest);
        std::fs::write(&path, bytes).unwrap();
        let out = dir.path().join(name);
        let ended = local(&path, &data("breast_cancer.csv"), "benign").arg("--out").arg(&out).run();
        (ended, out)
    };
    let said = "the metric `row 7` is not announced in `describe`";
    let (ended, _) = run("report-unannounced-name");
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    let (ended, out) = run("scalar-unannounced-name");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("left out: {said}")), "{}", ended.stderr);
    let text = |path: std::path::PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    };
    let mut n_files = 0;
    // The plan itself, which the model holds, has the words.
    for entry in walk(&out).into_iter().filter(|path| !path.ends_with("model/plan.wasm")) {
        assert!(!text(entry.clone()).contains("row 7"), "{}", entry.display());
        n_files += 1;
    }
    assert!(n_files > 3, "{n_files}");
}

/// The files below a directory.
fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: std::path::PathBuf| if path.is_dir() { walk(&path) } else { vec![path] };
    entries.flat_map(files).collect()
}

#[test]
fn equal_seeds_give_equal_bytes_and_others_do_not() {
    let digest = |seed: &str| {
        let result = breast_cancer().arg("--seed").arg(seed).ok().result();
        assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.94, "{result}");
        result["params_sha256"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest("42"), digest("42"));
    assert_ne!(digest("42"), digest("43"));
}

#[test]
fn files_are_written_and_evaluate_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let result = breast_cancer().arg("--seed").arg("1").arg("--out").arg(&out).ok().result();
    let bytes = std::fs::read(out.join("params.safetensors")).unwrap();
    let digest = fedwasm_protocol::Digest::of(&bytes).to_string();
    assert_eq!(result["params_sha256"], digest);
    let params = mpk::read_params(&std::fs::read(out.join("params.mpk")).unwrap()).unwrap();
    assert_eq!(fedwasm_params::to_safetensors(&params).unwrap(), bytes);
    let history: Value =
        serde_json::from_slice(&std::fs::read(out.join("history.json")).unwrap()).unwrap();
    assert_eq!(history["random_seed"], 1);
    assert!(history["rounds"][0]["timing"]["wall_ms"].as_f64().unwrap() > 0.0);
    assert!(history["steps"].as_array().unwrap().len() > 100);
    assert!(std::fs::read_to_string(out.join("curve.svg")).unwrap().starts_with("<svg"));

    // The scales beside the parameters are found; without them scores are poor.
    let evaluate = |extra: &Path| {
        let command = fedwasm(&["--json", "evaluate", "--target", "benign", "--plan"]);
        let command = command.arg(plan()).arg("--data").arg(data("breast_cancer.csv"));
        command.arg("--params").arg(extra).ok().result()["metrics"]["accuracy"].as_f64().unwrap()
    };
    let accuracy = evaluate(&out.join("params.mpk"));
    assert!(accuracy > 0.95);
    // Of other programs, in float64.
    doubled(&params, &out.join("doubled.safetensors"));
    assert_eq!(evaluate(&out.join("doubled.safetensors")), accuracy);
    std::fs::rename(out.join("params.safetensors"), dir.path().join("p.safetensors")).unwrap();
    assert!(evaluate(&dir.path().join("p.safetensors")) < 0.95);
}

/// tests/oracles/softmax_numpy.py made the numbers, in float64.
#[test]
fn one_epoch_equals_numpy_within_1e_5() {
    let dir = tempfile::tempdir().unwrap();
    let start = |c: usize, k: usize| ((7 * c + 3 * k) % 11) as f32 / 64.0 - 5.0 / 64.0;
    let weight: Vec<f32> = (0..60).map(|i| start(i / 30, i % 30)).collect();
    let params = Params::new(vec![
        ("linear.weight".into(), Tensor::from_f32(vec![2, 30], &weight).unwrap()),
        ("linear.bias".into(), Tensor::from_f32(vec![2], &[0.25, -0.125]).unwrap()),
    ]);
    let start = dir.path().join("start.mpk");
    std::fs::write(&start, mpk::write_params("r", &params.unwrap()).unwrap()).unwrap();
    let args = args(
        dir.path(),
        "[training]\nepochs = 1\ntest_ratio = 0\nloader_args = { batch_size = 32, shuffle = false }\n\
         optimizer_args = { lr = 0.1, momentum = 0.9 }\nrandom_seed = 1",
    );
    let out = dir.path().join("out");
    breast_cancer().arg("--args").arg(args).arg("--params").arg(start).arg("--out").arg(&out).ok();
    let bytes = std::fs::read(out.join("params.safetensors")).unwrap();
    let trained = from_safetensors(&bytes).unwrap();
    let twin = std::fs::read(root().join("tests/data/softmax_numpy.json")).unwrap();
    let twin: Value = serde_json::from_slice(&twin).unwrap();
    let lines = twin["weight"].as_array().unwrap().iter();
    let weight: Vec<f64> = lines.flat_map(|line| line.as_array().unwrap()).map(number).collect();
    let bias: Vec<f64> = twin["bias"].as_array().unwrap().iter().map(number).collect();
    for (name, expected) in [("linear.weight", weight), ("linear.bias", bias)] {
        let got = trained.tensor(name).unwrap().floats().unwrap();
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-5, "{name}: {got} {expected}");
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn ten_classes_are_learned() {
    let dir = tempfile::tempdir().unwrap();
    let args = args(
        dir.path(),
        "[training]\nepochs = 20\noptimizer_args = { lr = 0.1 }\ntest_ratio = 0.2\nrandom_seed = 3",
    );
    let digits = local(&plan(), &data("digits.csv"), "digit");
    let result = digits.arg("--args").arg(args).ok().result();
    // scikit-learn's logistic regression: 0.969 in 5-fold cross validation.
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.94, "{result}");
}

/// Each deed of the guest ends in a fault of its own, with exit code 4.
#[test]
fn misbehaving_plans_end_in_named_faults() {
    let dir = tempfile::tempdir().unwrap();
    for (deed, expected) in [
        ("hoard", "ran out of memory"),
        ("recurse", "exhausted its stack"),
        ("panic", "panicked: panicked at misbehaves/src/lib.rs:"),
        ("divide", "panicked"),
        ("infinite", "`linear.weight` is not finite"),
        ("narrow", "gave up: the host refused predictions: mismatch"),
    ] {
        let text = format!(
            "[training]\nepochs = 1\ntest_ratio = 0.2\nrandom_seed = 1\n[model]\ndeed = \"{deed}\""
        );
        let guest = local(misbehaves(), &data("breast_cancer.csv"), "benign");
        let ended = guest.arg("--args").arg(args(dir.path(), &text)).run();
        assert_eq!(ended.code, 4, "{deed}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{deed}: {}", ended.stderr);
        assert!(!ended.stderr.contains('\x1b'), "{deed}: {}", ended.stderr);
    }
}

#[test]
fn ctrl_c_ends_a_plan_that_loops() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[training]\nepochs = 1\n[model]\ndeed = \"loop\"";
    let guest = local(misbehaves(), &data("breast_cancer.csv"), "benign");
    let running = guest.arg("--args").arg(args(dir.path(), text)).start();
    running.wait_for(crate::support::event("ready"));
    // The first asks it to stop at the next batch, which never comes; the second gives it up.
    running.signal("INT");
    running.wait_for_log("interrupt again to discard");
    running.signal("INT");
    let (code, events) = running.end();
    assert_eq!(code, 1);
    let last = events.last().unwrap();
    assert!(last["message"].as_str().unwrap().contains("was cancelled"), "{last}");
}

#[test]
fn mistakes_are_named_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let csv = |text: &str| {
        let path = dir.path().join("d.csv");
        std::fs::write(&path, text).unwrap();
        path
    };
    let good = "a,y\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n";
    for (file, arguments, expected) in [
        ("a,b\n1,2\n", "", "there is no column `y`"),
        ("a,y\n1,0\nx,1\n", "", "line 3, column `a`: `x` is not a number"),
        ("a,y\n1,0\n1,0.5\n", "[model]\nn_classes = 2", "line 3, column `y`: 0.5 is not a class"),
        (good, "[model]\nn_classes = \"two\"", "is a text, plan logistic-regression expects"),
        (good, "[model]\nn_clases = 2", "did you mean `model.n_classes`?"),
        (good, "[model]\nn_features = 7", "takes 7 input columns, the dataset gives 1"),
        (good, "[modle]\nx = 1", "`modle` is unknown; did you mean `model`?"),
    ] {
        let file = csv(file);
        let text = format!("[training]\nepochs = 1\ntest_ratio = 0\n{arguments}");
        let ended = local(&plan(), &file, "y").arg("--args").arg(args(dir.path(), &text)).run();
        assert_eq!(ended.code, 2, "{expected}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        assert_eq!(ended.result()["event"], "error", "{}", ended.stdout);
    }
}
