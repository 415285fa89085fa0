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
}
