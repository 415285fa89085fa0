//! How many entries of one kind a sender may cause in a minute: a flood is counted and does
//! not fill the log, and a flood of one sender does not hide the actions of others.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Entries of one sender in a minute.
const A_MINUTE_MAX: u64 = 20;
/// Senders that are told apart; further ones count as one.
const SENDERS_MAX: usize = 1_024;
const OTHERS: &str = "others";
/// Things that are written down once in a minute.
const ONCE_MAX: usize = 64;

/// The decision about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It is written.
    Write {
        /// Whether it is the last one of this minute.
        is_last: bool,
        /// Entries of earlier minutes that were not written.
        left_out: u64,
    },
    /// It is counted only.
    Count,
}

/// Counts entries by sender.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    senders: HashMap<String, (u64, u64)>,
}

impl Rate {
    /// Counts one of `sender` in a minute of Unix time.
    pub(crate) fn take(&mut self, sender: &str, minute: u64) -> Note {
        if !self.senders.contains_key(sender) && self.senders.len() >= SENDERS_MAX {
            // A sender that was quiet since is forgotten, unless entries of it were left out.
            self.senders.retain(|_, (at, n)| *at == minute || *n > A_MINUTE_MAX);
        }
        let is_room = self.senders.contains_key(sender) || self.senders.len() < SENDERS_MAX;
        let sender = if is_room { sender } else { OTHERS };
        let (at, n) = self.senders.entry(sender.to_owned()).or_insert((minute, 0));
        let mut left_out = 0;
        if *at != minute {
            left_out = n.saturating_sub(A_MINUTE_MAX);
            (*at, *n) = (minute, 0);
        }
        *n += 1;
        if *n > A_MINUTE_MAX {
            return Note::Count;
        }
        Note::Write { is_last: *n == A_MINUTE_MAX, left_out }
    }
}

/// The entries of this minute, each once.
#[derive(Debug)]
pub(crate) struct Once<T> {
    minute: u64,
    known: HashSet<T>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { minute: 0, known: HashSet::new() }
    }
}

impl<T: Eq + Hash> Once<T> {
    /// Whether this must be logged: it is new in this minute of Unix time, and there is room.
    pub(crate) fn take(&mut self, thing: T, minute: u64) -> bool {
        if self.minute != minute {
            (self.minute, self.known) = (minute, HashSet::new());
        }
        self.known.len() < ONCE_MAX && self.known.insert(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_hides_nobody() {
        let mut rate = Rate::default();
        let written = |rate: &mut Rate, n: u64, minute| {
            (0..n).filter(|_| rate.take("flood", minute) != Note::Count).count() as u64
        };
        assert_eq!(written(&mut rate, 1_000, 1), A_MINUTE_MAX);
        let first = Note::Write { is_last: false, left_out: 0 };
        assert_eq!(rate.take("quiet", 1), first);
        assert_eq!(rate.take("flood", 2), Note::Write { is_last: false, left_out: 980 });
        assert_eq!(written(&mut rate, 1_000, 2), A_MINUTE_MAX - 1);
        // Any number of names takes little memory; those beyond the bound count as one.
        for n in 0..10 * SENDERS_MAX {
            rate.take(&format!("s{n}"), 3);
        }
        assert!(rate.senders.len() <= SENDERS_MAX + 1);
        assert_eq!(rate.take("quiet", 3), Note::Count);
        assert_eq!(rate.take("quiet", 4), first);
    }

    #[test]
    fn a_thing_is_written_once_a_minute_and_few_are() {
        let mut once = Once::default();
        assert!(once.take(0, 1) && !once.take(0, 1) && once.take(0, 2));
        let n = (0..10 * ONCE_MAX).filter(|n| once.take(*n, 3)).count();
        assert_eq!(n, ONCE_MAX);
        assert!(once.take(0, 4));
    }
}
