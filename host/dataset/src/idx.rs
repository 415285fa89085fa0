//! IDX files, the format of MNIST: a magic number, the lengths of the axes,
//! big-endian elements (yann.lecun.com/exdb/mnist). Images and labels are two
//! files; either may be compressed with gzip.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::Error;
use crate::array::{Array, Elements, Header, Order, Stored, decompress};
use crate::bounds::{AXES_MAX, DECOMPRESSED_BYTES_MAX, FILES_MAX};

/// The magic bytes of gzip files (RFC 1952, 2.3.1).
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens images and, if they are there, their labels: `image` and `label`. An
/// array of numbers is called `values`, one of single numbers `label`.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`], [`Error::WrongLength`],
/// [`Error::TooLarge`], [`Error::Unsupported`].
pub(crate) fn open(path: &Path) -> Result<Vec<Array>, Error> {
    files(path)?.iter().map(|path| array(path)).collect()
}

/// The file of images and, if it is there, that of their labels. Of several pairs in a
/// folder, the one whose name begins with `train`.
///
/// # Errors
/// [`Error::Read`], [`Error::Unsupported`] for a folder without one such pair.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let images = if path.is_dir() { images_in(path)? } else { path.to_owned() };
    let labels = labels_of(&images);
    Ok([images].into_iter().chain(labels).collect())
}

/// Whether a folder has IDX files, by their names.
pub(crate) fn is_folder(path: &Path) -> bool {
    candidates(path).is_ok_and(|found| !found.is_empty())
}

/// The files of a folder that hold images and have labels, in byte order.
fn candidates(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for (nth, entry) in std::fs::read_dir(folder).map_err(read)?.enumerate() {
        if nth >= FILES_MAX {
            let (path, what) = (folder.to_owned(), "files".to_owned());
            let (got, max) = (nth as u64 + 1, FILES_MAX as u64);
            return Err(Error::TooLarge { path, what, got, max });
        }
        let path = entry.map_err(read)?.path();
        if labels_of(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn images_in(folder: &Path) -> Result<PathBuf, Error> {
    let mut found = candidates(folder)?;
    if found.len() > 1 {
        // MNIST's folder has one pair of files for training and one for scoring.
        let is_train = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("train"))
        };
        if found.iter().filter(|path| is_train(path)).count() == 1 {
            found.retain(is_train);
        }
    }
    let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    let what = match &names[..] {
        [_] => return Ok(found.remove(0)),
        [] => "it has no pair of files such as `train-images-idx3-ubyte` and \
               `train-labels-idx1-ubyte`"
            .to_owned(),
        names => format!("it has several files of images: {}; name one of them", names.join(", ")),
    };
    Err(Error::Unsupported { path: folder.to_owned(), what })
}

/// The labels that belong to a file of images, by its name.
fn labels_of(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    if !name.contains("images") {
        return None;
    }
    let name = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let (plain, packed) = (name.trim_end_matches(".gz"), format!("{name}.gz"));
    let names = [name.as_str(), plain, &packed];
    names.into_iter().map(|name| images.with_file_name(name)).find(|path| path.is_file())
}

fn array(path: &Path) -> Result<Array, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let mut file = crate::open(path).map_err(read)?;
    let n_bytes = file.metadata().map_err(read)?.len();
    let mut first = Vec::new();
    (&mut file).take(2).read_to_end(&mut first).map_err(read)?;
    // Begun again from the first byte.
    let mut file = crate::open(path).map_err(read)?;
    let (header, elements) = if first == GZIP {
        let mut file = MultiGzDecoder::new(file);
        let (header, _) = header(path, &mut file).map_err(|error| match error {
            Error::Malformed { path, .. } => {
                let what = "a gzip file without an IDX file in it; unpack it with gunzip, since no \
                            other format is read from gzip files";
                Error::Unsupported { path, what: what.into() }
            }
            error => error,
        })?;
        let expected = header.n_bytes(path)?;
        if expected > DECOMPRESSED_BYTES_MAX {
            let what = "bytes of a gzip file, decompressed (unpack it first)".into();
            let (got, max) = (expected, DECOMPRESSED_BYTES_MAX);
            return Err(Error::TooLarge { path: path.to_owned(), what, got, max });
        }
        let bytes = decompress(path, "the IDX header", file, expected)?;
        (header, Elements::Memory(bytes))
    } else {
        let (header, offset) = header(path, &mut file)?;
        let (expected, got) = (header.n_bytes(path)?, n_bytes.saturating_sub(offset));
        if expected != got {
            let (path, what) = (path.to_owned(), "the IDX header".to_owned());
            return Err(Error::WrongLength { path, what, expected, got });
        }
        (header, Elements::File(offset))
    };
    let name = match header.shape.len() {
        1 => "label",
        2 => "values",
        _ => "image",
    };
    Ok(Array::new(path, name, header, elements))
}

/// Reads a header, and returns its length.
fn header(path: &Path, from: &mut impl Read) -> Result<(Header, u64), Error> {
    let malformed =
        |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
    let truncated = |error: std::io::Error| malformed(format!("the IDX header: {error}"));
    let mut magic = [0; 4];
    from.read_exact(&mut magic).map_err(truncated)?;
    let stored = match magic {
        [0, 0, 0x08, _] => Stored::UInt8,
        [0, 0, 0x09, _] => Stored::Int8,
        [0, 0, 0x0b, _] => Stored::Int16,
        [0, 0, 0x0c, _] => Stored::Int32,
        [0, 0, 0x0d, _] => Stored::Float32,
        [0, 0, 0x0e, _] => Stored::Float64,
        _ => {
            return Err(malformed(format!(
                "the file begins with {magic:02x?}, which is not an IDX header"
            )));
        }
    };
    let n_axes = usize::from(magic[3]);
    if n_axes > AXES_MAX {
        let (path, what) = (path.to_owned(), "axes".to_owned());
        return Err(Error::TooLarge { path, what, got: n_axes as u64, max: AXES_MAX as u64 });
    }
    let mut shape = Vec::with_capacity(n_axes);
    for _ in 0..n_axes {
        let mut axis = [0; 4];
        from.read_exact(&mut axis).map_err(truncated)?;
        shape.push(u64::from(u32::from_be_bytes(axis)));
    }
    Ok((Header { stored, order: Order::Big, shape, by_column: false }, 4 + 4 * n_axes as u64))
}
