//! CSV files with a header.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use fedwasm_params::DType;

use crate::table::Part;
use crate::{Error, Field, Place, Table};

/// The most columns that are read.
pub const COLUMNS_MAX: usize = 65_536;
/// The longest header, in bytes.
const HEADER_BYTES_MAX: u64 = 8 << 20;
/// The most of a cell that a message repeats, in characters.
const CELL_CHARS_MAX: usize = 40;
/// Delimiters in order of preference.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A CSV file with a header, in UTF-8. The delimiter is the one of comma,
/// semicolon, tab and bar that the header holds most often.
#[derive(Clone, Debug)]
pub(crate) struct CsvFile {
    path: PathBuf,
    delimiter: u8,
    columns: Vec<String>,
}

impl CsvFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Empty`], [`Error::TooManyColumns`],
    /// [`Error::BadName`], [`Error::Malformed`].
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let mut header = Vec::new();
        let mut file = BufReader::new(File::open(path).map_err(read)?).take(HEADER_BYTES_MAX);
        file.read_until(b'\n', &mut header).map_err(read)?;
        if header.trim_ascii().is_empty() {
            return Err(Error::Empty { path: path.to_owned() });
        }
        if header.len() as u64 == HEADER_BYTES_MAX {
            let reason = format!("the header is longer than {HEADER_BYTES_MAX} bytes");
            return Err(Error::Malformed { path: path.to_owned(), reason });
        }
        let mut this =
            Self { path: path.to_owned(), delimiter: delimiter(&header), columns: vec![] };
        let mut reader = this.reader()?;
        let names = reader.headers().map_err(|error| this.csv_error(&error))?;
        if names.len() > COLUMNS_MAX {
            let path = this.path;
            return Err(Error::TooManyColumns { path, got: names.len(), max: COLUMNS_MAX });
        }
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() || !seen.insert(name) {
                let name = cut(name);
                return Err(Error::BadName { path: this.path, number: index + 1, name });
            }
        }
        this.columns = names.iter().map(str::to_owned).collect();
        Ok(this)
    }

    /// The columns in order, each a number.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|name| Field::scalar(name, DType::Float64)).collect()
    }

    /// Counts the rows; every one must have as many cells as the header.
    ///
    /// # Errors
    /// [`Error::Ragged`], [`Error::NoRows`], [`Error::Malformed`], [`Error::Read`].
    pub(crate) fn count_rows(&self) -> Result<u64, Error> {
        let mut reader = self.reader()?;
        let mut record = csv::ByteRecord::new();
        let mut n_rows = 0;
        while reader.read_byte_record(&mut record).map_err(|error| self.csv_error(&error))? {
            n_rows += 1;
        }
        if n_rows == 0 { Err(Error::NoRows { path: self.path.clone() }) } else { Ok(n_rows) }
    }

    /// Reads the columns at these positions; what is in others does not
    /// matter.
    ///
    /// # Errors
    /// Any [`Error`].
    pub(crate) fn table(&self, inputs: &[usize], targets: &[usize]) -> Result<Table, Error> {
        let part = |columns: &[usize]| {
            let field = |at: &usize| Field::scalar(&self.name(*at), DType::Float64);
            Part::new(columns.iter().map(field).collect())
        };
        let mut table = Table {
            path: self.path.clone(),
            inputs: vec![part(inputs)],
            targets: vec![part(targets)],
            lines: Vec::new(),
        };
        let mut reader = self.reader()?;
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| self.csv_error(&error))? {
            let line = record.position().map_or(0, csv::Position::line);
            for (part, columns) in [(&mut table.inputs, inputs), (&mut table.targets, targets)] {
                for at in columns {
                    let number = self.number(&record, *at, line)?;
                    part.iter_mut().for_each(|part| part.values.push(number));
                }
            }
            table.lines.push(line);
        }
        if table.lines.is_empty() {
            return Err(Error::NoRows { path: self.path.clone() });
        }
        Ok(table)
    }

    fn reader(&self) -> Result<csv::Reader<File>, Error> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(self.delimiter).trim(csv::Trim::All);
        builder.from_path(&self.path).map_err(|error| self.csv_error(&error))
    }

    fn name(&self, at: usize) -> String {
        self.columns.get(at).cloned().unwrap_or_default()
    }

    fn number(&self, record: &csv::ByteRecord, at: usize, line: u64) -> Result<f64, Error> {
        let cell = String::from_utf8_lossy(record.get(at).unwrap_or_default());
        let (path, column, got) = (|| self.path.clone(), || self.name(at), || cut(&cell));
        let place = Place::Line(line);
        if cell.is_empty() {
            return Err(Error::EmptyCell { path: path(), place, column: column() });
        }
        match cell.parse::<f64>() {
            Ok(value) if (value as f32).is_finite() => Ok(value),
            Ok(_) => Err(Error::NotFinite { path: path(), place, column: column(), got: got() }),
            Err(_) => Err(Error::NotANumber { path: path(), place, column: column(), got: got() }),
        }
    }

    fn csv_error(&self, error: &csv::Error) -> Error {
        let path = self.path.clone();
        match error.kind() {
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => Error::Ragged {
                path,
                line: pos.as_ref().map_or(0, csv::Position::line),
                expected: *expected_len,
                got: *len,
            },
            csv::ErrorKind::Io(source) => {
                Error::Read { path, source: std::io::Error::new(source.kind(), source.to_string()) }
            }
            csv::ErrorKind::Utf8 { .. } => {
                Error::Malformed { path, reason: "the header is not UTF-8".into() }
            }
            _ => Error::Malformed { path, reason: error.to_string() },
        }
    }
}

/// The delimiter that the header holds most often outside of quotes.
fn delimiter(header: &[u8]) -> u8 {
    let mut counts = [0usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in header {
        quoted ^= *byte == b'"';
        if let (false, Some(at)) = (quoted, DELIMITERS.iter().position(|known| known == byte)) {
            counts[at] += 1;
        }
    }
    // Of equals, the first in order of preference.
    let best = (0..DELIMITERS.len()).rev().max_by_key(|at| counts[*at]).unwrap_or(0);
    DELIMITERS[best]
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(CELL_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn names(table: &Table) -> Vec<String> {
        table.inputs().map(|field| field.name.clone()).collect()
    }

    /// All inputs, and all targets.
    fn numbers(table: &Table) -> (Vec<f64>, Vec<f64>) {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for row in 0..table.n_rows() {
            table.input_row(row, &mut inputs);
            table.target_row(row, &mut targets);
        }
        (inputs, targets)
    }

    /// Writes `content` to a file and reads the table of target `y`.
    fn table(content: &[u8]) -> Result<Table, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.csv");
        std::fs::write(&path, content).unwrap();
        let result = Dataset::open(&path).and_then(|file| file.table(None, &["y".into()]));
        let shown = path.display().to_string();
        result.map_err(|error| error.to_string().replace(&shown, "d.csv"))
    }

    #[test]
    fn rows_are_read_in_order() {
        let table = table(b"a,y,b\n1,0,2.5\n-3e2,1,4\n").unwrap();
        assert_eq!(names(&table), ["a", "b"]);
        assert_eq!(numbers(&table), (vec![1.0, 2.5, -300.0, 4.0], vec![0.0, 1.0]));
        assert_eq!(table.class(1, 0).unwrap(), 1);
        assert_eq!(table.n_classes().unwrap(), 2);
    }

    #[test]
    fn delimiter_is_detected() {
        for delimiter in [",", ";", "\t", "|"] {
            let text = format!("a{delimiter}y\n1{delimiter}0\n");
            assert_eq!(numbers(&table(text.as_bytes()).unwrap()).0, [1.0], "{delimiter:?}");
        }
    }

    #[test]
    fn quotes_blanks_and_a_byte_order_mark_are_understood() {
        let table = table(b"\xef\xbb\xbf\"a; b\" ; y\r\n 1 ;\"2\"\r\n").unwrap();
        assert_eq!(numbers(&table), (vec![1.0], vec![2.0]));
        assert_eq!(names(&table), ["a; b"]);
    }

    #[test]
    fn every_mistake_names_file_line_and_column() {
        for (content, expected) in [
            (&b""[..], "d.csv: the file is empty; the first line must name the columns"),
            (b"\n", "d.csv: the file is empty; the first line must name the columns"),
            (b"a,y\n", "d.csv: there are no rows after the header"),
            (b"a,b\n1,2\n", "d.csv: there is no column `y`; the columns are a, b"),
            (b"y\n1\n", "d.csv: there are no input columns beside the target"),
            (b"a,a,y\n1,2,3\n", "d.csv: column 2 is called `a`; names must be there and differ"),
            (b"a,,y\n1,2,3\n", "d.csv: column 2 is called ``; names must be there and differ"),
            (b"a,y\n1,0\n1\n", "d.csv: line 3 has 1 cells, the header has 2"),
            (b"a,y\n1,0\n1,0,5\n", "d.csv: line 3 has 3 cells, the header has 2"),
            (b"a,y\n1,0\nx,0\n", "d.csv: line 3, column `a`: `x` is not a number"),
            (b"a,y\n1,0\n,0\n", "d.csv: line 3, column `a`: the cell is empty"),
            (b"a,y\n1,0\n2,NaN\n", "d.csv: line 3, column `y`: `NaN` is not a finite float32"),
            (b"a,y\ninf,0\n", "d.csv: line 2, column `a`: `inf` is not a finite float32"),
            (b"a,y\n1e39,0\n", "d.csv: line 2, column `a`: `1e39` is not a finite float32"),
            (b"a,y\n\xff,0\n", "d.csv: line 2, column `a`: `\u{fffd}` is not a number"),
        ] {
            let error = table(content).unwrap_err();
            assert_eq!(error, expected, "{}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn classes_are_whole_numbers_from_0_on() {
        for (content, line) in
            [(&b"a,y\n1,0\n1,0.5\n"[..], 3), (b"a,y\n1,-1\n", 2), (b"a,y\n1,1e9\n", 2)]
        {
            let error = table(content).unwrap().n_classes().unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}, column `y`")), "{error}");
        }
    }
}
