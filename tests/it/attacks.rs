//! Attacks, one a test: each is refused for its own reason, the node says so, and serves on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fedwasm_protocol::{
    BlobRef, Body, Header, Kind, Message, PROTOCOL_VERSION, Reason, Recipient, Refusal, RequestId,
    Sealed, SessionId,
};
use fedwasm_transport::now_ms;
use fedwasm_trust::{KeyPair, Member};
use serde_json::{Value, json};

use crate::fake::{Fake, Spy, columns, enrol, enrol_in, usual};
use crate::support::{Edit, Federation, event, fedwasm, part, wait_for, wait_until};

/// A federation with one node, a researcher that is honest, and one that is not but has a key.
struct Stage {
    federation: Federation,
    spy: Spy,
    honest: Fake,
    mallory: Arc<Member>,
    to: Recipient,
    /// The broker's topic for messages from Mallory to the node.
    topic: String,
}

fn stage() -> Stage {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    let spy = Spy::start(&federation);
    let honest = Fake::researcher(&federation, "honest");
    let mallory = enrol(&federation, "researcher-mallory");
    let to = honest.session_of("n0");
    let root = format!("fedwasm/{}", mallory.membership().federation);
    let topic = format!("{root}/from/researcher-mallory/to/node-n0/{}", to.session);
    let stage = Stage { federation, spy, honest, mallory, to, topic };
    // The node knows everybody by now.
    stage.publish(stage.ping(|_| {}));
    stage.spy.wait_for(|message| message.body == Body::Pong);
    stage
}

impl Stage {
    /// A header of Mallory for a ping, changed.
    fn header(&self, body: &[u8], change: impl FnOnce(&mut Header)) -> Header {
        let mut header = Header {
            version: PROTOCOL_VERSION,
            federation: self.mallory.membership().federation.clone(),
            sender: self.mallory.participant().clone(),
            session: SessionId::random().unwrap(),
            connection: 1,
            sequence: 1,
            recipient: Some(self.to.clone()),
            kind: Kind::Ping,
            request_id: RequestId::random().unwrap(),
            in_reply_to: None,
            deadline_ms: 1_000,
            issued_ms: now_ms(),
            expires_ms: now_ms() + 60_000,
            refers: Vec::new(),
            body: BlobRef::of(body),
        };
        change(&mut header);
        header
    }

    /// A ping that Mallory signs, with what `change` makes of its header.
    fn ping(&self, change: impl FnOnce(&mut Header)) -> Sealed {
        let body = Body::Ping.encode().unwrap();
        let header = self.header(&body, change).encode().unwrap();
        let signature = self.mallory.key().sign(&Sealed::signed_bytes(&header)).unwrap();
        Sealed { header, body, signature }
    }

    fn publish(&self, sealed: Sealed) {
        self.spy.publish(&self.topic, sealed.encode().unwrap());
    }

    /// The node says why it refuses what was published, and serves on.
    fn refused(&self, why: &str) {
        self.federation.nodes[0].wait_for_log(why);
        assert_eq!(self.honest.ask("n0", Body::Ping), Body::Pong);
    }
}

#[test]
fn signature_stripped() {
    let stage = stage();
    stage.publish(Sealed { signature: Vec::new(), ..stage.ping(|_| {}) });
    stage.refused("is refused: it is not signed by researcher-mallory");
    // It is in the node's log, too.
    let dir = stage.federation.dir.path().join("n0");
    wait_until("the refusal in the node's log", || {
        let log = fedwasm(&["--json", "node", "log", "--kind", "message-refused"]).arg(&dir).ok();
        log.events().iter().any(|entry| {
            entry["topic"] == "researcher-mallory"
                && entry["reason"] == "it is not signed by researcher-mallory"
        })
    });
}

#[test]
fn signature_of_another_key() {
    let stage = stage();
    let sealed = stage.ping(|_| {});
    let signed = Sealed::signed_bytes(&sealed.header);
    let signature = KeyPair::generate().unwrap().sign(&signed).unwrap();
    stage.publish(Sealed { signature, ..sealed });
    stage.refused("it is not signed by researcher-mallory");
    // Nor with a good key in the name of somebody else.
    stage.publish(stage.ping(|header| header.sender = "researcher-honest".parse().unwrap()));
    stage.refused(
        "names researcher-honest as its sender, but it came over the topic of researcher-mallory",
    );
    let root = &stage.topic[..stage.topic.find("/from/").unwrap()];
    let topic = format!("{root}/from/researcher-honest/to/node-n0/{}", stage.to.session);
    let sealed = stage.ping(|header| header.sender = "researcher-honest".parse().unwrap());
    stage.spy.publish(&topic, sealed.encode().unwrap());
    stage.refused("it is not signed by researcher-honest");
}

#[test]
fn key_that_was_revoked() {
    let stage = stage();
    let network = stage.federation.dir.path().join("network");
    fedwasm(&["network", "revoke", "--role", "researcher", "--id", "mallory", "--dir"])
        .arg(network)
        .ok();
    // The node looks at the roster every second in these tests.
    stage.federation.nodes[0].wait_for_log("the roster was replaced by number");
    stage.publish(stage.ping(|_| {}));
    stage.refused("the key of researcher-mallory that signed it is revoked");
}

#[test]
fn message_that_expired_and_message_of_the_future() {
    let stage = stage();
    let minutes = |n: u64| n * 60_000;
    stage.publish(stage.ping(|header| {
        header.issued_ms -= minutes(8);
        header.expires_ms = header.issued_ms + minutes(2);
    }));
    stage.refused("it expired");
    stage.publish(stage.ping(|header| {
        header.issued_ms += minutes(6);
        header.expires_ms += minutes(6);
    }));
    stage.refused("in the future; a clock may be wrong");
    stage.publish(stage.ping(|header| header.expires_ms += minutes(60)));
    stage.refused("it claims to be valid for");
}

#[test]
fn request_replayed_before_and_after_a_restart() {
    let mut stage = stage();
    let sealed = stage.ping(|_| {});
    stage.publish(sealed.clone());
    stage.publish(sealed.clone());
    stage.refused("it was received before");
    // The node starts anew: what was said to its earlier run is nothing to this one.
    stage.federation.nodes.clear();
    let dir = stage.federation.dir.path().join("n0");
    let node = fedwasm(&["node", "start"]).arg(dir).start();
    node.wait_for(event("ready"));
    stage.federation.nodes.push(node);
    stage.publish(sealed.clone());
    let new = wait_for_new_session(&stage);
    let topic = stage.topic.replace(stage.to.session.as_str(), new.session.as_str());
    stage.spy.publish(&topic, sealed.encode().unwrap());
    stage.refused("it is for another session of this program");
}

fn wait_for_new_session(stage: &Stage) -> Recipient {
    wait_for("a new session", || {
        let to = stage.honest.session_of("n0");
        (to.session != stage.to.session).then_some(to)
    })
}

#[test]
fn message_for_another_recipient() {
    let stage = stage();
    stage.publish(stage.ping(|header| {
        header.recipient.as_mut().unwrap().participant = "node-n1".parse().unwrap();
    }));
    stage.refused("it is for node-n1");
    stage.publish(stage.ping(|header| header.recipient = None));
    stage.refused("it is for everybody");
    stage.publish(stage.ping(|header| header.federation = "another".parse().unwrap()));
    stage.refused("it belongs to federation another");
}

#[test]
fn message_of_a_kind_that_its_sender_may_not_send() {
    let stage = stage();
    stage.publish(stage.ping(|header| header.kind = Kind::RoundReply));
    stage.refused("a researcher may not send a round-reply");
    // A signed header of one kind over the body of another.
    stage.publish(stage.ping(|header| header.kind = Kind::Cancel));
    stage.refused("a ping in a cancel");
    let sealed = stage.ping(|_| {});
    let body = Body::Cancel.encode().unwrap();
    stage.publish(Sealed { body, ..sealed });
    stage.refused("body digest does not match its header");
}

#[test]
fn identifiers_with_wildcards_and_slashes() {
    let stage = stage();
    for name in ["researcher-+", "researcher-#", "researcher-a/b", "researcher-a b", "operator"] {
        let sealed = stage.ping(|_| {});
        // The length of a name is part of the encoding: the same number of bytes.
        let name = format!("{name:x<18}");
        let header = replace(&sealed.header, b"researcher-mallory", name.as_bytes());
        stage.publish(Sealed { header, ..sealed });
        stage.refused("is not an id");
    }
    for id in ["+", "#", "a/b", "../x", "a\n"] {
        let dir = stage.federation.dir.path().join("bad");
        let ended = fedwasm(&["node", "init", "--id", id]).arg(&dir).run();
        assert_eq!(ended.code, 2, "{id}: {}", ended.stderr);
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn bytes_that_are_not_a_message() {
    let stage = stage();
    stage.spy.publish(&stage.topic, vec![0x91; 60_000]);
    stage.refused("not a message");
    stage.spy.publish(&stage.topic, vec![0xc0; (64 << 10) - 100]);
    stage.refused("not a message");
    // Deep in the body, under a good signature: it is Mallory's own.
    let mut body = Body::Search(fedwasm_protocol::SearchRequest { tags: Vec::new() });
    let Body::Search(request) = &mut body else { unreachable!() };
    request.tags = vec![String::new()];
    let mut body = body.encode().unwrap();
    let at = body.iter().rposition(|byte| *byte == 0x91).unwrap();
    body.truncate(at);
    body.extend([0x91; 30_000]);
    let header = stage.header(&body, |header| header.kind = Kind::Search).encode().unwrap();
    let signature = stage.mallory.key().sign(&Sealed::signed_bytes(&header)).unwrap();
    stage.publish(Sealed { header, body, signature });
    stage.refused("not a message");
    // Larger than any message may be: the broker takes none of it.
    stage.spy.publish(&stage.topic, vec![0; 200 << 10]);
    assert_eq!(stage.honest.ask("n0", Body::Ping), Body::Pong);
}

/// Replies of one round, replayed in the next, and replies that another node
/// forges.
#[test]
fn replies_replayed_forged_or_for_another_round() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    let spy = Arc::new(Spy::start(&federation));
    // A second node answers only after two turns of replayed and forged replies.
    let n_turns = Arc::new(AtomicUsize::new(0));
    let turns = Arc::clone(&n_turns);
    let patient = Box::new(move |request: &fedwasm_protocol::RoundRequest| {
        let before = turns.load(Ordering::SeqCst);
        wait_until("two turns", || turns.load(Ordering::SeqCst) >= before + 2);
        Some(vec![usual(request)])
    });
    let _slow = Fake::node(&federation, "x", columns(), patient);
    let other = enrol(&federation, "node-other");
    let ears = Arc::clone(&spy);
    let root = format!("fedwasm/{}", other.membership().federation);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let replay = std::thread::spawn(move || {
        let mut n = 0;
        while !stopped.load(Ordering::Relaxed) {
            // All that n0 said so far, again.
            for (topic, payload) in ears.raw() {
                if topic.contains("/from/node-n0/to/") && n < 400 {
                    ears.publish(&topic, payload);
                    n += 1;
                }
            }
            // For each request to the slow node, an error and an answer in its name.
            for message in ears.to_nodes() {
                forge(&ears, &root, &other, &message);
            }
            n_turns.fetch_add(1, Ordering::SeqCst);
            // A flood without a pause would be another attack.
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let ended = federation.run(&federation.experiment(|text| text)).ok();
    stop.store(true, Ordering::Relaxed);
    replay.join().unwrap();
    assert_eq!(ended.result()["nodes"], json!(["n0", "x"]), "{}", ended.stderr);
    assert_eq!(ended.result()["rounds"], json!(2));
    for why in ["it was received before", "it is not signed by node-x"] {
        assert!(ended.stderr.contains(why), "{why}: {}", ended.stderr);
    }
}

/// An error in the name of node x, signed with the key of another.
fn forge(spy: &Spy, root: &str, other: &Member, request: &Message) {
    let asked = request.header.recipient.as_ref().unwrap();
    let x = "node-x".parse().unwrap();
    if asked.participant != x {
        return;
    }
    let body = Body::Refused(Refusal { reason: Reason::Internal, message: "no".into() });
    let body = body.encode().unwrap();
    let Header { sender, session, .. } = &request.header;
    let to = Recipient { participant: sender.clone(), session: session.clone() };
    let header = Header {
        version: PROTOCOL_VERSION,
        federation: other.membership().federation.clone(),
        sender: x,
        session: asked.session.clone(),
        connection: 1,
        sequence: u64::MAX,
        recipient: Some(to.clone()),
        kind: Kind::Refused,
        request_id: request.header.request_id.clone(),
        in_reply_to: Some(request.digest),
        deadline_ms: 0,
        issued_ms: now_ms(),
        expires_ms: now_ms() + 1_000,
        refers: Vec::new(),
        body: BlobRef::of(&body),
    };
    let header = header.encode().unwrap();
    let signature = other.key().sign(&Sealed::signed_bytes(&header)).unwrap();
    let sealed = Sealed { header, body, signature };
    let topic = format!("{root}/from/node-x/to/{}/{}", to.participant, to.session);
    spy.publish(&topic, sealed.encode().unwrap());
}

/// A node's will of an earlier connection, and unsigned ones, evict no node.
#[test]
fn forged_and_stale_wills_evict_no_node() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    let spy = Spy::start(&federation);
    // The node leaves, and its farewell is overheard; then it is back.
    federation.nodes[0].signal("INT");
    let offline = Body::Presence(fedwasm_protocol::Presence { online: false });
    let (topic, old) = spy.wait_for(|message| message.body == offline);
    federation.nodes.clear();
    let dir = federation.dir.path().join("n0");
    let node = fedwasm(&["node", "start"]).arg(dir).start();
    node.wait_for(event("ready"));
    federation.nodes.push(node);
    let experiment = federation.experiment(|text| {
        text.edit("epochs = 1", "num_updates = 4000").edit("min_nodes = 2", "min_nodes = 1")
    });
    let running = federation.run(&experiment).start();
    running.wait_for(event("progress"));
    spy.publish(&topic, old);
    spy.publish(&topic, rmp_serde::to_vec_named(&json!({"online": false})).unwrap());
    spy.publish(&topic, Vec::new());
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    assert!(!events.iter().any(|event| event["event"] == "dropped"));
}

/// A round that was asked for again over a newer connection is that one's: a farewell of the
/// earlier one that comes late does not have it give way to others.
#[test]
fn farewell_of_an_earlier_connection_does_not_touch_a_repeated_request() {
    let stage = stage();
    let long = stage.federation.experiment(|text| {
        text.edit("epochs = 1", "num_updates = 100000000").edit("min_nodes = 2", "min_nodes = 1")
    });
    let running = stage.federation.run(&long).start();
    running.wait_for(event("progress"));
    let mut round = stage.spy.rounds().pop().unwrap();
    round.experiment_id = "another".parse().unwrap();
    drop(running);
    stage.federation.nodes[0].wait_for_log("is gone; round");
    // Mallory asks for the same, twice.
    let (session, id) = (SessionId::random().unwrap(), RequestId::random().unwrap());
    let say = |body: &Body, topic: &str, (connection, sequence): (u64, u64)| {
        let bytes = body.encode().unwrap();
        let header = stage.header(&bytes, |header| {
            (header.connection, header.sequence) = (connection, sequence);
            (header.session, header.request_id) = (session.clone(), id.clone());
            (header.kind, header.refers) = (body.kind(), body.refers());
            header.deadline_ms = 120_000;
            if *body == Body::Farewell {
                header.recipient = None;
            }
        });
        let header = header.encode().unwrap();
        let signature = stage.mallory.key().sign(&Sealed::signed_bytes(&header)).unwrap();
        stage.spy.publish(topic, Sealed { header, body: bytes, signature }.encode().unwrap());
    };
    let is_progress = |message: &Message| {
        message.header.request_id == id && matches!(message.body, Body::Progress(_))
    };
    let farewell = format!("{}/from/researcher-mallory/farewell", root_of(&stage.topic));
    let round = Body::Round(Box::new(round));
    say(&round, &stage.topic, (1, 1));
    stage.spy.wait_for(is_progress);
    say(&round, &stage.topic, (2, 2));
    say(&Body::Farewell, &farewell, (1, 3));
    // The node hears in order and answers in order: after this answer it has heard the farewell,
    // and of the progress that it tells now, one message at most was under way.
    stage.spy.clear();
    say(&Body::Ping, &stage.topic, (2, 4));
    stage.spy.wait_for(|message| message.body == Body::Pong);
    for _ in 0..3 {
        stage.spy.clear();
        stage.spy.wait_for(is_progress);
    }
    assert!(!stage.federation.nodes[0].stderr.try_iter().any(|line| line.contains("is gone")));
    say(&Body::Farewell, &farewell, (2, 5));
    stage.federation.nodes[0].wait_for_log("researcher-mallory is gone; round");
}

fn root_of(topic: &str) -> &str {
    &topic[..topic.find("/from/").unwrap()]
}

/// A key of one federation is nothing in another, and a name is taken once.
#[test]
fn names_are_taken_once() {
    let federation = Federation::start();
    let _first = enrol(&federation, "node-a");
    let dir = federation.dir.path().join("second");
    let url = &federation.repository;
    let init = || {
        let run = fedwasm(&["node", "init", "--id", "a", "--mqtt", &federation.mqtt]);
        run.arg("--repository").arg(url).arg(&dir)
    };
    let ended = init().run();
    assert!(ended.code != 0 && ended.stderr.contains("already takes part"), "{}", ended.stderr);
    // The same identity twice is the same participant.
    let again = enrol_in(&federation, &federation.dir.path().join("fakes/node-a"), "node-a");
    assert_eq!(again.participant().to_string(), "node-a");
}

/// The answers of a hostile repository to a request for a blob.
#[derive(Clone, Copy, Debug)]
enum Hostile {
    /// Asks to look elsewhere.
    Redirects,
    /// Announces one length and sends without end.
    Endless,
    /// Announces no length and sends without end.
    EndlessUnannounced,
    /// Announces more than was asked for.
    Oversized,
    /// Sends what only a decompressor could read.
    Compressed,
}

/// A repository that is honest about the roster alone.
fn hostile_repository(roster: std::path::PathBuf, how: Hostile) -> (String, Arc<AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (elsewhere, visits) = (elsewhere(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&visits);
    let place = elsewhere.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in elsewhere.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, roster) = (stream.unwrap(), roster.clone());
            std::thread::spawn(move || {
                let mut head = [0; 4_096];
                while let Ok(n @ 1..) = stream.read(&mut head) {
                    let head = String::from_utf8_lossy(&head[..n]).into_owned();
                    let ok = "HTTP/1.1 200 OK\r\n";
                    // As long as the plan that was announced.
                    let size = std::fs::metadata(crate::support::plan()).unwrap().len();
                    let answer = match how {
                        _ if head.contains("/federation/roster") => {
                            let roster = std::fs::read(&roster).unwrap();
                            let text = format!("{ok}content-length: {}\r\n\r\n", roster.len());
                            stream.write_all(&[text.as_bytes(), &roster].concat()).unwrap();
                            continue;
                        }
                        Hostile::Redirects => format!(
                            "HTTP/1.1 302 Found\r\nlocation: http://{place}/\r\ncontent-length: 0\r\n\r\n"
                        ),
                        Hostile::Endless => format!("{ok}content-length: {size}\r\n\r\n"),
                        Hostile::EndlessUnannounced => format!("{ok}connection: close\r\n\r\n"),
                        Hostile::Oversized => format!("{ok}content-length: 99999999999\r\n\r\n"),
                        Hostile::Compressed => {
                            format!("{ok}content-encoding: gzip\r\ncontent-length: {size}\r\n\r\n")
                        }
                    };
                    let _ = stream.write_all(answer.as_bytes());
                    if !matches!(how, Hostile::Redirects) {
                        while stream.write_all(&[0x1f; 65_536]).is_ok() {}
                    }
                }
            });
        }
    });
    (url, visits)
}

fn elsewhere() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn repositories_that_redirect_compress_or_send_without_end() {
    for (how, why) in [
        (Hostile::Redirects, "answered 302"),
        (Hostile::Endless, "its bytes have the digest"),
        (Hostile::EndlessUnannounced, "were announced"),
        (Hostile::Oversized, "has 99999999999 bytes"),
        (Hostile::Compressed, "its bytes have the digest"),
    ] {
        let mut federation = Federation::start();
        let roster = federation.dir.path().join("network/federation/roster.json");
        let (url, visits) = hostile_repository(roster, how);
        let file = part(federation.dir.path(), 0, 2);
        federation.node_with_repository("n0", &file, &url);
        let one = |text: String| text.edit("min_nodes = 2", "min_nodes = 1");
        let ended = federation.run(&federation.experiment(one)).run();
        assert_eq!(ended.code, 5, "{how:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{how:?}: {}", ended.stderr);
        assert_eq!(visits.load(Ordering::SeqCst), 0, "nobody looks elsewhere");
        let honest = Fake::researcher(&federation, "honest");
        assert_eq!(honest.ask("n0", Body::Ping), Body::Pong);
    }
}

/// The places of all numbers in a message.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_owned()),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| numbers(value, &format!("{path}/{key}"), found));
        }
        Value::Array(values) => {
            let each = values.iter().enumerate();
            each.for_each(|(at, value)| numbers(value, &format!("{path}/{at}"), found));
        }
        _ => {}
    }
}

/// Every number of every request, one by one, at its ends and beyond: the node answers or
/// refuses, and trains all the same afterwards.
#[test]
fn every_number_of_a_request_at_its_limits() {
    let stage = stage();
    let experiment = stage.federation.experiment(|text| {
        let text = text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1");
        text.edit("epochs = 1", "epochs = 1\nbatch_maxnum = 9\ntest_batch_size = 64")
    });
    stage.federation.run(&experiment).ok();
    let mut round = crate::carried::first_by_repository(&stage.federation, &stage.spy);
    round.experiment_id = "mallory".parse().unwrap();
    let limits = serde_json::to_value(fedwasm_protocol::Limits::default()).unwrap();
    round.limits = serde_json::from_value(limits).unwrap();
    round.secagg = Some(crate::sums::args(fedwasm_protocol::SecaggScheme::Masking));
    let mut updates = round.clone();
    updates.training.budget = fedwasm_protocol::Budget::Updates { num_updates: 3 };
    let signatures = [round.plan, round.params];
    let columns = json!({ "x": { "kind": "number", "clip": [0, 1], "impute": 0.5 } });
    let approval = json!({ "plan": round.plan, "signatures": signatures, "columns": columns });
    let mut validate = round.clone();
    validate.mode = fedwasm_protocol::Mode::Validate;
    let bodies = [
        Body::Round(Box::new(round.clone())),
        Body::Round(Box::new(updates)),
        Body::Round(Box::new(validate)),
        Body::Approval(serde_json::from_value(approval).unwrap()),
    ];
    let whole = [0, 1, 11, u64::from(u32::MAX), 1 << 32, 1 << 53, i64::MAX as u64, u64::MAX];
    let ends = || {
        let whole = whole.into_iter().map(Value::from);
        whole.chain([json!(-1), json!(i64::MIN), json!(1e308), json!(-0.5)])
    };
    let (session, mut sequence, mut n) = (SessionId::random().unwrap(), 0, 0);
    let mut tell = |kind, body: Vec<u8>, deadline_ms| {
        sequence += 1;
        let header = stage.header(&body, |header| {
            header.kind = kind;
            header.session = session.clone();
            header.sequence = sequence;
            header.deadline_ms = deadline_ms;
            if let Ok(body) = Body::decode(&body) {
                header.refers = body.refers();
            }
        });
        let id = header.request_id.clone();
        let header = header.encode().unwrap();
        let signature = stage.mallory.key().sign(&Sealed::signed_bytes(&header)).unwrap();
        stage.publish(Sealed { header, body, signature });
        id
    };
    let answered = |id: &RequestId| {
        stage.spy.wait_for(|message| {
            message.header.request_id == *id
                && message.header.in_reply_to.is_some()
                && !matches!(message.body, Body::Progress(_))
        });
    };
    for body in &bodies {
        let good = serde_json::to_value(body).unwrap();
        let mut places = Vec::new();
        numbers(&good, "", &mut places);
        assert!(places.len() > 2, "{good}");
        for place in places {
            for end in ends() {
                let mut changed = good.clone();
                *changed.pointer_mut(&place).unwrap() = end;
                let bytes = rmp_serde::to_vec_named(&changed).unwrap();
                let is_read = Body::decode(&bytes).is_ok();
                let is_long = ["/epochs", "/num_updates", "/batch_maxnum"];
                let is_long = is_long.iter().any(|end| place.ends_with(end));
                let id = tell(body.kind(), bytes, if is_long { 500 } else { 10_000 });
                if is_read {
                    answered(&id);
                } else {
                    // Refused unread: what is said next is heard all the same.
                    let ping = tell(Kind::Ping, Body::Ping.encode().unwrap(), 1_000);
                    answered(&ping);
                }
                stage.spy.clear();
                n += 1;
            }
        }
    }
    assert!(n > 1_000, "{n}");
    stage.federation.run(&experiment).ok();
}
