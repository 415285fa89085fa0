//! Errors of keys, rosters and signatures.

use fedwasm_protocol::{FederationId, Participant};

use crate::Fingerprint;

/// An error of keys, rosters or signatures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file holds no key of the right kind.
    #[error("{what} is not a P-256 key: {reason}")]
    NoKey {
        /// Which file or field.
        what: String,
        /// Why not.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others may read a private key.
    #[error("{path}: other users may read this private key (mode {mode:o}); run `chmod 600` on it")]
    OpenKey {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// There is a file of this name already.
    #[error("{path} already exists; keys are not overwritten")]
    Exists {
        /// The file.
        path: String,
    },
    /// The authority's private key lies elsewhere.
    #[error(
        "{path} is missing: sign the roster on the machine that holds this key, and copy \
         `roster.json` here"
    )]
    NoAuthorityKey {
        /// Where it would be.
        path: String,
    },
    /// The roster does not count any more.
    #[error(
        "the roster was signed {} ago and is too old: later revocations are unknown; the \
         federation's authority signs it again (`network start` or `network renew`)",
        crate::roster::days(*.age)
    )]
    ExpiredRoster {
        /// Since it was signed.
        age: std::time::Duration,
    },
    /// The signature is over other bytes, or by another key.
    #[error("the signature of {what} was not made by key {key}")]
    Signature {
        /// The name of the signed object.
        what: &'static str,
        /// The key that was to have made it.
        key: Fingerprint,
    },
    /// A trust file.
    #[error(transparent)]
    File(#[from] fedwasm_protocol::FileMistakes),
    /// Not of the form that it should have.
    #[error("{what} is damaged: {reason}")]
    Malformed {
        /// The name of the object.
        what: String,
        /// The reason.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Sigstore bundle of another version.
    #[error("the bundle has media type `{got}`, expected `{expected}`")]
    BundleVersion {
        /// The media type that it has.
        got: String,
        /// The media type that is read.
        expected: &'static str,
    },
    /// Another federation's.
    #[error("{what} belongs to federation {got}, not to {expected}")]
    OtherFederation {
        /// The name of the object.
        what: &'static str,
        /// The federation that it belongs to.
        got: FederationId,
        /// Ours.
        expected: FederationId,
    },
    /// The roster is older than the known one.
    #[error(
        "the roster with serial {got} is refused: it is older than the known one with serial \
         {known}"
    )]
    OldRoster {
        /// Of the new one.
        got: u64,
        /// Of ours.
        known: u64,
    },
    /// The name has another key already.
    #[error(
        "{participant} already takes part with key {known}; remove that key with `fedwasm network \
         revoke`, or choose another id"
    )]
    Taken {
        /// The participant.
        participant: Participant,
        /// The key that the roster has.
        known: Fingerprint,
    },
    /// A key that was revoked.
    #[error("key {key} was revoked; create another key")]
    RevokedKey {
        /// The key.
        key: Fingerprint,
    },
    /// Too many participants.
    #[error("the roster already has {max} entries, which is the maximum")]
    Full {
        /// The bound.
        max: usize,
    },
    /// The participant is not on the roster.
    #[error("{participant} does not take part in the federation")]
    Unknown {
        /// The participant.
        participant: Participant,
    },
    /// A certificate cannot be made.
    #[error("the certificate cannot be made: {reason}")]
    Certificate {
        /// Why not.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system gives no randomness.
    #[error("the operating system did not provide random bytes")]
    Randomness,
    /// A file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
