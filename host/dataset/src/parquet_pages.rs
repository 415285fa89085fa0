//! The sizes of the pages of a Parquet file. The library asks for the memory
//! that a page's header names; here the headers are read before it does.
//!
//! A header is a struct in Thrift's compact protocol whose first fields are 1,
//! the type, 2, the size after decompression, and 3, the size in the file; 7 is the header of a
//! dictionary, whose first field is how many values it has.
//!
//! It also checks the announced lengths of the footer's lists and trees.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use parquet::basic::Type as Physical;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::bounds::{COLUMNS_MAX, PAGE_BYTES_MAX, PARQUET_DEPTH_MAX, PARQUET_LIST_MAX};
use crate::{Error, cut};

/// The deepest nesting of a header; that of the format is 3.
const DEPTH_MAX: usize = 8;
/// The longest header of a page, in bytes: it may hold two values as statistics.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// The most bytes of all columns' names together, each from the root of the schema on.
const PATH_BYTES_MAX: u64 = 64 << 20;

/// The header of a page.
struct PageSizes {
    /// After decompression, in bytes.
    unpacked: i64,
    /// In the file, in bytes.
    packed: i64,
    /// Values of a dictionary; 0 for other pages.
    dictionary: i64,
}

/// The most texts of a dictionary: the library keeps 32 bytes for each.
const TEXTS_MAX: u64 = 1 << 20;

/// Walks through the `len` bytes of a footer, which `from` is about to give: the library asks for
/// the memory that lists and trees in it say that they need.
///
/// # Errors
/// [`Error::Malformed`].
pub(crate) fn check_schema(path: &Path, from: impl Read, len: u64) -> Result<(), Error> {
    let mut footer = Compact { bytes: BufReader::new(from.take(len)), n: 0 };
    let mut walk = || {
        let mut id = 0;
        while let Some((next, kind)) = footer.field(id)? {
            id = next;
            match (id, kind) {
                (2, LIST) => footer.schema()?,
                (2, _) => return None,
                _ => footer.skip(kind, 0)?,
            }
        }
        Some(())
    };
    walk().ok_or_else(|| Error::Malformed {
        path: path.to_owned(),
        reason: format!(
            "its footer is malformed, has columns nested deeper than {PARQUET_DEPTH_MAX}, or \
             exceeds a limit of the reader"
        )
        .into(),
    })
}

/// Walks through the pages of a column chunk.
///
/// # Errors
/// [`Error::Malformed`], [`Error::WrongLength`], [`Error::TooLarge`],
/// [`Error::Read`].
pub(crate) fn check_pages(
    path: &Path,
    file: &mut File,
    column: &ColumnChunkMetaData,
    n_bytes: u64,
) -> Result<(), Error> {
    let name = cut(&column.column_path().string());
    let malformed = |reason: &str| Error::Malformed {
        path: path.to_owned(),
        reason: format!("column `{name}`: {reason}").into(),
    };
    let read = |source| Error::Read { path: path.to_owned(), source };
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let (start, len) = (u64::try_from(start), u64::try_from(column.compressed_size()));
    let (Ok(start), Ok(len)) = (start, len) else {
        return Err(malformed("its offset in the file is negative"));
    };
    let end = start.saturating_add(len);
    if end > n_bytes {
        let (path, what) = (path.to_owned(), format!("column `{name}`"));
        return Err(Error::WrongLength { path, what, expected: end, got: n_bytes });
    }
    let mut at = start;
    while at < end {
        file.seek(SeekFrom::Start(at)).map_err(read)?;
        let bytes = BufReader::with_capacity(128, (&*file).take(HEADER_BYTES_MAX.min(end - at)));
        let mut header = Compact { bytes, n: 0 };
        let sizes = header.page_sizes().ok_or_else(|| malformed("a page has no header"))?;
        let (Ok(unpacked), Ok(packed)) =
            (u64::try_from(sizes.unpacked), u64::try_from(sizes.packed))
        else {
            return Err(malformed("the size of a page is negative"));
        };
        let value_bytes = match column.column_type() {
            Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 4,
            Physical::INT64 | Physical::DOUBLE => 8,
            _ => 1,
        };
        let n_values = u64::try_from(sizes.dictionary).unwrap_or(u64::MAX);
        if n_values > unpacked / value_bytes {
            return Err(malformed("a dictionary announces more values than its bytes can hold"));
        }
        if column.column_type() == Physical::BYTE_ARRAY && n_values > TEXTS_MAX {
            let (path, what) = (path.to_owned(), format!("texts of column `{name}`'s dictionary"));
            return Err(Error::TooLarge { path, what, got: n_values, max: TEXTS_MAX });
        }
        if unpacked > PAGE_BYTES_MAX {
            let (path, what) = (path.to_owned(), format!("bytes of a page of column `{name}`"));
            return Err(Error::TooLarge { path, what, got: unpacked, max: PAGE_BYTES_MAX });
        }
        let next = at.saturating_add(header.n).saturating_add(packed);
        if next > end {
            let (path, what) = (path.to_owned(), format!("a page of column `{name}`"));
            return Err(Error::WrongLength { path, what, expected: next - at, got: end - at });
        }
        at = next;
    }
    Ok(())
}

/// Thrift's compact protocol, as far as needed to find the end of a struct.
/// None if it is malformed.
struct Compact<R> {
    bytes: R,
    /// Bytes read.
    n: u64,
}

impl<R: Read> Compact<R> {
    /// Reads a page header to its end.
    fn page_sizes(&mut self) -> Option<PageSizes> {
        let (mut sizes, mut dictionary, mut id) = ([None; 2], 0, 0);
        loop {
            let (next, kind) = match self.field(id)? {
                Some(field) => field,
                None => {
                    let [unpacked, packed] = sizes;
                    let (unpacked, packed) = (unpacked?, packed?);
                    return Some(PageSizes { unpacked, packed, dictionary });
                }
            };
            id = next;
            match (id, kind) {
                (2 | 3, I32) => {
                    // A size that is named twice is named for two readers.
                    let size = &mut sizes[(id - 2) as usize];
                    if size.is_some() {
                        return None;
                    }
                    *size = Some(zigzag(self.varint()?));
                }
                (2 | 3, _) => return None,
                (7, STRUCT) => self.number_of(1, |n| dictionary = dictionary.max(n))?,
                _ => self.skip(kind, 0)?,
            }
        }
    }

    /// Reads a struct to its end, and passes on each number that its field `wanted` has.
    fn number_of(&mut self, wanted: i64, mut take: impl FnMut(i64)) -> Option<()> {
        let mut id = 0;
        while let Some((next, kind)) = self.field(id)? {
            id = next;
            match (id == wanted, kind) {
                (true, I32) => take(zigzag(self.varint()?)),
                (true, _) => return None,
                _ => self.skip(kind, 0)?,
            }
        }
        Some(())
    }

    /// Reads the elements of a schema, which are a tree in the order of its nodes, each before its
    /// children: field 4 is the name, field 5 how many children there are.
    fn schema(&mut self) -> Option<()> {
        let n = self.list(STRUCT)?;
        if n > 2 * COLUMNS_MAX as u64 {
            return None;
        }
        // Children that are still to come, of each node on the way.
        let (mut open, mut path_bytes) = (Vec::<(u64, u64)>::new(), 0u64);
        for nth in 0..n {
            let (mut name, mut children, mut id) = (0, 0, 0);
            while let Some((next, kind)) = self.field(id)? {
                id = next;
                match (id, kind) {
                    (4, BINARY) => {
                        name = self.varint()?;
                        self.pass(name)?;
                    }
                    (5, I32) => {
                        // Of a number that is named twice, the larger one counts.
                        let n = u64::try_from(zigzag(self.varint()?)).ok()?;
                        children = n.max(children);
                    }
                    _ => self.skip(kind, 0)?,
                }
            }
            while open.last().is_some_and(|(left, _)| *left == 0) {
                open.pop();
            }
            if nth > 0 {
                open.last_mut()?.0 -= 1;
            }
            // The path from the root: leaves are identified by it.
            let above = open.last().map_or(0, |(_, bytes)| *bytes) + name;
            path_bytes += above;
            if children > 0 {
                open.push((children, above));
            }
            if children >= n - nth || open.len() > PARQUET_DEPTH_MAX || path_bytes > PATH_BYTES_MAX
            {
                return None;
            }
        }
        Some(())
    }

    /// Reads the beginning of a list of such elements, and returns how many there are.
    fn list(&mut self, kind: u8) -> Option<u64> {
        let byte = self.byte()?;
        let n = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        (byte & 0x0f == kind && n <= PARQUET_LIST_MAX).then_some(n)
    }

    /// Reads the beginning of a field: id and type, or the end of the struct.
    fn field(&mut self, last: i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        let id = match byte >> 4 {
            0 => zigzag(self.varint()?),
            delta => last.checked_add(i64::from(delta))?,
        };
        Some(Some((id, byte & 0x0f)))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            // Truth values lie in the type.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4 | I32 | 6 => drop(self.varint()?),
            7 => self.pass(8)?,
            BINARY => {
                let len = self.varint()?;
                self.pass(len)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let n = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                if n > PARQUET_LIST_MAX {
                    return None;
                }
                for _ in 0..n {
                    // Elements of a list have a byte even if they are truth values.
                    match byte & 0x0f {
                        1 | 2 => drop(self.byte()?),
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            STRUCT => {
                let mut id = 0;
                while let Some((next, kind)) = self.field(id)? {
                    id = next;
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.bytes.read_exact(&mut byte).ok()?;
        self.n += 1;
        Some(byte[0])
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn pass(&mut self, n: u64) -> Option<()> {
        let passed = std::io::copy(&mut (&mut self.bytes).take(n), &mut std::io::sink()).ok()?;
        self.n += passed;
        (passed == n).then_some(())
    }
}

/// The type of 32-bit integers.
const I32: u8 = 5;
/// The type of bytes and texts.
const BINARY: u8 = 8;
/// The type of lists.
const LIST: u8 = 9;
/// The type of structs.
const STRUCT: u8 = 12;

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
