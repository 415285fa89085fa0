//! Datasets that are larger than memory: which rows are held out, and in which
//! order blocks and rows come. docs/data.md has the rule for people;
//! tests/oracles/seeds_and_shuffle.py is an independent implementation.
//!
//! Held out: of a block with the rows `start..end`, `floor(end * test_ratio) -
//! floor(start * test_ratio)` rows, the first of a permutation of the block's
//! rows. Its generator is that of the split with the block's number as nonce.
//! So every block is split by itself, and all of them together as the whole.
//! A fold holds out those rows whose place in the permutation, `start` added,
//! has its number, less one, as remainder by the number of folds. Its generator
//! is that of the folds with the block's number as nonce.
//!
//! Order: an epoch permutes the blocks and takes [`GROUP_BLOCKS`] of them at a
//! time. The training rows of such a group, block after block and ascending in
//! each, are permuted with the same generator.

use std::ops::Range;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::rows::{Converter, Rows};
use crate::shuffle::permute;
use crate::{Error, Examples, Fold};

/// Blocks that are shuffled together: 64 MiB as they are read.
pub(crate) const GROUP_BLOCKS: usize = 16;

/// Which rows of each block belong to a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Which {
    /// The training rows.
    Train,
    /// The held-out rows.
    Test,
}

/// How blocks are split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockSplit {
    pub(crate) seed: [u8; 32],
    pub(crate) held: Held,
}

/// The rows that are held out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Held {
    /// This share of the rows, from 0 to 1.
    Share(f64),
    /// One of several folds.
    Fold(Fold),
}

impl BlockSplit {
    /// Rows held out of the first `n_rows`.
    pub(crate) fn n_test(&self, n_rows: u64) -> u64 {
        match self.held {
            Held::Share(share) => ((n_rows as f64 * share).floor() as u64).min(n_rows),
            Held::Fold(Fold { index, count }) => {
                let (index, count) = (u64::from(index), u64::from(count.max(1)));
                n_rows / count + u64::from(n_rows % count >= index)
            }
        }
    }

    /// For each row of a block, whether it is held out.
    pub(crate) fn held_out(&self, block: usize, rows: Range<u64>) -> Vec<bool> {
        let n_rows = (rows.end - rows.start) as usize;
        let n_test = (self.n_test(rows.end) - self.n_test(rows.start)) as usize;
        let (first, step) = match self.held {
            Held::Share(_) => (0, 1),
            Held::Fold(Fold { index, count }) => {
                let (index, count) = (u64::from(index), u64::from(count.max(1)));
                // The first place whose remainder is that of the fold.
                let first = (index + count - 1 - rows.start % count) % count;
                (first as usize, count as usize)
            }
        };
        let mut held_out = vec![false; n_rows];
        let mut order: Vec<usize> = (0..n_rows).collect();
        let mut random = ChaCha20Rng::from_seed(self.seed);
        random.set_stream(block as u64);
        permute(&mut order, &mut random);
        let places = order.iter().skip(first).step_by(step).take(n_test);
        places.for_each(|row| held_out[*row] = true);
        held_out
    }
}

impl Examples {
    /// Bytes of the rows that are in memory.
    pub fn n_bytes(&self) -> u64 {
        self.train.n_bytes().saturating_add(self.test.n_bytes())
    }
}

/// One part of a dataset that is read block by block.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    pub(crate) converter: Arc<Converter>,
    pub(crate) split: BlockSplit,
    pub(crate) which: Which,
    /// Those of the dataset's blocks that it is about.
    pub(crate) blocks: Range<usize>,
}

impl Blocks {
    /// All blocks of a dataset.
    pub(crate) fn new(converter: Arc<Converter>, split: BlockSplit, which: Which) -> Self {
        let blocks = 0..converter.dataset.n_blocks();
        Self { converter, split, which, blocks }
    }

    /// Cuts it into pieces of at most `n_rows` rows, and of at least one block.
    pub(crate) fn pieces(&self, n_rows: u64) -> Vec<Self> {
        let (mut pieces, mut start) = (Vec::new(), self.blocks.start);
        for block in self.blocks.clone() {
            let with = Self { blocks: start..block + 1, ..self.clone() };
            if block > start && with.n_rows() > n_rows {
                pieces.push(Self { blocks: start..block, ..self.clone() });
                start = block;
            }
        }
        pieces.push(Self { blocks: start..self.blocks.end, ..self.clone() });
        pieces
    }

    pub(crate) fn n_rows(&self) -> u64 {
        let row = |block| self.converter.dataset.rows(block).start;
        self.n_rows_within(row(self.blocks.start)..row(self.blocks.end))
    }

    /// Rows of this part in one block.
    pub(crate) fn n_rows_of(&self, block: usize) -> u64 {
        self.n_rows_within(self.converter.dataset.rows(block))
    }

    fn n_rows_within(&self, rows: Range<u64>) -> u64 {
        let n_test = self.split.n_test(rows.end) - self.split.n_test(rows.start);
        match self.which {
            Which::Test => n_test,
            Which::Train => (rows.end - rows.start).saturating_sub(n_test),
        }
    }

    /// Reads the rows of this part from some blocks, one after the other.
    pub(crate) fn read(&self, blocks: &[usize]) -> Result<Rows, Error> {
        let Converter { dataset, layout, .. } = &*self.converter;
        let n_rows = blocks.iter().map(|block| self.n_rows_of(*block));
        let mut rows = self.converter.rows(n_rows.sum::<u64>() as usize);
        for block in blocks {
            let held_out = self.split.held_out(*block, dataset.rows(*block));
            let read = dataset.read(*block, &layout.fields)?;
            for (row, held_out) in held_out.into_iter().enumerate() {
                if held_out == (self.which == Which::Test) {
                    self.converter.push(&read, row, &mut rows)?;
                }
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::seed;

    // tests/oracles/seeds_and_shuffle.py prints these.
    #[test]
    fn held_out_rows_equal_the_python_twin() {
        let split = BlockSplit { seed: seed::split(42), held: Held::Share(0.25) };
        let held_out = |block: usize, rows: Range<u64>| {
            let start = rows.start;
            let all = split.held_out(block, rows).into_iter().enumerate();
            all.filter(|(_, held_out)| *held_out).map(|(row, _)| start + row as u64).collect()
        };
        let got: Vec<Vec<u64>> = vec![held_out(0, 0..10), held_out(1, 10..20), held_out(2, 20..23)];
        assert_eq!(got, HELD_OUT);
        assert_eq!(got.concat().len() as u64, split.n_test(23));
    }

    #[test]
    fn orders_equal_the_python_twin() {
        let mut random = ChaCha20Rng::from_seed(seed::shuffle(42, 1));
        let mut blocks: Vec<usize> = (0..20).collect();
        permute(&mut blocks, &mut random);
        let expected = [3, 19, 18, 4, 16, 17, 8, 6, 14, 10, 9, 1, 12, 13, 2, 5, 0, 7, 11, 15];
        assert_eq!(blocks, expected);
        let mut rows: Vec<usize> = (0..10).collect();
        permute(&mut rows, &mut random);
        assert_eq!(rows, [3, 6, 4, 5, 2, 7, 1, 9, 8, 0]);
    }

    const FOLD: [&[u64]; 3] = [&[1, 2, 4], &[10, 15, 17, 18], &[22]];
    const HELD_OUT: [&[u64]; 3] = [&[5, 7], &[13, 14, 18], &[]];

    #[test]
    fn every_row_of_every_block_is_in_one_fold() {
        let count = 4;
        let fold =
            |index| BlockSplit { seed: seed::folds(42), held: Held::Fold(Fold { index, count }) };
        for rows in [0..10, 10..20, 20..23, 23..24, 24..24] {
            let mut times = vec![0; (rows.end - rows.start) as usize];
            for index in 1..=count {
                let split = fold(index);
                let held_out = split.held_out(2, rows.clone());
                let n = held_out.iter().filter(|held_out| **held_out).count() as u64;
                assert_eq!(n, split.n_test(rows.end) - split.n_test(rows.start));
                held_out.into_iter().zip(&mut times).for_each(|(is, n)| *n += i32::from(is));
            }
            assert!(times.iter().all(|n| *n == 1), "{rows:?} {times:?}");
        }
        assert_eq!([1, 2, 3, 4].map(|index| fold(index).n_test(23)), [6, 6, 6, 5]);
    }

    // tests/oracles/seeds_and_shuffle.py prints these.
    #[test]
    fn folds_of_blocks_equal_the_python_twin() {
        let held = Held::Fold(Fold { index: 2, count: 3 });
        let split = BlockSplit { seed: seed::folds(42), held };
        let of = |block, rows: Range<u64>| {
            let start = rows.start;
            let all = split.held_out(block, rows).into_iter().zip(start..);
            all.filter(|(is, _)| *is).map(|(_, row)| row).collect::<Vec<_>>()
        };
        assert_eq!([of(0, 0..10), of(1, 10..20), of(2, 20..23)], FOLD);
    }

    #[test]
    fn all_or_none_are_held_out() {
        for (test_ratio, expected) in [(0.0, 0), (1.0, 7)] {
            let split = BlockSplit { seed: [7; 32], held: Held::Share(test_ratio) };
            let held_out = split.held_out(3, 21..28);
            assert_eq!(held_out.iter().filter(|held_out| **held_out).count(), expected);
        }
    }
}
