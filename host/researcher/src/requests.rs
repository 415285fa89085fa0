//! Requests to nodes and the wait for their answers (Fed-BioMed `Requests`,
//! with deadlines).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    Body, Envelope, NodeId, PROTOCOL_VERSION, Presence, Progress, Refusal, RequestId, ResearcherId,
};
use fedwasm_transport::{BrokerUrl, Incoming, Link, LinkOptions, Sender, topic};
use tokio::sync::watch;

use crate::Error;

/// How long retained presence may take to arrive after a subscription.
const PRESENCE_TIME_MAX: Duration = Duration::from_secs(5);
/// The most nodes that are kept in mind; presence of further ones is ignored.
const NODES_MAX: usize = 4_096;
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

/// Sends requests and collects answers.
pub(crate) struct Requests {
    researcher: ResearcherId,
    link: Link,
    sender: Sender,
    /// Whether each node that was ever seen is online.
    presence: BTreeMap<NodeId, bool>,
    /// Nodes that said something that nobody waited for any more.
    late: BTreeSet<NodeId>,
    /// Why there is no connection at the moment, if there is none.
    lost: Option<String>,
    cancelled: watch::Receiver<bool>,
}

impl Requests {
    /// Connects and learns which nodes are there.
    pub(crate) async fn connect(
        url: BrokerUrl,
        researcher: ResearcherId,
        cancelled: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let link = Link::connect(LinkOptions {
            url,
            client_id: format!("researcher-{researcher}"),
            subscriptions: vec![topic::PRESENCE_ALL.into(), topic::researcher(&researcher)],
            greeting: None,
            // Empty, so that the broker retains nothing.
            farewell: Some((topic::farewell(&researcher), Vec::new())),
        });
        let link = link.await?;
        let sender = link.sender();
        let (presence, late) = (BTreeMap::new(), BTreeSet::new());
        let lost = None;
        let mut this = Self { researcher, link, sender, presence, late, lost, cancelled };
        this.learn_presence().await?;
        Ok(this)
    }

    /// Whose requests they are.
    pub(crate) fn researcher(&self) -> &ResearcherId {
        &self.researcher
    }

    /// The nodes that are online, in ascending order.
    pub(crate) fn online(&self) -> Vec<NodeId> {
        self.presence.iter().filter(|(_, online)| **online).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn is_online(&self, node: &NodeId) -> bool {
        self.presence.get(node).is_some_and(|online| *online)
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
                Next::Message(envelope) => self.note_late(&envelope),
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
            let request_id = random()?;
            self.send(&node, &request_id, deadline, body.clone()).await?;
            pending.insert(node, (request_id, body));
        }
        sent();
        // A will may have arrived while nobody waited for this node.
        let gone: Vec<NodeId> = pending.keys().filter(|id| !self.is_online(id)).cloned().collect();
        for node in gone {
            pending.remove(&node);
            seen(&node, Seen::Gone);
            answers.insert(node, (Answer::Gone, start.elapsed()));
        }
        while !pending.is_empty() {
            match self.next(end).await? {
                Next::Presence(node, false) if pending.remove(&node).is_some() => {
                    seen(&node, Seen::Gone);
                    answers.insert(node, (Answer::Gone, start.elapsed()));
                }
                Next::Presence(..) => {}
                // What was under way is lost with the connection; nodes that
                // work on it already ignore that it is said again.
                Next::Restored => {
                    let left = end.saturating_duration_since(Instant::now());
                    for (node, (request_id, body)) in &pending {
                        self.send(node, request_id, left, body.clone()).await?;
                    }
                }
                Next::Message(envelope) => {
                    let Some((node, body)) = of_pending(&pending, &envelope) else {
                        self.note_late(&envelope);
                        continue;
                    };
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
                            answers.insert(node, (Answer::Reply(body), start.elapsed()));
                        }
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
        let envelope = self.envelope(&request_id, PRESENCE_TIME_MAX, Body::Echo);
        self.sender.send(topic::researcher(&self.researcher), &envelope).await?;
        let mut end = Instant::now() + PRESENCE_TIME_MAX;
        loop {
            match self.next(end).await? {
                Next::Message(envelope) if envelope.request_id == request_id => {
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
    fn note_late(&mut self, envelope: &Envelope) {
        if let Ok(node) = envelope.sender.parse::<NodeId>()
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
            let (topic, payload) = match incoming {
                Some(Incoming::Message { topic, payload }) => (topic, payload),
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
            if topic == topic::researcher(&self.researcher) {
                match Envelope::decode(&payload) {
                    Ok(envelope) => return Ok(Next::Message(Box::new(envelope))),
                    Err(error) => tracing::warn!("a message is ignored: {error}"),
                }
            } else if let Ok(presence) = rmp_serde::from_slice::<Presence>(&payload)
                && topic == topic::presence(&presence.node_id)
                && (self.presence.len() < NODES_MAX
                    || self.presence.contains_key(&presence.node_id))
            {
                let before = self.presence.insert(presence.node_id.clone(), presence.online);
                if presence.online && before == Some(false) {
                    // It was started anew: a sign of life.
                    self.late.insert(presence.node_id.clone());
                }
                return Ok(Next::Presence(presence.node_id, presence.online));
            }
        }
    }

    async fn send(
        &self,
        node: &NodeId,
        request_id: &RequestId,
        deadline: Duration,
        body: Body,
    ) -> Result<(), Error> {
        let envelope = self.envelope(request_id, deadline, body);
        Ok(self.sender.send(topic::node(node), &envelope).await?)
    }

    /// Tells nodes that nobody waits for them any more.
    async fn cancel(&self, pending: &Pending) {
        for (node, (request_id, _)) in pending {
            let _ = self.send(node, request_id, Duration::ZERO, Body::Cancel).await;
        }
    }

    fn envelope(&self, request_id: &RequestId, deadline: Duration, body: Body) -> Envelope {
        Envelope {
            version: PROTOCOL_VERSION,
            request_id: request_id.clone(),
            sender: self.researcher.to_string(),
            deadline_ms: deadline.as_millis() as u64,
            body,
        }
    }
}

/// Requests that are not answered yet.
type Pending = BTreeMap<NodeId, (RequestId, Body)>;

enum Next {
    Restored,
    Message(Box<Envelope>),
    Presence(NodeId, bool),
    Deadline,
    Cancelled,
}

/// Returns who answers, if it is a node that is asked and the request is the
/// one that it was asked: anything else cannot touch the round.
fn of_pending(pending: &Pending, envelope: &Envelope) -> Option<(NodeId, Body)> {
    let Envelope { sender, request_id, body, .. } = envelope;
    let node: NodeId = sender.parse().ok()?;
    let (asked, _) = pending.get(&node)?;
    (asked == request_id).then(|| (node, body.clone()))
}

fn random() -> Result<RequestId, Error> {
    RequestId::random().map_err(|error| Error::Internal { reason: error.to_string() })
}
