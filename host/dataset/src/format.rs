//! Formats of datasets.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, idx, images, npy, npz, parquet_file, shards, volumes};

/// Magic bytes of files that are sometimes taken for datasets.
const FOREIGN: [(&[u8], &str); 12] = [
    (b"ARROW1", "a Feather (Arrow) file"),
    (b"FEA1", "a Feather file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"Obj\x01", "an Avro file"),
    (b"\x80\x02", "a pickle, which could run code"),
    (b"\x80\x03", "a pickle, which could run code"),
    (b"\x80\x04", "a pickle, which could run code"),
    (b"\x80\x05", "a pickle, which could run code"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with Zstandard"),
];

/// A format of datasets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Images and labels as in MNIST, with or without gzip.
    Idx,
    /// An array of NumPy, or a folder of them.
    Npy,
    /// Arrays of NumPy.
    Npz,
    /// A folder a class, with PNG and JPEG files.
    Images,
    /// A folder a subject, with a folder a modality: NIfTI files.
    Medical,
    /// The same as the Brain Imaging Data Structure names them.
    Bids,
    /// Samples in tar archives, as of WebDataset.
    Tar,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 9] = [
        Self::Csv,
        Self::Parquet,
        Self::Idx,
        Self::Npy,
        Self::Npz,
        Self::Images,
        Self::Medical,
        Self::Bids,
        Self::Tar,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Idx => "idx",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Images => "images",
            Self::Medical => "medical",
            Self::Bids => "bids",
            Self::Tar => "tar",
        }
    }

    /// The files that a dataset consists of: the one that is named, images and
    /// labels of IDX, all images in the order of their rows, or all volumes and the tables beside them.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Unsupported`], [`Error::TooLarge`].
    pub fn files(self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        match self {
            Self::Idx => idx::files(path),
            Self::Images => Ok(images::ImageFolder::list(path)?.files()),
            Self::Npy if path.is_dir() => npy::files(path),
            Self::Tar => shards::files(path),
            Self::Medical | Self::Bids => volumes::files(path, self),
            _ => Ok(vec![path.to_owned()]),
        }
    }

    /// Finds the format of a file by its first bytes, that of a folder by its contents. All other
    /// files are CSV.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Unsupported`] for a folder of neither kind.
    pub fn detect(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            if idx::is_folder(path) {
                return Ok(Self::Idx);
            }
            if images::ImageFolder::is_folder(path) {
                return Ok(Self::Images);
            }
            if !shards::files(path)?.is_empty() {
                return Ok(Self::Tar);
            }
            if !npy::files(path)?.is_empty() {
                return Ok(Self::Npy);
            }
            if volumes::is_bids(path) {
                return Ok(Self::Bids);
            }
            if volumes::is_medical(path) {
                return Ok(Self::Medical);
            }
            let what = "a folder without IDX, NPY and tar files, without one folder of images for each \
                        class, and without volumes of subjects";
            return Err(Error::Unsupported { path: path.to_owned(), what: what.into() });
        }
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
        if name.is_some_and(|name| name.ends_with(".nii") || name.ends_with(".nii.gz")) {
            let what = "one volume; a dataset is a folder of SUBJECT/MODALITY/FILE.nii.gz, or BIDS";
            return Err(Error::Unsupported { path: path.to_owned(), what: what.into() });
        }
        let is_tar = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tar"));
        if is_tar {
            return Ok(Self::Tar);
        }
        let read = |source| Error::Read { path: path.to_owned(), source };
        let mut first = Vec::new();
        crate::open(path).map_err(read)?.take(16).read_to_end(&mut first).map_err(read)?;
        if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic)) {
            let what = format!("{what}, which is not read; save it as CSV or Parquet");
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        Ok(match &first[..] {
            first if first.starts_with(npy::MAGIC) => Self::Npy,
            first if first.starts_with(npz::MAGIC) => Self::Npz,
            first if first.starts_with(parquet_file::MAGIC) => Self::Parquet,
            first if first.starts_with(&idx::GZIP) || first.starts_with(&[0, 0]) => Self::Idx,
            _ => Self::Csv,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`{name}` is not a format; the formats are {known}")
        })
    }
}
