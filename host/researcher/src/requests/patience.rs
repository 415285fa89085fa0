//! A deadline that stands still while the researcher's own connection is lost, or while its program
//! does: (event, now) in, a verdict out. Reads no clock.

use std::time::{Duration, Instant};

/// A program that wakes up so much later than it wanted to did not run: it was stopped, or its
/// machine was. Nothing could arrive meanwhile.
const STANDSTILL: Duration = Duration::from_secs(3);

/// The decision about a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// The deadline has passed, and answers could have arrived.
    Late,
    /// The connection is lost for longer than the patience, and the deadline has passed.
    Lost,
}

/// When a wait ends.
#[derive(Debug)]
pub(super) struct Patience {
    /// The deadline, if the connection is there until then.
    end: Instant,
    /// When the wait began.
    start: Instant,
    /// How long a lost connection is waited for.
    patience: Duration,
    /// Since when it is lost.
    lost: Option<Instant>,
}

impl Patience {
    /// Waits for `deadline`; `lost` says since when there is no connection.
    pub(super) fn new(
        start: Instant,
        deadline: Duration,
        patience: Duration,
        lost: Option<Instant>,
    ) -> Self {
        Self { end: start + deadline, start, patience, lost }
    }

    /// The connection is lost.
    pub(super) fn lost(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
    }

    /// It is there again: the deadline is later by the time that it was lost in this wait.
    pub(super) fn restored(&mut self, now: Instant) {
        if let Some(lost) = self.lost.take() {
            self.end += now.saturating_duration_since(lost.max(self.start));
        }
    }

    /// The program wanted to wake up at `due`, and did at `now`.
    pub(super) fn woke(&mut self, due: Instant, now: Instant) {
        let over = now.saturating_duration_since(due);
        if over >= STANDSTILL {
            self.end += over;
            self.lost = self.lost.map(|lost| lost + over);
        }
    }

    /// When something is due if nothing happens.
    pub(super) fn due(&self) -> Instant {
        self.lost.map_or(self.end, |lost| self.end.max(lost + self.patience))
    }

    /// Decides about the wait.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        match self.lost {
            _ if now < self.due() => Verdict::Wait,
            Some(_) => Verdict::Lost,
            None => Verdict::Late,
        }
    }

    /// How much time a node has that is asked now.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.end.saturating_duration_since(now)
    }
}
