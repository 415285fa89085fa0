//! The network ports of a participant: messages under topics, and blobs by digest. MQTT and HTTP
//! are one network, memory is another; `conformance` holds both to the promises that are written
//! here. Payloads are opaque: [`crate::Link`] signs and checks them, and [`crate::Repository`]
//! checks digests, above every network.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use fedwasm_protocol::{BlobRef, Digest, ExperimentId, FederationId, Participant};
use fedwasm_trust::{Identity, Membership};
use tokio::sync::mpsc;

use crate::Error;

/// Messages that wait to be sent.
pub const OUTGOING_MAX: usize = 256;
/// Messages that wait to be looked at; later ones are dropped, and a recipient that waits for
/// one of them learns it from a deadline.
pub const INCOMING_MAX: usize = 4_096;
/// The largest blob, in bytes.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;

/// The most blobs that are given up at once.
pub const RELEASED_MAX: usize = 1_024;

/// A result that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A payload under a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where: levels between slashes.
    pub topic: String,
    /// At most [`fedwasm_protocol::MESSAGE_BYTES_MAX`] bytes.
    pub payload: Bytes,
    /// Whether the network keeps it for later subscribers, in place of the earlier message
    /// under this topic.
    pub retain: bool,
}

/// The first and the last publication of one connection.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    /// Is published once the subscriptions are asked for.
    pub greeting: Option<Publication>,
    /// Is published by the network when the connection is lost, and by [`Outbox::close`].
    pub will: Option<Publication>,
}

/// Makes the introduction of the next connection. A signature in it covers the connection's
/// number, so each attempt to connect has its own.
pub type Introduce = Box<dyn FnMut() -> Result<Introduction, Error> + Send>;

/// A client of a network.
pub struct Client {
    /// `PARTICIPANT.SECRET`. A client that comes with the id of another one takes its place.
    pub id: String,
    /// Topics in which `+` is any one level.
    pub subscriptions: Vec<String>,
    /// Is asked before each attempt to connect, the first and every later one.
    pub introduce: Introduce,
}

/// An event of a connection.
#[derive(Debug)]
pub enum Event {
    /// A payload under a topic that was subscribed to, the client's own among them.
    Message {
        /// The whole topic.
        topic: String,
        /// As it was published.
        payload: Bytes,
    },
    /// The connection is lost; the network tries again by itself.
    Lost {
        /// Why.
        reason: String,
    },
    /// The connection is there: the first time, and again after it was lost.
    Restored,
    /// The connection is over for good.
    Closed(Error),
}

/// A client's connection, which comes back by itself. When `events` is dropped without
/// [`Outbox::close`], the connection is lost.
#[derive(Debug)]
pub struct Connection {
    /// Sends.
    pub outbox: Arc<dyn Outbox>,
    /// Receives; holds [`INCOMING_MAX`] events, and ends after [`Event::Closed`].
    pub events: mpsc::Receiver<Event>,
}

/// A network that carries messages.
///
/// * **Delivery**: at least once to each client that is subscribed and connected. A message may
///   come twice, such as after a connection was lost.
/// * **Order**: messages of one client under one topic arrive in the order in which they were
///   published. Nothing is promised between clients or topics.
/// * **Loss**: a client that is not connected misses messages that are not retained. One that does
///   not read loses the newest messages first, and keeps its connection. Messages on their way out
///   when a connection is lost may be lost with it.
/// * **Retained**: a subscriber gets the last retained publication of each topic that it
///   subscribes to, at each connection. An empty payload clears a topic.
/// * **Will**: subscribers get the will of a connection that is lost, and not the one of an
///   earlier connection.
/// * **Take-over**: of two clients with one id the earlier ends with [`Event::Closed`] and
///   [`Error::TakenOver`]. It is not promised that the later one continues.
pub trait Messages: Debug + Send + Sync {
    /// Connects; returns once the network has confirmed all subscriptions.
    ///
    /// Errors: [`Error::BrokerUnreachable`] within ten seconds; [`Error::BrokerRefused`],
    /// [`Error::OldBroker`], [`Error::Tls`]; those of [`Client::introduce`].
    fn connect(&self, client: Client) -> Later<'_, Result<Connection, Error>>;
}

/// The sending half of a connection.
pub trait Outbox: Debug + Send + Sync {
    /// Publishes at least once. Waits while [`OUTGOING_MAX`] publications wait. A message published
    /// after [`Event::Lost`] waits for the next connection, in order.
    ///
    /// Errors: [`Error::MessageTooLarge`], and nothing is sent; [`Error::Closed`].
    fn publish(&self, publication: Publication) -> Later<'_, Result<(), Error>>;

    /// Publishes at most once, if there is a connection and room: for messages that may be lost.
    fn offer(&self, publication: Publication);

    /// Whether there is a connection at the moment.
    fn is_connected(&self) -> bool;

    /// Publishes the will and closes the connection for good.
    fn close(&self) -> Later<'_, ()>;
}

/// The experiment of a blob, and its recipients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Label<'a> {
    /// The blob may be deleted once this experiment is finished.
    pub experiment: Option<&'a ExperimentId>,
    /// Participants that may fetch it beside the one that stores it, where the network knows its
    /// clients.
    pub recipients: &'a [Participant],
}

/// A network that keeps blobs by their SHA-256, and the roster of its federation.
///
/// * **Whole or absent**: a blob can be fetched once its last byte is there, and never a part
///   of it. A transfer that breaks off or is dropped leaves the whole blob or nothing.
/// * **Bytes of the digest**: bytes with another digest are not stored. Fetched bytes are checked
///   again by [`crate::Repository`], since a store can be damaged.
/// * **Recipients**: where the network knows its clients, others learn nothing about a blob.
/// * **Experiments**: one belongs to the researcher that stores in its name first; nodes store in
///   it what is for that researcher. Nothing is stored in the name of one that is finished until
///   its researcher reopens it.
///
/// Refusals are [`Error::Repository`] with the status of HTTP: 400 malformed, 403 not yours, 404
/// absent or not for you, 409 finished, 413 too large, 422 another digest, 429 wait for your turn,
/// 507 no room.
pub trait Blobs: Debug + Send + Sync {
    /// Stores `bytes`, which `blob` names. Storing the same bytes again changes nothing but who
    /// may fetch them.
    ///
    /// Errors: [`Error::Repository`] (403, 409, 413, 422, 429, 507),
    /// [`Error::RepositoryUnreachable`].
    fn put<'a>(
        &'a self,
        blob: &'a BlobRef,
        bytes: Bytes,
        label: Label<'a>,
    ) -> Later<'a, Result<(), Error>>;

    /// Fetches a blob. Never returns more bytes than `blob` announces.
    ///
    /// Errors: [`Error::Repository`] (404), [`Error::WrongSize`],
    /// [`Error::RepositoryUnreachable`].
    fn get<'a>(&'a self, blob: &'a BlobRef) -> Later<'a, Result<Bytes, Error>>;

    /// Says that an experiment is finished.
    ///
    /// Errors: [`Error::Repository`] (403), [`Error::RepositoryUnreachable`].
    fn finish<'a>(&'a self, experiment: &'a ExperimentId) -> Later<'a, Result<(), Error>>;

    /// Reopens an experiment if it was finished.
    ///
    /// Errors: as [`Blobs::finish`].
    fn reopen<'a>(&'a self, experiment: &'a ExperimentId) -> Later<'a, Result<(), Error>>;

    /// Gives up blobs of an experiment, at most [`RELEASED_MAX`]: no round needs them any more.
    /// They are deleted some time later, unless they are another one's or were stored again.
    ///
    /// Errors: as [`Blobs::finish`].
    fn release<'a>(
        &'a self,
        experiment: &'a ExperimentId,
        digests: &'a [Digest],
    ) -> Later<'a, Result<(), Error>>;

    /// Returns the federation whose repository this is, unsigned.
    ///
    /// Errors: [`Error::RepositoryUnreachable`], [`Error::Repository`], [`Error::Trust`].
    fn federation(&self) -> Later<'_, Result<FederationId, Error>>;

    /// Returns the federation's newest roster, signed.
    ///
    /// Errors: [`Error::RepositoryUnreachable`], [`Error::Repository`].
    fn roster(&self) -> Later<'_, Result<Vec<u8>, Error>>;

    /// Asks a federation on this machine to put `identity` on its roster.
    ///
    /// Errors: [`Error::Repository`] (403, 409), [`Error::RepositoryUnreachable`],
    /// [`Error::Trust`].
    fn enrol<'a>(&'a self, identity: &'a Identity) -> Later<'a, Result<Membership, Error>>;
}

impl Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A program that knows an id can disconnect its client.
        f.debug_struct("Client").field("participant", &self.name()).finish_non_exhaustive()
    }
}

impl Client {
    /// The participant's name: the part before the secret.
    pub fn name(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }
}
