//! Errors between two programs.

use fedwasm_protocol::Digest;

/// An error of a library below, or words of our own.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The innermost cause: what the operating system says.
fn innermost(cause: &Cause) -> &dyn std::error::Error {
    let mut cause: &dyn std::error::Error = &**cause;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// An error between two programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an address of the right kind.
    #[error("`{got}` is not an address: {expected}")]
    Address {
        /// The text that was given.
        got: String,
        /// The form of an address.
        expected: &'static str,
    },
    /// Another machine, without encryption.
    #[error(
        "`{got}` is not on this machine, and its address does not encrypt; use `mqtts://` or \
         `https://` (`fedwasm network init` makes the certificates), or put `plaintext+` before \
         the address to allow plain text"
    )]
    NotLoopback {
        /// The address.
        got: String,
    },
    /// Certificates or keys do not work.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// Why not.
        #[source]
        reason: Cause,
    },
    /// Keys, rosters, signatures.
    #[error(transparent)]
    Trust(#[from] fedwasm_trust::Error),
    /// The participant is not enrolled.
    #[error(
        "{participant} is not in the federation of {url}; give its public key to the operator of \
         the federation (`fedwasm network enrol`), and run `fedwasm node join` or `fedwasm keys \
         join` with the file that comes back"
    )]
    NotEnrolled {
        /// The participant.
        participant: fedwasm_protocol::Participant,
        /// The repository.
        url: String,
    },
    /// The repository is not of the federation that was joined.
    #[error("the roster of {url} does not belong to the joined federation: {reason}")]
    OtherFederation {
        /// The repository.
        url: String,
        /// The mistake in its roster.
        #[source]
        reason: Cause,
    },
    /// The broker does not answer.
    #[error(
        "the broker {url} cannot be reached: {reason}; check that `fedwasm network start` is \
         running"
    )]
    BrokerUnreachable {
        /// Its address.
        url: String,
        /// The error of the operating system or the broker.
        #[source]
        reason: Cause,
    },
    /// The broker speaks an older protocol alone.
    #[error(
        "the broker {url} implements MQTT 3.1.1, but MQTT 5 is needed; use mosquitto 2, EMQX, or \
         the broker of `fedwasm network start`"
    )]
    OldBroker {
        /// Its address.
        url: String,
    },
    /// The broker does not take us.
    #[error("the broker {url} refuses this program: {reason}")]
    BrokerRefused {
        /// Its address.
        url: String,
        /// Its message.
        reason: String,
    },
    /// Another program takes the connection over.
    #[error(
        "{url} closed the connection repeatedly; another program may be connected as `{client_id}`"
    )]
    TakenOver {
        /// The broker.
        url: String,
        /// The id.
        client_id: String,
    },
    /// More bytes than a message may have.
    #[error(
        "a message has {bytes} bytes, at most {} can be sent",
        fedwasm_protocol::MESSAGE_BYTES_MAX
    )]
    MessageTooLarge {
        /// Its payload.
        bytes: usize,
    },
    /// The connection is closed.
    #[error("the connection to the broker is closed")]
    Closed,
    /// The repository does not answer.
    #[error(
        "the repository {url} cannot be reached: {}; check that `fedwasm network start` is running",
        innermost(reason)
    )]
    RepositoryUnreachable {
        /// Its address.
        url: String,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// The repository refuses.
    #[error("the repository {url} answered {status}: {text}")]
    Repository {
        /// Its address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The first line of its answer, cut.
        text: String,
    },
    /// The bytes are not those that were asked for.
    #[error("blob {expected} is refused: its bytes have the digest {got} ({size} bytes)")]
    WrongDigest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of the bytes that came.
        got: Digest,
        /// Its length in bytes.
        size: u64,
    },
    /// Bytes in a message do not match their digest, or are too many.
    #[error(transparent)]
    WrongPayload(#[from] fedwasm_protocol::WrongPayload),
    /// There are more or fewer bytes than were announced.
    #[error("blob {digest} is refused: it has {got} bytes, {expected} were announced")]
    WrongSize {
        /// The digest asked for.
        digest: Digest,
        /// Bytes that the request announced.
        expected: u64,
        /// Bytes that came or are about to.
        got: u64,
    },
}

impl Error {
    /// Whether the repository does not answer: it is started anew, or the way to it is broken.
    pub fn is_away(&self) -> bool {
        match self {
            Self::RepositoryUnreachable { .. } => true,
            // A server before it says so.
            Self::Repository { status, .. } => matches!(*status, 502..=504),
            _ => false,
        }
    }

    /// Whether it may pass by itself: no answer came, or one that asks to try again later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::BrokerUnreachable { .. } | Self::RepositoryUnreachable { .. } => true,
            // It took too long to read us, wants it slower, or has trouble of its own, such as a
            // full disk.
            Self::Repository { status, .. } => matches!(*status, 408 | 429 | 500..),
            _ => false,
        }
    }
}
