//! Requests that are waited for, and what became of each: (event, now) in, answers out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedwasm_protocol::{Body, Digest, Header, NodeId, Progress, Reason, Refusal, RequestId};

use super::presence::is_too_far;

/// The pause before a node that is busy is asked again, which doubles, and the longest.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(4);

/// The outcome of a request to a node.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It answered.
    Reply(Body),
    /// It declined.
    Refused(Refusal),
    /// Its last will arrived.
    Gone,
    /// The deadline passed.
    Silent {
        /// How far it said that it was: batches, and batches of the round.
        progress: Option<(u64, u64)>,
    },
    /// Its clock and ours are too far apart for one to believe the other.
    Clock {
        /// By how many milliseconds its clock is ahead of ours.
        ahead_ms: i64,
    },
}

/// What happens while nodes are waited for.
#[derive(Debug)]
pub(crate) enum Seen {
    /// How far a node is.
    Progress(NodeId, Progress),
    /// A node's last will arrived; the researcher no longer waits for it.
    Gone(NodeId),
    /// The connection to the broker is lost; it is waited for.
    Lost {
        /// Why.
        reason: String,
        /// For how long.
        patience: Duration,
    },
}

/// A request that is not answered yet.
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) body: Body,
    /// The digests of sent requests; more than one if it had to be sent again.
    pub(super) digests: Vec<Digest>,
    /// That the node had no room, and how long it was given then.
    busy: Option<(Refusal, Duration)>,
    /// When to ask again.
    again: Option<Instant>,
}

impl Asked {
    pub(super) fn new(id: RequestId, body: Body) -> Self {
        Self { id, body, digests: Vec::new(), busy: None, again: None }
    }

    /// Asks again after a pause, twice as long each time.
    fn wait_for_room(&mut self, refusal: Refusal, now: Instant) {
        let pause = match &self.busy {
            Some((_, pause)) => (*pause * 2).min(BUSY_PAUSE_MAX),
            None => BUSY_PAUSE,
        };
        self.busy = Some((refusal, pause));
        self.again = Some(now + pause);
    }

    /// The request as it was said, for a later wait.
    fn unanswered(self) -> Self {
        Self { busy: None, again: None, ..self }
    }

    /// It is asked again now.
    pub(super) fn asked_again(&mut self) {
        self.again = None;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| again <= now)
    }
}

/// The nodes that were asked, until all answered, are gone, or the deadline has passed.
pub(super) struct Waiting<F: FnMut(Seen)> {
    start: Instant,
    pending: BTreeMap<NodeId, Asked>,
    /// How far nodes said that they are.
    progress: BTreeMap<NodeId, (u64, u64)>,
    answers: BTreeMap<NodeId, (Answer, Duration)>,
    /// The digest of the request that each reply answers.
    answered: BTreeMap<NodeId, Digest>,
    /// Requests to nodes that are gone or silent.
    unanswered: BTreeMap<NodeId, Asked>,
    seen: F,
}

/// What became of the requests of a wait.
pub(super) struct Ended {
    /// Each answer with the time that it took.
    pub(super) answers: BTreeMap<NodeId, (Answer, Duration)>,
    /// The digests of the requests that were answered.
    pub(super) answered: BTreeMap<NodeId, Digest>,
    /// Those that were not.
    pub(super) unanswered: BTreeMap<NodeId, Asked>,
}

impl<F: FnMut(Seen)> Waiting<F> {
    pub(super) fn new(start: Instant, seen: F) -> Self {
        Self {
            start,
            pending: BTreeMap::new(),
            progress: BTreeMap::new(),
            answers: BTreeMap::new(),
            answered: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            seen,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.pending.is_empty()
    }

    /// The nodes whose answers are due.
    pub(super) fn pending(&self) -> impl Iterator<Item = (&NodeId, &Asked)> {
        self.pending.iter()
    }

    pub(super) fn wait_for(&mut self, node: NodeId, asked: Asked) {
        self.pending.insert(node, asked);
    }

    /// When the first of those that had no room is asked again.
    pub(super) fn next_again(&self) -> Option<Instant> {
        self.pending.values().filter_map(|asked| asked.again).min()
    }

    /// Those that were busy and must be asked again by now.
    pub(super) fn due(&mut self, now: Instant) -> impl Iterator<Item = (&NodeId, &mut Asked)> {
        self.pending.iter_mut().filter(move |(_, asked)| asked.is_due(now))
    }

    /// All connections are new, and messages in transit are lost: all requests are sent again.
    /// Nodes that work on it already ignore that.
    pub(super) fn all_anew(&mut self) -> impl Iterator<Item = (&NodeId, &mut Asked)> {
        self.progress.clear();
        self.pending.iter_mut()
    }

    /// Its connection broke, and messages in transit are lost with it.
    pub(super) fn anew(&mut self, node: &NodeId) -> Option<&mut Asked> {
        self.progress.remove(node);
        self.pending.get_mut(node)
    }

    /// A node's last will came, or none can be found.
    pub(super) fn gone(&mut self, node: NodeId, now: Instant) {
        (self.seen)(Seen::Gone(node.clone()));
        self.answer(node, Answer::Gone, now);
    }

    /// A node's last will came: a caller may wait for it.
    pub(super) fn will(&mut self, node: NodeId, now: Instant) {
        if self.pending.contains_key(&node) {
            self.gone(node, now);
        }
    }

    /// The connection is lost, and waited for.
    pub(super) fn lost(&mut self, reason: &str, patience: Duration) {
        if !patience.is_zero() {
            (self.seen)(Seen::Lost { reason: reason.to_owned(), patience });
        }
    }

    /// A node's clock is too far from ours.
    pub(super) fn clock(&mut self, node: NodeId, ahead_ms: i64, now: Instant) {
        if self.pending.contains_key(&node) {
            self.answer(node, Answer::Clock { ahead_ms }, now);
        }
    }

    /// Returns the node that answers, if it was asked and its answer names the id and the digest of
    /// the request: anything else cannot touch the round.
    pub(super) fn sender_of(&self, header: &Header) -> Option<NodeId> {
        let node = header.sender.node_id()?;
        let asked = self.pending.get(&node)?;
        let answers = asked.id == header.request_id
            && header.in_reply_to.is_some_and(|digest| asked.digests.contains(&digest));
        answers.then_some(node)
    }

    /// Takes a node's answer, which [`Waiting::sender_of`] has recognised.
    pub(super) fn take(&mut self, node: NodeId, header: &Header, body: Body, now: Instant) {
        match body {
            Body::Progress(said) => {
                self.progress.insert(node.clone(), (said.steps, said.steps_max));
                (self.seen)(Seen::Progress(node, said));
            }
            // There will be room before the deadline, or there will not.
            Body::Refused(refusal) if refusal.reason == Reason::Busy => {
                if let Some(asked) = self.pending.get_mut(&node) {
                    asked.wait_for_room(refusal, now);
                }
            }
            Body::Refused(refusal) => self.answer(node, Answer::Refused(refusal), now),
            body => {
                self.answered.extend(header.in_reply_to.map(|digest| (node.clone(), digest)));
                self.answer(node, Answer::Reply(body), now);
            }
        }
    }

    /// The deadline has passed: the rest is silent, had no room, or has a clock that is too far
    /// from ours. Returns those it holds for.
    pub(super) fn deadline(
        &mut self,
        ahead_ms: impl Fn(&NodeId) -> Option<i64>,
        now: Instant,
    ) -> Vec<NodeId> {
        let pending: Vec<NodeId> = self.pending.keys().cloned().collect();
        for node in &pending {
            let Some(asked) = self.pending.get(node) else { continue };
            let ahead_ms = ahead_ms(node).filter(|ahead| is_too_far(*ahead));
            let answer = match (&asked.busy, ahead_ms) {
                (Some((refusal, _)), _) if asked.again.is_some() => {
                    Answer::Refused(refusal.clone())
                }
                (_, Some(ahead_ms)) => Answer::Clock { ahead_ms },
                _ => Answer::Silent { progress: self.progress.remove(node) },
            };
            self.answer(node.clone(), answer, now);
        }
        pending
    }

    /// Ends the wait; requests that are still open are unanswered.
    pub(super) fn end(self) -> Ended {
        let Self { answers, answered, mut unanswered, pending, .. } = self;
        unanswered.extend(pending.into_iter().map(|(node, asked)| (node, asked.unanswered())));
        Ended { answers, answered, unanswered }
    }

    fn answer(&mut self, node: NodeId, answer: Answer, now: Instant) {
        let asked = self.pending.remove(&node);
        if let (Some(asked), false) =
            (asked, matches!(answer, Answer::Reply(_) | Answer::Refused(_)))
        {
            self.unanswered.insert(node.clone(), asked.unanswered());
        }
        self.answers.insert(node, (answer, now.saturating_duration_since(self.start)));
    }
}
