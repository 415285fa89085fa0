//! The state that all requests to the repository share.

use std::sync::Arc;

use axum::http::StatusCode;
use fedwasm_protocol::Participant;
use fedwasm_transport::Pace;
use fedwasm_trust::{Authority, PublicKey};
use tokio::sync::Notify;

use crate::quota::Quota;
use crate::refusal::Refusal;
use crate::store::Store;
use crate::upload::Turns;

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct RepositoryState {
    pub(crate) store: Store,
    pub(crate) authority: Arc<Authority>,
    pub(crate) quota: Quota,
    pub(crate) turns: Turns,
    pub(crate) pace: Pace,
    /// Blobs were given up.
    pub(crate) released: Notify,
}

impl RepositoryState {
    /// A connection outlives a revocation.
    pub(crate) fn check_revoked(
        &self,
        (who, key): &(Participant, PublicKey),
    ) -> Result<(), Refusal> {
        match self.authority.current_roster() {
            // The same key: a name can have another one by now.
            Ok(roster) if roster.key(who) == Some(key) => Ok(()),
            _ => Err(Refusal(StatusCode::FORBIDDEN, format!("{who} is not on the roster"))),
        }
    }
}
