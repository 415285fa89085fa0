//! Batches of a plan's rows.

use std::sync::Arc;

use fedwasm_params::Tensor;
use fedwasm_protocol::{Budget, LoaderArgs};
use fedwasm_sandbox::{Batch, Cancel, Loader};
use rand_chacha::ChaCha20Rng;

use crate::examples::{INPUTS, Rows, TARGETS, Targets};
use crate::shuffle::permute;

/// How many batches a round has (Fed-BioMed's iteration accountant).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Batches of an epoch.
    pub(crate) per_epoch: u64,
    /// Batches of the round.
    pub(crate) total: u64,
    /// Rows of a full batch.
    batch_rows: u64,
    /// Rows of an epoch.
    epoch_rows: u64,
}

impl Schedule {
    pub(crate) fn new(n_rows: usize, args: &LoaderArgs, budget: Budget) -> Self {
        let (n_rows, size) = (n_rows as u64, u64::from(args.batch_size));
        let all = if args.drop_last { n_rows / size } else { n_rows.div_ceil(size) };
        let of = |per_epoch: u64, total: u64| {
            let epoch_rows = n_rows.min(per_epoch.saturating_mul(size));
            Self { per_epoch, total, batch_rows: size, epoch_rows }
        };
        match budget {
            Budget::Epochs { epochs, batches_max } => {
                let per_epoch = all.min(batches_max);
                of(per_epoch, per_epoch.saturating_mul(epochs))
            }
            // Without a full batch there is nothing to give, however often.
            Budget::Updates(_) if all == 0 => of(0, 0),
            Budget::Updates(updates) => of(all, updates),
        }
    }

    /// Rows of the first `batches`, repetitions counted.
    pub(crate) fn rows_until(&self, batches: u64) -> u64 {
        let Some(epochs) = batches.checked_div(self.per_epoch) else { return 0 };
        let rest = (batches % self.per_epoch).saturating_mul(self.batch_rows);
        epochs.saturating_mul(self.epoch_rows).saturating_add(rest.min(self.epoch_rows))
    }

    /// Whether the loss of this batch, counted from 1, is worth reporting: one
    /// in `interval`, the first and the last of an epoch, and the last of all.
    pub(crate) fn is_logged(&self, step: u64, interval: u64) -> bool {
        let in_epoch = step.checked_rem(self.per_epoch);
        step.is_multiple_of(interval.max(1))
            || matches!(in_epoch, Some(0 | 1))
            || step >= self.total
    }
}

/// Training batches: epoch after epoch until the schedule is done, or until
/// somebody wants it to stop. All epochs of a round draw from one generator;
/// each permutes the rows anew.
pub(crate) struct TrainLoader {
    rows: Arc<Rows>,
    args: LoaderArgs,
    random: ChaCha20Rng,
    order: Vec<usize>,
    /// The next position in `order`.
    at: usize,
    schedule: Schedule,
    /// Batches handed out or skipped.
    n: u64,
    stop: Cancel,
}

impl TrainLoader {
    pub(crate) fn new(
        rows: Arc<Rows>,
        args: LoaderArgs,
        schedule: Schedule,
        random: ChaCha20Rng,
    ) -> Self {
        let order = (0..rows.len()).collect();
        Self { rows, args, random, order, at: 0, schedule, n: 0, stop: Cancel::new() }
    }

    /// Passes over the first `batches`, so that those that follow are the same
    /// as without a break.
    pub(crate) fn skip(mut self, batches: u64) -> Self {
        while self.n < batches.min(self.schedule.total) && !self.stop.is_cancelled() {
            self.advance();
        }
        self
    }

    /// Ends the round once `stop` is used.
    pub(crate) fn until(self, stop: &Cancel) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// Returns the positions of the next batch in `order`.
    fn advance(&mut self) -> std::ops::Range<usize> {
        if self.n.is_multiple_of(self.schedule.per_epoch) {
            // A new epoch starts from file order, so that it depends on the
            // generator alone.
            self.order.clear();
            self.order.extend(0..self.rows.len());
            if self.args.shuffle {
                permute(&mut self.order, &mut self.random);
            }
            self.at = 0;
        }
        self.n += 1;
        let end = self.order.len().min(self.at + self.args.batch_size as usize);
        std::mem::replace(&mut self.at, end)..end
    }
}

impl Loader for TrainLoader {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        if self.n >= self.schedule.total || self.stop.is_cancelled() {
            return Ok(None);
        }
        let next = self.advance();
        batch(&self.rows, &self.order[next]).map(Some)
    }
}

/// All rows once, in order.
pub(crate) struct TestLoader {
    rows: Arc<Rows>,
    batch_rows: usize,
    at: usize,
}

impl TestLoader {
    /// Batches of at most 1,024 rows, or of `batch_size` if that is above 0,
    /// and of a quarter of what may cross at once.
    pub(crate) fn new(rows: Arc<Rows>, batch_size: u32) -> Self {
        let most = (4 << 20) / (4 * rows.n_inputs.max(1));
        let wanted = if batch_size == 0 { 1_024 } else { batch_size as usize };
        Self { rows, batch_rows: most.clamp(1, wanted), at: 0 }
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
    let shape = [&[len], &rows.shape[..]].concat();
    let inputs = Tensor::from_f32(shape, &inputs).map_err(text)?;
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
        read(loader(args, budget))
    }

    fn loader(args: LoaderArgs, budget: Budget) -> TrainLoader {
        let rows = Rows {
            n_inputs: 1,
            shape: vec![1],
            inputs: vec![0.0; 5],
            targets: Targets::Classes(vec![0, 1, 2, 3, 4]),
        };
        let random = ChaCha20Rng::from_seed(seed::shuffle(1, 1));
        let schedule = Schedule::new(rows.len(), &args, budget);
        TrainLoader::new(Arc::new(rows), args, schedule, random)
    }

    fn read(mut loader: TrainLoader) -> Vec<Vec<i64>> {
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

    fn epochs(epochs: u64) -> Budget {
        Budget::Epochs { epochs, batches_max: u64::MAX }
    }

    // Fed-BioMed's test_training_iterations.py, with L = 3 batches an epoch.
    #[test]
    fn budgets_are_those_of_the_reference() {
        let total = |budget| Schedule::new(5, &args(2, true, false), budget).total;
        assert_eq!(total(Budget::Updates(2 * 3 + 3)), 9);
        assert_eq!(total(Budget::Updates(3 - 3)), 0);
        assert_eq!(total(Budget::Epochs { epochs: 4, batches_max: 2 }), 8);
        // More than there are is no mistake.
        assert_eq!(total(Budget::Epochs { epochs: 4, batches_max: 4_242 }), 12);
        assert_eq!(total(Budget::Epochs { epochs: 4, batches_max: 0 }), 0);
    }

    #[test]
    fn batch_maxnum_cuts_every_epoch_short() {
        let got = batches(args(2, false, false), Budget::Epochs { epochs: 2, batches_max: 2 });
        assert_eq!(got, [[0, 1], [2, 3], [0, 1], [2, 3]]);
    }

    #[test]
    fn first_and_last_batch_of_an_epoch_are_logged() {
        let schedule = Schedule::new(12, &args(1, true, false), Budget::Updates(30));
        let logged: Vec<u64> = (1..=30).filter(|step| schedule.is_logged(*step, 10)).collect();
        assert_eq!(logged, [1, 10, 12, 13, 20, 24, 25, 30]);
    }

    #[test]
    fn an_epoch_gives_every_row_once() {
        let got = batches(args(2, false, false), epochs(2));
        assert_eq!(got, [vec![0, 1], vec![2, 3], vec![4], vec![0, 1], vec![2, 3], vec![4]]);
        let got = batches(args(2, true, false), epochs(2));
        for epoch in got.chunks(3) {
            let mut rows = epoch.concat();
            rows.sort_unstable();
            assert_eq!(rows, [0, 1, 2, 3, 4]);
        }
        assert_ne!(got[..3], got[3..]);
    }

    #[test]
    fn what_follows_a_break_is_what_would_have_followed_anyway() {
        let whole = batches(args(2, true, false), epochs(3));
        for done in 0..=9 {
            let rest = read(loader(args(2, true, false), epochs(3)).skip(done));
            assert_eq!(rest, whole[done as usize..], "{done}");
        }
        assert!(read(loader(args(2, true, false), epochs(3)).skip(u64::MAX)).is_empty());
        assert!(read(loader(args(6, true, true), Budget::Updates(3)).skip(2)).is_empty());
    }

    #[test]
    fn nothing_follows_once_it_is_to_stop() {
        let stop = Cancel::new();
        let mut loader = loader(args(2, false, false), epochs(3)).until(&stop);
        assert!(loader.next().unwrap().is_some());
        stop.cancel();
        assert!(loader.next().unwrap().is_none());
    }

    #[test]
    fn rows_until_a_batch_are_counted() {
        let rows = |args: &LoaderArgs, budget, n| Schedule::new(5, args, budget).rows_until(n);
        let per_batch = [2, 4, 5, 7, 9, 10];
        for (n, expected) in (1..).zip(per_batch) {
            assert_eq!(rows(&args(2, true, false), epochs(2), n), expected);
        }
        assert_eq!(rows(&args(2, true, true), epochs(2), 3), 6);
        assert_eq!(rows(&args(6, true, true), epochs(2), 3), 0);
    }

    #[test]
    fn drop_last_drops_the_incomplete_batch() {
        let got = batches(args(2, false, true), epochs(2));
        assert_eq!(got, [[0, 1], [2, 3], [0, 1], [2, 3]]);
        assert!(batches(args(6, false, true), Budget::Updates(3)).is_empty());
    }

    #[test]
    fn updates_go_on_over_epochs() {
        let got = batches(args(3, false, false), Budget::Updates(3));
        assert_eq!(got, [vec![0, 1, 2], vec![3, 4], vec![0, 1, 2]]);
    }
}
