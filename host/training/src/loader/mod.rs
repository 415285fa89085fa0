//! Batches of a plan's rows.

mod schedule;
mod walk;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_params::Tensor;
use fedwasm_protocol::{LoaderArgs, Sampling};
use fedwasm_sandbox::{Batch, Cancel, Loader};
use rand_chacha::ChaCha20Rng;

use crate::augment::Augmenter;
use crate::metrics::{TargetKind, Targets};

pub(crate) use schedule::Schedule;
use walk::Walk;
pub(crate) use walk::{Piece, Source};

/// Where the generator stood when an epoch began, the newest one: what goes on after a break need not
/// draw the epochs before it once more.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpochStart(Arc<Mutex<Option<Start>>>);

/// The beginning of an epoch of certain rows in a certain order.
#[derive(Debug)]
struct Start {
    of: Of,
    epoch: u64,
    word: u128,
}

/// All that the draws of an epoch follow from: seed, schedule, rows, and whether they are in memory.
type Of = ([u8; 32], Schedule, u64, bool);

/// Training batches: epoch after epoch until the schedule is done, or until
/// it is told to stop. All epochs of a round draw from one generator;
/// each permutes the rows anew.
pub(crate) struct TrainLoader {
    walk: Walk,
    args: LoaderArgs,
    random: ChaCha20Rng,
    schedule: Schedule,
    /// Batches given or skipped.
    n: u64,
    /// The number of the last batch.
    end: u64,
    stop: Cancel,
    known: EpochStart,
    of: Of,
    /// How rows are changed, and the seed of that.
    augment: Option<(Arc<Augmenter>, [u8; 32])>,
}

impl TrainLoader {
    pub(crate) fn new(
        source: Source,
        args: LoaderArgs,
        schedule: Schedule,
        random: ChaCha20Rng,
    ) -> Self {
        let is_memory = matches!(source, Source::Memory(..));
        let of = (random.get_seed(), schedule, source.n_rows(), is_memory);
        let (walk, end, stop) = (walk(source, &args), schedule.total, Cancel::new());
        let known = EpochStart::default();
        Self { walk, args, random, schedule, n: 0, end, stop, known, of, augment: None }
    }

    /// Changes each row, by the seed of the round.
    pub(crate) fn augmented(self, by: Option<Arc<Augmenter>>, seed: [u8; 32]) -> Self {
        Self { augment: by.map(|by| (by, seed)), ..self }
    }

    /// Takes the beginning of an epoch that another loader told, and tells its own.
    pub(crate) fn knowing(self, known: &EpochStart) -> Self {
        Self { known: known.clone(), ..self }
    }

    /// Passes over the first `batches`, so that those that follow are the same
    /// as without a break.
    pub(crate) fn skip(mut self, batches: u64) -> Self {
        let batches = batches.min(self.schedule.total);
        let known = self.known.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(start) = known.as_ref().filter(|start| start.of == self.of) {
            let n = start.epoch.saturating_mul(self.schedule.per_epoch);
            if n <= batches {
                self.random.set_word_pos(start.word);
                self.n = n;
            }
        }
        drop(known);
        while self.n < batches && !self.stop.is_cancelled() {
            self.begin();
            let random = self.args.shuffle.then_some(&mut self.random);
            self.walk.skip(self.args.batch_size as usize, random);
        }
        self
    }

    /// Ends after this batch of the round, if it has as many.
    pub(crate) fn up_to(self, batches: Option<u64>) -> Self {
        let end = batches.map_or(self.end, |batches| self.end.min(batches));
        Self { end, ..self }
    }

    /// Ends the round once `stop` is used.
    pub(crate) fn until(self, stop: &Cancel) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// Counts a batch, which may begin an epoch.
    fn begin(&mut self) {
        if self.n.is_multiple_of(self.schedule.per_epoch) {
            let epoch = self.n.checked_div(self.schedule.per_epoch).unwrap_or(0);
            let start = Start { of: self.of, epoch, word: self.random.get_word_pos() };
            *self.known.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(start);
            self.walk.begin(self.args.shuffle.then_some(&mut self.random));
        }
        self.n += 1;
    }
}

fn walk(source: Source, args: &LoaderArgs) -> Walk {
    match args.sampling {
        Sampling::Each => Walk::over(source),
        Sampling::Balanced => Walk::by_class(source),
    }
}

/// Different rows among the first `n` of the first epoch.
pub(crate) fn distinct(source: Source, args: &LoaderArgs, n: u64, mut random: ChaCha20Rng) -> u64 {
    if args.sampling == Sampling::Each {
        return n;
    }
    let mut walk = walk(source, args);
    walk.begin(Some(&mut random));
    let first = walk.order().iter().take(usize::try_from(n).unwrap_or(usize::MAX));
    first.collect::<HashSet<_>>().len() as u64
}

impl Loader for TrainLoader {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        if self.n >= self.end || self.stop.is_cancelled() {
            return Ok(None);
        }
        let first = self.schedule.rows_until(self.n);
        self.begin();
        let random = self.args.shuffle.then_some(&mut self.random);
        let augment = self.augment.as_ref().map(|(by, seed)| (&**by, (*seed, first)));
        self.walk.next(self.args.batch_size as usize, random, augment)
    }
}

/// All rows once, in order.
pub(crate) struct TestLoader {
    walk: Walk,
    batch_rows: usize,
    /// Rows that are still to come.
    left: usize,
}

impl TestLoader {
    /// Batches of at most 1,024 rows, or of `batch_size` if that is above 0,
    /// and of a quarter of the bound of one call.
    pub(crate) fn new(source: Source, batch_size: u32) -> Self {
        Self::of(Piece { rows: 0..source.n_rows(), source }, batch_size)
    }

    /// The same of a piece.
    pub(crate) fn of(piece: Piece, batch_size: u32) -> Self {
        let Piece { source, rows } = piece;
        let most = (4 << 20) / (4 * source.converter().layout.n_inputs().max(1));
        let wanted = if batch_size == 0 { 1_024 } else { batch_size as usize };
        let mut walk = Walk::over(source);
        walk.begin(None);
        let [start, left] = [rows.start, rows.end - rows.start]
            .map(|n_rows| usize::try_from(n_rows).unwrap_or(usize::MAX));
        walk.skip(start, None);
        Self { walk, batch_rows: most.clamp(1, wanted), left }
    }
}

impl Loader for TestLoader {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        let n_rows = self.batch_rows.min(self.left);
        self.left -= n_rows;
        self.walk.next(n_rows, None, None)
    }
}

/// Keeps the targets of the batches that another loader gives.
pub(crate) struct Recorder {
    inner: TestLoader,
    targets: Recorded,
}

/// The targets that a [`Recorder`] keeps, batch by batch.
#[derive(Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<Vec<Vec<Tensor>>>>);

impl Recorder {
    pub(crate) fn new(inner: TestLoader) -> (Self, Recorded) {
        let targets = Recorded::default();
        (Self { inner, targets: targets.clone() }, targets)
    }
}

impl Loader for Recorder {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        let batch = self.inner.next()?;
        if let Some(batch) = &batch {
            let targets = batch.targets.iter().map(|(_, target)| target.clone()).collect();
            self.targets.0.lock().unwrap_or_else(PoisonError::into_inner).push(targets);
        }
        Ok(batch)
    }
}

impl Recorded {
    /// Takes the targets: the classes of the only one, the reals of all of them, row by row, or the
    /// masks of the only one.
    pub(crate) fn take(&self, kind: TargetKind) -> Targets {
        let batches = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if kind == TargetKind::Mask {
            return Targets::Masks(batches.into_iter().flatten().collect());
        }
        let are_classes = kind == TargetKind::Class;
        let (mut classes, mut reals) = (Vec::new(), Vec::new());
        for batch in &batches {
            if are_classes {
                let (values, _) = batch.first().map_or(&[][..], Tensor::data).as_chunks();
                classes.extend(values.iter().map(|bytes| i64::from_le_bytes(*bytes)));
                continue;
            }
            let n_rows = batch.first().and_then(|target| target.shape().first()).copied();
            for row in 0..n_rows.unwrap_or_default() as usize {
                for target in batch {
                    let width = target.shape().iter().skip(1).product::<u64>() as usize;
                    let (values, _) = target.data().as_chunks();
                    let values = values[row * width..(row + 1) * width].iter();
                    reals.extend(values.map(|bytes| f32::from_le_bytes(*bytes)));
                }
            }
        }
        if are_classes { Targets::Classes(classes) } else { Targets::Reals(reals) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preprocessing;
    use crate::blocks::{BlockSplit, Blocks, Held, Which};
    use crate::layout::{Layout, Part, PartKind};
    use crate::rows::Converter;
    use crate::shuffle::permute;
    use fedwasm_dataset::Dataset;
    use fedwasm_protocol::{Budget, seed};
    use rand_chacha::rand_core::SeedableRng;

    /// A dataset of one class a row, 0 and on.
    fn source(n_rows: usize, memory: bool) -> (Source, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.csv");
        let rows: String = (0..n_rows).map(|row| format!("0,{row}\n")).collect();
        std::fs::write(&path, "x,y\n".to_owned() + &rows).unwrap();
        let dataset = Dataset::open(&path, None).unwrap();
        let part = |name: &str, kind, column, shape: &[u64]| Part {
            name: name.into(),
            shape: shape.to_vec(),
            kind,
            columns: vec![column],
            width: 1,
        };
        let layout = Layout {
            fields: vec![0, 1],
            n_input_fields: 1,
            inputs: vec![part("inputs", PartKind::Real, 0, &[1])],
            targets: vec![part("targets", PartKind::Class, 1, &[])],
        };
        let scales = Preprocessing::identity(&["x".to_owned()]);
        let converter = Arc::new(Converter::new(layout, &dataset, &scales));
        let split = BlockSplit { seed: seed::split(1), held: Held::Share(0.0) };
        let blocks = Blocks::new(Arc::clone(&converter), split, Which::Train);
        let source = if memory {
            let all: Vec<usize> = (0..dataset.n_blocks()).collect();
            Source::Memory(Arc::new(blocks.read(&all).unwrap()), converter)
        } else {
            Source::Blocks(blocks)
        };
        (source, dir)
    }

    /// The row numbers of every batch of a round.
    fn batches_of(source: Source, args: LoaderArgs, budget: Budget) -> Vec<Vec<i64>> {
        read(loader(source, args, budget))
    }

    /// The twin of draws by class has the seed of the other twins.
    fn seed_of(args: &LoaderArgs) -> u64 {
        if args.sampling == Sampling::Balanced { 42 } else { 1 }
    }

    fn loader(source: Source, args: LoaderArgs, budget: Budget) -> TrainLoader {
        let random = ChaCha20Rng::from_seed(seed::shuffle(seed_of(&args), 1));
        let schedule = Schedule::new(source.n_rows(), &args, budget);
        TrainLoader::new(source, args, schedule, random)
    }

    fn read(mut loader: TrainLoader) -> Vec<Vec<i64>> {
        let mut all = Vec::new();
        while let Some(batch) = loader.next().unwrap() {
            let (chunks, _) = batch.targets[0].1.data().as_chunks();
            all.push(chunks.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect());
        }
        all
    }

    /// The row numbers of every batch of a round over 5 rows.
    fn batches(args: LoaderArgs, budget: Budget) -> Vec<Vec<i64>> {
        let (source, _dir) = source(5, true);
        batches_of(source, args, budget)
    }

    // Five blocks of 65,536 rows but the last.
    #[test]
    fn blocks_give_every_row_once_and_in_the_order_of_the_rule() {
        let n_rows = 4 * 65_536 + 10;
        let (source, _dir) = source(n_rows, false);
        let in_order = batches_of(source.clone(), args(10_000, false, false), epochs(1)).concat();
        assert_eq!(in_order, (0..n_rows as i64).collect::<Vec<_>>());
        let got = batches_of(source, args(10_000, true, false), epochs(2));
        assert_eq!(got.len(), 2 * n_rows.div_ceil(10_000));
        let (first, second) = got.split_at(got.len() / 2);
        let mut random = ChaCha20Rng::from_seed(seed::shuffle(1, 1));
        for epoch in [first, second] {
            let mut blocks: Vec<i64> = (0..5).collect();
            permute(&mut blocks, &mut random);
            let rows = |block: &i64| block * 65_536..((block + 1) * 65_536).min(n_rows as i64);
            let mut expected: Vec<i64> = blocks.iter().flat_map(rows).collect();
            permute(&mut expected, &mut random);
            assert!(epoch.concat() == expected);
        }
        assert_ne!(first, second);
    }

    fn args(batch_size: u32, shuffle: bool, drop_last: bool) -> LoaderArgs {
        LoaderArgs { batch_size, shuffle, drop_last, sampling: Sampling::Each }
    }

    fn epochs(epochs: u64) -> Budget {
        Budget::Epochs { epochs, batch_maxnum: None }
    }

    // Fed-BioMed's test_training_iterations.py, with L = 3 batches an epoch.
    #[test]
    fn budgets_are_those_of_the_reference() {
        let total = |budget| Schedule::new(5, &args(2, true, false), budget).total;
        assert_eq!(total(Budget::Updates { num_updates: 2 * 3 + 3 }), 9);
        assert_eq!(total(Budget::Updates { num_updates: 3 - 3 }), 0);
        assert_eq!(total(Budget::Epochs { epochs: 4, batch_maxnum: Some(2) }), 8);
        // A number beyond the last batch is not a mistake.
        assert_eq!(total(Budget::Epochs { epochs: 4, batch_maxnum: Some(4_242) }), 12);
        assert_eq!(total(Budget::Epochs { epochs: 4, batch_maxnum: Some(0) }), 0);
    }

    #[test]
    fn batch_maxnum_cuts_every_epoch_short() {
        let got =
            batches(args(2, false, false), Budget::Epochs { epochs: 2, batch_maxnum: Some(2) });
        assert_eq!(got, [[0, 1], [2, 3], [0, 1], [2, 3]]);
    }

    #[test]
    fn first_and_last_batch_of_an_epoch_are_logged() {
        let schedule =
            Schedule::new(12, &args(1, true, false), Budget::Updates { num_updates: 30 });
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
        let (source, _dir) = source(5, true);
        let rest = |args, budget, done| read(loader(source.clone(), args, budget).skip(done));
        for done in 0..=9 {
            let rest = rest(args(2, true, false), epochs(3), done);
            assert_eq!(rest, whole[done as usize..], "{done}");
        }
        assert!(rest(args(2, true, false), epochs(3), u64::MAX).is_empty());
        assert!(rest(args(6, true, true), Budget::Updates { num_updates: 3 }, 2).is_empty());
    }

    #[test]
    fn the_beginning_of_an_epoch_that_is_known_changes_no_batch() {
        let (source, _dir) = source(5, true);
        let known = EpochStart::default();
        let whole = batches(args(2, true, false), epochs(6));
        for done in [0, 2, 3, 7, 12, 4, 17] {
            let loader = loader(source.clone(), args(2, true, false), epochs(6)).knowing(&known);
            assert_eq!(read(loader.skip(done)), whole[done as usize..], "{done}");
            let start = known.0.lock().unwrap().as_ref().map(|start| start.epoch);
            assert_eq!(start, Some(5), "{done}");
        }
        // Of another seed, other rows or another schedule it says nothing.
        let other = loader(source.clone(), args(2, true, false), epochs(7)).knowing(&known);
        assert_eq!(read(other.skip(15)).len(), 6);
        let random = ChaCha20Rng::from_seed(seed::shuffle(1, 2));
        let schedule = Schedule::new(5, &args(2, true, false), epochs(6));
        let new =
            || TrainLoader::new(source.clone(), args(2, true, false), schedule, random.clone());
        let all = read(new());
        assert_ne!(all, whole);
        assert_eq!(read(new().knowing(&known).skip(16)), all[16..]);
    }

    #[test]
    fn breaks_change_no_batch_of_blocks() {
        let (source, _dir) = source(17 * 65_536, false);
        let args = args(300_000, true, false);
        let whole = batches_of(source.clone(), args.clone(), epochs(2));
        for done in [1, 5] {
            let rest = read(loader(source.clone(), args.clone(), epochs(2)).skip(done));
            assert!(rest == whole[done as usize..], "{done}");
        }
    }

    // tests/oracles/augment.py writes these.
    #[test]
    fn rows_drawn_by_class_equal_the_python_twin() {
        let json = include_bytes!("../../../../tests/data/augment_numpy.json");
        let twin: serde_json::Value = serde_json::from_slice(json).unwrap();
        let classes: Vec<i64> =
            serde_json::from_value(twin["by_class"]["classes"].clone()).unwrap();
        let epochs_of: Vec<Vec<usize>> =
            serde_json::from_value(twin["by_class"]["epochs"].clone()).unwrap();
        let (source, _dir) = source(classes.len(), true);
        let Source::Memory(rows, converter) = source else { panic!("in memory") };
        let mut rows = (*rows).clone();
        rows.targets = vec![crate::rows::PartValues::Classes(classes.clone())];
        let source = Source::Memory(Arc::new(rows), converter);
        let args = LoaderArgs { sampling: Sampling::Balanced, ..args(4, true, false) };
        let got = batches_of(source.clone(), args.clone(), epochs(2)).concat();
        let expected: Vec<i64> = epochs_of.concat().into_iter().map(|row| classes[row]).collect();
        assert_eq!(got, expected);
        let different = epochs_of[0].iter().collect::<HashSet<_>>().len() as u64;
        let random = || ChaCha20Rng::from_seed(seed::shuffle(42, 1));
        assert_eq!(distinct(source.clone(), &args, 10, random()), different);
        assert_eq!(distinct(source.clone(), &args, 1, random()), 1);
        let each = LoaderArgs { sampling: Sampling::Each, ..args.clone() };
        assert_eq!(distinct(source.clone(), &each, 10, random()), 10);
        // A break changes no draw.
        let rest = read(loader(source, args, epochs(2)).skip(4)).concat();
        assert_eq!(rest, expected[14..]);
    }

    #[test]
    fn nothing_follows_once_it_is_to_stop() {
        let stop = Cancel::new();
        let (source, _dir) = source(5, true);
        let mut loader = loader(source, args(2, false, false), epochs(3)).until(&stop);
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
    fn no_memory_is_reserved_for_rows_that_are_not_there() {
        let args = args(u32::MAX, true, false);
        assert_eq!(batches(args.clone(), epochs(1))[0].len(), 5);
        let (source, _dir) = source(70_000, false);
        assert_eq!(batches_of(source.clone(), args, epochs(1))[0].len(), 70_000);
        let all = TestLoader::new(source, u32::MAX).next().unwrap().unwrap();
        assert_eq!(all.rows, 70_000);
    }

    #[test]
    fn drop_last_drops_the_incomplete_batch() {
        let got = batches(args(2, false, true), epochs(2));
        assert_eq!(got, [[0, 1], [2, 3], [0, 1], [2, 3]]);
        assert!(batches(args(6, false, true), Budget::Updates { num_updates: 3 }).is_empty());
    }

    #[test]
    fn updates_go_on_over_epochs() {
        let got = batches(args(3, false, false), Budget::Updates { num_updates: 3 });
        assert_eq!(got, [vec![0, 1, 2], vec![3, 4], vec![0, 1, 2]]);
    }
}
