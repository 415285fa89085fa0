//! The envelope of every message.

use serde::{Deserialize, Serialize};

use crate::{
    ApprovalReply, ApprovalRequest, Progress, Refusal, RequestId, RoundReply, RoundRequest,
    SearchReply, SearchRequest, printable,
};

/// The version of messages that this crate speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// The largest message, in bytes. Control only: components and parameters
/// travel by digest.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The deepest nesting of a message; a round needs 6. Arguments are buffered
/// once a level while they are read.
const DEPTH_MAX: usize = 16;

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// [`PROTOCOL_VERSION`].
    pub version: u16,
    /// A new id for a request, the id of the request for all that answers it.
    pub request_id: RequestId,
    /// Who sends: a node's or a researcher's id.
    pub sender: String,
    /// Milliseconds that the sender will still wait, at the time of sending.
    pub deadline_ms: u64,
    /// What is said.
    pub body: Body,
}

/// The longest description of what is wrong with a message, in characters.
const REASON_CHARS_MAX: usize = 300;

/// What is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Researcher to node.
    Search(SearchRequest),
    /// Researcher to node.
    Round(Box<RoundRequest>),
    /// Researcher to node.
    Approval(ApprovalRequest),
    /// Researcher to node: are you there?
    Ping,
    /// Researcher to node: nobody waits for this request any more.
    Cancel,
    /// Node to researcher.
    SearchReply(SearchReply),
    /// Node to researcher.
    RoundReply(Box<RoundReply>),
    /// Node to researcher.
    ApprovalReply(ApprovalReply),
    /// Node to researcher: here I am.
    Pong,
    /// Node to researcher: the answer to any request that is not done.
    Refused(Refusal),
    /// Node to researcher, while a round runs.
    Progress(Progress),
    /// Researcher to itself: all that was sent before has arrived.
    Echo,
}

/// What can be wrong with a message.
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
        /// What the decoder says.
        reason: String,
    },
    /// Another protocol version.
    #[error("the message speaks protocol version {got}, this program speaks {ours}")]
    Version {
        /// Theirs.
        got: u16,
        /// Ours.
        ours: u16,
    },
}

impl Envelope {
    /// Writes the message as MessagePack.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`], [`EnvelopeError::Malformed`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let bytes = rmp_serde::to_vec_named(self).map_err(malformed)?;
        match bytes.len() {
            len if len > MESSAGE_BYTES_MAX => {
                Err(EnvelopeError::TooLarge { got: len, max: MESSAGE_BYTES_MAX })
            }
            _ => Ok(bytes),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Any [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge { got: bytes.len(), max: MESSAGE_BYTES_MAX });
        }
        /// The part that every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u16,
        }
        let Versioned { version } = read(bytes)?;
        if version != PROTOCOL_VERSION {
            return Err(EnvelopeError::Version { got: version, ours: PROTOCOL_VERSION });
        }
        read(bytes)
    }
}

fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, EnvelopeError> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut reader).map_err(malformed)
}

/// What is wrong may repeat what the sender wrote, and goes into a log.
fn malformed(error: impl std::fmt::Display) -> EnvelopeError {
    let reason: String = error.to_string().chars().take(REASON_CHARS_MAX).collect();
    EnvelopeError::Malformed { reason: printable(&reason) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn envelope(tags: Vec<String>) -> Envelope {
        Envelope {
            version: PROTOCOL_VERSION,
            request_id: "r-1".parse().unwrap(),
            sender: "researcher".into(),
            deadline_ms: 1_000,
            body: Body::Search(SearchRequest { tags }),
        }
    }

    #[test]
    fn what_is_sent_is_received() {
        let sent = envelope(vec!["a".into()]);
        assert_eq!(Envelope::decode(&sent.encode().unwrap()).unwrap(), sent);
    }

    #[test]
    fn one_byte_over_the_limit_is_refused() {
        let overhead = envelope(vec!["x".repeat(40_000)]).encode().unwrap().len() - 40_000;
        let at_limit = envelope(vec!["x".repeat(MESSAGE_BYTES_MAX - overhead)]);
        assert_eq!(at_limit.encode().unwrap().len(), MESSAGE_BYTES_MAX);
        let over = envelope(vec!["x".repeat(MESSAGE_BYTES_MAX - overhead + 1)]);
        assert!(matches!(over.encode(), Err(EnvelopeError::TooLarge { .. })));
        let bytes = vec![0; MESSAGE_BYTES_MAX + 1];
        assert!(matches!(Envelope::decode(&bytes), Err(EnvelopeError::TooLarge { .. })));
    }

    #[test]
    fn another_version_is_named() {
        let other = Envelope { version: 2, ..envelope(Vec::new()) };
        let error = Envelope::decode(&other.encode().unwrap()).unwrap_err();
        assert_eq!(error, EnvelopeError::Version { got: 2, ours: 1 });
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut bytes = envelope(Vec::new()).encode().unwrap();
        let tags = bytes.iter().rposition(|byte| *byte == 0x90).unwrap();
        bytes.truncate(tags);
        bytes.extend([0x91; 30_000]);
        assert!(matches!(Envelope::decode(&bytes), Err(EnvelopeError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::decode(&bytes);
        }
    }
}
