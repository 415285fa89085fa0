//! Numbers read from a data set.

use std::path::PathBuf;

use crate::Error;

/// Inputs and one target, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub(crate) path: PathBuf,
    pub(crate) input_names: Vec<String>,
    pub(crate) target_name: String,
    /// Row-major, rows × inputs.
    pub(crate) inputs: Vec<f64>,
    pub(crate) targets: Vec<f64>,
    /// The line that each row came from, for messages.
    pub(crate) lines: Vec<u64>,
}

impl Table {
    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.targets.len()
    }

    /// Names of the input columns in order; at least one.
    pub fn input_names(&self) -> &[String] {
        &self.input_names
    }

    /// Inputs, float64, row-major, shape [rows, inputs]; finite as float32 too.
    pub fn inputs(&self) -> &[f64] {
        &self.inputs
    }

    /// Targets, float64, shape [rows]; finite as float32 too.
    pub fn targets(&self) -> &[f64] {
        &self.targets
    }

    /// Returns the targets as class indices from 0 on.
    ///
    /// # Errors
    /// [`Error::NotAClass`] for the first row whose target is none.
    pub fn classes(&self) -> Result<Vec<i64>, Error> {
        // Beyond 2^24 float32 does not hold every whole number any more.
        let class_max = f64::from(1 << 24);
        let classes = self.targets.iter().zip(&self.lines).map(|(target, line)| {
            match target.fract() == 0.0 && (0.0..=class_max).contains(target) {
                true => Ok(*target as i64),
                false => Err(Error::NotAClass {
                    path: self.path.clone(),
                    line: *line,
                    column: self.target_name.clone(),
                    got: *target,
                }),
            }
        });
        classes.collect()
    }

    /// Returns the number of classes: the largest index plus one, and at least
    /// two, since one class alone is nothing to learn.
    ///
    /// # Errors
    /// As [`Table::classes`].
    pub fn n_classes(&self) -> Result<usize, Error> {
        let largest = self.classes()?.into_iter().max().unwrap_or_default();
        Ok((largest as usize + 1).max(2))
    }
}
