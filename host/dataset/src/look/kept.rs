//! Different cells of a column, each with a value. Most cells are short: those are their own keys, so
//! that a look-up follows no pointer.

use std::collections::HashMap;

use foldhash::quality::RandomState;

/// The longest cell that is its own key, in bytes: one byte of sixteen has the length.
const SHORT_BYTES_MAX: usize = 15;

/// Different cells with a value each.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    short: HashMap<u128, T, RandomState>,
    long: HashMap<Box<[u8]>, T, RandomState>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { short: HashMap::default(), long: HashMap::default() }
    }
}

impl<T> Kept<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    /// The value of a cell.
    pub(crate) fn get_mut(&mut self, cell: &[u8]) -> Option<&mut T> {
        match key(cell) {
            Some(key) => self.short.get_mut(&key),
            None => self.long.get_mut(cell),
        }
    }

    /// Keeps a cell.
    pub(crate) fn insert(&mut self, cell: &[u8], value: T) {
        match key(cell) {
            Some(key) => drop(self.short.insert(key, value)),
            None => drop(self.long.insert(cell.into(), value)),
        }
    }

    /// All cells, in the order of their bytes.
    pub(crate) fn sorted(&self) -> Vec<(Box<[u8]>, &T)> {
        let short = self.short.iter().map(|(key, value)| (cell_of(*key), value));
        let long = self.long.iter().map(|(cell, value)| (cell.clone(), value));
        let mut all: Vec<_> = short.chain(long).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

/// The bytes of a short cell, the first one lowest, and its length in the highest byte.
fn key(cell: &[u8]) -> Option<u128> {
    let n = cell.len();
    if n > SHORT_BYTES_MAX {
        return None;
    }
    // Two loads that may overlap, instead of a loop over bytes.
    let bytes = if let (Some(first), Some(last)) = (cell.first_chunk(), cell.last_chunk()) {
        let behind = u128::from(u64::from_le_bytes(*last)) >> (8 * (16 - n));
        u128::from(u64::from_le_bytes(*first)) | (behind << 64)
    } else if let (Some(first), Some(last)) = (cell.first_chunk(), cell.last_chunk()) {
        let behind = u64::from(u32::from_le_bytes(*last)) >> (8 * (8 - n));
        u128::from(u64::from(u32::from_le_bytes(*first)) | (behind << 32))
    } else {
        cell.iter().rev().fold(0, |bytes, byte| (bytes << 8) | u128::from(*byte))
    };
    Some(bytes | ((n as u128) << 120))
}

fn cell_of(key: u128) -> Box<[u8]> {
    let bytes = key.to_le_bytes();
    let n = usize::from(bytes[SHORT_BYTES_MAX]);
    bytes.get(..n).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_all_lengths_come_back_in_order() {
        let mut kept = Kept::default();
        let long = b"0123456789abcdefghij";
        let mut cells: Vec<&[u8]> = Vec::new();
        for start in 0..3 {
            for end in start..long.len() {
                cells.push(&long[start..end]);
            }
        }
        cells.extend([
            &b"\0"[..],
            b"\0\0",
            b"\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ]);
        cells.sort_unstable();
        cells.dedup();
        for (n, cell) in cells.iter().enumerate() {
            assert!(kept.get_mut(cell).is_none(), "{cell:?}");
            kept.insert(cell, n);
        }
        assert_eq!(kept.len(), cells.len());
        let found: Vec<(Box<[u8]>, usize)> =
            kept.sorted().into_iter().map(|(cell, n)| (cell, *n)).collect();
        let expected: Vec<(Box<[u8]>, usize)> =
            cells.iter().enumerate().map(|(n, cell)| ((*cell).into(), n)).collect();
        assert_eq!(found, expected);
    }
}
