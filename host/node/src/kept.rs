//! A cache for the next round: the most recently used of a few values.

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

    /// The value under this key, which counts as used now.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let at = self.entries.iter().position(|(known, ..)| known == key)?;
        let (key, value, _) = self.entries.remove(at)?;
        self.entries.push_back((key, value.clone(), Instant::now()));
        Some(value)
    }

    /// Keeps a value; the least recently used one goes if there is no room.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.entries.retain(|(known, ..)| *known != key);
        self.entries.push_back((key, value, Instant::now()));
        while self.entries.len() > self.max {
            self.entries.pop_front();
        }
    }

    /// The same, but of those that are alike, as this one, at most `max` are kept: no owner's
    /// values throw out all others.
    pub(crate) fn insert_within(
        &mut self,
        key: K,
        value: V,
        max: usize,
        is_alike: impl Fn(&K) -> bool,
    ) {
        self.entries.retain(|(known, ..)| *known != key);
        while self.entries.iter().filter(|(known, ..)| is_alike(known)).count() >= max.max(1) {
            let oldest = self.entries.iter().position(|(known, ..)| is_alike(known));
            oldest.and_then(|at| self.entries.remove(at));
        }
        self.insert(key, value);
    }

    /// Drops the least recently used values until the others have at most `max` bytes together, but
    /// never the newest.
    pub(crate) fn keep_within(&mut self, max: u64, n_bytes: impl Fn(&V) -> u64) {
        let mut total = 0_u64;
        let sizes = self.entries.iter().rev().map(|(_, value, _)| n_bytes(value));
        let fits = |n: &u64| {
            total = total.saturating_add(*n);
            total <= max
        };
        let keep = sizes.take_while(fits).count().max(1);
        self.entries.drain(..self.entries.len().saturating_sub(keep));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value, _)| (key, value))
    }

    /// Drops the values that were not used for so long.
    pub(crate) fn drop_unused(&mut self, time: Duration) {
        self.entries.retain(|(.., used)| used.elapsed() < time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_one_throw_out_nobody_else_s() {
        let mut kept = Kept::new(3);
        kept.insert_within("b1", 0, 2, |key| key.starts_with('b'));
        for (n, key) in ["a1", "a2", "a3", "a4"].into_iter().enumerate() {
            kept.insert_within(key, n, 2, |key| key.starts_with('a'));
        }
        assert_eq!(kept.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["b1", "a3", "a4"]);
    }

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

    #[test]
    fn values_stay_within_their_bytes_and_the_newest_stays_anyway() {
        let (mut kept, left) = (Kept::new(9), |kept: &Kept<u64, u64>| -> Vec<u64> {
            kept.iter().map(|(key, _)| *key).collect()
        });
        for (key, n_bytes) in [(1, 40), (2, 30), (3, 30)] {
            kept.insert(key, n_bytes);
            kept.keep_within(100, |n_bytes| *n_bytes);
        }
        assert_eq!(left(&kept), [1, 2, 3]);
        kept.get(&1);
        kept.insert(4, 31);
        kept.keep_within(100, |n_bytes| *n_bytes);
        assert_eq!(left(&kept), [1, 4]);
        kept.insert(5, u64::MAX);
        kept.keep_within(100, |n_bytes| *n_bytes);
        assert_eq!(left(&kept), [5]);
    }
}
