//! A connection to an MQTT broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fedwasm_protocol::{Envelope, MESSAGE_BYTES_MAX};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, LastWill, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::{BrokerUrl, Error};

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

/// So many connections within this time mean that another program has our id.
const FIGHT_CONNECTS: usize = 5;
const FIGHT_TIME: Duration = Duration::from_secs(10);

/// How to connect.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The broker.
    pub url: BrokerUrl,
    /// Unique at the broker.
    pub client_id: String,
    /// Topics to subscribe to, again after each new connection.
    pub subscriptions: Vec<String>,
    /// (topic, payload) of a retained message that is published after each new
    /// connection.
    pub greeting: Option<(String, Vec<u8>)>,
    /// (topic, payload) of a retained message that the broker publishes when
    /// the connection is lost, and this program when it leaves.
    pub farewell: Option<(String, Vec<u8>)>,
}

/// What a connection brings.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload, at most [`MESSAGE_BYTES_MAX`] bytes.
        payload: Bytes,
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

/// A connection to an MQTT broker that comes back by itself.
#[derive(Debug)]
pub struct Link {
    sender: Sender,
    incoming: mpsc::Receiver<Incoming>,
    driver: JoinHandle<()>,
    farewell: Option<(String, Vec<u8>)>,
}

impl Link {
    /// Connects and subscribes; returns when the broker has confirmed both.
    ///
    /// # Errors
    /// [`Error::BrokerUnreachable`] after [`CONNECT_TIME_MAX`] at the latest.
    pub async fn connect(options: LinkOptions) -> Result<Self, Error> {
        let url = options.url.to_string();
        let (client, mut events) = AsyncClient::new(mqtt_options(&options), OUTGOING_MAX);
        let (sender, incoming) = mpsc::channel(INCOMING_MAX);
        let farewell = options.farewell.clone();
        let connected = Arc::new(AtomicBool::new(false));
        let mut driver = Driver {
            options,
            client: client.clone(),
            incoming: sender,
            connected: Arc::clone(&connected),
            unsaid: false,
            connects: Vec::new(),
            n_dropped: 0,
            told: None,
        };
        let unreachable = |reason: String| Error::BrokerUnreachable { url: url.clone(), reason };
        let ready = tokio::time::timeout(CONNECT_TIME_MAX, driver.until_subscribed(&mut events));
        match ready.await {
            Err(_) => return Err(unreachable(format!("no answer within {CONNECT_TIME_MAX:?}"))),
            Ok(Err(reason)) => return Err(unreachable(reason)),
            Ok(Ok(())) => {}
        }
        let driver = tokio::spawn(driver.run(events));
        Ok(Self { sender: Sender { client, connected }, incoming, driver, farewell })
    }

    /// Returns a handle that sends over this connection.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Returns what the connection brings next; none when it is closed.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Says farewell and closes the connection, within two seconds.
    pub async fn close(self) {
        let leave = async {
            let Sender { client, .. } = self.sender;
            if let Some((topic, payload)) = self.farewell {
                let _ = client.publish(topic, QoS::AtLeastOnce, true, payload).await;
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
}

impl Sender {
    /// Sends a message, at least once.
    ///
    /// # Errors
    /// [`Error::Envelope`] if it is too large, [`Error::Closed`].
    pub async fn send(&self, topic: String, envelope: &Envelope) -> Result<(), Error> {
        let payload = envelope.encode()?;
        let sent = self.client.publish(topic, QoS::AtLeastOnce, false, payload).await;
        sent.map_err(|_| Error::Closed)
    }

    /// Publishes a retained message.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn retain(&self, topic: String, payload: Vec<u8>) -> Result<(), Error> {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, true, payload).await;
        sent.map_err(|_| Error::Closed)
    }

    /// Sends a message if there is a connection and room in the queue. For what
    /// may be lost.
    pub fn try_send(&self, topic: String, envelope: &Envelope) {
        // While there is no connection the queue must keep room for what matters.
        if !self.connected.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(payload) = envelope.encode() {
            let _ = self.client.try_publish(topic, QoS::AtMostOnce, false, payload);
        }
    }
}

fn mqtt_options(options: &LinkOptions) -> MqttOptions {
    let BrokerUrl { host, port } = options.url.clone();
    let mut mqtt = MqttOptions::new(options.client_id.clone(), host, port);
    mqtt.set_keep_alive(KEEP_ALIVE).set_clean_start(true);
    let mut properties = ConnectProperties::new();
    properties.max_packet_size = Some(PACKET_BYTES_MAX as u32);
    mqtt.set_connect_properties(properties);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    mqtt.set_network_options(network);
    if let Some((topic, payload)) = &options.farewell {
        let will = LastWill::new(topic, payload.clone(), QoS::AtLeastOnce, true, None);
        mqtt.set_last_will(will);
    }
    mqtt
}

/// Owns the socket. The consumer of `incoming` may be slow; the driver never
/// waits for it, or pings would stop.
struct Driver {
    options: LinkOptions,
    client: AsyncClient,
    incoming: mpsc::Sender<Incoming>,
    connected: Arc<AtomicBool>,
    /// What is still to be said on this connection: subscriptions and greeting.
    unsaid: bool,
    /// When the newest connections were made.
    connects: Vec<Instant>,
    /// Messages dropped since that was last told, and when it was.
    n_dropped: u64,
    told: Option<Instant>,
}

/// Whether the driver goes on.
enum Next {
    GoOn,
    Subscribed,
    Stop,
}

impl Driver {
    async fn until_subscribed(&mut self, events: &mut EventLoop) -> Result<(), String> {
        let mut missing = self.options.subscriptions.len();
        loop {
            let event = events.poll().await.map_err(|error| error.to_string())?;
            match self.handle(event) {
                Next::Subscribed => missing = missing.saturating_sub(1),
                Next::GoOn => {}
                Next::Stop => return Err("the broker refuses us or our subscriptions".into()),
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
                        self.pass_on(Incoming::Closed(Error::Closed));
                        return;
                    }
                }
                Err(ConnectionError::RequestsDone) => return,
                // The broker hangs up after our own farewell.
                Err(_) if self.incoming.is_closed() => return,
                Err(error) => {
                    if self.connected.swap(false, Ordering::Relaxed) {
                        self.pass_on(Incoming::Lost { reason: error.to_string() });
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
                    let url = self.options.url.to_string();
                    let client_id = self.options.client_id.clone();
                    self.pass_on(Incoming::Closed(Error::TakenOver { url, client_id }));
                    return Next::Stop;
                }
                self.unsaid = self.introduce().is_err();
                self.pass_on(Incoming::Restored);
                Next::GoOn
            }
            Packet::SubAck(ack) => {
                let granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
                if ack.return_codes.iter().all(granted) { Next::Subscribed } else { Next::Stop }
            }
            Packet::Publish(publish) if publish.payload.len() <= MESSAGE_BYTES_MAX => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                self.pass_on(Incoming::Message { topic, payload: publish.payload });
                Next::GoOn
            }
            _ => Next::GoOn,
        }
    }

    /// Subscribes and greets.
    fn introduce(&self) -> Result<(), rumqttc::v5::ClientError> {
        for topic in &self.options.subscriptions {
            self.client.try_subscribe(topic, QoS::AtLeastOnce)?;
        }
        if let Some((topic, payload)) = self.options.greeting.clone() {
            self.client.try_publish(topic, QoS::AtLeastOnce, true, payload)?;
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

    fn pass_on(&mut self, incoming: Incoming) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Broker;
    use fedwasm_protocol::{Body, PROTOCOL_VERSION, RequestId};

    fn options(url: &BrokerUrl, client_id: &str) -> LinkOptions {
        LinkOptions {
            url: url.clone(),
            client_id: client_id.into(),
            subscriptions: vec![format!("to/{client_id}"), "presence/+".into()],
            greeting: Some((format!("presence/{client_id}"), b"here".to_vec())),
            farewell: Some((format!("presence/{client_id}"), b"gone".to_vec())),
        }
    }

    async fn broker() -> (Broker, BrokerUrl) {
        let broker = Broker::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = format!("mqtt://{}", broker.address()).parse().unwrap();
        (broker, url)
    }

    async fn message(link: &mut Link, wanted: &str) -> Bytes {
        let next = async {
            loop {
                match link.next().await {
                    Some(Incoming::Message { topic, payload }) if topic == wanted => {
                        return payload;
                    }
                    Some(_) => {}
                    None => panic!("closed"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), next).await.unwrap()
    }

    #[tokio::test]
    async fn messages_presence_and_farewell_arrive() {
        let (broker, url) = broker().await;
        let a = Link::connect(options(&url, "a")).await.unwrap();
        let mut b = Link::connect(options(&url, "b")).await.unwrap();
        assert_eq!(&message(&mut b, "presence/a").await[..], b"here");
        let envelope = Envelope {
            version: PROTOCOL_VERSION,
            request_id: RequestId::random().unwrap(),
            sender: "a".into(),
            deadline_ms: 1,
            body: Body::Echo,
        };
        a.sender().send("to/b".into(), &envelope).await.unwrap();
        let got = Envelope::decode(&message(&mut b, "to/b").await).unwrap();
        assert_eq!(got, envelope);
        a.close().await;
        assert_eq!(&message(&mut b, "presence/a").await[..], b"gone");
        b.close().await;
        broker.stop().await;
    }

    #[tokio::test]
    async fn absent_broker_is_an_error_with_its_address() {
        let (broker, url) = broker().await;
        broker.stop().await;
        let error = Link::connect(options(&url, "a")).await.unwrap_err().to_string();
        assert!(error.contains(&url.to_string()), "{error}");
    }

    #[tokio::test]
    async fn the_same_id_twice_closes_the_first() {
        let (broker, url) = broker().await;
        let mut first = Link::connect(options(&url, "a")).await.unwrap();
        let second = Link::connect(options(&url, "a")).await.unwrap();
        let closed = async {
            loop {
                match first.next().await {
                    Some(Incoming::Closed(Error::TakenOver { client_id, .. })) => return client_id,
                    Some(_) => {}
                    None => panic!("closed without a word"),
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap(), "a");
        second.close().await;
        broker.stop().await;
    }
}
