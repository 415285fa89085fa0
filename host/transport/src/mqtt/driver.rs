//! The task that owns the socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fedwasm_protocol::{Digest, MESSAGE_BYTES_MAX};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet, SubscribeReasonCode};
use rumqttc::v5::{
    AsyncClient, ClientError, ConnectionError, Event as MqttEvent, EventLoop, StateError,
};
use tokio::sync::{mpsc, watch};

use crate::port::{Client, Event, INCOMING_MAX, Publication};
use crate::{BrokerUrl, Cause, Error};

/// The pause before it connects again, which doubles with each attempt that fails, and the longest.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(8);
/// So many connections within this time mean that another program has our id.
const FIGHT_CONNECTS: usize = 5;
const FIGHT_TIME: Duration = Duration::from_secs(10);

/// Owns the socket. The consumer of `events` may be slow; the driver never
/// waits for it, or pings would stop.
pub(crate) struct Driver {
    url: BrokerUrl,
    client: Client,
    /// The messages to send once this connection is open.
    greeting: Option<Publication>,
    /// The last will of this connection.
    will: watch::Sender<Option<Publication>>,
    requests: AsyncClient,
    events: mpsc::Sender<Event>,
    connected: Arc<AtomicBool>,
    /// The packets that this connection has yet to send: subscriptions and greeting.
    unsaid: bool,
    /// When the newest connections were made.
    connects: Vec<Instant>,
    /// The pause before the next attempt.
    pause: Duration,
    /// Messages dropped since that was last told, and when it was.
    n_dropped: u64,
    told: Option<Instant>,
}

/// The reason why there is no connection.
pub(crate) enum NotReady {
    /// It may be there later.
    Unreachable(Cause),
    /// The broker does not let this client in.
    Refused(String),
}

/// The words about a broker that takes a connection and hangs up before it says anything.
const FULL: &str = "it hangs up at once, as a broker does that has as many clients as it takes (that \
                    of `fedwasm network start` takes 1,024), or a server that is not a broker";

/// Whether the other end hung up.
fn hung_up(error: &ConnectionError) -> bool {
    use std::io::ErrorKind as K;
    let (ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error))) = error
    else {
        return matches!(error, ConnectionError::MqttState(StateError::ConnectionAborted));
    };
    [K::ConnectionAborted, K::ConnectionReset, K::UnexpectedEof, K::BrokenPipe]
        .contains(&error.kind())
}

/// Whether a broker that refuses a connection will do so again.
fn is_final(code: ConnectReturnCode) -> bool {
    use ConnectReturnCode as C;
    matches!(
        code,
        C::NotAuthorized | C::BadUserNamePassword | C::Banned | C::BadAuthenticationMethod
    )
}

/// Whether the driver continues.
enum Next {
    GoOn,
    Subscribed,
    Stop,
}

/// Events, whether there is a connection, and its will.
type Seen = (mpsc::Sender<Event>, Arc<AtomicBool>, watch::Sender<Option<Publication>>);

impl Driver {
    pub(crate) fn new(
        url: BrokerUrl,
        client: Client,
        requests: AsyncClient,
        (events, connected, will): Seen,
    ) -> Self {
        let (greeting, unsaid, connects) = (None, false, Vec::new());
        let (n_dropped, told) = (0, None);
        Self {
            url,
            client,
            greeting,
            will,
            requests,
            events,
            connected,
            unsaid,
            connects,
            pause: RECONNECT_PAUSE,
            n_dropped,
            told,
        }
    }

    /// Signs the greeting and the last will of the next connection.
    pub(crate) fn prepare(&mut self, eventloop: &mut EventLoop) -> Result<(), Error> {
        let introduction = (self.client.introduce)()?;
        self.greeting = introduction.greeting;
        if let Some(Publication { topic, payload, retain }) = &introduction.will {
            let will = LastWill::new(topic, payload.clone(), QoS::AtLeastOnce, *retain, None);
            eventloop.options.set_last_will(will);
        }
        self.will.send_replace(introduction.will);
        Ok(())
    }

    pub(crate) async fn until_subscribed(
        &mut self,
        eventloop: &mut EventLoop,
    ) -> Result<(), NotReady> {
        let mut missing = self.client.subscriptions.len();
        loop {
            let event = eventloop.poll().await.map_err(|error| match error {
                ConnectionError::ConnectionRefused(code) if is_final(code) => {
                    NotReady::Refused(format!("{code:?}"))
                }
                error if hung_up(&error) => NotReady::Unreachable(FULL.into()),
                error => NotReady::Unreachable(error.into()),
            })?;
            match self.handle(event) {
                Next::Subscribed => missing = missing.saturating_sub(1),
                Next::GoOn => {}
                Next::Stop => {
                    return Err(NotReady::Refused("it refuses the subscription".into()));
                }
            }
            if missing == 0 && self.connected.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    pub(crate) async fn run(mut self, mut eventloop: EventLoop) {
        loop {
            let polled = tokio::select! {
                polled = eventloop.poll() => polled,
                // The reader is gone, and sent no farewell.
                () = self.events.closed() => return,
            };
            match polled {
                Ok(event) => {
                    if let Next::Stop = self.handle(event) {
                        self.pass_on(Event::Closed(Error::Closed));
                        return;
                    }
                }
                Err(ConnectionError::RequestsDone) => return,
                Err(error) => {
                    if self.connected.swap(false, Ordering::Relaxed) {
                        self.pass_on(Event::Lost { reason: error.to_string() });
                    }
                    if let Err(error) = self.prepare(&mut eventloop) {
                        self.pass_on(Event::Closed(error));
                        return;
                    }
                    tokio::time::sleep(self.spread(self.pause)).await;
                    self.pause = (self.pause * 2).min(RECONNECT_PAUSE_MAX);
                }
            }
        }
    }

    fn handle(&mut self, event: MqttEvent) -> Next {
        // The queue was full when the connection came; there may be room now.
        if self.unsaid {
            self.unsaid = self.introduce().is_err();
        }
        let packet = match event {
            MqttEvent::Incoming(packet) => packet,
            MqttEvent::Outgoing(rumqttc::Outgoing::Disconnect) => return Next::Stop,
            MqttEvent::Outgoing(_) => return Next::GoOn,
        };
        match packet {
            Packet::ConnAck(_) => {
                self.connected.store(true, Ordering::Relaxed);
                self.pause = RECONNECT_PAUSE;
                if self.is_fought_over() {
                    let (url, client_id) = (self.url.to_string(), self.client.name().to_owned());
                    self.pass_on(Event::Closed(Error::TakenOver { url, client_id }));
                    return Next::Stop;
                }
                self.unsaid = self.introduce().is_err();
                self.pass_on(Event::Restored);
                Next::GoOn
            }
            Packet::SubAck(ack) => {
                let granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
                if ack.return_codes.iter().all(granted) { Next::Subscribed } else { Next::Stop }
            }
            Packet::Publish(publish) if publish.payload.len() <= MESSAGE_BYTES_MAX => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                self.pass_on(Event::Message { topic, payload: publish.payload });
                Next::GoOn
            }
            _ => Next::GoOn,
        }
    }

    /// Subscribes and greets.
    fn introduce(&self) -> Result<(), ClientError> {
        for topic in &self.client.subscriptions {
            self.requests.try_subscribe(topic, QoS::AtLeastOnce)?;
        }
        if let Some(Publication { topic, payload, retain }) = self.greeting.clone() {
            self.requests.try_publish(topic, QoS::AtLeastOnce, retain, payload)?;
        }
        Ok(())
    }

    /// Half to the whole of a pause, another part for each client: those that lost a broker at once do
    /// not all come back at once.
    fn spread(&self, pause: Duration) -> Duration {
        let id = Digest::of(self.client.id.as_bytes());
        let part = id.to_string().bytes().fold(0u32, |sum, byte| sum + u32::from(byte)) % 64;
        pause / 2 + pause / 2 * part / 64
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

    fn pass_on(&mut self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.n_dropped += 1;
            // A flood must not also fill the log.
            if self.told.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                let n = std::mem::take(&mut self.n_dropped);
                tracing::warn!("more than {INCOMING_MAX} messages are waiting; {n} were dropped");
                self.told = Some(Instant::now());
            }
        }
    }
}
