//! Bounds on what a plan tells while it runs.

use fedwasm_protocol::{Limits, printable};

use crate::host::{Event, Level};

/// Passes events on until their limits are reached. Stands on both sides of a
/// worker's pipe: the far side may lie.
pub(crate) struct Gate {
    events: Box<dyn FnMut(Event) + Send>,
    limits: Limits,
    log_lines: u64,
    log_bytes: usize,
    scalars: u64,
}

impl Gate {
    pub(crate) fn new(limits: Limits, events: Box<dyn FnMut(Event) + Send>) -> Self {
        Self { events, limits, log_lines: 0, log_bytes: 0, scalars: 0 }
    }

    /// Cleans and cuts a line, passes it on if there is room, and returns it.
    pub(crate) fn log(&mut self, level: Level, message: &str) -> String {
        let end = message.floor_char_boundary(self.limits.log_line_bytes_max);
        let line = printable(&message[..end]);
        self.log_lines = self.log_lines.saturating_add(1);
        self.log_bytes = self.log_bytes.saturating_add(line.len());
        let has_room = self.log_lines <= self.limits.log_lines_max
            && self.log_bytes <= self.limits.log_bytes_max;
        if has_room {
            (self.events)(Event::Log(level, line.clone()));
        }
        line
    }

    /// Passes the finite ones among these numbers on; false if there is no
    /// more room.
    pub(crate) fn scalars(&mut self, step: u64, values: Vec<(String, f64)>) -> bool {
        // An empty report is an event, too.
        self.scalars = self.scalars.saturating_add(values.len().max(1) as u64);
        if self.scalars > self.limits.scalars_max {
            return false;
        }
        let finite = values.into_iter().filter(|(_, value)| value.is_finite());
        let values = finite.map(|(name, value)| (printable(&name), value)).collect();
        (self.events)(Event::Scalars { step, values });
        true
    }
}
