//! Requests to nodes over a network, and the wait for their answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    Body, Digest, Message, NodeId, Participant, Recipient, RequestId, ResearcherId,
};
use fedwasm_transport::{Incoming, Link, LinkOptions, Sender, now_ms};
use fedwasm_trust::{Member, Outgoing};
use tokio::sync::watch;

use crate::Error;

use super::patience::{Patience, Verdict};
use super::presence::{Change, Directory};
use super::waiting::{Answer, Asked, Ended, Seen, Waiting};

/// How long retained presence may take to arrive after a subscription.
const PRESENCE_TIME_MAX: Duration = Duration::from_secs(5);
/// How often nodes get a sign of life while the researcher waits: a sixth of their default lease.
const SIGN_OF_LIFE_PAUSE: Duration = Duration::from_secs(20);
/// After our own message came back, earlier retained messages may still be on their way: brokers
/// promise no order between topics.
const PRESENCE_GRACE: Duration = Duration::from_millis(100);

/// Sends requests as signed messages, and collects answers.
pub(crate) struct Linked {
    researcher: ResearcherId,
    link: Link,
    sender: Sender,
    directory: Directory,
    /// The digest of the request that each node's newest reply answers.
    answered: BTreeMap<NodeId, Digest>,
    /// Requests that nodes did not answer: asked for the same again, a node that works on it, or has
    /// done it, need not do it twice.
    unanswered: BTreeMap<NodeId, Asked>,
    /// Since when the connection is lost, and why, while it is.
    lost: Option<(Instant, String)>,
    /// How long a lost connection is waited for.
    patience: Duration,
    cancelled: watch::Receiver<bool>,
}

impl Linked {
    /// Connects and learns which nodes are there.
    pub(crate) async fn connect(
        options: LinkOptions,
        researcher: ResearcherId,
        cancelled: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let link = Link::connect(options).await?;
        let sender = link.sender();
        let mut this = Self {
            researcher,
            link,
            sender,
            directory: Directory::default(),
            answered: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            lost: None,
            patience: Duration::ZERO,
            cancelled,
        };
        this.learn_presence().await?;
        Ok(this)
    }

    /// Waits so long for a connection that is lost; deadlines of nodes stand still meanwhile.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The researcher of the requests.
    pub(crate) fn researcher(&self) -> &ResearcherId {
        &self.researcher
    }

    /// The researcher, and its roster.
    pub(crate) fn member(&self) -> &Arc<Member> {
        self.sender.member()
    }

    /// The digest of the request that a node's newest reply answers.
    pub(crate) fn answered(&self, node: &NodeId) -> Option<Digest> {
        self.answered.get(node).copied()
    }

    /// The nodes that are online, in ascending order.
    pub(crate) fn online(&self) -> Vec<NodeId> {
        self.directory.online()
    }

    pub(crate) fn is_online(&self, node: &NodeId) -> bool {
        self.directory.is_online(node)
    }

    /// Whether a sign of life of the node came since this was last asked.
    pub(crate) fn take_late(&mut self, node: &NodeId) -> bool {
        self.directory.take_late(node)
    }

    /// Whether there is one to take.
    pub(crate) fn has_late(&self, node: &NodeId) -> bool {
        self.directory.has_late(node)
    }

    /// By how many milliseconds a node's clock is ahead of ours, if it said something lately.
    pub(crate) fn ahead_ms(&self, node: &NodeId) -> Option<i64> {
        self.directory.ahead_ms(node)
    }

    /// Asks nodes for a sign of life without waiting for it.
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
                Next::Message(message) => self.directory.note_late(&message.header, now_ms()),
                Next::Presence(..) | Next::Lost => {}
                Next::Restored => self.ping(silent).await?,
                Next::Deadline => break,
                Next::Cancelled => return Err(Error::Cancelled),
            }
        }
        Ok(())
    }

    /// Sends every node its request and waits until all answered, are gone,
    /// or `deadline` has passed, in which the connection was there. `sent` is called when all is
    /// sent. Each answer comes with the time that it took.
    pub(crate) async fn ask(
        &mut self,
        requests: Vec<(NodeId, Body)>,
        deadline: Duration,
        sent: impl FnOnce(),
        seen: impl FnMut(Seen),
    ) -> Result<BTreeMap<NodeId, (Answer, Duration)>, Error> {
        let start = Instant::now();
        let mut waiting = Waiting::new(start, seen);
        for (node, body) in requests {
            let mut request = match self.unanswered.remove(&node) {
                Some(asked) if asked.body == body => asked,
                _ => Asked::new(random()?, body),
            };
            // A last will may have arrived while this node was not waited for.
            match self.send(&node, &request.id, deadline, &request.body).await? {
                Sent::Nowhere => {
                    waiting.wait_for(node.clone(), request);
                    waiting.gone(node, Instant::now());
                }
                sent => {
                    request.digests.extend(sent.digest());
                    waiting.wait_for(node, request);
                }
            }
        }
        sent();
        let lost = self.lost.as_ref().map(|(since, _)| *since);
        let patience = Patience::new(start, deadline, self.patience, lost);
        let waited = self.wait(&mut waiting, patience).await;
        let Ended { answers, answered, unanswered } = waiting.end();
        self.answered.extend(answered);
        self.unanswered.extend(unanswered);
        waited.map(|()| answers)
    }

    /// Passes incoming messages to `waiting`, until no node is waited for or `patience` ends.
    async fn wait(
        &mut self,
        waiting: &mut Waiting<impl FnMut(Seen)>,
        mut patience: Patience,
    ) -> Result<(), Error> {
        let mut sign_at = Instant::now() + SIGN_OF_LIFE_PAUSE;
        if let Some((_, reason)) = &self.lost {
            waiting.lost(reason, self.patience);
        }
        while !waiting.is_over() {
            let until = waiting.next_again().map_or(sign_at, |again| again.min(sign_at));
            let due = patience.due().min(until);
            let next = self.next(due).await?;
            let now = Instant::now();
            patience.woke(due, now);
            match next {
                Next::Presence(node, Change::Gone) => waiting.will(node, now),
                Next::Presence(node, Change::Clock(ahead_ms)) => {
                    waiting.clock(node, ahead_ms, now);
                }
                Next::Presence(node, Change::Anew) => {
                    if let Some(asked) = waiting.anew(&node) {
                        self.say_again(&node, asked, patience.left(now)).await?;
                    }
                }
                Next::Presence(..) => {}
                Next::Lost => {
                    patience.lost(now);
                    let reason = self.lost.as_ref().map_or("", |(_, reason)| reason);
                    waiting.lost(reason, self.patience);
                }
                Next::Restored => {
                    patience.restored(now);
                    for (node, asked) in waiting.all_anew() {
                        self.say_again(node, asked, patience.left(now)).await?;
                    }
                }
                Next::Message(message) => match waiting.sender_of(&message.header) {
                    Some(node) => {
                        self.directory.note_clock(&message.header, now_ms());
                        waiting.take(node, &message.header, message.body, now);
                    }
                    None => self.directory.note_late(&message.header, now_ms()),
                },
                Next::Deadline => match patience.verdict(now) {
                    Verdict::Wait => {
                        self.pass_time(waiting, &mut sign_at, patience.left(now)).await?
                    }
                    Verdict::Late => self.end_wait(waiting, now).await,
                    Verdict::Lost => {
                        let reason = self.lost.as_ref().map(|(_, reason)| reason.clone());
                        return Err(Error::BrokerLost { reason: reason.unwrap_or_default() });
                    }
                },
                Next::Cancelled => {
                    self.cancel(waiting.pending()).await;
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// Gives nodes a sign of life, and asks those again that had no room.
    async fn pass_time(
        &mut self,
        waiting: &mut Waiting<impl FnMut(Seen)>,
        sign_at: &mut Instant,
        left: Duration,
    ) -> Result<(), Error> {
        let now = Instant::now();
        if now >= *sign_at {
            *sign_at = now + SIGN_OF_LIFE_PAUSE;
            self.ping(waiting.pending().map(|(node, _)| node)).await?;
        }
        for (node, asked) in waiting.due(now) {
            self.say_again(node, asked, left).await?;
        }
        Ok(())
    }

    /// The deadline has passed for those that did not answer.
    async fn end_wait(&mut self, waiting: &mut Waiting<impl FnMut(Seen)>, now: Instant) {
        self.cancel(waiting.pending()).await;
        for node in waiting.deadline(|node| self.directory.ahead_ms(node), now) {
            // Only messages from now on are a sign of life.
            self.directory.take_late(&node);
        }
    }

    /// Resolves when the stop is requested.
    pub(crate) async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            // The sender is gone.
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
                Next::Message(_) | Next::Presence(..) | Next::Restored | Next::Lost => {}
                Next::Deadline => return Ok(()),
                Next::Cancelled => return Err(Error::Cancelled),
            }
        }
    }

    /// Sends a request again to a node that has yet to answer.
    async fn say_again(
        &self,
        node: &NodeId,
        asked: &mut Asked,
        left: Duration,
    ) -> Result<(), Error> {
        asked.asked_again();
        asked.digests.extend(self.send(node, &asked.id, left, &asked.body).await?.digest());
        Ok(())
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
                    let who =
                        topic.as_ref().map_or("no participant".to_owned(), |who| who.to_string());
                    tracing::warn!("a message over the topic of {who} is refused: {refused}");
                    self.directory.note_future(topic.as_ref(), &refused);
                    continue;
                }
                Some(Incoming::Lost { reason }) => {
                    tracing::warn!("the connection to the broker is lost ({reason}); reconnecting");
                    self.lost.get_or_insert((Instant::now(), reason));
                    return Ok(Next::Lost);
                }
                Some(Incoming::Restored) => {
                    self.lost = None;
                    return Ok(Next::Restored);
                }
                Some(Incoming::Closed(error)) => return Err(error.into()),
                None => return Err(fedwasm_transport::Error::Closed.into()),
            };
            let Body::Presence(presence) = message.body else {
                return Ok(match self.directory.take_other(&message.header, now_ms()) {
                    Some(node) => Next::Presence(node, Change::Anew),
                    None => Next::Message(message),
                });
            };
            match self.directory.take(&message.header, presence, now_ms()) {
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

    /// Sends a request to the node's session of now. Without a connection nothing is sent:
    /// the waiting caller sends it once there is one again.
    async fn send(
        &self,
        node: &NodeId,
        request_id: &RequestId,
        deadline: Duration,
        body: &Body,
    ) -> Result<Sent, Error> {
        let Some(known) = self.directory.get(node).filter(|known| known.online) else {
            return Ok(Sent::Nowhere);
        };
        let (participant, session) = (Participant::node(node), known.session.clone());
        // Messages of a revoked key are refused.
        if self.member().roster().key(&participant).is_none() {
            return Ok(Sent::Nowhere);
        }
        if !self.sender.is_connected() {
            return Ok(Sent::Later);
        }
        let message = outgoing(request_id, deadline, body);
        Ok(Sent::Now(self.sender.send(&Recipient { participant, session }, message).await?))
    }

    /// Tells nodes that the researcher no longer waits for them.
    async fn cancel(&self, pending: impl Iterator<Item = (&NodeId, &Asked)>) {
        for (node, asked) in pending {
            let _ = self.send(node, &asked.id, Duration::ZERO, &Body::Cancel).await;
        }
    }
}

fn outgoing<'a>(request_id: &RequestId, deadline: Duration, body: &'a Body) -> Outgoing<'a> {
    let request_id = request_id.clone();
    Outgoing { recipient: None, request_id, in_reply_to: None, deadline, body }
}

/// The outcome of a message to a node.
enum Sent {
    /// It is on its way.
    Now(Digest),
    /// The connection is lost at the moment.
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

enum Next {
    /// The connection is lost.
    Lost,
    /// It is there again.
    Restored,
    Message(Box<Message>),
    Presence(NodeId, Change),
    Deadline,
    Cancelled,
}

fn random() -> Result<RequestId, Error> {
    RequestId::random().map_err(|error| Error::Internal { reason: error.to_string() })
}
