//! Shuffle and split, written down here because a library's may change
//! between versions and with it every result.
//!
//! The generator is ChaCha20 with the seed as key, nonce 0 and a 64-bit block
//! counter from 0; its key stream is read as little-endian 64-bit words. A
//! draw below `n` takes the next word `x` with `x < 2^64 - (2^64 mod n)` and is
//! `x mod n`: no value is favoured. The shuffle is Fisher and Yates's, from the
//! last position down: position `i` swaps with a draw below `i + 1` (Knuth,
//! TAOCP 2, 3.4.2, Algorithm P). tests/oracles/seeds_and_shuffle.py is an
//! independent implementation.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

/// Permutes `items` with draws from `random`.
pub fn permute<T>(items: &mut [T], random: &mut ChaCha20Rng) {
    for i in (1..items.len()).rev() {
        let j = below(i as u64 + 1, random);
        items.swap(i, j as usize);
    }
}

/// A draw below `n`, at least 1.
pub(crate) fn below(n: u64, random: &mut ChaCha20Rng) -> u64 {
    // 2^64 - (2^64 mod n), minus one so that it fits.
    let last = u64::MAX - (u64::MAX % n + 1) % n;
    loop {
        let word = random.next_u64();
        if word <= last {
            return word % n;
        }
    }
}

/// Splits row indices into a training part and a held-out part of
/// `floor(n_rows * test_ratio)` rows (Fed-BioMed `DataManager.split`): the
/// first rows of a permutation are held out. Both parts are ascending.
pub fn split(n_rows: usize, test_ratio: f64, random: &mut ChaCha20Rng) -> (Vec<usize>, Vec<usize>) {
    let mut rows: Vec<usize> = (0..n_rows).collect();
    permute(&mut rows, random);
    let n_test = (n_rows as f64 * test_ratio).floor() as usize;
    let mut train = rows.split_off(n_test.min(n_rows));
    train.sort_unstable();
    rows.sort_unstable();
    (train, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::seed;
    use rand_chacha::rand_core::SeedableRng;

    // tests/oracles/seeds_and_shuffle.py prints these.
    #[test]
    fn permutations_equal_the_python_twin() {
        let ten = || (0..10).collect::<Vec<usize>>();
        let mut rows = ten();
        permute(&mut rows, &mut ChaCha20Rng::from_seed(seed::split(42)));
        assert_eq!(rows, [7, 5, 3, 1, 2, 6, 4, 8, 9, 0]);
        let mut random = ChaCha20Rng::from_seed(seed::shuffle(42, 1));
        let mut rows = ten();
        permute(&mut rows, &mut random);
        assert_eq!(rows, [0, 4, 8, 1, 2, 6, 7, 9, 3, 5]);
        let mut rows = ten();
        permute(&mut rows, &mut random);
        assert_eq!(rows, [5, 7, 1, 8, 4, 3, 6, 0, 2, 9]);
    }

    #[test]
    fn split_holds_out_the_floor() {
        let mut random = ChaCha20Rng::from_seed(seed::split(42));
        let (train, test) = split(10, 0.25, &mut random);
        assert_eq!(test, [5, 7]);
        assert_eq!(train, [0, 1, 2, 3, 4, 6, 8, 9]);
    }

    #[test]
    fn draws_reject_what_would_favour_small_values() {
        // 2^64 mod 3 = 1: only the largest word is rejected; 2^64 mod 4 = 0: none is.
        let last = |n: u64| u64::MAX - (u64::MAX % n + 1) % n;
        assert_eq!(last(3), u64::MAX - 1);
        assert_eq!(last(4), u64::MAX);
    }
}
