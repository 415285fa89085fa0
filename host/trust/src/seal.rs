//! Signing of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fedwasm_protocol::{
    BlobRef, Body, Digest, Header, Kind, PROTOCOL_VERSION, Recipient, RequestId, Sealed, SessionId,
};

use crate::{Error, Member};

/// How long a message is valid: one that takes longer is sent again.
const LIFETIME_MS: u64 = 120_000;

/// A message that is about to be signed.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// The recipient; none for all participants.
    pub recipient: Option<Recipient>,
    /// A new id for a request, the id of the request for an answer.
    pub request_id: RequestId,
    /// The message that it answers.
    pub in_reply_to: Option<Digest>,
    /// How long the sender will still wait.
    pub deadline: Duration,
    /// The content.
    pub body: &'a Body,
}

/// Signs the messages of one run of a participant's program.
#[derive(Debug)]
pub struct Seal {
    member: Arc<Member>,
    session: SessionId,
    connection: AtomicU64,
    sequence: AtomicU64,
}

impl Seal {
    /// A new session.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn new(member: Arc<Member>) -> Result<Self, Error> {
        let session = SessionId::random().map_err(|_| Error::Randomness)?;
        let (connection, sequence) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { member, session, connection, sequence })
    }

    /// The sender of the messages.
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The session.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The connection to the broker, from 1.
    pub fn connection(&self) -> u64 {
        self.connection.load(Ordering::Relaxed)
    }

    /// Counts a new connection to the broker.
    pub fn connect(&self) {
        self.connection.fetch_add(1, Ordering::Relaxed);
    }

    /// Signs a message at `now_ms`, milliseconds of Unix time. Returns its bytes and the digest by
    /// which answers name it.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is too large, [`Error::Randomness`].
    pub fn seal(&self, message: Outgoing<'_>, now_ms: u64) -> Result<(Vec<u8>, Digest), Error> {
        let Outgoing { recipient, request_id, in_reply_to, deadline, body } = message;
        let malformed = |error: fedwasm_protocol::EnvelopeError| Error::Malformed {
            what: "a message".into(),
            reason: error.into(),
        };
        let bytes = body.encode().map_err(malformed)?;
        let expires_ms = match body.kind() {
            // A retained message must still be valid later.
            Kind::Presence | Kind::Farewell => u64::MAX,
            _ => now_ms.saturating_add(LIFETIME_MS),
        };
        let header = Header {
            version: PROTOCOL_VERSION,
            federation: self.member.membership().federation.clone(),
            sender: self.member.participant().clone(),
            session: self.session.clone(),
            connection: self.connection(),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            recipient,
            kind: body.kind(),
            request_id,
            in_reply_to,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            issued_ms: now_ms,
            expires_ms,
            refers: body.refers(),
            body: BlobRef::of(&bytes),
        };
        let header = header.encode().map_err(malformed)?;
        let signature = self.member.key().sign(&Sealed::signed_bytes(&header))?;
        let digest = Digest::of(&header);
        let sealed = Sealed { header, body: bytes, signature };
        Ok((sealed.encode().map_err(malformed)?, digest))
    }
}
