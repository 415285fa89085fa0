//! The fields of a dataset, and values read from it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use crate::bounds::{CHANNELS_MAX, COLUMNS_MAX, ROW_VALUES_MAX};
use crate::{Error, cut};

/// Element type of values as they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 8-bit unsigned integers.
    UInt8,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary64: all numbers of tables, and all integers but uint8,
    /// which must be exact in it.
    Float64,
}

impl Element {
    /// Bytes of one element.
    pub fn size(self) -> u64 {
        match self {
            Self::UInt8 => 1,
            Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }
}

/// A column, an array or the images of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, unique in the dataset.
    pub name: String,
    /// Element type.
    pub element: Element,
    /// Lengths of the axes of one row; empty for a number.
    pub shape: Vec<u64>,
}

impl Field {
    /// Values of one row, at least 1; `usize::MAX` of a shape that is larger.
    pub fn width(&self) -> usize {
        let n = self.shape.iter().fold(1u64, |n, length| n.saturating_mul(*length));
        usize::try_from(n).unwrap_or(usize::MAX)
    }

    /// Whether values are pixels from 0 to 255: uint8 with two or three axes a
    /// row.
    pub fn is_image(&self) -> bool {
        self.element == Element::UInt8 && matches!(self.shape.len(), 2 | 3)
    }

    /// Channels of a row with two axes (one), three or four (as many as the first
    /// axis has), otherwise none.
    pub fn n_channels(&self) -> Option<usize> {
        match &self.shape[..] {
            [_, _] => Some(1),
            [channels, _, _] | [channels, _, _, _] => Some(*channels as usize),
            _ => None,
        }
    }
}

/// Where a row lies, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a line of a text, from 1.
    Line(u64),
    /// The row, from 0.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Values of one field for some rows, row-major; finite also as float32.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Of [`Element::UInt8`].
    UInt8(Vec<u8>),
    /// Of [`Element::Float32`].
    Float32(Vec<f32>),
    /// Of [`Element::Float64`].
    Float64(Vec<f64>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::UInt8(values) => values.len(),
            Self::Float32(values) => values.len(),
            Self::Float64(values) => values.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `take` with each value of a range, in float64 and as it is: pixels
    /// are not divided here.
    ///
    /// # Panics
    /// If the range is not within [`Values::len`].
    pub fn each(&self, range: Range<usize>, mut take: impl FnMut(f64)) {
        match self {
            Self::UInt8(values) => values[range].iter().for_each(|v| take(f64::from(*v))),
            Self::Float32(values) => values[range].iter().for_each(|v| take(f64::from(*v))),
            Self::Float64(values) => values[range].iter().for_each(|v| take(*v)),
        }
    }
}

/// Rows that were read together.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The first row, from 0.
    pub first_row: u64,
    /// Rows.
    pub n_rows: usize,
    /// Values of the fields that were asked for, in that order.
    pub columns: Vec<Values>,
    /// The lines of the rows in a text; empty for other files.
    pub(crate) lines: Vec<u64>,
}

impl Block {
    /// Puts rows together that are known by their number.
    pub fn new(first_row: u64, n_rows: usize, columns: Vec<Values>) -> Self {
        Self { first_row, n_rows, columns, lines: Vec::new() }
    }

    /// Where the row `index` of this block lies.
    pub fn place(&self, index: usize) -> Place {
        match self.lines.get(index) {
            Some(line) => Place::Line(*line),
            None => Place::Row(self.first_row + index as u64),
        }
    }
}

/// Checks the names and the sizes of the fields of a dataset.
pub(crate) fn check_names(path: &Path, fields: &[Field]) -> Result<(), Error> {
    if fields.len() > COLUMNS_MAX {
        let (path, got) = (path.to_owned(), fields.len());
        return Err(Error::TooManyColumns { path, got, max: COLUMNS_MAX });
    }
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        if field.name.is_empty() || !seen.insert(&field.name) {
            let (path, name) = (path.to_owned(), cut(&field.name));
            return Err(Error::BadName { path, number: index + 1, name });
        }
    }
    let channels = |field: &&Field| match (field.element, &field.shape[..]) {
        (Element::UInt8, [channels, _, _]) => *channels > CHANNELS_MAX,
        _ => false,
    };
    if let Some(field) = fields.iter().find(channels) {
        let what = format!("channels of `{}` (axes are channels, height, width)", cut(&field.name));
        let (path, got) = (path.to_owned(), field.shape[0]);
        return Err(Error::TooLarge { path, what, got, max: CHANNELS_MAX });
    }
    let width = fields.iter().fold(0u64, |sum, field| sum.saturating_add(field.width() as u64));
    if width > ROW_VALUES_MAX {
        let (path, what) = (path.to_owned(), "values of a row".to_owned());
        Err(Error::TooLarge { path, what, got: width, max: ROW_VALUES_MAX })
    } else {
        Ok(())
    }
}
