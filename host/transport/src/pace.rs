//! How slow a transfer may be: it ends by lack of progress, never because a large blob takes long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_protocol::BlobRef;

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

/// How often a transfer that takes long is told to the log.
const TELL_PAUSE: Duration = Duration::from_secs(10);

/// How far a transfer is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pace: Pace,
    verb: &'static str,
    blob: BlobRef,
    start: Instant,
    moved: Arc<Mutex<Moved>>,
}

#[derive(Debug)]
struct Moved {
    /// That the connection took, or gave.
    bytes: u64,
    /// When it did so last.
    at: Instant,
    told: Instant,
}

impl Progress {
    /// Of a blob whose bytes are `verb`, "sent" or "received".
    pub(crate) fn new(pace: Pace, verb: &'static str, blob: &BlobRef) -> Self {
        let now = Instant::now();
        let moved = Arc::new(Mutex::new(Moved { bytes: 0, at: now, told: now }));
        Self { pace, verb, blob: *blob, start: now, moved }
    }

    /// So many more bytes moved.
    pub(crate) fn note(&self, bytes: usize) {
        let (mut moved, now) = (self.lock(), Instant::now());
        moved.bytes += bytes as u64;
        moved.at = now;
        if now - moved.told >= TELL_PAUSE {
            moved.told = now;
            let (sum, seconds) = (moved.bytes, (now - self.start).as_secs());
            let (verb, BlobRef { sha256, size }) = (self.verb, self.blob);
            tracing::info!("{sum} of {size} bytes of {sha256} are {verb} after {seconds} s");
        }
    }

    /// Whether a transfer that was cut is worth another request: something moved within a silence,
    /// and fast enough on the whole.
    pub(crate) fn may_resume(&self) -> bool {
        let moved = self.lock();
        Instant::now() < self.pace.next_due(self.start, moved.bytes, moved.at)
    }

    fn lock(&self) -> MutexGuard<'_, Moved> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `done` while there is progress; otherwise returns how long there was none.
    pub(crate) async fn watch<T>(&self, done: impl Future<Output = T>) -> Result<T, Duration> {
        let mut done = std::pin::pin!(done);
        loop {
            let (bytes, at) = {
                let moved = self.lock();
                (moved.bytes, moved.at)
            };
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
