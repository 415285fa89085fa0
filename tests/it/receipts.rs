//! Receipts: what a node signs after a run, running it again, and recomputing a whole experiment.

use std::path::{Path, PathBuf};

use fedwasm_compute::kernels::simd::{Level, limit};
use fedwasm_protocol::Digest;
use fedwasm_sandbox::{InProcessOptions, Sandbox};
use serde_json::{Value, json};

use crate::support::{Edit, Ended, Federation, fedwasm, part};

/// A finished experiment of two nodes.
fn finished(change: impl Fn(String) -> String) -> Federation {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    let experiment = federation
        .experiment(|text| change(text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true")));
    federation.run(&experiment).ok();
    federation
}

fn out(federation: &Federation) -> PathBuf {
    federation.dir.path().join("out")
}

fn verify(receipt: &Path, dir: &Path, rest: &[&str]) -> Ended {
    fedwasm(&["--json", "verify"]).arg(receipt).arg("--data").arg(dir).args(rest).run()
}

fn result(ended: &Ended) -> Value {
    let result = ended.events().into_iter().find(|event| event["event"] == "result");
    result.unwrap_or_else(|| panic!("{}", ended.stderr))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for dir in [dir.to_owned(), dir.join("identity")] {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn unverifiable_runs_are_usage_errors() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let command = fedwasm(&["local", "--target", "benign", "--seed", "1", "--plan"]);
    let command = command.arg(crate::support::plan()).arg("--out").arg(&out);
    command.arg("--data").arg(crate::support::data("breast_cancer.csv")).ok();
    let ended = fedwasm(&["experiment", "verify"]).arg(&out).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("this is a local run, which aggregates nothing"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_run_is_repeated_from_its_receipt_byte_for_byte_and_one_bit_is_enough_to_fail() {
    let federation = finished(|text| text);
    let node = federation.dir.path().join("n0");
    let receipts = out(&federation).join("receipts");
    let receipt = receipts.join("round-0002-n0-train.json");
    // In a worker and optimised, and in this process and not optimised.
    for rest in [&[][..], &["--unoptimised"]] {
        let ended = verify(&receipt, &node, rest);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let result = result(&ended);
        assert_eq!((&result["verified"], &result["rerun"]), (&json!(true), &json!(true)));
        // Two rounds, each trained and scored: three before the last but one.
        assert_eq!(result["chain"], json!(2));
    }
    let scored = verify(
        &receipts.join("round-0001-n1-validate.json"),
        &federation.dir.path().join("n1"),
        &[],
    );
    assert_eq!(scored.code, 0, "{}", scored.stderr);
    // Written out by some of its digits.
    let whole = Digest::of(&std::fs::read(&receipt).unwrap()).to_string();
    let out_of = |digits: &str| {
        let file = federation.dir.path().join("written.json");
        let run = fedwasm(&["node", "receipt"]).arg(&node).arg(digits).arg("-o").arg(&file).run();
        (run, std::fs::read(file).unwrap_or_default())
    };
    let (ended, by_six) = out_of(&whole[..6]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(by_six, out_of(&whole).1);
    for (digits, said) in
        [("abc", "too few"), ("zzzzzz", "there is no receipt"), ("%_____", "no receipt")]
    {
        let (ended, _) = out_of(digits);
        assert!(ended.code == 2 && ended.stderr.contains(said), "{}", ended.stderr);
    }
    // Away from the site: the signature alone, by the roster.
    let run = fedwasm(&["--json", "verify"]).arg(&receipt).arg("--membership");
    let ended = run.arg(receipts.join("membership.json")).ok();
    assert_eq!(
        (&result(&ended)["rerun"], &result(&ended)["signed_by"]),
        (&json!(false), &json!("node-n0"))
    );
    assert!(!ended.stdout.contains("n0/d"), "no path of the site");

    let signed = std::fs::read(&receipt).unwrap();
    let changed = federation.dir.path().join("changed.json");
    for at in [40, signed.len() / 2, signed.len() - 20] {
        let mut bytes = signed.clone();
        bytes[at] ^= 1;
        std::fs::write(&changed, bytes).unwrap();
        let ended = verify(&changed, &node, &[]);
        assert_eq!(ended.code, 3, "{at}: {}", ended.stderr);
        assert_eq!(result(&ended)["part"], "signature", "{at}");
    }
    // One bit of each of the inputs, in a copy of the node.
    let round: Value = {
        use base64::Engine as _;
        let envelope: Value = serde_json::from_slice(&signed).unwrap();
        let payload = envelope["payload"].as_str().unwrap();
        let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
        serde_json::from_slice(&payload).unwrap()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let plan = text(&round["request"]["plan"]["sha256"]);
    let params = text(&round["request"]["params"]["sha256"]);
    let previous = text(&round["previous"]);
    let digest = Digest::of(&signed);
    let flip = |file: &Path| {
        let mut bytes = std::fs::read(file).unwrap();
        let at = bytes.len() - 2;
        bytes[at] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    for (file, part) in
        [(format!("inputs/{params}"), "parameters"), (format!("inputs/{plan}"), "plan")]
    {
        let copied = federation.dir.path().join(format!("copy-{part}"));
        copy(&node, &copied);
        private(&copied);
        flip(&copied.join(file));
        let ended = verify(&receipt, &copied, &[]);
        assert_eq!((ended.code, &result(&ended)["part"]), (3, &json!(part)), "{}", ended.stderr);
    }
    for (column, of, part) in
        [("signed", &previous, "previous"), ("opening", &digest.to_string(), "dataset")]
    {
        let copied = federation.dir.path().join(format!("copy-{column}"));
        copy(&node, &copied);
        private(&copied);
        let database = rusqlite::Connection::open(copied.join("registry.db")).unwrap();
        let query = format!("SELECT {column} FROM receipt WHERE digest = ?1");
        let mut bytes: Vec<u8> = database.query_row(&query, [of], |row| row.get(0)).unwrap();
        let at = bytes.iter().position(|byte| byte.is_ascii_digit()).unwrap();
        bytes[at] ^= 1;
        let change = format!("UPDATE receipt SET {column} = ?1 WHERE digest = ?2");
        database.execute(&change, rusqlite::params![bytes, of]).unwrap();
        drop(database);
        let ended = verify(&receipt, &copied, &[]);
        assert_eq!((ended.code, &result(&ended)["part"]), (3, &json!(part)), "{}", ended.stderr);
    }
    // One that the node's key signed, and that is in no entry of its log.
    let key = fedwasm_trust::KeyPair::read(&node.join("identity/key.pem")).unwrap();
    let mut forged = fedwasm_trust::Receipt::verify(&signed, key.public()).unwrap();
    forged.previous = None;
    let path = federation.dir.path().join("forged.json");
    std::fs::write(&path, forged.sign(&key).unwrap()).unwrap();
    let ended = verify(&path, &node, &[]);
    assert_eq!((ended.code, &result(&ended)["part"]), (3, &json!("receipt")), "{}", ended.stderr);
    let exported = federation.dir.path().join("exported.json");
    let export = fedwasm(&["node", "receipt"]).arg(&node).arg(digest.to_string());
    export.arg("-o").arg(&exported).ok();
    assert_eq!(std::fs::read(&exported).unwrap(), signed);
    // The data themselves: a cell, and nothing of what it was leaves in the message.
    let data = federation.dir.path().join("part-0-of-2.csv");
    let good = std::fs::read(&data).unwrap();
    flip(&data);
    let ended = verify(&receipt, &node, &[]);
    assert_eq!((ended.code, &result(&ended)["part"]), (3, &json!("dataset")));
    std::fs::write(&data, good).unwrap();
    assert_eq!(verify(&receipt, &node, &[]).code, 0);
    // The receipt of another node is not this one's.
    let other = verify(&receipts.join("round-0002-n1-train.json"), &node, &[]);
    assert_eq!((other.code, &result(&other)["part"]), (3, &json!("node")));
}

#[test]
fn runs_with_state_and_auxiliary_variables_are_repeated() {
    let federation = finished(|text| {
        let plan = crate::support::personal().display().to_string();
        let text = text.edit(&crate::support::plan().display().to_string(), &plan);
        text.edit("n_classes = 2", "") + "[aggregator]\nname = \"scaffold\"\n"
    });
    let receipts = out(&federation).join("receipts");
    for round in 1..=2 {
        let receipt = receipts.join(format!("round-000{round}-n1-train.json"));
        let ended = verify(&receipt, &federation.dir.path().join("n1"), &["--unoptimised"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let ended = fedwasm(&["--json", "experiment", "verify"]).arg(out(&federation)).ok();
    assert_eq!((&result(&ended)["rounds"], &result(&ended)["receipts"]), (&json!(2), &json!(4)));
}

#[test]
fn every_aggregation_is_computed_again_and_one_bit_is_enough_to_fail() {
    for aggregator in ["fedavg", "fedadam", "scaffold"] {
        let federation =
            finished(|text| text + &format!("[aggregator]\nname = \"{aggregator}\"\n"));
        let out = out(&federation);
        let verify = || fedwasm(&["--json", "experiment", "verify"]).arg(&out).run();
        let ended = verify();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let found = result(&ended);
        assert_eq!((&found["rounds"], &found["receipts"]), (&json!(2), &json!(4)));
        if aggregator != "fedavg" {
            continue;
        }
        let history = out.join("history.json");
        let good = std::fs::read_to_string(&history).unwrap();
        let parsed: Value = serde_json::from_str(&good).unwrap();
        let record = &parsed["rounds"][1];
        let samples = format!("\"n_samples\": {}", record["nodes"]["n0"]["n_samples"]);
        let upload = record["nodes"]["n1"]["upload"].as_str().unwrap().to_owned();
        let result_sha256 = record["params_sha256"].as_str().unwrap();
        for (from, to, why) in [
            (samples.as_str(), "\"n_samples\": 7", "receipt has another value for samples"),
            (result_sha256, &"0".repeat(64), "belongs to another score"),
            ("\"lr\": 0.1", "\"lr\": 0.2", "receipt has another value for training arguments"),
            ("\"fedavg\"", "\"fedadagrad\"", "its updates give"),
            (upload.as_str(), &"1".repeat(64), "n1: "),
        ] {
            std::fs::write(&history, good.edit_all(from, to)).unwrap();
            let ended = verify();
            assert_eq!(ended.code, 3, "{from}: {}", ended.stderr);
            assert!(ended.stderr.contains(why), "{why}: {}", ended.stderr);
        }
        std::fs::write(&history, &good).unwrap();
        // Numbers that are shown and their consequences are checked, too.
        let mut changed = parsed.clone();
        changed["rounds"][1]["evaluation"]["metrics"]["accuracy"] = json!(0.9999);
        std::fs::write(&history, changed.to_string()).unwrap();
        assert!(verify().stderr.contains("its scores do not match those of its nodes"));
        let mut changed = parsed.clone();
        let of_node = &mut changed["rounds"][1]["nodes"]["n0"];
        of_node["global_evaluation"]["metrics"]["accuracy"] = json!(0.9999);
        std::fs::write(&history, changed.to_string()).unwrap();
        assert!(verify().stderr.contains("belongs to another score"));
        let mut changed = parsed.clone();
        changed["rounds"].as_array_mut().unwrap().pop();
        std::fs::write(&history, changed.to_string()).unwrap();
        assert!(verify().stderr.contains("finished with 1 of 2 rounds"));
        std::fs::write(&history, &good).unwrap();
        for name in ["params.safetensors", "params.mpk", "receipts/membership.json"] {
            let file = out.join(name);
            let bytes = std::fs::read(&file).unwrap();
            match name.starts_with("params") {
                true => {
                    let mut bytes = bytes.clone();
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(&file, bytes).unwrap();
                }
                false => std::fs::remove_file(&file).unwrap(),
            }
            let ended = verify();
            assert!(ended.code == 3 && ended.stderr.contains(name), "{}", ended.stderr);
            std::fs::write(&file, bytes).unwrap();
        }
        assert_eq!(verify().code, 0);
        let file = out.join(format!("uploads/{upload}.safetensors"));
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let ended = verify();
        assert!(ended.stderr.contains("round 2: n1: upload"), "{}", ended.stderr);
        assert!(ended.stderr.contains("has other bytes"), "{}", ended.stderr);
    }
}

#[test]
fn the_log_of_a_node_records_requests_runs_and_results() {
    let federation = finished(|text| text);
    let node = federation.dir.path().join("n0");
    let checkpoint = federation.dir.path().join("checkpoint.json");
    let log = fedwasm(&["--json", "node", "log", "--check", "--kind", "run", "--checkpoint"]);
    let log = log.arg(&checkpoint).arg(&node).ok();
    let runs: Vec<Value> =
        log.events().into_iter().filter(|event| event["event"] == "entry").collect();
    assert_eq!(runs.len(), 4);
    let run = &runs[0];
    assert!(run["researcher"].as_str().unwrap().starts_with("researcher-"));
    assert_eq!(
        (&run["round"], &run["mode"], &run["dataset"]),
        (&json!(1), &json!("train"), &json!("d"))
    );
    assert!(run["left"]["params"]["sha256"].is_string() && run["receipt"].is_string());
    let text = fedwasm(&["node", "log"]).arg(&node).ok().stdout;
    assert!(text.lines().any(|line| line.contains(" run ")), "{text}");
    let since = || fedwasm(&["node", "log", "--since"]).arg(&checkpoint).arg(&node).run();
    assert_eq!(since().code, 0);
    let database = rusqlite::Connection::open(node.join("registry.db")).unwrap();
    database.execute("UPDATE log SET entry = replace(entry, 'train', 'drain')", []).unwrap();
    let ended = since();
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("was changed"), "{}", ended.stderr);
}

/// A node that signs nothing takes part, unless the experiment wants receipts.
#[test]
fn require_receipts_leaves_out_nodes_without_them() {
    let federation = Federation::start();
    let columns = crate::fake::columns();
    let _node = crate::fake::Fake::node(&federation, "n0", columns, Box::new(|_| None));
    let run = |more: &str| {
        let experiment = federation.experiment(|text| {
            let text = text.edit("min_nodes = 2", &format!("min_nodes = 1{more}"));
            text.edit("rounds = 2", "rounds = 1")
        });
        let out = federation.dir.path().join(format!("out{}", more.len()));
        fedwasm(&["--json", "experiment", "run"]).arg(&experiment).arg("--out").arg(out).run()
    };
    let ended = run("");
    assert!(ended.code == 0 && ended.stderr.contains("sends no receipts"), "{}", ended.stderr);
    let ended = run("\nrequire_receipts = true");
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("`strategy.require_receipts` is true"), "{}", ended.stderr);
}

/// Tensors at the host: the same bytes again, in a worker and in this process, and of nodes with
/// one thread and with two.
#[test]
fn runs_that_compute_at_the_host_are_repeated() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    // The last one again, with two threads.
    drop(federation.nodes.pop());
    let config = federation.dir.path().join("n1/node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.edit("[limits]\n", "[limits]\nthreads = 2\n")).unwrap();
    federation.start_node("n1");
    let plan = crate::support::guest("computes").display().to_string();
    let experiment = federation.experiment(|text| {
        let text = text.edit(&crate::support::plan().display().to_string(), &plan);
        text.edit("n_classes = 2\n", "").edit("optimizer_args = { lr = 0.1 }\n", "")
    });
    federation.run(&experiment).ok();
    for n in 0..2 {
        let receipt = format!("receipts/round-0002-n{n}-train.json");
        let node = federation.dir.path().join(format!("n{n}"));
        for rest in [&[][..], &["--unoptimised"]] {
            let ended = verify(&out(&federation).join(&receipt), &node, rest);
            assert_eq!(ended.code, 0, "{}", ended.stderr);
            let result = result(&ended);
            assert_eq!((&result["verified"], &result["rerun"]), (&json!(true), &json!(true)));
        }
        // In this process, with each instruction set that the machine has.
        let signed = std::fs::read(out(&federation).join(&receipt)).unwrap();
        for level in [Level::Plain, Level::Neon, Level::Avx2, Level::Avx512] {
            if limit(level) == level {
                let sandbox = Sandbox::in_process_with(InProcessOptions::default()).unwrap();
                fedwasm_node::rerun(&node, &signed, sandbox).unwrap();
            }
        }
        limit(Level::Avx512);
    }
}
