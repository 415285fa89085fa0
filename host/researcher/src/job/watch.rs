//! Tells that the repository is away, while something waits for it.

use std::time::{Duration, Instant};

use fedwasm_transport::Repository;

use crate::{Event, Events};

/// How often it is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches a repository.
pub(crate) struct Watch {
    repository: Repository,
    round: u32,
    /// When it is no longer waited for.
    end: Instant,
    is_told: bool,
}

impl Watch {
    /// Watches it in a round; a transfer may take `time`.
    pub(crate) fn of(repository: &Repository, round: u32, time: Duration) -> Self {
        let end = Instant::now() + time;
        Self { repository: repository.clone(), round, end, is_told: false }
    }

    /// Waits for `done`, and tells once if the repository is away meanwhile.
    pub(crate) async fn during<T>(
        &mut self,
        done: impl Future<Output = T>,
        events: Events<'_>,
    ) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return done,
                () = tokio::time::sleep(PAUSE) => self.look(events),
            }
        }
    }

    fn look(&mut self, events: Events<'_>) {
        let Some(reason) = self.repository.away().filter(|_| !self.is_told) else { return };
        self.is_told = true;
        let left_s = self.end.saturating_duration_since(Instant::now()).as_secs();
        events(Event::Waiting { round: self.round, reason, left_s });
    }
}
