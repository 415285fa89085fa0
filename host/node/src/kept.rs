//! What is kept for the next round: the most recently used of a few things.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most so many things, the most recently used last.
#[derive(Debug)]
pub(crate) struct Kept<K, V> {
    max: usize,
    entries: VecDeque<(K, V, Instant)>,
}

impl<K: PartialEq, V: Clone> Kept<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, entries: VecDeque::new() }
    }

    /// What is kept under this key, which is used with it.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let at = self.entries.iter().position(|(known, ..)| known == key)?;
        let (key, value, _) = self.entries.remove(at)?;
        self.entries.push_back((key, value.clone(), Instant::now()));
        Some(value)
    }

    /// Keeps something; what was not used for the longest time goes if there is no room.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.entries.retain(|(known, ..)| *known != key);
        self.entries.push_back((key, value, Instant::now()));
        while self.entries.len() > self.max {
            self.entries.pop_front();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value, _)| (key, value))
    }

    /// Lets go of what was not used for so long.
    pub(crate) fn drop_unused(&mut self, time: Duration) {
        self.entries.retain(|(.., used)| used.elapsed() < time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let mut kept = Kept::new(2);
        kept.insert("a", 1);
        kept.insert("b", 2);
        assert_eq!(kept.get(&"a"), Some(1));
        kept.insert("c", 3);
        assert_eq!(kept.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["a", "c"]);
        kept.insert("a", 4);
        assert_eq!((kept.get(&"a"), kept.get(&"b")), (Some(4), None));
        kept.drop_unused(Duration::from_secs(3_600));
        assert_eq!(kept.iter().count(), 2);
        kept.drop_unused(Duration::ZERO);
        assert_eq!(kept.iter().count(), 0);
    }
}
