//! A pipe with a deadline.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Cancel;

/// How often the end of a call is looked for.
const TICK: Duration = Duration::from_millis(10);

/// A pipe that is waited for only so long.
pub(super) struct Deadlined<P> {
    pipe: P,
    deadline: Option<Instant>,
    cancel: Cancel,
}

/// Why waiting ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the deadline passed")]
    Deadline,
    #[error("cancelled")]
    Cancelled,
}

impl<P> Deadlined<P> {
    pub(super) fn new(pipe: P) -> Self {
        Self { pipe, deadline: None, cancel: Cancel::new() }
    }

    /// From now on, waits for `time`.
    pub(super) fn until(&mut self, time: Duration, cancel: &Cancel) {
        (self.deadline, self.cancel) = (Instant::now().checked_add(time), cancel.clone());
    }
}

impl<P: Read + AsFd> Read for Deadlined<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other(Ended::Cancelled));
            }
            let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(io::Error::other(Ended::Deadline));
            }
            let tick = left.map_or(TICK, |left| left.min(TICK));
            let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(tick.subsec_nanos()) };
            let mut pipes = [PollFd::new(&self.pipe, PollFlags::IN)];
            match poll(&mut pipes, Some(&tick)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.pipe.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
