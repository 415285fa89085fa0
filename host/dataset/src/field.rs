//! What a data set has in every row.

use fedwasm_params::DType;

/// What a data set has in every row: a column of a table, the pixels of an
/// image, a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, unique in the data set.
    pub name: String,
    /// What the file stores.
    pub dtype: DType,
    /// Lengths of the axes of one row, none for a single number.
    pub shape: Vec<usize>,
}

impl Field {
    /// A field of one number a row.
    pub(crate) fn scalar(name: &str, dtype: DType) -> Self {
        Self { name: name.to_owned(), dtype, shape: Vec::new() }
    }

    /// Numbers in a row.
    pub fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a row is an image: a field of two or more axes, `[h, w]` or
    /// `[channels, h, w]`.
    pub fn is_image(&self) -> bool {
        self.shape.len() > 1
    }

    /// What pixels are divided by: 255 where an image has uint8, else 1.
    pub(crate) fn unit(&self) -> f64 {
        if self.is_image() && self.dtype == DType::UInt8 { 255.0 } else { 1.0 }
    }

    /// Runs of numbers that share mean and standard deviation, in order: each
    /// number of a table or vector, each channel of an image.
    pub(crate) fn scales(&self) -> Vec<Scale> {
        let (n, each) = match &self.shape[..] {
            [] => (1, 1),
            [n] => (*n, 1),
            [height, width] => (1, height * width),
            [channels, rest @ ..] => (*channels, rest.iter().product()),
        };
        let name = |nth| match n {
            1 => self.name.clone(),
            _ => format!("{}[{nth}]", self.name),
        };
        (0..n).map(|nth| Scale { name: name(nth), n_values: each }).collect()
    }
}

/// Numbers of a row, side by side, that share mean and standard deviation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The column, or the field and its channel.
    pub name: String,
    /// How many numbers.
    pub n_values: usize,
}
