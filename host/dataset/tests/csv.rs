//! CSV files: their values, and every mistake by file, line and column.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::Path;

use fedwasm_dataset::{Dataset, Error, Format, Place, Values};

/// Opens `content` as a CSV file and reads the columns `names` of all blocks.
fn read(content: &[u8], names: &[&str]) -> Result<Vec<Vec<f64>>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    std::fs::write(&path, content).unwrap();
    let shown = path.display().to_string();
    columns(&path, names).map_err(|error| error.to_string().replace(&shown, "d.csv"))
}

fn columns(path: &Path, names: &[&str]) -> Result<Vec<Vec<f64>>, Error> {
    let file = Dataset::open(path, Some(Format::Csv))?;
    let at: Vec<usize> = names.iter().map(|name| file.position(name)).collect::<Result<_, _>>()?;
    let mut columns = vec![Vec::new(); at.len()];
    for block in 0..file.n_blocks() {
        for (column, values) in columns.iter_mut().zip(file.read(block, &at)?.columns) {
            let Values::Float64(values) = values else { panic!("float64") };
            column.extend(values);
        }
    }
    Ok(columns)
}

#[test]
fn rows_are_read_in_order() {
    let got = read(b"a,y,b\n1,0,2.5\n-3e2,1,4\n", &["b", "a"]).unwrap();
    assert_eq!(got, [[2.5, 4.0], [1.0, -300.0]]);
}

#[test]
fn delimiter_is_detected() {
    for delimiter in [",", ";", "\t", "|"] {
        let text = format!("a{delimiter}y\n1{delimiter}0\n");
        assert_eq!(read(text.as_bytes(), &["a"]).unwrap(), [[1.0]], "{delimiter:?}");
    }
}

#[test]
fn quotes_blanks_and_a_byte_order_mark_are_understood() {
    let text = b"\xef\xbb\xbf\"a; b\" ; y\r\n 1 ;\"2\"\r\n";
    assert_eq!(read(text, &["a; b", "y"]).unwrap(), [[1.0], [2.0]]);
}

#[test]
fn a_first_line_of_numbers_is_no_header() {
    for text in
        ["5.1,3.5,0\n4.9,3.0,0\n", "1.2e+00;-3\n2;3\n", "1,0\n2,1\n", "7\n8\n", "0,0\n1,0\n"]
    {
        let error = read(text.as_bytes(), &[]).unwrap_err();
        assert!(error.starts_with("d.csv: the first line holds only numbers"), "{text:?}: {error}");
        assert!(error.contains("put a line such as `age,weight,outcome` before it"), "{error}");
    }
    // Counted columns, as pandas writes them, and a header with a number in it.
    for (text, name) in [("0,1\n5,6\n", "1"), ("1,2\n5,6\n", "2"), ("2001,y\n5,6\n", "y")] {
        assert_eq!(read(text.as_bytes(), &[name]).unwrap(), [[6.0]], "{text:?}");
    }
}

#[test]
fn every_mistake_names_file_line_and_column() {
    for (content, expected) in [
        (&b""[..], "d.csv: the file is empty; the first line must name the columns"),
        (b"\n", "d.csv: the file is empty; the first line must name the columns"),
        (b"a,y\n", "d.csv: there are no rows after the header"),
        (b"a,b\n1,2\n", "d.csv: there is no column `y`; the columns are a, b"),
        (b"a,a,y\n1,2,3\n", "d.csv: column 2 is called `a`; names must be present and differ"),
        (
            b"a,,y\n1,2,3\n",
            "d.csv: column 2 is called ``; names must be present and differ (in pandas: \
             `to_csv(..., index=False)`)",
        ),
        (b"a,y\n1,0\n1\n", "d.csv: line 3 has 1 cells, the header has 2"),
        (b"a,y\n1,0\n1,0,5\n", "d.csv: line 3 has 3 cells, the header has 2"),
        (b"a,y\n1,0\nx,0\n", "d.csv: line 3, column `a`: `x` is not a number"),
        (b"a,y\n1,0\n,0\n", "d.csv: line 3, column `a`: the cell is empty"),
        (b"a,y\n1,0\n2,NaN\n", "d.csv: line 3, column `y`: `NaN` is not a finite float32"),
        (b"a,y\ninf,0\n", "d.csv: line 2, column `a`: `inf` is not a finite float32"),
        (b"a,y\n1e39,0\n", "d.csv: line 2, column `a`: `1e39` is not a finite float32"),
        (b"a,y\n\xff,0\n", "d.csv: line 2, column `a`: `\u{fffd}` is not a number"),
    ] {
        let error = read(content, &["a", "y"]).unwrap_err();
        let (error, help) = error.split_once("\nhelp: ").unwrap_or((&error, ""));
        assert_eq!(error, expected, "{}", String::from_utf8_lossy(content));
        // A cell that is not a number gets the rule to write.
        let is_cell =
            ["is empty", "is not a number", "`NaN`"].iter().any(|word| error.contains(word));
        assert_eq!(
            help.starts_with("below [data.columns], write `"),
            is_cell && !error.contains(" the file is empty"),
            "{help}"
        );
    }
}

#[test]
fn every_block_begins_where_it_should() {
    // 1,024 columns of 8 bytes: 512 rows a block. Some cells hold line breaks.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    let names: Vec<String> = (0..1_024).map(|n| format!("c{n}")).collect();
    let mut text = names.join(",") + "\n";
    for row in 0..1_100 {
        let cell = if row % 5 == 0 { "\"\n7\n\"" } else { "7" };
        text += &(row.to_string() + &format!(",{cell}").repeat(1_023) + "\n");
    }
    std::fs::write(&path, text).unwrap();
    let file = Dataset::open(&path, None).unwrap();
    assert_eq!((file.n_rows(), file.n_blocks()), (1_100, 3));
    assert_eq!(file.rows(2), 1_024..1_100);
    // From the last block to the first: each is found by itself.
    for block in (0..3).rev() {
        let rows = file.rows(block);
        let got = file.read(block, &[0, 1_023]).unwrap();
        let expected: Vec<f64> = rows.clone().map(|row| row as f64).collect();
        assert_eq!(got.columns[0], Values::Float64(expected));
        assert_eq!(got.columns[1], Values::Float64(vec![7.0; got.n_rows]));
    }
    // Row 1 follows on 1 + 1 + 2 * 1,023 lines.
    assert_eq!(file.read(0, &[0]).unwrap().place(1), Place::Line(2_049));
}

#[test]
fn header_without_end_and_row_without_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    // A header that never ends, and one that names a thousand million columns.
    std::fs::write(&path, b"a,".repeat(5 << 20)).unwrap();
    let error = Dataset::open(&path, Some(Format::Csv)).unwrap_err().to_string();
    assert!(error.contains("the header is longer than 8388608 bytes"), "{error}");
    let header: String = (0..65_537).map(|n| format!("{n:x},")).collect();
    std::fs::write(&path, header + "y\n1\n").unwrap();
    let error = Dataset::open(&path, None).unwrap_err().to_string();
    assert!(error.contains("65538 columns, at most 65536 are read"), "{error}");
    // A quote that is never closed; a row of a million million cells starts the same way.
    let mut text = b"a,y\n\"1,".to_vec();
    text.resize(70 << 20, b'0');
    std::fs::write(&path, text).unwrap();
    let error = Dataset::open(&path, None).unwrap_err().to_string();
    assert!(error.contains("a row is longer than 67108864 bytes"), "{error}");
}

#[test]
fn file_that_changes_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    std::fs::write(&path, "a,y\n1,0\n2,1\n").unwrap();
    let file = Dataset::open(&path, None).unwrap();
    std::fs::write(&path, "a,y\n1,0\n").unwrap();
    assert!(matches!(file.read(0, &[0]), Err(Error::Changed { .. })));
}
