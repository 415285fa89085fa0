//! A data set of any kind.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::csv_file::CsvFile;
use crate::idx::IdxPair;
use crate::images::ImageFolder;
use crate::npy::NpyFile;
use crate::npz::NpzFile;
use crate::table::Part;
use crate::{Error, Field, Table};

/// The field with the class of an image.
pub(crate) const LABEL: &str = "label";
/// The field with the pixels of an image.
pub(crate) const IMAGE: &str = "image";

/// What a data set is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Comma-separated values with a header.
    Csv,
    /// The files of MNIST, compressed or not: images and their labels.
    Idx,
    /// A table in NumPy's format.
    Npy,
    /// Arrays in NumPy's archive.
    Npz,
    /// A folder of PNG and JPEG files, one folder inside for each class.
    Images,
}

impl Kind {
    /// Tells by the first bytes; a folder by the names in it.
    fn of(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(read)?;
        if metadata.is_dir() {
            return Ok(if IdxPair::is_in(path)? { Self::Idx } else { Self::Images });
        }
        // A pipe would be waited for without end.
        if !metadata.is_file() {
            let reason = "it is neither a file nor a folder".to_owned();
            return Err(Error::Malformed { path: path.to_owned(), reason });
        }
        let mut start = Vec::new();
        File::open(path).map_err(read)?.take(6).read_to_end(&mut start).map_err(read)?;
        Ok(match &start[..] {
            [0x1f, 0x8b, ..] | [0, 0, 8..=14, ..] => Self::Idx,
            b"\x93NUMPY" => Self::Npy,
            [b'P', b'K', 3, 4, ..] => Self::Npz,
            _ => Self::Csv,
        })
    }
}

/// A data set whose fields are known; its rows are read when they are asked
/// for.
#[derive(Clone, Debug)]
pub struct Dataset {
    path: PathBuf,
    fields: Vec<Field>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Csv(CsvFile),
    Idx(IdxPair),
    Npy(NpyFile),
    Npz(NpzFile),
    Images(ImageFolder),
}

impl Dataset {
    /// Opens a file or a folder and reads what says which fields there are.
    ///
    /// # Errors
    /// Any [`Error`] of a file that is not what its first bytes say.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_as(path, Kind::of(path)?)
    }

    /// Opens a data set of this kind.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open_as(path: &Path, kind: Kind) -> Result<Self, Error> {
        let (source, fields) = match kind {
            Kind::Csv => {
                let file = CsvFile::open(path)?;
                let fields = file.fields();
                (Source::Csv(file), fields)
            }
            Kind::Idx => {
                let pair = IdxPair::open(path)?;
                let fields = pair.fields();
                (Source::Idx(pair), fields)
            }
            Kind::Npy => {
                let file = NpyFile::open(path)?;
                let fields = file.fields();
                (Source::Npy(file), fields)
            }
            Kind::Npz => {
                let file = NpzFile::open(path)?;
                let fields = file.fields();
                (Source::Npz(file), fields)
            }
            Kind::Images => {
                let folder = ImageFolder::open(path)?;
                let fields = folder.fields();
                (Source::Images(folder), fields)
            }
        };
        Ok(Self { path: path.to_owned(), fields, source })
    }

    /// What is in every row, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field to predict where nobody says which: `label` of images.
    pub fn default_target(&self) -> Option<&str> {
        match self.source {
            Source::Idx(_) | Source::Images(_) => Some(LABEL),
            Source::Csv(_) | Source::Npy(_) | Source::Npz(_) => None,
        }
    }

    /// The files that it consists of, in an order that is always the same.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.source {
            Source::Csv(_) | Source::Npy(_) | Source::Npz(_) => vec![self.path.clone()],
            Source::Idx(pair) => pair.files(),
            Source::Images(folder) => folder.files(),
        }
    }

    /// Reads everything and counts the rows.
    ///
    /// # Errors
    /// [`Error::Ragged`], [`Error::NoRows`], [`Error::Malformed`], and others
    /// of the kind. The cells of a CSV file are not looked at: a column that
    /// no run uses may hold anything.
    pub fn count_rows(&self) -> Result<u64, Error> {
        match &self.source {
            Source::Csv(file) => file.count_rows(),
            Source::Npy(file) => file.count_rows(),
            _ => {
                let mut n_rows = 0;
                for at in 0..self.fields.len() {
                    n_rows = self.array(at)?.values.n_rows();
                }
                Ok(n_rows as u64)
            }
        }
    }

    /// Finds the fields of a run. `inputs` none means all but the targets.
    ///
    /// # Errors
    /// [`Error::MissingColumn`], [`Error::UsedTwice`], [`Error::NoInputs`].
    pub fn select(
        &self,
        inputs: Option<&[String]>,
        targets: &[String],
    ) -> Result<Selection<'_>, Error> {
        let all = |names: &[String]| -> Result<Vec<usize>, Error> {
            names.iter().map(|name| self.position(name)).collect()
        };
        let targets = all(targets)?;
        let inputs = match inputs {
            Some(names) => all(names)?,
            None => (0..self.fields.len()).filter(|at| !targets.contains(at)).collect(),
        };
        if inputs.is_empty() {
            return Err(Error::NoInputs { path: self.path.clone() });
        }
        let mut used = BTreeSet::new();
        if let Some(at) = targets.iter().chain(&inputs).find(|at| !used.insert(**at)) {
            let column = self.fields.get(*at).map(|field| field.name.clone()).unwrap_or_default();
            return Err(Error::UsedTwice { path: self.path.clone(), column });
        }
        Ok(Selection { dataset: self, inputs, targets })
    }

    /// Reads the fields of a run.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn table(&self, inputs: Option<&[String]>, targets: &[String]) -> Result<Table, Error> {
        self.select(inputs, targets)?.table()
    }

    fn read(&self, inputs: &[usize], targets: &[usize]) -> Result<Table, Error> {
        match &self.source {
            Source::Csv(file) => file.table(inputs, targets),
            Source::Npy(file) => file.table(inputs, targets),
            _ => {
                let all = |which: &[usize]| -> Result<Vec<Part>, Error> {
                    which.iter().map(|at| self.array(*at)).collect()
                };
                let (inputs, targets) = (all(inputs)?, all(targets)?);
                Ok(Table { path: self.path.clone(), inputs, targets, lines: Vec::new() })
            }
        }
    }

    /// Reads all rows of one field.
    fn array(&self, at: usize) -> Result<Part, Error> {
        let mut part = Part::new(self.fields.get(at).cloned().into_iter().collect());
        match &self.source {
            // Tables are read by rows.
            Source::Csv(_) | Source::Npy(_) => {}
            Source::Idx(pair) => pair.read(at, &mut part.values)?,
            Source::Npz(file) => file.read(at, &mut part.values)?,
            Source::Images(folder) => folder.read(at, &mut part.values)?,
        }
        Ok(part)
    }

    fn position(&self, column: &str) -> Result<usize, Error> {
        let position = self.fields.iter().position(|field| field.name == column);
        position.ok_or_else(|| Error::MissingColumn {
            path: self.path.clone(),
            column: crate::csv_file::cut(column),
            hint: self.hint(column),
        })
    }

    /// The nearest column if it is near, otherwise the first ones.
    fn hint(&self, column: &str) -> String {
        let distance = |name: &&str| strsim::damerau_levenshtein(name, column);
        let names = || self.fields.iter().map(|field| field.name.as_str());
        let nearest = names().min_by_key(distance);
        if let Some(name) = nearest.filter(|name| distance(name) <= 2 && column.len() > 3) {
            return format!("did you mean `{name}`?");
        }
        let known: Vec<&str> = names().take(20).collect();
        let more = if self.fields.len() > known.len() { ", ..." } else { "" };
        format!("the columns are {}{more}", known.join(", "))
    }
}

/// The fields of a run.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    dataset: &'a Dataset,
    /// Positions among the fields; at least one.
    inputs: Vec<usize>,
    targets: Vec<usize>,
}

impl Selection<'_> {
    /// The input fields in order.
    pub fn inputs(&self) -> impl Iterator<Item = &Field> {
        self.inputs.iter().filter_map(|at| self.dataset.fields.get(*at))
    }

    /// Numbers of a row of inputs.
    pub fn n_inputs(&self) -> usize {
        self.inputs().map(Field::n_values).sum()
    }

    /// Reads the targets and returns the number of classes of the first one.
    ///
    /// # Errors
    /// As [`Table::n_classes`], and any of the file.
    pub fn n_classes(&self) -> Result<usize, Error> {
        self.dataset.read(&[], &self.targets)?.n_classes()
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn table(&self) -> Result<Table, Error> {
        self.dataset.read(&self.inputs, &self.targets)
    }
}
