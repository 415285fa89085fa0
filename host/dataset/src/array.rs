//! Arrays of numbers as they lie in IDX files, NPY files and NPZ archives:
//! elements of one type, row-major, one after the other.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bounds::{AXES_MAX, ROW_VALUES_MAX, ROWS_MAX};
use crate::{Element, Error, Field, Place, Values};

/// Beyond it float64 does not hold every whole number.
const EXACT_MAX: u64 = 1 << 53;

/// Element type of an array as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Bool,
    UInt8,
    Int8,
    UInt16,
    Int16,
    UInt32,
    Int32,
    UInt64,
    Int64,
    Float32,
    Float64,
}

impl Stored {
    /// Bytes of one element.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Bool | Self::UInt8 | Self::Int8 => 1,
            Self::UInt16 | Self::Int16 => 2,
            Self::UInt32 | Self::Int32 | Self::Float32 => 4,
            Self::UInt64 | Self::Int64 | Self::Float64 => 8,
        }
    }

    /// One element, in float64: integers beyond 2^53 are rounded.
    ///
    /// # Panics
    /// If there are not [`Stored::size`] bytes.
    pub(crate) fn number(self, order: Order, bytes: &[u8]) -> f64 {
        /// The element of a type.
        macro_rules! of {
            ($type:ty) => {{
                let mut own = [0; size_of::<$type>()];
                own.copy_from_slice(bytes);
                match order {
                    Order::Little => <$type>::from_le_bytes(own),
                    Order::Big => <$type>::from_be_bytes(own),
                }
            }};
        }
        match self {
            Self::Bool => f64::from(u8::from(bytes[0] != 0)),
            Self::UInt8 => f64::from(bytes[0]),
            Self::Int8 => f64::from(of!(i8)),
            Self::UInt16 => f64::from(of!(u16)),
            Self::Int16 => f64::from(of!(i16)),
            Self::UInt32 => f64::from(of!(u32)),
            Self::Int32 => f64::from(of!(i32)),
            Self::UInt64 => of!(u64) as f64,
            Self::Int64 => of!(i64) as f64,
            Self::Float32 => f64::from(of!(f32)),
            Self::Float64 => of!(f64),
        }
    }

    fn element(self) -> Element {
        match self {
            Self::UInt8 => Element::UInt8,
            Self::Float32 => Element::Float32,
            _ => Element::Float64,
        }
    }
}

/// Byte order of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// Where the elements are.
#[derive(Clone, Debug)]
pub(crate) enum Elements {
    /// In a file, from this offset on.
    File(u64),
    /// In memory, since they were compressed.
    Memory(Vec<u8>),
}

/// An array with at least one row.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    /// The file that it is in, for reading and for messages.
    pub(crate) path: PathBuf,
    pub(crate) field: Field,
    pub(crate) n_rows: u64,
    stored: Stored,
    order: Order,
    elements: Elements,
    /// Whether rows are those of a table, see [`Array::columns`].
    is_table: bool,
}

/// The facts of a header, checked against the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) stored: Stored,
    pub(crate) order: Order,
    /// That of the rows first.
    pub(crate) shape: Vec<u64>,
    /// Whether the first axis changes fastest, not the last one.
    pub(crate) by_column: bool,
}

impl Header {
    /// Bytes of all elements.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Unsupported`] without an axis or elements.
    pub(crate) fn n_bytes(&self, path: &Path) -> Result<u64, Error> {
        let too_large = |what: &str, got, max| {
            Err(Error::TooLarge { path: path.to_owned(), what: what.to_owned(), got, max })
        };
        let Some((n_rows, shape)) = self.shape.split_first() else {
            let what = "an array without axes; the first axis must be that of the rows";
            return Err(Error::Unsupported { path: path.to_owned(), what: what.into() });
        };
        if self.shape.len() > AXES_MAX {
            return too_large("axes", self.shape.len() as u64, AXES_MAX as u64);
        }
        if *n_rows > ROWS_MAX {
            return too_large("rows", *n_rows, ROWS_MAX);
        }
        let width = shape.iter().fold(1u64, |product, n| product.saturating_mul(*n));
        if width > ROW_VALUES_MAX {
            return too_large("values of a row", width, ROW_VALUES_MAX);
        }
        if *n_rows == 0 || width == 0 {
            let what = format!("an array of shape {:?} has no values", self.shape);
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        // At most 2^48 x 2^22 x 8: it saturates, and no file has that length.
        Ok(n_rows.saturating_mul(width).saturating_mul(self.stored.size()))
    }
}

impl Array {
    /// Puts an array together from a header whose [`Header::n_bytes`] is the
    /// length of `elements`.
    pub(crate) fn new(path: &Path, name: &str, header: Header, elements: Elements) -> Self {
        let mut shape = header.shape;
        let n_rows = if shape.is_empty() { 0 } else { shape.remove(0) };
        let field = Field { name: name.to_owned(), element: header.stored.element(), shape };
        let Header { stored, order, .. } = header;
        Self { path: path.to_owned(), field, n_rows, stored, order, elements, is_table: false }
    }

    /// The same as the rows of a table.
    pub(crate) fn into_table(self) -> Self {
        Self { is_table: true, ..self }
    }

    /// The fields of a table whose rows this is: a number a column, called by its place.
    pub(crate) fn columns(&self) -> Vec<Field> {
        let element = self.field.element;
        let field = |at: usize| Field { name: at.to_string(), element, shape: vec![] };
        (0..self.field.width()).map(field).collect()
    }

    /// Reads some rows of some columns, see [`Array::columns`].
    ///
    /// # Errors
    /// As [`Array::read`].
    pub(crate) fn read_columns(
        &self,
        rows: Range<u64>,
        columns: &[usize],
    ) -> Result<Vec<Values>, Error> {
        let (read, width) = (self.read(rows)?, self.field.width());
        let column = |at: &usize| match &read {
            Values::UInt8(all) => Values::UInt8(column(all, *at, width)),
            Values::Float32(all) => Values::Float32(column(all, *at, width)),
            Values::Float64(all) => Values::Float64(column(all, *at, width)),
        };
        Ok(columns.iter().map(column).collect())
    }

    /// Reads some rows.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NotFinite`], [`Error::NotExact`], and
    /// [`Error::Changed`] if the file is shorter now.
    pub(crate) fn read(&self, rows: Range<u64>) -> Result<Values, Error> {
        let row_bytes = self.field.width() as u64 * self.stored.size();
        let (start, len) = (rows.start * row_bytes, (rows.end - rows.start) * row_bytes);
        let mut buffer = Vec::new();
        let bytes = match &self.elements {
            Elements::Memory(bytes) => {
                let found = bytes.get(start as usize..(start + len) as usize);
                found.ok_or_else(|| Error::Changed { path: self.path.clone() })?
            }
            Elements::File(offset) => {
                let read = |source| Error::Read { path: self.path.clone(), source };
                let mut file = crate::open(&self.path).map_err(read)?;
                file.seek(SeekFrom::Start(offset + start)).map_err(read)?;
                buffer.reserve_exact(len as usize);
                file.take(len).read_to_end(&mut buffer).map_err(read)?;
                if buffer.len() as u64 != len {
                    return Err(Error::Changed { path: self.path.clone() });
                }
                &buffer
            }
        };
        self.values(bytes, rows.start)
    }

    fn values(&self, bytes: &[u8], first_row: u64) -> Result<Values, Error> {
        /// Takes the elements of one type apart.
        macro_rules! each {
            ($type:ty, $convert:expr) => {{
                let (chunks, _) = bytes.as_chunks();
                let convert = $convert;
                match self.order {
                    Order::Little => chunks
                        .iter()
                        .enumerate()
                        .map(|(at, bytes)| convert(at, <$type>::from_le_bytes(*bytes)))
                        .collect::<Result<Vec<_>, Error>>()?,
                    Order::Big => chunks
                        .iter()
                        .enumerate()
                        .map(|(at, bytes)| convert(at, <$type>::from_be_bytes(*bytes)))
                        .collect::<Result<Vec<_>, Error>>()?,
                }
            }};
        }
        let width = self.field.width();
        let place = |at: usize| Place::Row(first_row + (at / width) as u64);
        let name = |at: usize| {
            if self.is_table { (at % width).to_string() } else { self.field.name.clone() }
        };
        let named = |at, got: String| (self.path.clone(), place(at), name(at), got);
        let not_finite = |at, got| {
            let (path, place, column, got) = named(at, got);
            Error::NotFinite { path, place, column, got }
        };
        let not_exact = |at, got| {
            let (path, place, column, got) = named(at, got);
            Error::NotExact { path, place, column, got }
        };
        Ok(match self.stored {
            Stored::UInt8 => Values::UInt8(bytes.to_vec()),
            Stored::Bool => {
                Values::Float64(bytes.iter().map(|byte| f64::from(u8::from(*byte != 0))).collect())
            }
            Stored::Int8 => Values::Float64(each!(i8, |_, v| Ok(f64::from(v)))),
            Stored::UInt16 => Values::Float64(each!(u16, |_, v| Ok(f64::from(v)))),
            Stored::Int16 => Values::Float64(each!(i16, |_, v| Ok(f64::from(v)))),
            Stored::UInt32 => Values::Float64(each!(u32, |_, v| Ok(f64::from(v)))),
            Stored::Int32 => Values::Float64(each!(i32, |_, v| Ok(f64::from(v)))),
            Stored::UInt64 => Values::Float64(each!(u64, |at, v: u64| if v <= EXACT_MAX {
                Ok(v as f64)
            } else {
                Err(not_exact(at, v.to_string()))
            })),
            Stored::Int64 => {
                Values::Float64(each!(i64, |at, v: i64| if v.unsigned_abs() <= EXACT_MAX {
                    Ok(v as f64)
                } else {
                    Err(not_exact(at, v.to_string()))
                }))
            }
            Stored::Float32 => Values::Float32(each!(f32, |at, v: f32| if v.is_finite() {
                Ok(v)
            } else {
                Err(not_finite(at, v.to_string()))
            })),
            Stored::Float64 => {
                Values::Float64(each!(f64, |at, v: f64| if (v as f32).is_finite() {
                    Ok(v)
                } else {
                    Err(not_finite(at, v.to_string()))
                }))
            }
        })
    }
}

fn column<T: Copy>(all: &[T], at: usize, width: usize) -> Vec<T> {
    all.iter().skip(at).step_by(width).copied().collect()
}

/// Reads exactly `expected` bytes of something that was compressed. Memory
/// grows with the bytes that come out, never with the size in a header.
///
/// # Errors
/// [`Error::WrongLength`] if fewer or more come out, [`Error::Read`].
pub(crate) fn decompress(
    path: &Path,
    what: &str,
    from: impl Read,
    expected: u64,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = from.take(expected.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let got = bytes.len() as u64;
    if got != expected {
        let (path, what) = (path.to_owned(), what.to_owned());
        return Err(Error::WrongLength { path, what, expected, got });
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}
