//! The cells of a CSV file as bytes, a block of rows at once: for looks at a whole file, where a copy
//! of every cell is most of the time. Rows are cut as the crate `csv` cuts them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::bounds::{BLOCK_BYTES, ROW_BYTES_MAX};

/// How much of a file is read at once, in bytes: so much that the different cells of one column stay in
/// the cache of a core while it takes its cells of a block.
const READ_BYTES: u64 = BLOCK_BYTES;
/// The mark of a cell that differs from its bytes in the file: a quote in it is written twice.
const UNQUOTED: u32 = 1 << 31;

/// A CSV file that is cut into rows. Memory is that of a block, or of the longest row.
pub(crate) struct Cells {
    path: PathBuf,
    file: File,
    /// How much is read at once.
    read_bytes: u64,
    delimiter: u8,
    n_columns: usize,
    /// The part of the file that was read and not cut.
    rest: Vec<u8>,
    is_end: bool,
    /// The line of the next row, from 1.
    line: u64,
}

/// A part of the file, and how it is cut into rows.
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// How much of the bytes was cut.
    done: usize,
    knife: Knife,
}

/// Some rows with as many cells as the header each.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    bytes: &'a [u8],
    knife: &'a Knife,
}

impl Block {
    /// The rows that were cut.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { bytes: &self.bytes, knife: &self.knife }
    }
}

impl Cells {
    /// Opens a file at its first row after the header.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NoRows`].
    pub(crate) fn open(path: &Path, delimiter: u8, n_columns: usize) -> Result<Self, Error> {
        Self::with(path, delimiter, n_columns, READ_BYTES)
    }

    fn with(path: &Path, delimiter: u8, n_columns: usize, read_bytes: u64) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let file = crate::open(path).map_err(read)?;
        let (path, rest) = (path.to_owned(), Vec::new());
        let mut this =
            Self { path, file, read_bytes, delimiter, n_columns, rest, is_end: false, line: 1 };
        let mut header = this.block();
        while header.bytes.len() < 3 && !this.is_end {
            this.more(&mut header)?;
        }
        if header.bytes.starts_with(b"\xef\xbb\xbf") {
            header.done = 3;
        }
        if !this.cut(&mut header)? {
            return Err(Error::NoRows { path: this.path });
        }
        this.rest.extend_from_slice(header.bytes.get(header.done..).unwrap_or_default());
        Ok(this)
    }

    /// A block without rows.
    pub(crate) fn block(&self) -> Block {
        let knife = Knife::new(self.delimiter, self.n_columns);
        Block { bytes: Vec::new(), done: 0, knife }
    }

    /// Cuts the next rows, which take the place of those in `block`; false at the end of the file.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(crate) fn next(&mut self, block: &mut Block) -> Result<bool, Error> {
        block.knife.clear();
        block.bytes.clear();
        block.bytes.append(&mut self.rest);
        block.done = 0;
        if !self.cut(block)? {
            return Ok(false);
        }
        while self.cut_here(block) {}
        self.rest.extend_from_slice(block.bytes.get(block.done..).unwrap_or_default());
        Ok(true)
    }

    /// Cuts one row, for which more of the file is read if need be; false at the end of the file.
    fn cut(&mut self, block: &mut Block) -> Result<bool, Error> {
        while !self.cut_here(block) {
            if self.is_end {
                return Ok(false);
            }
            if (block.bytes.len() - block.done) as u64 >= ROW_BYTES_MAX {
                let text =
                    format!("a row is longer than {ROW_BYTES_MAX} bytes; a quote may be unclosed");
                let source = std::io::Error::new(std::io::ErrorKind::InvalidData, text);
                return Err(Error::Read { path: self.path.clone(), source });
            }
            self.more(block)?;
        }
        Ok(true)
    }

    /// Cuts one row of the bytes that are here; false if its end is not.
    fn cut_here(&mut self, block: &mut Block) -> bool {
        let Block { bytes, done, knife } = block;
        // Empty lines are not rows.
        while let Some(end @ (b'\n' | b'\r')) = bytes.get(*done) {
            self.line += u64::from(*end == b'\n');
            *done += 1;
        }
        let row = bytes.get(*done..).filter(|rest| !rest.is_empty());
        let Some((end, n_lines)) =
            row.and_then(|_| knife.cut(bytes, *done, self.line, self.is_end))
        else {
            return false;
        };
        *done = end;
        self.line += n_lines;
        true
    }

    fn more(&mut self, block: &mut Block) -> Result<(), Error> {
        let read = |source| Error::Read { path: self.path.clone(), source };
        // A row of many bytes is not cut from its beginning for each piece of it.
        let wanted = self.read_bytes.max((block.bytes.len() - block.done) as u64);
        let n = (&self.file).take(wanted).read_to_end(&mut block.bytes).map_err(read)?;
        self.is_end = (n as u64) < wanted;
        Ok(())
    }
}

impl<'a> Rows<'a> {
    /// The cells of a column without blanks around them, row by row.
    pub(crate) fn column(self, at: usize) -> impl Iterator<Item = &'a [u8]> {
        let cells = self.knife.cells.iter().skip(at).step_by(self.knife.n_columns);
        cells.map(move |(start, len)| {
            let is_here = start & UNQUOTED == 0;
            let from = if is_here { self.bytes } else { &self.knife.unquoted };
            let start = (start & !UNQUOTED) as usize;
            from.get(start..start + *len as usize).unwrap_or_default().trim_ascii()
        })
    }

    /// The line of each row, from 1.
    pub(crate) fn lines(self) -> &'a [u64] {
        &self.knife.lines
    }

    /// Line and cells of the rows that have more or fewer cells than the header.
    pub(crate) fn ragged(self) -> &'a [(u64, u64)] {
        &self.knife.ragged
    }
}

/// Cuts rows into cells.
struct Knife {
    delimiter: u8,
    n_columns: usize,
    /// Whether a byte ends a cell that does not begin with a quote.
    ends: [bool; 256],
    /// Start and length of each cell.
    cells: Vec<(u32, u32)>,
    /// The cells with [`UNQUOTED`].
    unquoted: Vec<u8>,
    lines: Vec<u64>,
    ragged: Vec<(u64, u64)>,
}

impl Knife {
    fn new(delimiter: u8, n_columns: usize) -> Self {
        let mut ends = [false; 256];
        [delimiter, b'\n', b'\r'].iter().for_each(|byte| ends[usize::from(*byte)] = true);
        let (cells, unquoted, lines, ragged) = Default::default();
        Self { delimiter, n_columns, ends, cells, unquoted, lines, ragged }
    }

    fn clear(&mut self) {
        self.cells.clear();
        self.unquoted.clear();
        self.lines.clear();
        self.ragged.clear();
    }

    /// Cuts the row at `at`, and returns its end and the line breaks within its quotes; none if the
    /// row goes on behind `bytes`.
    fn cut(&mut self, bytes: &[u8], at: usize, line: u64, is_end: bool) -> Option<(usize, u64)> {
        let before = (self.cells.len(), self.unquoted.len());
        let cut = self.cut_cells(bytes, at, is_end);
        match cut {
            Some((_, _, n)) if n == self.n_columns as u64 => self.lines.push(line),
            other => {
                self.cells.truncate(before.0);
                self.unquoted.truncate(before.1);
                self.ragged.extend(other.map(|(_, _, n)| (line, n)));
            }
        }
        cut.map(|(end, n_lines, _)| (end, n_lines))
    }

    /// Cuts the cells of a row; returns its end, the line breaks within quotes, and its cells.
    fn cut_cells(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        is_end: bool,
    ) -> Option<(usize, u64, u64)> {
        let (mut n_lines, mut n_cells) = (0, 0);
        loop {
            let start = at;
            let cell;
            if bytes.get(at) == Some(&b'"') {
                let breaks;
                (cell, at, breaks) = self.quoted(bytes, at, is_end)?;
                n_lines += breaks;
            } else {
                at = self.end(bytes, at);
                cell = (start as u32, (at - start) as u32);
            }
            if n_cells < self.n_columns as u64 {
                self.cells.push(cell);
            }
            n_cells += 1;
            match bytes.get(at) {
                None if is_end => return Some((at, n_lines, n_cells)),
                None => return None,
                Some(byte) if *byte == self.delimiter => at += 1,
                Some(_) => return Some((at, n_lines, n_cells)),
            }
        }
    }

    /// Where the cell ends that `at` is in, outside of quotes.
    fn end(&self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let (words, tail) = rest.as_chunks::<8>();
        for (nth, word) in words.iter().enumerate() {
            let found = self.ends_in(u64::from_le_bytes(*word));
            if found != 0 {
                return at + 8 * nth + (found.trailing_zeros() / 8) as usize;
            }
        }
        let behind = tail.iter().position(|byte| self.ends[usize::from(*byte)]);
        at + 8 * words.len() + behind.unwrap_or(tail.len())
    }

    /// Bits of a word of eight bytes, the lowest of which is in the first byte that ends a cell; none
    /// if no byte does.
    fn ends_in(&self, word: u64) -> u64 {
        const ONES: u64 = u64::MAX / 255;
        // Above a byte that is zero, borrows may set the bits of others (Mycroft 1987).
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
        [self.delimiter, b'\n', b'\r']
            .into_iter()
            .fold(0, |found, byte| found | zeros(word ^ (ONES * u64::from(byte))))
    }

    /// Cuts a cell that begins with a quote; returns it, its end, and the line breaks in it.
    fn quoted(
        &mut self,
        bytes: &[u8],
        at: usize,
        is_end: bool,
    ) -> Option<((u32, u32), usize, u64)> {
        let first = at + 1;
        let rest = bytes.get(first..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        let end = first + length + 1;
        let is_plain = match bytes.get(end) {
            Some(byte) => self.ends[usize::from(*byte)],
            None if !is_end => return None,
            None => end == bytes.len(),
        };
        let (cell, end) = if is_plain {
            ((first as u32, length as u32), end)
        } else {
            self.unquote(bytes, first, is_end)?
        };
        let breaks =
            bytes.get(first..end).unwrap_or_default().iter().filter(|byte| **byte == b'\n');
        Some((cell, end, breaks.count() as u64))
    }

    /// Copies a cell with a quote within, or with bytes between the second quote and the
    /// delimiter, which belong to it. A quote that is never closed ends with the file.
    fn unquote(&mut self, bytes: &[u8], first: usize, is_end: bool) -> Option<((u32, u32), usize)> {
        let (from, mut at) = (self.unquoted.len(), first);
        loop {
            match (bytes.get(at), bytes.get(at + 1)) {
                (None, _) | (Some(b'"'), None) if !is_end => return None,
                (None, _) => break,
                (Some(b'"'), Some(b'"')) => {
                    self.unquoted.push(b'"');
                    at += 2;
                }
                (Some(b'"'), _) => {
                    let end = self.end(bytes, at + 1);
                    self.unquoted.extend(bytes.get(at + 1..end).unwrap_or_default());
                    at = end;
                    break;
                }
                (Some(byte), _) => {
                    self.unquoted.push(*byte);
                    at += 1;
                }
            }
        }
        Some(((from as u32 | UNQUOTED, (self.unquoted.len() - from) as u32), at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a text with its number of cells and the others, by this reader and by `csv`.
    /// Rows of cells, and the lines that they are in.
    type Read = (Vec<Vec<Vec<u8>>>, Vec<u64>);

    fn both(text: &[u8], n_columns: usize, read_bytes: u64) -> [Read; 2] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.csv");
        std::fs::write(&path, text).unwrap();
        let (mut rows, mut ragged) = (Vec::new(), Vec::new());
        // The first row is taken for the header.
        if let Ok(mut cells) = Cells::with(&path, b',', n_columns, read_bytes) {
            let mut block = cells.block();
            while cells.next(&mut block).unwrap() {
                let next = block.rows();
                let columns: Vec<Vec<&[u8]>> =
                    (0..n_columns).map(|at| next.column(at).collect()).collect();
                for row in 0..next.lines().len() {
                    rows.push(columns.iter().map(|column| column[row].to_vec()).collect());
                }
                ragged.extend(next.ragged().iter().map(|(_, n)| *n));
            }
        }
        let (mut expected, mut others) = (Vec::new(), Vec::new());
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.flexible(true).trim(csv::Trim::All).from_reader(text);
        for record in reader.byte_records() {
            let record = record.unwrap();
            if record.len() == n_columns {
                expected.push(record.iter().map(|cell| cell.trim_ascii().to_vec()).collect());
            } else {
                others.push(record.len() as u64);
            }
        }
        [(rows, ragged), (expected, others)]
    }

    #[test]
    fn rows_are_those_of_the_crate_csv_wherever_they_are_read_apart() {
        let mut state = 3u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (state >> 33) as usize % n
        };
        for _ in 0..3_000 {
            let alphabet = b"a,,,\"\"\n\n\r 1x";
            let length = next(40);
            let mut text = b"h,h\n".to_vec();
            text.extend((0..length).map(|_| alphabet[next(alphabet.len())]));
            let [ours, theirs] = both(&text, 1 + next(3), 1 + next(9) as u64);
            assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn lines_are_counted_within_quotes_and_over_empty_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.csv");
        std::fs::write(&path, "\u{feff}a,b\r\n1,\"x\ny\"\r\n\r\n2,z\r\n3\r\n4,\"un\"\"quoted\"")
            .unwrap();
        let mut cells = Cells::open(&path, b',', 2).unwrap();
        let mut block = cells.block();
        assert!(cells.next(&mut block).unwrap());
        let rows = block.rows();
        assert_eq!((rows.lines(), rows.ragged()), (&[2, 5, 7][..], &[(6, 1)][..]));
        let texts: Vec<&[u8]> = rows.column(1).collect();
        assert_eq!(texts, [&b"x\ny"[..], b"z", b"un\"quoted"]);
        assert!(!cells.next(&mut block).unwrap());
    }
}
