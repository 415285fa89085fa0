//! TLS 1.3 with certificates on both sides: no other version, no other
//! certificate authority than the federation's, and whoever connects is whom
//! the roster says its certificate's key belongs to.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedwasm_protocol::Participant;
use fedwasm_trust::{Authority, Member, PublicKey, ServerFiles};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::Error;

/// How long a handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// The most handshakes at once, and of one address; later ones are hung up on.
const HANDSHAKES_MAX: usize = 4_096;
const HANDSHAKES_OF_ONE_MAX: usize = 256;
/// Connections that wait to be looked at.
const WAITING_MAX: usize = 64;
/// How long to wait after the operating system gives no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a member shows to a server, and what it demands of it.
pub(crate) fn client_config(member: &Member) -> Result<ClientConfig, Error> {
    let failed = |reason: String| Error::Tls { reason };
    let files = member.membership().tls.as_ref();
    let files = files.ok_or_else(|| failed("this member has no certificate".into()))?;
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let builder = builder.with_root_certificates(roots(&files.ca)?);
    let key = PrivateKeyDer::from(member.key().to_pkcs8());
    let config = builder.with_client_auth_cert(certificates(&files.certificate)?, key);
    config.map_err(|error| failed(error.to_string()))
}

/// What a client without TLS carries: no root at all, so that nothing answers to it.
pub(crate) fn no_tls() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(|error| Error::Tls { reason: error.to_string() })?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn server_config(files: &ServerFiles) -> Result<ServerConfig, Error> {
    let failed = |reason: String| Error::Tls { reason };
    let roots = Arc::new(roots(&files.ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(|error| failed(error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let builder = builder.with_client_cert_verifier(verifier);
    let key = PrivateKeyDer::from(files.key.to_pkcs8());
    let config = builder.with_single_cert(certificates(&files.certificate)?, key);
    config.map_err(|error| failed(error.to_string()))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| Error::Tls { reason: error.to_string() })?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.map_err(|error| Error::Tls { reason: error.to_string() })
}

/// A byte stream, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Who connected.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Whose certificate it has, and its key; none where there are no certificates.
    pub(crate) who: Option<(Participant, PublicKey)>,
}

/// A server's front: accepts connections, shakes hands, and hands on who came.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    connections: mpsc::Receiver<(Box<dyn Stream>, Peer)>,
    task: JoinHandle<()>,
}

impl Front {
    /// Listens: with TLS if the federation has certificates, and in the clear otherwise.
    pub(crate) async fn start(
        address: SocketAddr,
        authority: &Arc<Authority>,
    ) -> Result<Self, Error> {
        let failed = |reason: String| Error::Serve { address: address.to_string(), reason };
        let files = authority.server_files().map_err(|error| failed(error.to_string()))?;
        let tls = match files {
            Some(files) => Some(TlsAcceptor::from(Arc::new(server_config(&files)?))),
            None => None,
        };
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| failed(error.to_string()))?;
        let bound = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        let (sender, connections) = mpsc::channel(WAITING_MAX);
        let accept = Accept { tls, authority: Arc::clone(authority), sender };
        let task = tokio::spawn(accept.run(listener));
        Ok(Self { address: bound, connections, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next who connected; waits for ever once the front is closed.
    pub(crate) async fn next(&mut self) -> (Box<dyn Stream>, Peer) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Handshakes that are under way, by address.
type Pending = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One handshake.
struct Permit {
    pending: Pending,
    ip: IpAddr,
}

impl Permit {
    fn take(pending: &Pending, ip: IpAddr) -> Option<Self> {
        let mut all = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = all.values().sum();
        let own = all.entry(ip).or_default();
        if *own >= HANDSHAKES_OF_ONE_MAX || total >= HANDSHAKES_MAX {
            return None;
        }
        *own += 1;
        Some(Self { pending: Arc::clone(pending), ip })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get_mut(&self.ip) {
            *own -= 1;
            if *own == 0 {
                all.remove(&self.ip);
            }
        }
    }
}

#[derive(Clone)]
struct Accept {
    tls: Option<TlsAcceptor>,
    authority: Arc<Authority>,
    sender: mpsc::Sender<(Box<dyn Stream>, Peer)>,
}

impl Accept {
    async fn run(self, listener: TcpListener) {
        let pending: Pending = Arc::default();
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("no connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Whoever keeps silent shuts out nobody but others at the same address.
            let Some(permit) = Permit::take(&pending, address.ip()) else { continue };
            let this = self.clone();
            tokio::spawn(async move {
                let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, this.greet(stream));
                match shaken.await {
                    Ok(Ok(connection)) => drop(this.sender.send(connection).await),
                    Ok(Err(error)) => tracing::warn!("{address} is refused: {error}"),
                    Err(_) => tracing::warn!("{address} is refused: no handshake in time"),
                }
                drop(permit);
            });
        }
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

    /// Whom the roster of now says that the certificate's key belongs to.
    fn owner(
        &self,
        certificate: Option<&CertificateDer<'_>>,
    ) -> io::Result<(Participant, PublicKey)> {
        let refused = |text: &str| io::Error::new(io::ErrorKind::PermissionDenied, text.to_owned());
        let certificate = certificate.ok_or_else(|| refused("no certificate"))?;
        let parsed = webpki::EndEntityCert::try_from(certificate);
        let parsed = parsed.map_err(|_| refused("a damaged certificate"))?;
        let key = PublicKey::from_der(&parsed.subject_public_key_info());
        let key = key.map_err(|_| refused("a certificate of another kind of key"))?;
        let roster = self.authority.current_roster().map_err(io::Error::other)?;
        let owner = roster.owner(&key).map(|owner| (owner.clone(), key));
        owner.ok_or_else(|| refused("the key of its certificate is not on the roster, or revoked"))
    }
}
