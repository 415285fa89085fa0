//! The door of a server: accepts connections, shakes hands, says who came, and bounds how many
//! come and stay. Before it is known who somebody is, the address counts, and whoever keeps
//! silent makes room for whoever comes; afterwards the participant counts. Whose key is taken off
//! the roster is shown out.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fedwasm_protocol::Participant;
use fedwasm_trust::{Authority, PublicKey};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;

use crate::{Error, descriptors, tls};

/// How long a handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// The most handshakes at once, and of one address. The oldest of the address with the most is
/// hung up on to let another one in.
const HANDSHAKES_MAX: usize = 1_024;
const HANDSHAKES_OF_ONE_MAX: usize = 256;
/// Connections that wait to be looked at.
const WAITING_MAX: usize = 64;
/// How long to wait after the operating system gives no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long somebody may take nothing of what is said to it.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How soon whoever is revoked is shown out.
const ROSTER_PAUSE: Duration = Duration::from_secs(1);
/// New connections of one participant at once, and in a second from then on.
const BURST_MAX: f64 = 128.0;
const RATE_MAX: f64 = 16.0;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) all: usize,
    /// Of one participant.
    pub(crate) of_one: usize,
}

/// Who connected.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Whose certificate it has, and its key; none where there are no certificates.
    pub(crate) who: Option<(Participant, PublicKey)>,
}

/// A byte stream, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Somebody at the door.
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
        let failed = |reason: String| Error::Serve { address: address.to_string(), reason };
        let files = authority.server_files().map_err(|error| failed(error.to_string()))?;
        let tls = match files {
            Some(files) => Some(TlsAcceptor::from(Arc::new(tls::server_config(&files)?))),
            None => None,
        };
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| failed(error.to_string()))?;
        let bound = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        let (sender, connections) = mpsc::channel(WAITING_MAX);
        let places = Arc::new(Places { bounds, inner: Mutex::default() });
        let watch = tokio::spawn(show_out(Arc::clone(&places), Arc::clone(authority)));
        let max = descriptors::share(1, 2, HANDSHAKES_MAX);
        let accept = Accept {
            tls,
            authority: Arc::clone(authority),
            sender,
            places,
            handshakes: Arc::new(Handshakes { max, pending: Mutex::default() }),
            told: Arc::default(),
        };
        let tasks = [tokio::spawn(accept.run(listener)), watch];
        Ok(Self { address: bound, connections, tasks })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next who connected; waits for ever once the front is closed.
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

/// Who is inside.
#[derive(Debug)]
struct Places {
    bounds: Bounds,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: HashMap<u64, Guest>,
    /// At most one for each name that ever was on the roster.
    accounts: HashMap<Participant, Account>,
}

#[derive(Debug)]
struct Guest {
    who: Option<(Participant, PublicKey)>,
    end: Arc<Notify>,
}

/// Connections of one participant.
#[derive(Debug)]
struct Account {
    open: usize,
    /// New ones that it may make now, and when that was counted.
    allowance: f64,
    at: Instant,
}

/// One connection among those that are open; counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    end: Arc<Notify>,
}

impl Place {
    /// Resolves once the key behind this connection does not count any more.
    pub(crate) async fn revoked(&self) {
        self.end.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.places.lock();
        let guest = inner.open.remove(&self.number);
        if let Some((who, _)) = guest.and_then(|guest| guest.who)
            && let Some(account) = inner.accounts.get_mut(&who)
        {
            account.open = account.open.saturating_sub(1);
        }
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody in, or says why not.
    fn take(self: &Arc<Self>, peer: &Peer, now: Instant) -> Result<Place, String> {
        let mut inner = self.lock();
        let Bounds { all, of_one } = self.bounds;
        if let Some((who, _)) = &peer.who {
            let account = inner.accounts.entry(who.clone());
            let account = account.or_insert(Account { open: 0, allowance: BURST_MAX, at: now });
            let earned = now.saturating_duration_since(account.at).as_secs_f64() * RATE_MAX;
            (account.allowance, account.at) = ((account.allowance + earned).min(BURST_MAX), now);
            if account.allowance < 1.0 {
                return Err(format!("more than {RATE_MAX} new connections a second"));
            }
            // Each attempt is one, or those that are refused would cost nothing.
            account.allowance -= 1.0;
            if account.open >= of_one {
                return Err(format!("{of_one} connections of it are open"));
            }
        }
        if inner.open.len() >= all {
            return Err(format!("{all} connections are open"));
        }
        if let Some((who, _)) = &peer.who
            && let Some(account) = inner.accounts.get_mut(who)
        {
            account.open += 1;
        }
        let (number, end) = (inner.next, Arc::new(Notify::new()));
        inner.next += 1;
        inner.open.insert(number, Guest { who: peer.who.clone(), end: Arc::clone(&end) });
        Ok(Place { places: Arc::clone(self), number, end })
    }
}

/// Ends the connections of those whose key the roster does not have any more.
async fn show_out(places: Arc<Places>, authority: Arc<Authority>) {
    loop {
        tokio::time::sleep(ROSTER_PAUSE).await;
        let Ok(roster) = authority.current_roster() else { continue };
        let keys: HashMap<_, _> =
            roster.current().map(|entry| (&entry.participant, &entry.key)).collect();
        for guest in places.lock().open.values() {
            if let Some((who, key)) = &guest.who
                && keys.get(who) != Some(&key)
            {
                tracing::info!("a connection of {who} is ended: its key is revoked");
                guest.end.notify_one();
            }
        }
    }
}

/// Handshakes that are under way.
#[derive(Debug)]
struct Handshakes {
    max: usize,
    /// Of each address, the oldest first.
    pending: Mutex<HashMap<IpAddr, VecDeque<(u64, AbortHandle)>>>,
}

impl Handshakes {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, VecDeque<(u64, AbortHandle)>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, and gives up an older one if there are too many.
    fn begin(&self, ip: IpAddr, number: u64, start: impl FnOnce() -> AbortHandle) {
        let mut pending = self.lock();
        let all: usize = pending.values().map(VecDeque::len).sum();
        let own = pending.get(&ip).map_or(0, VecDeque::len);
        let crowded = match () {
            () if own >= HANDSHAKES_OF_ONE_MAX.min(self.max) => Some(ip),
            () if all >= self.max => {
                pending.iter().max_by_key(|(_, own)| own.len()).map(|(ip, _)| *ip)
            }
            () => None,
        };
        if let Some(ip) = crowded
            && let Some(own) = pending.get_mut(&ip)
        {
            if let Some((_, oldest)) = own.pop_front() {
                oldest.abort();
            }
            if own.is_empty() {
                pending.remove(&ip);
            }
        }
        // Under the lock, so that none ends before it is known.
        pending.entry(ip).or_default().push_back((number, start()));
    }

    fn end(&self, ip: IpAddr, number: u64) {
        let mut pending = self.lock();
        if let Some(own) = pending.get_mut(&ip) {
            own.retain(|(known, _)| *known != number);
            if own.is_empty() {
                pending.remove(&ip);
            }
        }
    }
}

/// What was refused since that was last told: a flood must not fill the log, too.
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
                    tracing::warn!("no connection: {error}");
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
                    let stream = Box::new(Moving { stream, waiting: None, stall: STALL_MAX });
                    let _ = self.sender.send(Connection { stream, peer, place }).await;
                    return;
                }
                Err(why) => {
                    let who = peer.who.map_or("somebody".to_owned(), |(who, _)| who.to_string());
                    format!("{who} at {address} is refused: {why}")
                }
            },
            Ok(Err(error)) => format!("{address} is refused: {error}"),
            Err(_) => format!("{address} is refused: no handshake in time"),
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

/// A stream whose other end takes what is written, or it is closed: nobody holds a connection by
/// not reading.
struct Moving {
    stream: Box<dyn Stream>,
    waiting: Option<Pin<Box<Sleep>>>,
    stall: Duration,
}

impl Moving {
    fn moved<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let stall = self.stall;
        let sleep = || Box::pin(tokio::time::sleep(stall));
        match self.waiting.get_or_insert_with(sleep).as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Moving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.moved(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.moved(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_trust::KeyPair;

    fn places(all: usize, of_one: usize) -> Arc<Places> {
        Arc::new(Places { bounds: Bounds { all, of_one }, inner: Mutex::default() })
    }

    fn peer(who: &str) -> Peer {
        let key = KeyPair::generate().unwrap();
        Peer { who: Some((who.parse().unwrap(), key.public().clone())) }
    }

    #[test]
    fn connections_that_are_gone_do_not_count_and_one_member_takes_no_other_s() {
        let (places, now) = (places(6, 4), Instant::now());
        let (a, b) = (peer("node-a"), peer("node-b"));
        let held: Vec<Place> = (0..4).map(|_| places.take(&a, now).unwrap()).collect();
        assert!(places.take(&a, now).unwrap_err().contains("4 connections of it"));
        let of_b = [(); 2].map(|()| places.take(&b, now).unwrap());
        assert!(places.take(&b, now).unwrap_err().contains("6 connections are open"));
        drop(held);
        assert_eq!(places.lock().open.len(), 2);
        drop(places.take(&b, now).unwrap());
        drop(of_b);
        assert_eq!(places.lock().open.len(), 0);
    }

    #[test]
    fn a_flood_of_new_connections_is_of_its_participant_alone() {
        let (places, mut now) = (places(1_000, 16), Instant::now());
        let (flood, good) = (peer("node-a"), peer("node-b"));
        let mut let_in = 0;
        // 400 a second for ten seconds, each closed at once; the other one connects every second.
        for n in 0..4_000 {
            now += Duration::from_micros(2_500);
            let_in += usize::from(places.take(&flood, now).is_ok());
            if n % 400 == 0 {
                drop(places.take(&good, now).unwrap());
            }
        }
        assert!((128..=128 + 161).contains(&let_in), "{let_in}");
        // Somebody who pauses is let in again.
        now += Duration::from_secs(1);
        assert!(places.take(&flood, now).is_ok());
    }

    #[tokio::test]
    async fn whoever_keeps_silent_makes_room_for_others() {
        let handshakes = Handshakes { max: 8, pending: Mutex::default() };
        let silent = || tokio::spawn(std::future::pending::<()>()).abort_handle();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        handshakes.begin(ip(1), 0, silent);
        for number in 1..100 {
            handshakes.begin(ip(2), number, silent);
        }
        // The flood throws out its own.
        assert_eq!(handshakes.lock()[&ip(1)].len(), 1);
        assert_eq!(handshakes.lock()[&ip(2)].len(), 7);
        assert_eq!(handshakes.lock()[&ip(2)].front().unwrap().0, 93);
        handshakes.end(ip(1), 0);
        handshakes.end(ip(2), 95);
        assert_eq!(handshakes.lock().len(), 1);
        assert_eq!(handshakes.lock()[&ip(2)].len(), 6);
    }

    #[tokio::test]
    async fn whoever_does_not_read_is_hung_up_on() {
        use tokio::io::AsyncWriteExt as _;
        let (ours, _theirs) = tokio::io::duplex(16);
        let stall = Duration::from_millis(50);
        let mut moving = Moving { stream: Box::new(ours), waiting: None, stall };
        let error = moving.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
