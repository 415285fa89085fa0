//! The table of the subjects of a folder, joined by their names.

use std::collections::HashMap;
use std::path::Path;

use crate::bounds::{FILES_MAX, SUBJECT_TABLE_BYTES_MAX};
use crate::cell::CellRule;
use crate::csv_file::CsvFile;
use crate::{Error, cut};

/// A table with a line for each subject. It is kept in memory.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    file: CsvFile,
    /// Which column has the subjects.
    key: usize,
    records: Vec<csv::ByteRecord>,
    /// The line of each subject.
    lines: HashMap<String, usize>,
}

impl Table {
    /// Reads a table whose column `key` has the names of subjects.
    ///
    /// # Errors
    /// Those of a CSV file, [`Error::MissingColumn`], [`Error::TooLarge`], and
    /// [`Error::Unsupported`] if a subject has two lines.
    pub(crate) fn open(path: &Path, key: &str) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let got = crate::open(path).and_then(|file| file.metadata()).map_err(read)?.len();
        if got > SUBJECT_TABLE_BYTES_MAX {
            let (path, what) = (path.to_owned(), "bytes of a table of subjects".to_owned());
            return Err(Error::TooLarge { path, what, got, max: SUBJECT_TABLE_BYTES_MAX });
        }
        let file = CsvFile::open(path)?;
        let Some(key) = file.columns().iter().position(|name| name == key) else {
            let known: Vec<&str> = file.columns().iter().take(20).map(String::as_str).collect();
            let hint = format!(
                "`subject` of the settings names the column of the subjects' folders; the columns \
                 are {}",
                known.join(", ")
            );
            return Err(Error::MissingColumn { path: path.to_owned(), column: cut(key), hint });
        };
        let records = file.records(FILES_MAX)?;
        let mut lines = HashMap::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            let subject = String::from_utf8_lossy(record.get(key).unwrap_or_default());
            if lines.insert(subject.clone().into_owned(), at).is_some() {
                let what = format!("two lines for the subject `{}`; keep one", cut(&subject));
                return Err(Error::Unsupported { path: path.to_owned(), what });
            }
        }
        Ok(Self { file, key, records, lines })
    }

    /// Names of the columns but that of the subjects.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &String> {
        let is_other = |(at, _): &(usize, &String)| *at != self.key;
        self.file.columns().iter().enumerate().filter(is_other).map(|(_, name)| name)
    }

    /// The line of a subject.
    pub(crate) fn line(&self, subject: &str) -> Option<usize> {
        self.lines.get(subject).copied()
    }

    /// Lines of the table.
    pub(crate) fn n_lines(&self) -> usize {
        self.records.len()
    }

    /// Appends the number in a column, counted as in [`Table::columns`], or its values by a rule.
    ///
    /// # Errors
    /// Those of a cell.
    pub(crate) fn push(
        &self,
        line: usize,
        column: usize,
        rule: Option<&CellRule>,
        into: &mut Vec<f64>,
    ) -> Result<(), Error> {
        let (record, column, place) = self.cell(line, column);
        match rule {
            Some(rule) => self.file.cell(record, (column, rule), place, into),
            None => self.file.number(record, column, place).map(|value| into.push(value)),
        }
    }

    /// The text in a column without blanks around it, and its line in the file.
    ///
    /// # Errors
    /// [`Error::NotUtf8`].
    pub(crate) fn text(&self, line: usize, column: usize) -> Result<(&str, u64), Error> {
        let (record, column, line) = self.cell(line, column);
        let text = std::str::from_utf8(record.get(column).unwrap_or_default());
        text.map(|text| (text.trim(), line)).map_err(|_| {
            let (path, column) = (self.file.path().to_owned(), self.file.name(column));
            Error::NotUtf8 { path, line, column }
        })
    }

    /// The record of a line, the place of a column in it, and the line in the file.
    fn cell(&self, line: usize, column: usize) -> (&csv::ByteRecord, usize, u64) {
        let column = column + usize::from(column >= self.key);
        let record = &self.records[line];
        (record, column, record.position().map_or(0, csv::Position::line))
    }
}
