//! Types of Postgres, and the cells that their values become.

use fedwasm_dataset::CellKind;

use crate::rows::Cell;

/// From 1970-01-01 to 2000-01-01, in days.
const EPOCH_DAYS: i32 = 10_957;
const MICROSECONDS_IN_DAY: i64 = 86_400_000_000;

/// The type of a column, as far as it matters here. (pg_type.dat of Postgres has the numbers.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// Becomes the nearest float64.
    Numeric,
    Date,
    /// With or without a time zone.
    Timestamp,
    Text,
    Bytes,
    /// Any other, which is kept as its text.
    Other(u32),
}

impl Type {
    pub(crate) fn of(oid: u32) -> Self {
        match oid {
            16 => Self::Bool,
            17 => Self::Bytes,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            26 => Self::Oid,
            700 => Self::Float4,
            701 => Self::Float8,
            1082 => Self::Date,
            1114 | 1184 => Self::Timestamp,
            1700 => Self::Numeric,
            // "char", name, text, json, unknown, bpchar, varchar, uuid, jsonb.
            18 | 19 | 25 | 114 | 705 | 1042 | 1043 | 2950 | 3802 => Self::Text,
            other => Self::Other(other),
        }
    }

    pub(crate) fn kind(self) -> CellKind {
        match self {
            Self::Bool => CellKind::Boolean,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => CellKind::Integer,
            Self::Float4 | Self::Float8 | Self::Numeric => CellKind::Real,
            Self::Date => CellKind::Date,
            Self::Timestamp => CellKind::Time,
            Self::Text | Self::Bytes | Self::Other(_) => CellKind::Text,
        }
    }

    /// Whether its values are asked for in their binary form.
    pub(crate) fn is_binary(self) -> bool {
        !matches!(self, Self::Numeric | Self::Text | Self::Bytes | Self::Other(_))
    }

    /// Reads a value.
    pub(crate) fn read(self, bytes: &[u8]) -> Result<Cell<'_>, &'static str> {
        const WRONG: &str = "the value is not of the length of its type";
        let text = || std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8");
        fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], &'static str> {
            bytes.try_into().map_err(|_| WRONG)
        }
        Ok(match self {
            Self::Bool => Cell::Boolean(fixed::<1>(bytes)? != [0]),
            Self::Int2 => Cell::Integer(i16::from_be_bytes(fixed(bytes)?).into()),
            Self::Int4 => Cell::Integer(i32::from_be_bytes(fixed(bytes)?).into()),
            Self::Int8 => Cell::Integer(i64::from_be_bytes(fixed(bytes)?)),
            Self::Oid => Cell::Integer(u32::from_be_bytes(fixed(bytes)?).into()),
            Self::Float4 => Cell::Real(f32::from_be_bytes(fixed(bytes)?).into()),
            Self::Float8 => Cell::Real(f64::from_be_bytes(fixed(bytes)?)),
            Self::Numeric => Cell::Real(text()?.parse().map_err(|_| "not a number")?),
            Self::Date => {
                let days = i32::from_be_bytes(fixed(bytes)?);
                let date = (days != i32::MIN).then(|| days.checked_add(EPOCH_DAYS)).flatten();
                Cell::Date(date.ok_or("an infinite date")?)
            }
            Self::Timestamp => {
                let time = i64::from_be_bytes(fixed(bytes)?);
                let since = i64::from(EPOCH_DAYS) * MICROSECONDS_IN_DAY;
                let time = (time != i64::MIN).then(|| time.checked_add(since)).flatten();
                Cell::Time(time.ok_or("an infinite time")?)
            }
            Self::Text | Self::Bytes | Self::Other(_) => Cell::Text(text()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_wrong_length_or_without_end_are_errors() {
        assert_eq!(Type::Int4.read(&[0xff, 0xff, 0xff, 0xfe]), Ok(Cell::Integer(-2)));
        assert_eq!(Type::Numeric.read(b"-12.50"), Ok(Cell::Real(-12.5)));
        assert_eq!(Type::Date.read(&(-10_957i32).to_be_bytes()), Ok(Cell::Date(0)));
        for (of, bytes) in [
            (Type::Int4, &[1, 2, 3][..]),
            (Type::Bool, &[]),
            (Type::Float8, &[0; 9]),
            (Type::Numeric, b"twelve"),
            (Type::Text, &[0xff]),
            (Type::Date, &i32::MAX.to_be_bytes()),
            (Type::Date, &i32::MIN.to_be_bytes()),
            (Type::Timestamp, &i64::MAX.to_be_bytes()),
            (Type::Timestamp, &i64::MIN.to_be_bytes()),
        ] {
            assert!(of.read(bytes).is_err(), "{of:?} {bytes:?}");
        }
    }
}
