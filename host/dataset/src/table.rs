//! Numbers read from a data set.

use std::path::PathBuf;

use crate::values::Values;
use crate::{Error, Field, Place, Scale};

/// Inputs and targets, row by row.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) path: PathBuf,
    pub(crate) inputs: Vec<Part>,
    pub(crate) targets: Vec<Part>,
    /// The line that each row came from, for messages; none where a file has
    /// no lines.
    pub(crate) lines: Vec<u64>,
}

/// Some fields, read together.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) fields: Vec<Field>,
    pub(crate) values: Values,
}

impl Part {
    pub(crate) fn new(fields: Vec<Field>) -> Self {
        let width = fields.iter().map(Field::n_values).sum();
        Self { fields, values: Values::new(width) }
    }

    fn row(&self, row: usize, into: &mut Vec<f64>) {
        let from = into.len();
        self.values.row(row, into);
        // Fields that are read together are columns of a table, or one array.
        let unit = self.fields.first().map_or(1.0, Field::unit);
        if unit != 1.0 {
            into[from..].iter_mut().for_each(|value| *value /= unit);
        }
    }
}

impl Table {
    /// Rows; at least one.
    pub fn n_rows(&self) -> usize {
        // Either may be left out.
        let parts = self.targets.iter().chain(&self.inputs);
        parts.map(|part| part.values.n_rows()).max().unwrap_or_default()
    }

    /// The input fields in order.
    pub fn inputs(&self) -> impl Iterator<Item = &Field> {
        self.inputs.iter().flat_map(|part| &part.fields)
    }

    /// The target fields in order.
    pub fn targets(&self) -> impl Iterator<Item = &Field> {
        self.targets.iter().flat_map(|part| &part.fields)
    }

    /// Numbers of a row of inputs.
    pub fn n_inputs(&self) -> usize {
        self.inputs().map(Field::n_values).sum()
    }

    /// Runs of the numbers of a row that share mean and standard deviation.
    pub fn scales(&self) -> Vec<Scale> {
        self.inputs().flat_map(Field::scales).collect()
    }

    /// Appends the inputs of a row to `into`: float64, the fields in order,
    /// each flattened; finite as float32 too. uint8 pixels of images are
    /// divided by 255.
    pub fn input_row(&self, row: usize, into: &mut Vec<f64>) {
        self.inputs.iter().for_each(|part| part.row(row, into));
    }

    /// Appends the targets of a row to `into`, as they are in the file.
    pub fn target_row(&self, row: usize, into: &mut Vec<f64>) {
        self.targets.iter().for_each(|part| part.values.row(row, into));
    }

    /// Returns the target at position `at` of a row of targets as a class
    /// index from 0 on.
    ///
    /// # Errors
    /// [`Error::NotAClass`].
    pub fn class(&self, row: usize, at: usize) -> Result<i64, Error> {
        // Beyond 2^24 float32 does not hold every whole number any more.
        let class_max = f64::from(1 << 24);
        let mut values = Vec::with_capacity(self.targets().count());
        self.target_row(row, &mut values);
        let target = values.get(at).copied().unwrap_or(f64::NAN);
        match target.fract() == 0.0 && (0.0..=class_max).contains(&target) {
            true => Ok(target as i64),
            false => Err(Error::NotAClass {
                path: self.path.clone(),
                place: self.place(row),
                column: self.target_name(at),
                got: target,
            }),
        }
    }

    /// Returns the number of classes of the first target: the largest index
    /// plus one, and at least two, since one class alone is nothing to learn.
    ///
    /// # Errors
    /// As [`Table::class`].
    pub fn n_classes(&self) -> Result<usize, Error> {
        let mut largest = 1;
        for row in 0..self.n_rows() {
            largest = largest.max(self.class(row, 0)?);
        }
        Ok(largest as usize + 1)
    }

    fn target_name(&self, at: usize) -> String {
        let mut names = self.targets().flat_map(|field| vec![&field.name; field.n_values()]);
        names.nth(at).cloned().unwrap_or_default()
    }

    fn place(&self, row: usize) -> Place {
        self.lines.get(row).map_or(Place::Row(row as u64 + 1), |line| Place::Line(*line))
    }
}
