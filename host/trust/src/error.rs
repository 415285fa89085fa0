//! What can be wrong with keys, rosters and signatures.

use fedwasm_protocol::{FederationId, Participant};

use crate::Fingerprint;

/// What can be wrong with keys, rosters and signatures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file holds no key of the right kind.
    #[error("{what} is no P-256 key: {reason}")]
    NoKey {
        /// Which file or field.
        what: String,
        /// Why not.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others may read a private key.
    #[error("{path}: a private key that others may read (mode {mode:o}); `chmod 600` it")]
    OpenKey {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// There is a file of this name already.
    #[error("{path} exists already; keys are not overwritten")]
    Exists {
        /// The file.
        path: String,
    },
    /// The authority's private key lies elsewhere.
    #[error(
        "{path} is not there: rosters are signed where it is, and `roster.json` is copied here"
    )]
    NoAuthorityKey {
        /// Where it would be.
        path: String,
    },
    /// The roster does not count any more.
    #[error(
        "the roster was signed {} ago and does not count any more: who was revoked since is not \
         known; the federation's authority signs it anew (`network start` or `network renew`)",
        crate::roster::days(*.age)
    )]
    ExpiredRoster {
        /// Since it was signed.
        age: std::time::Duration,
    },
    /// Not what its signature is over.
    #[error("the signature of {what} is not one of key {key}")]
    Signature {
        /// What is signed.
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
        /// What.
        what: String,
        /// What is wrong with it.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Sigstore bundle of another version.
    #[error("a bundle of media type `{got}`; `{expected}` is read")]
    BundleVersion {
        /// What it says that it is.
        got: String,
        /// What it would have to be.
        expected: &'static str,
    },
    /// Another federation's.
    #[error("{what} is of federation {got}, not of {expected}")]
    OtherFederation {
        /// What.
        what: &'static str,
        /// Whose it is.
        got: FederationId,
        /// Ours.
        expected: FederationId,
    },
    /// Older than what is known.
    #[error("a roster with serial {got} is older than the known one with {known}; it is refused")]
    OldRoster {
        /// Of the new one.
        got: u64,
        /// Of ours.
        known: u64,
    },
    /// The name has another key already.
    #[error(
        "{participant} takes part already, with key {known}; `fedwasm network revoke` takes that \
         one off, or choose another id"
    )]
    Taken {
        /// Who.
        participant: Participant,
        /// The key that the roster has.
        known: Fingerprint,
    },
    /// A key that was revoked.
    #[error("key {key} was revoked; make another one")]
    RevokedKey {
        /// The key.
        key: Fingerprint,
    },
    /// Too many participants.
    #[error("the roster has {max} entries already, which is the most")]
    Full {
        /// The bound.
        max: usize,
    },
    /// Nobody of this name.
    #[error("{participant} does not take part in the federation")]
    Unknown {
        /// Who.
        participant: Participant,
    },
    /// A certificate cannot be made.
    #[error("no certificate can be made: {reason}")]
    Certificate {
        /// Why not.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Randomness,
    /// A file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
