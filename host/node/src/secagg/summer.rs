//! Answers the steps of secure sums, away from the loop: signatures take a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::{Body, Refusal, ResearcherId, SecaggReply, SecaggRequest};
use fedwasm_transport::Repository;
use fedwasm_trust::Member;

use super::Sums;
use crate::blocking::blocking;

/// How long fetching a newer roster may take.
const ROSTER_TIME_MAX: Duration = Duration::from_secs(5);

/// Answers steps.
#[derive(Clone, Debug)]
pub(crate) struct Summer {
    pub(crate) sums: Sums,
    pub(crate) repository: Repository,
    pub(crate) member: Arc<Member>,
}

impl Summer {
    /// The answer to a step.
    pub(crate) async fn answer(&self, who: ResearcherId, request: SecaggRequest) -> Body {
        match self.step(who, request).await {
            Ok(reply) => Body::SecaggReply(reply),
            Err(refused) => {
                tracing::warn!("refused ({}): {}", refused.reason, refused.message);
                Body::Refused(refused)
            }
        }
    }

    async fn step(
        &self,
        who: ResearcherId,
        request: SecaggRequest,
    ) -> Result<SecaggReply, Refusal> {
        // The researcher may have seen a participant that joined since the last look.
        if self.sums.has_other_roster(&request) {
            let refresh = self.repository.refresh_roster(&self.member);
            match tokio::time::timeout(ROSTER_TIME_MAX, refresh).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!("the roster could not be refreshed: {error}"),
                Err(_) => tracing::warn!("the roster could not be refreshed: no answer arrived"),
            }
        }
        let sums = self.sums.clone();
        blocking(move || sums.answer(&who, &request, Instant::now())).await
    }
}
