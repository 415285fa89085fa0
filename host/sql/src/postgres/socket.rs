//! A connection whose waits end at a deadline.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::Host;

/// A socket of the network or of this machine.
pub(crate) struct Socket {
    kind: Kind,
    end: Instant,
}

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects to a server; every wait of the socket ends at `end`.
    pub(crate) fn connect(host: &Host, port: u16, end: Instant) -> Result<Self> {
        let kind = match host {
            Host::Directory(path) => {
                let path = path.join(format!(".s.PGSQL.{port}"));
                Kind::Unix(within(end, move || UnixStream::connect(path))?)
            }
            Host::Name(name) => {
                let mut failed = Error::other("the name has no address");
                let name = name.clone();
                let resolve = move || Ok((name.as_str(), port).to_socket_addrs()?.collect());
                let addresses: Vec<SocketAddr> = within(end, resolve)?;
                let connected = addresses.into_iter().find_map(|address| {
                    let connected =
                        left(end).and_then(|left| TcpStream::connect_timeout(&address, left));
                    connected.map_err(|error| failed = error).ok()
                });
                Kind::Tcp(connected.ok_or(failed)?)
            }
        };
        Ok(Self { kind, end })
    }

    /// Sets the end of all waits from now on.
    pub(crate) fn until(&mut self, end: Instant) {
        self.end = end;
    }
}

/// Does what the system gives no deadline for on a thread of its own, which is left behind if it takes
/// longer: names are resolved, and a socket's queue may be full.
fn within<T: Send + 'static>(
    end: Instant,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("connect".into()).spawn(move || drop(done.send(work())))?;
    result.recv_timeout(left(end)?).unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

fn left(end: Instant) -> Result<Duration> {
    let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
    left.ok_or_else(|| ErrorKind::TimedOut.into())
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let left = Some(left(self.end)?);
        match &mut self.kind {
            Kind::Tcp(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(into)
            }
            Kind::Unix(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(into)
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let left = Some(left(self.end)?);
        match &mut self.kind {
            Kind::Tcp(socket) => {
                socket.set_write_timeout(left)?;
                socket.write(bytes)
            }
            Kind::Unix(socket) => {
                socket.set_write_timeout(left)?;
                socket.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A socket, with or without TLS.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    /// Sets the end of all waits from now on.
    pub(crate) fn until(&mut self, end: Instant) {
        match self {
            Self::Plain(socket) => socket.until(end),
            Self::Tls(stream) => stream.sock.until(end),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_waits_for_without_end_ends_at_the_deadline() {
        let (hold, held) = mpsc::channel::<()>();
        let waits = move || held.recv().map_err(Error::other);
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(within(soon, waits).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(hold);
        let late = Instant::now() + Duration::from_secs(600);
        assert_eq!(within(late, || Ok(7)).unwrap(), 7);
        assert!(within(late, || Err::<(), _>(Error::other("no"))).is_err());
        let past = within(Instant::now(), || Ok(7));
        assert_eq!(past.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
