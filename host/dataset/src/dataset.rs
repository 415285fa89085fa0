//! A dataset of any format.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use fedwasm_protocol::{ColumnKind, ColumnRule, ColumnRules};

use crate::array::Array;
use crate::bounds::{RULED_BLOCK_BYTES_MAX, block_rows};
use crate::cell::{Cell, CellRule};
use crate::chosen::Chosen;
use crate::csv_file::CsvFile;
use crate::field::check_names;
use crate::images::ImageFolder;
use crate::npy::Npy;
use crate::parquet_cells::{Take, not_exact};
use crate::parquet_file::ParquetFile;
use crate::renames::{Names, Renames};
use crate::shards::Shards;
use crate::view::{View, Wanted, apply};
use crate::volumes::VolumeFolder;
use crate::{Block, Element, Error, Field, Format, Place, Volumes};
use crate::{cut, idx, is_index, npy, npz};

/// The longest name that a misspelt one is compared with, in bytes.
const HINT_BYTES_MAX: usize = 100;
/// How many fields it is compared with.
const HINT_FIELDS_MAX: usize = 1_000;

/// The name of the labels of images.
pub(crate) const LABEL: &str = "label";

/// Rows with the same fields each, in blocks. Cheap to clone; nothing is kept
/// of the bytes that were read.
#[derive(Clone, Debug)]
pub struct Dataset {
    inner: Arc<Inner>,
    /// The fields as the file has them, by the names that all see.
    names: Arc<Names>,
    /// The fields by rules; none without any.
    view: Option<Arc<View>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    format: Format,
    source: Source,
    n_rows: u64,
    /// The first row of each block.
    starts: Vec<u64>,
    /// Length and time of each file when it was opened.
    stamps: Vec<(PathBuf, Stamp)>,
}

#[derive(Debug)]
enum Source {
    Csv(CsvFile),
    Parquet(ParquetFile),
    Arrays(Vec<Array>),
    Table(Array),
    Images(ImageFolder),
    Volumes(Box<VolumeFolder>),
    Shards(Shards),
    Chosen(Chosen),
}

type Stamp = Option<(u64, SystemTime)>;

impl Dataset {
    /// Opens a file or folder; the format is found by its content if none is
    /// given. Headers are checked, and the rows of a text are counted.
    ///
    /// # Errors
    /// Any [`Error`] but those about single values.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Self, Error> {
        Self::open_with(path, format, &Volumes::default())
    }

    /// The same, with volumes read as a site wants them.
    ///
    /// # Errors
    /// As [`Dataset::open`], and [`Error::Unsupported`] for settings that the data cannot have.
    pub fn open_with(
        path: &Path,
        format: Option<Format>,
        volumes: &Volumes,
    ) -> Result<Self, Error> {
        let format = match format {
            Some(format) => format,
            None => Format::detect(path)?,
        };
        let (source, fields, n_rows) = match format {
            Format::Csv => {
                let file = CsvFile::open(path)?;
                let field = |name: &String| Field {
                    name: name.clone(),
                    element: Element::Float64,
                    shape: vec![],
                };
                let (fields, n_rows) = (file.columns().iter().map(field).collect(), file.n_rows());
                (Source::Csv(file), fields, n_rows)
            }
            Format::Parquet => {
                let file = ParquetFile::open(path)?;
                let (fields, n_rows) = (file.fields(), file.n_rows());
                (Source::Parquet(file), fields, n_rows)
            }
            Format::Idx => arrays(path, idx::open(path)?)?,
            Format::Npy if path.is_dir() => arrays(path, npy::open_folder(path)?)?,
            Format::Npy => match npy::open(path)? {
                Npy::Arrays(found) => arrays(path, found)?,
                Npy::Table(array) => {
                    let (fields, n_rows) = (array.columns(), array.n_rows);
                    (Source::Table(array), fields, n_rows)
                }
            },
            Format::Npz => arrays(path, npz::open(path)?)?,
            Format::Images => {
                let folder = ImageFolder::open(path)?;
                let (fields, n_rows) = (folder.fields(), folder.n_rows());
                (Source::Images(folder), fields, n_rows)
            }
            Format::Tar => {
                let shards = Shards::open(path)?;
                let (fields, n_rows) = (shards.fields(), shards.n_rows());
                (Source::Shards(shards), fields, n_rows)
            }
            Format::Medical | Format::Bids => {
                let folder = VolumeFolder::open(path, format, volumes)?;
                let (fields, n_rows) = (folder.fields(), folder.n_rows());
                (Source::Volumes(Box::new(folder)), fields, n_rows)
            }
        };
        if !volumes.is_default() && !matches!(source, Source::Volumes(_)) {
            let what = format!("settings of volumes do not go with the format `{format}`");
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        check_names(path, &fields)?;
        let starts = starts(&source, &fields, n_rows);
        let files = match format {
            // Each is decoded and checked by itself.
            Format::Images | Format::Medical | Format::Bids => vec![],
            format => format.files(path)?,
        };
        let stamps = files.into_iter().map(|path| (path.clone(), stamp(&path))).collect();
        let path = path.to_owned();
        let inner = Arc::new(Inner { path, format, source, n_rows, starts, stamps });
        Ok(Self { inner, names: Arc::new(Names::of_file(fields)), view: None })
    }

    /// The same rows with other names of fields, as if the file had those. In a folder of images the
    /// folders of classes may be renamed, too: classes are in byte order of the new names. Rules
    /// come after it.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] for a name that is not there; [`Error::Unsupported`] for a new name
    /// that is empty, that two get, or that is there already.
    pub fn renamed(&self, renames: &Renames) -> Result<Self, Error> {
        let Inner { path, format, source, n_rows, starts, .. } = &*self.inner;
        let is_field = |old: &String| self.names.places.contains_key(old);
        let (mut of_fields, mut inner) = (renames.clone(), Arc::clone(&self.inner));
        if let Source::Images(folder) = source {
            of_fields.retain(|old, _| is_field(old));
            let mut of_classes = renames.clone();
            of_classes.retain(|old, _| !is_field(old));
            if !of_classes.is_empty() {
                let (path, source) = (path.clone(), Source::Images(folder.renamed(&of_classes)?));
                let (starts, stamps) = (starts.clone(), Vec::new());
                let (format, n_rows) = (*format, *n_rows);
                inner = Arc::new(Inner { path, format, source, n_rows, starts, stamps });
            }
        }
        let names = Arc::new(self.names.renamed(path, &of_fields)?);
        Ok(Self { inner, names, view: None })
    }

    /// The same rows, with columns that are read by rules: their fields have numbers, of missing
    /// values NaN, and those that are dropped are left out. `missing` has the words that mean that
    /// a value is missing. Blocks stay as they are, so the order of rows does not depend on rules.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] if a rule is for a column that is not there, unless it is dropped;
    /// [`Error::Unsupported`], [`Error::TooLarge`].
    pub fn with_rules(&self, rules: &ColumnRules, missing: &[String]) -> Result<Self, Error> {
        if rules.is_empty() {
            return Ok(self.clone());
        }
        let plain = self.without_rules();
        for (name, rule) in rules.iter() {
            if rule.kind != ColumnKind::Drop {
                plain.position(name)?;
            }
        }
        let path = &self.inner.path;
        let view = View::new(path, &self.names.fields, rules, missing)?;
        check_names(path, &view.fields)?;
        let width: u64 = view.fields.iter().map(|field| field.width() as u64).sum();
        let n_rows = (0..self.n_blocks()).map(|block| self.rows(block)).map(|of| of.end - of.start);
        let bytes = n_rows.max().unwrap_or(0).saturating_mul(width).saturating_mul(8);
        if bytes > RULED_BLOCK_BYTES_MAX && view.fields.len() as u64 != width {
            let what = "bytes of a block with its categories as numbers; write `encode = \"code\"`";
            let (path, what) = (path.clone(), what.to_owned());
            return Err(Error::TooLarge { path, what, got: bytes, max: RULED_BLOCK_BYTES_MAX });
        }
        Ok(Self { view: Some(Arc::new(view)), ..plain })
    }

    /// The rule of a field; its values may be NaN, for missing ones.
    pub fn rule(&self, field: usize) -> Option<&ColumnRule> {
        self.view.as_ref()?.rule(field).map(CellRule::rule)
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.inner.format
    }

    /// Remarks for the operator who registers it: parts that exist and are not read.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        match &self.inner.source {
            Source::Images(folder) => remarks.extend(folder.remark()),
            Source::Volumes(folder) => remarks.extend_from_slice(folder.remarks()),
            Source::Shards(shards) => remarks.extend(shards.remark()),
            _ => {}
        }
        if let Some(index) = self.fields().iter().find(|field| is_index(&field.name)) {
            let name = cut(&index.name);
            remarks.push(format!(
                "`{name}` is an index that pandas wrote; name the inputs in each run, or write the \
                 file with `to_parquet(..., index=False)`"
            ));
        }
        remarks
    }

    /// Its fields in order, with names that differ.
    pub fn fields(&self) -> &[Field] {
        self.view.as_ref().map_or(&self.names.fields, |view| &view.fields)
    }

    /// Rows, at least 1.
    pub fn n_rows(&self) -> u64 {
        self.inner.n_rows
    }

    /// Blocks, at least 1. They follow from the file alone.
    pub fn n_blocks(&self) -> usize {
        self.inner.starts.len()
    }

    /// The rows of a block; none beyond the last one.
    pub fn rows(&self, block: usize) -> Range<u64> {
        let start =
            |block: usize| self.inner.starts.get(block).copied().unwrap_or(self.inner.n_rows);
        start(block)..start(block.saturating_add(1))
    }

    /// The default target: `label` of images in IDX, in folders, or in
    /// tar archives.
    pub fn default_target(&self) -> Option<&str> {
        let has_labels = matches!(self.format(), Format::Idx | Format::Images | Format::Tar);
        let label = || self.fields().iter().find(|field| field.name == LABEL);
        has_labels.then(label).flatten().map(|field| field.name.as_str())
    }

    /// Returns the place of a field.
    ///
    /// # Errors
    /// [`Error::MissingColumn`].
    pub fn position(&self, name: &str) -> Result<usize, Error> {
        let places = self.view.as_ref().map_or(&self.names.places, |view| &view.places);
        places.get(name).copied().ok_or_else(|| Error::MissingColumn {
            path: self.inner.path.clone(),
            column: cut(name),
            hint: self.hint(name),
        })
    }

    /// Reads some fields of a block.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Changed`] if the file changed.
    pub fn read(&self, block: usize, fields: &[usize]) -> Result<Block, Error> {
        self.read_as_is(block, fields).map_err(|error| self.names.told(error))
    }

    /// The same; an error has the names of the file.
    fn read_as_is(&self, block: usize, fields: &[usize]) -> Result<Block, Error> {
        let wanted: Vec<Wanted<'_>> = match &self.view {
            Some(view) => view.wanted(fields),
            None => fields.iter().map(|at| (*at, None)).collect(),
        };
        self.read_wanted(block, &wanted)
    }

    /// Reads some fields of the file, each by its rule.
    pub(crate) fn read_wanted(&self, block: usize, wanted: &[Wanted<'_>]) -> Result<Block, Error> {
        let Inner { source, stamps, .. } = &*self.inner;
        if let Some((path, _)) = stamps.iter().find(|(path, known)| stamp(path) != *known) {
            return Err(Error::Changed { path: path.clone() });
        }
        let (rows, n_rows) = (self.rows(block), self.rows(block).count());
        let fields: Vec<usize> = wanted.iter().map(|(at, _)| *at).collect();
        let columns = match source {
            Source::Csv(file) => return file.read(block, rows, wanted),
            Source::Parquet(file) => return file.read(block, rows.start, wanted),
            Source::Images(folder) => folder.read(rows.clone(), &fields)?.columns,
            Source::Volumes(folder) => return folder.read(rows, wanted),
            Source::Chosen(chosen) => return chosen.read(rows, wanted),
            Source::Shards(shards) => shards.read(rows.clone(), &fields)?.columns,
            Source::Arrays(arrays) => {
                let column = |field: &usize| arrays[*field].read(rows.clone());
                fields.iter().map(column).collect::<Result<_, _>>()?
            }
            Source::Table(array) => array.read_columns(rows.clone(), &fields)?,
        };
        let name = |at: usize| self.names.fields[at].name.clone();
        let columns = apply(self.path(), columns, wanted, rows.start, name)?;
        Ok(Block { first_row: rows.start, n_rows, columns, lines: vec![] })
    }

    /// The same fields of some rows, which are kept elsewhere.
    pub(crate) fn of_rows(&self, chosen: Chosen) -> Self {
        let (path, format) = (self.inner.path.clone(), self.inner.format);
        let (n_rows, source) = (chosen.n_rows(), Source::Chosen(chosen));
        let starts = starts(&source, &self.names.fields, n_rows);
        // It is read from memory, even if the file changes.
        let inner = Arc::new(Inner { path, format, source, n_rows, starts, stamps: Vec::new() });
        Self { inner, names: Arc::clone(&self.names), view: None }
    }

    /// The block of a row.
    pub(crate) fn block_of(&self, row: u64) -> usize {
        self.inner.starts.partition_point(|start| *start <= row).saturating_sub(1)
    }

    /// Some rows of another dataset, if it is that.
    pub(crate) fn chosen(&self) -> Option<&Chosen> {
        match &self.inner.source {
            Source::Chosen(chosen) => Some(chosen),
            _ => None,
        }
    }

    /// The file as it is.
    pub(crate) fn without_rules(&self) -> Self {
        Self { view: None, ..self.clone() }
    }

    /// An error that was made with the names of the file.
    pub(crate) fn told(&self, error: Error) -> Error {
        self.names.told(error)
    }

    /// The names of the classes of the field `label`, in order: the folders of images. None where the
    /// classes of the data have numbers alone.
    pub fn class_names(&self) -> Vec<String> {
        match &self.inner.source {
            Source::Images(folder) => folder.classes(),
            Source::Chosen(chosen) => chosen.base().class_names(),
            _ => Vec::new(),
        }
    }

    /// The file of a text.
    pub(crate) fn csv(&self) -> Option<&CsvFile> {
        match &self.inner.source {
            Source::Csv(file) => Some(file),
            _ => None,
        }
    }

    /// Reads a field of a block as texts: cells of CSV and Parquet files as they are, a number a row
    /// of others. A missing cell is an empty text.
    ///
    /// # Errors
    /// As [`Dataset::read`]; [`Error::NoText`] if a row has several numbers.
    pub fn texts(&self, block: usize, field: usize) -> Result<Vec<String>, Error> {
        if let Some(file) = self.csv() {
            let texts = file.texts(block, self.rows(block), field);
            return texts.map_err(|error| self.names.told(error));
        }
        if let Source::Parquet(file) = &self.inner.source {
            let mut texts = Vec::new();
            let first = self.rows(block).start;
            file.each(block, first, field, &mut |place, cell| {
                let cell = cell
                    .ok_or_else(|| not_exact(self.path(), place, &self.names.fields[field].name))?;
                texts.push(cell.to_text());
                Ok(())
            })?;
            return Ok(texts);
        }
        if let Source::Volumes(folder) = &self.inner.source {
            let texts = self.rows(block).map(|row| folder.text(row, field)).map(Result::transpose);
            if let Some(texts) = texts.collect::<Option<Result<Vec<_>, _>>>() {
                return texts.map(|texts| texts.iter().map(|(text, _)| (*text).into()).collect());
            }
        }
        let read = self.read(block, &[field])?;
        let values = &read.columns[0];
        if values.len() != read.n_rows {
            let (path, column) = (self.path().to_owned(), cut(&self.fields()[field].name));
            return Err(Error::NoText { path, column });
        }
        let mut texts = Vec::with_capacity(values.len());
        values.each(0..values.len(), |value| texts.push(value.to_string()));
        Ok(texts)
    }

    /// Calls `take` with each value of a field of a block, as no rule reads it: none for one that
    /// has no exact representation, or is not text. The field has one value a row.
    ///
    /// # Errors
    /// Any [`Error`] but those about rules, and those of `take`.
    pub(crate) fn each(
        &self,
        block: usize,
        field: usize,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        if let Source::Parquet(file) = &self.inner.source {
            let done = file.each(block, self.rows(block).start, field, take);
            return done.map_err(|error| self.names.told(error));
        }
        if let Source::Volumes(folder) = &self.inner.source {
            for row in self.rows(block) {
                let Some((text, line)) = folder.text(row, field)? else { break };
                take(Place::Line(line), Some(Cell::Text(text)))?;
            }
            return Ok(());
        }
        let read = self.without_rules().read(block, &[field])?;
        let (values, mut row, mut result) = (&read.columns[0], 0, Ok(()));
        values.each(0..values.len(), |value| {
            if result.is_ok() {
                result = take(read.place(row), Some(Cell::Number(value)));
            }
            row += 1;
        });
        result
    }

    /// The nearest field if it is near, otherwise the first ones.
    fn hint(&self, name: &str) -> String {
        let fields = self.fields();
        let distance = |field: &&Field| strsim::damerau_levenshtein(&field.name, name);
        // Distances of long names take long to compute, and long names are rarely misspelt.
        let short = |field: &&Field| field.name.len() <= HINT_BYTES_MAX;
        let tried = if name.len() <= HINT_BYTES_MAX { HINT_FIELDS_MAX } else { 0 };
        let nearest = fields.iter().filter(short).take(tried).min_by_key(distance);
        if let Some(field) = nearest.filter(|field| distance(field) <= 2 && name.len() > 3) {
            return format!("did you mean `{}`?", field.name);
        }
        let known: Vec<&str> = fields.iter().take(20).map(|field| field.name.as_str()).collect();
        let more = if fields.len() > known.len() { ", ..." } else { "" };
        format!("the columns are {}{more}", known.join(", "))
    }
}

fn arrays(path: &Path, arrays: Vec<Array>) -> Result<(Source, Vec<Field>, u64), Error> {
    let Some(first) = arrays.first() else {
        return Err(Error::NoRows { path: path.to_owned() });
    };
    if let Some(other) = arrays.iter().find(|array| array.n_rows != first.n_rows) {
        return Err(Error::RowsDiffer {
            path: other.path.clone(),
            name: other.field.name.clone(),
            got: other.n_rows,
            other: first.field.name.clone(),
            expected: first.n_rows,
        });
    }
    let fields: Vec<Field> = arrays.iter().map(|array| array.field.clone()).collect();
    let n_rows = first.n_rows;
    Ok((Source::Arrays(arrays), fields, n_rows))
}

fn starts(source: &Source, fields: &[Field], n_rows: u64) -> Vec<u64> {
    if let Source::Parquet(file) = source {
        let next = |end: &mut u64, len: u64| Some(std::mem::replace(end, *end + len));
        return file.block_lens().scan(0, next).collect();
    }
    let row_bytes = fields.iter().map(|field| field.width() as u64 * field.element.size()).sum();
    (0..n_rows).step_by(block_rows(row_bytes) as usize).collect()
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
