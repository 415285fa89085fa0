//! Keys, signatures, and the roster of a federation. Opens no socket, and decides only whether a
//! signature is valid.

mod authority;
mod bundle;
mod certificate;
mod dsse;
mod error;
mod guard;
mod key;
mod member;
pub mod merkle;
mod receipt;
mod roster;
mod seal;
mod verdict;

pub use authority::{Authority, ServerFiles};
pub use bundle::{BUNDLE_BYTES_MAX, Bundle, bundles_beside};
pub use dsse::Envelope;
pub use error::Error;
pub use guard::{Guard, Refused, SKEW_MS};
pub use key::{Fingerprint, KeyPair, PublicKey};
pub use member::{Identity, Member, Membership, TlsFiles};
pub use receipt::{Engine, Opening, RECEIPT_BYTES_MAX, RECEIPT_VERSION, Receipt, RunResult};
pub use roster::{
    ENTRIES_MAX, Entry, ROSTER_BYTES_MAX, ROSTER_VALIDITY, Roster, Signer, Standing, federation_of,
};
pub use seal::{Outgoing, Seal};
pub use verdict::{BUNDLES_MAX, Signature, State, Trust, Verdict};
