//! One researcher cannot have a node, its disk or its log to itself, and one that was revoked
//! has nothing of it any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fedwasm_protocol::{Body, Budget, Reason, Refusal, RequestId, RoundRequest};
use rusqlite::Connection;
use serde_json::Value;

use crate::fake::{Fake, Spy, enrol};
use crate::support::{Edit, Federation, event, fedwasm, part, wait_until};

struct Stage {
    federation: Federation,
    mallory: Fake,
    experiment: PathBuf,
    /// A round that the node runs.
    good: RoundRequest,
}

fn node(federation: &Federation) -> PathBuf {
    federation.dir.path().join("n0")
}

fn restart(federation: &mut Federation, from: &str, to: &str) {
    federation.nodes.clear();
    let file = node(federation).join("node.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, config.edit(from, to)).unwrap();
    let running = fedwasm(&["node", "start"]).arg(node(federation)).start();
    running.wait_for(event("ready"));
    federation.nodes.push(running);
}

fn stage(from: &str, to: &str) -> Stage {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    restart(&mut federation, from, to);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| {
        text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1")
    });
    federation.run(&experiment).ok();
    let good = spy.rounds().swap_remove(0);
    let mallory = Fake::start(&federation, enrol(&federation, "researcher-mallory"), |_, _| {});
    Stage { federation, mallory, experiment, good }
}

impl Stage {
    fn send(&self, change: impl FnOnce(&mut RoundRequest)) -> RequestId {
        let mut round = self.good.clone();
        change(&mut round);
        let (node, id) = (self.mallory.session_of("n0"), RequestId::random().unwrap());
        self.mallory.say.send(&node, id.clone(), None, Body::Round(Box::new(round)));
        id
    }

    fn refusals(&self) -> Vec<Refusal> {
        let heard = self.mallory.heard.lock().unwrap();
        let refusals = heard.iter().filter_map(|message| match &message.body {
            Body::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        });
        refusals.collect()
    }

    fn wait(&self, what: &str, is_there: impl Fn() -> bool) {
        wait_until(what, is_there);
    }

    fn entries(&self, kind: &str) -> Vec<Value> {
        let run = fedwasm(&["--json", "node", "log", "--kind", kind]).arg(node(&self.federation));
        let mut entries = run.ok().events();
        entries.retain(|event| event["event"] == "entry");
        entries
    }
}

fn endless(round: &mut RoundRequest, n: usize) {
    round.experiment_id = format!("mallory-{n}").parse().unwrap();
    round.training.budget = Budget::Updates { num_updates: 1 << 40 };
}

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => size(&entry.path()),
        false => entry.metadata().unwrap().len(),
    });
    sizes.sum()
}

/// Nine endless rounds, then silence: two wait beside the one that runs, and none is worked for
/// once the lease is over.
#[test]
fn a_silent_researcher_does_not_block_others() {
    let stage = stage("lease_s = 120", "lease_s = 10");
    (0..9).for_each(|n| drop(stage.send(|round| endless(round, n))));
    stage.wait("six refusals", || stage.refusals().len() == 6);
    for refusal in stage.refusals() {
        assert_eq!(refusal.reason, Reason::Busy);
        assert!(
            refusal.message.contains("2 of your rounds are already waiting"),
            "{}",
            refusal.message
        );
    }
    // Others have their turn, after one lease and not after three.
    let ended = stage.federation.run(&stage.experiment).run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    stage.federation.nodes[0].wait_for_log("has not been heard for 10 s: its round is cancelled");
    stage.wait("its end", || stage.entries("called-off").len() == 1);
}

/// Somebody who is there all the time has its turn and no more.
#[test]
fn a_round_yields_after_its_turn() {
    let stage = stage("rounds_max = 2\nturn_s = 600", "rounds_max = 1\nturn_s = 3");
    stage.send(|round| endless(round, 0));
    stage.wait("its begin", || stage.entries("started").len() == 3);
    let ended = stage.federation.run(&stage.experiment).run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let refusals = stage.refusals();
    assert!(refusals[0].message.contains("used its turn of 3 s"), "{refusals:?}");
    stage.wait("its end", || stage.entries("called-off").len() == 1);
}

/// A node stops a round for a researcher whose key is revoked, and tells it nothing more.
#[test]
fn a_round_ends_when_its_researcher_is_revoked() {
    let stage = stage("roster_refresh_s = 1", "roster_refresh_s = 1");
    stage.send(|round| {
        endless(round, 0);
        round.training.log_interval = 1;
    });
    let told = || {
        let heard = stage.mallory.heard.lock().unwrap();
        heard.iter().filter(|message| matches!(message.body, Body::Progress(_))).count()
    };
    stage.wait("progress", || told() > 2);
    let network = stage.federation.dir.path().join("network");
    fedwasm(&["network", "revoke", "--role", "researcher", "--id", "mallory", "--dir"])
        .arg(network)
        .ok();
    stage.federation.nodes[0].wait_for_log("the key of researcher-mallory was revoked");
    stage.wait("its end", || stage.entries("called-off").len() == 1);
    let before = told();
    // Silence has no message to wait for; while it ran, the round told of each batch.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(told(), before);
    assert_eq!(stage.federation.run(&stage.experiment).run().code, 0);
}

/// A newer roster is fetched for a stranger's message, too, long before the node would look.
#[test]
fn a_round_ends_however_its_revocation_arrives() {
    let stage = stage("roster_refresh_s = 1", "roster_refresh_s = 600");
    stage.send(|round| {
        endless(round, 0);
        round.training.log_interval = 1;
    });
    let is_told = || {
        let heard = stage.mallory.heard.lock().unwrap();
        heard.iter().any(|message| matches!(message.body, Body::Progress(_)))
    };
    stage.wait("progress", is_told);
    let network = stage.federation.dir.path().join("network");
    fedwasm(&["network", "revoke", "--role", "researcher", "--id", "mallory", "--dir"])
        .arg(network)
        .ok();
    let stranger = Fake::researcher(&stage.federation, "stranger");
    assert_eq!(stranger.ask("n0", Body::Ping), Body::Pong);
    stage.wait("its end", || stage.entries("called-off").len() == 1);
}

/// A flood of rounds that cannot run is counted, and writes few entries and no files.
#[test]
fn rounds_that_never_start_do_not_fill_the_disk() {
    let stage = stage("roster_refresh_s = 1", "roster_refresh_s = 1");
    let experiments = node(&stage.federation).join("experiments");
    let before = std::fs::read_dir(&experiments).unwrap().count();
    for n in 0..50 {
        // The mistake is seen only once plan and data are there.
        let answer = stage.mallory.ask("n0", {
            let mut round = stage.good.clone();
            round.experiment_id = format!("mallory-{n}").parse().unwrap();
            round.training.test_ratio = 0.9999;
            Body::Round(Box::new(round))
        });
        assert!(matches!(answer, Body::Refused(_)), "{answer:?}");
    }
    let n = stage.entries("refused").len();
    // A minute may have begun in between.
    assert!((20..=40).contains(&n), "{n}");
    assert_eq!(std::fs::read_dir(experiments).unwrap().count(), before);
}

/// Rounds of ever new experiments take a bounded part of the disk.
#[test]
fn experiments_stay_within_their_quota() {
    let stage = stage("experiments_bytes_max = 8589934592", "experiments_bytes_max = 400000");
    let experiments = node(&stage.federation).join("experiments");
    let honest = stage.good.experiment_id.to_string();
    for n in 0..40 {
        let mut round = stage.good.clone();
        round.experiment_id = format!("mallory-{n}").parse().unwrap();
        let answer = stage.mallory.ask("n0", Body::Round(Box::new(round)));
        assert!(matches!(answer, Body::RoundReply(_)), "{answer:?}");
        assert!(size(&experiments) < 400_000);
    }
    assert!(experiments.join("mallory-39").exists() && experiments.join(honest).exists());
    assert!(!experiments.join("mallory-0").exists());
}

/// With the disk full, rounds are refused and the log is written.
#[test]
fn a_full_disk_ends_rounds_and_not_the_log() {
    let mut stage = stage("roster_refresh_s = 1", "roster_refresh_s = 1");
    restart(
        &mut stage.federation,
        "free_bytes_min = 268435456",
        "free_bytes_min = 1125899906842624",
    );
    let inputs = node(&stage.federation).join("inputs");
    assert!(std::fs::read_dir(&inputs).unwrap().count() > 0);
    let answer = stage.mallory.ask("n0", Body::Round(Box::new(stage.good.clone())));
    let Body::Refused(refusal) = answer else { panic!("{answer:?}") };
    assert!(refusal.message.contains("the node's disk is full"), "{}", refusal.message);
    assert_eq!(stage.entries("refused").len(), 1);
    // Dispensable files went first.
    assert_eq!(std::fs::read_dir(&inputs).unwrap().count(), 0);
}

/// A decision that was taken out of the registry is missed: the node does not start, and an
/// auditor sees it.
#[test]
fn a_registry_that_lost_a_decision_is_refused() {
    let mut stage = stage("policy = \"any\"", "policy = \"any\"");
    let dir = node(&stage.federation);
    let plan = crate::support::plan();
    let revoke = fedwasm(&["node", "plan", "revoke", "--note", "flaw"]).arg(&dir).arg(&plan);
    assert_eq!(revoke.run().code, 0);
    assert_ne!(stage.federation.run(&stage.experiment).run().code, 0);
    stage.federation.nodes.clear();
    assert_eq!(fedwasm(&["node", "log", "--check"]).arg(&dir).run().code, 0);
    let database = Connection::open(dir.join("registry.db")).unwrap();
    database.execute("DELETE FROM decision", []).unwrap();
    drop(database);
    let ended = fedwasm(&["node", "log", "--check"]).arg(&dir).run();
    assert!(ended.code != 0 && ended.stderr.contains("is not in the registry"), "{}", ended.stderr);
    let ended = fedwasm(&["node", "start"]).arg(&dir).run();
    assert!(ended.code != 0 && ended.stderr.contains("is not in the registry"), "{}", ended.stderr);
}
