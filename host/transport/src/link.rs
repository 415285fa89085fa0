//! A connection to an MQTT broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fedwasm_protocol::{
    Body, Digest, MESSAGE_BYTES_MAX, Message, Participant, Presence, Recipient, RequestId, Role,
    SessionId,
};
use fedwasm_trust::{Guard, Member, Outgoing, Refused, Seal};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, ConnectReturnCode, LastWill, Packet, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::{BrokerUrl, Error, Repository, Security, Topics, older, tls};

/// A message and what MQTT puts around it.
const PACKET_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (1 << 10);
/// Messages that wait to be sent.
const OUTGOING_MAX: usize = 256;
/// Messages that wait to be looked at; later ones are dropped, and whoever
/// waits for them learns it from a deadline.
const INCOMING_MAX: usize = 4_096;
/// How soon a broker notices that a program is gone without a word: one and a
/// half times this (MQTT 5, 3.1.2.10).
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the first connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// The pause between attempts to connect again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// How long strangers are refused after a newer roster was asked for in vain, and how long
/// asking may take.
const ROSTER_PAUSE: Duration = Duration::from_secs(1);
const ROSTER_TIME_MAX: Duration = Duration::from_secs(2);

/// So many connections within this time mean that another program has our id.
const FIGHT_CONNECTS: usize = 5;
const FIGHT_TIME: Duration = Duration::from_secs(10);

/// How to connect.
#[derive(Debug)]
pub struct LinkOptions {
    /// The broker.
    pub url: BrokerUrl,
    /// Who connects.
    pub member: Arc<Member>,
    /// Where newer rosters are, for senders that are not on the known one.
    pub repository: Repository,
}

/// What a connection brings.
#[derive(Debug)]
pub enum Incoming {
    /// A message whose sender, recipient, time and novelty were checked.
    Message(Box<Message>),
    /// Something that is not believed; it changes nothing.
    Refused {
        /// Who its topic says is speaking.
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

/// What the driver hands on.
#[derive(Debug)]
enum Raw {
    Message { topic: String, payload: Bytes },
    Lost { reason: String },
    Restored,
    Closed(Error),
}

/// A connection to an MQTT broker that comes back by itself, signs what it sends
/// and looks at what it brings.
#[derive(Debug)]
pub struct Link {
    sender: Sender,
    incoming: mpsc::Receiver<Raw>,
    driver: JoinHandle<()>,
    farewell: watch::Receiver<Option<Publication>>,
    guard: Guard,
    repository: Repository,
    /// A message that only a newer roster may let in, until one is here.
    held: Option<(Option<Participant>, Bytes)>,
    /// When a newer roster was last asked for.
    asked: Option<Instant>,
}

/// Something to publish.
#[derive(Clone, Debug)]
struct Publication {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}

impl Link {
    /// Connects and subscribes; returns when the broker has confirmed both.
    /// A node's presence is published and retained; its last will takes it
    /// back. A researcher's last will is its farewell.
    ///
    /// # Errors
    /// [`Error::BrokerUnreachable`] after ten seconds at the latest;
    /// [`Error::Tls`], [`Error::Trust`].
    pub async fn connect(options: LinkOptions) -> Result<Self, Error> {
        let LinkOptions { url, member, repository } = options;
        let seal = Arc::new(Seal::new(Arc::clone(&member))?);
        let topics = Topics::new(&member.membership().federation);
        let mqtt = mqtt_options(&url, &seal)?;
        let (client, mut events) = AsyncClient::new(mqtt, OUTGOING_MAX);
        let (raw, incoming) = mpsc::channel(INCOMING_MAX);
        let connected = Arc::new(AtomicBool::new(false));
        let (will, farewell) = watch::channel(None);
        let mut driver = Driver {
            url: url.clone(),
            subscriptions: subscriptions(&topics, &seal),
            introduction: Introduction { seal: Arc::clone(&seal), topics: topics.clone() },
            greeting: None,
            will,
            client: client.clone(),
            incoming: raw,
            connected: Arc::clone(&connected),
            unsaid: false,
            connects: Vec::new(),
            n_dropped: 0,
            told: None,
        };
        driver.prepare(&mut events)?;
        let unreachable =
            |reason: String| Error::BrokerUnreachable { url: url.to_string(), reason };
        let ready = tokio::time::timeout(CONNECT_TIME_MAX, driver.until_subscribed(&mut events));
        let reason = match ready.await {
            Err(_) => Some(format!("no answer within {CONNECT_TIME_MAX:?}")),
            Ok(Err(NotReady::Unreachable(reason))) => Some(reason),
            Ok(Err(NotReady::Refused(reason))) => {
                return Err(Error::BrokerRefused { url: url.to_string(), reason });
            }
            Ok(Ok(())) => None,
        };
        if let Some(reason) = reason {
            return Err(match older::speaks_mqtt_3(&url, member.as_ref()).await {
                true => Error::OldBroker { url: url.to_string() },
                false => unreachable(reason),
            });
        }
        let guard = Guard::new(member, seal.session().clone());
        let driver = tokio::spawn(driver.run(events));
        let sender = Sender { client, connected, seal, topics };
        let (held, asked) = (None, None);
        Ok(Self { sender, incoming, driver, farewell, guard, repository, held, asked })
    }

    /// Returns a handle that sends over this connection.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Returns what the connection brings next; none when it is closed. Nothing
    /// is lost if it is not waited for to the end.
    pub async fn next(&mut self) -> Option<Incoming> {
        if self.held.is_none() {
            let raw = self.incoming.recv().await?;
            let (topic, payload) = match raw {
                Raw::Message { topic, payload } => (self.sender.topics.sender(&topic), payload),
                Raw::Lost { reason } => return Some(Incoming::Lost { reason }),
                Raw::Restored => return Some(Incoming::Restored),
                Raw::Closed(error) => return Some(Incoming::Closed(error)),
            };
            match self.open(topic, &payload) {
                // Somebody new may have come since the roster was fetched, or it is too old.
                Incoming::Refused {
                    topic,
                    refused: Refused::Unknown(_) | Refused::ExpiredRoster { .. },
                } if self.asked.is_none_or(|at| at.elapsed() > ROSTER_PAUSE) => {
                    self.held = Some((topic, payload));
                }
                opened => return Some(opened),
            }
        }
        let fetch = self.repository.refresh_roster(self.sender.seal.member());
        let is_newer = match tokio::time::timeout(ROSTER_TIME_MAX, fetch).await {
            Ok(Ok(is_newer)) => is_newer,
            Ok(Err(error)) => {
                tracing::warn!("no newer roster: {error}");
                false
            }
            Err(_) => {
                tracing::warn!("no newer roster within {ROSTER_TIME_MAX:?}");
                false
            }
        };
        // Only questions in vain are put off: whoever enrols right after another is heard.
        self.asked = (!is_newer).then(Instant::now);
        let (topic, payload) = self.held.take()?;
        Some(self.open(topic, &payload))
    }

    fn open(&mut self, topic: Option<Participant>, payload: &[u8]) -> Incoming {
        match self.guard.open(payload, topic.as_ref(), now_ms()) {
            Ok(message) => Incoming::Message(Box::new(message)),
            Err(refused) => Incoming::Refused { topic, refused },
        }
    }

    /// Says farewell and closes the connection, within two seconds.
    pub async fn close(self) {
        let leave = async {
            let Sender { client, .. } = self.sender;
            let farewell = self.farewell.borrow().clone();
            if let Some(Publication { topic, payload, retain }) = farewell {
                let _ = client.publish(topic, QoS::AtLeastOnce, retain, payload).await;
            }
            let _ = client.disconnect().await;
            let _ = self.driver.await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), leave).await;
    }
}

/// Sends over a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    client: AsyncClient,
    connected: Arc<AtomicBool>,
    seal: Arc<Seal>,
    topics: Topics,
}

impl Sender {
    /// Who sends, in which session.
    pub fn me(&self) -> Recipient {
        let participant = self.seal.member().participant().clone();
        Recipient { participant, session: self.seal.session().clone() }
    }

    /// Which connection of its session this is, from 1.
    pub fn connection(&self) -> u64 {
        self.seal.connection()
    }

    /// Whether there is a connection at the moment.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// The participant whose messages these are.
    pub fn member(&self) -> &Arc<Member> {
        self.seal.member()
    }

    /// Signs and sends a message, at least once. Returns the digest by which an answer names it.
    ///
    /// # Errors
    /// [`Error::Trust`] if it is too large, [`Error::Closed`].
    pub async fn send(&self, to: &Recipient, message: Outgoing<'_>) -> Result<Digest, Error> {
        let (topic, payload, digest) = self.seal(to, message)?;
        let sent = self.client.publish(topic, QoS::AtLeastOnce, false, payload).await;
        sent.map(|()| digest).map_err(|_| Error::Closed)
    }

    /// Sends a message if there is a connection and room in the queue. For what
    /// may be lost.
    pub fn try_send(&self, to: &Recipient, message: Outgoing<'_>) {
        // While there is no connection the queue must keep room for what matters.
        if !self.connected.load(Ordering::Relaxed) {
            return;
        }
        if let Ok((topic, payload, _)) = self.seal(to, message) {
            let _ = self.client.try_publish(topic, QoS::AtMostOnce, false, payload);
        }
    }

    /// Says again that this node serves.
    ///
    /// # Errors
    /// [`Error::Trust`], [`Error::Closed`].
    pub async fn greet(&self) -> Result<(), Error> {
        let introduction =
            Introduction { seal: Arc::clone(&self.seal), topics: self.topics.clone() };
        let Some(Publication { topic, payload, retain }) = introduction.presence(true)? else {
            return Ok(());
        };
        let sent = self.client.publish(topic, QoS::AtLeastOnce, retain, payload).await;
        sent.map_err(|_| Error::Closed)
    }

    fn seal(
        &self,
        to: &Recipient,
        message: Outgoing<'_>,
    ) -> Result<(String, Vec<u8>, Digest), Error> {
        let topic = self.topics.to(self.seal.member().participant(), to);
        let message = Outgoing { recipient: Some(to.clone()), ..message };
        let (payload, digest) = self.seal.seal(message, now_ms())?;
        Ok((topic, payload, digest))
    }
}

/// What is said at the beginning and at the end of a connection.
#[derive(Debug)]
struct Introduction {
    seal: Arc<Seal>,
    topics: Topics,
}

impl Introduction {
    /// What a node is retained with; none for others.
    fn presence(&self, online: bool) -> Result<Option<Publication>, Error> {
        let me = self.seal.member().participant();
        if me.role != Role::Node {
            return Ok(None);
        }
        let payload = self.seal_for_all(&Body::Presence(Presence { online }))?;
        Ok(Some(Publication { topic: self.topics.presence(me), payload, retain: true }))
    }

    fn farewell(&self) -> Result<Option<Publication>, Error> {
        let me = self.seal.member().participant();
        if me.role != Role::Researcher {
            return self.presence(false);
        }
        let payload = self.seal_for_all(&Body::Farewell)?;
        Ok(Some(Publication { topic: self.topics.farewell(me), payload, retain: false }))
    }

    fn seal_for_all(&self, body: &Body) -> Result<Vec<u8>, Error> {
        let request_id = RequestId::random().map_err(|_| fedwasm_trust::Error::Randomness)?;
        let (recipient, in_reply_to, deadline) = (None, None, Duration::ZERO);
        let message = Outgoing { recipient, request_id, in_reply_to, deadline, body };
        Ok(self.seal.seal(message, now_ms())?.0)
    }
}

fn subscriptions(topics: &Topics, seal: &Seal) -> Vec<String> {
    let me = seal.member().participant().clone();
    let role = me.role;
    let own_presence = topics.presence(&me);
    let inbox = topics.inbox(&Recipient { participant: me, session: seal.session().clone() });
    match role {
        // Its own presence, since a will can arrive after the greeting that followed it.
        Role::Node => vec![inbox, own_presence, topics.farewell_all()],
        _ => vec![topics.presence_all(), inbox],
    }
}

/// Milliseconds of Unix time.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64
}

fn mqtt_options(url: &BrokerUrl, seal: &Seal) -> Result<MqttOptions, Error> {
    let me = seal.member().participant();
    // A broker hangs up on a client when another one comes with its id, so nobody may know
    // it. Two programs of one node have the same, throw each other out, and learn of it.
    let id = match me.role {
        Role::Node => seal.member().key().secret_name(),
        _ => SessionId::random().map_err(|_| fedwasm_trust::Error::Randomness)?.to_string(),
    };
    let client_id = format!("{me}.{id}");
    let mut mqtt = MqttOptions::new(client_id, url.host.clone(), url.port);
    mqtt.set_keep_alive(KEEP_ALIVE).set_clean_start(true);
    if url.security == Security::Tls {
        let config = Arc::new(tls::client_config(seal.member())?);
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    let mut properties = ConnectProperties::new();
    properties.max_packet_size = Some(PACKET_BYTES_MAX as u32);
    mqtt.set_connect_properties(properties);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    mqtt.set_network_options(network);
    Ok(mqtt)
}

/// Owns the socket. The consumer of `incoming` may be slow; the driver never
/// waits for it, or pings would stop.
struct Driver {
    url: BrokerUrl,
    subscriptions: Vec<String>,
    introduction: Introduction,
    /// What is said on this connection once it is there.
    greeting: Option<Publication>,
    /// What the broker says when this connection is lost.
    will: watch::Sender<Option<Publication>>,
    client: AsyncClient,
    incoming: mpsc::Sender<Raw>,
    connected: Arc<AtomicBool>,
    /// What is still to be said on this connection: subscriptions and greeting.
    unsaid: bool,
    /// When the newest connections were made.
    connects: Vec<Instant>,
    /// Messages dropped since that was last told, and when it was.
    n_dropped: u64,
    told: Option<Instant>,
}

/// Why there is no connection.
enum NotReady {
    /// It may be there later.
    Unreachable(String),
    /// Whoever we are, we may not.
    Refused(String),
}

/// Whether a broker that refuses a connection will do so again.
fn is_final(code: ConnectReturnCode) -> bool {
    use ConnectReturnCode as C;
    matches!(
        code,
        C::NotAuthorized | C::BadUserNamePassword | C::Banned | C::BadAuthenticationMethod
    )
}

/// Whether the driver goes on.
enum Next {
    GoOn,
    Subscribed,
    Stop,
}

impl Driver {
    /// Signs what is said at the beginning and at the end of the next connection.
    fn prepare(&mut self, events: &mut EventLoop) -> Result<(), Error> {
        self.introduction.seal.connect();
        self.greeting = self.introduction.presence(true)?;
        let will = self.introduction.farewell()?;
        if let Some(Publication { topic, payload, retain }) = &will {
            let will = LastWill::new(topic, payload.clone(), QoS::AtLeastOnce, *retain, None);
            events.options.set_last_will(will);
        }
        self.will.send_replace(will);
        Ok(())
    }

    async fn until_subscribed(&mut self, events: &mut EventLoop) -> Result<(), NotReady> {
        let mut missing = self.subscriptions.len();
        loop {
            let event = events.poll().await.map_err(|error| match error {
                ConnectionError::ConnectionRefused(code) if is_final(code) => {
                    NotReady::Refused(format!("{code:?}"))
                }
                error => NotReady::Unreachable(error.to_string()),
            })?;
            match self.handle(event) {
                Next::Subscribed => missing = missing.saturating_sub(1),
                Next::GoOn => {}
                Next::Stop => {
                    return Err(NotReady::Refused("it does not let us subscribe".into()));
                }
            }
            if missing == 0 && self.connected.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    async fn run(mut self, mut events: EventLoop) {
        loop {
            match events.poll().await {
                Ok(event) => {
                    if let Next::Stop = self.handle(event) {
                        self.pass_on(Raw::Closed(Error::Closed));
                        return;
                    }
                }
                Err(ConnectionError::RequestsDone) => return,
                // The broker hangs up after our own farewell.
                Err(_) if self.incoming.is_closed() => return,
                Err(error) => {
                    if self.connected.swap(false, Ordering::Relaxed) {
                        self.pass_on(Raw::Lost { reason: error.to_string() });
                    }
                    if let Err(error) = self.prepare(&mut events) {
                        self.pass_on(Raw::Closed(error));
                        return;
                    }
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }

    fn handle(&mut self, event: Event) -> Next {
        // The queue was full when the connection came; there may be room now.
        if self.unsaid {
            self.unsaid = self.introduce().is_err();
        }
        let packet = match event {
            Event::Incoming(packet) => packet,
            Event::Outgoing(rumqttc::Outgoing::Disconnect) => return Next::Stop,
            Event::Outgoing(_) => return Next::GoOn,
        };
        match packet {
            Packet::ConnAck(_) => {
                self.connected.store(true, Ordering::Relaxed);
                if self.is_fought_over() {
                    let url = self.url.to_string();
                    let client_id = self.introduction.seal.member().participant().to_string();
                    self.pass_on(Raw::Closed(Error::TakenOver { url, client_id }));
                    return Next::Stop;
                }
                self.unsaid = self.introduce().is_err();
                self.pass_on(Raw::Restored);
                Next::GoOn
            }
            Packet::SubAck(ack) => {
                let granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
                if ack.return_codes.iter().all(granted) { Next::Subscribed } else { Next::Stop }
            }
            Packet::Publish(publish) if publish.payload.len() <= MESSAGE_BYTES_MAX => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                self.pass_on(Raw::Message { topic, payload: publish.payload });
                Next::GoOn
            }
            _ => Next::GoOn,
        }
    }

    /// Subscribes and greets.
    fn introduce(&self) -> Result<(), rumqttc::v5::ClientError> {
        for topic in &self.subscriptions {
            self.client.try_subscribe(topic, QoS::AtLeastOnce)?;
        }
        if let Some(Publication { topic, payload, retain }) = self.greeting.clone() {
            self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload)?;
        }
        Ok(())
    }

    /// A broker hangs up on a client when another one comes with its id
    /// (MQTT 5, 3.1.4-3), so two with one id throw each other out for ever.
    /// The reason code is often lost with the connection; what remains to be
    /// seen is how often it broke. The one that came first counts one more
    /// connection and leaves first.
    fn is_fought_over(&mut self) -> bool {
        let now = Instant::now();
        self.connects.retain(|at| now.duration_since(*at) < FIGHT_TIME);
        self.connects.push(now);
        self.connects.len() >= FIGHT_CONNECTS
    }

    fn pass_on(&mut self, incoming: Raw) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.incoming.try_send(incoming) {
            self.n_dropped += 1;
            // A flood must not fill the log, too.
            if self.told.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                let n = std::mem::take(&mut self.n_dropped);
                tracing::warn!("more than {INCOMING_MAX} messages wait; {n} were dropped");
                self.told = Some(Instant::now());
            }
        }
    }
}
