//! NPY files: one array of NumPy (NumPy Enhancement Proposal 1, versions 1.0,
//! 2.0 and 3.0). Arrays of objects are pickles, programs in disguise, and are
//! refused.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::array::{Array, Elements, Header, Order, Stored};
use crate::bounds::{COLUMNS_MAX, FILES_MAX};
use crate::literal::Literal;
use crate::{Error, cut};

/// The magic bytes of NPY files.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header, in bytes. Those of plain arrays have 118.
const HEADER_BYTES_MAX: u64 = 64 << 10;

/// Opens a file. An array of two axes is a table whose columns are called `0`, `1` and
/// so on, any other is called `values`.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`], [`Error::WrongLength`],
/// [`Error::TooLarge`], [`Error::Unsupported`].
pub(crate) fn open(path: &Path) -> Result<Npy, Error> {
    let (header, offset) = checked(path)?;
    match (&header.shape[..], header.by_column) {
        ([n_rows, n_columns], true) => {
            check_columns(path, *n_columns)?;
            let column_bytes = n_rows * header.stored.size();
            let column = |at: u64| {
                let header = Header { shape: vec![*n_rows], ..header.clone() };
                let elements = Elements::File(offset + at * column_bytes);
                Array::new(path, &at.to_string(), header, elements)
            };
            Ok(Npy::Arrays((0..*n_columns).map(column).collect()))
        }
        ([_, n_columns], false) => {
            check_columns(path, *n_columns)?;
            let array = Array::new(path, "values", header, Elements::File(offset));
            Ok(Npy::Table(array.into_table()))
        }
        _ => {
            row_major(path, &header)?;
            Ok(Npy::Arrays(vec![Array::new(path, "values", header, Elements::File(offset))]))
        }
    }
}

/// The files of a folder, in byte order of their names.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`].
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let found = crate::images::names(folder, |kind| kind.is_file(), FILES_MAX)?;
    let is_npy = |name: &Path| name.extension().is_some_and(|end| end == "npy");
    let mut files: Vec<PathBuf> =
        found.into_iter().map(|(name, _)| folder.join(name)).filter(|name| is_npy(name)).collect();
    files.sort();
    Ok(files)
}

/// Opens all files of a folder: an array each, called by its file.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_folder(folder: &Path) -> Result<Vec<Array>, Error> {
    let open = |path: PathBuf| {
        let name = path.file_stem().map(|name| name.to_string_lossy()).unwrap_or_default();
        let (header, offset) = checked(&path)?;
        row_major(&path, &header)?;
        Ok(Array::new(&path, &name, header, Elements::File(offset)))
    };
    files(folder)?.into_iter().map(open).collect()
}

/// The header of a file whose length it announces, and where the elements begin.
fn checked(path: &Path) -> Result<(Header, u64), Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let mut file = crate::open(path).map_err(read)?;
    let n_bytes = file.metadata().map_err(read)?.len();
    let (header, offset) = header(path, &mut file)?;
    let (expected, got) = (header.n_bytes(path)?, n_bytes.saturating_sub(offset));
    if expected == got {
        return Ok((header, offset));
    }
    let (path, what) = (path.to_owned(), "the NPY header".to_owned());
    Err(Error::WrongLength { path, what, expected, got })
}

/// The facts of a file's header.
#[derive(Debug)]
pub(crate) enum Npy {
    /// Rows of numbers, one a column.
    Table(Array),
    /// Columns that lie one after the other, or one array.
    Arrays(Vec<Array>),
}

fn check_columns(path: &Path, n_columns: u64) -> Result<(), Error> {
    if n_columns <= COLUMNS_MAX as u64 {
        Ok(())
    } else {
        let (path, got) = (path.to_owned(), n_columns as usize);
        Err(Error::TooManyColumns { path, got, max: COLUMNS_MAX })
    }
}

/// Refuses an array whose rows do not lie one after the other.
///
/// # Errors
/// [`Error::Unsupported`].
pub(crate) fn row_major(path: &Path, header: &Header) -> Result<(), Error> {
    if header.by_column && header.shape.len() > 1 {
        let what = "a column-major array; save `numpy.ascontiguousarray` of it";
        Err(Error::Unsupported { path: path.to_owned(), what: what.into() })
    } else {
        Ok(())
    }
}

/// Reads a header, and returns its length.
///
/// # Errors
/// [`Error::Malformed`], [`Error::TooLarge`], [`Error::Unsupported`].
pub(crate) fn header(path: &Path, from: &mut impl Read) -> Result<(Header, u64), Error> {
    let malformed =
        |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
    let truncated = |error: std::io::Error| malformed(format!("the NPY header: {error}"));
    let mut start = [0; 8];
    from.read_exact(&mut start).map_err(truncated)?;
    if !start.starts_with(MAGIC) {
        return Err(malformed("the file does not begin with the magic bytes of NPY".into()));
    }
    let (len, before) = match start[6] {
        1 => {
            let mut len = [0; 2];
            from.read_exact(&mut len).map_err(truncated)?;
            (u64::from(u16::from_le_bytes(len)), 10)
        }
        2 | 3 => {
            let mut len = [0; 4];
            from.read_exact(&mut len).map_err(truncated)?;
            (u64::from(u32::from_le_bytes(len)), 12)
        }
        version => return Err(malformed(format!("version {version} of NPY is unknown"))),
    };
    if len > HEADER_BYTES_MAX {
        let (path, what) = (path.to_owned(), "bytes of the NPY header".to_owned());
        return Err(Error::TooLarge { path, what, got: len, max: HEADER_BYTES_MAX });
    }
    let mut text = vec![0; len as usize];
    from.read_exact(&mut text).map_err(truncated)?;
    let text = String::from_utf8_lossy(&text);
    let unsupported = |what: String| Error::Unsupported { path: path.to_owned(), what };
    // A header that is not a literal names nothing.
    let literal = Literal::parse(&text);
    let value = |key| literal.as_ref().and_then(|literal| literal.get(key));
    let Some(Literal::Boolean(by_column)) = value("fortran_order") else {
        return Err(malformed("the NPY header does not name `fortran_order`".into()));
    };
    let Some(Literal::Text(descr)) = value("descr") else {
        return Err(unsupported("an array of records; save one array for each field".into()));
    };
    let (order, stored) = element(descr).ok_or_else(|| {
        unsupported(if descr.contains('O') {
            "an array of objects (a pickle), which could run code; save numbers".into()
        } else {
            format!("elements of type `{}`; save numbers of 8 to 64 bits", cut(descr))
        })
    })?;
    let shape = value("shape").and_then(shape);
    let shape = shape.ok_or_else(|| malformed("the NPY header names no shape".into()))?;
    Ok((Header { stored, order, shape, by_column: *by_column }, before + len))
}

/// NumPy's name of an element type, such as `<f4`.
fn element(descr: &str) -> Option<(Order, Stored)> {
    let order = match descr.get(..1)? {
        ">" => Order::Big,
        // A single byte has no order.
        "<" | "|" => Order::Little,
        _ => return None,
    };
    let stored = match descr.get(1..)? {
        "b1" => Stored::Bool,
        "u1" => Stored::UInt8,
        "i1" => Stored::Int8,
        "u2" => Stored::UInt16,
        "i2" => Stored::Int16,
        "u4" => Stored::UInt32,
        "i4" => Stored::Int32,
        "u8" => Stored::UInt64,
        "i8" => Stored::Int64,
        "f4" => Stored::Float32,
        "f8" => Stored::Float64,
        _ => return None,
    };
    Some((order, stored))
}

/// The numbers of `(3, 4)`.
fn shape(literal: &Literal) -> Option<Vec<u64>> {
    let Literal::Sequence(axes) = literal else { return None };
    let axis = |axis: &Literal| match axis {
        Literal::Number(length) => *length,
        _ => None,
    };
    axes.iter().map(axis).collect()
}
