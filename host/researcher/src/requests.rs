//! Requests to nodes and the wait for their answers (Fed-BioMed `Requests`,
//! with deadlines).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    Body, Digest, Header, Message, NodeId, Participant, Presence, Progress, Reason, Recipient,
    Refusal, RequestId, ResearcherId, SessionId,
};
use fedwasm_transport::{Incoming, Link, LinkOptions, Sender, now_ms};
use fedwasm_trust::{Member, Outgoing, Refused, SKEW_MS};
use tokio::sync::watch;

use crate::Error;

/// How long retained presence may take to arrive after a subscription.
const PRESENCE_TIME_MAX: Duration = Duration::from_secs(5);
/// The most nodes that are kept in mind; presence of further ones is ignored.
const NODES_MAX: usize = 4_096;
/// How often nodes that are waited for hear that somebody waits: a sixth of what they wait for
/// a sign of life unless their operators say otherwise.
const SIGN_OF_LIFE_PAUSE: Duration = Duration::from_secs(20);
/// The pause before a node that is busy is asked again, which doubles, and the longest.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(4);
/// After our own message came back, what was retained before may still be on
/// its way: brokers promise no order between topics.
const PRESENCE_GRACE: Duration = Duration::from_millis(100);

/// What became of a request to a node.
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

/// What is seen of a node while others are still waited for.
#[derive(Debug)]
pub(crate) enum Seen {
    /// How far it is.
    Progress(Progress),
    /// Its last will arrived; nobody waits for it any more.
    Gone,
}

/// What a node said of itself.
struct Known {
    online: bool,
    session: SessionId,
    connection: u64,
    /// Counts what the session says: what has a higher one was said later, whatever the clock.
    sequence: u64,
    issued_ms: u64,
    /// Another run of its program that said by an earlier clock that it is there: it is the one
    /// to talk to if it answers, and a message of long ago if it does not.
    other: Option<(SessionId, u64)>,
    /// By how many milliseconds its clock is ahead of ours, since it last said something that
    /// must be of now.
    ahead_ms: Option<i64>,
}

/// Sends requests and collects answers.
pub(crate) struct Requests {
    researcher: ResearcherId,
    link: Link,
    sender: Sender,
    /// What each node that was ever seen said of itself last.
    presence: BTreeMap<NodeId, Known>,
    /// Nodes that said something that nobody waited for any more.
    late: BTreeSet<NodeId>,
    /// The digest of the request that each node's newest reply answers.
    answered: BTreeMap<NodeId, Digest>,
    /// Why there is no connection at the moment, if there is none.
    lost: Option<String>,
    cancelled: watch::Receiver<bool>,
}

impl Requests {
    /// Connects and learns which nodes are there.
    pub(crate) async fn connect(
        options: LinkOptions,
        researcher: ResearcherId,
        cancelled: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let link = Link::connect(options).await?;
        let sender = link.sender();
        let (presence, late) = (BTreeMap::new(), BTreeSet::new());
        let (answered, lost) = (BTreeMap::new(), None);
        let mut this = Self { researcher, link, sender, presence, late, answered, lost, cancelled };
        this.learn_presence().await?;
        Ok(this)
    }

    /// Whose requests they are.
    pub(crate) fn researcher(&self) -> &ResearcherId {
        &self.researcher
    }

    /// Who asks, and whom it knows.
    pub(crate) fn member(&self) -> &Arc<Member> {
        self.sender.member()
    }

    /// The digest of the request that a node's newest reply answers.
    pub(crate) fn answered(&self, node: &NodeId) -> Option<Digest> {
        self.answered.get(node).copied()
    }

    /// The nodes that are online, in ascending order.
    pub(crate) fn online(&self) -> Vec<NodeId> {
        self.presence.iter().filter(|(_, known)| known.online).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn is_online(&self, node: &NodeId) -> bool {
        self.presence.get(node).is_some_and(|known| known.online)
    }

    /// Whether a sign of life of the node came since this was last asked.
    pub(crate) fn take_late(&mut self, node: &NodeId) -> bool {
        self.late.remove(node)
    }

    /// Whether there is one to take.
    pub(crate) fn has_late(&self, node: &NodeId) -> bool {
        self.late.contains(node)
    }

    /// By how many milliseconds a node's clock is ahead of ours, if it said something lately.
    pub(crate) fn ahead_ms(&self, node: &NodeId) -> Option<i64> {
        self.presence.get(node)?.ahead_ms
    }

    /// Asks nodes for a sign of life, which nobody waits for.
    pub(crate) async fn ping<'a>(
        &mut self,
        nodes: impl IntoIterator<Item = &'a NodeId>,
    ) -> Result<(), Error> {
        for node in nodes {
            self.send(node, &random()?, PRESENCE_TIME_MAX, &Body::Ping).await?;
        }
        Ok(())
    }

    /// Lets presence arrive until `is_enough`, for `time` at most; `silent` nodes are asked for a
    /// sign of life.
    pub(crate) async fn watch(
        &mut self,
        time: Duration,
        silent: &[NodeId],
        is_enough: impl Fn(&Self) -> bool,
    ) -> Result<(), Error> {
        let end = Instant::now() + time;
        self.ping(silent).await?;
        while !is_enough(self) {
            match self.next(end).await? {
                Next::Message(message) => self.note_late(&message.header),
                Next::Presence(..) => {}
                Next::Restored => self.ping(silent).await?,
                Next::Deadline => break,
                Next::Cancelled => return Err(Error::Cancelled),
            }
        }
        Ok(())
    }

    /// Sends every node its request and waits until all answered, are gone,
    /// or `deadline` has passed. `sent` is called when all is sent. Each answer
    /// comes with the time that it took.
    pub(crate) async fn ask(
        &mut self,
        requests: Vec<(NodeId, Body)>,
        deadline: Duration,
        sent: impl FnOnce(),
        mut seen: impl FnMut(&NodeId, Seen),
    ) -> Result<BTreeMap<NodeId, (Answer, Duration)>, Error> {
        let start = Instant::now();
        let end = start + deadline;
        let mut pending = Pending::new();
        let (mut answers, mut progress) = (BTreeMap::new(), BTreeMap::new());
        for (node, body) in requests {
            let digests = Vec::new();
            let mut request = Asked { id: random()?, body, digests, busy: None, again: None };
            // A will may have arrived while nobody waited for this node.
            match self.send(&node, &request.id, deadline, &request.body).await? {
                Sent::Nowhere => {
                    seen(&node, Seen::Gone);
                    answers.insert(node, (Answer::Gone, start.elapsed()));
                }
                sent => {
                    request.digests.extend(sent.digest());
                    pending.insert(node, request);
                }
            }
        }
        sent();
        let mut sign_at = Instant::now() + SIGN_OF_LIFE_PAUSE;
        while !pending.is_empty() {
            let again = pending.values().filter_map(|asked| asked.again).min();
            let until = again.map_or(sign_at, |again| again.min(sign_at));
            match self.next(end.min(until)).await? {
                Next::Presence(node, Change::Gone) if pending.remove(&node).is_some() => {
                    seen(&node, Seen::Gone);
                    answers.insert(node, (Answer::Gone, start.elapsed()));
                }
                // Its connection broke, and what was under way to it or from it with it.
                Next::Presence(node, Change::Anew) => {
                    progress.remove(&node);
                    if let Some(asked) = pending.get_mut(&node) {
                        self.say_again(&node, asked, end).await?;
                    }
                }
                Next::Presence(node, Change::Clock(ahead_ms))
                    if pending.remove(&node).is_some() =>
                {
                    answers.insert(node, (Answer::Clock { ahead_ms }, start.elapsed()));
                }
                Next::Presence(..) => {}
                // What was under way is lost with the connection; nodes that
                // work on it already ignore that it is said again.
                Next::Restored => {
                    progress.clear();
                    for (node, asked) in &mut pending {
                        self.say_again(node, asked, end).await?;
                    }
                }
                Next::Message(message) => {
                    self.note_clock(&message.header);
                    let Some(node) = of_pending(&pending, &message.header) else {
                        self.note_late(&message.header);
                        continue;
                    };
                    let body = message.body;
                    match body {
                        Body::Progress(said) => {
                            progress.insert(node.clone(), (said.steps, said.steps_max));
                            seen(&node, Seen::Progress(said));
                        }
                        // There will be room before the deadline, or there will not.
                        Body::Refused(refusal) if refusal.reason == Reason::Busy => {
                            if let Some(asked) = pending.get_mut(&node) {
                                asked.wait_for_room(refusal);
                            }
                        }
                        Body::Refused(refusal) => {
                            pending.remove(&node);
                            answers.insert(node, (Answer::Refused(refusal), start.elapsed()));
                        }
                        body => {
                            pending.remove(&node);
                            self.answered.extend(
                                message.header.in_reply_to.map(|digest| (node.clone(), digest)),
                            );
                            answers.insert(node, (Answer::Reply(body), start.elapsed()));
                        }
                    }
                }
                Next::Deadline if Instant::now() < end => {
                    let now = Instant::now();
                    if now >= sign_at {
                        sign_at = now + SIGN_OF_LIFE_PAUSE;
                        self.ping(pending.keys()).await?;
                    }
                    for (node, asked) in &mut pending {
                        if asked.again.is_some_and(|again| again <= now) {
                            self.say_again(node, asked, end).await?;
                        }
                    }
                }
                Next::Deadline => {
                    if let Some(reason) = &self.lost {
                        return Err(Error::BrokerLost { reason: reason.clone() });
                    }
                    self.cancel(&pending).await;
                    for (node, asked) in std::mem::take(&mut pending) {
                        // Only what comes from now on is a sign of life.
                        self.late.remove(&node);
                        let silent = Answer::Silent { progress: progress.remove(&node) };
                        let ahead_ms = self.ahead_ms(&node).filter(|ahead| is_too_far(*ahead));
                        let answer = match (asked.busy, ahead_ms) {
                            (Some((refusal, _)), _) if asked.again.is_some() => {
                                Answer::Refused(refusal)
                            }
                            (_, Some(ahead_ms)) => Answer::Clock { ahead_ms },
                            _ => silent,
                        };
                        answers.insert(node, (answer, start.elapsed()));
                    }
                }
                Next::Cancelled => {
                    self.cancel(&pending).await;
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(answers)
    }

    /// Resolves when somebody asks to stop.
    pub(crate) async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) async fn close(self) {
        self.link.close().await;
    }

    /// A message to ourselves comes back after the retained presence of all
    /// nodes, which was sent at our subscription.
    async fn learn_presence(&mut self) -> Result<(), Error> {
        let request_id: RequestId = random()?;
        let message = outgoing(&request_id, PRESENCE_TIME_MAX, &Body::Echo);
        self.sender.send(&self.sender.me(), message).await?;
        let mut end = Instant::now() + PRESENCE_TIME_MAX;
        loop {
            match self.next(end).await? {
                Next::Message(message) if message.header.request_id == request_id => {
                    end = Instant::now() + PRESENCE_GRACE;
                }
                Next::Message(_) | Next::Presence(..) | Next::Restored => {}
                Next::Deadline => return Ok(()),
                Next::Cancelled => return Err(Error::Cancelled),
            }
        }
    }

    /// Says a request again to whom its answer is still due.
    async fn say_again(&self, node: &NodeId, asked: &mut Asked, end: Instant) -> Result<(), Error> {
        let left = end.saturating_duration_since(Instant::now());
        asked.again = None;
        asked.digests.extend(self.send(node, &asked.id, left, &asked.body).await?.digest());
        Ok(())
    }

    /// Learns how far a node's clock is from ours from something that it said just now.
    fn note_clock(&mut self, header: &Header) {
        let known = header.sender.node_id().and_then(|node| self.presence.get_mut(&node));
        if let Some(known) = known {
            known.ahead_ms = Some(ahead_ms(header));
        }
    }

    /// What a node signed for a time that is not yet was written by a clock ahead of ours.
    fn note_future(&mut self, topic: Option<&Participant>, refused: &Refused) {
        let node = topic.and_then(Participant::node_id);
        let known = node.and_then(|node| self.presence.get_mut(&node));
        if let (Some(known), Refused::Future { ms }) = (known, refused) {
            known.ahead_ms = i64::try_from(*ms).ok();
        }
    }

    /// What comes after its deadline changes no round, but shows that the node
    /// is alive.
    fn note_late(&mut self, header: &Header) {
        self.note_clock(header);
        if let Some(node) = header.sender.node_id()
            && self.presence.contains_key(&node)
        {
            self.late.insert(node);
        }
    }

    async fn next(&mut self, end: Instant) -> Result<Next, Error> {
        loop {
            // A stream of messages must not put the deadline off.
            if Instant::now() >= end {
                return Ok(Next::Deadline);
            }
            let incoming = tokio::select! {
                biased;
                _ = self.cancelled.wait_for(|cancelled| *cancelled) => return Ok(Next::Cancelled),
                incoming = self.link.next() => incoming,
                () = tokio::time::sleep_until(end.into()) => return Ok(Next::Deadline),
            };
            let message = match incoming {
                Some(Incoming::Message(message)) => message,
                Some(Incoming::Refused { topic, refused }) => {
                    let who = topic.as_ref().map_or("somebody".to_owned(), |who| who.to_string());
                    tracing::warn!("a message over the topic of {who} is refused: {refused}");
                    self.note_future(topic.as_ref(), &refused);
                    continue;
                }
                Some(Incoming::Lost { reason }) => {
                    tracing::warn!(
                        "the connection to the broker is lost ({reason}); waiting for it"
                    );
                    self.lost = Some(reason);
                    continue;
                }
                Some(Incoming::Restored) => {
                    self.lost = None;
                    return Ok(Next::Restored);
                }
                Some(Incoming::Closed(error)) => return Err(error.into()),
                None => return Err(fedwasm_transport::Error::Closed.into()),
            };
            let Body::Presence(presence) = message.body else {
                return Ok(match self.take_other(&message.header) {
                    Some(node) => Next::Presence(node, Change::Anew),
                    None => Next::Message(message),
                });
            };
            match self.take_presence(&message.header, presence) {
                Some((node, Change::Other(session))) => {
                    let to = Recipient { participant: Participant::node(&node), session };
                    let id = random()?;
                    let ping = outgoing(&id, PRESENCE_TIME_MAX, &Body::Ping);
                    if self.sender.is_connected() {
                        self.sender.send(&to, ping).await?;
                    }
                }
                Some((node, change)) => return Ok(Next::Presence(node, change)),
                None => {}
            }
        }
    }

    /// Whether something was said by another run of a node's program than the one that is
    /// known, which said that it is there: that is the one to talk to.
    fn take_other(&mut self, header: &Header) -> Option<NodeId> {
        let node = header.sender.node_id()?;
        let known = self.presence.get_mut(&node)?;
        let (session, connection) = known.other.take_if(|(other, _)| *other == header.session)?;
        *known = Known {
            online: true,
            session,
            connection,
            sequence: header.sequence,
            issued_ms: header.issued_ms,
            other: None,
            ahead_ms: Some(ahead_ms(header)),
        };
        self.late.insert(node.clone());
        Some(node)
    }

    /// Takes what a node says of itself, unless it is of earlier than what is
    /// known: the will of a connection says nothing about a later one, and
    /// whoever says it again brings nobody back.
    fn take_presence(
        &mut self,
        header: &Header,
        Presence { online }: Presence,
    ) -> Option<(NodeId, Change)> {
        let node = header.sender.node_id()?;
        let Header { session, connection, mut sequence, issued_ms, .. } = header.clone();
        let (other, mut ahead) = (None, None);
        let n_known = self.presence.len();
        let change = match self.presence.get_mut(&node) {
            None if n_known >= NODES_MAX => return None,
            None => Change::Here,
            Some(known) if known.session == session => {
                let is_older = connection < known.connection;
                let is_same = connection == known.connection;
                // A will is as old as its connection, whenever it comes.
                if is_older || (online && is_same && sequence <= known.sequence) {
                    return None;
                }
                // It greets again where it refuses what we say: this was written just now.
                let is_said_anew = online && is_same;
                sequence = sequence.max(known.sequence);
                ahead = if is_said_anew { Some(ahead_ms(header)) } else { known.ahead_ms };
                match ahead {
                    _ if !online => Change::Gone,
                    _ if connection > known.connection => Change::Anew,
                    Some(ahead) if is_said_anew && is_too_far(ahead) => Change::Clock(ahead),
                    _ => Change::Here,
                }
            }
            // Of long ago, or by a clock that was put right. Whoever says it again brings nobody
            // back and evicts nobody: the node must answer.
            Some(known) if issued_ms < known.issued_ms => {
                let is_new =
                    online && known.other.as_ref().is_none_or(|(other, _)| *other != session);
                known.other = is_new.then(|| (session.clone(), connection)).or(known.other.take());
                return is_new.then_some((node, Change::Other(session)));
            }
            // Another run of its program: what was asked of the one before is lost.
            Some(_) if online => Change::Anew,
            Some(_) => Change::Gone,
        };
        let was_away = self.presence.get(&node).is_some_and(|known| !known.online);
        if online && (was_away || matches!(change, Change::Anew)) {
            // It was started anew, or connected anew: a sign of life.
            self.late.insert(node.clone());
        }
        let new =
            Known { online, session, connection, sequence, issued_ms, other, ahead_ms: ahead };
        self.presence.insert(node.clone(), new);
        Some((node, change))
    }

    /// Sends a request to the node's session of now. Without a connection nothing is sent:
    /// whoever waits says it when there is one again.
    async fn send(
        &self,
        node: &NodeId,
        request_id: &RequestId,
        deadline: Duration,
        body: &Body,
    ) -> Result<Sent, Error> {
        let Some(known) = self.presence.get(node).filter(|known| known.online) else {
            return Ok(Sent::Nowhere);
        };
        let (participant, session) = (Participant::node(node), known.session.clone());
        // Whose key was revoked says nothing more that would be believed.
        if self.member().roster().key(&participant).is_none() {
            return Ok(Sent::Nowhere);
        }
        if !self.sender.is_connected() {
            return Ok(Sent::Later);
        }
        let message = outgoing(request_id, deadline, body);
        Ok(Sent::Now(self.sender.send(&Recipient { participant, session }, message).await?))
    }

    /// Tells nodes that nobody waits for them any more.
    async fn cancel(&self, pending: &Pending) {
        for (node, asked) in pending {
            let _ = self.send(node, &asked.id, Duration::ZERO, &Body::Cancel).await;
        }
    }
}

fn outgoing<'a>(request_id: &RequestId, deadline: Duration, body: &'a Body) -> Outgoing<'a> {
    let request_id = request_id.clone();
    Outgoing { recipient: None, request_id, in_reply_to: None, deadline, body }
}

/// A request that is not answered yet.
struct Asked {
    id: RequestId,
    body: Body,
    /// Of what was sent; more than one if it had to be said again.
    digests: Vec<Digest>,
    /// That the node had no room, and how long it was given then.
    busy: Option<(Refusal, Duration)>,
    /// When to ask again.
    again: Option<Instant>,
}

impl Asked {
    /// Asks again after a pause, twice as long each time.
    fn wait_for_room(&mut self, refusal: Refusal) {
        let pause = match &self.busy {
            Some((_, pause)) => (*pause * 2).min(BUSY_PAUSE_MAX),
            None => BUSY_PAUSE,
        };
        self.busy = Some((refusal, pause));
        self.again = Some(Instant::now() + pause);
    }
}

/// What became of a message to a node.
enum Sent {
    /// It is on its way.
    Now(Digest),
    /// There is no connection at the moment.
    Later,
    /// The node is not there.
    Nowhere,
}

impl Sent {
    fn digest(self) -> Option<Digest> {
        match self {
            Self::Now(digest) => Some(digest),
            Self::Later | Self::Nowhere => None,
        }
    }
}

/// Requests that are not answered yet.
type Pending = BTreeMap<NodeId, Asked>;

enum Next {
    Restored,
    Message(Box<Message>),
    Presence(NodeId, Change),
    Deadline,
    Cancelled,
}

/// What a node's presence means for whoever waits for it.
enum Change {
    Here,
    Gone,
    /// Over another connection, or of another run: what was said before is lost.
    Anew,
    /// So many milliseconds ahead of ours is its clock, too far to hear us.
    Clock(i64),
    /// Perhaps another run of its program.
    Other(SessionId),
}

/// Whether clocks are too far apart for one side to believe the other.
fn is_too_far(ahead_ms: i64) -> bool {
    ahead_ms.unsigned_abs() > SKEW_MS
}

/// By how many milliseconds the clock by which something was written just now is ahead of ours.
fn ahead_ms(header: &Header) -> i64 {
    let difference = i128::from(header.issued_ms) - i128::from(now_ms());
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

/// Returns who answers, if it is a node that is asked and what it answers is what it
/// was asked: anything else cannot touch the round.
fn of_pending(pending: &Pending, header: &Header) -> Option<NodeId> {
    let node = header.sender.node_id()?;
    let asked = pending.get(&node)?;
    let answers = asked.id == header.request_id
        && header.in_reply_to.is_some_and(|digest| asked.digests.contains(&digest));
    answers.then_some(node)
}

fn random() -> Result<RequestId, Error> {
    RequestId::random().map_err(|error| Error::Internal { reason: error.to_string() })
}
