//! Values that tell rows apart, such as the patient that a row is about: numbers, or texts as they
//! are in the file.

use crate::cell::Cell;
use crate::dataset::Dataset;
use crate::parquet_cells::not_exact;
use crate::{Error, cut};

/// The longest text of a cell that tells rows apart, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 1_024;

/// The value of a row in one column. Equal numbers are equal in any spelling; numbers come before
/// texts, which are in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The bits of a float64, so turned that they have the order of the numbers.
    Number(u64),
    /// Of a text.
    Text(Vec<u8>),
}

impl Key {
    /// Of a number; 0 and -0 are one.
    pub fn number(value: f64) -> Self {
        let bits = (value + 0.0).to_bits();
        let is_negative = bits >> 63 == 1;
        Self::Number(if is_negative { !bits } else { bits | 1 << 63 })
    }

    /// Its number; none of a text.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(bits) if bits >> 63 == 1 => Some(f64::from_bits(bits & !(1 << 63))),
            Self::Number(bits) => Some(f64::from_bits(!bits)),
            Self::Text(_) => None,
        }
    }

    /// Of the cell of a text; none if it is empty.
    pub(crate) fn cell(bytes: &[u8]) -> Option<Self> {
        let number = std::str::from_utf8(bytes).ok().and_then(|cell| cell.parse::<f64>().ok());
        match number {
            Some(value) if value.is_finite() => Some(Self::number(value)),
            _ if bytes.is_empty() => None,
            _ => Some(Self::Text(bytes.to_vec())),
        }
    }
}

impl Dataset {
    /// Reads one value of every row of a column: texts of CSV and Parquet files as they are, numbers
    /// of other files, whatever rules say. A date counts in days, true and false are 1 and 0.
    ///
    /// # Errors
    /// [`Error::MissingColumn`], [`Error::EmptyCell`], [`Error::TooLarge`] if the column has
    /// several values a row or a long text, and those of reading.
    pub fn keys(&self, column: &str) -> Result<Vec<Key>, Error> {
        let raw = self.without_rules();
        let field = raw.position(column)?;
        if let Some(file) = raw.csv() {
            return file.keys(field).map_err(|error| raw.told(error));
        }
        if let Some(chosen) = raw.chosen() {
            return chosen.keys(column);
        }
        let (path, width) = (raw.path().to_owned(), raw.fields()[field].width() as u64);
        if width > 1 {
            let what = format!("values a row in `{}`, by which rows are split", cut(column));
            return Err(Error::TooLarge { path, what, got: width, max: 1 });
        }
        let mut keys = Vec::new();
        for block in 0..raw.n_blocks() {
            raw.each(block, field, &mut |place, cell| {
                let key = match cell {
                    Some(Cell::Number(value) | Cell::Days(value)) if value.is_nan() => None,
                    Some(Cell::Number(value) | Cell::Days(value)) => Some(Key::number(value)),
                    Some(Cell::Boolean(value)) => Some(Key::number(f64::from(u8::from(value)))),
                    Some(Cell::Text(text)) if text.len() > KEY_BYTES_MAX => {
                        let what = format!("bytes of a cell of `{}` ({place})", cut(column));
                        let (path, got) = (path.clone(), text.len() as u64);
                        return Err(Error::TooLarge { path, what, got, max: KEY_BYTES_MAX as u64 });
                    }
                    Some(Cell::Text(text)) => Key::cell(text.as_bytes()),
                    Some(Cell::Missing) => None,
                    None => return Err(not_exact(&path, place, column)),
                };
                let column = || cut(column);
                keys.push(key.ok_or_else(|| {
                    let path = path.clone();
                    Error::EmptyCell { path, place, column: column() }
                })?);
                Ok(())
            })?;
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_numbers_and_then_as_texts() {
        let cells = ["-1e3", "-2", "-0", "0.5", "1", "20", "NaN", "a", "b"];
        let keys: Vec<Key> = cells.iter().map(|cell| Key::cell(cell.as_bytes()).unwrap()).collect();
        assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]), "{keys:?}");
        assert_eq!(Key::cell(b"1.0"), Key::cell(b"1"));
        assert_eq!(Key::cell(b"-0"), Key::cell(b"0"));
        assert_eq!(Key::cell(b""), None);
        let numbers: Vec<Option<f64>> = keys.iter().map(Key::as_number).collect();
        assert_eq!(numbers[..6], [-1e3, -2.0, 0.0, 0.5, 1.0, 20.0].map(Some));
        assert_eq!(numbers[6..], [None; 3]);
    }

    #[test]
    fn texts_of_a_csv_file_are_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, "id,x\n P-1 ,1\nP-2,2\n7,3\n7.0,4\nP-1,5\n").unwrap();
        let keys = Dataset::open(&path, None).unwrap().keys("id").unwrap();
        assert_eq!((&keys[0], &keys[2]), (&keys[4], &keys[3]));
        assert!(keys[0] != keys[1] && keys[2] < keys[0]);
        let error = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Dataset::open(&path, None).unwrap().keys("id").unwrap_err().to_string()
        };
        assert!(error("id,x\n1,1\n,2\n").contains("line 3"));
        let long = "y".repeat(KEY_BYTES_MAX + 1);
        assert!(error(&format!("id,x\n{long},1\n")).contains("1025"));
    }
}
