//! Nothing leaves a node without an entry in its log, whatever becomes of the round.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fedwasm_protocol::{Body, Budget, Hasher, Reason, RequestId, RoundRequest, Value as Argument};
use serde_json::Value;

use crate::fake::{Fake, Spy, enrol};
use crate::support::{Edit, Federation, fedwasm, part, wait_for, wait_until};

/// The entries of the node's log, once `is_enough` holds.
fn log(federation: &Federation, is_enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    wait_for("entries of the node's log", || {
        let dir = federation.dir.path().join("n0");
        let mut entries = fedwasm(&["--json", "node", "log"]).arg(dir).ok().events();
        entries.retain(|event| event["event"] == "entry");
        is_enough(&entries).then_some(entries)
    })
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    let kinds = ["started", "run", "delivered", "not-delivered", "called-off", "expired", "failed"];
    let kind = |entry: &Value| kinds.into_iter().find(|kind| entry["kind"] == *kind);
    entries.iter().filter_map(kind).collect()
}

fn newest<'a>(entries: &'a [Value], kind: &str) -> &'a Value {
    entries.iter().rev().find(|entry| entry["kind"] == kind).unwrap()
}

/// A repository that hands everything on until it is told to take uploads and say nothing.
fn repository_that_hangs(to: &str, hangs: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let to = to.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, to, hangs) = (client.unwrap(), to.clone(), Arc::clone(&hangs));
            let mut server = TcpStream::connect(to).unwrap();
            let (mut back, mut answers) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            std::thread::spawn(move || {
                let mut piece = [0; 65_536];
                while let Ok(n @ 1..) = client.read(&mut piece) {
                    if hangs.load(Ordering::SeqCst) && piece.starts_with(b"PUT ") {
                        while let Ok(1..) = client.read(&mut piece) {}
                        return;
                    }
                    server.write_all(&piece[..n]).unwrap();
                }
            });
        }
    });
    url
}

fn one_round(text: String) -> String {
    text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1")
}

/// A repository that takes the parameters and never answers has them: the receipt and its
/// entry are older.
#[test]
fn uploads_come_after_their_receipt() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    let hangs = Arc::new(AtomicBool::new(false));
    let url = repository_that_hangs(&federation.repository, Arc::clone(&hangs));
    federation.node_with_repository("n0", &file, &url);
    // 18,600 bytes of parameters: too many for a message.
    let heavy = |text: String| one_round(text).edit("n_classes = 2", "n_classes = 150");
    let experiment = federation.experiment(heavy);
    federation.run(&experiment).ok();
    let entries = log(&federation, |entries| kinds(entries).len() == 6);
    assert_eq!(kinds(&entries), ["started", "run", "delivered"].repeat(2));
    let left = &entries.iter().find(|entry| entry["kind"] == "run").unwrap()["left"];
    let lr = left["optimizer_args"]["lr"].as_f64().unwrap();
    assert!((lr - 0.1).abs() < 1e-6, "{left}");
    hangs.store(true, Ordering::SeqCst);
    let short = federation
        .experiment(|text| heavy(text).edit("round_deadline_s = 120", "round_deadline_s = 3"));
    let ended = federation.run(&short).run();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    let entries = log(&federation, |entries| kinds(entries).len() == 9);
    let run = newest(&entries, "run");
    assert!(run["left"]["params"]["sha256"].is_string(), "{run}");
    // The researcher's cancel and the node's own deadline race.
    let end = &entries.last().unwrap();
    assert!(["expired", "called-off"].contains(&end["kind"].as_str().unwrap()), "{end}");
    assert_eq!(end["receipt"], run["receipt"]);
    assert!(end["told"]["numbers"].as_u64().unwrap() > 0, "{end}");
}

/// All numbers that were told are counted, with their digest, though nothing was delivered.
#[test]
fn rounds_without_a_result_record_their_progress() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(one_round);
    federation.run(&experiment).ok();
    let mut good = spy.rounds().swap_remove(0);
    good.experiment_id = "mallory".parse().unwrap();
    good.training.log_interval = 1;
    let mallory = Fake::start(&federation, enrol(&federation, "researcher-mallory"), |_, _| {});
    let endless = |round: &mut RoundRequest| {
        round.training.budget = Budget::Updates { num_updates: 1 << 40 };
    };
    let told = || {
        let (mut numbers, mut hasher) = (0, Hasher::default());
        for message in mallory.heard.lock().unwrap().iter() {
            if let Body::Progress(progress) = &message.body {
                numbers += progress.points.len() + usize::from(progress.loss.is_some());
                hasher.update(&message.body.encode().unwrap());
            }
        }
        (numbers, hasher.finish().to_string())
    };
    let check = |kind: &str, n: usize| {
        let entries = log(&federation, |entries| kinds(entries).len() == n);
        assert_eq!(kinds(&entries)[n - 2..], ["started", kind]);
        let end = newest(&entries, kind);
        let (numbers, sha256) = told();
        assert!(numbers > 0);
        assert_eq!(end["told"]["numbers"], numbers, "{end}");
        assert_eq!(end["told"]["sha256"], sha256);
        assert_eq!(end["experiment"], "mallory");
        mallory.heard.lock().unwrap().retain(|m| !matches!(m.body, Body::Progress(_)));
    };
    let progress = |enough: usize| wait_until("progress", || told().0 >= enough);
    let before = kinds(&log(&federation, |entries| kinds(entries).len() == 6)).len();

    // Called off by the researcher.
    let mut round = good.clone();
    endless(&mut round);
    let (node, id) = (mallory.session_of("n0"), RequestId::random().unwrap());
    mallory.say.send(&node, id.clone(), None, Body::Round(Box::new(round)));
    progress(10);
    mallory.say.send(&node, id, None, Body::Cancel);
    check("called-off", before + 2);

    // Its deadline, of 20 s here.
    let mut round = good.clone();
    endless(&mut round);
    match mallory.ask("n0", Body::Round(Box::new(round))) {
        Body::Refused(refusal) => assert_eq!(refusal.reason, Reason::Expired),
        other => panic!("{other:?}"),
    }
    check("expired", before + 4);

    // A plan that fails after it has told something.
    let mut round = good;
    round.training.optimizer_args = [("optimizer.lr".to_owned(), Argument::Real(3e38))].into();
    round.training.budget = Budget::Epochs { epochs: 50, batch_maxnum: None };
    match mallory.ask("n0", Body::Round(Box::new(round))) {
        Body::Refused(refusal) => assert_eq!(refusal.reason, Reason::PlanFailed),
        other => panic!("a {}", other.kind()),
    }
    check("failed", before + 6);
}
