//! On one machine a broker announces the repository of its federation, so
//! that one address is enough to find both.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use crate::{BrokerUrl, Cause, Error, RepositoryUrl, Security};

const TOPIC: &str = "fedwasm/here";
/// How long either may take.
const TIME_MAX: Duration = Duration::from_secs(5);
/// The longest address.
const BYTES_MAX: usize = 1_000;

/// Has a broker of this machine announce the repository for as long as
/// it runs.
///
/// # Errors
/// [`Error::BrokerUnreachable`].
pub async fn announce(broker: &BrokerUrl, repository: &RepositoryUrl) -> Result<(), Error> {
    let (client, events) = connect(broker);
    let text = repository.to_string();
    let published = client.publish(TOPIC, QoS::AtLeastOnce, true, text).await;
    published.map_err(|_| Error::Closed)?;
    wait(broker, events, |packet| matches!(packet, Packet::PubAck(_)).then_some(())).await
}

/// Asks a broker of this machine where the repository is.
///
/// # Errors
/// [`Error::BrokerUnreachable`] without an announcement; [`Error::Address`].
pub async fn discover(broker: &BrokerUrl) -> Result<RepositoryUrl, Error> {
    let (client, events) = connect(broker);
    client.subscribe(TOPIC, QoS::AtLeastOnce).await.map_err(|_| Error::Closed)?;
    let said = wait(broker, events, |packet| match packet {
        Packet::Publish(said) if said.payload.len() <= BYTES_MAX => {
            Some(String::from_utf8_lossy(&said.payload).into_owned())
        }
        _ => None,
    });
    let url: RepositoryUrl = said.await?.parse()?;
    match url.security() {
        // One machine's word is good for that machine.
        Security::Plaintext => Err(Error::NotLoopback { got: url.to_string() }),
        _ => Ok(url),
    }
}

fn connect(broker: &BrokerUrl) -> (AsyncClient, EventLoop) {
    let id = fedwasm_protocol::RequestId::random();
    let id = id.map_or_else(|_| "here".to_owned(), |id| format!("here-{id}"));
    let mut options = MqttOptions::new(id, broker.host.clone(), broker.port);
    options.set_clean_start(true);
    AsyncClient::new(options, 4)
}

async fn wait<T>(
    broker: &BrokerUrl,
    mut events: EventLoop,
    wanted: impl Fn(Packet) -> Option<T>,
) -> Result<T, Error> {
    let unreachable = |reason: Cause| Error::BrokerUnreachable { url: broker.to_string(), reason };
    let found = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(packet)) => {
                    if let Some(found) = wanted(packet) {
                        return Ok(found);
                    }
                }
                Ok(Event::Outgoing(_)) => {}
                Err(error) => return Err(unreachable(error.into())),
            }
        }
    };
    let late =
        |_| unreachable(format!("it did not announce its repository within {TIME_MAX:?}").into());
    tokio::time::timeout(TIME_MAX, found).await.map_err(late)?
}
