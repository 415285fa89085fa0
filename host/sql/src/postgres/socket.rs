//! A connection whose waits end at a deadline.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
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
                Kind::Unix(UnixStream::connect(path.join(format!(".s.PGSQL.{port}")))?)
            }
            Host::Name(name) => {
                let mut failed = Error::other("the name has no address");
                let connected = (name.as_str(), port).to_socket_addrs()?.find_map(|address| {
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
