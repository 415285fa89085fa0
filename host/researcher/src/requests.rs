//! Requests to nodes and the wait for their answers (Fed-BioMed `Requests`,
//! with deadlines).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    Body, Digest, Header, Message, NodeId, Participant, Presence, Progress, Recipient, Refusal,
    RequestId, ResearcherId, SessionId,
};
use fedwasm_transport::{Incoming, Link, LinkOptions, Sender};
use fedwasm_trust::{Member, Outgoing};
use tokio::sync::watch;

use crate::Error;

/// How long retained presence may take to arrive after a subscription.
const PRESENCE_TIME_MAX: Duration = Duration::from_secs(5);
/// The most nodes that are kept in mind; presence of further ones is ignored.
const NODES_MAX: usize = 4_096;
/// How often nodes that are waited for hear that somebody waits: a sixth of what they wait for
/// a sign of life unless their operators say otherwise.
const SIGN_OF_LIFE_PAUSE: Duration = Duration::from_secs(20);
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
    issued_ms: u64,
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

    /// Whether a late answer of the node came since this was last asked.
    pub(crate) fn take_late(&mut self, node: &NodeId) -> bool {
        self.late.remove(node)
    }

    /// Lets presence arrive until `is_enough`, for `time` at most.
    pub(crate) async fn watch(
        &mut self,
        time: Duration,
        is_enough: impl Fn(&Self) -> bool,
    ) -> Result<(), Error> {
        let end = Instant::now() + time;
        while !is_enough(self) {
            match self.next(end).await? {
                Next::Message(message) => self.note_late(&message.header),
                Next::Presence(..) | Next::Restored => {}
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
            let mut request = Asked { id: random()?, body, digests: Vec::new() };
            // A will may have arrived while nobody waited for this node.
            match self.send(&node, &request.id, deadline, &request.body).await? {
                Some(digest) => {
                    request.digests.push(digest);
                    pending.insert(node, request);
                }
                None => {
                    seen(&node, Seen::Gone);
                    answers.insert(node, (Answer::Gone, start.elapsed()));
                }
            }
        }
        sent();
        let mut sign_at = Instant::now() + SIGN_OF_LIFE_PAUSE;
        while !pending.is_empty() {
            match self.next(end.min(sign_at)).await? {
                Next::Presence(node, Change::Gone) if pending.remove(&node).is_some() => {
                    seen(&node, Seen::Gone);
                    answers.insert(node, (Answer::Gone, start.elapsed()));
                }
                Next::Presence(..) => {}
                // What was under way is lost with the connection; nodes that
                // work on it already ignore that it is said again.
                Next::Restored => {
                    let left = end.saturating_duration_since(Instant::now());
                    for (node, asked) in &mut pending {
                        let sent = self.send(node, &asked.id, left, &asked.body).await?;
                        asked.digests.extend(sent);
                    }
                }
                Next::Message(message) => {
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
                    sign_at = Instant::now() + SIGN_OF_LIFE_PAUSE;
                    for node in pending.keys().filter(|_| self.lost.is_none()) {
                        self.send(node, &random()?, SIGN_OF_LIFE_PAUSE, &Body::Ping).await?;
                    }
                }
                Next::Deadline => {
                    if let Some(reason) = &self.lost {
                        return Err(Error::BrokerLost { reason: reason.clone() });
                    }
                    self.cancel(&pending).await;
                    for node in std::mem::take(&mut pending).into_keys() {
                        // Only what comes from now on is a sign of life.
                        self.late.remove(&node);
                        let silent = Answer::Silent { progress: progress.remove(&node) };
                        answers.insert(node, (silent, start.elapsed()));
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

    /// What comes after its deadline changes no round, but shows that the node
    /// is alive.
    fn note_late(&mut self, header: &Header) {
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
                    let who = topic.map_or("somebody".to_owned(), |topic| topic.to_string());
                    tracing::warn!("a message over the topic of {who} is refused: {refused}");
                    continue;
                }
                Some(Incoming::Lost { reason }) => {
                    tracing::warn!("the connection to the broker is lost; waiting for it");
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
            let Body::Presence(presence) = message.body else { return Ok(Next::Message(message)) };
            if let Some((node, change)) = self.take_presence(&message.header, presence) {
                return Ok(Next::Presence(node, change));
            }
        }
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
        let Header { session, connection, issued_ms, .. } = header.clone();
        let new = Known { online, session, connection, issued_ms };
        let change = match self.presence.get(&node) {
            None if self.presence.len() >= NODES_MAX => return None,
            None => Change::Here,
            Some(known) if known.session == new.session => {
                let is_older = new.connection < known.connection;
                let is_back = online && !known.online && new.connection == known.connection;
                if is_older || (is_back && new.issued_ms <= known.issued_ms) {
                    return None;
                }
                if online { Change::Here } else { Change::Gone }
            }
            Some(known) if new.issued_ms < known.issued_ms => return None,
            // Another run of its program: what was asked of the one before is lost.
            Some(_) => Change::Gone,
        };
        let was_away = self.presence.get(&node).is_some_and(|known| !known.online);
        let is_anew = self.presence.get(&node).is_some_and(|known| known.session != new.session);
        if online && (was_away || is_anew) {
            // It was started anew: a sign of life.
            self.late.insert(node.clone());
        }
        self.presence.insert(node.clone(), new);
        Some((node, change))
    }

    /// Sends a request to the node's session of now; none if it is not online.
    async fn send(
        &self,
        node: &NodeId,
        request_id: &RequestId,
        deadline: Duration,
        body: &Body,
    ) -> Result<Option<Digest>, Error> {
        let Some(known) = self.presence.get(node).filter(|known| known.online) else {
            return Ok(None);
        };
        let (participant, session) = (Participant::node(node), known.session.clone());
        // Whose key was revoked says nothing more that would be believed.
        if self.member().roster().key(&participant).is_none() {
            return Ok(None);
        }
        let message = outgoing(request_id, deadline, body);
        Ok(Some(self.sender.send(&Recipient { participant, session }, message).await?))
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
