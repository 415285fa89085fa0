//! Which plans may run at a node: decisions, policies, bounds, and what researchers are told.

use std::path::{Path, PathBuf};

use fedwasm_protocol::{Body, Digest, Reason};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::fake::{Fake, Spy};
use crate::support::{Edit, Ended, Federation, event, fedwasm, part, wait_for};

/// A federation whose one node has this policy.
fn federation(policy: &str) -> Federation {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    restart(&mut federation, |config| {
        config.edit("policy = \"any\"", &format!("policy = \"{policy}\""))
    });
    federation
}

/// Starts the node again, with another configuration.
fn restart(federation: &mut Federation, change: impl FnOnce(String) -> String) {
    federation.nodes.clear();
    let dir = node(federation);
    let config = std::fs::read_to_string(dir.join("node.toml")).unwrap();
    std::fs::write(dir.join("node.toml"), change(config)).unwrap();
    let running = fedwasm(&["node", "start"]).arg(&dir).start();
    running.wait_for(event("ready"));
    federation.nodes.push(running);
}

fn node(federation: &Federation) -> PathBuf {
    federation.dir.path().join("n0")
}

fn experiment(federation: &Federation, change: impl Fn(String) -> String) -> PathBuf {
    federation.experiment(|text| change(text.edit("min_nodes = 2", "min_nodes = 1")))
}

fn run(federation: &Federation) -> Ended {
    federation.run(&experiment(federation, |text| text)).run()
}

/// `fedwasm node plan COMMAND DIR PLAN ...`.
fn decide(federation: &Federation, command: &str, plan: &str, rest: &[&str]) -> Ended {
    let run = fedwasm(&["--json", "node", "plan", command]).arg(node(federation));
    run.arg(plan).args(rest).run()
}

fn list(federation: &Federation) -> Vec<Value> {
    let result = fedwasm(&["--json", "node", "plan", "list"]).arg(node(federation)).ok().result();
    result["plans"].as_array().unwrap().clone()
}

fn digest() -> String {
    Digest::of(&std::fs::read(crate::support::plan()).unwrap()).to_string()
}

fn refused(ended: &Ended, why: &str) {
    assert_eq!(ended.code, 3, "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(why), "{why}: {}", ended.stderr);
}

#[test]
fn decisions_on_a_plan_take_effect_and_are_reported() {
    let federation = federation("hand");
    assert!(list(&federation).is_empty());
    refused(&run(&federation), "the plan is pending there");
    let plans = list(&federation);
    assert_eq!((plans.len(), &plans[0]["standing"]), (1, &json!("pending")));
    let who = plans[0]["plan"]["requested_by"].as_str().unwrap();
    assert!(who.starts_with("researcher-"), "{who}");
    let digest = digest();
    let show = fedwasm(&["node", "plan", "show"]).arg(node(&federation)).arg(&digest[..8]).ok();
    for text in [&digest, "not signed", "training-plan/store", "no other version", "optimizer.lr"] {
        assert!(show.stdout.contains(text), "{text}: {}", show.stdout);
    }
    assert_eq!(decide(&federation, "reject", &digest, &["--note", "no paper, no data"]).code, 0);
    refused(&run(&federation), "the plan is rejected there: no paper, no data");
    assert_eq!(decide(&federation, "approve", &digest[..8], &["--note", "read it"]).code, 2);
    assert_eq!(decide(&federation, "approve", &digest[..16], &["--note", "read it"]).code, 0);
    assert_eq!(run(&federation).code, 0);
    assert_eq!(decide(&federation, "revoke", &digest, &["--note", "a flaw"]).code, 0);
    refused(&run(&federation), "the plan is revoked there: a flaw");
    // All of it is in the log, which is whole.
    let log = fedwasm(&["--json", "node", "log"]).arg(node(&federation)).ok();
    let kinds: Vec<_> = log.events().iter().map(|entry| entry["kind"].clone()).collect();
    for kind in ["policy", "asked", "registered", "rejected", "approved", "run", "revoked"] {
        assert!(kinds.contains(&json!(kind)), "{kind}: {kinds:?}");
    }
    let log = fedwasm(&["--json", "node", "log", "--check"]).arg(node(&federation)).ok();
    assert!(log.result()["checked"]["size"].as_u64().unwrap() >= 6);
}

/// Fed-BioMed's `training_plan_approve(description)`.
#[test]
fn the_description_of_a_plan_is_shown_with_its_request() {
    let federation = federation("hand");
    let words = "ethics 2026-17,\u{1b}[2J yes";
    let file = experiment(&federation, |text| {
        text.edit("rounds = 2", &format!("rounds = 2\ndescription = {words:?}"))
            .edit("\\u{1b}", "\\u001b")
    });
    // Asking is enough; nothing runs.
    let ended = fedwasm(&["experiment", "check"]).arg(&file).run();
    refused(&ended, "the plan is pending there");
    // A stranger's text commands no terminal.
    let shown = "ethics 2026-17, [2J yes";
    assert_eq!(list(&federation)[0]["plan"]["description"], json!(shown));
    let digest = digest();
    for command in [&["list"][..], &["show"]] {
        let run = fedwasm(&["node", "plan"]).args(command).arg(node(&federation));
        let run = if command == ["show"] { run.arg(&digest[..8]) } else { run };
        let text = run.ok().stdout;
        assert!(text.contains(shown), "{text}");
    }
    let long = "x".repeat(501);
    let file = experiment(&federation, |text| format!("description = \"{long}\"\n{text}"));
    let ended = fedwasm(&["experiment", "check"]).arg(&file).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`description` has 501 characters"), "{}", ended.stderr);
}

#[test]
fn revoking_stops_the_next_round_of_a_running_experiment() {
    let federation = federation("hand");
    assert_eq!(
        decide(&federation, "approve", crate::support::plan().to_str().unwrap(), &[]).code,
        0
    );
    let running = federation
        .run(&experiment(&federation, |text| text.edit("rounds = 2", "rounds = 1000000")))
        .start();
    running.wait_for(event("round"));
    decide(&federation, "revoke", &digest(), &["--note", "stop"]);
    let dropped = running.wait_for(event("dropped"));
    assert!(dropped["reason"].as_str().unwrap().contains("revoked here: stop"), "{dropped}");
    let (code, events) = running.end();
    assert_eq!(code, 3, "{:?}", events.last());
}

#[test]
fn an_older_approved_version_does_not_bypass_a_revocation() {
    let federation = federation("hand");
    let (old, new) = (crate::support::personal().to_owned(), crate::support::plan());
    let with = |plan: &Path| {
        let path = crate::support::plan().display().to_string();
        let text =
            move |text: String| text.edit(&path, plan.to_str().unwrap()).edit("n_classes = 2", "");
        federation.run(&experiment(&federation, text)).run()
    };
    for plan in [&old, &new] {
        assert_eq!(decide(&federation, "approve", plan.to_str().unwrap(), &[]).code, 0);
    }
    assert_eq!(with(&old).code, 0);
    let old_digest = Digest::of(&std::fs::read(&old).unwrap()).to_string();
    assert_eq!(decide(&federation, "revoke", &old_digest, &["--note", "leaks"]).code, 0);
    refused(&with(&old), "the plan is revoked there: leaks");
    // Not even under the name of the other: the bytes are what was decided on. The blob of the
    // new one is exchanged for the old one's after the node approved the new one's digest.
    let blob = federation.dir.path().join("network/blobs/sha256").join(digest());
    let honest = Fake::researcher(&federation, "honest");
    let spy = Spy::start(&federation);
    assert_eq!(run(&federation).code, 0);
    let mut round = spy.rounds().pop().unwrap();
    round.experiment_id = "another".parse().unwrap();
    // Whatever is compiled already is of a digest that was checked: start anew.
    let mut federation = federation;
    restart(&mut federation, |config| config);
    std::fs::write(&blob, std::fs::read(&old).unwrap()).unwrap();
    let first = spy.to_nodes().len();
    let answer = wait_for("an answer while it is compiled", || {
        let answer = honest.ask("n0", Body::Round(Box::new(round.clone())));
        let is_late =
            matches!(&answer, Body::Refused(refusal) if refusal.reason == Reason::Expired);
        (!is_late).then_some(answer)
    });
    assert!(first > 0);
    let Body::Refused(refusal) = answer else { panic!("{answer:?}") };
    assert_eq!(refusal.reason, Reason::Blob, "{}", refusal.message);
    // Nor by exchanging the bytes in the node's own registry.
    let database = Connection::open(node(&federation).join("registry.db")).unwrap();
    let bytes = std::fs::read(&old).unwrap();
    let change = "UPDATE plan SET component = ?1 WHERE digest = ?2";
    database.execute(change, (bytes, digest())).unwrap();
    let show = fedwasm(&["node", "plan", "show"]).arg(node(&federation)).arg(digest()).run();
    assert!(show.stderr.contains("do not match their digest"), "{}", show.stderr);
}

#[test]
fn approvals_cover_arguments_researchers_and_time() {
    let federation = federation("hand");
    let plan = crate::support::plan();
    let plan = plan.to_str().unwrap();
    let approve = |rest: &[&str]| assert_eq!(decide(&federation, "approve", plan, rest).code, 0);
    approve(&["--bound", "training.epochs<=3", "--bound", "optimizer.lr<=0.5"]);
    assert_eq!(run(&federation).code, 0);
    let epochs = experiment(&federation, |text| text.edit("epochs = 1", "epochs = 4"));
    let ended = federation.run(&epochs).run();
    refused(&ended, "approved here with training.epochs<=3 only, not with training.epochs = 4");
    // Which plan, its standing, and the role that can change it.
    let digest = Digest::of(&std::fs::read(plan).unwrap());
    refused(&ended, &format!("plan {digest} is approved here with training.epochs<=3 only"));
    refused(&ended, "; the node's operator decides (`fedwasm node plan approve`)");
    // The same amount of training in other words does not pass either.
    let updates = experiment(&federation, |text| text.edit("epochs = 1", "num_updates = 5"));
    refused(&federation.run(&updates).run(), "not without training.epochs");
    let both = experiment(&federation, |text| {
        text.edit("epochs = 1", "epochs = 1\nnum_updates = 1000000")
    });
    let ended = federation.run(&both).run();
    assert!(ended.code == 2 && ended.stderr.contains("both given"), "{}", ended.stderr);
    let spy = Spy::start(&federation);
    assert_eq!(run(&federation).code, 0);
    let mut round = spy.rounds().swap_remove(0);
    round.experiment_id = "other".parse().unwrap();
    // Nor is it for a client that is not ours: a request that says both is not read.
    let mut said = serde_json::to_value(Body::Round(Box::new(round))).unwrap();
    said["round"]["training"]["num_updates"] = json!(1_000_000);
    let said = rmp_serde::to_vec_named(&said).unwrap();
    let error = Body::decode(&said).unwrap_err().to_string();
    assert!(error.contains("both given"), "{error}");
    // Bounds on steps and rows hold for every way to ask for them.
    approve(&["--bound", "training.steps<=9", "--bound", "training.rows<=285"]);
    assert_eq!(run(&federation).code, 0);
    let steps = |steps: &str| {
        federation.run(&experiment(&federation, |text| text.edit("epochs = 1", steps))).run()
    };
    assert_eq!(steps("num_updates = 8").code, 0);
    refused(&steps("num_updates = 10"), "approved here with training.steps<=9 only, not with 10");
    let small = experiment(&federation, |text| text.edit("batch_size = 32", "batch_size = 8"));
    refused(&federation.run(&small).run(), "training.steps<=9 only, not with 29");
    approve(&["--bound", "training.rows<=228"]);
    refused(&steps("epochs = 2"), "training.rows<=228 only, not with 456");
    approve(&["--bound", "training.epochs<=3", "--bound", "optimizer.lr<=0.5"]);
    let fast = experiment(&federation, |text| text.edit("lr = 0.1", "lr = 0.6"));
    refused(&federation.run(&fast).run(), "not with optimizer.lr = 0.6");
    let ended = decide(&federation, "approve", plan, &["--bound", "training.epoch<=3"]);
    assert!(ended.code == 2 && ended.stderr.contains("has this argument"), "{}", ended.stderr);
    approve(&["--researcher", "somebody"]);
    refused(&run(&federation), "it is approved for other researchers only");
    approve(&["--days", "0"]);
    refused(&run(&federation), "the plan is no longer approved there");
    approve(&["--days", "1"]);
    assert_eq!(run(&federation).code, 0);
    let ended = decide(&federation, "approve", plan, &["--bound", "epochs<3"]);
    assert!(ended.code == 2 && ended.stderr.contains("invalid bound"), "{}", ended.stderr);
    // A decision without a good signature does not count: nothing runs.
    let database = Connection::open(node(&federation).join("registry.db")).unwrap();
    let change = "UPDATE decision SET signed =
                  CAST(replace(CAST(signed AS TEXT), 'sig\":\"', 'sig\":\"A') AS BLOB)";
    assert!(database.execute(change, []).unwrap() > 0);
    let ended = run(&federation);
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("registry cannot be used"), "{}", ended.stderr);
}

#[test]
fn plans_are_admitted_by_signer_or_by_list() {
    let mut federation = Federation::start();
    let dir = federation.dir.path().to_owned();
    let file = part(&dir, 0, 2);
    federation.node("n0", &file);
    for key in ["a.pem", "b.pem"] {
        fedwasm(&["keys", "generate"]).arg(dir.join(key)).ok();
    }
    std::fs::write(dir.join("n0/trust.toml"), "[[signer]]\nname = \"a\"\nkey = \"../a.pem.pub\"\n")
        .unwrap();
    restart(&mut federation, |config| config.edit("\"any\"", "\"signer\""));
    let plan = dir.join("plan.wasm");
    std::fs::copy(crate::support::plan(), &plan).unwrap();
    let with = |federation: &Federation| {
        let path = crate::support::plan().display().to_string();
        let text = |text: String| text.edit(&path, plan.to_str().unwrap());
        federation.run(&experiment(federation, text)).run()
    };
    let sign = |key: &str| {
        let run = fedwasm(&["plan", "sign"]).arg(&plan).arg("--key").arg(dir.join(key));
        run.arg("-o").arg(dir.join(format!("plan.wasm.{key}.sigstore.json"))).ok();
    };
    refused(&with(&federation), "none of the signers that this node trusts signed it");
    sign("b.pem");
    refused(&with(&federation), "none of the signers that this node trusts signed it");
    sign("a.pem");
    assert_eq!(with(&federation).code, 0);
    // A decision is above the policy.
    decide(&federation, "revoke", &digest(), &["--note", "all the same"]);
    refused(&with(&federation), "all the same");
    decide(&federation, "approve", &digest(), &[]);
    assert_eq!(with(&federation).code, 0);

    let mut federation = self::federation("list");
    refused(&run(&federation), "it is not on the node's list");
    let list = format!("policy = \"list\"\nlist = [\"{}\"]", digest());
    restart(&mut federation, |config| config.edit("policy = \"list\"", &list));
    assert_eq!(run(&federation).code, 0);
}

#[test]
fn one_researcher_cannot_fill_the_registry() {
    let federation = federation("hand");
    let honest = Fake::researcher(&federation, "honest");
    let url = federation.repository.parse().unwrap();
    let repository = fedwasm_transport::Repository::new(url, None).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let plan = std::fs::read(crate::support::plan()).unwrap();
    let ask = |n: u8| {
        // A custom section with a number of its own: another plan each.
        let bytes = [plan.as_slice(), &[0, 3, 1, b'x', n]].concat();
        let plan = runtime.block_on(repository.put(bytes)).unwrap();
        let signatures = Vec::new();
        let description = String::new();
        let columns = fedwasm_protocol::ColumnRules::default();
        let request = fedwasm_protocol::ApprovalRequest { plan, signatures, description, columns };
        honest.ask("n0", Body::Approval(request))
    };
    for n in 0..16 {
        let answer = ask(n);
        assert!(matches!(answer, Body::ApprovalReply(_)), "{n}: {answer:?}");
    }
    let Body::Refused(refusal) = ask(16) else { panic!("a 17th waits") };
    assert_eq!(refusal.reason, Reason::Busy, "{}", refusal.message);
    assert_eq!(list(&federation).len(), 16);
}
