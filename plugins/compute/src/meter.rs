//! The count of work, its bound, and whether to stop.

use alloc::boxed::Box;

use crate::error::Rule;
use crate::work::OPERATION_MAX;

/// Counts units of [`work`](crate::work()).
pub(crate) struct Meter {
    done: u64,
    most: u64,
    is_stopped: Option<Box<dyn Fn() -> bool + Send>>,
}

impl Meter {
    /// Without a bound.
    pub(crate) fn new() -> Self {
        Self { done: 0, most: u64::MAX, is_stopped: None }
    }

    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    pub(crate) fn set_most(&mut self, most: u64) {
        self.most = most;
    }

    pub(crate) fn set_stop(&mut self, is_stopped: Box<dyn Fn() -> bool + Send>) {
        self.is_stopped = Some(is_stopped);
    }

    /// Counts an operation that is about to be done.
    pub(crate) fn charge(&mut self, units: u64) -> Result<(), Rule> {
        if units > OPERATION_MAX {
            return Err(Rule::Operation { units });
        }
        let needed = self.done.saturating_add(units);
        if needed > self.most {
            return Err(Rule::Work { needed, most: self.most });
        }
        if self.is_stopped.as_ref().is_some_and(|is_stopped| is_stopped()) {
            return Err(Rule::Stopped);
        }
        self.done = needed;
        Ok(())
    }
}
