//! `plan test`: a good plan passes, each mistake fails its check.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Edit, Ended, data, fedwasm, guest, plan};

fn mistaken() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| guest("mistaken"))
}

fn features() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| guest("features"))
}

/// Tries the guest with a mistake, and returns how it ended and the names of what failed.
fn tried(mistake: &str) -> (Ended, Vec<String>) {
    tried_with(mistaken(), &format!("[model]\nmistake = \"{mistake}\"\n"))
}

fn tried_with(plan: &Path, args: &str) -> (Ended, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args.toml");
    std::fs::write(&file, args).unwrap();
    let command = fedwasm(&["--json", "plan", "test"]).arg(plan);
    let ended = command.arg("--args").arg(&file).run();
    let events = ended.events();
    let failed = events.iter().filter(|event| event["outcome"] == "failed");
    let names = failed.map(|event| event["name"].as_str().unwrap().to_owned()).collect();
    (ended, names)
}

/// The result of a check.
fn check(ended: &Ended, name: &str) -> (String, String) {
    let events = ended.events();
    let event = events.iter().find(|event| event["name"] == name);
    let event = event.unwrap_or_else(|| panic!("no check `{name}`: {}", ended.stdout));
    let text = |key: &str| event[key].as_str().unwrap().to_owned();
    (text("outcome"), text("detail"))
}

const GRADIENT: &str = "the gradient is that of the loss";
const CHANGES: &str = "training changes every trainable parameter";
const WRITTEN: &str = "declared state and auxiliary variables are written";
const TRAINS: &str = "training gives finite parameters and counts its rows";

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
    let (ended, failed) = tried("none");
    assert_eq!((ended.code, failed.len()), (0, 0), "{ended:?}");
    for (mistake, check) in [
        ("gradient", GRADIENT),
        ("sign", GRADIENT),
        ("factor", GRADIENT),
        ("batch", "predictions of a row do not depend on its batch"),
        ("one-row", "training takes a batch of one row"),
    ] {
        let (ended, failed) = tried(mistake);
        assert_eq!(ended.code, 4, "{mistake}: {ended:?}");
        assert_eq!(failed, [check], "{mistake}");
        assert_eq!(ended.result()["event"], "error");
    }
    let (_, failed) = tried("frozen");
    assert_eq!(failed, [CHANGES]);
    for (mistake, said) in [
        ("metric", "the metric `loss` is reported anyway"),
        ("unannounced", "the metric `surprise` is not announced; add it to `const METRICS`"),
    ] {
        let (ended, failed) = tried(mistake);
        assert!(failed.contains(&"validation counts its rows and gives the same twice".into()));
        assert!(ended.stdout.contains(said), "{}", ended.stdout);
    }
    let (ended, failed) = tried("not-finite");
    assert_eq!(failed, [TRAINS], "{ended:?}");
}

#[test]
fn failures_name_their_cause_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    std::fs::write(&args, "[model]\nmistake = \"one-row\"\n").unwrap();
    let command = fedwasm(&["plan", "test"]).arg(mistaken());
    let text = command.arg("--args").arg(&args).run().stdout;
    assert!(text.contains("check training takes a batch of one row ... FAILED"), "{text}");
    assert!(text.contains("the variance of one row"), "{text}");
    assert!(
        text.contains("result: FAILED. 14 passed; 1 failed; 1 not run; 0 not applicable"),
        "{text}"
    );
}

/// Adam and those like it divide a gradient by its size; a plan with one of them is right all the
/// same, and a mistake in it is found all the same.
#[test]
fn gradients_are_checked_under_every_optimizer() {
    let args = |mistake: &str, rule: &str| {
        let rule = format!("optimizer_args = {{ rule = \"{rule}\", weight_decay = 0.01 }}");
        format!("[training]\nepochs = 1\n{rule}\n[model]\nmistake = \"{mistake}\"\n")
    };
    for rule in ["sgd", "adam", "adamw", "rms-prop"] {
        let (ended, failed) = tried_with(mistaken(), &args("none", rule));
        assert_eq!((ended.code, failed.len()), (0, 0), "{rule}: {ended:?}");
        let (outcome, detail) = check(&ended, GRADIENT);
        assert_eq!(outcome, "passed", "{rule}: {detail}");
        assert!(detail.contains("of the tolerance"), "{rule}: {detail}");
        for mistake in ["gradient", "sign"] {
            let (ended, failed) = tried_with(mistaken(), &args(mistake, rule));
            assert_eq!((ended.code, failed), (4, vec![GRADIENT.to_owned()]), "{rule} {mistake}");
        }
    }
}

/// A rule of the plan's own announces nothing that would turn it into a plain step. What it does is
/// found from its steps, and the line says what could not be compared.
#[test]
fn gradients_are_checked_under_rules_of_the_plans_own() {
    for (rule, said, is_found) in [
        ("signs", "only the signs of", ["sign"].as_slice()),
        ("damped", "only the signs of", &["sign"]),
        ("decay", "beside a weight decay of 0.05", &["sign", "gradient", "factor"]),
        ("mean", "only up to a factor: the first step is 0.1", &["sign", "gradient"]),
        ("warm-up", "only up to a factor: the first step is 0.1", &["sign", "gradient"]),
        ("one-length", "only the directions of", &["sign"]),
        ("bounded", "of the tolerance", &["sign", "gradient", "factor"]),
    ] {
        let args = |mistake: &str| {
            let rule = format!("optimizer_args = {{ rule = \"{rule}\", lr = 0.01 }}");
            format!("[training]\nepochs = 1\n{rule}\n[model]\nmistake = \"{mistake}\"\n")
        };
        let (ended, failed) = tried_with(mistaken(), &args("none"));
        assert_eq!((ended.code, failed.len()), (0, 0), "{rule}: {}", ended.stdout);
        let (outcome, detail) = check(&ended, GRADIENT);
        assert!(outcome == "passed" && detail.contains(said), "{rule}: {outcome} {detail}");
        for mistake in is_found {
            let (ended, failed) = tried_with(mistaken(), &args(mistake));
            let found = vec![GRADIENT.to_owned()];
            assert_eq!((ended.code, failed), (4, found), "{rule} {mistake}: {}", ended.stdout);
        }
    }
}

/// Numbers of entries of a table: reals are refused, and the declared table says the range.
#[test]
fn codes_are_drawn_for_a_table() {
    let codes = guest("codes");
    for n_codes in [2, 11, 40] {
        let (ended, failed) = tried_with(&codes, &format!("[model]\nn_codes = {n_codes}\n"));
        assert_eq!((ended.code, failed), (0, Vec::new()), "{n_codes}: {}", ended.stdout);
        assert_eq!(check(&ended, GRADIENT).0, "passed", "{}", ended.stdout);
    }
    let text = fedwasm(&["plan", "test"]).arg(&codes).ok().stdout;
    assert!(text.contains("on 70 rows (drawn, inputs whole numbers below 11), seed 1"), "{text}");
    // Codes from 1000 on cannot be known.
    let (ended, failed) = tried_with(&codes, "[model]\nfirst_code = 1000\n");
    assert_eq!(ended.code, 4, "{}", ended.stdout);
    assert_eq!(failed.first().map(String::as_str), Some(TRAINS), "{}", ended.stdout);
    assert!(check(&ended, TRAINS).1.contains("give real rows with --data and --target"));
    let dir = tempfile::tempdir().unwrap();
    let (rows, args) = (dir.path().join("codes.csv"), dir.path().join("args.toml"));
    let line = |row: u64| {
        let code = |column: u64| 1000 + (row * 7 + column * 5 + row * column) % 11;
        format!("{},{},{},{},{}\n", code(0), code(1), code(2), code(3), row % 3)
    };
    let lines: String = (0..80).map(line).collect();
    std::fs::write(&rows, format!("a,b,c,d,class\n{lines}")).unwrap();
    let text = "[data]\ntarget = \"class\"\nstandardize = false\n[model]\nfirst_code = 1000\n";
    std::fs::write(&args, text).unwrap();
    let command = fedwasm(&["--json", "plan", "test"]).arg(&codes).arg("--data").arg(&rows);
    let ended = command.arg("--args").arg(&args).ok();
    assert_eq!(ended.result()["failed"], 0, "{}", ended.stdout);
}

/// A plan as an author has it: the template, with another optimizer.
#[test]
fn the_template_with_adam_passes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let toolchain = crate::support::root().join("rust-toolchain.toml");
    std::fs::copy(toolchain, dir.join("rust-toolchain.toml")).unwrap();
    let run = |args: &[&str]| fedwasm(args).current_dir(dir).ok();
    run(&["plan", "new", "net", "--template", "mlp"]);
    let source = dir.join("net/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    assert!(text.contains("type Optimizer = Sgd;"), "{text}");
    std::fs::write(&source, text.edit("type Optimizer = Sgd;", "type Optimizer = Adam;")).unwrap();
    run(&["plan", "build", "net"]);
    for seed in ["1", "2", "3", "4", "5"] {
        let ended = run(&["--json", "plan", "test", "net.wasm", "--seed", seed]);
        assert_eq!(check(&ended, GRADIENT).0, "passed", "{}", ended.stdout);
    }
}

/// A parameter may move the loss elsewhere and have no gradient here: a unit that no row reaches.
#[test]
fn a_parameter_behind_a_threshold_is_a_warning() {
    let (ended, failed) = tried("gate");
    assert_eq!((ended.code, failed.len()), (0, 0), "{}", ended.stdout);
    let (outcome, detail) = check(&ended, CHANGES);
    assert!(outcome == "warned" && detail.contains("`gate`"), "{outcome} {detail}");
}

/// The softmax takes out a constant that is added to all scores: the gradient is 0, and right.
#[test]
fn a_parameter_without_influence_is_a_warning() {
    let (ended, failed) = tried("shift");
    assert_eq!((ended.code, failed.len()), (0, 0), "{ended:?}");
    let (outcome, detail) = check(&ended, CHANGES);
    assert!(outcome == "warned" && detail.contains("`shift`"), "{outcome} {detail}");
    assert_eq!(ended.result()["warned"], 1, "{}", ended.stdout);
}

/// A plan that steps by itself, so that no gradient is left to correct. Running statistics have
/// no control variates either, and that is right.
#[test]
fn control_variates_are_written_for_what_has_a_gradient() {
    let (ended, failed) = tried("uncorrected");
    assert_eq!((ended.code, failed), (4, vec![WRITTEN.to_owned()]), "{}", ended.stdout);
    let missing = "`scaffold.local.linear.weight` is still all zeros after training with \
                   aggregator.scaffold = true";
    assert_eq!(check(&ended, WRITTEN).1, missing);
    let (ended, _) = tried_with(&guest("normalised"), "");
    let (verdict, detail) = check(&ended, WRITTEN);
    assert!(verdict == "passed" && detail.contains("aggregator.scaffold"), "{verdict} {detail}");
}

/// As PyTorch does, batch normalisation refuses to train on a single row.
#[test]
fn a_plan_may_refuse_a_batch_of_one_row() {
    let (ended, failed) = tried_with(&guest("normalised"), "");
    assert_eq!((ended.code, failed), (0, Vec::new()), "{}", ended.stdout);
    let (verdict, detail) = check(&ended, "training takes a batch of one row");
    assert_eq!(verdict, "warned", "{detail}");
    assert!(detail.contains("`loader_args = { drop_last = true }`"), "{detail}");
}

#[test]
fn frozen_parameters_stay_and_pass_the_checks() {
    let (ended, failed) = tried_with(features(), "[model]\nfreeze = true\n");
    assert_eq!((ended.code, failed.len()), (0, 0), "{ended:?}");
    assert_eq!(check(&ended, CHANGES).1, "2 of 8");
    // The optimizer keeps nothing for what it does not move.
    let written = check(&ended, WRITTEN);
    assert_eq!(written.0, "passed", "{}", written.1);
    // Batch normalisation that is frozen computes as in validation, so the gradient can be seen.
    assert_eq!(check(&ended, GRADIENT).0, "passed", "{}", ended.stdout);
    // Bits, in a run of its own.
    let dir = tempfile::tempdir().unwrap();
    let trained = |epochs: u32| {
        let args = dir.path().join("args.toml");
        let text = format!("[training]\nepochs = {epochs}\n[model]\nfreeze = true\n");
        std::fs::write(&args, text).unwrap();
        let out = dir.path().join(epochs.to_string());
        let command = fedwasm(&["local", "--target", "benign", "--seed", "1", "--plan"]);
        let command = command.arg(features()).arg("--data").arg(data("breast_cancer.csv"));
        command.arg("--args").arg(args).arg("--out").arg(&out).ok();
        let bytes = std::fs::read(out.join("params.safetensors")).unwrap();
        fedwasm_params::from_safetensors(&bytes).unwrap()
    };
    let (before, after) = (trained(0), trained(3));
    let same = |name: &str| before.tensor(name).unwrap() == after.tensor(name).unwrap();
    for name in ["weight", "bias"] {
        assert!(same(&format!("features.{name}")) && same(&format!("normal.{name}")), "{name}");
        assert!(!same(&format!("output.{name}")), "{name}");
    }
    assert!(same("normal.running_mean") && same("normal.running_var"));
}

/// Noise in a training step, as a variational autoencoder draws it: the host's, so that the same
/// seed trains to the same bytes.
#[test]
fn a_training_step_may_draw_random_numbers() {
    let (ended, failed) = tried_with(features(), "[model]\nnoise = 0.1\nfreeze = true\n");
    assert_eq!((ended.code, failed.len()), (0, 0), "{ended:?}");
    assert_eq!(check(&ended, "the same seed trains to the same bytes").0, "passed");
}

/// Each use of a layer is on the tape: gradients of both are added.
#[test]
fn a_layer_that_runs_twice_in_a_step_has_the_gradient_of_both() {
    let (ended, failed) = tried_with(features(), "[model]\ntwice = true\nfreeze = true\n");
    assert_eq!((ended.code, failed), (0, Vec::new()), "{}", ended.stdout);
    assert_eq!(check(&ended, GRADIENT).0, "passed", "{}", ended.stdout);
}

/// What would fail for one reason is one failure to read: checks that depend on a failed one are
/// not run, and those that find the same are told together.
#[test]
fn one_cause_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    std::fs::write(&args, "[model]\nmistake = \"picky\"\n").unwrap();
    let command = fedwasm(&["plan", "test"]).arg(mistaken());
    let text = command.arg("--args").arg(&args).run().stdout;
    assert_eq!(text.matches("FAILED\n").count(), 2, "{text}");
    assert_eq!(text.matches("an input is less than 1000").count(), 1, "{text}");
    let left = format!("not run: it depends on `{TRAINS}`\n");
    assert!(text.matches(&left).count() > 5, "{text}");
    let hint = "the rows are random; give real rows with --data and --target";
    assert!(text.contains(hint), "{text}");
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
    std::fs::write(file("plan.golden.toml"), text.edit("\naccuracy = 0.9", "\naccuracy = 0.8"))
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
        // Short for the plan that never ends, and long enough for the others on a busy machine.
        let time_ms = if deed == "loop" { 300 } else { 20_000 };
        let limits = format!("[limits]\nmemory_bytes_max = 33554432\ntime_ms_max = {time_ms}\n");
        std::fs::write(&args, format!("[model]\ndeed = \"{deed}\"\n{limits}")).unwrap();
        let command = fedwasm(&["plan", "test"]).arg(crate::support::misbehaves());
        let ended = command.arg("--args").arg(&args).run();
        assert_eq!(ended.code, 4, "{deed}: {ended:?}");
        assert!(ended.stdout.contains(said), "{deed}: {}", ended.stdout);
    }
}
