//! The envelope of every message: a header with sender, recipient and kind, the
//! body, and the sender's signature over the header, which holds the body's digest.
//! Signatures are made and checked elsewhere.

use serde::{Deserialize, Serialize};

use crate::{BlobRef, Body, Digest, FederationId, Kind, Participant, RequestId, SessionId};
use crate::{decode, malformed};

/// The version of messages that this crate speaks.
pub const PROTOCOL_VERSION: u16 = 2;

/// The largest message, in bytes. Control only: components and parameters
/// travel by digest.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// The largest header, in bytes; one with all digests has 1,600.
pub const HEADER_BYTES_MAX: usize = 2 << 10;
/// The longest signature, in bytes: ECDSA over P-256 as DER has 72 at most.
pub const SIGNATURE_BYTES_MAX: usize = 80;
/// The most digests that a header names.
pub const REFERS_MAX: usize = 12;

/// The bytes that may follow a signature's domain, so that no signature of one kind of
/// thing is one of another.
pub const MESSAGE_DOMAIN: &[u8] = b"fedwasm message v2\0";

/// A message as it travels: MessagePack, an array of three byte strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// A [`Header`] as MessagePack.
    #[serde(with = "serde_bytes")]
    pub header: Vec<u8>,
    /// A [`Body`] as MessagePack.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// ECDSA P-256 over SHA-256, as DER, of [`MESSAGE_DOMAIN`] and the header.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
}

/// Sender, recipient, kind and times of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`PROTOCOL_VERSION`].
    pub version: u16,
    /// The federation that it belongs to.
    pub federation: FederationId,
    /// The sender.
    pub sender: Participant,
    /// The run of the sender's program.
    pub session: SessionId,
    /// The sender's connection to the broker in its session, from 1.
    pub connection: u64,
    /// Counts the sender's messages of its session, from 1.
    pub sequence: u64,
    /// The recipient; none for all participants.
    pub recipient: Option<Recipient>,
    /// The kind of message.
    pub kind: Kind,
    /// A new id for a request, the id of the request for all that answers it.
    pub request_id: RequestId,
    /// The digest of the header of the request that this answers: of that one and no other.
    pub in_reply_to: Option<Digest>,
    /// Milliseconds that the sender will still wait, at the time of sending.
    pub deadline_ms: u64,
    /// When it was written, in milliseconds of Unix time, by the sender's clock.
    pub issued_ms: u64,
    /// From when on it means nothing any more.
    pub expires_ms: u64,
    /// The blobs that the body names, in its order.
    pub refers: Vec<Digest>,
    /// Digest and length of the body.
    pub body: BlobRef,
}

/// The recipient of a message: one run of one participant's program. A later run ignores messages
/// for an earlier one, so no program has to remember across a restart which messages it heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The participant.
    pub participant: Participant,
    /// Its session.
    pub session: SessionId,
}

/// A message whose header was verified and whose body matches it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The header.
    pub header: Header,
    /// The digest of the header's bytes, by which answers name it.
    pub digest: Digest,
    /// The content.
    pub body: Body,
}

/// An error in a message's form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Larger than [`MESSAGE_BYTES_MAX`].
    #[error("a message of {got} bytes is larger than {max}")]
    TooLarge {
        /// Bytes.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// Not a message.
    #[error("not a message: {reason}")]
    Malformed {
        /// The decoder's message.
        reason: String,
    },
    /// Another protocol version.
    #[error("the message has protocol version {got}, this program implements {ours}")]
    Version {
        /// Theirs.
        got: u16,
        /// Ours.
        ours: u16,
    },
    /// The body is not the one that the header names.
    #[error("body digest does not match its header")]
    OtherBody,
    /// The body has another kind, or names other blobs, than the header.
    #[error("the body does not match its header: {reason}")]
    Contradiction {
        /// The contradiction.
        reason: String,
    },
}

impl Sealed {
    /// Writes the message as MessagePack.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`], [`EnvelopeError::Malformed`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let bytes = rmp_serde::to_vec(self).map_err(malformed)?;
        check_size(bytes.len(), MESSAGE_BYTES_MAX)?;
        Ok(bytes)
    }

    /// Takes a message apart. Nothing in it is believed yet.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`], [`EnvelopeError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        check_size(bytes.len(), MESSAGE_BYTES_MAX)?;
        let sealed: Self = decode(bytes)?;
        check_size(sealed.header.len(), HEADER_BYTES_MAX)?;
        check_size(sealed.signature.len(), SIGNATURE_BYTES_MAX)?;
        Ok(sealed)
    }

    /// The signed bytes.
    pub fn signed_bytes(header: &[u8]) -> Vec<u8> {
        [MESSAGE_DOMAIN, header].concat()
    }

    /// Reads the header, which may say anything.
    ///
    /// # Errors
    /// [`EnvelopeError::Version`], [`EnvelopeError::Malformed`].
    pub fn header(&self) -> Result<Header, EnvelopeError> {
        /// The part that every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u16,
        }
        let Versioned { version } = decode(&self.header)?;
        if version != PROTOCOL_VERSION {
            return Err(EnvelopeError::Version { got: version, ours: PROTOCOL_VERSION });
        }
        let header: Header = decode(&self.header)?;
        match header.refers.len() {
            n if n > REFERS_MAX => Err(malformed(format!("{n} references"))),
            _ => Ok(header),
        }
    }

    /// Reads the body, now that the header is believed.
    ///
    /// # Errors
    /// [`EnvelopeError::OtherBody`], [`EnvelopeError::Contradiction`],
    /// [`EnvelopeError::Malformed`].
    pub fn open(self, header: Header) -> Result<Message, EnvelopeError> {
        if !header.body.matches(&self.body) {
            return Err(EnvelopeError::OtherBody);
        }
        let body: Body = decode(&self.body)?;
        let contradiction = |reason: String| Err(EnvelopeError::Contradiction { reason });
        if body.kind() != header.kind {
            return contradiction(format!("a {} in a {}", body.kind(), header.kind));
        }
        if body.refers() != header.refers {
            return contradiction("it names other blobs than the header".into());
        }
        Ok(Message { digest: Digest::of(&self.header), header, body })
    }
}

impl Header {
    /// Writes the header as MessagePack.
    ///
    /// # Errors
    /// [`EnvelopeError::Malformed`], [`EnvelopeError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let bytes = rmp_serde::to_vec_named(self).map_err(malformed)?;
        check_size(bytes.len(), HEADER_BYTES_MAX)?;
        Ok(bytes)
    }
}

fn check_size(got: usize, max: usize) -> Result<(), EnvelopeError> {
    if got > max { Err(EnvelopeError::TooLarge { got, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SearchRequest;
    use proptest::prelude::*;

    fn sealed(tags: Vec<String>, change: impl FnOnce(&mut Header)) -> Sealed {
        let body = Body::Search(SearchRequest { tags }).encode().unwrap();
        let mut header = Header {
            version: PROTOCOL_VERSION,
            federation: "f".parse().unwrap(),
            sender: "researcher-r".parse().unwrap(),
            session: "s".parse().unwrap(),
            connection: 1,
            sequence: 1,
            recipient: Some(Recipient {
                participant: "node-n".parse().unwrap(),
                session: "t".parse().unwrap(),
            }),
            kind: Kind::Search,
            request_id: "r-1".parse().unwrap(),
            in_reply_to: None,
            deadline_ms: 1_000,
            issued_ms: 1,
            expires_ms: 2,
            refers: Vec::new(),
            body: BlobRef::of(&body),
        };
        change(&mut header);
        Sealed { header: header.encode().unwrap(), body, signature: vec![0; 72] }
    }

    fn read(bytes: &[u8]) -> Result<Message, EnvelopeError> {
        let sealed = Sealed::decode(bytes)?;
        let header = sealed.header()?;
        sealed.open(header)
    }

    #[test]
    fn what_is_sent_is_received() {
        let sent = sealed(vec!["a".into()], |_| {});
        let got = read(&sent.encode().unwrap()).unwrap();
        assert_eq!(got.body, Body::Search(SearchRequest { tags: vec!["a".into()] }));
        assert_eq!(got.header.encode().unwrap(), sent.header);
    }

    #[test]
    fn one_byte_over_the_limit_is_refused() {
        let overhead = sealed(vec!["x".repeat(40_000)], |_| {}).encode().unwrap().len() - 40_000;
        let at_limit = sealed(vec!["x".repeat(MESSAGE_BYTES_MAX - overhead)], |_| {});
        assert_eq!(at_limit.encode().unwrap().len(), MESSAGE_BYTES_MAX);
        let over = sealed(vec!["x".repeat(MESSAGE_BYTES_MAX - overhead + 1)], |_| {});
        assert!(matches!(over.encode(), Err(EnvelopeError::TooLarge { .. })));
        let bytes = vec![0; MESSAGE_BYTES_MAX + 1];
        assert!(matches!(Sealed::decode(&bytes), Err(EnvelopeError::TooLarge { .. })));
        let long = Sealed { header: vec![0; HEADER_BYTES_MAX + 1], ..at_limit };
        let long = rmp_serde::to_vec(&Sealed { body: Vec::new(), ..long }).unwrap();
        assert!(matches!(Sealed::decode(&long), Err(EnvelopeError::TooLarge { .. })));
    }

    #[test]
    fn another_version_is_named() {
        let other = sealed(Vec::new(), |header| header.version = 1).encode().unwrap();
        assert_eq!(read(&other).unwrap_err(), EnvelopeError::Version { got: 1, ours: 2 });
    }

    #[test]
    fn a_body_that_is_not_what_the_header_says_is_refused() {
        let body = sealed(vec!["a".into()], |_| {}).body;
        let other = Sealed { body, ..sealed(vec!["b".into()], |_| {}) }.encode().unwrap();
        assert_eq!(read(&other).unwrap_err(), EnvelopeError::OtherBody);
        for change in
            [(|header: &mut Header| header.kind = Kind::Round) as fn(&mut Header), |header| {
                header.refers = vec![Digest::of(b"x")]
            }]
        {
            let other = sealed(Vec::new(), change).encode().unwrap();
            let error = read(&other).unwrap_err();
            assert!(matches!(error, EnvelopeError::Contradiction { .. }), "{error}");
        }
        let many =
            sealed(Vec::new(), |header| header.refers = vec![Digest::of(b"x"); REFERS_MAX + 1]);
        assert!(matches!(many.header(), Err(EnvelopeError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
