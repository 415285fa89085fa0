//! A connection to a federation: signs outgoing messages, and checks incoming ones.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fedwasm_protocol::{Digest, Message, Participant, Recipient};
use fedwasm_trust::{Guard, Member, Outgoing, Refused, Seal};
use tokio::sync::mpsc;

use crate::introduction::Introducer;
use crate::port::{Connection, Event, Messages, Outbox, Publication};
use crate::{BrokerUrl, Clock, Error, Mqtt, Repository, Topics};

/// How long strangers are refused after a newer roster was asked for in vain, and how long
/// asking may take.
const ROSTER_PAUSE: Duration = Duration::from_secs(1);
const ROSTER_TIME_MAX: Duration = Duration::from_secs(2);

/// How to connect.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The network for messages.
    pub messages: Arc<dyn Messages>,
    /// The participant that connects.
    pub member: Arc<Member>,
    /// Where newer rosters are, for senders that are not on the known one.
    pub repository: Repository,
    /// The time of messages.
    pub clock: Clock,
}

impl LinkOptions {
    /// A member of a federation at its network, by the machine's clock.
    pub fn new(messages: Arc<dyn Messages>, member: Arc<Member>, repository: Repository) -> Self {
        Self { messages, member, repository, clock: Clock::real() }
    }

    /// A member of a federation at a broker, by the machine's clock.
    pub fn mqtt(url: BrokerUrl, member: Arc<Member>, repository: Repository) -> Self {
        let messages = Arc::new(Mqtt::new(url, Arc::clone(&member)));
        Self::new(messages, member, repository)
    }
}

/// An event of a connection.
#[derive(Debug)]
pub enum Incoming {
    /// A message whose sender, recipient, time and novelty were checked.
    Message(Box<Message>),
    /// Something that is not believed; it changes nothing.
    Refused {
        /// The sender that its topic names.
        topic: Option<Participant>,
        /// Why.
        refused: Refused,
    },
    /// The connection was lost; it is tried again.
    Lost {
        /// Why.
        reason: String,
    },
    /// The connection is there again.
    Restored,
    /// The connection is over for good.
    Closed(Error),
}

/// A connection to a federation that reconnects by itself, signs outgoing messages and checks
/// incoming ones.
#[derive(Debug)]
pub struct Link {
    sender: Sender,
    events: mpsc::Receiver<Event>,
    guard: Guard,
    repository: Repository,
    /// A message that only a newer roster may let in, until one is here.
    held: Option<(Option<Participant>, Bytes)>,
    /// When a newer roster was last asked for in vain.
    asked: Option<Duration>,
}

impl Link {
    /// Connects and subscribes; returns when the network has confirmed both.
    /// A node's presence is published and retained; its last will takes it
    /// back. A researcher's last will is its farewell.
    ///
    /// # Errors
    /// [`Error::BrokerUnreachable`] after ten seconds at the latest;
    /// [`Error::Tls`], [`Error::Trust`].
    pub async fn connect(options: LinkOptions) -> Result<Self, Error> {
        let LinkOptions { messages, member, repository, clock } = options;
        let seal = Arc::new(Seal::new(Arc::clone(&member))?);
        let topics = Topics::new(&member.membership().federation);
        let introducer = Introducer { seal, topics, clock };
        let client = introducer.clone().client()?;
        let Connection { outbox, events } = messages.connect(client).await?;
        let guard = Guard::new(member, introducer.seal.session().clone());
        let sender = Sender { outbox, introducer };
        Ok(Self { sender, events, guard, repository, held: None, asked: None })
    }

    /// Returns a handle that sends over this connection.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Returns the next event; none when the connection is closed. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Incoming> {
        if self.held.is_none() {
            let (topic, payload) = match self.events.recv().await? {
                Event::Message { topic, payload } => (self.topics().sender(&topic), payload),
                Event::Lost { reason } => return Some(Incoming::Lost { reason }),
                Event::Restored => return Some(Incoming::Restored),
                Event::Closed(error) => return Some(Incoming::Closed(error)),
            };
            match self.open(topic, &payload) {
                // A participant may have been enrolled since the roster was fetched, or the roster
                // is too old.
                Incoming::Refused {
                    topic,
                    refused: Refused::Unknown(_) | Refused::ExpiredRoster { .. },
                } if self.asked.is_none_or(|at| self.clock().elapsed() - at > ROSTER_PAUSE) => {
                    self.held = Some((topic, payload));
                }
                opened => return Some(opened),
            }
        }
        let fetch = self.repository.refresh_roster(self.sender.member());
        let is_newer = match tokio::time::timeout(ROSTER_TIME_MAX, fetch).await {
            Ok(Ok(is_newer)) => is_newer,
            Ok(Err(error)) => {
                tracing::warn!("the roster could not be refreshed: {error}");
                false
            }
            Err(_) => {
                tracing::warn!("the roster could not be refreshed within {ROSTER_TIME_MAX:?}");
                false
            }
        };
        // Only fetches without a newer roster are delayed: a participant that enrols right after
        // another is heard.
        self.asked = (!is_newer).then(|| self.clock().elapsed());
        let (topic, payload) = self.held.take()?;
        Some(self.open(topic, &payload))
    }

    fn open(&mut self, topic: Option<Participant>, payload: &[u8]) -> Incoming {
        let now_ms = self.clock().now_ms();
        match self.guard.open(payload, topic.as_ref(), now_ms) {
            Ok(message) => Incoming::Message(Box::new(message)),
            Err(refused) => Incoming::Refused { topic, refused },
        }
    }

    fn topics(&self) -> &Topics {
        &self.sender.introducer.topics
    }

    fn clock(&self) -> &Clock {
        &self.sender.introducer.clock
    }

    /// Says farewell and closes the connection, within two seconds.
    pub async fn close(self) {
        self.sender.outbox.close().await;
    }
}

/// Sends over a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    outbox: Arc<dyn Outbox>,
    introducer: Introducer,
}

impl Sender {
    /// The sender and its session.
    pub fn me(&self) -> Recipient {
        let participant = self.seal().member().participant().clone();
        Recipient { participant, session: self.seal().session().clone() }
    }

    /// Which connection of its session this is, from 1.
    pub fn connection(&self) -> u64 {
        self.seal().connection()
    }

    /// Whether there is a connection at the moment.
    pub fn is_connected(&self) -> bool {
        self.outbox.is_connected()
    }

    /// The participant whose messages these are.
    pub fn member(&self) -> &Arc<Member> {
        self.seal().member()
    }

    /// Signs and sends a message, at least once. Returns the digest by which an answer names it.
    ///
    /// # Errors
    /// [`Error::Trust`] if it is too large, [`Error::Closed`].
    pub async fn send(&self, to: &Recipient, message: Outgoing<'_>) -> Result<Digest, Error> {
        let (publication, digest) = self.sealed(to, message)?;
        self.outbox.publish(publication).await?;
        Ok(digest)
    }

    /// Sends a message if there is a connection and room in the queue. For what
    /// may be lost.
    pub fn try_send(&self, to: &Recipient, message: Outgoing<'_>) {
        // A signature that is not sent costs time.
        if self.is_connected()
            && let Ok((publication, _)) = self.sealed(to, message)
        {
            self.outbox.offer(publication);
        }
    }

    /// Says again that this node serves.
    ///
    /// # Errors
    /// [`Error::Trust`], [`Error::Closed`].
    pub async fn greet(&self) -> Result<(), Error> {
        match self.introducer.presence(true)? {
            Some(presence) => self.outbox.publish(presence).await,
            None => Ok(()),
        }
    }

    fn seal(&self) -> &Arc<Seal> {
        &self.introducer.seal
    }

    fn sealed(
        &self,
        to: &Recipient,
        message: Outgoing<'_>,
    ) -> Result<(Publication, Digest), Error> {
        let Introducer { seal, topics, clock } = &self.introducer;
        let topic = topics.to(seal.member().participant(), to);
        let message = Outgoing { recipient: Some(to.clone()), ..message };
        let (payload, digest) = seal.seal(message, clock.now_ms())?;
        Ok((Publication { topic, payload: payload.into(), retain: false }, digest))
    }
}
