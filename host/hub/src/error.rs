//! Why a server does not run.

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Addresses, certificates, keys.
    #[error(transparent)]
    Transport(#[from] fedwasm_transport::Error),
    /// A server cannot be started.
    #[error("cannot serve at {address}: {reason}")]
    Serve {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        reason: fedwasm_transport::Cause,
    },
    /// A store of blobs that cannot be used.
    #[error("cannot keep blobs in {store}: {reason}")]
    Store {
        /// Which.
        store: String,
        /// Why not.
        #[source]
        reason: fedwasm_transport::Cause,
    },
}
