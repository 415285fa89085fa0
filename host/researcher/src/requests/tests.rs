//! The wait for answers and the presence of nodes, without a runtime: time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    BlobRef, Body, Digest, Header, Kind, NodeId, PROTOCOL_VERSION, Participant, Presence, Progress,
    Reason, Refusal, RequestId,
};

use super::patience::{Patience, Verdict};
use super::presence::{Change, Directory};
use super::waiting::{Answer, Asked, Seen, Waiting};

const NOW_MS: u64 = 1_700_000_000_000;

fn node(id: &str) -> NodeId {
    id.parse().unwrap()
}

fn header(id: &str, session: &str) -> Header {
    Header {
        version: PROTOCOL_VERSION,
        federation: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        sender: Participant::node(&node(id)),
        session: session.parse().unwrap(),
        connection: 1,
        sequence: 1,
        recipient: None,
        kind: Kind::Presence,
        request_id: "r".parse().unwrap(),
        in_reply_to: None,
        deadline_ms: 1_000,
        issued_ms: NOW_MS,
        expires_ms: NOW_MS + 1_000,
        refers: Vec::new(),
        body: BlobRef::of(b""),
    }
}

fn busy() -> Body {
    Body::Refused(Refusal { reason: Reason::Busy, message: "full".into() })
}

/// One node that was asked, and the header of its answer.
fn asked(start: Instant) -> (Waiting<impl FnMut(Seen)>, Header) {
    let mut waiting = Waiting::new(start, |_| {});
    let id: RequestId = "r".parse().unwrap();
    let mut asked = Asked::new(id, Body::Ping);
    let digest = Digest::of(b"request");
    asked.digests.push(digest);
    waiting.wait_for(node("a"), asked);
    (waiting, Header { in_reply_to: Some(digest), ..header("a", "s") })
}

fn answers(waiting: Waiting<impl FnMut(Seen)>) -> BTreeMap<NodeId, (Answer, Duration)> {
    waiting.end().answers
}

#[test]
fn a_busy_node_is_asked_again_after_pauses_that_double() {
    let start = Instant::now();
    let (mut waiting, header) = asked(start);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        waiting.take(node("a"), &header, busy(), start);
        pauses.push(waiting.next_again().unwrap().duration_since(start).as_millis());
        assert_eq!(waiting.due(start).count(), 0);
    }
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    let later = start + Duration::from_secs(4);
    waiting.due(later).for_each(|(_, asked)| asked.asked_again());
    assert_eq!(waiting.due(later).count(), 0);
    assert_eq!(waiting.next_again(), None);
}

#[test]
fn at_the_deadline_each_node_is_busy_silent_or_of_another_clock() {
    let start = Instant::now();
    let mut waiting = Waiting::new(start, |_| {});
    for id in ["busy", "clock", "silent", "working"] {
        waiting.wait_for(node(id), Asked::new("r".parse().unwrap(), Body::Ping));
    }
    let header = header("any", "s");
    waiting.take(node("busy"), &header, busy(), start);
    let progress = Progress {
        request_id: "r".parse().unwrap(),
        steps: 3,
        steps_max: 10,
        loss: None,
        points: Vec::new(),
    };
    waiting.take(node("working"), &header, Body::Progress(progress), start);
    let ahead = |of: &NodeId| (of.as_str() == "clock").then_some(3_600_000);
    let end = start + Duration::from_secs(9);
    assert_eq!(waiting.deadline(ahead, end).len(), 4);
    assert!(waiting.is_over());
    let answers = answers(waiting);
    assert!(answers.values().all(|(_, time)| *time == Duration::from_secs(9)));
    let of = |id| &answers[&node(id)].0;
    assert!(matches!(of("busy"), Answer::Refused(refusal) if refusal.reason == Reason::Busy));
    assert!(matches!(of("clock"), Answer::Clock { ahead_ms: 3_600_000 }));
    assert!(matches!(of("silent"), Answer::Silent { progress: None }));
    assert!(matches!(of("working"), Answer::Silent { progress: Some((3, 10)) }));
}

#[test]
fn only_an_answer_to_the_very_request_counts() {
    let start = Instant::now();
    let (mut waiting, good) = asked(start);
    let other = Some(Digest::of(b"another request"));
    assert_eq!(waiting.sender_of(&Header { in_reply_to: other, ..good.clone() }), None);
    assert_eq!(waiting.sender_of(&Header { in_reply_to: None, ..good.clone() }), None);
    let request_id = "q".parse().unwrap();
    assert_eq!(waiting.sender_of(&Header { request_id, ..good.clone() }), None);
    let sender = Participant::node(&node("b"));
    assert_eq!(waiting.sender_of(&Header { sender, ..good.clone() }), None);
    assert_eq!(waiting.sender_of(&good), Some(node("a")));
    waiting.take(node("a"), &good, Body::Ping, start);
    // A second answer is not waited for.
    assert_eq!(waiting.sender_of(&good), None);
    assert!(matches!(answers(waiting)[&node("a")].0, Answer::Reply(Body::Ping)));
}

fn take(directory: &mut Directory, header: &Header, online: bool) -> Option<Change> {
    directory.take(header, Presence { online }, NOW_MS).map(|(_, change)| change)
}

#[test]
fn the_will_of_an_earlier_connection_evicts_nobody() {
    let mut directory = Directory::default();
    let first = header("a", "s");
    assert!(matches!(take(&mut directory, &first, true), Some(Change::Here)));
    let second = Header { connection: 2, sequence: 5, ..first.clone() };
    assert!(matches!(take(&mut directory, &second, true), Some(Change::Anew)));
    assert!(take(&mut directory, &first, false).is_none());
    assert!(directory.is_online(&node("a")));
    let will = Header { connection: 2, sequence: 0, ..first };
    assert!(matches!(take(&mut directory, &will, false), Some(Change::Gone)));
    assert!(!directory.is_online(&node("a")));
    // A replay of the same message brings no node back.
    assert!(take(&mut directory, &second, true).is_none());
    assert!(!directory.is_online(&node("a")));
}

#[test]
fn an_older_run_must_answer_before_it_is_believed() {
    let mut directory = Directory::default();
    let old = header("a", "old");
    let new = Header { issued_ms: NOW_MS + 10, ..header("a", "new") };
    take(&mut directory, &new, true);
    assert!(matches!(take(&mut directory, &old, true), Some(Change::Other(_))));
    assert_eq!(directory.get(&node("a")).unwrap().session.as_str(), "new");
    // No other node's answer makes it the one to talk to.
    assert_eq!(directory.take_other(&header("a", "third"), NOW_MS), None);
    assert_eq!(directory.take_other(&old, NOW_MS), Some(node("a")));
    assert_eq!(directory.get(&node("a")).unwrap().session.as_str(), "old");
    assert!(directory.take_late(&node("a")));
}

const S: Duration = Duration::from_secs(1);

#[test]
fn a_deadline_stands_still_while_the_connection_is_lost() {
    let start = Instant::now();
    let mut patience = Patience::new(start, 60 * S, 300 * S, None);
    assert_eq!((patience.due(), patience.left(start + 10 * S)), (start + 60 * S, 50 * S));
    patience.lost(start + 10 * S);
    // A second word of it changes nothing.
    patience.lost(start + 20 * S);
    assert_eq!(patience.due(), start + 310 * S);
    assert_eq!(patience.verdict(start + 309 * S), Verdict::Wait);
    assert_eq!(patience.verdict(start + 310 * S), Verdict::Lost);
    patience.restored(start + 110 * S);
    assert_eq!((patience.due(), patience.left(start + 110 * S)), (start + 160 * S, 50 * S));
    assert_eq!(patience.verdict(start + 159 * S), Verdict::Wait);
    assert_eq!(patience.verdict(start + 160 * S), Verdict::Late);
}

#[test]
fn a_connection_that_was_lost_before_counts_from_then_and_not_into_the_deadline() {
    let start = Instant::now() + 1_000 * S;
    let mut patience = Patience::new(start, 60 * S, 300 * S, Some(start - 290 * S));
    // Never before the deadline.
    assert_eq!(patience.due(), start + 60 * S);
    assert_eq!(patience.verdict(start + 60 * S), Verdict::Lost);
    patience.restored(start + 5 * S);
    assert_eq!(patience.due(), start + 65 * S);
    // Without patience the deadline alone decides.
    let patience = Patience::new(start, 60 * S, Duration::ZERO, Some(start));
    assert_eq!(patience.due(), start + 60 * S);
}

#[test]
fn a_program_that_stood_still_has_its_time_later() {
    let start = Instant::now();
    let mut patience = Patience::new(start, 60 * S, 300 * S, None);
    // A busy machine does not stand still.
    patience.woke(start + 20 * S, start + 22 * S);
    assert_eq!(patience.due(), start + 60 * S);
    patience.woke(start + 40 * S, start + 340 * S);
    assert_eq!(patience.due(), start + 360 * S);
    assert_eq!(patience.verdict(start + 340 * S), Verdict::Wait);
}

#[test]
fn a_request_without_an_answer_is_kept_and_one_with_an_answer_is_not() {
    let start = Instant::now();
    let (mut waiting, header) = asked(start);
    waiting.take(node("a"), &header, busy(), start);
    waiting.will(node("a"), start);
    let kept = waiting.end().unanswered;
    let asked_before = &kept[&node("a")];
    assert_eq!(asked_before.id, "r".parse().unwrap());
    assert_eq!(asked_before.digests, [Digest::of(b"request")]);
    assert!(!asked_before.is_due(start + 100 * S));
    for answer in [Body::Pong, Body::Refused(Refusal { reason: Reason::State, message: "".into() })]
    {
        let (mut waiting, header) = asked(start);
        waiting.take(node("a"), &header, answer, start);
        assert!(waiting.end().unanswered.is_empty());
    }
    // The wait ended by an error: the deadline did not pass.
    let (waiting, _) = asked(start);
    assert_eq!(waiting.end().unanswered.len(), 1);
}
