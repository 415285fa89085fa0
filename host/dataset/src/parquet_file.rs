//! Parquet files: columns of numbers and truth values, in row groups.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use parquet::basic::{Compression, ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::bounds::{COLUMNS_MAX, FOOTER_BYTES_MAX, PARQUET_LIST_MAX, ROWS_MAX, block_rows};
use crate::parquet_cells::{Cells, Stored, Take, stored};
use crate::parquet_deltas::PlainPages;
use crate::parquet_pages::{check_pages, check_schema};
use crate::view::Wanted;
use crate::{Block, Element, Error, Field, arrow_schema, cut};

/// The magic bytes at both ends of Parquet files.
pub(crate) const MAGIC: &[u8] = b"PAR1";
/// A Parquet file.
pub(crate) struct ParquetFile {
    path: PathBuf,
    /// One reads at a time: all readers share the file's position.
    reader: Mutex<SerializedFileReader<File>>,
    columns: Vec<Column>,
    /// Row group and rows within it of each block.
    blocks: Vec<(usize, Range<u64>)>,
    n_rows: u64,
}

/// A column that can be read, or why it cannot.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    kind: Result<Kind, String>,
    /// The cells for a rule, or why there are none.
    stored: Result<Stored, String>,
    is_optional: bool,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float,
    Double,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ParquetFile {
    /// Opens a file, and checks its footer and the sizes of all of its pages.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`], [`Error::TooLarge`],
    /// [`Error::TooManyColumns`], [`Error::BadName`], [`Error::NoRows`].
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let mut file = crate::open(path).map_err(read)?;
        let n_bytes = file.metadata().map_err(read)?.len();
        let footer_bytes = check_footer(path, &mut file, n_bytes).map_err(read)??;
        file.seek(SeekFrom::Start(n_bytes - 8 - footer_bytes)).map_err(read)?;
        check_schema(path, &file, footer_bytes)?;
        let mut pages = file.try_clone().map_err(read)?;
        let reader = guarded(path, || SerializedFileReader::new(file))?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema_descr();
        if schema.num_columns() > COLUMNS_MAX {
            let (path, got) = (path.to_owned(), schema.num_columns());
            return Err(Error::TooManyColumns { path, got, max: COLUMNS_MAX });
        }
        let mut columns: Vec<Column> = schema.columns().iter().map(|of| Column::new(of)).collect();
        let durations = durations(metadata.file_metadata());
        for column in columns.iter_mut().filter(|column| durations.contains(&column.name)) {
            column.refuse("durations are not read; write them as numbers in a unit of your choice");
        }
        let mut seen = BTreeSet::new();
        for (index, column) in columns.iter().enumerate() {
            if column.name.is_empty() || !seen.insert(&column.name) {
                let (path, name) = (path.to_owned(), cut(&column.name));
                return Err(Error::BadName { path, number: index + 1, name });
            }
        }
        let row_bytes = columns.iter().map(|column| column.element().size()).sum();
        let in_block = block_rows(row_bytes);
        let (mut blocks, mut n_rows, mut chunk_bytes) = (Vec::new(), 0u64, 0u64);
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let rows = group_rows(path, group)?;
            n_rows = n_rows.saturating_add(rows);
            for (nth, chunk) in group.columns().iter().enumerate() {
                // Pages are walked through once: chunks on the same bytes would be many walks.
                let bytes = u64::try_from(chunk.compressed_size()).unwrap_or(u64::MAX);
                chunk_bytes = chunk_bytes.saturating_add(bytes);
                if chunk_bytes > n_bytes {
                    let (path, what) = (path.to_owned(), "all columns together".to_owned());
                    let (expected, got) = (chunk_bytes, n_bytes);
                    return Err(Error::WrongLength { path, what, expected, got });
                }
                check_pages(path, &mut pages, chunk, n_bytes)?;
                let Some(column) = columns.get_mut(nth) else { continue };
                if let Err(reason) = codec(chunk) {
                    column.refuse(&reason);
                }
            }
            let n_blocks = rows.div_ceil(in_block).saturating_add(blocks.len() as u64);
            if n_blocks > PARQUET_LIST_MAX {
                let (path, what) = (path.to_owned(), "blocks of rows".to_owned());
                let (got, max) = (n_blocks, PARQUET_LIST_MAX);
                return Err(Error::TooLarge { path, what, got, max });
            }
            let starts = (0..rows).step_by(in_block as usize);
            blocks.extend(starts.map(|at| (index, at..rows.min(at + in_block))));
        }
        if n_rows == 0 {
            return Err(Error::NoRows { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), reader: Mutex::new(reader), columns, blocks, n_rows })
    }

    /// Columns as fields; those that cannot be read are among them.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let field = |column: &Column| Field {
            name: column.name.clone(),
            element: column.element(),
            shape: vec![],
        };
        self.columns.iter().map(field).collect()
    }

    /// Rows, at least 1.
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Rows of each block, which lies in one row group.
    pub(crate) fn block_lens(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().map(|(_, rows)| rows.end - rows.start)
    }

    /// Reads some columns of a block, whose first row is `first_row`.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Malformed`], [`Error::EmptyCell`],
    /// [`Error::NotFinite`], [`Error::NotExact`], [`Error::Mismatch`].
    pub(crate) fn read(
        &self,
        block: usize,
        first_row: u64,
        columns: &[Wanted<'_>],
    ) -> Result<Block, Error> {
        let file = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let n_rows = self.blocks.get(block).map_or(0, |(_, rows)| rows.end - rows.start) as usize;
        let mut all = Vec::with_capacity(columns.len());
        for (at, rule) in columns {
            // Before a reader is opened, whose errors say less.
            all.push(match rule {
                None => {
                    let kind = self.readable(*at, |column| &column.kind)?;
                    let (cells, reader) = self.cells(&file, block, first_row, *at)?;
                    cells.read(kind, reader)?
                }
                Some(rule) => {
                    let stored = *self.readable(*at, |column| &column.stored)?;
                    let (cells, reader) = self.cells(&file, block, first_row, *at)?;
                    cells.by_rule(stored, rule, reader)?
                }
            });
        }
        Ok(Block { first_row, n_rows, columns: all, lines: vec![] })
    }

    /// Calls `take` with each cell of a column of a block, whose first row is `first_row`.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Malformed`], and those of `take`.
    pub(crate) fn each(
        &self,
        block: usize,
        first_row: u64,
        at: usize,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        let stored = *self.readable(at, |column| &column.stored)?;
        let file = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let (cells, reader) = self.cells(&file, block, first_row, at)?;
        cells.each(stored, reader, take)
    }

    /// The cells of a column of a block, and their reader.
    fn cells(
        &self,
        reader: &SerializedFileReader<File>,
        block: usize,
        first_row: u64,
        at: usize,
    ) -> Result<(Cells<'_>, ColumnReader), Error> {
        let Some((group, rows)) = self.blocks.get(block).cloned() else {
            return Err(Error::Changed { path: self.path.clone() });
        };
        let Column { name, is_optional, stored, .. } = &self.columns[at];
        let reader = guarded(&self.path, || {
            let group = reader.get_row_group(group)?;
            if *stored != Ok(Stored::Text) {
                return group.get_column_reader(at);
            }
            let (pages, is_optional) = (group.get_column_page_reader(at)?, *is_optional);
            let of = group.metadata().column(at).column_descr_ptr();
            Ok(get_column_reader(of, Box::new(PlainPages { pages, is_optional })))
        })?;
        let (path, column, is_optional) = (&*self.path, &**name, *is_optional);
        Ok((Cells { path, column, is_optional, first_row, rows }, reader))
    }

    /// How a column is read, or why it is not.
    fn readable<T>(
        &self,
        at: usize,
        how: impl Fn(&Column) -> &Result<T, String>,
    ) -> Result<&T, Error> {
        let column = &self.columns[at];
        how(column).as_ref().map_err(|what| Error::Unsupported {
            path: self.path.clone(),
            what: format!("column `{}`: {what}", cut(&column.name)),
        })
    }
}

impl Column {
    fn new(of: &ColumnDescriptor) -> Self {
        let name = of.path().string();
        let is_flat = of.max_rep_level() == 0 && of.max_def_level() <= 1;
        let nested = "nested values are not read; write one column for each value";
        let kind = if is_flat { kind(of) } else { Err(nested.into()) };
        let stored = match (&kind, is_flat) {
            (Ok(kind), _) => Ok(Stored::Number(*kind)),
            (Err(_), true) => stored(of),
            (Err(reason), false) => Err(reason.clone()),
        };
        Self { name, kind, stored, is_optional: of.max_def_level() > 0 }
    }

    /// Makes it a column that is not read.
    fn refuse(&mut self, reason: &str) {
        (self.kind, self.stored) = (Err(reason.to_owned()), Err(reason.to_owned()));
    }

    fn element(&self) -> Element {
        if self.kind == Ok(Kind::Float) { Element::Float32 } else { Element::Float64 }
    }
}

/// The columns that Arrow wrote as durations: for Parquet they are plain integers.
fn durations(metadata: &FileMetaData) -> BTreeSet<String> {
    let known = metadata.key_value_metadata().into_iter().flatten();
    let mut schemas = known.filter(|entry| entry.key == arrow_schema::KEY);
    let schema = schemas.next().and_then(|entry| entry.value.as_deref());
    schema.map(arrow_schema::durations).unwrap_or_default()
}

/// Whether the compression of a column in one row group is read, or why not.
fn codec(chunk: &ColumnChunkMetaData) -> Result<(), String> {
    match chunk.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) => Ok(()),
        // As `ZSTD(ZstdLevel(1))`: a reader does not need the level.
        other => {
            let name = other.to_string();
            let name = name.split('(').next().unwrap_or_default();
            Err(format!("compression with {name} is not read; write it with Snappy or gzip"))
        }
    }
}

/// Why a column that a rule could read has no numbers.
const NO_NUMBER: &str = "dates, decimals and texts are not numbers; give the column a rule below \
                         [data.columns], such as `\"date\"`, `\"number\"` or `{ kind = \
                         \"category\", values = [...] }`";

/// How a column's numbers are stored, or why it has none.
fn kind(column: &ColumnDescriptor) -> Result<Kind, String> {
    let is_unsigned = match column.logical_type_ref() {
        // Writers such as DuckDB and fastparquet give the older annotation alone.
        None => matches!(
            column.converted_type(),
            ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        ),
        Some(LogicalType::Integer(of)) => !of.is_signed,
        Some(LogicalType::Float16) => {
            return Err("reals of 16 bits are not read; write float32".into());
        }
        Some(_) => return Err(NO_NUMBER.into()),
    };
    let is_number = matches!(
        column.converted_type(),
        ConvertedType::NONE
            | ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64
    );
    match (column.physical_type(), is_unsigned) {
        _ if !is_number => Err(NO_NUMBER.into()),
        (Physical::BOOLEAN, _) => Ok(Kind::Bool),
        (Physical::INT32, false) => Ok(Kind::Int32),
        (Physical::INT32, true) => Ok(Kind::UInt32),
        (Physical::INT64, false) => Ok(Kind::Int64),
        (Physical::INT64, true) => Ok(Kind::UInt64),
        (Physical::FLOAT, _) => Ok(Kind::Float),
        (Physical::DOUBLE, _) => Ok(Kind::Double),
        (other, _) => Err(format!("values of type {other} are not read; write numbers")),
    }
}

/// Checks the footer's length in the last eight bytes, and returns it.
fn check_footer(path: &Path, file: &mut File, n_bytes: u64) -> std::io::Result<Result<u64, Error>> {
    let malformed =
        |reason: &str| Ok(Err(Error::Malformed { path: path.to_owned(), reason: reason.into() }));
    if n_bytes < 12 {
        return malformed("too short for a Parquet file");
    }
    let mut end = [0; 8];
    file.seek(SeekFrom::Start(n_bytes - 8))?;
    file.read_exact(&mut end)?;
    let [a, b, c, d, magic @ ..] = end;
    if magic != MAGIC {
        return malformed(
            "the file does not end with the magic bytes of Parquet; it may be truncated",
        );
    }
    let len = u64::from(u32::from_le_bytes([a, b, c, d]));
    if len > n_bytes - 12 {
        let (path, what) = (path.to_owned(), "the Parquet footer".to_owned());
        return Ok(Err(Error::WrongLength { path, what, expected: len, got: n_bytes - 12 }));
    }
    if len > FOOTER_BYTES_MAX {
        let (path, what) = (path.to_owned(), "bytes of the Parquet footer".to_owned());
        return Ok(Err(Error::TooLarge { path, what, got: len, max: FOOTER_BYTES_MAX }));
    }
    Ok(Ok(len))
}

/// The rows of a row group, which all of its columns must have.
fn group_rows(path: &Path, group: &RowGroupMetaData) -> Result<u64, Error> {
    let malformed =
        |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
    let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
    if rows > ROWS_MAX {
        let (path, what) = (path.to_owned(), "rows of a row group".to_owned());
        return Err(Error::TooLarge { path, what, got: rows, max: ROWS_MAX });
    }
    for column in group.columns() {
        let is_flat = column.column_descr().max_rep_level() == 0;
        if is_flat && u64::try_from(column.num_values()) != Ok(rows) {
            let (name, n) = (column.column_path().string(), column.num_values());
            return Err(malformed(format!(
                "column `{}` has {n} values in a row group of {rows} rows",
                cut(&name)
            )));
        }
    }
    Ok(rows)
}

/// Calls the library. Its errors, and a panic over a file that it did not
/// foresee, become errors about the file.
pub(crate) fn guarded<T>(
    path: &Path,
    call: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, Error> {
    let malformed = |reason| Error::Malformed { path: path.to_owned(), reason };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| malformed(error.into())),
        Err(_) => Err(malformed("the Parquet reader cannot decode it".into())),
    }
}
