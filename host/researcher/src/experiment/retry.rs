//! Which failures are worth another try, and the pause before it.

use std::time::Duration;

use fedwasm_protocol::Reason;

use crate::{AggregateError, Error, Event, Events, Experiment};

impl Experiment {
    /// Waits before something is tried again.
    pub(super) async fn pause(
        &mut self,
        round: u32,
        error: &Error,
        left: &mut u32,
        events: Events<'_>,
    ) -> Result<(), Error> {
        *left = left.saturating_sub(1);
        events(Event::Retry { round, reason: error.to_string(), left: *left });
        let pause = Duration::from_secs(self.file.strategy.retry_pause_s);
        self.job.wait_for_nodes(pause).await
    }
}

/// Whether nodes that come back, or broker and repository, could make it good.
pub(crate) fn is_worth_a_retry(error: &Error) -> bool {
    if let Error::Transport(error) = error {
        return error.is_passing();
    }
    // A node that has not approved the plan does not do so because it is asked again.
    if let Error::NotEnoughNodes { refused, .. } = error
        && !refused.is_empty()
        && refused.iter().all(|(_, reason, _)| *reason == Reason::NotApproved)
    {
        return false;
    }
    matches!(
        error,
        Error::BrokerLost { .. }
            | Error::PartMissing { .. }
            | Error::NotEnoughNodes { .. }
            | Error::NotEnoughSamples { .. }
            | Error::Aggregation(AggregateError::TooFewNodes { .. })
    )
}
