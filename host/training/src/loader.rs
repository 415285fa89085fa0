//! Batches of a plan's rows.

use std::sync::Arc;

use fedwasm_params::Tensor;
use fedwasm_protocol::{Budget, LoaderArgs};
use fedwasm_sandbox::{Batch, Loader};
use rand_chacha::ChaCha20Rng;

use crate::examples::{INPUTS, Rows, TARGETS, Targets};
use crate::shuffle::permute;

/// Training batches: epoch after epoch until the budget is spent. All epochs
/// of a round draw from one generator; each permutes the rows anew.
pub(crate) struct TrainLoader {
    rows: Arc<Rows>,
    args: LoaderArgs,
    random: ChaCha20Rng,
    order: Vec<usize>,
    /// The next position in `order`.
    at: usize,
    batches_left: u64,
}

impl TrainLoader {
    pub(crate) fn new(
        rows: Arc<Rows>,
        args: LoaderArgs,
        budget: Budget,
        random: ChaCha20Rng,
    ) -> Self {
        let batches_left = n_batches(rows.len(), &args, budget);
        let order: Vec<usize> = (0..rows.len()).collect();
        let at = order.len();
        Self { rows, args, random, order, at, batches_left }
    }
}

/// Batches of a whole round.
pub(crate) fn n_batches(n_rows: usize, args: &LoaderArgs, budget: Budget) -> u64 {
    let (n_rows, size) = (n_rows as u64, u64::from(args.batch_size));
    let per_epoch = if args.drop_last { n_rows / size } else { n_rows.div_ceil(size) };
    match budget {
        Budget::Epochs(epochs) => per_epoch.saturating_mul(epochs),
        // Without a full batch there is nothing to give, however often.
        Budget::Updates(_) if per_epoch == 0 => 0,
        Budget::Updates(updates) => updates,
    }
}

impl Loader for TrainLoader {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        if self.batches_left == 0 {
            return Ok(None);
        }
        self.batches_left -= 1;
        let size = self.args.batch_size as usize;
        let left = self.order.len() - self.at;
        if left == 0 || (self.args.drop_last && left < size) {
            // A new epoch starts from file order, so that it depends on the
            // generator alone.
            self.order.clear();
            self.order.extend(0..self.rows.len());
            if self.args.shuffle {
                permute(&mut self.order, &mut self.random);
            }
            self.at = 0;
        }
        let end = self.order.len().min(self.at + size);
        let batch = batch(&self.rows, &self.order[self.at..end]);
        self.at = end;
        batch.map(Some)
    }
}

/// All rows once, in order.
pub(crate) struct TestLoader {
    rows: Arc<Rows>,
    batch_rows: usize,
    at: usize,
}

impl TestLoader {
    /// Batches of at most 1,024 rows and a quarter of what may cross at once.
    pub(crate) fn new(rows: Arc<Rows>) -> Self {
        let batch_rows = ((4 << 20) / (4 * rows.n_inputs.max(1))).clamp(1, 1_024);
        Self { rows, batch_rows, at: 0 }
    }
}

impl Loader for TestLoader {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        let end = self.rows.len().min(self.at + self.batch_rows);
        if self.at == end {
            return Ok(None);
        }
        let which: Vec<usize> = (self.at..end).collect();
        self.at = end;
        batch(&self.rows, &which).map(Some)
    }
}

fn batch(rows: &Rows, which: &[usize]) -> Result<Batch, String> {
    let n = rows.n_inputs;
    let mut inputs = Vec::with_capacity(which.len() * n);
    for row in which {
        inputs.extend_from_slice(&rows.inputs[row * n..(row + 1) * n]);
    }
    let len = which.len() as u64;
    let targets = match &rows.targets {
        Targets::Classes(classes) => {
            let classes: Vec<i64> = which.iter().map(|row| classes[*row]).collect();
            Tensor::from_i64(vec![len], &classes)
        }
        Targets::Reals(reals) => {
            let reals: Vec<f32> = which.iter().map(|row| reals[*row]).collect();
            Tensor::from_f32(vec![len, 1], &reals)
        }
    };
    let text = |error: fedwasm_params::Error| error.to_string();
    let inputs = Tensor::from_f32(vec![len, n as u64], &inputs).map_err(text)?;
    Ok(Batch {
        rows: which.len() as u32,
        inputs: vec![(INPUTS.to_owned(), inputs)],
        targets: vec![(TARGETS.to_owned(), targets.map_err(text)?)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::seed;
    use rand_chacha::rand_core::SeedableRng;

    /// The row numbers of every batch of a round over 5 rows.
    fn batches(args: LoaderArgs, budget: Budget) -> Vec<Vec<i64>> {
        let rows = Rows {
            n_inputs: 1,
            inputs: vec![0.0; 5],
            targets: Targets::Classes(vec![0, 1, 2, 3, 4]),
        };
        let random = ChaCha20Rng::from_seed(seed::shuffle(1, 1));
        let mut loader = TrainLoader::new(Arc::new(rows), args, budget, random);
        let mut all = Vec::new();
        while let Some(batch) = loader.next().unwrap() {
            let (chunks, _) = batch.targets[0].1.data().as_chunks();
            all.push(chunks.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect());
        }
        all
    }

    fn args(batch_size: u32, shuffle: bool, drop_last: bool) -> LoaderArgs {
        LoaderArgs { batch_size, shuffle, drop_last }
    }

    #[test]
    fn an_epoch_gives_every_row_once() {
        let got = batches(args(2, false, false), Budget::Epochs(2));
        assert_eq!(got, [vec![0, 1], vec![2, 3], vec![4], vec![0, 1], vec![2, 3], vec![4]]);
        let got = batches(args(2, true, false), Budget::Epochs(2));
        for epoch in got.chunks(3) {
            let mut rows = epoch.concat();
            rows.sort_unstable();
            assert_eq!(rows, [0, 1, 2, 3, 4]);
        }
        assert_ne!(got[..3], got[3..]);
    }

    #[test]
    fn drop_last_drops_the_incomplete_batch() {
        let got = batches(args(2, false, true), Budget::Epochs(2));
        assert_eq!(got, [[0, 1], [2, 3], [0, 1], [2, 3]]);
        assert!(batches(args(6, false, true), Budget::Updates(3)).is_empty());
    }

    #[test]
    fn updates_go_on_over_epochs() {
        let got = batches(args(3, false, false), Budget::Updates(3));
        assert_eq!(got, [vec![0, 1, 2], vec![3, 4], vec![0, 1, 2]]);
    }
}
