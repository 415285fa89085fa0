//! Rows on their way into a Parquet file: kept for a group, then written. Memory does not depend on
//! their number.

use std::io::Write;

use fedwasm_dataset::{CellKind, CellValues, GroupColumn, TableColumn, TableWriter};
use fedwasm_protocol::{Digest, Hasher};

use crate::bounds::{
    COLUMNS_MAX, FOOTER_BYTES_MAX, FOOTER_CHUNK_BYTES, GROUP_BYTES, GROUP_ROWS_MAX, NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
};
use crate::snapshot::Clock;
use crate::{Error, cut};

/// Written into every snapshot. Without a version: equal rows have equal digests after an update.
const WRITTEN_BY: &str = "fedwasm";

/// A cell of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Missing,
    Integer(i64),
    Real(f64),
    Boolean(bool),
    Text(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since then.
    Time(i64),
}

/// Checks the names of an answer's columns.
pub(crate) fn check_names(names: &[String]) -> Result<(), Error> {
    if names.len() > COLUMNS_MAX {
        let (what, max) = ("columns of the answer".to_owned(), COLUMNS_MAX as u64);
        return Err(Error::TooLarge { what, max });
    }
    let mut seen = std::collections::BTreeSet::new();
    for (at, name) in names.iter().enumerate() {
        let reason = if name.is_empty() {
            "has no name".to_owned()
        } else if name.len() > NAME_BYTES_MAX {
            format!("has a name of more than {NAME_BYTES_MAX} bytes")
        } else if name.contains('\0') {
            "has a zero in its name".to_owned()
        } else if !seen.insert(name) {
            format!("is called `{}` as one before it", cut(name, 100))
        } else {
            continue;
        };
        return Err(Error::Name { number: at + 1, reason });
    }
    Ok(())
}

/// The rows of a snapshot.
pub(crate) struct Rows<'a> {
    clock: &'a Clock,
    writer: TableWriter<Counted<'a>>,
    columns: Vec<TableColumn>,
    group: Vec<GroupColumn>,
    group_bytes: u64,
    group_rows: u64,
    n_rows: u64,
    /// The most bytes that the footer has so far.
    footer_bytes: u64,
    /// The bytes that a group adds.
    footer_step: u64,
}

/// A snapshot that is written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) n_rows: u64,
    pub(crate) n_bytes: u64,
    pub(crate) digest: Digest,
}

impl<'a> Rows<'a> {
    /// Begins a file with columns of these names and kinds.
    pub(crate) fn new(
        columns: Vec<(String, CellKind)>,
        clock: &'a Clock,
        into: &'a mut (dyn Write + Send),
    ) -> Result<Self, Error> {
        let column = |(name, kind)| TableColumn { name, kind, is_optional: true };
        let columns: Vec<TableColumn> = columns.into_iter().map(column).collect();
        let into = Counted { file: into, hasher: Hasher::default(), n_bytes: 0 };
        let writer = TableWriter::new(into, columns.clone(), WRITTEN_BY).map_err(Error::Write)?;
        let group = columns.iter().map(|column| empty(column.kind)).collect();
        let of_column = |column: &TableColumn| column.name.len() as u64 + FOOTER_CHUNK_BYTES;
        let footer_step = FOOTER_CHUNK_BYTES + columns.iter().map(of_column).sum::<u64>();
        Ok(Self {
            clock,
            writer,
            columns,
            group,
            group_bytes: 0,
            group_rows: 0,
            n_rows: 0,
            // The schema says as much as a group.
            footer_bytes: footer_step,
            footer_step,
        })
    }

    /// The row that is put together, from 1.
    pub(crate) fn row(&self) -> u64 {
        self.n_rows + 1
    }

    /// Adds a cell of the row; false if it is of another kind than the column's.
    pub(crate) fn push(&mut self, column: usize, cell: Cell<'_>) -> Result<bool, Error> {
        let row = self.row();
        let Some(of) = self.columns.get(column) else { return Ok(false) };
        let Some(GroupColumn { cells, is_there }) = self.group.get_mut(column) else {
            return Ok(false);
        };
        match (cells, cell) {
            (_, Cell::Missing) => {}
            (CellValues::Integers(into), Cell::Integer(value)) if of.kind == CellKind::Integer => {
                into.push(value);
            }
            (CellValues::Integers(into), Cell::Time(value)) if of.kind == CellKind::Time => {
                into.push(value);
            }
            (CellValues::Reals(into), Cell::Real(value)) => into.push(value),
            (CellValues::Booleans(into), Cell::Boolean(value)) => into.push(value),
            (CellValues::Dates(into), Cell::Date(value)) => into.push(value),
            (CellValues::Texts(into), Cell::Text(text)) => {
                if text.len() > TEXT_BYTES_MAX {
                    let what = format!("a text of more than {TEXT_BYTES_MAX} bytes");
                    return Err(Error::value(&of.name, row, what));
                }
                self.group_bytes += text.len() as u64 + 16;
                into.push(text.to_owned());
            }
            _ => return Ok(false),
        }
        self.group_bytes += 10;
        is_there.push(i16::from(cell != Cell::Missing));
        Ok(true)
    }

    /// Ends the row, of which all cells were pushed.
    pub(crate) fn end_row(&mut self) -> Result<(), Error> {
        self.n_rows += 1;
        self.group_rows += 1;
        self.clock.check_rows(self.n_rows)?;
        match self.group_bytes >= GROUP_BYTES || self.group_rows >= GROUP_ROWS_MAX {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn write(&mut self) -> Result<(), Error> {
        self.clock.check()?;
        self.footer_bytes += self.footer_step;
        if self.footer_bytes > FOOTER_BYTES_MAX {
            let what = "bytes of the footer of the snapshot, which grows with columns and rows";
            return Err(Error::TooLarge { what: what.into(), max: FOOTER_BYTES_MAX });
        }
        self.writer.write(&self.group).map_err(Error::Write)?;
        for (column, of) in self.group.iter_mut().zip(&self.columns) {
            *column = empty(of.kind);
        }
        (self.group_bytes, self.group_rows) = (0, 0);
        self.clock.check_bytes(self.writer.written())
    }

    /// Writes the last rows and ends the file.
    pub(crate) fn finish(mut self) -> Result<Written, Error> {
        if self.n_rows == 0 {
            return Err(Error::NoRows);
        }
        if self.group_rows > 0 {
            self.write()?;
        }
        let Counted { file, hasher, n_bytes } = self.writer.finish().map_err(Error::Write)?;
        self.clock.check_bytes(n_bytes)?;
        file.flush().map_err(Error::Write)?;
        Ok(Written { n_rows: self.n_rows, n_bytes, digest: hasher.finish() })
    }
}

fn empty(kind: CellKind) -> GroupColumn {
    GroupColumn { cells: CellValues::none(kind), is_there: Vec::new() }
}

/// A file, and the digest of what was written to it.
struct Counted<'a> {
    file: &'a mut (dyn Write + Send),
    hasher: Hasher,
    n_bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SnapshotLimits;

    const KINDS: [CellKind; 6] = [
        CellKind::Integer,
        CellKind::Real,
        CellKind::Boolean,
        CellKind::Text,
        CellKind::Date,
        CellKind::Time,
    ];

    /// Rows of as many columns of all kinds, with long names.
    fn rows<'a>(n: usize, clock: &'a Clock, into: &'a mut Vec<u8>) -> Rows<'a> {
        let kinds = KINDS.into_iter().cycle().take(n).enumerate();
        let columns = kinds.map(|(at, kind)| (format!("{at:0>1000}"), kind)).collect();
        Rows::new(columns, clock, into).unwrap()
    }

    /// Writes a group of one row.
    fn write_group(rows: &mut Rows<'_>) -> Result<(), Error> {
        for at in 0..rows.columns.len() {
            let cell = match rows.columns[at].kind {
                CellKind::Integer => Cell::Integer(i64::MIN),
                CellKind::Real => Cell::Real(0.1),
                CellKind::Boolean => Cell::Boolean(true),
                CellKind::Text => Cell::Text("text"),
                CellKind::Date => Cell::Date(-1),
                CellKind::Time => Cell::Time(i64::MAX),
            };
            assert!(rows.push(at, cell)?);
        }
        rows.end_row()?;
        rows.write()
    }

    #[test]
    fn the_footer_is_not_longer_than_was_reckoned() {
        let clock = Clock::new(SnapshotLimits::default()).unwrap();
        let mut bytes = Vec::new();
        let mut rows = rows(60, &clock, &mut bytes);
        for _ in 0..50 {
            write_group(&mut rows).unwrap();
        }
        let reckoned = rows.footer_bytes;
        rows.finish().unwrap();
        // The length of the footer lies before the last four bytes.
        let length = bytes[bytes.len() - 8..bytes.len() - 4].first_chunk().unwrap();
        let length = u64::from(u32::from_le_bytes(*length));
        assert!(length <= reckoned && reckoned < 2 * length, "{length} {reckoned}");
    }

    #[test]
    fn a_snapshot_whose_footer_could_not_be_read_is_an_error() {
        let clock = Clock::new(SnapshotLimits::default()).unwrap();
        let mut bytes = Vec::new();
        let mut rows = rows(COLUMNS_MAX, &clock, &mut bytes);
        // A group adds 4,096 times 1,160 bytes.
        for n in 0..20 {
            let written = write_group(&mut rows);
            assert_eq!(written.is_ok(), n < 13, "{n}");
            if let Err(error) = written {
                assert!(error.to_string().contains("of the footer of the snapshot"), "{error}");
                return;
            }
        }
    }
}
