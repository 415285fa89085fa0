//! The time as an argument: the machine's, or one that a test sets.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Tells the time, and waits for it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// The machine's; elapsed time counts from here.
    Real(Instant),
    /// Unix time at its beginning, in milliseconds, and the time since then.
    Virtual(u64, Arc<watch::Sender<Duration>>),
}

impl Clock {
    /// The machine's clock.
    pub fn real() -> Self {
        Self(Kind::Real(Instant::now()))
    }

    /// A clock that stands at `now_ms`, milliseconds of Unix time, until [`Clock::advance`].
    pub fn starting_at(now_ms: u64) -> Self {
        Self(Kind::Virtual(now_ms, Arc::new(watch::Sender::new(Duration::ZERO))))
    }

    /// Moves a virtual clock and all its clones; the machine's clock moves by itself.
    pub fn advance(&self, time: Duration) {
        if let Kind::Virtual(_, elapsed) = &self.0 {
            elapsed.send_modify(|elapsed| *elapsed += time);
        }
    }

    /// Unix time in milliseconds. The machine's can jump.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Kind::Real(_) => now_ms(),
            Kind::Virtual(start_ms, elapsed) => start_ms.saturating_add(ms(*elapsed.borrow())),
        }
    }

    /// The time since some moment. Never goes back.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Kind::Real(start) => start.elapsed(),
            Kind::Virtual(_, elapsed) => *elapsed.borrow(),
        }
    }

    /// Resolves once so much time has passed.
    pub async fn sleep(&self, time: Duration) {
        match &self.0 {
            Kind::Real(_) => tokio::time::sleep(time).await,
            Kind::Virtual(_, elapsed) => {
                let due = *elapsed.borrow() + time;
                // The sender is ours: it is there for as long as this waits.
                let _ = elapsed.subscribe().wait_for(|elapsed| *elapsed >= due).await;
            }
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

/// The machine's Unix time in milliseconds.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, ms)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_clock_moves_by_hand() {
        let clock = Clock::starting_at(1_000);
        let (other, day) = (clock.clone(), Duration::from_secs(86_400));
        let sleeper = tokio::spawn(async move { other.sleep(day).await });
        tokio::task::yield_now().await;
        clock.advance(day - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_millis(1));
        sleeper.await.unwrap();
        assert_eq!((clock.now_ms(), clock.elapsed()), (86_401_000, day));
    }
}
