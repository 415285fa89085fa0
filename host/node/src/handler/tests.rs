//! The rules of a node, by a clock that only a test moves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use fedwasm_dataset::Format;
use fedwasm_protocol::{
    ApprovalReply, ApprovalRequest, ApprovalStatus, BlobRef, ColumnRules, PROTOCOL_VERSION,
    SearchRequest,
};
use fedwasm_trust::{KeyPair, Roster};

use super::rounds::SAID_MAX;
use super::*;
use crate::Dataset;
use crate::samples::round_request;
use crate::trace::End;

/// A node that offers one dataset, and the time there.
struct Node {
    handler: Handler,
    now: Now,
    columns: usize,
}

const RULES: Rules = Rules {
    lease: Duration::from_secs(120),
    rounds_max: 1,
    turn: Duration::from_secs(600),
    round_time_max: Duration::from_secs(10_800),
    memory_mib_max: 1_024,
};

/// A sender, and one of its connections.
#[derive(Clone, Copy)]
struct Peer<'a>(&'a str, u64);

fn text(action: &Action) -> String {
    match action {
        Action::Greet => "greet".into(),
        Action::Send { asked, body: Body::Refused(refused) } => {
            format!("refuse {}: {}", asked.request_id, refused.reason)
        }
        Action::Send { asked, body } => format!("send {}: {}", asked.request_id, body.kind()),
        Action::ReadDatasets(_) => "read".into(),
        Action::AnswerApproval { asked, .. } => format!("answer {}", asked.request_id),
        Action::AnswerStep { asked, .. } => format!("answer {}", asked.request_id),
        Action::AnswerStatistics { asked, .. } => format!("answer {}", asked.request_id),
        Action::StoreColumns(search) => format!("store for {}", search.asked.request_id),
        Action::Start(start) => format!("start {}", start.asked.request_id),
        Action::CallOff(_) => "call off".into(),
        Action::End(ending) => match (&ending.reply, ending.entry) {
            (_, Entry::LeaveOut) => format!("end {:?}, left out", ending.end),
            (Some(Body::Refused(refused)), _) => {
                format!("end {:?}: {}", ending.end, refused.reason)
            }
            (Some(reply), _) => format!("end {:?}: {}", ending.end, reply.kind()),
            (None, _) => format!("end {:?}", ending.end),
        },
        Action::Record { kind, .. } => format!("record {kind}"),
        Action::DropUnused => "drop unused".into(),
        Action::GiveWay => "give way".into(),
    }
}

fn dataset(columns: usize) -> Dataset {
    Dataset {
        name: "d".parse().unwrap(),
        path: PathBuf::from("d.csv"),
        tags: vec!["t".into()],
        n_rows: 10,
        columns: (0..columns).map(|n| format!("column {n}")).chain(["y".into()]).collect(),
        format: Format::Csv,
        volumes: fedwasm_dataset::Volumes::default(),
        query: None,
        renames: fedwasm_dataset::Renames::new(),
        shapes: BTreeMap::new(),
        remarks: Vec::new(),
        looked_at: None,
        stamp: None,
    }
}

impl Node {
    fn new(rules: Rules) -> Self {
        let now = Now { at: Instant::now(), unix_ms: 1_000_000_000 };
        let handler = Handler::new(rules, "own".parse().unwrap(), now);
        Self { handler, now, columns: 1 }
    }

    fn pass(&mut self, ms: u64) {
        self.now.at += Duration::from_millis(ms);
        self.now.unix_ms += ms;
    }

    /// The actions for an event, without those of every start.
    fn feed(&mut self, event: Event) -> Vec<Action> {
        let mut events = vec![event];
        let mut all = Vec::new();
        while let Some(event) = events.pop() {
            for action in self.handler.handle(event, self.now) {
                match action {
                    Action::ReadDatasets(inquiry) => {
                        let datasets = Ok([dataset(self.columns)].into_iter().collect());
                        events.push(Event::Datasets { inquiry, datasets });
                    }
                    Action::DropUnused => {}
                    action => all.push(action),
                }
            }
        }
        all
    }

    fn texts(&mut self, event: Event) -> Vec<String> {
        self.feed(event).iter().map(text).collect()
    }

    fn message(&self, Peer(sender, connection): Peer<'_>, id: &str, body: Body) -> Message {
        let header = Header {
            version: PROTOCOL_VERSION,
            federation: "f".parse().unwrap(),
            sender: sender.parse().unwrap(),
            session: format!("session-of-{sender}").parse().unwrap(),
            connection,
            sequence: 1,
            recipient: None,
            kind: body.kind(),
            request_id: id.parse().unwrap(),
            in_reply_to: None,
            deadline_ms: 3_600_000,
            issued_ms: self.now.unix_ms,
            expires_ms: self.now.unix_ms + 1_000,
            refers: Vec::new(),
            body: BlobRef::of(b""),
        };
        Message { header, digest: Digest::of(id.as_bytes()), body }
    }

    fn says(&mut self, from: Peer<'_>, id: &str, body: Body) -> Vec<String> {
        let message = Box::new(self.message(from, id, body));
        self.texts(Event::Message { message, connection: 1 })
    }

    fn asks(&mut self, from: Peer<'_>, id: &str) -> Vec<String> {
        self.says(from, id, Body::Round(Box::new(round_request())))
    }

    /// Has a round begin that is called `id`; its ticket.
    fn begins(&mut self, from: Peer<'_>, id: &str) -> Ticket {
        self.begins_with(from, id, |_| {}).ticket
    }

    fn begins_with(&mut self, from: Peer<'_>, id: &str, change: impl FnOnce(&mut Header)) -> Start {
        let mut message = self.message(from, id, Body::Round(Box::new(round_request())));
        change(&mut message.header);
        let message = Box::new(message);
        let mut actions = self.feed(Event::Message { message, connection: 1 });
        match actions.remove(0) {
            Action::Start(start) => *start,
            action => panic!("{action:?}"),
        }
    }

    fn ends(&mut self, ticket: Ticket) -> Vec<String> {
        self.texts(Event::Ended(ticket))
    }

    fn time(&mut self) -> Vec<String> {
        self.texts(Event::Time)
    }
}

const NOTHING: [&str; 0] = [];
const A: Peer<'static> = Peer("researcher-a", 1);
const B: Peer<'static> = Peer("researcher-b", 1);
const C: Peer<'static> = Peer("researcher-c", 1);

fn refused(reason: Reason) -> Ran {
    Ran::Refused(refusal(reason, "no".into()), End::Failed)
}

#[test]
fn two_rounds_of_a_researcher_wait_and_the_third_is_told_busy() {
    let mut node = Node::new(RULES);
    assert_eq!(node.asks(A, "a1"), ["start a1"]);
    assert_eq!(node.asks(A, "a2"), NOTHING);
    assert_eq!(node.asks(A, "a3"), NOTHING);
    assert_eq!(node.asks(A, "a4"), ["refuse a4: busy"]);
    // Others have room.
    assert_eq!(node.asks(B, "b1"), NOTHING);
}

#[test]
fn so_many_rounds_run_at_once_each_of_another_researcher() {
    let mut node = Node::new(Rules { rounds_max: 2, ..RULES });
    let a1 = node.begins(A, "a1");
    // A place is free, and it is not for the same researcher.
    assert_eq!(node.asks(A, "a2"), NOTHING);
    assert_eq!(node.asks(B, "b1"), ["start b1"]);
    assert_eq!(node.asks(C, "c1"), NOTHING);
    assert_eq!(
        node.texts(Event::Ran { ticket: a1, ran: refused(Reason::Dataset) }),
        ["end Failed: dataset"]
    );
    // Its place is free once its end is written down; researchers take turns.
    assert_eq!(node.ends(a1), ["start a2"]);
}

#[test]
fn a_round_that_breaks_off_gives_its_place_back() {
    let mut node = Node::new(RULES);
    let a1 = node.begins(A, "a1");
    assert_eq!(node.asks(A, "a2"), NOTHING);
    assert_eq!(node.ends(a1), ["start a2"]);
}

#[test]
fn the_same_request_over_a_newer_connection_is_not_run_twice() {
    let mut node = Node::new(Rules { rounds_max: 2, ..RULES });
    let a1 = node.begins(A, "a1");
    assert_eq!(node.asks(Peer(A.0, 2), "a1"), NOTHING);
    // Nor does another researcher take it over.
    assert_eq!(node.asks(B, "a1"), NOTHING);
    // Called off and asked for again, it waits until the first one is over.
    assert_eq!(node.says(A, "a1", Body::Cancel), ["call off"]);
    assert_eq!(node.asks(Peer(A.0, 3), "a1"), NOTHING);
    assert_eq!(
        node.texts(Event::Ran { ticket: a1, ran: refused(Reason::Expired) }),
        ["end CalledOff"]
    );
    assert_eq!(node.ends(a1), ["start a1"]);
}

/// Whether another researcher's round takes the place of the one that runs.
fn gives_way(node: &mut Node) -> bool {
    match &node.asks(B, "b1")[..] {
        [] => false,
        [text] if text == "call off" => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_farewell_leaves_alone_what_was_asked_over_its_connection_or_older_ones() {
    let begun = || {
        let mut node = Node::new(RULES);
        let ticket = node.begins(Peer(A.0, 2), "a1");
        (node, ticket)
    };
    let (mut node, _) = begun();
    assert_eq!(node.says(Peer(A.0, 1), "f", Body::Farewell), NOTHING);
    assert_eq!(node.says(Peer(C.0, 9), "f", Body::Farewell), NOTHING);
    let mut of_another_session = node.message(Peer(A.0, 9), "f", Body::Farewell);
    of_another_session.header.session = "other".parse().unwrap();
    let message = Box::new(of_another_session);
    assert_eq!(node.texts(Event::Message { message, connection: 1 }), NOTHING);
    assert!(!gives_way(&mut node));
    // It continues until another one waits.
    let (mut node, a1) = begun();
    assert_eq!(node.says(Peer(A.0, 2), "f", Body::Farewell), NOTHING);
    assert!(gives_way(&mut node));
    assert_eq!(node.says(Peer(A.0, 2), "f", Body::Farewell), NOTHING);
    assert_eq!(
        node.texts(Event::Ran { ticket: a1, ran: refused(Reason::Expired) }),
        ["end CalledOff"]
    );
    assert_eq!(node.ends(a1), ["start b1"]);
    // Its researcher is back.
    let (mut node, _) = begun();
    assert_eq!(node.says(Peer(A.0, 2), "f", Body::Farewell), NOTHING);
    assert_eq!(node.says(Peer(A.0, 3), "p", Body::Ping), ["send p: pong"]);
    assert!(!gives_way(&mut node));
    // It was asked for over a newer connection before the farewell of the older one came.
    let (mut node, _) = begun();
    assert_eq!(node.asks(Peer(A.0, 3), "a1"), NOTHING);
    assert_eq!(node.says(Peer(A.0, 2), "f", Body::Farewell), NOTHING);
    assert!(!gives_way(&mut node));
    // It was left while it waited.
    let mut node = Node::new(RULES);
    let b = node.begins(C, "c1");
    assert_eq!(node.asks(A, "a1"), NOTHING);
    assert_eq!(node.says(A, "f", Body::Farewell), NOTHING);
    assert_eq!(node.ends(b), ["start a1"]);
    assert!(gives_way(&mut node));
}

#[test]
fn rounds_of_a_session_that_is_gone_make_room_for_those_of_the_next() {
    let mut node = Node::new(RULES);
    node.begins(C, "c1");
    for id in ["a1", "a2"] {
        assert_eq!(node.asks(A, id), NOTHING);
    }
    let asks_anew = |node: &mut Node, id: &str| {
        let mut message = node.message(A, id, Body::Round(Box::new(round_request())));
        message.header.session = "next".parse().unwrap();
        node.texts(Event::Message { message: Box::new(message), connection: 1 })
    };
    assert_eq!(asks_anew(&mut node, "a3").len(), 1, "refused");
    assert_eq!(node.says(A, "f", Body::Farewell), NOTHING);
    assert_eq!(asks_anew(&mut node, "a3"), NOTHING);
    assert_eq!(asks_anew(&mut node, "a4"), NOTHING);
    assert_eq!(asks_anew(&mut node, "a5").len(), 1, "refused");
}

#[test]
fn a_round_of_a_researcher_that_is_gone_ends_with_its_lease() {
    let mut node = Node::new(RULES);
    node.begins(A, "a1");
    assert_eq!(node.says(A, "f", Body::Farewell), NOTHING);
    node.pass(120_001);
    assert_eq!(node.time(), ["call off"]);
}

#[test]
fn a_result_that_was_lost_is_said_again_and_not_made_again() {
    let mut node = Node::new(RULES);
    let a1 = node.begins(A, "a1");
    let reply = Box::new(crate::samples::round_reply());
    let ran = Ran::Done(reply.clone());
    assert_eq!(node.texts(Event::Ran { ticket: a1, ran }), ["end Delivered: round-reply"]);
    assert_eq!(node.ends(a1), NOTHING);
    assert_eq!(node.asks(Peer(A.0, 2), "a1"), ["send a1: round-reply"]);
    // The same id of another one is another round.
    let b1 = node.begins(B, "a1");
    assert_eq!(node.ends(b1), NOTHING);
    // As many as there may be.
    for n in 0..SAID_MAX {
        let ticket = node.begins(A, &format!("n{n}"));
        node.feed(Event::Ran { ticket, ran: Ran::Done(reply.clone()) });
        node.ends(ticket);
    }
    assert_eq!(node.asks(Peer(A.0, 2), "n0"), ["send n0: round-reply"]);
    assert_eq!(node.asks(Peer(A.0, 2), "a1"), ["start a1"]);
}

#[test]
fn only_whoever_asked_for_a_round_calls_it_off() {
    let mut node = Node::new(RULES);
    let a1 = node.begins(A, "a1");
    assert_eq!(node.says(B, "a1", Body::Cancel), NOTHING);
    assert_eq!(node.says(A, "a2", Body::Cancel), NOTHING);
    assert_eq!(node.says(A, "a1", Body::Cancel), ["call off"]);
    // Its result is dropped.
    assert_eq!(
        node.texts(Event::Ran { ticket: a1, ran: refused(Reason::PlanFailed) }),
        ["end CalledOff"]
    );
}

#[test]
fn a_round_that_is_called_off_while_it_waits_never_runs() {
    let mut node = Node::new(RULES);
    let a1 = node.begins(A, "a1");
    assert_eq!(node.asks(A, "a2"), NOTHING);
    assert_eq!(node.says(A, "a2", Body::Cancel), NOTHING);
    assert_eq!(node.ends(a1), ["start a2", "end Refused"]);
}

#[test]
fn rounds_continue_without_the_broker_and_end_with_the_program() {
    let mut node = Node::new(RULES);
    node.begins(A, "a1");
    assert_eq!(node.asks(B, "b1"), NOTHING);
    assert_eq!(node.texts(Event::Disconnected), NOTHING);
    // Silence says nothing while the node cannot hear.
    node.pass(500_000);
    assert_eq!(node.time(), NOTHING);
    assert_eq!(node.texts(Event::Connected), NOTHING);
    node.pass(50_000);
    assert_eq!(node.time(), NOTHING);
    assert_eq!(node.texts(Event::Leaving), ["call off"]);
}

#[test]
fn a_lease_ends_without_a_sign_of_life() {
    let mut node = Node::new(RULES);
    let a1 = node.begins(A, "a1");
    node.pass(100_000);
    assert_eq!(node.says(A, "p", Body::Ping), ["send p: pong"]);
    // A lease from the ping on; leases are looked at eight times while one lasts.
    node.pass(120_000);
    assert_eq!(node.time(), NOTHING);
    node.pass(14_999);
    assert_eq!(node.time(), NOTHING);
    assert_eq!(node.handler.next(), node.now.at + Duration::from_millis(1));
    node.pass(1);
    assert_eq!(node.time(), ["call off"]);
    let ran = refused(Reason::Expired);
    assert_eq!(node.texts(Event::Ran { ticket: a1, ran }), ["end CalledOff"]);
}

#[test]
fn a_round_takes_its_turn_while_another_waits() {
    let mut node = Node::new(Rules { lease: Duration::from_secs(1_000_000), ..RULES });
    let a1 = node.begins(A, "a1");
    node.pass(600_000);
    // No other researcher waits.
    assert_eq!(node.time(), NOTHING);
    assert_eq!(node.asks(A, "a2"), NOTHING);
    assert_eq!(node.time(), NOTHING);
    assert_eq!(node.asks(B, "b1"), ["call off", "end CalledOff: busy"]);
    // Its later result is dropped.
    assert_eq!(node.texts(Event::Ran { ticket: a1, ran: refused(Reason::Dataset) }), NOTHING);
    // The one that was asked for first.
    assert_eq!(node.ends(a1), ["start a2"]);
    // The next turn lasts as long, to the moment.
    node.pass(599_999);
    assert_eq!(node.time(), NOTHING);
    assert_eq!(node.handler.next(), node.now.at + Duration::from_millis(1));
    node.pass(1);
    assert_eq!(node.time(), ["call off", "end CalledOff: busy"]);
}

#[test]
fn deadlines_are_kept_and_clamped() {
    let rules = Rules { lease: 2 * DEADLINE_MAX, round_time_max: 2 * DEADLINE_MAX, ..RULES };
    let mut node = Node::new(rules);
    let a1 = node.begins_with(A, "a1", |header| header.deadline_ms = u64::MAX);
    assert_eq!(a1.left, Some(DEADLINE_MAX));
    assert_eq!(node.ends(a1.ticket), NOTHING);
    // The node's own bound.
    let mut node = Node::new(RULES);
    let a1 = node.begins_with(A, "a1", |header| header.deadline_ms = u64::MAX);
    assert_eq!(a1.left, Some(RULES.round_time_max));
    assert_eq!(node.ends(a1.ticket), NOTHING);
    let a2 = node.begins_with(A, "a2", |header| header.deadline_ms = 60_000);
    assert_eq!(a2.left, Some(Duration::from_secs(60)));
    // A waiting round has expired by then as well.
    assert_eq!(node.says(B, "p", Body::Ping), ["send p: pong"]);
    let mut late = node.message(B, "b1", Body::Round(Box::new(round_request())));
    late.header.deadline_ms = 60_000;
    let message = Box::new(late);
    assert_eq!(node.texts(Event::Message { message, connection: 1 }), NOTHING);
    node.pass(59_999);
    assert_eq!(node.time(), NOTHING);
    node.pass(1);
    assert_eq!(node.time(), ["call off", "end Expired: expired"]);
    assert_eq!(node.ends(a2.ticket), ["start b1", "end Refused: expired"]);
}

#[test]
fn rounds_of_a_researcher_whose_key_is_revoked_are_called_off() {
    let mut node = Node::new(RULES);
    let a1 = node.begins(A, "a1");
    assert_eq!(node.asks(A, "a2"), NOTHING);
    assert_eq!(node.asks(B, "b1"), NOTHING);
    let key = KeyPair::generate().unwrap().public().clone();
    let entry = |name: &str, revoked_ms| fedwasm_trust::Entry {
        participant: name.parse().unwrap(),
        key: key.clone(),
        revoked_ms,
    };
    let roster = |revoked_ms| {
        Arc::new(Roster {
            federation: "f".parse().unwrap(),
            name: "f".into(),
            serial: 1,
            issued_ms: 0,
            expires_ms: 0,
            entries: vec![entry(A.0, revoked_ms), entry(B.0, None)],
        })
    };
    assert_eq!(node.texts(Event::Roster(roster(None))), NOTHING);
    assert_eq!(node.texts(Event::Roster(roster(Some(1)))), ["call off"]);
    let ran = refused(Reason::Expired);
    assert_eq!(node.texts(Event::Ran { ticket: a1, ran }), ["end CalledOff"]);
    // The one that waited is gone.
    assert_eq!(node.ends(a1), ["start b1"]);
}

#[test]
fn floods_are_counted_and_do_not_fill_the_log() {
    let mut node = Node::new(RULES);
    let flood = |node: &mut Node, n: u64| {
        let topic = || Some(A.0.parse().unwrap());
        let event = || Event::Refused { topic: topic(), refused: Refused::Replayed };
        (0..n).map(|_| node.feed(event())).map(|actions| actions.len()).sum::<usize>()
    };
    assert_eq!(flood(&mut node, 100), 20);
    let event = Event::Refused { topic: None, refused: Refused::Session };
    assert_eq!(node.texts(event), ["record message-refused"]);
    node.pass(60_000);
    let topic = Some(A.0.parse().unwrap());
    match &node.feed(Event::Refused { topic, refused: Refused::Replayed })[..] {
        [Action::Record { fields, .. }] => assert_eq!(fields["left_out"], 80),
        actions => panic!("{actions:?}"),
    }
    // Rounds that never began, of each researcher.
    let mut left_out = 0;
    for n in 0..25 {
        let start = node.begins_with(A, &format!("a{n}"), |header| header.deadline_ms = 0);
        assert_eq!(start.left, None);
        node.ends(start.ticket);
    }
    for n in 25..30 {
        let id = format!("a{n}");
        let mut message = node.message(A, &id, Body::Round(Box::new(round_request())));
        message.header.deadline_ms = 0;
        let message = Box::new(message);
        let actions = node.feed(Event::Message { message, connection: 1 });
        assert_eq!(text(&actions[1]), "end Refused, left out");
        let Action::Start(start) = &actions[0] else { panic!("{actions:?}") };
        node.ends(start.ticket);
        left_out += 1;
    }
    node.pass(60_000);
    let mut message = node.message(A, "a30", Body::Round(Box::new(round_request())));
    message.header.deadline_ms = 0;
    let message = Box::new(message);
    let actions = node.feed(Event::Message { message, connection: 1 });
    match &actions[1] {
        Action::End(Ending { entry: Entry::Write { left_out: n }, .. }) => {
            assert_eq!(*n, 5 + left_out);
        }
        action => panic!("{action:?}"),
    }
}

#[test]
fn questions_are_bounded_and_noted_once_a_minute() {
    let mut node = Node::new(RULES);
    let question = || {
        Body::Approval(ApprovalRequest {
            plan: BlobRef::of(b"plan"),
            signatures: Vec::new(),
            description: String::new(),
            columns: ColumnRules::default(),
        })
    };
    for n in 0..QUESTIONS_MAX {
        let id = format!("q{n}");
        assert_eq!(node.says(A, &id, question()), [format!("answer {id}")]);
    }
    assert_eq!(node.says(A, "more", question()), ["refuse more: busy"]);
    let answer = |node: &Node, id: &str| {
        let message = node.message(A, id, Body::Ping);
        let asked = Asked::of(&message.header, message.digest).unwrap();
        let status = ApprovalStatus::Pending;
        let answer = Body::ApprovalReply(ApprovalReply { status, note: String::new() });
        Event::Answered { asked, about: About::Plan(BlobRef::of(b"plan").sha256), answer }
    };
    let event = answer(&node, "q0");
    assert_eq!(node.texts(event), ["record asked", "send q0: approval-reply"]);
    let event = answer(&node, "q1");
    assert_eq!(node.texts(event), ["send q1: approval-reply"]);
    node.pass(60_000);
    let event = answer(&node, "q2");
    assert_eq!(node.texts(event), ["record asked", "send q2: approval-reply"]);
    assert_eq!(node.texts(Event::Unanswered), NOTHING);
    for id in ["n1", "n2", "n3", "n4"] {
        assert_eq!(node.says(A, id, question()), [format!("answer {id}")]);
    }
    assert_eq!(node.says(A, "n5", question()), ["refuse n5: busy"]);
}

#[test]
fn a_search_is_answered_at_once_unless_names_have_to_be_stored() {
    let mut node = Node::new(RULES);
    let search = || Body::Search(SearchRequest { tags: vec!["t".into()] });
    assert_eq!(node.says(A, "s1", search()), ["send s1: search-reply"]);
    node.columns = 100_000;
    assert_eq!(node.says(A, "s2", search()), ["store for s2"]);
}

#[test]
fn what_is_no_request_of_a_researcher_is_ignored() {
    let mut node = Node::new(RULES);
    assert_eq!(node.says(Peer("node-m", 1), "p", Body::Ping), NOTHING);
    assert_eq!(node.says(A, "p", Body::Pong), NOTHING);
    let mut request = round_request();
    request.dataset_id = "other".parse().unwrap();
    assert_eq!(node.says(A, "r", Body::Round(Box::new(request))), ["refuse r: dataset"]);
    let mut request = round_request();
    request.data.memory_mib = Some(1_025);
    assert_eq!(node.says(A, "r", Body::Round(Box::new(request))), ["refuse r: unsupported"]);
}

#[test]
fn a_node_greets_when_its_presence_or_its_clock_is_in_doubt() {
    let mut node = Node::new(RULES);
    let own = |node: &Node, online, session: &str| {
        let presence = Body::Presence(Presence { online });
        let mut message = node.message(Peer("node-n", 1), "p", presence);
        message.header.session = session.parse().unwrap();
        Event::Message { message: Box::new(message), connection: 1 }
    };
    for (online, session, n) in [(true, "own", 0), (false, "own", 1), (true, "older", 1)] {
        let event = own(&node, online, session);
        assert_eq!(node.texts(event), vec!["greet"; n], "{online} {session}");
    }
    let late = || Event::Refused { topic: None, refused: Refused::Expired { ms: 90_000 } };
    assert_eq!(node.texts(late()), ["greet", "record message-refused"]);
    node.pass(999);
    assert_eq!(node.texts(late()), ["record message-refused"]);
    node.pass(1);
    assert_eq!(node.texts(late()), ["greet", "record message-refused"]);
}

#[test]
fn a_node_gives_way_to_the_program_that_came_first() {
    let mut node = Node::new(RULES);
    node.pass(10_000);
    let presence = |node: &Node, connection, ago_ms| {
        let presence = Body::Presence(Presence { online: true });
        let mut message = node.message(Peer("node-n", connection), "p", presence);
        message.header.issued_ms -= ago_ms;
        Box::new(message)
    };
    for (theirs, own, ago_ms, expected) in [
        (2, 2, 0, "give way"),
        (3, 2, 0, "give way"),
        // It connected less often, or this one only once, or it was here before this one started.
        (1, 2, 0, "greet"),
        (2, 1, 0, "greet"),
        (3, 2, 10_000, "greet"),
    ] {
        let message = presence(&node, theirs, ago_ms);
        let done = node.texts(Event::Message { message, connection: own });
        assert_eq!(done, [expected], "{theirs} {own} {ago_ms}");
    }
}

#[test]
fn workers_that_nobody_uses_are_looked_for() {
    let mut node = Node::new(Rules { lease: Duration::from_secs(1_000_000), ..RULES });
    let sweeps = |node: &mut Node, event| {
        let actions = node.handler.handle(event, node.now);
        actions.iter().filter(|action| matches!(action, Action::DropUnused)).count()
    };
    assert_eq!(sweeps(&mut node, Event::Time), 0);
    node.pass(300_000);
    assert_eq!(node.handler.next(), node.now.at);
    assert_eq!(sweeps(&mut node, Event::Time), 1);
    assert_eq!(sweeps(&mut node, Event::Time), 0);
}
