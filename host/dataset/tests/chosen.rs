//! Some rows of a file as a dataset: the same as a file that has those rows alone.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};

use fedwasm_dataset::{Block, Dataset, Error, Format, Held};
use fedwasm_protocol::{ColumnRules, MISSING_WORDS};

/// A table with numbers of all kinds, texts and missing cells.
fn lines() -> Vec<String> {
    let line = |n: usize| {
        let word = ["red", "green", "blue", "NA"][n * 5 % 4];
        format!(
            "{},{},{word},{}",
            n % 200,
            n as f64 / 7.0,
            if n.is_multiple_of(11) { "-0" } else { "3e4" }
        )
    };
    (0..1_000).map(line).collect()
}

fn write(dir: &Path, name: &str, lines: &[String]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("byte,real,word,odd\n{}\n", lines.join("\n"))).unwrap();
    path
}

fn values(block: &Block) -> String {
    format!("{:?}", block.columns)
}

#[test]
fn chosen_rows_are_those_of_a_file_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let lines = lines();
    let whole = Dataset::open(&write(dir.path(), "whole.csv", &lines), Some(Format::Csv)).unwrap();
    let held = Held::new(&whole);
    let rules = "word = { kind = \"category\", values = [\"red\", \"green\", \"blue\"] }";
    let rules = ColumnRules::parse(rules.parse().unwrap()).unwrap();
    let missing = MISSING_WORDS.map(str::to_owned);
    for rows in [vec![0, 1, 2], vec![999], (0..1_000).step_by(3).collect(), vec![7, 7, 3]] {
        let own: Vec<String> = rows.iter().map(|row: &u64| lines[*row as usize].clone()).collect();
        let own = Dataset::open(&write(dir.path(), "own.csv", &own), Some(Format::Csv)).unwrap();
        let chosen = held.rows(&rows).unwrap();
        assert_eq!(chosen.n_rows(), own.n_rows());
        assert_eq!(chosen.n_blocks(), own.n_blocks());
        assert_eq!(chosen.fields(), own.fields());
        assert_eq!(
            values(&chosen.read(0, &[3, 0, 1]).unwrap()),
            values(&own.read(0, &[3, 0, 1]).unwrap())
        );
        assert_eq!(chosen.keys("word").unwrap(), own.keys("word").unwrap());
        let ruled = |dataset: &Dataset| dataset.with_rules(&rules, &missing).unwrap();
        let (chosen, own) = (ruled(&chosen), ruled(&own));
        assert_eq!(chosen.fields(), own.fields());
        assert_eq!(
            values(&chosen.read(0, &[2, 1]).unwrap()),
            values(&own.read(0, &[2, 1]).unwrap())
        );
    }
}

#[test]
fn rows_that_are_not_there_are_refused_and_mistakes_name_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "whole.csv", &lines());
    let held = Held::new(&Dataset::open(&path, None).unwrap());
    assert!(matches!(held.rows(&[]), Err(Error::NoRows { .. })));
    let error = held.rows(&[3, 1_000]).unwrap_err().to_string();
    assert!(error.contains("1000"), "{error}");
    // A text without a rule is a mistake of the file, whichever rows are chosen.
    let error = held.rows(&[1]).unwrap().read(0, &[2]).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
}

/// The file is read once: what stays in memory does not change with it.
#[test]
fn rows_stay_as_they_were_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "whole.csv", &lines());
    let held = Held::new(&Dataset::open(&path, None).unwrap());
    let before = values(&held.rows(&[5, 6]).unwrap().read(0, &[1]).unwrap());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(values(&held.rows(&[5, 6]).unwrap().read(0, &[1]).unwrap()), before);
    assert!(held.rows(&[5]).unwrap().read(0, &[0]).is_err());
}
