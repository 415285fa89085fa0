//! Hubs, connections, clocks and processes that fail for a while: no node is lost to them.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use fedwasm_protocol::{Body, Message, Mode, Presence, Reason, Refusal, RoundRequest};
use serde_json::{Value, json};

use crate::fake::{Clocked, Fake, Spy, columns, enrol_in, stranger, usual};
use crate::support::{Edit, Federation, Proxy, Running, event, fedwasm, part};

fn federation(n: usize) -> Federation {
    let mut federation = Federation::start();
    for node in 0..n {
        let file = part(federation.dir.path(), node, n);
        federation.node(&format!("n{node}"), &file);
    }
    federation
}

/// An experiment of a few long rounds that counts with one node.
fn experiment(federation: &Federation, strategy: &str) -> PathBuf {
    federation.experiment(|text| {
        let text = text.edit("epochs = 1", "num_updates = 6000");
        let text = text.edit("rounds = 2", "rounds = 3");
        text.edit("min_nodes = 2\nround_deadline_s = 120", strategy)
    })
}

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// Broker and repository die in round 2 and are back at once: nodes and researcher come back one
/// after the other, and the first one must not speak into the void.
fn race(federation: &mut Federation) {
    let experiment = experiment(federation, "min_nodes = 1\nround_deadline_s = 60");
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "progress" && event["round"] == 2);
    federation.stop_network();
    // The outage itself: long enough to be noticed, too short for anybody to give up.
    std::thread::sleep(Duration::from_millis(300));
    federation.start_network();
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    let all = json!(["n0", "n1", "n2"]);
    let rounds: Vec<&Value> = of(&events, "round").iter().map(|round| &round["nodes"]).collect();
    // That of the first was looked at already.
    assert_eq!(rounds, [&all, &all], "{:?}", of(&events, "dropped"));
    assert!(of(&events, "dropped").is_empty(), "{events:?}");
    std::fs::remove_dir_all(federation.dir.path().join("out")).unwrap();
}

#[test]
fn hub_that_restarts_within_a_round_costs_no_node() {
    race(&mut federation(3));
}

/// `cargo test -p fedwasm --test it -- --ignored restart_race`
#[test]
#[ignore = "eight times the test above; by hand"]
fn restart_race_eight_times() {
    let mut federation = federation(3);
    for n in 1..=8 {
        race(&mut federation);
        println!("race {n}: all nodes in all rounds");
    }
}

/// A repository that is away for a while costs neither a node nor a retry, and the result is
/// what it would have been.
#[test]
fn repository_outage_of_seconds_is_waited_out() {
    let federation = federation(2);
    let whole = experiment(&federation, "min_nodes = 2\nround_deadline_s = 60");
    let whole = federation.run(&whole).ok().result();
    let proxy = Proxy::start(federation.repository.trim_start_matches("http://"));
    let experiment = experiment(&federation, "min_nodes = 2\nround_deadline_s = 60");
    let text = std::fs::read_to_string(&experiment).unwrap();
    let ours = format!("http://127.0.0.1:{}", proxy.port);
    std::fs::write(&experiment, text.edit(&federation.repository, &ours)).unwrap();
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "progress" && event["round"] == 1);
    proxy.shut();
    // The outage itself; both nodes are done long before its end, and their parameters wait in the
    // repository.
    std::thread::sleep(Duration::from_secs(6));
    proxy.open();
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    assert!(of(&events, "dropped").is_empty() && of(&events, "retry").is_empty(), "{events:?}");
    assert_eq!(events.last().unwrap()["params_sha256"], whole["params_sha256"]);
}

/// `retries` cover failures beyond the deadline: at the start and in a round.
#[test]
fn retries_cover_a_lost_broker_and_a_start_without_a_hub() {
    let federation = federation(2);
    let proxy = Proxy::start(federation.mqtt.trim_start_matches("mqtt://"));
    let strategy = "min_nodes = 2\nround_deadline_s = 4\nretries = 30\nretry_pause_s = 1";
    let experiment = experiment(&federation, strategy);
    let text = std::fs::read_to_string(&experiment).unwrap();
    let text = text.edit("num_updates = 6000", "num_updates = 2000");
    let ours = format!("mqtt://127.0.0.1:{}", proxy.port);
    std::fs::write(&experiment, text.edit(&federation.mqtt, &ours)).unwrap();
    proxy.shut();
    let running = federation.run(&experiment).start();
    let retry = running.wait_for(event("retry"));
    assert_eq!(retry["round"], 0);
    let reason = retry["reason"].as_str().unwrap();
    assert!(reason.contains("the broker mqtt://127.0.0.1:"), "{reason}");
    proxy.open();
    running.wait_for(|event| event["event"] == "progress" && event["round"] == 1);
    proxy.shut();
    let retry = running.wait_for(event("retry"));
    assert_eq!(retry["round"], 1);
    let reason = retry["reason"].as_str().unwrap();
    assert!(reason.contains("the connection to the broker is lost"), "{reason}");
    proxy.open();
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    assert_eq!(events.last().unwrap()["nodes"], json!(["n0", "n1"]));
    // Without retries the start fails at once, as somebody who forgot the hub expects.
    std::fs::write(&experiment, text.edit(&federation.mqtt, &ours).edit("retries = 30", ""))
        .unwrap();
    proxy.shut();
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
}

/// A node whose queue is full is asked again until the deadline, and costs no retry.
#[test]
fn busy_node_is_waited_for() {
    let federation = federation(1);
    let spy = Spy::start(&federation);
    let one = |text: String| text.edit("min_nodes = 2", "min_nodes = 1");
    let long =
        federation.experiment(|text| one(text).edit("epochs = 1", "num_updates = 100000000"));
    let first = federation.run(&long).start();
    first.wait_for(event("progress"));
    // The same researcher's rounds fill what it may have wait.
    let mut round = spy.rounds().pop().unwrap();
    let home = federation.dir.path().join("researcher");
    let filler = Fake::start(&federation, enrol_in(&federation, &home, "-"), |_, _| {});
    for n in 0..3 {
        round.experiment_id = format!("filler-{n}").parse().unwrap();
        let node = filler.session_of("n0");
        filler.say.send(&node, stranger(), None, Body::Round(Box::new(round.clone())));
    }
    let is_busy = |message: &Message| matches!(&message.body, Body::Refused(refusal) if refusal.reason == Reason::Busy);
    spy.wait_for(is_busy);
    spy.clear();
    let short = federation.experiment(one);
    let second = fedwasm(&["--json", "experiment", "run"]).arg(&short).start();
    spy.wait_for(is_busy);
    drop((first, filler));
    let (code, events) = second.end();
    assert_eq!(code, 0, "{events:?}");
    assert!(of(&events, "dropped").is_empty() && of(&events, "retry").is_empty(), "{events:?}");
}

/// The workers of a node, by number of process.
fn workers(node: &Running) -> Vec<String> {
    let task = format!("/proc/{0}/task/{0}/children", node.child.id());
    // Those that other threads started are theirs.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", node.child.id()));
    let tasks = tasks.map(|tasks| tasks.flatten().map(|task| task.path().join("children")));
    let tasks = tasks.into_iter().flatten().chain([PathBuf::from(task)]);
    let mut workers: Vec<String> = tasks
        .filter_map(|task| std::fs::read_to_string(task).ok())
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    workers.sort();
    workers.dedup();
    workers
}

fn kill(signal: &str, workers: &[String]) {
    // Some may have ended by themselves.
    let _ = std::process::Command::new("kill").arg(signal).args(workers).output();
}

/// The kernel ends a worker when memory is short: the next round asks its node again.
#[test]
fn worker_that_is_killed_costs_its_node_one_round() {
    let federation = federation(2);
    let experiment = experiment(&federation, "min_nodes = 1\nround_deadline_s = 60");
    let text = std::fs::read_to_string(&experiment).unwrap();
    std::fs::write(&experiment, text.edit("rounds = 3", "rounds = 4")).unwrap();
    let running = federation.run(&experiment).start();
    running.wait_for(|event| {
        event["event"] == "progress" && event["round"] == 2 && event["node"] == "n1"
    });
    kill("-KILL", &workers(&federation.nodes[1]));
    let dropped = running.wait_for(event("dropped"));
    assert_eq!(dropped["node"], "n1");
    assert!(dropped["reason"].as_str().unwrap().contains("was killed"), "{dropped}");
    running.wait_for(|event| event["event"] == "returned" && event["node"] == "n1");
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    assert_eq!(events.last().unwrap()["nodes"], json!(["n0", "n1"]));
}

/// The same while it scores: the breakpoint of that round knows the node.
#[test]
fn worker_that_is_killed_while_it_scores_is_in_the_breakpoint() {
    let federation = federation(2);
    let experiment = federation.experiment(|text| {
        let head = "rounds = 30\nsave_breakpoints = true\nkeep_breakpoints = 64";
        let text = text.edit("epochs = 1", "num_updates = 2000").edit("rounds = 2", head);
        text.edit("min_nodes = 2", "min_nodes = 2\nretries = 50\nretry_pause_s = 0")
    });
    let breakpoints = federation.dir.path().join("out/breakpoints");
    let running = federation.run(&experiment).env("FEDWASM_LOG", "debug").start();
    running.wait_for_log("round 1: breakpoint written");
    let node = &federation.nodes[1];
    let mut before = workers(node);
    for round in 2.. {
        assert!(round < 30, "no kill lands while it scores");
        running.wait_for_log(&format!("round {round}: 2 nodes trained"));
        // They stand still, whatever they are asked for, and then they die.
        kill("-STOP", &before);
        // Nothing says that a request has reached a process that stands still.
        std::thread::sleep(Duration::from_millis(200));
        let still = workers(node);
        kill("-KILL", &before);
        before = still.into_iter().filter(|worker| !before.contains(worker)).collect();
        running.wait_for_log(&format!("round {round}: breakpoint written"));
        let breakpoint = breakpoints.join(format!("round-{round:04}"));
        let breakpoint = fedwasm_researcher::Breakpoint::load(&breakpoint).unwrap();
        before.extend(workers(node));
        if let Some(reason) = breakpoint.job.away.get(&"n1".parse().unwrap()) {
            assert!(reason.contains("was killed"), "{reason}");
            assert_eq!(breakpoint.job.nodes.len(), 2);
            break;
        }
    }
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    assert_eq!(events.last().unwrap()["nodes"], json!(["n0", "n1"]));
}

/// A node of which something else went wrong while it scored: `--resume` asks it again, and says
/// who is missing if it is not there.
#[test]
fn breakpoint_keeps_a_node_that_failed_while_it_scored() {
    let federation = federation(1);
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let start = || {
        let fails = std::sync::Arc::clone(&fails);
        let behaviour = move |request: &RoundRequest| {
            let fails = fails.load(Ordering::SeqCst);
            let message = "it crashed".to_owned();
            Some(vec![match request.mode == Mode::Validate && request.round == 2 && fails {
                true => Body::Refused(Refusal { reason: Reason::PlanFailed, message }),
                false => usual(request),
            }])
        };
        Fake::node(&federation, "x", columns(), Box::new(behaviour))
    };
    let fake = start();
    let experiment = federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 2\nsave_breakpoints = true");
        text + "[aggregator]\nname = \"fedavg\"\n"
    });
    federation.run(&experiment).ok();
    let text = std::fs::read_to_string(&experiment).unwrap().edit("rounds = 2", "rounds = 4");
    std::fs::write(&experiment, text).unwrap();
    drop(fake);
    let ended = federation.to_out(&experiment, "--resume").run();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("x: it is not connected"), "{}", ended.stderr);
    fails.store(false, Ordering::SeqCst);
    let _fake = start();
    let ended = federation.to_out(&experiment, "--resume").ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "x"]));
    let events = ended.events();
    let warned = of(&events, "warning").into_iter().find(|event| {
        let message = event["message"].as_str().unwrap();
        message.contains("x had stopped taking part (it crashed)")
    });
    assert!(warned.is_some(), "{events:?}");
}

/// A service that is started before its hub waits for it; one that may not come ends.
#[test]
fn node_waits_for_its_hub_and_ends_if_it_was_revoked() {
    let mut federation = federation(1);
    federation.nodes.clear();
    federation.stop_network();
    let dir = federation.dir.path().join("n0");
    let node = fedwasm(&["node", "start"]).arg(&dir).start();
    node.wait_for_log("; waiting for it");
    federation.start_network();
    node.wait_for(event("ready"));
    // Stopped while it waits, it ends as ever.
    drop(node);
    federation.stop_network();
    let node = fedwasm(&["node", "start"]).arg(&dir).start();
    node.wait_for_log("; waiting for it");
    node.signal("TERM");
    assert_eq!(node.end().0, 0);
    federation.start_network();
    let network = federation.dir.path().join("network");
    fedwasm(&["network", "revoke", "--role", "node", "--id", "n0", "--dir"]).arg(network).ok();
    let ended = fedwasm(&["node", "start"]).arg(&dir).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("the key of node n0 was revoked"), "{}", ended.stderr);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
}

/// A backup that is brought up beside the node: the node stays, the copy leaves.
#[test]
fn copy_of_a_node_leaves_and_the_node_stays() {
    let mut federation = federation(1);
    let (dir, backup) = (federation.dir.path().join("n0"), federation.dir.path().join("backup"));
    copy(&dir, &backup);
    let ended = fedwasm(&["node", "start"]).arg(&backup).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("is a copy of its directory"), "{}", ended.stderr);
    assert!(ended.stderr.contains("backup"), "{}", ended.stderr);
    assert!(federation.nodes[0].child.try_wait().unwrap().is_none());
    let one = |text: String| text.edit("min_nodes = 2", "min_nodes = 1");
    let one = federation.experiment(|text| one(text) + "\n");
    let strategy = std::fs::read_to_string(&one).unwrap();
    let strategy = strategy.edit("min_nodes = 1", "min_nodes = 1\nretries = 20\nretry_pause_s = 1");
    std::fs::write(&one, strategy).unwrap();
    assert_eq!(federation.run(&one).ok().result()["nodes"], json!(["n0"]));
}

/// A replayed presence of an earlier run does not hide a node: it greets again.
#[test]
fn node_republishes_its_presence_after_another_replaced_it() {
    let mut federation = federation(1);
    let spy = Spy::start(&federation);
    let presence = |online: bool| Body::Presence(Presence { online });
    let (topic, old) = spy.wait_for(|message| message.body == presence(true));
    let old_session = {
        let sealed = fedwasm_protocol::Sealed::decode(&old).unwrap();
        sealed.header().unwrap().session
    };
    federation.nodes[0].signal("INT");
    spy.wait_for(|message| message.body == presence(false));
    federation.nodes.clear();
    federation.start_node("n0");
    let of_now =
        |message: &Message| message.body == presence(true) && message.header.session != old_session;
    // It greeted twice, since its farewell was still retained; after that it answers.
    let honest = Fake::researcher(&federation, "honest");
    assert_eq!(honest.ask("n0", Body::Ping), Body::Pong);
    spy.wait_for(|message| message.body == Body::Pong);
    let first = spy.heard().into_iter().rev().find(of_now).unwrap().header.sequence;
    // A broker that kept what was retained before would say this.
    spy.publish(&topic, old);
    spy.wait_for(|message| of_now(message) && message.header.sequence > first);
}

/// Rounds without end, which count with one node.
fn endless(federation: &Federation) -> Running {
    let experiment = experiment(federation, "min_nodes = 1\nround_deadline_s = 10");
    let text = std::fs::read_to_string(&experiment).unwrap();
    let text = text.edit("num_updates = 6000", "num_updates = 2000");
    std::fs::write(&experiment, text.edit("rounds = 3", "rounds = 500")).unwrap();
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "round" && event["round"] == 1);
    running
}

/// The node comes back and delivers.
fn comes_back(running: &Running, node: &str) {
    running.wait_for(|event| event["event"] == "returned" && event["node"] == node);
    let both = json!(["n0", node]);
    running.wait_for(|event| event["event"] == "round" && event["nodes"] == both);
}

#[test]
fn wrong_clock_is_reported_and_forgiven_once_it_is_right() {
    let federation = federation(1);
    let node = Clocked::node(&federation, "x", 0);
    let set = |seconds: i64| node.ahead_ms.store(seconds * 1_000, Ordering::SeqCst);
    let running = endless(&federation);
    for (seconds, said) in [(600, "600 s ahead of"), (-900, "900 s behind")] {
        set(seconds);
        let dropped = running.wait_for(event("dropped"));
        let reason = dropped["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("its clock is {said} this machine's")), "{reason}");
        set(0);
        comes_back(&running, "x");
    }
    drop(running);
    // At the search, too, and what is still believed is warned of.
    let short = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    set(-900);
    let ended = federation.run(&short).ok();
    let events = ended.events();
    let reason = of(&events, "dropped")[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("its clock is 900 s behind this machine's"), "{reason}");
    set(240);
    let ended = federation.run(&short).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "x"]), "{}", ended.stderr);
    assert!(ended.stderr.contains("x: its clock is 240 s ahead of"), "{}", ended.stderr);
}

#[test]
fn session_from_an_earlier_clock_counts_once_it_answers_a_ping() {
    let federation = federation(1);
    let first = Clocked::node(&federation, "x", 240_000);
    let running = endless(&federation);
    drop(first);
    let dropped = running.wait_for(event("dropped"));
    assert_eq!(dropped["node"], "x");
    let _second = Clocked::node(&federation, "x", 0);
    comes_back(&running, "x");
}

/// The library that gives a process another clock, if it is installed (Debian's libfaketime);
/// it must be where `FEDWASM_REQUIRE_FAKETIME` is set.
pub fn faketime() -> Option<PathBuf> {
    let dirs = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let paths = dirs.map(|dir| Path::new(dir).join("faketime/libfaketime.so.1"));
    paths.into_iter().find(|path| path.exists())
}

/// A node with a clock of its own, so many seconds off.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    fn new(federation: &Federation, library: PathBuf) -> Self {
        Self { library, file: federation.dir.path().join("clock") }
    }

    fn set(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    fn start(&self, federation: &Federation, id: &str) -> Running {
        let node = fedwasm(&["node", "start"]).arg(federation.dir.path().join(id));
        let node = node.env("LD_PRELOAD", self.library.to_str().unwrap());
        let node = node.env("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap());
        // Deadlines and pauses stay what they are.
        let node = node.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        let node = node.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_RESET", "1").start();
        node.wait_for(event("ready"));
        node
    }
}

#[test]
fn clock_that_jumps_and_returns_costs_no_node() {
    let Some(library) = faketime() else {
        assert!(std::env::var_os("FEDWASM_REQUIRE_FAKETIME").is_none(), "no libfaketime");
        return println!("skipped: no libfaketime");
    };
    let mut federation = federation(2);
    let clock = Clock::new(&federation, library);
    federation.nodes.pop();
    clock.set(0);
    federation.nodes.push(clock.start(&federation, "n1"));
    let running = endless(&federation);
    clock.set(600);
    let dropped = running.wait_for(event("dropped"));
    let reason = dropped["reason"].as_str().unwrap();
    assert!(reason.starts_with("its clock is 600 s ahead of this machine's"), "{reason}");
    federation.nodes[1].wait_for_log("a clock may be wrong");
    clock.set(0);
    comes_back(&running, "n1");
    drop(running);
    // A clock that is off by less than the bound is in the log.
    let short = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    clock.set(240);
    federation.run(&short).ok();
    federation.nodes[1].wait_for_log("is 240 s behind this one; messages are refused beyond 300 s");
}

#[test]
fn node_restarted_with_an_earlier_clock_rejoins() {
    let Some(library) = faketime() else {
        assert!(std::env::var_os("FEDWASM_REQUIRE_FAKETIME").is_none(), "no libfaketime");
        return println!("skipped: no libfaketime");
    };
    let mut federation = federation(2);
    let clock = Clock::new(&federation, library);
    federation.nodes.pop();
    clock.set(240);
    federation.nodes.push(clock.start(&federation, "n1"));
    let running = endless(&federation);
    federation.nodes.pop();
    running.wait_for(event("dropped"));
    clock.set(0);
    federation.nodes.push(clock.start(&federation, "n1"));
    comes_back(&running, "n1");
}
