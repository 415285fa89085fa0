//! Scores after epochs, and what follows from them: early stopping, the best parameters.

use std::path::Path;

use serde_json::Value;

use crate::support::{Edit, Federation, Fedwasm, fedwasm, part, root, wait_until};

/// Overfits: few rows, many parameters, a high rate.
fn local(dir: &Path, epochs: u32, rest: &str) -> Fedwasm {
    let args = dir.join("args.toml");
    let text = format!(
        "{rest}\n[data]\ntarget = \"benign\"\n[training]\nepochs = {epochs}\ntest_ratio = 0.5\n\
         optimizer_args = {{ lr = 0.2, momentum = 0.9 }}\n[model]\nhidden = 32"
    );
    std::fs::write(&args, text).unwrap();
    let plan = root().join("plugins/dist/mlp.wasm");
    let command = fedwasm(&["--json", "local", "--seed", "5", "--plan"]).arg(plan);
    let command = command.arg("--data").arg(root().join("examples/data/breast_cancer.csv"));
    command.arg("--args").arg(args)
}

fn history(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("history.json")).unwrap()).unwrap()
}

/// The loss on held-out rows after each epoch.
fn losses(history: &Value) -> Vec<f64> {
    let records = history["validations"].as_array().unwrap().iter();
    records.map(|record| record["evaluation"]["metrics"]["loss"].as_f64().unwrap()).collect()
}

/// The epoch of the least loss, from 1.
fn best_of(losses: &[f64]) -> usize {
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    losses.iter().position(|loss| *loss == least).unwrap() + 1
}

const NEVER: &str = "[local]\nvalidate_every = 0";

/// Parameters are those of a run that is scored at the end alone, also of plans that draw random
/// numbers and of optimizers with a state.
#[test]
fn scores_after_epochs_change_no_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let of = |rest: &str, out: &str| {
        let ended = local(dir, 6, rest).arg("--out").arg(dir.join(out)).ok();
        (ended.result()["params_sha256"].clone(), ended.result()["metrics"].clone())
    };
    let whole = of(NEVER, "never");
    assert_eq!(of("", "each"), whole);
    assert_eq!(of("[local]\nvalidate_every = 4", "some"), whole);
    let ended = local(dir, 6, "").ok();
    assert_eq!(ended.result()["params_sha256"], whole.0);
    let told = ended.events().into_iter().filter(|event| event["event"] == "validated");
    let epochs: Vec<u64> = told.map(|event| event["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
    assert!(history(&dir.join("never")).get("validations").is_none());
    let each = history(&dir.join("each"));
    assert_eq!((losses(&each).len(), losses(&history(&dir.join("some"))).len()), (6, 2));
    assert_eq!(each["validations"][5]["evaluation"], each["rounds"][0]["evaluation"]);
    // Both losses are in the chart.
    let curve = std::fs::read_to_string(dir.join("each/curve.svg")).unwrap();
    assert!(curve.contains("held-out loss") && curve.contains("training loss"), "{curve}");
    let page = std::fs::read_to_string(dir.join("each/report.html")).unwrap();
    assert!(page.contains("<figcaption>accuracy</figcaption>"));
    // A run of so many epochs gives the scores of its last one.
    let three = local(dir, 3, "").ok().result();
    assert_eq!(three["metrics"]["loss"].as_f64().unwrap(), losses(&each)[2]);
}

#[test]
fn the_best_parameters_are_those_of_a_run_that_ends_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let out = dir.join("best");
    let result = local(dir, 30, "keep = \"best\"").arg("--out").arg(&out).ok().result();
    let kept = history(&out);
    let best = best_of(&losses(&kept));
    assert!((2..29).contains(&best), "{:?}", losses(&kept));
    assert_eq!((&result["best"]["at"], &result["best"]), (&Value::from(best), &kept["best"]));
    assert_eq!(result["best"]["metric"], "loss");
    assert_eq!(result["metrics"]["loss"], losses(&kept)[best - 1]);
    let there = local(dir, best as u32, "").ok().result();
    assert_eq!(result["params_sha256"], there["params_sha256"]);
    let bytes = std::fs::read(out.join("params.safetensors")).unwrap();
    let digest = fedwasm_protocol::Digest::of(&bytes).to_string();
    assert_eq!(
        (&kept["best"]["params_sha256"], &result["params_sha256"]),
        (&digest.clone().into(), &digest.into())
    );
    // It goes on from the last parameters, and the best so far stay the best.
    let on = |epochs| local(dir, epochs, "keep = \"best\"").arg("--out").arg(&out).arg("--resume");
    let resumed = on(40).ok().result();
    let whole = local(dir, 40, "keep = \"best\"").ok().result();
    assert_eq!(
        (&resumed["params_sha256"], &resumed["best"]),
        (&whole["params_sha256"], &whole["best"])
    );
    assert_eq!(losses(&history(&out)).len(), 40);
    let ended = local(dir, 50, "").arg("--out").arg(&out).arg("--resume").run();
    assert!(ended.code == 2 && ended.stderr.contains("`local.keep` was"), "{}", ended.stderr);
    // By another metric.
    let by = local(dir, 5, "keep = \"best\"").ok().result();
    assert_eq!(by["best"]["metric"], "loss");
    let stopping = "keep = \"best\"\n[local]\nearly_stopping = { metric = \"accuracy\" }";
    assert_eq!(local(dir, 5, stopping).ok().result()["best"]["metric"], "accuracy");
}

#[test]
fn early_stopping_ends_a_run_and_waits_for_patience() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let rest = |patience: u32| {
        format!("[local]\nearly_stopping = {{ metric = \"loss\", patience = {patience} }}")
    };
    let whole = local(dir, 40, "").arg("--out").arg(dir.join("whole"));
    whole.ok();
    let all = losses(&history(&dir.join("whole")));
    // The rule, written out: so many epochs in a row without a new least loss.
    let end = |patience: usize| {
        let is_end = |n: &usize| *n - best_of(&all[..*n]) >= patience;
        (1..=all.len()).find(is_end).unwrap()
    };
    let out = dir.join("run");
    let result = local(dir, 40, &rest(3)).arg("--out").arg(&out).ok().result();
    assert_eq!(losses(&history(&out)), all[..end(3)]);
    assert!(end(3) < 40 && result["stopped"] == false, "{result}");
    assert!(result["enough"].as_str().unwrap().starts_with("loss was "), "{result}");
    assert!(history(&out)["status"].as_str().unwrap().starts_with("finished early: loss was"));
    let same = local(dir, end(3) as u32, "").ok().result();
    assert_eq!(result["params_sha256"], same["params_sha256"]);
    // More patience goes on where it was.
    let on = |patience| local(dir, 40, &rest(patience)).arg("--out").arg(&out).arg("--resume");
    assert_eq!(on(3).ok().result()["params_sha256"], result["params_sha256"]);
    let more = on(6).ok().result();
    let straight = local(dir, 40, &rest(6)).ok().result();
    assert_eq!(more["params_sha256"], straight["params_sha256"]);
    // Folds that stop early are whole runs.
    let folds = local(dir, 40, &rest(2)).args(&["--folds", "3"]).ok().result();
    assert!(folds["runs"] == 3 && folds["stopped"] == false, "{folds}");
}

#[test]
fn settings_that_cannot_be_kept_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (rest, words) in [
        ("[local]\nearly_stopping = { metric = \"acuracy\" }", "did you mean `accuracy`?"),
        ("keep = \"bets\"", "did you mean `best`?"),
        ("[local]\nvalidate_ever = 1", "did you mean `validate_every`?"),
        ("[local]\nvalidate_every = 0\nearly_stopping = { metric = \"loss\" }", "is 0, but"),
    ] {
        let ended = local(dir, 2, rest).run();
        assert!(ended.code == 2 && ended.stderr.contains(words), "{rest}: {}", ended.stderr);
    }
    let ended = local(dir, 5_000, "[local]\nvalidate_every = 4").run();
    assert!(ended.code == 2 && ended.stderr.contains("use 5 or more"), "{}", ended.stderr);
    let text = std::fs::read_to_string(dir.join("args.toml")).unwrap();
    let run = |text: String| {
        std::fs::write(dir.join("other.toml"), text).unwrap();
        let plan = root().join("plugins/dist/mlp.wasm");
        let command = fedwasm(&["local", "--plan"]).arg(plan).arg("--data");
        let command = command.arg(root().join("examples/data/breast_cancer.csv"));
        command.arg("--args").arg(dir.join("other.toml")).run()
    };
    let few = text.edit("epochs = 5000", "epochs = 2").edit("validate_every = 4", "");
    let ended =
        run("keep = \"best\"\n".to_owned() + &few.edit("test_ratio = 0.5", "test_ratio = 0"));
    assert!(ended.code == 2 && ended.stderr.contains("no rows are held out"), "{}", ended.stderr);
    let ended =
        run("keep = \"best\"\n".to_owned() + &few.edit("momentum = 0.9", "keep_state = false"));
    let words = "`keep` needs scores after epochs, and the plan cannot pause between them";
    assert!(ended.code == 2 && ended.stderr.contains(words), "{}", ended.stderr);
    // Without such a wish it trains in one piece, and is scored at the end.
    assert_eq!(run(few.edit("momentum = 0.9", "keep_state = false")).code, 0);
}

/// Killed in the middle: scores, best parameters and curve are those of a run that was not.
#[test]
fn a_killed_run_keeps_its_scores_and_its_best_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let command = |run: &str| {
        let command = local(dir, 600, "keep = \"best\"").arg("--out").arg(dir.join(run));
        // Long enough for a checkpoint on a fast machine.
        let (args, more) =
            (dir.join("args.toml"), "test_ratio = 0.5\nloader_args = { batch_size = 4 }");
        let text = std::fs::read_to_string(&args).unwrap();
        std::fs::write(args, text.edit("test_ratio = 0.5", more).edit("lr = 0.2", "lr = 0.01"))
            .unwrap();
        command
    };
    let running = command("run").start();
    let pieces = dir.join("run/checkpoints");
    wait_until("a checkpoint", || {
        let names = std::fs::read_dir(&pieces).into_iter().flatten().filter_map(Result::ok);
        names.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("batch-"))
    });
    running.signal("KILL");
    drop(running);
    let resumed = command("run").arg("--resume").ok();
    let ready = resumed.events().into_iter().find(|event| event["event"] == "ready").unwrap();
    assert!(ready["batches"].as_u64().unwrap() > 0, "{ready}");
    let whole = command("whole").ok().result();
    assert_eq!(resumed.result()["params_sha256"], whole["params_sha256"]);
    let parts = |run: &str| {
        let history = history(&dir.join(run));
        (history["validations"].clone(), history["best"].clone())
    };
    assert_eq!(parts("run"), parts("whole"));
}

/// The result of an experiment is the model of its best round, also after a break, and
/// `experiment verify` computes it again.
#[test]
fn an_experiment_keeps_the_best_round() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    let experiment = |rounds: u32, rest: &str| {
        federation.experiment(|text| {
            let kept = "save_breakpoints = true\nkeep_params = true\nkeep_uploads = true";
            let text = text.edit("rounds = 2", &format!("rounds = {rounds}\n{kept}\n{rest}"));
            text.edit("lr = 0.1", "lr = 3.0")
        })
    };
    let out = federation.dir.path().join("out");
    let result = federation.run(&experiment(8, "keep = \"best\"")).ok().result();
    let kept = history(&out);
    let rounds = kept["rounds"].as_array().unwrap().iter();
    let losses: Vec<f64> =
        rounds.map(|round| round["evaluation"]["metrics"]["loss"].as_f64().unwrap()).collect();
    let best = best_of(&losses);
    assert!(best < 8, "{losses:?}");
    assert_eq!((&kept["best"]["at"], &kept["best"]["metric"]), (&best.into(), &"loss".into()));
    assert_eq!(result["metrics"]["loss"], losses[best - 1]);
    let bytes = |path: &str| std::fs::read(out.join(path)).unwrap();
    let of_round = bytes(&format!("params/round-{best:04}.safetensors"));
    assert!(bytes("params.safetensors") == of_round);
    assert_eq!(result["params_sha256"], fedwasm_protocol::Digest::of(&of_round).to_string());
    let shown = fedwasm(&["--json", "experiment", "show"]).arg(&out).ok().result();
    assert_eq!(shown["params_sha256"], result["params_sha256"]);
    assert_eq!(shown["metrics"], result["metrics"]);
    fedwasm(&["experiment", "verify"]).arg(&out).ok();
    std::fs::write(out.join("params.safetensors"), bytes("params/round-0008.safetensors")).unwrap();
    let ended = fedwasm(&["experiment", "verify"]).arg(&out).run();
    assert!(ended.stderr.contains("params.safetensors does not match"), "{}", ended.stderr);
    // In two legs, the best round in the first of them.
    federation.run(&experiment(best as u32 + 1, "keep = \"best\"")).ok();
    let legs = federation.to_out(&experiment(8, "keep = \"best\""), "--resume").ok().result();
    assert_eq!(legs["params_sha256"], result["params_sha256"]);
    // Earlier rounds are gone if they were not kept.
    federation.run(&experiment(2, "")).ok();
    let ended = federation.to_out(&experiment(3, "keep = \"best\""), "--resume").run();
    assert!(ended.code == 2 && ended.stderr.contains("were not kept"), "{}", ended.stderr);
}
