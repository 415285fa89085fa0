//! The embedded MQTT broker, for one machine. Larger federations run
//! mosquitto, EMQX or any other MQTT 5 broker.

use std::net::SocketAddr;
use std::time::Duration;

use fedwasm_protocol::MESSAGE_BYTES_MAX;
use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use tokio::task::JoinHandle;

use crate::{Error, address};

/// The most programs at once.
const CLIENTS_MAX: usize = 1_024;
/// The most retained messages: one presence a node.
const RETAINED_MAX: usize = 4_096;

/// How long the start may take.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// A running broker.
pub struct Broker {
    address: SocketAddr,
    shutdown: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl Broker {
    /// Starts a broker; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::NotLoopback`], [`Error::Serve`].
    pub async fn start(address: SocketAddr) -> Result<Self, Error> {
        let failed = |reason: String| Error::Serve { address: address.to_string(), reason };
        let config = config(address::loopback(address)?);
        let broker = MqttBroker::with_config(config).await;
        let mut broker = broker.map_err(|error| failed(error.to_string()))?;
        let bound = broker.local_addr().ok_or_else(|| failed("no listener".into()))?;
        let shutdown = broker.shutdown_handle();
        let mut ready = broker.ready_receiver();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!("the broker stopped: {error}");
            }
        });
        // Before that a stop would not be heard.
        let ready = tokio::time::timeout(START_TIME_MAX, ready.wait_for(|ready| *ready)).await;
        match ready {
            Ok(Ok(_)) => Ok(Self { address: bound, shutdown, task }),
            _ => Err(failed(format!("not ready within {START_TIME_MAX:?}"))),
        }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, within five seconds.
    pub async fn stop(self) {
        self.shutdown.shutdown();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.task).await;
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

fn config(address: SocketAddr) -> BrokerConfig {
    let packet_bytes_max = MESSAGE_BYTES_MAX + (1 << 10);
    let mut storage = StorageConfig::new().with_backend(StorageBackend::Memory);
    storage.enable_persistence = false;
    storage.max_queued_messages_per_client = 1_024;
    let mut config = BrokerConfig::new()
        .with_bind_addresses(vec![address])
        .with_max_clients(CLIENTS_MAX)
        .with_max_packet_size(packet_bytes_max)
        .with_maximum_qos(1)
        .with_max_subscriptions_per_client(16)
        .with_max_retained_messages(RETAINED_MAX)
        .with_max_retained_message_size(packet_bytes_max)
        .with_client_channel_capacity(1_024)
        .with_sys_topics_enabled(false)
        .with_storage(storage);
    // A program that is gone has no session left: what it missed, it asks for again.
    config.session_expiry_interval = Duration::ZERO;
    config
}
