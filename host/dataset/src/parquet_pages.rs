//! The sizes of the pages of a Parquet file. The library asks for the memory
//! that a page's header names; here the headers are read before it does.
//!
//! A header is a struct in Thrift's compact protocol whose first fields are 1,
//! the type, 2, the size after decompression, and 3, the size in the file.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use parquet::file::metadata::ColumnChunkMetaData;

use crate::bounds::PAGE_BYTES_MAX;
use crate::{Error, cut};

/// The deepest nesting of a header; that of the format is 3.
const DEPTH_MAX: usize = 8;
/// The longest header of a page, in bytes: it may hold two values as statistics.
const HEADER_BYTES_MAX: u64 = 1 << 20;

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
        reason: format!("column `{name}`: {reason}"),
    };
    let read = |source| Error::Read { path: path.to_owned(), source };
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let (start, len) = (u64::try_from(start), u64::try_from(column.compressed_size()));
    let (Ok(start), Ok(len)) = (start, len) else {
        return Err(malformed("its place in the file is negative"));
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
        let (Ok(unpacked), Ok(packed)) = (u64::try_from(sizes.0), u64::try_from(sizes.1)) else {
            return Err(malformed("the size of a page is negative"));
        };
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
/// None means that it is none.
struct Compact<R> {
    bytes: R,
    /// Bytes read.
    n: u64,
}

impl<R: Read> Compact<R> {
    /// Reads a page header to its end, and returns its two sizes.
    fn page_sizes(&mut self) -> Option<(i64, i64)> {
        let (mut sizes, mut id) = ([None; 2], 0);
        loop {
            let (next, kind) = match self.field(id)? {
                Some(field) => field,
                None => return Some((sizes[0]?, sizes[1]?)),
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
                _ => self.skip(kind, 0)?,
            }
        }
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
            8 => {
                let len = self.varint()?;
                self.pass(len)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let n = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                for _ in 0..n {
                    // Elements of a list have a byte even if they are truth values.
                    match byte & 0x0f {
                        1 | 2 => drop(self.byte()?),
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            12 => {
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

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
