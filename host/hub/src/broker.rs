//! The embedded MQTT broker, for one machine. Larger federations run
//! mosquitto, EMQX or any other MQTT 5 broker.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_protocol::{MESSAGE_BYTES_MAX, Participant};
use fedwasm_transport::{Cause, Topics, loopback};
use fedwasm_trust::{Authority, PublicKey};
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use crate::front::{Connection, Front};
use crate::places::Bounds;
use crate::{Error, descriptors};

/// The most programs at once.
pub const CLIENTS_MAX: usize = 1_024;
/// The most retained messages: one presence a node.
const RETAINED_MAX: usize = 4_096;

/// How long after a connection its last will may come.
const WILL_TIME_MAX: Duration = Duration::from_secs(10);
/// The most connections of one participant.
const CONNECTIONS_OF_ONE_MAX: usize = 16;
/// How long the start may take.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// A running broker. Where the federation has certificates, connections are decrypted
/// here, and each client may publish and read under its own topics.
pub struct Broker {
    address: SocketAddr,
    shutdown: BrokerShutdownHandle,
    task: JoinHandle<()>,
    door: Option<JoinHandle<()>>,
}

/// The participant behind each connection that the front made to the broker.
type Visitors = Arc<Mutex<HashMap<SocketAddr, Visitor>>>;

/// The participant behind a connection, and its key.
#[derive(Clone, Debug)]
struct Visitor {
    participant: Participant,
    key: PublicKey,
    gone: Option<Instant>,
}

impl Broker {
    /// Starts a broker; port 0 takes a free one. Another address than loopback needs a
    /// federation with certificates.
    ///
    /// # Errors
    /// [`Error::Serve`]; [`Error::Transport`] for an address or a certificate.
    pub async fn start(address: SocketAddr, authority: &Arc<Authority>) -> Result<Self, Error> {
        if !authority.has_tls() {
            let config = config(loopback(address)?, CLIENTS_MAX);
            let (bound, shutdown, task) = run(config, None).await?;
            return Ok(Self { address: bound, shutdown, task, door: None });
        }
        let topics = Topics::new(&authority.federation());
        let visitors = Visitors::default();
        let (authority_of, visitors_of) = (Arc::clone(authority), Arc::clone(&visitors));
        let rules = Rules { authority: authority_of, topics, visitors: visitors_of };
        // Decrypted bytes stay on this machine, and only the front can connect.
        let inside = SocketAddr::from(([127, 0, 0, 1], 0));
        // A connection that is gone outside is so inside a little later.
        let config = config(inside, 2 * CLIENTS_MAX);
        let (inside, shutdown, task) = run(config, Some(Arc::new(rules))).await?;
        // One to the client, and both ends of the one inside.
        let all = descriptors::share(4, 3, CLIENTS_MAX);
        let front =
            Front::start(address, authority, Bounds { all, of_one: CONNECTIONS_OF_ONE_MAX });
        let front = front.await?;
        let address = front.address();
        let door = Some(tokio::spawn(open_door(front, inside, visitors)));
        Ok(Self { address, shutdown, task, door })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, within five seconds.
    pub async fn stop(self) {
        if let Some(door) = &self.door {
            door.abort();
        }
        self.shutdown.shutdown();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.task).await;
    }
}

/// Starts the broker itself.
async fn run(
    config: BrokerConfig,
    rules: Option<Arc<dyn AuthProvider>>,
) -> Result<(SocketAddr, BrokerShutdownHandle, JoinHandle<()>), Error> {
    let address: Vec<String> = config.bind_addresses.iter().map(SocketAddr::to_string).collect();
    let failed = |reason: Cause| Error::Serve { address: address.join(", "), reason };
    let broker = MqttBroker::with_config(config).await;
    let mut broker = broker.map_err(|error| failed(error.into()))?;
    if let Some(rules) = rules {
        broker = broker.with_auth_provider(rules);
    }
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
        Ok(Ok(_)) => Ok((bound, shutdown, task)),
        _ => Err(failed(format!("not ready within {START_TIME_MAX:?}").into())),
    }
}

/// Forwards every client with a good handshake to the broker.
async fn open_door(mut front: Front, inside: SocketAddr, visitors: Visitors) {
    let mut open = JoinSet::new();
    loop {
        let Connection { mut stream, peer, place } = front.next().await;
        while open.try_join_next().is_some() {}
        let Some((participant, key)) = peer.who else { continue };
        let visitors = Arc::clone(&visitors);
        open.spawn(async move {
            let lock = || visitors.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(mut broker) = TcpStream::connect(inside).await else { return };
            let _ = broker.set_nodelay(true);
            let Ok(address) = broker.local_addr() else { return };
            {
                let mut visitors = lock();
                visitors.retain(|_, visitor| {
                    visitor.gone.is_none_or(|gone| gone.elapsed() < WILL_TIME_MAX)
                });
                // Before a byte of it arrives there. The earlier owner of this address is gone.
                visitors.insert(address, Visitor { participant, key, gone: None });
            }
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut stream, &mut broker) => {}
                () = place.revoked() => {}
            }
            // Its farewell and its last will are still checked; the connection no longer counts.
            if let Some(visitor) = lock().get_mut(&address) {
                visitor.gone = Some(Instant::now());
            }
        });
    }
}

/// The rights of a participant at the broker.
#[derive(Debug)]
struct Rules {
    authority: Arc<Authority>,
    topics: Topics,
    visitors: Visitors,
}

impl Rules {
    /// The participant behind a connection, if its key is still on the roster.
    fn visitor(&self, user: Option<&str>) -> Option<Participant> {
        let address: SocketAddr = user?.parse().ok()?;
        let visitor = {
            let visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
            visitors.get(&address)?.clone()
        };
        let roster = self.authority.current_roster().ok()?;
        (roster.key(&visitor.participant) == Some(&visitor.key)).then_some(visitor.participant)
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Rules {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> Answer<'a, mqtt5::error::Result<AuthResult>> {
        let visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        let visitor = visitors.get(&address).map(|visitor| visitor.participant.to_string());
        // The id of another client would disconnect that one.
        let result = match visitor {
            Some(name) if connect.client_id.split('.').next() == Some(&name) => {
                // The connection's own address is its user: behind it is a key.
                AuthResult::success_with_user(address.to_string())
            }
            _ => AuthResult::fail(ReasonCode::NotAuthorized),
        };
        Box::pin(std::future::ready(Ok(result)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let may = self.visitor(user).is_some_and(|who| self.topics.may_publish(&who, topic));
        Box::pin(std::future::ready(may))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let may = self.visitor(user).is_some_and(|who| self.topics.may_subscribe(&who, filter));
        Box::pin(std::future::ready(may))
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

fn config(address: SocketAddr, clients_max: usize) -> BrokerConfig {
    let packet_bytes_max = MESSAGE_BYTES_MAX + (1 << 10);
    let mut storage = StorageConfig::new().with_backend(StorageBackend::Memory);
    storage.enable_persistence = false;
    storage.max_queued_messages_per_client = 1_024;
    let mut config = BrokerConfig::new()
        .with_bind_addresses(vec![address])
        .with_max_clients(clients_max)
        .with_max_packet_size(packet_bytes_max)
        .with_maximum_qos(1)
        .with_max_subscriptions_per_client(16)
        .with_max_retained_messages(RETAINED_MAX)
        .with_max_retained_message_size(packet_bytes_max)
        .with_client_channel_capacity(1_024)
        .with_sys_topics_enabled(false)
        .with_storage(storage);
    // Names of topics that one connection makes others remember.
    config.topic_alias_maximum = 0;
    // A program that is gone has no session left: it asks again for messages that it missed.
    config.session_expiry_interval = Duration::ZERO;
    config
}
