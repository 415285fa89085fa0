//! The cells of a column of Parquet: numbers, and by rules texts, dates and decimals beside them.

use std::ops::Range;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescriptor;

use crate::cell::{Cell, CellRule};
use crate::parquet_file::{Kind, guarded};
use crate::view::mismatched;
use crate::{Error, Place, Values, cut};

/// Beyond it float64 does not hold every whole number.
const EXACT_MAX: u64 = 1 << 53;
/// The most decimal places of a number.
const DECIMALS_MAX: i32 = 18;

/// How cells are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stored {
    Number(Kind),
    /// UTF-8, from a dictionary or not.
    Text,
    /// Days since 1970-01-01.
    Days,
    /// A time since then, and how many of its units a day has.
    Times(f64),
    /// A whole number, and what it is divided by.
    Decimal32(f64),
    Decimal64(f64),
}

/// How the cells of a column that has no numbers are stored, or why it has none.
pub(crate) fn stored(column: &ColumnDescriptor) -> Result<Stored, String> {
    let (physical, converted) = (column.physical_type(), column.converted_type());
    let decimal = |scale: i32| match physical {
        _ if !(0..=DECIMALS_MAX).contains(&scale) => {
            Err("decimals of this scale are not read".into())
        }
        Physical::INT32 => Ok(Stored::Decimal32(10f64.powi(scale))),
        Physical::INT64 => Ok(Stored::Decimal64(10f64.powi(scale))),
        _ => Err("decimals of more than 18 digits are not read; write float64".to_owned()),
    };
    match (column.logical_type_ref(), converted) {
        (Some(LogicalType::Date), _) | (None, ConvertedType::DATE)
            if physical == Physical::INT32 =>
        {
            Ok(Stored::Days)
        }
        (Some(LogicalType::Timestamp(of)), _) if physical == Physical::INT64 => {
            Ok(Stored::Times(match of.unit {
                TimeUnit::MILLIS => 86_400e3,
                TimeUnit::MICROS => 86_400e6,
                TimeUnit::NANOS => 86_400e9,
            }))
        }
        (None, ConvertedType::TIMESTAMP_MILLIS) => Ok(Stored::Times(86_400e3)),
        (None, ConvertedType::TIMESTAMP_MICROS) => Ok(Stored::Times(86_400e6)),
        (Some(LogicalType::Decimal(of)), _) => decimal(of.scale),
        (None, ConvertedType::DECIMAL) => decimal(column.type_scale()),
        (Some(LogicalType::String | LogicalType::Enum), _)
        | (None, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::NONE)
            if physical == Physical::BYTE_ARRAY =>
        {
            Ok(Stored::Text)
        }
        _ => Err(format!(
            "values of type {physical} ({converted}) are not read; write numbers or texts"
        )),
    }
}

/// Takes the cell of a row; none if it has no exact representation, or is not text.
pub(crate) type Take<'a> = dyn FnMut(Place, Option<Cell<'_>>) -> Result<(), Error> + 'a;

/// Some cells of a column.
pub(crate) struct Cells<'a> {
    pub(crate) path: &'a Path,
    pub(crate) column: &'a str,
    pub(crate) is_optional: bool,
    /// The row of the file that the first of `rows` is.
    pub(crate) first_row: u64,
    /// Rows of the row group.
    pub(crate) rows: Range<u64>,
}

/// The error of a cell that has no exact representation, or is not text.
pub(crate) fn not_exact(path: &Path, place: Place, column: &str) -> Error {
    let (path, column) = (path.to_owned(), cut(column));
    let got = "a value beyond 2^53, or a text that is not UTF-8,".to_owned();
    Error::NotExact { path, place, column, got }
}

/// Why a value is refused.
enum Wrong {
    NotFinite(String),
    NotExact(String),
}

impl Cells<'_> {
    /// Reads the rows of a column chunk as numbers.
    pub(crate) fn read(&self, kind: &Kind, reader: ColumnReader) -> Result<Values, Error> {
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

    /// Reads the rows of a column chunk by a rule.
    pub(crate) fn by_rule(
        &self,
        stored: Stored,
        rule: &CellRule,
        reader: ColumnReader,
    ) -> Result<Values, Error> {
        let mut values = Vec::new();
        let n_rows = (self.rows.end - self.rows.start) as usize;
        values.reserve(n_rows.saturating_mul(rule.rule().width()));
        self.each(stored, reader, &mut |place, cell| {
            let cell = cell.ok_or_else(|| not_exact(self.path, place, self.column))?;
            let pushed = rule.push(cell, &mut values);
            pushed.map_err(|of| mismatched(self.path, place, self.column.to_owned(), of))
        })?;
        Ok(Values::Float64(values))
    }

    /// Calls `take` with each row of a column chunk: none for a value that has no exact
    /// representation, or is not text.
    pub(crate) fn each(
        &self,
        stored: Stored,
        reader: ColumnReader,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        match stored {
            Stored::Number(Kind::Bool) => {
                self.cells::<BoolType>(reader, take, |value| Some(Cell::Boolean(*value)))
            }
            Stored::Number(Kind::Int32) => {
                self.cells::<Int32Type>(reader, take, |value| Some(Cell::Number(f64::from(*value))))
            }
            Stored::Number(Kind::UInt32) => self.cells::<Int32Type>(reader, take, |value| {
                Some(Cell::Number(f64::from(value.cast_unsigned())))
            }),
            Stored::Number(Kind::Int64) => self.cells::<Int64Type>(reader, take, |value| {
                let is_exact = value.unsigned_abs() <= EXACT_MAX;
                is_exact.then_some(Cell::Number(*value as f64))
            }),
            Stored::Number(Kind::UInt64) => self.cells::<Int64Type>(reader, take, |value| {
                let value = value.cast_unsigned();
                (value <= EXACT_MAX).then_some(Cell::Number(value as f64))
            }),
            Stored::Number(Kind::Float) => {
                self.cells::<FloatType>(reader, take, |value| Some(Cell::Number(f64::from(*value))))
            }
            Stored::Number(Kind::Double) => {
                self.cells::<DoubleType>(reader, take, |value| Some(Cell::Number(*value)))
            }
            Stored::Text => self.cells::<ByteArrayType>(reader, take, |value| {
                std::str::from_utf8(value.data()).ok().map(|text| Cell::Text(text.trim()))
            }),
            Stored::Days => {
                self.cells::<Int32Type>(reader, take, |value| Some(Cell::Days(f64::from(*value))))
            }
            Stored::Times(in_day) => self
                .cells::<Int64Type>(reader, take, |value| Some(Cell::Days(*value as f64 / in_day))),
            Stored::Decimal32(unit) => self.cells::<Int32Type>(reader, take, |value| {
                Some(Cell::Number(f64::from(*value) / unit))
            }),
            Stored::Decimal64(unit) => self.cells::<Int64Type>(reader, take, |value| {
                let is_exact = value.unsigned_abs() <= EXACT_MAX;
                is_exact.then_some(Cell::Number(*value as f64 / unit))
            }),
        }
    }

    /// Calls `take` with the rows of a column chunk, missing ones among them.
    fn cells<T: DataType>(
        &self,
        reader: ColumnReader,
        take: &mut Take<'_>,
        cell: impl Fn(&T::T) -> Option<Cell<'_>>,
    ) -> Result<(), Error> {
        let (found, levels) = self.records::<T>(reader)?;
        let n_rows = (self.rows.end - self.rows.start) as usize;
        let n_present = levels.iter().filter(|level| **level > 0).count();
        let expected = if self.is_optional { n_present } else { n_rows };
        if found.len() != expected || (self.is_optional && levels.len() != n_rows) {
            let reason = format!("column `{}` has values for other rows", cut(self.column));
            return Err(Error::Malformed { path: self.path.to_owned(), reason: reason.into() });
        }
        let mut found = found.iter();
        for at in 0..n_rows {
            let is_missing = levels.get(at).is_some_and(|level| *level == 0);
            let value = if is_missing { None } else { found.next() };
            let place = Place::Row(self.first_row + at as u64);
            take(place, value.map_or(Some(Cell::Missing), &cell))?;
        }
        Ok(())
    }

    /// Reads the rows of a column chunk: the values, and for each row whether it has one.
    fn records<T: DataType>(&self, reader: ColumnReader) -> Result<(Vec<T::T>, Vec<i16>), Error> {
        let Self { rows, is_optional, .. } = self;
        let n_rows = (rows.end - rows.start) as usize;
        guarded(self.path, || {
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
        })
    }

    /// Reads the rows of a column chunk, none of them empty, and converts them.
    fn numbers<T: DataType, V>(
        &self,
        reader: ColumnReader,
        convert: impl Fn(T::T) -> Result<V, Wrong>,
    ) -> Result<Vec<V>, Error> {
        let n_rows = (self.rows.end - self.rows.start) as usize;
        let (found, levels) = self.records::<T>(reader)?;
        let (path, column) = (self.path.to_owned(), cut(self.column));
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
