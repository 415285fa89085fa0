//! Parquet files: columns of numbers and truth values, in row groups.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use parquet::basic::{Compression, ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{BoolType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::bounds::{COLUMNS_MAX, FOOTER_BYTES_MAX, PARQUET_LIST_MAX, ROWS_MAX, block_rows};
use crate::parquet_pages::{check_pages, check_schema};
use crate::{Block, Element, Error, Field, Place, Values, arrow_schema, cut};

/// The magic bytes at both ends of Parquet files.
pub(crate) const MAGIC: &[u8] = b"PAR1";
/// Beyond it float64 does not hold every whole number.
const EXACT_MAX: u64 = 1 << 53;

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
    is_optional: bool,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
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
            column.kind = Err(
                "durations are not read; write them as numbers in a unit of your choice".into(),
            );
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
                if let (Some(column), Err(reason)) = (columns.get_mut(nth), codec(chunk)) {
                    column.kind = Err(reason);
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
    /// [`Error::NotFinite`], [`Error::NotExact`].
    pub(crate) fn read(
        &self,
        block: usize,
        first_row: u64,
        columns: &[usize],
    ) -> Result<Block, Error> {
        let Some((group, rows)) = self.blocks.get(block).cloned() else {
            return Err(Error::Changed { path: self.path.clone() });
        };
        let n_rows = (rows.end - rows.start) as usize;
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::with_capacity(columns.len());
        for at in columns {
            let column = &self.columns[*at];
            let kind = column.kind.clone().map_err(|what| Error::Unsupported {
                path: self.path.clone(),
                what: format!("column `{}`: {what}", cut(&column.name)),
            })?;
            let cells = Cells {
                path: &self.path,
                column: &column.name,
                is_optional: column.is_optional,
                first_row,
                rows: rows.clone(),
            };
            let reader =
                guarded(&self.path, || reader.get_row_group(group)?.get_column_reader(*at));
            all.push(cells.read(kind, reader?)?);
        }
        Ok(Block { first_row, n_rows, columns: all, lines: vec![] })
    }
}

/// Some cells of a column.
struct Cells<'a> {
    path: &'a Path,
    column: &'a str,
    is_optional: bool,
    /// The row of the file that the first of `rows` is.
    first_row: u64,
    /// Rows of the row group.
    rows: Range<u64>,
}

/// Why a value is refused.
enum Wrong {
    NotFinite(String),
    NotExact(String),
}

impl Cells<'_> {
    fn read(&self, kind: Kind, reader: ColumnReader) -> Result<Values, Error> {
        let exact = |is_exact: bool, value: f64, text: &dyn ToString| {
            if is_exact { Ok(value) } else { Err(Wrong::NotExact(text.to_string())) }
        };
        Ok(match kind {
            Kind::Bool => Values::Float64(
                self.numbers::<BoolType, _>(reader, |v| Ok(f64::from(u8::from(v))))?,
            ),
            Kind::Int32 => {
                Values::Float64(self.numbers::<Int32Type, _>(reader, |v| Ok(f64::from(v)))?)
            }
            Kind::UInt32 => Values::Float64(
                self.numbers::<Int32Type, _>(reader, |v| Ok(f64::from(v.cast_unsigned())))?,
            ),
            Kind::Int64 => Values::Float64(self.numbers::<Int64Type, _>(reader, |v| {
                exact(v.unsigned_abs() <= EXACT_MAX, v as f64, &v)
            })?),
            Kind::UInt64 => Values::Float64(self.numbers::<Int64Type, _>(reader, |v| {
                let v = v.cast_unsigned();
                exact(v <= EXACT_MAX, v as f64, &v)
            })?),
            Kind::Float => Values::Float32(self.numbers::<FloatType, _>(reader, |v| {
                if v.is_finite() { Ok(v) } else { Err(Wrong::NotFinite(v.to_string())) }
            })?),
            Kind::Double => Values::Float64(self.numbers::<DoubleType, _>(reader, |v| {
                let is_finite = (v as f32).is_finite();
                if is_finite { Ok(v) } else { Err(Wrong::NotFinite(v.to_string())) }
            })?),
        })
    }

    /// Reads the rows of a column chunk, none of them empty, and converts them.
    fn numbers<T: DataType, V>(
        &self,
        reader: ColumnReader,
        convert: impl Fn(T::T) -> Result<V, Wrong>,
    ) -> Result<Vec<V>, Error> {
        let Self { rows, is_optional, .. } = self;
        let n_rows = (rows.end - rows.start) as usize;
        let (found, levels) = guarded(self.path, || {
            let mut reader: ColumnReaderImpl<T> = get_typed_column_reader(reader);
            reader.skip_records(rows.start as usize)?;
            let (mut values, mut levels) = (Vec::new(), Vec::new());
            let mut n = 0;
            while n < n_rows {
                let levels = is_optional.then_some(&mut levels);
                let (read, _, _) = reader.read_records(n_rows - n, levels, None, &mut values)?;
                if read == 0 {
                    return Err(ParquetError::EOF(
                        "a column has fewer rows than its header announces".into(),
                    ));
                }
                n += read;
            }
            Ok((values, levels))
        })?;
        let (path, column) = (self.path.to_owned(), self.column.to_owned());
        let place = |at: usize| Place::Row(self.first_row + at as u64);
        if let Some(at) = levels.iter().position(|level| *level == 0) {
            return Err(Error::EmptyCell { path, place: place(at), column });
        }
        if found.len() != n_rows {
            let reason =
                format!("column `{}` has {} values, not {n_rows}", cut(&column), found.len());
            return Err(Error::Malformed { path, reason: reason.into() });
        }
        let mut values = Vec::with_capacity(n_rows);
        for (at, value) in found.into_iter().enumerate() {
            values.push(match convert(value) {
                Ok(value) => value,
                Err(Wrong::NotFinite(got)) => {
                    return Err(Error::NotFinite { path, place: place(at), column, got });
                }
                Err(Wrong::NotExact(got)) => {
                    return Err(Error::NotExact { path, place: place(at), column, got });
                }
            });
        }
        Ok(values)
    }
}

impl Column {
    fn new(of: &ColumnDescriptor) -> Self {
        let name = of.path().string();
        let is_flat = of.max_rep_level() == 0 && of.max_def_level() <= 1;
        let kind = if is_flat {
            kind(of)
        } else {
            Err("nested values are not read; write one column for each value".into())
        };
        Self { name, kind, is_optional: of.max_def_level() > 0 }
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
        Some(_) => return Err("dates, decimals and texts are not read; write numbers".into()),
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
        _ if !is_number => Err("dates, decimals and texts are not read; write numbers".into()),
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
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Error> {
    let malformed = |reason| Error::Malformed { path: path.to_owned(), reason };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| malformed(error.into())),
        Err(_) => Err(malformed("the Parquet reader cannot decode it".into())),
    }
}
