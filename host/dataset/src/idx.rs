//! IDX files, the format of MNIST: images and labels side by side
//! (<http://yann.lecun.com/exdb/mnist/>), compressed with gzip or not.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use fedwasm_params::DType;
use flate2::read::MultiGzDecoder;

use crate::array::{ByteOrder, Layout};
use crate::dataset::{IMAGE, LABEL};
use crate::values::Values;
use crate::{Error, Field};

/// The most axes of an array.
const AXES_MAX: u8 = 8;

/// Images and their labels.
#[derive(Clone, Debug)]
pub(crate) struct IdxPair {
    images: IdxFile,
    labels: IdxFile,
}

#[derive(Clone, Debug)]
struct IdxFile {
    path: PathBuf,
    layout: Layout,
}

impl IdxPair {
    /// Whether the folder has a file with images.
    pub(crate) fn is_in(folder: &Path) -> Result<bool, Error> {
        Ok(!images_in(folder)?.is_empty())
    }

    /// Opens the pair of a folder, `train-*` if there are several, or the one
    /// that a file with images belongs to. The labels are the file beside it
    /// with `labels` and `idx1` in its name.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let images = if path.is_dir() { choose(path)? } else { path.to_owned() };
        let malformed = |reason: String| Error::Malformed { path: images.clone(), reason };
        let name = images.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.contains("images") {
            let reason = "the name of a file of images has `images` in it, as in \
                          train-images-idx3-ubyte.gz, and its labels are beside it";
            return Err(malformed(reason.into()));
        }
        let wanted = name.replace("images", "labels").replace("idx3", "idx1");
        let wanted = wanted.strip_suffix(".gz").unwrap_or(&wanted);
        let beside = [wanted.to_owned(), format!("{wanted}.gz")];
        let found = beside.iter().map(|name| images.with_file_name(name));
        let Some(labels) = found.into_iter().find(|path| path.is_file()) else {
            return Err(malformed(format!("there is no {wanted} or {wanted}.gz beside it")));
        };
        let (images, labels) = (IdxFile::open(&images)?, IdxFile::open(&labels)?);
        let (n_images, n_labels) = (images.layout.n_rows(), labels.layout.n_rows());
        if labels.layout.shape.len() != 1 || n_images != n_labels {
            let shape = &labels.layout.shape;
            let reason = format!("labels of shape {shape:?} for {n_images} images");
            return Err(Error::Malformed { path: labels.path, reason });
        }
        Ok(Self { images, labels })
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        let Layout { dtype, .. } = self.images.layout;
        let shape = self.images.layout.row_shape();
        vec![
            Field { name: IMAGE.into(), dtype, shape },
            Field::scalar(LABEL, self.labels.layout.dtype),
        ]
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        vec![self.images.path.clone(), self.labels.path.clone()]
    }

    pub(crate) fn read(&self, at: usize, into: &mut Values) -> Result<(), Error> {
        match at {
            0 => self.images.read(IMAGE, into),
            _ => self.labels.read(LABEL, into),
        }
    }
}

impl IdxFile {
    fn open(path: &Path) -> Result<Self, Error> {
        let (layout, _, is_plain) = header(path)?;
        layout.check(path)?;
        let len = std::fs::metadata(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?
            .len();
        let expected = 4 + 4 * layout.shape.len() as u64 + layout.n_bytes();
        if is_plain && len != expected {
            return Err(Error::Truncated { path: path.to_owned(), expected, got: len });
        }
        Ok(Self { path: path.to_owned(), layout })
    }

    fn read(&self, name: &str, into: &mut Values) -> Result<(), Error> {
        let (layout, file, _) = header(&self.path)?;
        if layout != self.layout {
            return Err(Error::Changed { path: self.path.clone() });
        }
        layout.read(file, &self.path, name, into)
    }
}

/// Reads the header; the file stands behind it. True if it is not compressed.
fn header(path: &Path) -> Result<(Layout, Box<dyn Read>, bool), Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    let mut magic = [0; 2];
    let mut file = File::open(path).map_err(read)?;
    file.read_exact(&mut magic).map_err(read)?;
    let file = BufReader::new(File::open(path).map_err(read)?);
    let is_plain = magic != [0x1f, 0x8b];
    let mut file: Box<dyn Read> =
        if is_plain { Box::new(file) } else { Box::new(MultiGzDecoder::new(file)) };
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(read)?;
    let [0, 0, kind, n_axes] = magic else {
        return Err(malformed(format!("no IDX file: it starts with {magic:02x?}")));
    };
    let dtype = match kind {
        0x08 => DType::UInt8,
        0x09 => DType::Int8,
        0x0b => DType::Int16,
        0x0c => DType::Int32,
        0x0d => DType::Float32,
        0x0e => DType::Float64,
        _ => return Err(malformed(format!("the type of its numbers, {kind:#04x}, is unknown"))),
    };
    if n_axes > AXES_MAX {
        return Err(malformed(format!("{n_axes} axes, at most {AXES_MAX} are read")));
    }
    let mut shape = Vec::new();
    for _ in 0..n_axes {
        let mut axis = [0; 4];
        file.read_exact(&mut axis).map_err(read)?;
        shape.push(u64::from(u32::from_be_bytes(axis)));
    }
    Ok((Layout { dtype, order: ByteOrder::Big, shape, columns_first: false }, file, is_plain))
}

/// Names of files with images, in byte order.
fn images_in(folder: &Path) -> Result<Vec<String>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.contains("images") && name.contains("idx") {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn choose(folder: &Path) -> Result<PathBuf, Error> {
    let names = images_in(folder)?;
    let train: Vec<&String> = names.iter().filter(|name| name.starts_with("train")).collect();
    match (&names[..], &train[..]) {
        ([name], _) => Ok(folder.join(name)),
        (_, [name]) => Ok(folder.join(name)),
        _ => {
            let names = names.join(", ");
            let reason = format!("name one of its files of images: {names}");
            Err(Error::Malformed { path: folder.to_owned(), reason })
        }
    }
}
