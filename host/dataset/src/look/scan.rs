//! One pass over the cells of a dataset.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use super::cells::Cells;
use super::kind::decide;
use super::remarks::day;
use super::tally::{Column, Lexicon};
use super::{ColumnLook, Look, LookKind};
use crate::cell::Cell;
use crate::csv_file::CsvFile;
use crate::renames::{Renames, renamed};
use crate::{Dataset, Error, Field, Format, Volumes};

/// How many different cells are kept at most, of all columns together and of one.
const KEPT_MAX: usize = 1 << 18;
const KEPT_OF_COLUMN: (usize, usize) = (8, 10_000);
/// How many rows of a wrong length are named.
pub(crate) const PLACES_MAX: usize = 5;

impl Look {
    /// Looks at a dataset; the format is found by its content if none is given. `missing` are the
    /// words for missing values; a look at more than `cells_max` cells ends early. `volumes` says how
    /// volumes are read.
    ///
    /// # Errors
    /// Any [`Error`] but those about cells.
    pub fn of(
        path: &Path,
        format: Option<Format>,
        volumes: &Volumes,
        renames: &Renames,
        missing: Vec<String>,
        cells_max: u64,
    ) -> Result<Self, Error> {
        let format = match format {
            Some(format) => format,
            None => Format::detect(path)?,
        };
        match format {
            // Its rows need not be as a reader wants them.
            Format::Csv if volumes.is_default() => {
                let header = CsvFile::header(path)?;
                let names: Vec<&str> = header.columns().iter().map(String::as_str).collect();
                let names = renamed(path, &names, renames)?;
                csv(path, &names, &Lexicon::new(missing), cells_max)
            }
            format => {
                let dataset = Dataset::open_with(path, Some(format), volumes)?.renamed(renames)?;
                Self::of_dataset(&dataset, missing, cells_max)
            }
        }
    }

    /// The same at a dataset that is open.
    ///
    /// # Errors
    /// As [`Look::of`].
    pub fn of_dataset(
        dataset: &Dataset,
        missing: Vec<String>,
        cells_max: u64,
    ) -> Result<Self, Error> {
        let lexicon = Lexicon::new(missing);
        match dataset.format() {
            Format::Csv => {
                let names = dataset.fields().iter().map(|field| field.name.clone());
                csv(dataset.path(), &names.collect::<Vec<_>>(), &lexicon, cells_max)
            }
            _ => Ok(fields(dataset, &lexicon, cells_max)),
        }
    }
}

fn column(n_columns: usize) -> Column {
    let (min, max) = KEPT_OF_COLUMN;
    Column::new((KEPT_MAX / n_columns.max(1)).clamp(min, max))
}

fn csv(path: &Path, names: &[String], lexicon: &Lexicon, cells_max: u64) -> Result<Look, Error> {
    let header = CsvFile::header(path)?;
    let mut cells = Cells::open(path, header.delimiter(), names.len())?;
    let mut columns: Vec<Column> = names.iter().map(|_| column(names.len())).collect();
    let mut look = Look { n_rows: 0, is_whole: true, columns: vec![], n_ragged: 0, ragged: vec![] };
    let (mut now, mut next) = (cells.block(), cells.block());
    let mut is_there = cells.next(&mut now)?;
    while is_there {
        let (rows, first_row) = (now.rows(), look.n_rows);
        let ahead = spread(
            || cells.next(&mut next),
            &mut columns,
            |at, column| {
                column.take(lexicon, rows.column(at), rows.lines(), first_row);
            },
        );
        look.n_rows += rows.lines().len() as u64;
        look.n_ragged += rows.ragged().len() as u64;
        let places = PLACES_MAX.saturating_sub(look.ragged.len());
        look.ragged.extend(rows.ragged().iter().take(places));
        if look.n_rows.saturating_mul(names.len() as u64) >= cells_max {
            look.is_whole = !ahead?;
            break;
        }
        is_there = ahead?;
        std::mem::swap(&mut now, &mut next);
    }
    if look.n_rows + look.n_ragged == 0 {
        return Err(Error::NoRows { path: path.to_owned() });
    }
    let is_comma_delimited = header.delimiter() == b',';
    let columns = names.iter().zip(columns);
    let decide =
        |(name, column): (&String, _)| decide(name.clone(), column, lexicon, is_comma_delimited);
    look.columns = columns.map(decide).collect();
    Ok(look)
}

/// Does `first`, and calls `take` for each item with its place, on as many threads as there are; which
/// one does what changes no result. Returns the result of `first`.
pub(crate) fn spread<T: Send, R>(
    first: impl FnOnce() -> R,
    items: &mut [T],
    take: impl Fn(usize, &mut T) + Sync,
) -> R {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let n_threads = n_threads.min(items.len() + 1);
    let left = Mutex::new(items.iter_mut().enumerate());
    let next = || left.lock().ok()?.next();
    let work = || {
        while let Some((at, item)) = next() {
            take(at, item);
        }
    };
    std::thread::scope(|scope| {
        (1..n_threads).for_each(|_| {
            scope.spawn(work);
        });
        let first = first();
        work();
        first
    })
}

/// Looks at a dataset that is not a text, column by column.
fn fields(dataset: &Dataset, lexicon: &Lexicon, cells_max: u64) -> Look {
    let fields = dataset.fields();
    let n_numbers = fields.iter().filter(|field| field.shape.is_empty()).count();
    let blocks = 0..dataset.n_blocks();
    let enough = cells_max / n_numbers.max(1) as u64;
    let n_blocks = blocks.take_while(|block| dataset.rows(*block).start < enough.max(1)).count();
    let look = |(at, field): (usize, &Field)| {
        let name = field.name.clone();
        if !field.shape.is_empty() {
            let kind = LookKind::Array { element: field.element, shape: field.shape.clone() };
            return ColumnLook::of(name, kind, dataset.n_rows());
        }
        let mut column = column(n_numbers);
        let (mut row, mut text) = (0, String::new());
        for block in 0..n_blocks {
            let read = dataset.each(block, at, &mut |_, cell| {
                write_cell(cell, &mut text);
                column.take_one(lexicon, text.as_bytes(), row);
                row += 1;
                Ok(())
            });
            if let Err(error) = read {
                let kind = LookKind::Unread { reason: error.to_string() };
                return ColumnLook::of(name, kind, dataset.n_rows());
            }
        }
        decide(name, column, lexicon, true)
    };
    let columns = fields.iter().enumerate().map(look).collect();
    let (n_rows, is_whole) = (dataset.rows(n_blocks).start, n_blocks == dataset.n_blocks());
    Look { n_rows, is_whole, columns, n_ragged: 0, ragged: vec![] }
}

/// A cell as a text has it: whole numbers without a point, large ones with an exponent.
pub(super) fn write_cell(cell: Option<Cell<'_>>, text: &mut String) {
    text.clear();
    let _ = match cell {
        Some(Cell::Missing) => Ok(()),
        Some(Cell::Text(cell)) => text.write_str(cell),
        Some(Cell::Number(value)) if value.abs() < 1e15 => write!(text, "{value}"),
        Some(Cell::Number(value)) => write!(text, "{value:e}"),
        Some(Cell::Boolean(value)) => write!(text, "{value}"),
        Some(Cell::Days(days)) => text.write_str(&day(days)),
        None => text.write_str("(not exact)"),
    };
}
