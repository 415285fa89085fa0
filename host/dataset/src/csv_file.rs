//! CSV files with a header.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bounds::{COLUMNS_MAX, ROW_BYTES_MAX, block_rows};
use crate::cell::{Cell, CellRule, EXACT_MAX};
use crate::key::KEY_BYTES_MAX;
use crate::view::{Wanted, mismatched};
use crate::{Block, Error, Key, Place, Values, cut};

/// The longest header, in bytes.
const HEADER_BYTES_MAX: u64 = 8 << 20;
/// Delimiters in order of preference.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A CSV file with a header, in UTF-8. The delimiter is the one of comma,
/// semicolon, tab and bar that the header holds most often.
#[derive(Clone, Debug)]
pub(crate) struct CsvFile {
    path: PathBuf,
    delimiter: u8,
    columns: Vec<String>,
    /// Where each block begins.
    blocks: Vec<csv::Position>,
    n_rows: u64,
}

/// A file of which one row has a bound: a quote that is never closed makes the
/// rest of the file one row.
struct Bounded {
    file: File,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let text =
                format!("a row is longer than {ROW_BYTES_MAX} bytes; a quote may be unclosed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let n = self.file.read(into)?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl CsvFile {
    /// Opens a file, reads its header, counts its rows and remembers where
    /// blocks of them begin; every row must have as many cells as the header.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Empty`], [`Error::TooManyColumns`],
    /// [`Error::BadName`], [`Error::NoHeader`], [`Error::Malformed`], [`Error::Ragged`],
    /// [`Error::NoRows`].
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut this = Self::header(path)?;
        this.index()?;
        Ok(this)
    }

    /// Opens a file and reads its header alone: it has no rows yet.
    ///
    /// # Errors
    /// Those of [`CsvFile::open`] but [`Error::Ragged`] and [`Error::NoRows`].
    pub(crate) fn header(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let mut header = Vec::new();
        let mut file = BufReader::new(crate::open(path).map_err(read)?).take(HEADER_BYTES_MAX);
        file.read_until(b'\n', &mut header).map_err(read)?;
        if header.trim_ascii().is_empty() {
            return Err(Error::Empty { path: path.to_owned() });
        }
        if header.len() as u64 == HEADER_BYTES_MAX {
            let reason = format!("the header is longer than {HEADER_BYTES_MAX} bytes");
            return Err(Error::Malformed { path: path.to_owned(), reason: reason.into() });
        }
        let malformed =
            |reason: &str| Err(Error::Malformed { path: path.to_owned(), reason: reason.into() });
        if header.contains(&0) {
            return malformed("the file is not text in UTF-8; save it as CSV in UTF-8");
        }
        if header.trim_ascii().to_ascii_lowercase().starts_with(b"sep=") {
            return malformed("the first line is Excel's note about the delimiter; remove it");
        }
        let mut this = Self {
            path: path.to_owned(),
            delimiter: delimiter(&header),
            columns: vec![],
            blocks: vec![],
            n_rows: 0,
        };
        let mut reader = this.reader()?;
        let names = reader.headers().map_err(|error| this.csv_error(error))?;
        if names.len() > COLUMNS_MAX {
            let path = this.path;
            return Err(Error::TooManyColumns { path, got: names.len(), max: COLUMNS_MAX });
        }
        this.columns = names.iter().map(str::to_owned).collect();
        if are_cells(&this.columns) {
            return Err(Error::NoHeader { path: this.path });
        }
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() || !seen.insert(name) {
                let name = cut(name);
                return Err(Error::BadName { path: this.path, number: index + 1, name });
            }
        }
        Ok(this)
    }

    /// The byte between cells.
    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Names of the columns in order.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Rows, at least 1.
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Reads some columns of a block, which has the rows `rows`.
    ///
    /// # Errors
    /// [`Error::EmptyCell`], [`Error::NotANumber`], [`Error::NotFinite`], [`Error::NotExact`],
    /// [`Error::Mismatch`], [`Error::Read`], and [`Error::Changed`] if the file has fewer rows now.
    pub(crate) fn read(
        &self,
        block: usize,
        rows: Range<u64>,
        columns: &[Wanted<'_>],
    ) -> Result<Block, Error> {
        let n_rows = (rows.end - rows.start) as usize;
        let width = |(_, rule): &Wanted<'_>| rule.map_or(1, |rule| rule.rule().width());
        let room = |column: &Wanted<'_>| Vec::with_capacity(n_rows.saturating_mul(width(column)));
        let mut values: Vec<Vec<f64>> = columns.iter().map(room).collect();
        let mut lines = Vec::with_capacity(n_rows);
        let mut reader = self.reader()?;
        if let Some(at) = self.blocks.get(block) {
            reader.seek(at.clone()).map_err(|error| self.csv_error(error))?;
        }
        let mut record = csv::ByteRecord::new();
        for _ in 0..n_rows {
            if !self.next(&mut reader, &mut record)? {
                return Err(Error::Changed { path: self.path.clone() });
            }
            let line = record.position().map_or(0, csv::Position::line);
            for (values, (at, rule)) in values.iter_mut().zip(columns) {
                match rule {
                    Some(rule) => self.cell(&record, (*at, rule), line, values)?,
                    None => values.push(self.number(&record, *at, line)?),
                }
            }
            lines.push(line);
        }
        let columns = values.into_iter().map(Values::Float64).collect();
        Ok(Block { first_row: rows.start, n_rows, columns, lines })
    }

    /// Reads the cells of a column as they are.
    ///
    /// # Errors
    /// [`Error::EmptyCell`], [`Error::TooLarge`], [`Error::Read`], [`Error::Changed`].
    pub(crate) fn keys(&self, column: usize) -> Result<Vec<Key>, Error> {
        let (mut reader, mut record) = (self.reader()?, csv::ByteRecord::new());
        let mut keys = Vec::new();
        while self.next(&mut reader, &mut record)? {
            let cell = record.get(column).unwrap_or_default();
            let line = record.position().map_or(0, csv::Position::line);
            let (path, name) = (self.path.clone(), self.name(column));
            if cell.len() > KEY_BYTES_MAX {
                let what = format!("bytes of a cell of `{}` in line {line}", cut(&name));
                let (got, max) = (cell.len() as u64, KEY_BYTES_MAX as u64);
                return Err(Error::TooLarge { path, what, got, max });
            }
            let key = Key::cell(cell);
            let place = Place::Line(line);
            keys.push(key.ok_or(Error::EmptyCell { path, place, column: name })?);
        }
        match keys.len() as u64 == self.n_rows {
            true => Ok(keys),
            false => Err(Error::Changed { path: self.path.clone() }),
        }
    }

    /// Reads the cells of a column in a block as they are.
    ///
    /// # Errors
    /// [`Error::NotUtf8`], [`Error::Read`], and [`Error::Changed`] if the file has fewer rows now.
    pub(crate) fn texts(
        &self,
        block: usize,
        rows: Range<u64>,
        column: usize,
    ) -> Result<Vec<String>, Error> {
        let mut reader = self.reader()?;
        if let Some(at) = self.blocks.get(block) {
            reader.seek(at.clone()).map_err(|error| self.csv_error(error))?;
        }
        let (mut record, mut texts) = (csv::ByteRecord::new(), Vec::new());
        for _ in rows {
            if !self.next(&mut reader, &mut record)? {
                return Err(Error::Changed { path: self.path.clone() });
            }
            let cell = record.get(column).unwrap_or_default();
            let Ok(text) = std::str::from_utf8(cell) else {
                let line = record.position().map_or(0, csv::Position::line);
                let (path, column) = (self.path.clone(), self.name(column));
                return Err(Error::NotUtf8 { path, line, column });
            };
            texts.push(text.to_owned());
        }
        Ok(texts)
    }

    fn index(&mut self) -> Result<(), Error> {
        let in_block = block_rows(8 * self.columns.len() as u64);
        let mut reader = self.reader()?;
        let mut record = csv::ByteRecord::new();
        while self.next(&mut reader, &mut record)? {
            if self.n_rows.is_multiple_of(in_block)
                && let Some(at) = record.position()
            {
                self.blocks.push(at.clone());
            }
            self.n_rows += 1;
        }
        if self.n_rows == 0 { Err(Error::NoRows { path: self.path.clone() }) } else { Ok(()) }
    }

    fn next(
        &self,
        reader: &mut csv::Reader<Bounded>,
        record: &mut csv::ByteRecord,
    ) -> Result<bool, Error> {
        reader.get_mut().left = ROW_BYTES_MAX;
        reader.read_byte_record(record).map_err(|error| self.csv_error(error))
    }

    fn reader(&self) -> Result<csv::Reader<Bounded>, Error> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(self.delimiter).trim(csv::Trim::All).buffer_capacity(1 << 18);
        let file = crate::open(&self.path);
        let file = file.map_err(|source| Error::Read { path: self.path.clone(), source })?;
        Ok(builder.from_reader(Bounded { file, left: ROW_BYTES_MAX }))
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of a column, as the file has it.
    pub(crate) fn name(&self, at: usize) -> String {
        self.columns.get(at).cloned().unwrap_or_default()
    }

    /// Reads all rows, as texts; each takes more memory than its bytes.
    ///
    /// * `max` — the most rows.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`], [`Error::Ragged`], and [`Error::TooLarge`].
    pub(crate) fn records(&self, max: usize) -> Result<Vec<csv::ByteRecord>, Error> {
        let mut reader = self.reader()?;
        let mut records = Vec::new();
        let mut record = csv::ByteRecord::new();
        while self.next(&mut reader, &mut record)? {
            if records.len() == max {
                let (path, what) = (self.path.clone(), "lines of a table".to_owned());
                let max = max as u64;
                return Err(Error::TooLarge { path, what, got: self.n_rows.max(max + 1), max });
            }
            records.push(record.clone());
        }
        Ok(records)
    }

    /// The number in a cell of a row that begins in `line`.
    ///
    /// # Errors
    /// [`Error::EmptyCell`], [`Error::NotANumber`], [`Error::NotFinite`], [`Error::NotExact`].
    pub(crate) fn number(
        &self,
        record: &csv::ByteRecord,
        at: usize,
        line: u64,
    ) -> Result<f64, Error> {
        let bytes = record.get(at).unwrap_or_default();
        let number = std::str::from_utf8(bytes).ok().and_then(|cell| cell.parse::<f64>().ok());
        // A whole number of many digits may be another one as float64.
        let is_exact = |value: f64| {
            value.abs() < EXACT_MAX || bytes.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        };
        if let Some(value) = number
            && (value as f32).is_finite()
            && is_exact(value)
        {
            return Ok(value);
        }
        let got = cut(&String::from_utf8_lossy(bytes));
        let (path, column, place) = (self.path.clone(), self.name(at), Place::Line(line));
        Err(match number {
            Some(value) if (value as f32).is_finite() => {
                Error::NotExact { path, place, column, got }
            }
            Some(_) => Error::NotFinite { path, place, column, got },
            None if bytes.is_empty() => Error::EmptyCell { path, place, column },
            None => Error::NotANumber { path, line, column, got },
        })
    }

    /// Appends the values of a cell by its rule.
    ///
    /// # Errors
    /// [`Error::Mismatch`], [`Error::Malformed`].
    pub(crate) fn cell(
        &self,
        record: &csv::ByteRecord,
        (at, rule): (usize, &CellRule),
        line: u64,
        into: &mut Vec<f64>,
    ) -> Result<(), Error> {
        let text = std::str::from_utf8(record.get(at).unwrap_or_default()).map_err(|_| {
            let column = self.name(at);
            let reason = format!("line {line}, column `{column}`: not UTF-8; save it in UTF-8");
            Error::Malformed { path: self.path.clone(), reason: reason.into() }
        })?;
        rule.push(Cell::Text(text.trim()), into)
            .map_err(|of| mismatched(&self.path, Place::Line(line), self.name(at), of))
    }

    fn csv_error(&self, error: csv::Error) -> Error {
        let path = self.path.clone();
        match error.kind() {
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => Error::Ragged {
                path,
                line: pos.as_ref().map_or(0, csv::Position::line),
                expected: *expected_len,
                got: *len,
            },
            csv::ErrorKind::Io(source) => {
                Error::Read { path, source: std::io::Error::new(source.kind(), source.to_string()) }
            }
            csv::ErrorKind::Utf8 { .. } => {
                let reason = "the header is not UTF-8; save it as CSV in UTF-8";
                Error::Malformed { path, reason: reason.into() }
            }
            _ => Error::Malformed { path, reason: error.into() },
        }
    }
}

/// Whether a first line is a row and no header: all of it is numbers, other than the 0, 1, 2, ...
/// or 1, 2, 3, ... with which columns are counted.
fn are_cells(names: &[String]) -> bool {
    let counts = |from: usize| names.iter().zip(from..).all(|(name, n)| *name == n.to_string());
    names.iter().all(|name| name.parse::<f64>().is_ok()) && !counts(0) && !counts(1)
}

/// The delimiter that the header holds most often outside of quotes.
fn delimiter(header: &[u8]) -> u8 {
    let mut counts = [0usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in header {
        quoted ^= *byte == b'"';
        if let (false, Some(at)) = (quoted, DELIMITERS.iter().position(|known| known == byte)) {
            counts[at] += 1;
        }
    }
    // Of equals, the first in order of preference.
    let best = (0..DELIMITERS.len()).rev().max_by_key(|at| counts[*at]).unwrap_or(0);
    DELIMITERS[best]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_beyond_a_bound_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, "a,b\n1,2\n3,4\n5,6\n").unwrap();
        let file = CsvFile::open(&path).unwrap();
        assert_eq!(file.records(3).unwrap().len(), 3);
        let error = file.records(2).unwrap_err().to_string();
        assert!(error.contains("lines of a table: 3, at most 2"), "{error}");
    }
}
