//! The front of a server: accepts connections, shakes hands, identifies clients, and bounds how
//! many come (`handshakes`) and stay (`places`).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_protocol::Participant;
use fedwasm_trust::{Authority, PublicKey};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::handshakes::Handshakes;
use crate::moving::{Moving, Stream};
use crate::places::{Bounds, Peer, Place, Places, show_out};
use fedwasm_transport::Cause;

use crate::{Error, descriptors, tls};

/// How long a handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// The most handshakes at once.
const HANDSHAKES_MAX: usize = 1_024;
/// Connections that wait to be looked at.
const WAITING_MAX: usize = 64;
/// How long to wait after the operating system gives no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may read none of the bytes sent to it.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A client that connects.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) peer: Peer,
    pub(crate) place: Place,
}

/// A server's front.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    connections: mpsc::Receiver<Connection>,
    tasks: [JoinHandle<()>; 2],
}

impl Front {
    /// Listens: with TLS if the federation has certificates, and in the clear otherwise.
    pub(crate) async fn start(
        address: SocketAddr,
        authority: &Arc<Authority>,
        bounds: Bounds,
    ) -> Result<Self, Error> {
        let failed = |reason: Cause| Error::Serve { address: address.to_string(), reason };
        let files = authority.server_files().map_err(|error| failed(error.into()))?;
        let tls = match files {
            Some(files) => Some(TlsAcceptor::from(Arc::new(tls::server_config(&files)?))),
            None => None,
        };
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| failed(error.into()))?;
        let bound = listener.local_addr().map_err(|error| failed(error.into()))?;
        let (sender, connections) = mpsc::channel(WAITING_MAX);
        let places = Arc::new(Places::new(bounds));
        let watch = tokio::spawn(show_out(Arc::clone(&places), Arc::clone(authority)));
        let max = descriptors::share(1, 2, HANDSHAKES_MAX);
        let accept = Accept {
            tls,
            authority: Arc::clone(authority),
            sender,
            places,
            handshakes: Arc::new(Handshakes::new(max)),
            told: Arc::default(),
        };
        let tasks = [tokio::spawn(accept.run(listener)), watch];
        Ok(Self { address: bound, connections, tasks })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next client; waits for ever once the front is closed.
    pub(crate) async fn next(&mut self) -> Connection {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The refusals since the last log line: a flood must not also fill the log.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    n: u64,
}

impl Told {
    fn tell(told: &Mutex<Self>, text: &str) {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.n += 1;
        if told.at.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            let n = std::mem::take(&mut told.n) - 1;
            told.at = Some(Instant::now());
            match n {
                0 => tracing::warn!("{text}"),
                n => tracing::warn!("{text}; {n} more were refused since the last such line"),
            }
        }
    }
}

#[derive(Clone)]
struct Accept {
    tls: Option<TlsAcceptor>,
    authority: Arc<Authority>,
    sender: mpsc::Sender<Connection>,
    places: Arc<Places>,
    handshakes: Arc<Handshakes>,
    told: Arc<Mutex<Told>>,
}

impl Accept {
    async fn run(self, listener: TcpListener) {
        for number in 0u64.. {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let this = self.clone();
            self.handshakes.begin(address.ip(), number, || {
                tokio::spawn(this.serve(stream, address, number)).abort_handle()
            });
        }
    }

    async fn serve(self, stream: TcpStream, address: SocketAddr, number: u64) {
        let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, self.greet(stream)).await;
        self.handshakes.end(address.ip(), number);
        let refused = match shaken {
            Ok(Ok((stream, peer))) => match self.places.take(&peer, Instant::now()) {
                Ok(place) => {
                    let stream = Box::new(Moving::new(stream, STALL_MAX));
                    let _ = self.sender.send(Connection { stream, peer, place }).await;
                    return;
                }
                Err(why) => {
                    let who = peer.who.map_or("a client".to_owned(), |(who, _)| who.to_string());
                    format!("{who} at {address} is refused: {why}")
                }
            },
            Ok(Err(error)) => format!("{address} is refused: {error}"),
            Err(_) => format!("{address} is refused: it sent no handshake in time"),
        };
        Told::tell(&self.told, &refused);
    }

    async fn greet(&self, stream: TcpStream) -> io::Result<(Box<dyn Stream>, Peer)> {
        // Small messages must not wait for more to send.
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok((Box::new(stream), Peer { who: None }));
        };
        let stream = tls.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let who = self.owner(certificates.first())?;
        Ok((Box::new(stream), Peer { who: Some(who) }))
    }

    /// The participant of the certificate's key, by the current roster.
    fn owner(
        &self,
        certificate: Option<&CertificateDer<'_>>,
    ) -> io::Result<(Participant, PublicKey)> {
        let refused = |text: &str| io::Error::new(io::ErrorKind::PermissionDenied, text.to_owned());
        let certificate = certificate.ok_or_else(|| refused("no certificate"))?;
        let parsed = webpki::EndEntityCert::try_from(certificate);
        let parsed = parsed.map_err(|_| refused("a damaged certificate"))?;
        let key = PublicKey::from_der(&parsed.subject_public_key_info());
        let key = key.map_err(|_| refused("the certificate has another kind of key"))?;
        let roster = self.authority.current_roster().map_err(io::Error::other)?;
        let owner = roster.owner(&key).map(|owner| (owner.clone(), key));
        owner.ok_or_else(|| refused("the key of its certificate is not on the roster, or revoked"))
    }
}
