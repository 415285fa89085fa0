//! Writes tables as Parquet, a group of rows at a time. The bytes follow from names, kinds and
//! groups alone.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

/// The kind of the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Whole numbers of 64 bits.
    Integer,
    /// float64.
    Real,
    /// True or false.
    Boolean,
    /// UTF-8.
    Text,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since then, UTC.
    Time,
}

/// A column of a table that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its cells.
    pub kind: CellKind,
    /// Whether cells may be missing.
    pub is_optional: bool,
}

/// The cells of a column that are there, in the order of the rows.
#[derive(Clone, Debug, PartialEq)]
pub enum CellValues {
    /// Of [`CellKind::Integer`] and [`CellKind::Time`].
    Integers(Vec<i64>),
    /// Of [`CellKind::Real`].
    Reals(Vec<f64>),
    /// Of [`CellKind::Boolean`].
    Booleans(Vec<bool>),
    /// Of [`CellKind::Text`].
    Texts(Vec<String>),
    /// Of [`CellKind::Date`].
    Dates(Vec<i32>),
}

impl CellValues {
    /// No cells of a kind.
    pub fn none(kind: CellKind) -> Self {
        match kind {
            CellKind::Integer | CellKind::Time => Self::Integers(Vec::new()),
            CellKind::Real => Self::Reals(Vec::new()),
            CellKind::Boolean => Self::Booleans(Vec::new()),
            CellKind::Text => Self::Texts(Vec::new()),
            CellKind::Date => Self::Dates(Vec::new()),
        }
    }
}

/// A column of a group of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupColumn {
    /// The cells that are there.
    pub cells: CellValues,
    /// Of an optional column, whether each row has a cell: 1, or 0.
    pub is_there: Vec<i16>,
}

/// A table that is being written.
pub struct TableWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<TableColumn>,
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a table. `written_by` is kept in the file.
    ///
    /// # Errors
    /// Those of `into`.
    pub fn new(into: W, columns: Vec<TableColumn>, written_by: &str) -> std::io::Result<Self> {
        let begin = || {
            let fields = columns.iter().map(field).collect::<Result<_, _>>()?;
            let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build()?);
            let properties = WriterProperties::builder().set_created_by(written_by.to_owned());
            // No reader here uses them.
            let properties = properties.set_statistics_enabled(EnabledStatistics::None);
            let properties = properties.set_offset_index_disabled(true);
            let properties = Arc::new(properties.set_compression(Compression::SNAPPY).build());
            SerializedFileWriter::new(into, schema, properties)
        };
        Ok(Self { writer: begin().map_err(failed)?, columns })
    }

    /// Writes the next rows: a column for each of the table, in their order, all of as many rows.
    ///
    /// # Errors
    /// Those of the writer, and of columns that are not those of the table.
    pub fn write(&mut self, group: &[GroupColumn]) -> std::io::Result<()> {
        self.write_group(group).map_err(failed)
    }

    fn write_group(&mut self, group: &[GroupColumn]) -> Result<(), ParquetError> {
        let mut rows = self.writer.next_row_group()?;
        for (column, GroupColumn { cells, is_there }) in self.columns.iter().zip(group) {
            let Some(mut into) = rows.next_column()? else { break };
            let levels = column.is_optional.then_some(&is_there[..]);
            match (into.untyped(), cells) {
                (ColumnWriter::Int64ColumnWriter(into), CellValues::Integers(values)) => {
                    into.write_batch(values, levels, None)?;
                }
                (ColumnWriter::DoubleColumnWriter(into), CellValues::Reals(values)) => {
                    into.write_batch(values, levels, None)?;
                }
                (ColumnWriter::BoolColumnWriter(into), CellValues::Booleans(values)) => {
                    into.write_batch(values, levels, None)?;
                }
                (ColumnWriter::Int32ColumnWriter(into), CellValues::Dates(values)) => {
                    into.write_batch(values, levels, None)?;
                }
                (ColumnWriter::ByteArrayColumnWriter(into), CellValues::Texts(values)) => {
                    let values: Vec<ByteArray> =
                        values.iter().map(|text| ByteArray::from(text.as_str())).collect();
                    into.write_batch(&values, levels, None)?;
                }
                _ => return Err(ParquetError::General("a column of another kind".into())),
            }
            into.close()?;
        }
        rows.close().map(drop)
    }

    /// Bytes that were written so far.
    pub fn written(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Ends the table, and gives back its writer.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(self) -> std::io::Result<W> {
        self.writer.into_inner().map_err(failed)
    }
}

impl<W: Write + Send> std::fmt::Debug for TableWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// A column as Parquet describes it.
fn field(column: &TableColumn) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.kind {
        CellKind::Integer => (Physical::INT64, None),
        CellKind::Real => (Physical::DOUBLE, None),
        CellKind::Boolean => (Physical::BOOLEAN, None),
        CellKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        CellKind::Date => (Physical::INT32, Some(LogicalType::Date)),
        CellKind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
    };
    let repetition = match column.is_optional {
        true => Repetition::OPTIONAL,
        false => Repetition::REQUIRED,
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    let builder = builder.with_repetition(repetition).with_logical_type(logical);
    builder.build().map(Arc::new)
}

/// The error of the writer below, if that is its reason.
fn failed(error: ParquetError) -> std::io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => *error,
            Err(source) => std::io::Error::other(source),
        },
        error => std::io::Error::other(error),
    }
}
