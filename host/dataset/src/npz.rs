//! NPZ archives: arrays of NumPy in a ZIP file, one NPY file each
//! (`numpy.savez`, `numpy.savez_compressed`).

use std::io::Read;
use std::path::Path;

use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::array::{Array, Elements, decompress};
use crate::bounds::DECOMPRESSED_BYTES_MAX;
use crate::{Error, cut, npy};

/// The magic bytes of ZIP files.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";
/// The most arrays.
const ARRAYS_MAX: usize = 1_024;

/// Says which array it is about.
fn named(name: &str, error: Error) -> Error {
    match error {
        Error::Unsupported { path, what } => {
            Error::Unsupported { path, what: format!("array `{name}`: {what}") }
        }
        Error::Malformed { path, reason } => {
            Error::Malformed { path, reason: format!("array `{name}`: {reason}").into() }
        }
        error => error,
    }
}

/// Opens all arrays of an archive, in its order.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`], [`Error::WrongLength`],
/// [`Error::TooLarge`], [`Error::Unsupported`].
pub(crate) fn open(path: &Path) -> Result<Vec<Array>, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let file = crate::open(path).map_err(read)?;
    let n_bytes = file.metadata().map_err(read)?.len();
    let mut archive = ZipArchive::new(file).map_err(|error| malformed(path, error))?;
    if archive.len() > ARRAYS_MAX {
        let (path, what) = (path.to_owned(), "arrays".to_owned());
        let (got, max) = (archive.len() as u64, ARRAYS_MAX as u64);
        return Err(Error::TooLarge { path, what, got, max });
    }
    // The decompressed bytes are bounded for all arrays together.
    let mut left = DECOMPRESSED_BYTES_MAX;
    let mut arrays = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| malformed(path, error))?;
        arrays.push(array(path, n_bytes, entry, &mut left)?);
    }
    if arrays.is_empty() {
        let what = "an archive without arrays".to_owned();
        Err(Error::Unsupported { path: path.to_owned(), what })
    } else {
        Ok(arrays)
    }
}

fn malformed(path: &Path, error: ZipError) -> Error {
    Error::Malformed { path: path.to_owned(), reason: error.into() }
}

/// Opens one array of an archive of `n_bytes` bytes; `left` are the bytes that may still be
/// decompressed.
fn array(
    path: &Path,
    n_bytes: u64,
    mut entry: ZipFile<'_, impl Read>,
    left: &mut u64,
) -> Result<Array, Error> {
    let full = entry.name().map_err(|error| malformed(path, error))?.into_owned();
    let name = cut(full.trim_end_matches(".npy"));
    let wrong = |what: &str| Error::Malformed {
        path: path.to_owned(),
        reason: format!("array `{name}`: {what}").into(),
    };
    if !full.ends_with(".npy") {
        let office = ["[Content_Types].xml", "mimetype", "docProps/", "xl/", "META-INF/"];
        if office.iter().any(|start| full.starts_with(start)) {
            let what = "a workbook, such as Excel's, which is not read; save it as CSV";
            return Err(Error::Unsupported { path: path.to_owned(), what: what.into() });
        }
        return Err(wrong("its name does not end in .npy, as those of NumPy's arrays do"));
    }
    let start =
        entry.data_start().ok_or_else(|| wrong("the archive does not say where its data begin"))?;
    let (method, says) = (entry.compression(), entry.size());
    let header = npy::header(path, &mut entry).and_then(|(header, offset)| {
        npy::row_major(path, &header)?;
        Ok((header, offset))
    });
    let (header, offset) = header.map_err(|error| named(&name, error))?;
    let expected = header.n_bytes(path)?;
    let what = format!("the header of array `{name}`");
    if says.saturating_sub(offset) != expected {
        let (path, got) = (path.to_owned(), says.saturating_sub(offset));
        return Err(Error::WrongLength { path, what, expected, got });
    }
    let elements = match method {
        CompressionMethod::Stored => {
            let end = start.saturating_add(says);
            if end > n_bytes {
                let (path, got) = (path.to_owned(), n_bytes.saturating_sub(start));
                return Err(Error::WrongLength { path, what, expected: says, got });
            }
            Elements::File(start + offset)
        }
        CompressionMethod::Deflated => {
            let Some(rest) = left.checked_sub(expected) else {
                let what = "bytes of its arrays, decompressed (use `numpy.savez`)".into();
                let got = (DECOMPRESSED_BYTES_MAX - *left).saturating_add(expected);
                let (path, max) = (path.to_owned(), DECOMPRESSED_BYTES_MAX);
                return Err(Error::TooLarge { path, what, got, max });
            };
            *left = rest;
            Elements::Memory(decompress(path, &what, entry.by_ref(), expected)?)
        }
        _ => return Err(wrong("its compression is neither none nor deflate")),
    };
    Ok(Array::new(path, &name, header, elements))
}
