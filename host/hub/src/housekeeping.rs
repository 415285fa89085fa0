//! Frees the store while the repository serves it.

use std::sync::Arc;
use std::time::Duration;

use crate::state::RepositoryState;
use crate::sweep::{PruneOptions, Pruned, prune};

/// The pauses between two sweeps: when nothing was given up, and after something was.
pub(crate) const SWEEP_PAUSES: (Duration, Duration) =
    (Duration::from_secs(60 * 60), Duration::from_secs(60));

/// Sweeps again and again. A sweep that fails is tried again later.
pub(crate) async fn keep_house(
    repository: Arc<RepositoryState>,
    options: PruneOptions,
    (pause, after): (Duration, Duration),
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = repository.released.notified() => tokio::time::sleep(after).await,
        }
        let swept = prune(&repository.store, &options).await;
        match swept {
            Ok(Pruned { experiments: 0, blobs: 0, bytes: 0, .. }) => {}
            Ok(Pruned { experiments, blobs, bytes, .. }) => tracing::info!(
                "deleted {blobs} blobs, {bytes} bytes; {experiments} experiments are over"
            ),
            Err(error) => tracing::error!("{error}"),
        }
        if let Err(error) = repository.quota.recount(&*repository.store.objects).await {
            tracing::error!("stored bytes could not be counted: {error}");
        }
    }
}
