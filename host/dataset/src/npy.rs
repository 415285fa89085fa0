//! NumPy's array files
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use fedwasm_params::DType;

use crate::array::{ByteOrder, Layout};
use crate::csv_file::cut;
use crate::table::Part;
use crate::values::Values;
use crate::{COLUMNS_MAX, Error, Field, Table};

/// The longest header, in bytes: NumPy's own bound is 10,000.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// The most axes of an array, as in NumPy.
const AXES_MAX: usize = 64;
/// The name of the one array of a file, in messages.
const ARRAY: &str = "array";

/// A table in a file of its own: an array of two axes whose columns are
/// called `0`, `1` and so on.
#[derive(Clone, Debug)]
pub(crate) struct NpyFile {
    path: PathBuf,
    layout: Layout,
}

impl NpyFile {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(read)?);
        let (layout, header_bytes) = header(&mut file, path)?;
        layout.check(path)?;
        let [_, n_columns] = layout.shape[..] else {
            let shape = &layout.shape;
            let reason = format!(
                "an array of shape {shape:?}, expected rows and columns; \
                 inputs and targets of other shapes go into one .npz file"
            );
            return Err(Error::Malformed { path: path.to_owned(), reason });
        };
        if n_columns > COLUMNS_MAX as u64 {
            let got = n_columns as usize;
            return Err(Error::TooManyColumns { path: path.to_owned(), got, max: COLUMNS_MAX });
        }
        let got = std::fs::metadata(path).map_err(read)?.len();
        let expected = header_bytes + layout.n_bytes();
        if got != expected {
            return Err(Error::Truncated { path: path.to_owned(), expected, got });
        }
        Ok(Self { path: path.to_owned(), layout })
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        let n_columns = self.layout.shape.get(1).copied().unwrap_or_default();
        (0..n_columns).map(|nth| Field::scalar(&nth.to_string(), self.layout.dtype)).collect()
    }

    /// Reads the columns at these positions.
    pub(crate) fn table(&self, inputs: &[usize], targets: &[usize]) -> Result<Table, Error> {
        let fields = self.fields();
        let part = |columns: &[usize]| {
            Part::new(columns.iter().filter_map(|at| fields.get(*at).cloned()).collect())
        };
        let (mut inputs_part, mut targets_part) = (part(inputs), part(targets));
        let mut all = Values::new(fields.len());
        self.read(&mut all)?;
        let mut row = Vec::new();
        for at in 0..all.n_rows() {
            row.clear();
            all.row(at, &mut row);
            inputs.iter().for_each(|at| inputs_part.values.push(row[*at]));
            targets.iter().for_each(|at| targets_part.values.push(row[*at]));
        }
        Ok(Table {
            path: self.path.clone(),
            inputs: vec![inputs_part],
            targets: vec![targets_part],
            lines: Vec::new(),
        })
    }

    /// Reads everything and counts the rows.
    pub(crate) fn count_rows(&self) -> Result<u64, Error> {
        let mut all = Values::new(self.fields().len());
        self.read(&mut all)?;
        Ok(all.n_rows() as u64)
    }

    /// Reads all columns, row by row.
    fn read(&self, into: &mut Values) -> Result<(), Error> {
        let read = |source| Error::Read { path: self.path.clone(), source };
        let mut file = BufReader::new(File::open(&self.path).map_err(read)?);
        if header(&mut file, &self.path)?.0 != self.layout {
            return Err(Error::Changed { path: self.path.clone() });
        }
        self.layout.read(file, &self.path, ARRAY, into)
    }
}

/// Reads the header of an array and returns what it says, and its bytes.
pub(crate) fn header(file: &mut impl Read, path: &Path) -> Result<(Layout, u64), Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let malformed =
        |reason: &str| Error::Malformed { path: path.to_owned(), reason: reason.into() };
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(read)?;
    let [magic @ .., version, _] = start;
    if magic != *b"\x93NUMPY" {
        return Err(malformed("no array of NumPy"));
    }
    let mut len = [0; 4];
    let n_len = if version == 1 { 2 } else { 4 };
    file.read_exact(&mut len[..n_len]).map_err(read)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > HEADER_BYTES_MAX {
        return Err(malformed(&format!("a header of {len} bytes, at most {HEADER_BYTES_MAX}")));
    }
    let mut text = vec![0; len];
    file.read_exact(&mut text).map_err(read)?;
    let text = String::from_utf8_lossy(&text);
    let layout = parse(&text).map_err(|reason| malformed(&reason))?;
    Ok((layout, (8 + n_len + len) as u64))
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse(text: &str) -> Result<Layout, String> {
    let value = |key: &str| {
        let (_, rest) = text.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let missing = |key: &str| format!("its header has no `{key}`: {}", cut(text));
    let descr = value("descr").ok_or_else(|| missing("descr"))?;
    let descr = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let Some((descr, _)) = descr else {
        return Err("an array of records; store plain numbers".into());
    };
    let (dtype, order) = dtype(descr)?;
    let order_of_axes = value("fortran_order").ok_or_else(|| missing("fortran_order"))?;
    let columns_first = match (order_of_axes.starts_with("True"), order_of_axes) {
        (true, _) => true,
        (false, text) if text.starts_with("False") => false,
        _ => return Err(missing("fortran_order")),
    };
    let shape = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| missing("shape"))?;
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let axes: Result<Vec<u64>, _> = axes.take(AXES_MAX + 1).map(str::parse).collect();
    let shape = axes.map_err(|_| format!("its shape is ({})", cut(shape)))?;
    if shape.len() > AXES_MAX {
        return Err(format!("more than {AXES_MAX} axes"));
    }
    Ok(Layout { dtype, order, shape, columns_first })
}

/// A type such as `<f4`.
fn dtype(descr: &str) -> Result<(DType, ByteOrder), String> {
    let order = if descr.starts_with('>') { ByteOrder::Big } else { ByteOrder::Little };
    let dtype = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" => DType::Boolean,
        "u1" => DType::UInt8,
        "i1" => DType::Int8,
        "i2" => DType::Int16,
        "i4" => DType::Int32,
        "i8" => DType::Int64,
        "f4" => DType::Float32,
        "f8" => DType::Float64,
        // Objects are stored as a program (pickle) that would have to be run.
        other if other.starts_with('O') => {
            return Err("an array of Python objects, which are not read; store numbers".into());
        }
        other => {
            let other = cut(other);
            return Err(format!("numbers of type `{other}`; convert them to float32 or int64"));
        }
    };
    Ok((dtype, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_type_order_and_shape() {
        let layout = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n");
        let layout = layout.unwrap();
        assert_eq!((layout.dtype, &layout.shape[..]), (DType::Float32, &[3, 4][..]));
        let layout = parse("{'descr': '>i8', 'fortran_order': True, 'shape': (5,), }").unwrap();
        assert_eq!((layout.order, layout.columns_first), (ByteOrder::Big, true));
        assert!(parse("{'descr': '|b1', 'fortran_order': False, 'shape': (), }").is_ok());
    }

    #[test]
    fn hostile_headers_are_errors() {
        for (text, expected) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "Python objects"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", "records"),
            ("{'descr': '<U7', 'fortran_order': False, 'shape': (3,), }", "type `U7`"),
            ("{'descr': '<f4', 'fortran_order': 1, 'shape': (3,), }", "no `fortran_order`"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (-3,), }", "its shape is (-3,)"),
            (
                "{'descr': '<f4', 'fortran_order': True, 'shape': (99999999999999999999,), }",
                "shape",
            ),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': 3}", "no `shape`"),
            ("", "no `descr`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let many =
            format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({})}}", "1,".repeat(65));
        assert_eq!(parse(&many).unwrap_err(), "more than 64 axes");
    }
}
