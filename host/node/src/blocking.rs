//! Work that waits for a disk or for a plan, on a thread of its own.

use fedwasm_protocol::{Reason, Refusal};

use crate::refusal::refusal;

/// Runs `work` where it may block; one that breaks off is a refusal.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!("the task of a round ended early: {error}");
            Err(refusal(
                Reason::Internal,
                "the round ended early in the node; its log says more".into(),
            ))
        }
    }
}
