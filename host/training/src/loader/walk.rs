//! Where the rows of batches come from, and in which order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use fedwasm_sandbox::Batch;
use rand_chacha::ChaCha20Rng;

use crate::augment::Augmenter;
use crate::blocks::{Blocks, GROUP_BLOCKS};
use crate::rows::{Converter, Rows};
use crate::shuffle::{below, permute};

/// Rows of a part, in memory or not.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// All of them.
    Memory(Arc<Rows>, Arc<Converter>),
    /// Read when their turn comes.
    Blocks(Blocks),
}

impl Source {
    pub(crate) fn n_rows(&self) -> u64 {
        match self {
            Self::Memory(rows, _) => rows.n_rows as u64,
            Self::Blocks(blocks) => blocks.n_rows(),
        }
    }

    /// Bytes of the rows that are in memory.
    pub(crate) fn n_bytes(&self) -> u64 {
        match self {
            Self::Memory(rows, _) => rows.n_bytes(),
            Self::Blocks(_) => 0,
        }
    }

    /// Cuts it into pieces of at most `n_rows` rows, but of whole blocks if it is not in memory.
    /// None is empty.
    pub(crate) fn pieces(&self, n_rows: u64) -> Vec<Piece> {
        let whole = |source: Self| Piece { rows: 0..source.n_rows(), source };
        let pieces: Vec<Piece> = match self {
            Self::Memory(rows, _) => {
                let total = rows.n_rows as u64;
                let starts = (0..total).step_by(usize::try_from(n_rows).unwrap_or(usize::MAX));
                let rows = starts.map(|start| start..total.min(start.saturating_add(n_rows)));
                rows.map(|rows| Piece { rows, source: self.clone() }).collect()
            }
            Self::Blocks(blocks) => {
                blocks.pieces(n_rows).into_iter().map(|piece| whole(Self::Blocks(piece))).collect()
            }
        };
        pieces.into_iter().filter(|piece| piece.n_rows() > 0).collect()
    }

    pub(crate) fn converter(&self) -> &Arc<Converter> {
        match self {
            Self::Memory(_, converter) | Self::Blocks(Blocks { converter, .. }) => converter,
        }
    }
}

/// Some rows of a part, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(super) source: Source,
    pub(super) rows: Range<u64>,
}

impl Piece {
    pub(crate) fn n_rows(&self) -> u64 {
        self.rows.end - self.rows.start
    }
}

/// A walk through all rows of a part, once.
pub(super) struct Walk {
    source: Source,
    /// Blocks whose turn is still to come, the next one last.
    blocks: Vec<usize>,
    /// Those whose turn it is, and their rows once one of them is wanted.
    group: Vec<usize>,
    rows: Option<Arc<Rows>>,
    /// The rows of the group by place, and how many of them were passed.
    order: Vec<usize>,
    at: usize,
    /// The rows of each class, if rows are drawn by class.
    classes: Vec<Vec<usize>>,
}

impl Walk {
    /// A walk that is over.
    pub(super) fn over(source: Source) -> Self {
        let (order, classes) = (vec![], vec![]);
        Self { source, blocks: vec![], group: vec![], rows: None, order, at: 0, classes }
    }

    /// The same, with as many rows drawn by class as there are, if they are in memory.
    pub(super) fn by_class(source: Source) -> Self {
        let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        if let Source::Memory(rows, _) = &source {
            let each = rows.target_classes().enumerate();
            each.for_each(|(row, class)| classes.entry(class).or_default().push(row));
        }
        Self { classes: classes.into_values().collect(), ..Self::over(source) }
    }

    /// The rows of the walk in their order, of a dataset in memory.
    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Begins anew: in order of the file, or in an order that is drawn. It
    /// depends on the generator alone, not on walks before.
    pub(super) fn begin(&mut self, random: Option<&mut ChaCha20Rng>) {
        self.at = 0;
        self.order.clear();
        match &self.source {
            Source::Memory(rows, _) => {
                self.rows = Some(Arc::clone(rows));
                match random {
                    Some(random) if !self.classes.is_empty() => {
                        let n_classes = self.classes.len() as u64;
                        self.order.extend((0..rows.n_rows).map(|_| {
                            let of_class = &self.classes[below(n_classes, random) as usize];
                            of_class[below(of_class.len() as u64, random) as usize]
                        }));
                    }
                    random => {
                        self.order.extend(0..rows.n_rows);
                        if let Some(random) = random {
                            permute(&mut self.order, random);
                        }
                    }
                }
            }
            Source::Blocks(blocks) => {
                self.rows = None;
                self.blocks = blocks.blocks.clone().collect();
                if let Some(random) = random {
                    permute(&mut self.blocks, random);
                }
                self.blocks.reverse();
            }
        }
    }

    /// Returns the next `n_rows` rows, or those that are left; none at the end. They are changed by
    /// the seed of the round and the number of the first row in it, if that is wanted.
    pub(super) fn next(
        &mut self,
        n_rows: usize,
        mut random: Option<&mut ChaCha20Rng>,
        augment: Option<(&Augmenter, ([u8; 32], u64))>,
    ) -> Result<Option<Batch>, String> {
        let converter = Arc::clone(self.source.converter());
        // A researcher may ask for batches of more rows than there are: nothing is
        // reserved for those.
        let n_rows = n_rows.min(usize::try_from(self.source.n_rows()).unwrap_or(usize::MAX));
        let mut batch = converter.batch(n_rows)?;
        loop {
            let next = self.pass(n_rows - batch.n_rows, random.as_deref_mut());
            if next.is_empty() {
                break;
            }
            let rows = self.rows()?;
            batch.extend(&rows, &self.order[next], &converter.layout);
        }
        if let Some((augmenter, of)) = augment {
            batch.augment(augmenter, of)?;
        }
        if batch.n_rows == 0 { Ok(None) } else { converter.finish(batch).map(Some) }
    }

    /// Passes over the next `n_rows` rows without reading them.
    pub(super) fn skip(&mut self, mut n_rows: usize, mut random: Option<&mut ChaCha20Rng>) {
        loop {
            let passed = self.pass(n_rows, random.as_deref_mut()).len();
            if passed == 0 {
                break;
            }
            n_rows -= passed;
        }
    }

    /// Passes over at most `n_rows` rows of one group, and returns their places in `order`; none
    /// if none are wanted or left.
    fn pass(&mut self, n_rows: usize, mut random: Option<&mut ChaCha20Rng>) -> Range<usize> {
        // A group may have no rows of this part.
        while self.at == self.order.len() && n_rows > 0 {
            if !self.next_group(random.as_deref_mut()) {
                break;
            }
        }
        let end = self.order.len().min(self.at + n_rows);
        std::mem::replace(&mut self.at, end)..end
    }

    /// Advances to the next group of blocks; false after the last.
    fn next_group(&mut self, random: Option<&mut ChaCha20Rng>) -> bool {
        let Source::Blocks(blocks) = &self.source else { return false };
        let left = self.blocks.len().saturating_sub(GROUP_BLOCKS);
        self.group = self.blocks.split_off(left);
        self.group.reverse();
        self.rows = None;
        self.at = 0;
        self.order.clear();
        let n_rows = self.group.iter().map(|block| blocks.n_rows_of(*block)).sum::<u64>();
        self.order.extend(0..n_rows as usize);
        if let Some(random) = random {
            permute(&mut self.order, random);
        }
        !self.group.is_empty()
    }

    /// The rows of the group. There is never more than one group in memory.
    fn rows(&mut self) -> Result<Arc<Rows>, String> {
        let rows = match (&self.rows, &self.source) {
            (Some(rows), _) | (None, Source::Memory(rows, _)) => Arc::clone(rows),
            (None, Source::Blocks(blocks)) => {
                Arc::new(blocks.read(&self.group).map_err(|error| error.to_string())?)
            }
        };
        self.rows = Some(Arc::clone(&rows));
        Ok(rows)
    }
}
