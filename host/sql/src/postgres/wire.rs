//! Messages to and from a server.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::{ErrorResponseBody, Message};

use crate::bounds::MESSAGE_BYTES_MAX;
use crate::postgres::socket::Stream;
use crate::snapshot::Clock;
use crate::{Error, cut};

/// How many bytes are read at once.
const CHUNK: usize = 64 << 10;
/// The most of a server's text that is repeated, in characters.
const TEXT_CHARS_MAX: usize = 500;

/// A connection, message by message.
pub(crate) struct Wire {
    stream: Stream,
    received: BytesMut,
    /// For messages: the server, the end of the time, and its length in seconds.
    host: String,
    end: Instant,
    seconds: u64,
}

impl Wire {
    pub(crate) fn new(stream: Stream, host: String, clock: &Clock) -> Self {
        let (end, seconds) = (clock.end(), clock.seconds());
        Self { stream, received: BytesMut::new(), host, end, seconds }
    }

    /// Writes messages and sends them.
    pub(crate) fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let mut out = BytesMut::new();
        let sent = write(&mut out).and_then(|()| {
            self.stream.write_all(&out)?;
            self.stream.flush()
        });
        sent.map_err(|error| self.failed(error))
    }

    /// The next message that is not a notice. An error of the server is an error.
    pub(crate) fn receive(&mut self) -> Result<Message, Error> {
        loop {
            match self.next()? {
                Message::NoticeResponse(_)
                | Message::ParameterStatus(_)
                | Message::NotificationResponse(_) => {}
                Message::ErrorResponse(body) => return Err(self.said(&body)),
                message => return Ok(message),
            }
        }
    }

    /// Waits until the server is ready for the next question.
    pub(crate) fn until_ready(&mut self) -> Result<(), Error> {
        loop {
            match self.receive()? {
                Message::ReadyForQuery(_) => return Ok(()),
                Message::CommandComplete(_) | Message::BackendKeyData(_) => {}
                _ => return Err(Error::protocol("it answered what was not asked")),
            }
        }
    }

    fn next(&mut self) -> Result<Message, Error> {
        loop {
            if let [_, length @ ..] = &self.received[..]
                && let Some(length) = length.first_chunk::<4>()
            {
                let length = u32::from_be_bytes(*length) as usize;
                if length > MESSAGE_BYTES_MAX {
                    let what = "bytes of a row or message of the server".to_owned();
                    return Err(Error::TooLarge { what, max: MESSAGE_BYTES_MAX as u64 });
                }
                if self.received.len() > length {
                    let message = Message::parse(&mut self.received).map_err(malformed)?;
                    return message.ok_or_else(|| Error::protocol("a message has no end"));
                }
            }
            let mut chunk = [0; CHUNK];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.failed(std::io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => self.received.extend_from_slice(&chunk[..n]),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// An error of the connection, which may be that the time is over.
    fn failed(&self, source: std::io::Error) -> Error {
        match Instant::now() >= self.end {
            true => Error::TimeLimit { seconds: self.seconds },
            false => Error::Connect { host: self.host.clone(), source },
        }
    }

    fn said(&self, body: &ErrorResponseBody) -> Error {
        let (mut message, mut code) = (String::new(), String::new());
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let text = || cut(&String::from_utf8_lossy(field.value_bytes()), TEXT_CHARS_MAX);
            match field.type_() {
                b'M' => message = text(),
                b'C' => code = text(),
                _ => {}
            }
        }
        match &*code {
            // query_canceled, by its own timeout.
            "57014" => Error::TimeLimit { seconds: self.seconds },
            // A prepared statement is one.
            "42601" if message.contains("multiple commands") => Error::Statements,
            "28P01" | "28000" => Error::Login { host: self.host.clone(), reason: message },
            // Data exceptions and violated constraints: these messages repeat values of cells.
            _ if code.starts_with("22") || code.starts_with("23") => {
                let message = "a value stopped the query; the server's log says which one";
                Error::Server { message: message.into(), code }
            }
            _ => Error::Server { message, code },
        }
    }
}

/// A message that cannot be read.
pub(crate) fn malformed(error: std::io::Error) -> Error {
    Error::protocol(cut(&error.to_string(), TEXT_CHARS_MAX))
}
