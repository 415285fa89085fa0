//! Parts of a federation that are away for seconds or minutes: every experiment ends with all nodes
//! in all rounds, and with the bytes that it would have had.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fedwasm_researcher::load_history;
use serde_json::Value;

use crate::support::{Edit, Federation, Proxy, Running, event, fedwasm, part, wait_until};

/// What is away, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    HubKilled,
    HubStopped,
    BrokerCutOff,
    RepositoryCutOff,
    NodeKilled,
    NodeStopped,
    ResearcherKilled,
    ResearcherStopped,
}

const ALL: [Away; 8] = [
    Away::HubKilled,
    Away::HubStopped,
    Away::BrokerCutOff,
    Away::RepositoryCutOff,
    Away::NodeKilled,
    Away::NodeStopped,
    Away::ResearcherKilled,
    Away::ResearcherStopped,
];

/// A federation of two nodes, and the ways to its broker and its repository.
struct Stage {
    federation: Federation,
    broker: Proxy,
    repository: Proxy,
    experiment: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let mut federation = Federation::start();
        let broker = Proxy::start(federation.mqtt.trim_start_matches("mqtt://"));
        let address = federation.repository.trim_start_matches("http://");
        let repository = Proxy::start(address.trim_end_matches('/'));
        (federation.mqtt, federation.repository) = (broker.url("mqtt"), repository.url("http"));
        for node in 0..2 {
            let file = part(federation.dir.path(), node, 2);
            federation.node(&format!("n{node}"), &file);
        }
        let experiment = federation.experiment(|text| {
            let text = text.edit("epochs = 1", "num_updates = 3000");
            let text = text.edit("rounds = 2", "rounds = 4\nsave_breakpoints = true");
            let text = text.edit("lr = 0.1", "lr = 0.05, momentum = 0.9, keep_state = true");
            let text = text.edit("patience_s = 0", "patience_s = 600");
            text + "[aggregator]\nname = \"fedadam\"\n"
        });
        Self { federation, broker, repository, experiment }
    }

    fn run(&self, flag: &str) -> Running {
        self.federation.to_out(&self.experiment, flag).start()
    }

    /// Has something be away for a while in the second round, and has the experiment end; the digest
    /// of its parameters.
    fn outage(&mut self, away: Away, time: Duration) -> String {
        let running = self.run("--force");
        running.wait_for(|event| event["event"] == "progress" && event["round"] == 2);
        // The outage itself.
        let wait = || std::thread::sleep(time);
        let running = match away {
            Away::HubKilled => {
                self.federation.stop_network();
                wait();
                self.federation.start_network();
                running
            }
            Away::HubStopped => {
                self.federation.signal_network("STOP");
                wait();
                self.federation.signal_network("CONT");
                running
            }
            Away::BrokerCutOff | Away::RepositoryCutOff => {
                let way = if away == Away::BrokerCutOff { &self.broker } else { &self.repository };
                way.shut();
                wait();
                way.open();
                running
            }
            Away::NodeKilled => {
                drop(self.federation.nodes.pop());
                wait();
                self.federation.start_node("n1");
                running
            }
            Away::NodeStopped => {
                self.federation.nodes[1].signal("STOP");
                wait();
                self.federation.nodes[1].signal("CONT");
                running
            }
            Away::ResearcherKilled => {
                drop(running);
                wait();
                self.run("--resume")
            }
            Away::ResearcherStopped => {
                running.signal("STOP");
                wait();
                running.signal("CONT");
                running
            }
        };
        self.end(running)
    }

    /// The digest of an experiment that ends well, with all nodes in all rounds.
    fn end(&self, running: Running) -> String {
        let (code, events) = running.end();
        assert_eq!(code, 0, "{events:?}");
        let history = load_history(&self.federation.dir.path().join("out")).unwrap();
        let nodes = history.rounds.iter().map(|round| round.nodes.len());
        assert_eq!(nodes.collect::<Vec<_>>(), [2; 4], "{events:?}");
        let is_scored = |round: &fedwasm_researcher::RoundRecord| round.evaluation.is_some();
        assert!(history.rounds.iter().all(is_scored), "{events:?}");
        events.last().unwrap()["params_sha256"].as_str().unwrap().to_owned()
    }
}

/// The digest of an experiment that nothing disturbs.
fn undisturbed(stage: &Stage) -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| stage.end(stage.run("--force")))
}

fn is_survived(away: Away, seconds: u64) {
    let mut stage = Stage::new();
    let digest = undisturbed(&stage);
    assert_eq!(stage.outage(away, Duration::from_secs(seconds)), digest);
}

#[test]
fn hub_that_is_killed_for_a_second() {
    is_survived(Away::HubKilled, 1);
}

#[test]
fn hub_that_stands_still_for_three_seconds() {
    is_survived(Away::HubStopped, 3);
}

#[test]
fn broker_that_is_cut_off_for_three_seconds() {
    is_survived(Away::BrokerCutOff, 3);
}

#[test]
fn repository_that_is_cut_off_for_three_seconds() {
    is_survived(Away::RepositoryCutOff, 3);
}

#[test]
fn node_that_is_killed_for_a_second() {
    is_survived(Away::NodeKilled, 1);
}

#[test]
fn researcher_that_is_killed_for_a_second() {
    is_survived(Away::ResearcherKilled, 1);
}

/// `FEDWASM_OUTAGES=1,10 cargo test --workspace --test it -- --ignored every_part_for`
#[test]
#[ignore = "an hour; by hand"]
fn every_part_for_seconds_and_minutes() {
    let seconds = std::env::var("FEDWASM_OUTAGES").unwrap_or_else(|_| "1,10,120,300".to_owned());
    let mut stage = Stage::new();
    let digest = undisturbed(&stage);
    let mut failed = Vec::new();
    for seconds in seconds.split(',').map(|text| text.parse().unwrap()) {
        for away in ALL {
            let at = Instant::now();
            let outage = std::panic::AssertUnwindSafe(|| {
                assert_eq!(stage.outage(away, Duration::from_secs(seconds)), digest);
            });
            let is_survived = std::panic::catch_unwind(outage).is_ok();
            let after = at.elapsed().as_secs_f64() - seconds as f64;
            println!("{away:?} for {seconds} s: {is_survived}, {after:.1} s beside the outage");
            if !is_survived {
                failed.push((away, seconds));
                stage = Stage::new();
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// A hub that stays away ends the experiment once its patience is over, with the reason, and it goes
/// on from there although no breakpoints were asked for.
#[test]
fn experiment_whose_hub_stays_away_ends_resumable() {
    let mut stage = Stage::new();
    let digest = undisturbed(&stage);
    let text = std::fs::read_to_string(&stage.experiment).unwrap();
    let text = text.edit("save_breakpoints = true", "").edit("patience_s = 600", "patience_s = 2");
    // The deadline ends the wait, too, if it is later.
    std::fs::write(&stage.experiment, text.edit("round_deadline_s = 120", "round_deadline_s = 20"))
        .unwrap();
    let running = stage.run("--force");
    running.wait_for(|event| event["event"] == "progress" && event["round"] == 2);
    stage.federation.stop_network();
    let waiting = running.wait_for(event("waiting"));
    assert!(waiting["reason"].as_str().unwrap().contains("broker"), "{waiting}");
    let (code, events) = running.end();
    assert_eq!(code, 5, "{events:?}");
    let error = events.iter().find(|event| event["event"] == "error").unwrap();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("waited for 2 s (`strategy.patience_s`)"), "{message}");
    // The nodes may take a while to come back, too.
    std::fs::write(&stage.experiment, text.edit("patience_s = 2", "patience_s = 600")).unwrap();
    stage.federation.start_network();
    let resumed: Value = stage.federation.to_out(&stage.experiment, "--resume").ok().result();
    assert_eq!(resumed["params_sha256"], digest);
}

/// A new experiment without a hub fails at once, as a person who forgot to start it expects; one
/// that is resumed waits for it.
#[test]
fn only_an_experiment_that_was_begun_waits_for_its_hub() {
    let mut stage = Stage::new();
    let digest = undisturbed(&stage);
    stage.federation.stop_network();
    let at = Instant::now();
    let fresh = stage.federation.dir.path().join("fresh");
    let ended =
        fedwasm(&["experiment", "run"]).arg(&stage.experiment).arg("--out").arg(fresh).run();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(at.elapsed() < Duration::from_secs(100), "{}", ended.stderr);
    stage.federation.start_network();
    wait_until("the nodes are connected again", || {
        let nodes = fedwasm(&["--json", "nodes", "--mqtt", &stage.federation.mqtt]).run().result();
        nodes["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2)
    });
    let running = stage.run("--force");
    running.wait_for(|event| event["event"] == "round" && event["round"] == 1);
    drop(running);
    stage.federation.stop_network();
    let running = stage.run("--resume");
    let waiting = running.wait_for(event("waiting"));
    assert!(waiting["reason"].as_str().unwrap().contains("cannot be reached"), "{waiting}");
    stage.federation.start_network();
    assert_eq!(stage.end(running), digest);
}
