//! Some rows of a dataset as a dataset of their own: for many sites in one process, whose rows lie in
//! one file. The file is read once for each set of fields and rules, whatever the number of sites.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_protocol::ColumnRule;

use crate::cell::CellRule;
use crate::dataset::Dataset;
use crate::view::Wanted;
use crate::{Block, Error, Key, Packed, Values};

/// The most sets of fields and rules that are kept: those of rounds, of a split and of statistics.
const KEPT_MAX: usize = 4;

/// A field of the file, and the rule that reads it with its words for missing values.
type Read = (usize, Option<(ColumnRule, Arc<HashSet<String>>)>);

/// Some fields of all rows.
#[derive(Debug)]
struct HeldFields {
    read: Vec<Read>,
    blocks: Arc<Vec<Packed>>,
}

/// A dataset whose rows stay in memory once they were read, for all datasets of [`Held::rows`].
#[derive(Debug)]
pub struct Held {
    base: Dataset,
    fields: Mutex<Vec<HeldFields>>,
    keys: Mutex<BTreeMap<String, Arc<Vec<Key>>>>,
}

/// The rows of a held dataset that another one has, in its order.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    held: Arc<Held>,
    rows: Arc<[u64]>,
}

impl Held {
    /// Nothing is read yet. Rules are left out: each reader has its own.
    pub fn new(dataset: &Dataset) -> Arc<Self> {
        let (fields, keys) = (Mutex::default(), Mutex::default());
        Arc::new(Self { base: dataset.without_rules(), fields, keys })
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.base
    }

    /// A dataset of these rows, from 0, in this order: as if a file had them and no others.
    ///
    /// # Errors
    /// [`Error::NoRows`] without any; [`Error::TooLarge`] for a row that is not there.
    pub fn rows(self: &Arc<Self>, rows: &[u64]) -> Result<Dataset, Error> {
        let path = || self.base.path().to_owned();
        let n_rows = self.base.n_rows();
        match rows.iter().find(|row| **row >= n_rows) {
            _ if rows.is_empty() => Err(Error::NoRows { path: path() }),
            Some(row) => {
                let what = "rows before one that is asked for".to_owned();
                Err(Error::TooLarge { path: path(), what, got: *row, max: n_rows - 1 })
            }
            None => Ok(self.base.of_rows(Chosen { held: Arc::clone(self), rows: rows.into() })),
        }
    }

    /// All blocks of the file with these fields.
    fn blocks(&self, wanted: &[Wanted<'_>]) -> Result<Arc<Vec<Packed>>, Error> {
        let mut kept = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        let read: Vec<Read> = wanted.iter().map(|(at, rule)| (*at, rule.map(of_rule))).collect();
        if let Some(known) = kept.iter().find(|known| known.read == read) {
            return Ok(Arc::clone(&known.blocks));
        }
        // The others wait: they want the same.
        let block = |block| Ok::<_, Error>(self.base.read_wanted(block, wanted)?.pack());
        let blocks = (0..self.base.n_blocks()).map(block).collect::<Result<Vec<_>, _>>()?;
        let blocks = Arc::new(blocks);
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push(HeldFields { read, blocks: Arc::clone(&blocks) });
        Ok(blocks)
    }

    /// The keys of all rows.
    fn keys(&self, column: &str) -> Result<Arc<Vec<Key>>, Error> {
        let mut kept = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = kept.get(column) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.base.keys(column)?);
        if kept.len() >= KEPT_MAX {
            kept.pop_first();
        }
        kept.insert(column.to_owned(), Arc::clone(&keys));
        Ok(keys)
    }
}

fn of_rule(rule: &CellRule) -> (ColumnRule, Arc<HashSet<String>>) {
    (rule.rule().clone(), Arc::clone(rule.missing()))
}

impl Chosen {
    pub(crate) fn n_rows(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Reads some of its rows.
    pub(crate) fn read(&self, rows: Range<u64>, wanted: &[Wanted<'_>]) -> Result<Block, Error> {
        let blocks = self.held.blocks(wanted)?;
        let which = &self.rows[rows.start as usize..rows.end as usize];
        let mut block = Block::new(rows.start, which.len(), Vec::new());
        let mut left = which;
        while let Some(first) = left.first() {
            // Rows of one block that follow each other are taken together.
            let at = self.held.base.block_of(*first);
            let range = self.held.base.rows(at);
            let n = left.iter().take_while(|row| range.contains(row)).count();
            let (these, others) = left.split_at(n);
            let Some(packed) = blocks.get(at) else { break };
            let (columns, lines) =
                packed.take(these.iter().map(|row| (row - range.start) as usize));
            match block.columns.is_empty() {
                true => block.columns = columns,
                false => {
                    block.columns.iter_mut().zip(columns).for_each(|(all, more)| all.add(more))
                }
            }
            block.lines.extend(lines);
            left = others;
        }
        Ok(block)
    }

    /// The keys of its rows.
    pub(crate) fn keys(&self, column: &str) -> Result<Vec<Key>, Error> {
        let keys = self.held.keys(column)?;
        Ok(self.rows.iter().filter_map(|row| keys.get(*row as usize).cloned()).collect())
    }

    /// The dataset that it is a part of.
    pub(crate) fn base(&self) -> &Dataset {
        &self.held.base
    }
}

impl Values {
    /// Appends values of the same element type.
    fn add(&mut self, more: Self) {
        match (self, more) {
            (Self::UInt8(all), Self::UInt8(more)) => all.extend(more),
            (Self::Float32(all), Self::Float32(more)) => all.extend(more),
            (Self::Float64(all), Self::Float64(more)) => all.extend(more),
            // Blocks of one field have one element type.
            _ => {}
        }
    }
}
