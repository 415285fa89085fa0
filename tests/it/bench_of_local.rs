//! `local` as a bench: stopping, going on, repeating, cross-validating, comparing.

use std::path::Path;

use serde_json::Value;

use crate::support::{Edit, Ended, Fedwasm, event, fedwasm, root, wait_until};

fn local(dir: &Path, plan: &str, training: &str) -> Fedwasm {
    let args = dir.join("args.toml");
    let text = format!("[data]\ntarget = \"digit\"\n[training]\ntest_ratio = 0.2\n{training}\n");
    std::fs::write(&args, text).unwrap();
    let plan = root().join("plugins/dist").join(plan).with_extension("wasm");
    let command = fedwasm(&["--json", "local", "--seed", "7", "--plan"]).arg(plan);
    let command = command.arg("--data").arg(root().join("examples/data/digits.csv"));
    command.arg("--args").arg(args)
}

fn of(ended: &Ended) -> (Value, Value) {
    let result = ended.result();
    (result["params_sha256"].clone(), result["metrics"].clone())
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    for (plan, optimizer) in [
        ("logistic-regression", "{ lr = 0.1 }"),
        ("mlp", "{ lr = 0.05, momentum = 0.9, nesterov = true, weight_decay = 0.001 }"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let training = |epochs: u32| format!("epochs = {epochs}\noptimizer_args = {optimizer}");
        let whole = local(dir, plan, &training(4)).arg("--out").arg(dir.join("whole")).ok();
        let first = local(dir, plan, &training(1)).arg("--out").arg(dir.join("run")).ok();
        assert_ne!(of(&first), of(&whole));
        let resumed = |epochs| {
            let command = local(dir, plan, &training(epochs)).arg("--out").arg(dir.join("run"));
            command.arg("--resume")
        };
        resumed(3).ok();
        let last = resumed(4).ok();
        assert_eq!(of(&last), of(&whole), "{plan}");
        assert_eq!(last.result()["batches"], whole.result()["batches"]);
        let loss = |run: &str| {
            let history = fedwasm_researcher::load_history(&dir.join(run)).unwrap();
            let node = history.rounds[0].nodes.values().next().unwrap().clone();
            (node.train_loss.unwrap(), node.n_steps, history.steps.len())
        };
        let ((a, steps_a, points_a), (b, steps_b, points_b)) = (loss("run"), loss("whole"));
        assert!((a - b).abs() < 1e-6 && steps_a == steps_b && points_a == points_b, "{a} {b}");
        // There is nothing more to do, and nothing is done.
        assert_eq!(of(&resumed(4).ok()), of(&whole));
        for (change, expected) in [
            (training(2), "batches are done, and"),
            (training(4).edit("lr = 0.", "lr = 0.7"), "`training.optimizer_args.lr` was"),
            (
                training(4) + "\nloader_args = { batch_size = 8 }",
                "`training.loader_args.batch_size` was 32, it is 8",
            ),
            // Batches of another epoch are other batches.
            (training(4) + "\nbatch_maxnum = 3", "`training.batch_maxnum` was not given, it is 3"),
        ] {
            let ended = local(dir, plan, &change).arg("--out").arg(dir.join("run"));
            let ended = ended.arg("--resume").run();
            assert!(ended.code == 2 && ended.stderr.contains(expected), "{}", ended.stderr);
        }
        let seed = resumed(4).args(&["--seed", "8"]).run();
        assert!(seed.code == 2, "{}", seed.stderr);
        std::fs::copy(dir.join("run/kept.safetensors"), dir.join("run/params.safetensors"))
            .unwrap();
        let ended = resumed(4).run();
        assert!(ended.stderr.contains("does not belong to its last run"), "{}", ended.stderr);
        let ended = local(dir, plan, &training(4)).arg("--out").arg(dir.join("none"));
        let ended = ended.arg("--resume").run();
        assert!(ended.stderr.contains("it has no checkpoint.json"), "{}", ended.stderr);
    }
}

/// `evaluate` takes the arguments of a run from the run, and `compare` shows them.
#[test]
fn evaluate_and_compare_read_the_arguments_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let training = "epochs = 2\noptimizer_args = { lr = 0.1 }\n[model]\nhidden = 24";
    local(dir, "mlp", training).arg("--out").arg(dir.join("a")).ok();
    let start = dir.join("a/params.mpk");
    local(dir, "mlp", training).arg("--out").arg(dir.join("b")).arg("--params").arg(&start).ok();
    let compared = fedwasm(&["compare"]).arg(dir.join("a")).arg(dir.join("b")).ok();
    assert!(compared.stdout.contains("start "), "{}", compared.stdout);
    let scored = fedwasm(&["--json", "evaluate", "--plan"]);
    let scored = scored.arg(root().join("plugins/dist/mlp.wasm")).arg("--params").arg(&start);
    let scored = scored.arg("--data").arg(root().join("examples/data/digits.csv")).ok();
    assert!(scored.stderr.contains("[data] and [model] are those of"), "{}", scored.stderr);
    assert!(scored.result()["metrics"]["accuracy"].as_f64().unwrap() > 0.8, "{}", scored.stdout);
}

#[test]
fn an_interrupted_run_keeps_its_progress() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let training = "epochs = 100000\noptimizer_args = { lr = 0.05 }";
    let command = || local(dir, "mlp", training).arg("--out").arg(dir.join("run"));
    let running = command().start();
    running.wait_for(event("ready"));
    wait_until("losses of some hundred batches", || {
        let files = std::fs::read_dir(dir.join("run/tensorboard/local"));
        files.into_iter().flatten().any(|file| file.unwrap().metadata().unwrap().len() > 4 << 10)
    });
    running.signal("INT");
    let (code, events) = running.end();
    let result = events.last().unwrap();
    assert_eq!(code, 0, "{result}");
    let batches = result["batches"].as_u64().unwrap();
    assert!(result["stopped"] == true && batches > 0, "{result}");
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.1, "{result}");
    let history = fedwasm_researcher::load_history(&dir.join("run")).unwrap();
    assert!(history.status.starts_with(&format!("stopped: after {batches} of")));
    let ended = command().run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("continue it with"), "{}", ended.stderr);
    // Going on to the same number of batches gives what an unbroken run gives.
    let to = batches + 50;
    let training = format!("num_updates = {to}\noptimizer_args = {{ lr = 0.05 }}");
    let resumed = local(dir, "mlp", &training).arg("--out").arg(dir.join("run")).arg("--resume");
    let whole = local(dir, "mlp", &training).arg("--out").arg(dir.join("whole"));
    assert_eq!(of(&resumed.ok()), of(&whole.ok()));
    // A second interrupt ends the run at once.
    let running = command().arg("--force").start();
    running.wait_for(event("ready"));
    running.signal("INT");
    running.wait_for_log("interrupt again to discard");
    running.signal("INT");
    let (code, _) = running.end();
    assert!(code == 0 || code == 1, "{code}");
}

#[test]
fn repeats_follow_their_seeds_and_folds_hold_out_each_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let training = "epochs = 2\noptimizer_args = { lr = 0.1 }";
    let plan = "logistic-regression";
    let events = local(dir, plan, training).args(&["--repeat", "3"]).ok().events();
    let runs: Vec<&Value> = events.iter().filter(|event| event["event"] == "run").collect();
    assert_eq!(runs.len(), 3);
    let scores: Vec<f64> =
        runs.iter().map(|run| run["metrics"]["accuracy"].as_f64().unwrap()).collect();
    let mean = scores.iter().sum::<f64>() / 3.0;
    let std = (scores.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let result = events.last().unwrap();
    assert!((result["metrics"]["accuracy"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!((result["std"]["accuracy"].as_f64().unwrap() - std).abs() < 1e-12);
    assert_eq!(runs[0]["params_sha256"], of(&local(dir, plan, training).ok()).0);

    let out = dir.join("folds");
    let command = local(dir, plan, training).args(&["--folds", "5"]).arg("--out").arg(&out);
    let events = command.ok().events();
    let runs: Vec<&Value> = events.iter().filter(|event| event["event"] == "run").collect();
    assert_eq!(runs.len(), 5);
    let held_out = |index: u32| {
        let history = fedwasm_researcher::load_history(&out.join(format!("fold-{index}")));
        history.unwrap().rounds[0].evaluation.as_ref().unwrap().n_rows
    };
    assert_eq!((1..=5).map(held_out).sum::<u64>(), 1797);
    let summary: Value =
        serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["table"].as_array().unwrap().len(), 5);
    assert_eq!(summary["metrics"], events.last().unwrap()["metrics"]);
    for pair in [["--folds", "--repeat"], ["--folds", "--resume"]] {
        let mut command = local(dir, plan, training).args(&["--folds", "5", pair[1]]);
        if pair[1] == "--repeat" {
            command = command.arg("2");
        }
        assert_eq!(command.run().code, 2);
    }
}

/// Without a seed, `--resume` takes that of the run.
#[test]
fn a_resumed_run_keeps_its_seed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let command = |epochs: u32| {
        let args = dir.join("args.toml");
        let text = format!("[training]\ntest_ratio = 0.2\nepochs = {epochs}\n");
        std::fs::write(&args, text).unwrap();
        let plan = root().join("plugins/dist/logistic-regression.wasm");
        let command = fedwasm(&["--json", "local", "--target", "digit", "--plan"]).arg(plan);
        let command = command.arg("--data").arg(root().join("examples/data/digits.csv"));
        command.arg("--args").arg(args).arg("--out").arg(dir.join("run"))
    };
    let first = command(1).ok().result();
    let last = command(2).arg("--resume").ok().result();
    assert_eq!(last["random_seed"], first["random_seed"]);
    assert_eq!(last["batches"], 90);
}

/// Steps go on, a run anew starts them anew, and what cannot be written costs no result.
#[test]
fn event_files_belong_to_their_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let run = |epochs: u32, flags: &[&str]| {
        let training = format!("epochs = {epochs}\nlog_interval = 1");
        let command = local(dir, "logistic-regression", &training);
        command.arg("--out").arg(dir.join("run")).args(flags).ok()
    };
    let events = dir.join("run/tensorboard/local");
    let sizes = || {
        let mut files: Vec<_> = std::fs::read_dir(&events).unwrap().map(Result::unwrap).collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        let sizes: Vec<u64> = files.iter().map(|file| file.metadata().unwrap().len()).collect();
        sizes
    };
    run(1, &[]);
    let first = sizes();
    assert_eq!(first.len(), 1);
    // 45 losses and five scores, each in a record of at least 30 bytes.
    assert!(first[0] > 50 * 30, "{first:?}");
    run(2, &["--resume"]);
    assert_eq!((sizes().len(), sizes()[0]), (2, first[0]));
    run(1, &["--force"]);
    assert_eq!(sizes(), first);
    std::fs::remove_dir_all(dir.join("run/tensorboard")).unwrap();
    std::fs::write(dir.join("run/tensorboard"), b"in the way").unwrap();
    run(1, &["--force"]);
}

#[test]
fn a_finished_run_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let command = |lr: &str| {
        let training = format!("epochs = 1\noptimizer_args = {{ lr = {lr} }}");
        local(dir, "logistic-regression", &training).arg("--out").arg(dir.join("run"))
    };
    let first = of(&command("0.1").ok());
    let again = command("0.2").run();
    assert_eq!(again.code, 2, "{}", again.stderr);
    for words in ["run holds a finished run", "`--resume` and more `epochs`", "`--force`"] {
        assert!(again.stderr.contains(words), "{}", again.stderr);
    }
    let params = || std::fs::read(dir.join("run/params.safetensors")).unwrap();
    assert_eq!(first.0, fedwasm_protocol::Digest::of(&params()).to_string());
    let verified = fedwasm(&["experiment", "verify"]).arg(dir.join("run")).run();
    assert!(verified.code == 2 && verified.stderr.contains("a local run"));
    assert_ne!(of(&command("0.2").arg("--force").ok()), first);
    // The new run is the one that is resumed.
    assert_eq!(command("0.1").arg("--resume").run().code, 2);
    command("0.2").arg("--resume").ok();
    assert_eq!(command("0.2").args(&["--force", "--resume"]).run().code, 2);
}

/// Killed without a chance to write anything: the run resumes from its checkpoint.
#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let training = "num_updates = 120000\nloader_args = { batch_size = 8 }\n\
                    optimizer_args = { lr = 0.001, momentum = 0.9 }\n[model]\nhidden = 16\n\
                    [local]\nvalidate_every = 0";
    let command = |run: &str| local(dir, "mlp", training).arg("--out").arg(dir.join(run));
    let running = command("run").start();
    let pieces = dir.join("run/checkpoints");
    wait_until("a checkpoint", || {
        let names = std::fs::read_dir(&pieces).into_iter().flatten().filter_map(Result::ok);
        names.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("batch-"))
    });
    running.signal("KILL");
    drop(running);
    assert!(!dir.join("run/history.json").exists());
    let ended = command("run").run();
    assert!(ended.code == 2 && ended.stderr.contains("stopped by force"), "{}", ended.stderr);
    let resumed = command("run").arg("--resume").ok();
    let ready = resumed.events().into_iter().find(|event| event["event"] == "ready").unwrap();
    let done = ready["batches"].as_u64().unwrap();
    // Pieces end after a hundredth of the batches.
    assert!(done >= 1_200 && done.is_multiple_of(1_200) && done < 120_000, "{ready}");
    assert!(!pieces.exists());
    let whole = command("whole").ok();
    assert_eq!(of(&resumed), of(&whole));
    // So does one that writes nothing, and is never cut.
    let uncut = "num_updates = 120000\nloader_args = { batch_size = 8 }\n\
                 optimizer_args = { lr = 0.001, momentum = 0.9, keep_state = true }\n\
                 [model]\nhidden = 16\n[local]\nvalidate_every = 0";
    assert_eq!(of(&local(dir, "mlp", uncut).ok()), of(&whole));
    let history = |run: &str| fedwasm_researcher::load_history(&dir.join(run)).unwrap();
    let loss = |run: &str| history(run).rounds[0].train_loss().unwrap();
    assert!((loss("run") - loss("whole")).abs() < 1e-9);
    assert_eq!(history("run").status, "finished");
}

/// Three positives of sixty rows: some folds have none, and no F1 either.
#[test]
fn folds_without_positives_have_no_f1() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("rare.csv");
    let row = |n: u32| format!("{},{},{}\n", n % 7, n * n % 11, u32::from(n.is_multiple_of(20)));
    std::fs::write(&csv, "a,b,y\n".to_owned() + &(0..60).map(row).collect::<String>()).unwrap();
    let command = |json: bool| {
        let flags: &[&str] = if json { &["--json", "local"] } else { &["local"] };
        let command = fedwasm(flags).args(&["--seed", "1", "--target", "y", "--folds", "6"]);
        let plan = root().join("plugins/dist/logistic-regression.wasm");
        command.arg("--plan").arg(plan).arg("--data").arg(&csv).ok()
    };
    let ended = command(true);
    let runs: Vec<Value> =
        ended.events().into_iter().filter(|event| event["event"] == "run").collect();
    let with = runs.iter().filter(|run| run["metrics"]["f1_score"].is_number()).count();
    // At most three folds hold a positive out.
    assert!((1..=3).contains(&with) && runs.len() == 6, "{runs:?}");
    assert!(runs.iter().all(|run| run["metrics"]["accuracy"].is_number()), "{runs:?}");
    assert_eq!(ended.result()["runs_with"]["f1_score"], with, "{}", ended.stdout);
    assert_eq!(ended.result()["runs_with"]["accuracy"], 6);
    let words = "no held-out row is of class 1: precision, recall and F1 are left out";
    assert!(ended.stderr.contains(words) && ended.stderr.contains("fold "), "{}", ended.stderr);
    let text = command(false).stdout;
    let line = format!("f1_score covers {with} of 6 runs");
    assert!(text.contains(&line), "{text}");
}

/// `compare` claims nothing that it did not look at.
#[test]
fn compare_distinguishes_folds() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let command = local(dir, "logistic-regression", "epochs = 1").args(&["--folds", "3"]);
    command.arg("--out").arg(dir.join("folds")).ok();
    let compare = |a: &str, b: &str| {
        let of = |fold: &str| dir.join("folds").join(fold);
        fedwasm(&["compare"]).arg(of(a)).arg(of(b)).ok().stdout
    };
    let text = compare("fold-1", "fold-2");
    assert!(text.contains("1 of 3 | 2 of 3") && !text.contains("the same"), "{text}");
    let same = compare("fold-1", "fold-1");
    assert!(same.contains("the same plan, data, start, seed, arguments, rows"), "{same}");
    assert!(!same.contains("not compared"), "{same}");
}

#[test]
fn two_runs_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (run, lr) in [("a", 0.1), ("b", 0.01)] {
        let training = format!("epochs = 2\noptimizer_args = {{ lr = {lr} }}");
        local(dir, "mlp", &training).arg("--out").arg(dir.join(run)).ok();
    }
    let compare = |json: bool| {
        let flags: &[&str] = if json { &["--json", "compare"] } else { &["compare"] };
        let command = fedwasm(flags).arg(dir.join("a")).arg(dir.join("b"));
        command.arg("--svg").arg(dir.join("both.svg")).ok()
    };
    let result = compare(true).result();
    let differences = result["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert_eq!(differences[0]["name"], "training.optimizer_args.lr");
    let names: Vec<&str> =
        result["metrics"].as_array().unwrap().iter().filter_map(|m| m["name"].as_str()).collect();
    assert!(names.contains(&"accuracy") && names.contains(&"training loss"), "{names:?}");
    let text = compare(false).stdout;
    assert!(text.contains("training.optimizer_args.lr   0.1 | 0.01"), "{text}");
    let svg = std::fs::read_to_string(dir.join("both.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.matches("<polyline").count() >= 2);
    // Event files for TensorBoard are there, too.
    assert!(dir.join("a/tensorboard/local").read_dir().unwrap().next().is_some());
}
