//! Messages over MQTT 5 (`crate::port::Messages`).

mod driver;
mod here;
mod older;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fedwasm_protocol::MESSAGE_BYTES_MAX;
use fedwasm_trust::Member;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::v5::{AsyncClient, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::driver::{Driver, NotReady};
use crate::port::{
    Client, Connection, INCOMING_MAX, Later, Messages, OUTGOING_MAX, Outbox, Publication,
};
use crate::{BrokerUrl, Error, Security, tls};

pub use self::here::{announce, discover};

/// A message and the overhead of MQTT.
const PACKET_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (1 << 10);
/// How soon a broker notices that a program is gone without a word: one and a
/// half times this (MQTT 5, 3.1.2.10).
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the first connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the farewell may take.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// A broker, as a member of its federation reaches it.
#[derive(Clone, Debug)]
pub struct Mqtt {
    url: BrokerUrl,
    member: Arc<Member>,
}

impl Mqtt {
    /// The broker at `url`; with TLS it is shown the certificate of `member`.
    pub fn new(url: BrokerUrl, member: Arc<Member>) -> Self {
        Self { url, member }
    }

    fn options(&self, id: &str) -> Result<MqttOptions, Error> {
        let mut mqtt = MqttOptions::new(id, self.url.host.clone(), self.url.port);
        mqtt.set_keep_alive(KEEP_ALIVE).set_clean_start(true);
        if self.url.security == Security::Tls {
            let config = Arc::new(tls::client_config(&self.member)?);
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

    async fn open(&self, client: Client) -> Result<Connection, Error> {
        let (requests, mut eventloop) = AsyncClient::new(self.options(&client.id)?, OUTGOING_MAX);
        let (sender, events) = mpsc::channel(INCOMING_MAX);
        let connected = Arc::new(AtomicBool::new(false));
        let (will, farewell) = watch::channel(None);
        let mut driver = Driver::new(
            self.url.clone(),
            client,
            requests.clone(),
            (sender, Arc::clone(&connected), will),
        );
        driver.prepare(&mut eventloop)?;
        let url = self.url.to_string();
        let ready = driver.until_subscribed(&mut eventloop);
        let reason = match tokio::time::timeout(CONNECT_TIME_MAX, ready).await {
            Err(_) => format!("no answer within {CONNECT_TIME_MAX:?}").into(),
            Ok(Err(NotReady::Unreachable(reason))) => reason,
            Ok(Err(NotReady::Refused(reason))) => {
                return Err(Error::BrokerRefused { url, reason });
            }
            Ok(Ok(())) => {
                let driver = tokio::sync::Mutex::new(Some(tokio::spawn(driver.run(eventloop))));
                let outbox = Arc::new(Requests { requests, connected, farewell, driver });
                return Ok(Connection { outbox, events });
            }
        };
        Err(match older::speaks_mqtt_3(&self.url, &self.member).await {
            true => Error::OldBroker { url },
            false => Error::BrokerUnreachable { url, reason },
        })
    }
}

impl Messages for Mqtt {
    fn connect(&self, client: Client) -> Later<'_, Result<Connection, Error>> {
        Box::pin(self.open(client))
    }
}

/// The sender of requests to the driver.
#[derive(Debug)]
struct Requests {
    requests: AsyncClient,
    connected: Arc<AtomicBool>,
    /// The will of the connection that is there.
    farewell: watch::Receiver<Option<Publication>>,
    /// None once it is closed.
    driver: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Requests {
    async fn say(&self, publication: Publication) -> Result<(), Error> {
        let Publication { topic, payload, retain } = publication;
        let bytes = payload.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(Error::MessageTooLarge { bytes });
        }
        let sent = self.requests.publish(topic, QoS::AtLeastOnce, retain, payload).await;
        sent.map_err(|_| Error::Closed)
    }
}

impl Outbox for Requests {
    fn publish(&self, publication: Publication) -> Later<'_, Result<(), Error>> {
        Box::pin(self.say(publication))
    }

    fn offer(&self, publication: Publication) {
        let Publication { topic, payload, retain } = publication;
        // While there is no connection the queue must keep room for important messages.
        if self.is_connected() && payload.len() <= MESSAGE_BYTES_MAX {
            let _ = self.requests.try_publish(topic, QoS::AtMostOnce, retain, payload);
        }
    }

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    fn close(&self) -> Later<'_, ()> {
        let leave = async {
            let Some(driver) = self.driver.lock().await.take() else { return };
            let farewell = self.farewell.borrow().clone();
            if let Some(farewell) = farewell {
                let _ = self.say(farewell).await;
            }
            let _ = self.requests.disconnect().await;
            let _ = driver.await;
        };
        Box::pin(async move {
            let _ = tokio::time::timeout(CLOSE_TIME_MAX, leave).await;
        })
    }
}
