//! Columns that rules read: texts, dates and missing values, and cells that are hostile.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};

use fedwasm_dataset::{Dataset, Error, Values};
use fedwasm_protocol::{ColumnRules, MISSING_WORDS};

fn hospital(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/hospital").join(name)
}

fn ruled(dataset: &Dataset, rules: &str) -> Result<Dataset, Error> {
    let rules = ColumnRules::parse(rules.parse().unwrap()).unwrap();
    dataset.with_rules(&rules, &MISSING_WORDS.map(str::to_owned))
}

/// The numbers of a column, all rows.
fn column(dataset: &Dataset, name: &str) -> Result<Vec<f64>, Error> {
    let at = dataset.position(name)?;
    let mut all = Vec::new();
    for block in 0..dataset.n_blocks() {
        let read = dataset.read(block, &[at])?;
        let Values::Float64(values) = &read.columns[0] else { panic!("float64") };
        all.extend(values);
    }
    Ok(all)
}

fn csv(content: &[u8]) -> (tempfile::TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    std::fs::write(&path, content).unwrap();
    let dataset = Dataset::open(&path, None).unwrap();
    (dir, dataset)
}

// tests/oracles/hospital_tables.py: pandas writes the file, and the numbers into typed.json.
#[test]
fn texts_dates_and_truth_values_of_parquet_are_read() {
    let plain = Dataset::open(&hospital("typed.parquet"), None).unwrap();
    let rules = "visit = { kind = 'date', since = 2020-01-01 }\nat = 'date'\nsmoker = 'boolean'\n\
                 outcome = { kind = 'class', values = ['benign', 'malignant'] }";
    let dataset = ruled(&plain, rules).unwrap();
    let expected = std::fs::read_to_string(hospital("typed.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    for name in ["visit", "at", "smoker", "outcome"] {
        let got = column(&dataset, name).unwrap();
        let expected = expected[name].as_array().unwrap();
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected.as_f64().unwrap()).abs() < 1e-9, "{name}: {got} {expected}");
        }
    }
    // Without rules the file opens, and the column is refused when it is read.
    let error = column(&plain, "outcome").unwrap_err().to_string();
    assert!(error.contains("give the column a rule"), "{error}");
}

// Both files are of the same rows.
#[test]
fn texts_and_dates_of_parquet_are_ids_and_groups() {
    let open = |name: &str| Dataset::open(&hospital(name), None).unwrap();
    let (parquet, csv) = (open("typed.parquet"), open("text_labels.csv"));
    let (keys, texts) = (parquet.keys("outcome").unwrap(), csv.keys("outcome").unwrap());
    assert_eq!(keys, texts);
    let at = |dataset: &Dataset| dataset.position("outcome").unwrap();
    let (in_parquet, in_csv) = (parquet.texts(0, at(&parquet)), csv.texts(0, at(&csv)));
    assert_eq!(in_parquet.unwrap(), in_csv.unwrap());
    // Of a dictionary, of days, and of truth values; a rule that drops a column does not matter.
    let sexes = open("text.parquet").keys("sex").unwrap();
    assert_eq!(sexes.iter().collect::<std::collections::BTreeSet<_>>().len(), 2);
    let ruled = ruled(&parquet, "visit = 'drop'").unwrap();
    assert_eq!(ruled.keys("visit").unwrap(), parquet.keys("visit").unwrap());
    assert_eq!(parquet.texts(0, parquet.position("visit").unwrap()).unwrap()[0], "2022-07-16");
    assert_eq!(parquet.keys("smoker").unwrap()[0], fedwasm_dataset::Key::number(1.0));
    let error = open("null.parquet").keys("weight").unwrap_err().to_string();
    assert!(error.contains("row 3") && error.contains("weight"), "{error}");
}

// tests/oracles/delta_texts.py: pyarrow writes the files.
#[test]
fn texts_in_delta_encodings_are_read() {
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets");
    for name in ["deltas_v1.parquet", "deltas_v2.parquet"] {
        let dataset = Dataset::open(&datasets.join(name), None).unwrap();
        let texts = |name: &str| dataset.texts(0, dataset.position(name).unwrap()).unwrap();
        let (patients, notes) = (texts("patient"), texts("note"));
        assert_eq!((patients.len(), notes.len()), (1000, 1000));
        for row in 0..1000 {
            let patient = format!("patient-{:04}-{}", row / 3, "x".repeat(row % 5));
            let note = "ü".repeat(row % 4) + &(row * row).to_string();
            assert_eq!(patients[row], if row % 7 == 3 { "" } else { &*patient }, "{name} {row}");
            assert_eq!(notes[row], if row % 11 == 5 { "" } else { &*note }, "{name} {row}");
        }
    }
}

// Every byte of the pages, changed by itself: texts or an error, and no memory that a page announces.
#[test]
fn damaged_texts_in_delta_encodings_are_errors_or_texts() {
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets");
    let whole = std::fs::read(datasets.join("deltas_v2.parquet")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.parquet");
    for at in (4..whole.len() - 1_500).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&path, bytes).unwrap();
        let Ok(dataset) = Dataset::open(&path, None) else { continue };
        for field in 0..2 {
            if let Ok(texts) = dataset.texts(0, field) {
                assert_eq!(texts.len(), 1000);
            }
        }
    }
}

#[test]
fn nulls_of_parquet_are_missing() {
    let plain = Dataset::open(&hospital("null.parquet"), None).unwrap();
    let dataset = ruled(&plain, "weight = { kind = 'number', flag_missing = true }").unwrap();
    let got = column(&dataset, "weight").unwrap();
    let missing: Vec<usize> = (0..40).filter(|row| got[2 * row].is_nan()).collect();
    assert_eq!((missing, got[7]), (vec![3], 1.0));
    let texts = Dataset::open(&hospital("text.parquet"), None).unwrap();
    let texts =
        ruled(&texts, "sex = { kind = 'category', values = ['F', 'M'] }\nname = 'drop'").unwrap();
    assert_eq!(column(&texts, "sex").unwrap().iter().sum::<f64>(), 40.0);
    assert!(texts.position("name").is_err());
}

#[test]
fn fields_follow_the_rules_and_blocks_do_not() {
    let (_dir, plain) = csv(b"id,ward,y\nx,A,0\ny,?,1\n");
    let rules = "id = 'drop'\nelsewhere = 'drop'\nward = { kind = 'category', values = ['A', 'B'], \
                 unknown = 'other', flag_missing = true }";
    let dataset = ruled(&plain, rules).unwrap();
    let fields: Vec<(&str, usize)> =
        dataset.fields().iter().map(|field| (field.name.as_str(), field.width())).collect();
    assert_eq!(fields, [("ward", 4), ("y", 1)]);
    assert!(dataset.rule(0).is_some() && dataset.rule(1).is_none());
    assert_eq!((dataset.n_blocks(), dataset.rows(0)), (plain.n_blocks(), plain.rows(0)));
    let error = ruled(&plain, "wart = 'number'").unwrap_err().to_string();
    assert!(error.contains("did you mean `ward`?"), "{error}");
}

#[test]
fn hostile_cells_are_named_errors() {
    let long = "x".repeat(1 << 20);
    for (cell, rule) in [
        (&b"\0"[..], "'number'"),
        (b"\xff\xfe", "'number'"),
        (b"\xff\xfe", "{ kind = 'category', values = ['a'], unknown = 'other' }"),
        (b"1e999", "'number'"),
        (b"-nan", "'number'"),
        (b"infinity", "'number'"),
        (b"9007199254740993", "'number'"),
        (b"2023-02-30", "'date'"),
        (b"99999-01-01", "'date'"),
        (b"B\x1b[31m", "{ kind = 'category', values = ['a'] }"),
        (long.as_bytes(), "'number'"),
        (long.as_bytes(), "'date'"),
        (long.as_bytes(), "'boolean'"),
        (long.as_bytes(), "{ kind = 'category', values = ['a'] }"),
        (long.as_bytes(), "{ kind = 'number', decimal = ',', thousands = '.' }"),
    ] {
        let mut content = b"a,y\n1,0\n".to_vec();
        content.extend(cell);
        content.extend(b",0\n");
        let (_dir, plain) = csv(&content);
        let dataset = ruled(&plain, &format!("a = {rule}")).unwrap();
        let shown = cell.iter().take(9).collect::<Vec<_>>();
        let error = match column(&dataset, "a") {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{shown:?} {rule}"),
        };
        let first = rule.contains("date") || rule.contains("'a'");
        let line = if first && !rule.contains("other") { "line 2" } else { "line 3" };
        assert!(error.contains(line) && error.contains("column `a`"), "{rule}: {error}");
        assert!(error.len() < 600 && !error.contains(['\0', '\u{1b}']), "{error}");
    }
}

#[test]
fn rules_that_would_take_too_much_memory_are_refused() {
    let rows: String = (0..70_000).map(|n| format!("{n}\n")).collect();
    let (_dir, plain) = csv(format!("a\n{rows}").as_bytes());
    let values: Vec<String> = (0..4_096).map(|n| n.to_string()).collect();
    let rule = |more: &str| format!("a = {{ kind = 'category', values = {values:?}{more} }}");
    let error = ruled(&plain, &rule("")).unwrap_err().to_string();
    assert!(error.contains("`encode = \"code\"`"), "{error}");
    let codes = ruled(&plain, &rule(", unknown = 'other', encode = 'code'")).unwrap();
    assert_eq!(column(&codes, "a").unwrap()[4_094..4_098], [4_094.0, 4_095.0, 4_096.0, 4_096.0]);
}
