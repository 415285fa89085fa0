//! How slow a transfer may be: it ends by lack of progress, never because a large blob takes long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bytes that a socket may hold: they count as sent, but are still in transit (Linux,
/// `net.ipv4.tcp_wmem`, and the client's own buffer).
const ON_THE_WAY_MAX: u64 = 5 << 20;

/// How slow a transfer may be.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long nothing may move.
    pub silence: Duration,
    /// The least bytes a second on the whole.
    pub rate_min: u64,
}

impl Pace {
    /// 30 seconds, and 8 KiB a second: a sixteenth of a line of 1 Mbit/s.
    pub const USUAL: Self = Self { silence: Duration::from_secs(30), rate_min: 8 << 10 };

    /// How long so many bytes may take.
    pub fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1_000) / self.rate_min.max(1))
    }

    /// When the next byte must be there, if `got` came since `start`: within a silence, and
    /// within what the rate allows after two silences to begin with.
    pub fn next_due(&self, start: Instant, got: u64, now: Instant) -> Instant {
        let on_the_whole = start + 2 * self.silence + self.time_for(got);
        on_the_whole.min(now + self.silence)
    }
}

/// How far an upload is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pace: Pace,
    /// Bytes that the connection took, and when it took the last of them.
    sent: Arc<Mutex<(u64, Instant)>>,
}

impl Progress {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, sent: Arc::new(Mutex::new((0, Instant::now()))) }
    }

    /// So many more bytes were taken.
    pub(crate) fn note(&self, bytes: usize) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent = (sent.0 + bytes as u64, Instant::now());
    }

    /// Waits for `done` while there is progress; otherwise returns how long there was none.
    pub(crate) async fn watch<T>(&self, done: impl Future<Output = T>) -> Result<T, Duration> {
        let mut done = std::pin::pin!(done);
        loop {
            let (bytes, at) = *self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            let patience = self.pace.silence + self.pace.time_for(bytes.min(ON_THE_WAY_MAX));
            let due = at + patience;
            if due <= Instant::now() {
                return Err(patience);
            }
            tokio::select! {
                done = &mut done => return Ok(done),
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_upload_is_as_long_as_it_keeps_its_rate() {
        let pace = Pace { silence: Duration::from_secs(30), rate_min: 1_000 };
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        // A byte every 20 seconds is over after a minute.
        assert_eq!(pace.next_due(start, 2, after(40)), after(60) + Duration::from_millis(2));
        // A day of 2,000 bytes a second continues.
        assert_eq!(pace.next_due(start, 2_000 * 86_400, after(86_400)), after(86_400 + 30));
        // Silence ends it despite earlier progress.
        assert_eq!(pace.next_due(start, u64::MAX / 2, after(1)), after(31));
    }
}
