//! Bounds on the events of a running plan.

use fedwasm_protocol::{Limits, printable};

use crate::event::{Level, PlanEvent};

/// Passes events on until their limits are reached. Stands on both sides of a
/// worker's pipe: the far side may lie.
pub(crate) struct Gate {
    events: Box<dyn FnMut(PlanEvent) + Send>,
    limits: Limits,
    log_lines: u64,
    log_bytes: usize,
    scalars: u64,
}

impl Gate {
    pub(crate) fn new(limits: Limits, events: Box<dyn FnMut(PlanEvent) + Send>) -> Self {
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
            (self.events)(PlanEvent::Log(level, line.clone()));
        }
        line
    }

    /// Passes the finite ones among these numbers on; false if the limit is reached.
    pub(crate) fn scalars(&mut self, step: u64, values: Vec<(String, f64)>) -> bool {
        // An empty report is also an event.
        self.scalars = self.scalars.saturating_add(values.len().max(1) as u64);
        if self.scalars > self.limits.scalars_max {
            return false;
        }
        let finite = values.into_iter().filter(|(_, value)| value.is_finite());
        let values = finite.map(|(name, value)| (printable(&name), value)).collect();
        (self.events)(PlanEvent::Scalars { step, values });
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The events that pass, of those that `say` sends.
    fn heard(limits: Limits, say: impl FnOnce(&mut Gate)) -> Vec<PlanEvent> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let collect = Arc::clone(&heard);
        let mut gate =
            Gate::new(limits, Box::new(move |event| collect.lock().unwrap().push(event)));
        say(&mut gate);
        std::mem::take(&mut *heard.lock().unwrap())
    }

    #[test]
    fn lines_end_at_their_limits() {
        let lines = |limits, n: usize| {
            let say = |gate: &mut Gate| (0..n).for_each(|_| drop(gate.log(Level::Info, "abcd")));
            heard(limits, say).len()
        };
        let limits = Limits { log_lines_max: 3, ..Limits::default() };
        assert_eq!((lines(limits.clone(), 3), lines(limits, 4)), (3, 3));
        let limits = Limits { log_bytes_max: 8, ..Limits::default() };
        assert_eq!((lines(limits.clone(), 2), lines(limits, 3)), (2, 2));
        for (log_line_bytes_max, expected) in [(4, "abcd"), (3, "abc")] {
            let limits = Limits { log_line_bytes_max, ..Limits::default() };
            let heard = heard(limits, |gate| drop(gate.log(Level::Info, "abcd")));
            assert_eq!(heard, [PlanEvent::Log(Level::Info, expected.into())]);
        }
        // A character is never split.
        let limits = Limits { log_line_bytes_max: 1, ..Limits::default() };
        let heard = heard(limits, |gate| drop(gate.log(Level::Info, "ä")));
        assert_eq!(heard, [PlanEvent::Log(Level::Info, String::new())]);
    }

    #[test]
    fn numbers_end_at_their_limit() {
        let limits = Limits { scalars_max: 3, ..Limits::default() };
        let three = || vec![("a".to_owned(), 1.0), ("b".into(), f64::NAN), ("c".into(), 2.0)];
        let say = |gate: &mut Gate| {
            assert!(gate.scalars(1, three()));
            assert!(!gate.scalars(2, vec![("d".into(), 1.0)]));
            assert!(!gate.scalars(3, Vec::new()));
        };
        let values = vec![("a".to_owned(), 1.0), ("c".to_owned(), 2.0)];
        assert_eq!(heard(limits, say), [PlanEvent::Scalars { step: 1, values }]);
    }
}
