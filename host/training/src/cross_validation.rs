//! Folds of a cross-validation.

use fedwasm_protocol::seed;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::shuffle::permute;

/// The most folds: a run each.
pub const FOLDS_MAX: u32 = 100;

/// One fold of a cross-validation.
///
/// The rows are permuted with the seed `folds` (see [`fedwasm_protocol::seed`]),
/// as [`crate::permute`] does it, and cut into `count` pieces one after the
/// other; the first `n mod count` of them are one row longer than the others
/// (as scikit-learn's `KFold`). Fold `index` holds out the piece of its number.
/// So every row is held out once. Of a dataset that is read block by block, each block
/// is split by itself, see docs/data.md. Splits by class, group or time are in `sides.rs`. tests/oracles/seeds_and_shuffle.py is an
/// independent implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Which one, from 1.
    pub index: u32,
    /// How many there are, from 2 to [`FOLDS_MAX`].
    pub count: u32,
}

impl Fold {
    /// Checks that the fold exists for so many rows.
    pub(crate) fn check(self, n_rows: u64) -> Result<(), Error> {
        let Self { index, count } = self;
        let is_there = (2..=FOLDS_MAX).contains(&count) && (1..=count).contains(&index);
        if is_there && n_rows >= u64::from(count) {
            Ok(())
        } else {
            Err(Error::Folds { index, count, rows: n_rows })
        }
    }

    /// Splits row indices into those to train on and those that are held out,
    /// both ascending.
    ///
    /// # Errors
    /// [`Error::Folds`] if the fold does not exist or would be empty.
    pub fn split(self, n_rows: usize, random_seed: u64) -> Result<(Vec<usize>, Vec<usize>), Error> {
        self.split_by(n_rows, seed::folds(random_seed))
    }

    pub(crate) fn split_by(
        self,
        n_rows: usize,
        seed: [u8; 32],
    ) -> Result<(Vec<usize>, Vec<usize>), Error> {
        self.check(n_rows as u64)?;
        let (count, before) = (self.count as usize, self.index as usize - 1);
        let mut rows: Vec<usize> = (0..n_rows).collect();
        permute(&mut rows, &mut ChaCha20Rng::from_seed(seed));
        let (size, longer) = (n_rows / count, n_rows % count);
        let start = before * size + before.min(longer);
        let end = start + size + usize::from(before < longer);
        let mut test: Vec<usize> = rows.drain(start..end).collect();
        test.sort_unstable();
        rows.sort_unstable();
        Ok((rows, test))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/oracles/seeds_and_shuffle.py prints these.
    #[test]
    fn folds_equal_the_python_twin() {
        let held_out = |index| Fold { index, count: 3 }.split(10, 42).unwrap().1;
        assert_eq!(held_out(1), [2, 3, 6, 7]);
        assert_eq!(held_out(2), [4, 8, 9]);
        assert_eq!(held_out(3), [0, 1, 5]);
        assert_eq!(Fold { index: 2, count: 3 }.split(10, 42).unwrap().0, [0, 1, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn folds_that_are_not_there_are_refused() {
        for (index, count, n_rows) in [
            (0, 3, 10),
            (4, 3, 10),
            (1, 1, 10),
            (1, 11, 10),
            (1, FOLDS_MAX + 1, 1_000),
            (u32::MAX, u32::MAX, 10),
        ] {
            assert!(Fold { index, count }.split(n_rows, 1).is_err(), "{index} {count} {n_rows}");
        }
        assert!(Fold { index: FOLDS_MAX, count: FOLDS_MAX }.split(100, 1).is_ok());
    }
}
