//! Bodies of messages.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{
    ApprovalReply, ApprovalRequest, Digest, EnvelopeError, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX,
    Payload, Presence, Progress, Refusal, Role, RoundReply, RoundRequest, SIGNATURE_BYTES_MAX,
    SIGNATURES_MAX, SearchReply, SearchRequest, SecaggReply, SecaggRequest, StatisticsReply,
    StatisticsRequest, printable,
};

/// The deepest nesting of a message; a round needs 6. Arguments are buffered
/// once a level while they are read.
const DEPTH_MAX: usize = 16;
/// The largest body beside the largest header and signature, in bytes: MessagePack has at most 5
/// before each of the three, and 1 before all.
const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX - HEADER_BYTES_MAX - SIGNATURE_BYTES_MAX - 16;
/// The longest description of a mistake in a message, in characters.
const REASON_CHARS_MAX: usize = 300;

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident $(($content:ty))? $text:literal $by:ident,)*) => {
        /// The content of a message.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Body {
            $($(#[$doc])* $name $(($content))?,)*
        }

        /// The kind of message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// The role that sends this kind.
            pub fn said_by(self) -> Role {
                match self {
                    $(Self::$name => Role::$by,)*
                }
            }
        }

        impl std::fmt::Display for Kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

bodies! {
    /// Which datasets have these tags?
    Search(SearchRequest) "search" Researcher,
    /// Train or score.
    Round(Box<RoundRequest>) "round" Researcher,
    /// Would you run this plan?
    Approval(ApprovalRequest) "approval" Researcher,
    /// A step of a secure sum.
    Secagg(SecaggRequest) "secagg" Researcher,
    /// What do the columns of this dataset look like?
    Statistics(Box<StatisticsRequest>) "statistics" Researcher,
    /// Are you there?
    Ping "ping" Researcher,
    /// The researcher no longer waits for this request.
    Cancel "cancel" Researcher,
    /// All that was sent before has arrived; to itself.
    Echo "echo" Researcher,
    /// The researcher's connection is over, and it no longer waits for requests sent over it.
    Farewell "farewell" Researcher,
    /// The datasets that were found.
    SearchReply(SearchReply) "search-reply" Node,
    /// The result of a round.
    RoundReply(Box<RoundReply>) "round-reply" Node,
    /// Whether it would run the plan.
    ApprovalReply(ApprovalReply) "approval-reply" Node,
    /// The node's part of a step of a secure sum.
    SecaggReply(SecaggReply) "secagg-reply" Node,
    /// Sums over a dataset's columns.
    StatisticsReply(StatisticsReply) "statistics-reply" Node,
    /// Here I am.
    Pong "pong" Node,
    /// The answer to any request that is not done.
    Refused(Refusal) "refusal" Node,
    /// How far a round is.
    Progress(Progress) "progress" Node,
    /// Whether the node serves; for all participants.
    Presence(Presence) "presence" Node,
}

impl Body {
    /// Writes it as MessagePack.
    ///
    /// # Errors
    /// [`EnvelopeError::Malformed`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        rmp_serde::to_vec_named(self).map_err(malformed)
    }

    /// Whether a message has room for it, beside any header and signature.
    pub fn fits(&self) -> bool {
        self.encode().is_ok_and(|bytes| bytes.len() <= BODY_BYTES_MAX)
    }

    /// Reads a body of either role.
    ///
    /// # Errors
    /// [`EnvelopeError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        decode(bytes)
    }

    /// The kind of message.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Search(_) => Kind::Search,
            Self::Round(_) => Kind::Round,
            Self::Approval(_) => Kind::Approval,
            Self::Secagg(_) => Kind::Secagg,
            Self::Statistics(_) => Kind::Statistics,
            Self::Ping => Kind::Ping,
            Self::Cancel => Kind::Cancel,
            Self::Echo => Kind::Echo,
            Self::Farewell => Kind::Farewell,
            Self::SearchReply(_) => Kind::SearchReply,
            Self::RoundReply(_) => Kind::RoundReply,
            Self::ApprovalReply(_) => Kind::ApprovalReply,
            Self::SecaggReply(_) => Kind::SecaggReply,
            Self::StatisticsReply(_) => Kind::StatisticsReply,
            Self::Pong => Kind::Pong,
            Self::Refused(_) => Kind::Refused,
            Self::Progress(_) => Kind::Progress,
            Self::Presence(_) => Kind::Presence,
        }
    }

    /// The blobs that it names, in the order of its fields.
    pub fn refers(&self) -> Vec<Digest> {
        let of = |payload: &Option<Payload>| payload.as_ref().map(|payload| payload.blob.sha256);
        match self {
            Self::Round(request) => {
                let always = [request.plan.sha256, request.params.sha256];
                let others = [&request.aux_shared, &request.aux_own, &request.scales].map(of);
                always.into_iter().chain(others.into_iter().flatten()).collect()
            }
            Self::RoundReply(reply) => {
                let params = reply.params.map(|params| params.sha256);
                let others = [&reply.aux, &reply.sums, &reply.receipt].map(of);
                params.into_iter().chain(others.into_iter().flatten()).collect()
            }
            Self::Approval(request) => {
                let signatures = request.signatures.iter().take(SIGNATURES_MAX);
                [&request.plan].into_iter().chain(signatures).map(|blob| blob.sha256).collect()
            }
            Self::Statistics(request) => of(&request.edges).into_iter().collect(),
            Self::StatisticsReply(reply) => vec![reply.sums.blob.sha256],
            _ => Vec::new(),
        }
    }
}

/// Reads one value; bytes after it are an error: no reader would know what they
/// are for.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EnvelopeError> {
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut reader).map_err(malformed)?;
    match rest.len() {
        0 => Ok(value),
        left => Err(malformed(format!("{left} bytes follow it"))),
    }
}

/// The mistake may repeat the sender's words, and goes into a log.
pub(crate) fn malformed(error: impl std::fmt::Display) -> EnvelopeError {
    let reason: String = error.to_string().chars().take(REASON_CHARS_MAX).collect();
    EnvelopeError::Malformed { reason: printable(&reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_follow_are_refused() {
        let search = Body::Search(SearchRequest { tags: vec!["t".into()] });
        for body in [Body::Ping, search] {
            let mut bytes = body.encode().unwrap();
            assert_eq!(Body::decode(&bytes), Ok(body));
            bytes.push(0xc0);
            let error = Body::decode(&bytes).unwrap_err();
            assert!(error.to_string().contains("1 bytes follow it"), "{error}");
        }
    }

    #[test]
    fn a_body_that_fits_has_room_for_any_header() {
        let of = |n: usize| Body::Search(SearchRequest { tags: vec!["x".repeat(n)] });
        let overhead = of(60_000).encode().unwrap().len() - 60_000;
        let largest = of(BODY_BYTES_MAX - overhead);
        assert!(largest.fits() && !of(BODY_BYTES_MAX - overhead + 1).fits());
        let (header, signature) = (vec![0; HEADER_BYTES_MAX], vec![0; SIGNATURE_BYTES_MAX]);
        let sealed = crate::Sealed { header, body: largest.encode().unwrap(), signature };
        assert!(sealed.encode().is_ok());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut bytes = Body::Search(SearchRequest { tags: Vec::new() }).encode().unwrap();
        let tags = bytes.iter().rposition(|byte| *byte == 0x90).unwrap();
        bytes.truncate(tags);
        bytes.extend([0x91; 30_000]);
        assert!(matches!(decode::<Body>(&bytes), Err(EnvelopeError::Malformed { .. })));
    }
}
