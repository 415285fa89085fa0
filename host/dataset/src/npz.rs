//! NumPy's archives: a zip file of arrays.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;

use crate::array::{ARRAY_VALUES_MAX, Layout};
use crate::csv_file::cut;
use crate::npy::header;
use crate::values::Values;
use crate::{COLUMNS_MAX, Error, Field};

/// What the name of every entry ends with.
const ENDING: &str = ".npy";

/// Arrays by name, all with as many rows. Their order is that of the archive.
#[derive(Clone, Debug)]
pub(crate) struct NpzFile {
    path: PathBuf,
    arrays: Vec<(String, Layout)>,
}

impl NpzFile {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut archive = open(path)?;
        let n_arrays = archive.len();
        if n_arrays > COLUMNS_MAX {
            let max = COLUMNS_MAX;
            return Err(Error::TooManyColumns { path: path.to_owned(), got: n_arrays, max });
        }
        if n_arrays == 0 {
            return Err(Error::NoRows { path: path.to_owned() });
        }
        let mut arrays: Vec<(String, Layout)> = Vec::new();
        let (mut seen, mut n_values) = (BTreeSet::new(), 0_u64);
        for number in 0..n_arrays {
            let mut entry = entry(&mut archive, number, path)?;
            let file = entry.name().map_err(|error| zip_error(&error, path))?.into_owned();
            let name = file.strip_suffix(ENDING).unwrap_or_default().to_owned();
            if name.is_empty() || !seen.insert(name.clone()) {
                let (number, name) = (number + 1, cut(&file));
                return Err(Error::BadName { path: path.to_owned(), number, name });
            }
            let (layout, header_bytes) =
                header(&mut entry, path).map_err(|error| of_array(error, &name))?;
            layout.check(path).map_err(|error| of_array(error, &name))?;
            let (expected, got) = (header_bytes + layout.n_bytes(), entry.size());
            if expected != got {
                return Err(Error::Truncated { path: path.to_owned(), expected, got });
            }
            n_values = n_values.saturating_add(layout.shape.iter().product());
            if n_values > ARRAY_VALUES_MAX {
                let max = ARRAY_VALUES_MAX;
                let what = "numbers in all arrays together";
                return Err(Error::TooLarge { path: path.to_owned(), what, max });
            }
            if let Some((other, first)) = arrays.first()
                && first.n_rows() != layout.n_rows()
            {
                let (got, expected) = (layout.n_rows(), first.n_rows());
                let (path, other) = (path.to_owned(), cut(other));
                return Err(Error::Rows { path, name: cut(&name), got, other, expected });
            }
            arrays.push((name, layout));
        }
        Ok(Self { path: path.to_owned(), arrays })
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        let field = |(name, layout): &(String, Layout)| Field {
            name: name.clone(),
            dtype: layout.dtype,
            shape: layout.row_shape(),
        };
        self.arrays.iter().map(field).collect()
    }

    pub(crate) fn read(&self, at: usize, into: &mut Values) -> Result<(), Error> {
        let changed = || Error::Changed { path: self.path.clone() };
        let (name, layout) = self.arrays.get(at).ok_or_else(changed)?;
        let mut archive = open(&self.path)?;
        let mut entry = entry(&mut archive, at, &self.path)?;
        if header(&mut entry, &self.path)?.0 != *layout {
            return Err(changed());
        }
        layout.read(entry, &self.path, name, into)
    }
}

fn open(path: &Path) -> Result<ZipArchive<BufReader<File>>, Error> {
    let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| zip_error(&error, path))
}

fn entry<'a>(
    archive: &'a mut ZipArchive<BufReader<File>>,
    number: usize,
    path: &Path,
) -> Result<ZipFile<'a, BufReader<File>>, Error> {
    archive.by_index(number).map_err(|error| zip_error(&error, path))
}

fn zip_error(error: &zip::result::ZipError, path: &Path) -> Error {
    Error::Malformed { path: path.to_owned(), reason: cut(&error.to_string()) }
}

/// Says which array is meant.
fn of_array(error: Error, name: &str) -> Error {
    match error {
        Error::Malformed { path, reason } => {
            Error::Malformed { path, reason: format!("`{}`: {reason}", cut(name)) }
        }
        error => error,
    }
}
