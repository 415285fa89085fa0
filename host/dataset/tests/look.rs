//! Looks at whole files: the proposed rules pass the check, and the check says what the reader says.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};

use fedwasm_dataset::{Check, Dataset, FaultKind, Look, LookKind, Renames, Volumes};
use fedwasm_protocol::{DataArgs, Day, Fields, MISSING_WORDS, sentences};
use serde_json::Value;

fn hospital() -> (PathBuf, Vec<Value>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/hospital");
    let text = std::fs::read_to_string(dir.join("list.json")).unwrap();
    (dir, serde_json::from_str(&text).unwrap())
}

fn look(path: &Path) -> Result<Look, String> {
    let missing = MISSING_WORDS.map(str::to_owned).to_vec();
    Look::of(path, None, &Volumes::default(), &Renames::new(), missing, u64::MAX)
        .map_err(|error| error.to_string())
}

/// Reads `[data]` as a file has it.
fn data_args(text: &str) -> DataArgs {
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut fields = Fields::new("data", table["data"].as_table().unwrap().clone());
    let data = DataArgs::take(&mut fields);
    let mistakes = fields.finish();
    assert!(mistakes.is_empty(), "{}\n{text}", sentences(&mistakes, "\n"));
    data.unwrap()
}

/// Reads all rows as a run does: the first error, or how many values are missing.
fn read(path: &Path, data: &DataArgs) -> Result<u64, String> {
    let text = |error: fedwasm_dataset::Error| error.to_string();
    let file = Dataset::open(path, None).map_err(text)?;
    let file = file.with_rules(&data.columns, &data.missing_words()).map_err(text)?;
    let fields: Vec<usize> = (0..file.fields().len()).collect();
    let mut n_missing = 0;
    for block in 0..file.n_blocks() {
        for values in file.read(block, &fields).map_err(text)?.columns {
            values.each(0..values.len(), |value| n_missing += u64::from(value.is_nan()));
        }
    }
    Ok(n_missing)
}

fn written(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn proposed_rules_pass_the_check_and_the_reader_for_every_hospital_table() {
    let (dir, cases) = hospital();
    let mut n_passed = 0;
    for case in &cases {
        let path = dir.join(case["file"].as_str().unwrap());
        let found = match look(&path) {
            Ok(found) => found,
            // No rule makes rows of these.
            Err(error) => {
                assert!(case["columns"].is_null(), "{}: {error}", path.display());
                assert!(error.contains(case["plain"].as_str().unwrap()), "{error}");
                continue;
            }
        };
        let proposal = found.propose(Some("outcome"));
        let data = data_args(&proposal.to_string());
        let check = Check::of(&path, None, &Volumes::default(), &Renames::new(), &data).unwrap();
        let unread = |kind: &LookKind| matches!(kind, LookKind::Unread { .. });
        let is_read = !found.columns.iter().any(|column| unread(&column.kind));
        if proposal.obstacles.is_empty() && found.n_ragged == 0 && is_read {
            assert_eq!(check.n_mistakes(), 0, "{}: {check:?}\n{proposal}", path.display());
            let n_imputed: u64 = check.columns.iter().map(|column| column.n_imputed).sum();
            assert_eq!(read(&path, &data), Ok(n_imputed), "{}\n{proposal}", path.display());
            n_passed += 1;
        } else {
            assert!(check.n_mistakes() > 0 || !is_read, "{}: {proposal}", path.display());
        }
    }
    assert!(n_passed >= 25, "{n_passed} of {}", cases.len());
}

#[test]
fn the_check_says_of_every_hospital_table_what_the_reader_says() {
    let (dir, cases) = hospital();
    for case in &cases {
        let path = dir.join(case["file"].as_str().unwrap());
        let mut text = "[data]\ntarget = \"outcome\"\n".to_owned();
        if let Some(words) = case["missing"].as_array() {
            text += &format!("missing = {}\n", Value::from(words.clone()));
        }
        if let Some(rules) = case["columns"].as_str() {
            text += &format!("[data.columns]\n{rules}\n");
        }
        let data = data_args(&text);
        // As it trains: alone where no rule is needed.
        let trains = match case["columns"].is_null() {
            true => case["plain"].is_null(),
            false => case["ruled"].is_null(),
        };
        match Check::of(&path, None, &Volumes::default(), &Renames::new(), &data) {
            Ok(check) => {
                assert_eq!(check.n_mistakes() == 0, trains, "{}: {check:?}", path.display())
            }
            Err(error) => assert!(!trains, "{}: {error}", path.display()),
        }
    }
}

/// Numbers by hand.
#[test]
fn kinds_counts_and_ranges_of_columns() {
    let text = "n;row;day;ward;free;yes;big;age\n\
                1;1;03.02.2021;A;x y;ja;1.234,5;50\n\
                2;2;04.12.2021;B;z;nein;2.000;60\n\
                ;3;NA;A;w w w;ja;-7,25;61\n\
                4;4;13.02.2031;A;v;JA;0,5;abc\n\
                5;5;13.02.2021;B;u;ja;1,5;61\n\
                5;6;13.02.2021;B;t;ja;1,5;61\n\
                5;7;13.02.2021;B;s s;ja;1,5;61\n\
                5;8;13.02.2021;B;r;ja;1,5;61\n\
                5;9;13.02.2021;B;q;ja;1,5;61\n\
                5;10;13.02.2021;B;p;ja;1,5;61\n";
    let (_dir, path) = written(text);
    let found = look(&path).unwrap();
    let column = |name: &str| found.columns.iter().find(|column| column.name == name).unwrap();
    assert_eq!(found.n_rows, 10);
    let n = column("n");
    assert_eq!((n.n_missing, &n.missing[..]), (1, &[(String::new(), 1)][..]));
    assert_eq!((n.n_distinct, n.has_more), (4, false));
    let range = n.range.unwrap();
    assert_eq!((range.min, range.max, range.mean), (1.0, 5.0, 37.0 / 9.0));
    assert!(matches!(column("row").kind, LookKind::Id) && column("row").counts_rows);
    let LookKind::Date { format } = &column("day").kind else { panic!("{:?}", column("day")) };
    assert_eq!((format.pattern(), column("day").n_missing), ("%d.%m.%Y", 1));
    assert!(matches!(column("ward").kind, LookKind::Category));
    assert_eq!(column("ward").values["A"], 3);
    assert!(matches!(column("free").kind, LookKind::Text));
    let yes = LookKind::Boolean { yes: vec!["JA".into(), "ja".into()], no: vec!["nein".into()] };
    assert_eq!(column("yes").kind, yes);
    let big = column("big");
    assert_eq!(big.kind, LookKind::Number { decimal: ',', thousands: Some('.') });
    assert_eq!(big.range.map(|range| (range.min, range.max)), Some((-7.25, 2_000.0)));
    let age = column("age");
    assert_eq!((age.n_odd, age.odd[0].text.as_str(), age.odd[0].line), (1, "abc", 5));
    let remarks = found.remarks(Day::new(2026, 1, 1));
    for expected in [
        "`row`: counts the rows",
        "`day`: has dates in the future, up to 2031-02-13",
        "`age`: 1 cell is not such a number: `abc` (1), first in line 5",
    ] {
        assert!(remarks.iter().any(|remark| remark == expected), "{expected}: {remarks:#?}");
    }
    let proposal = found.propose(None);
    assert_eq!(proposal.target.as_deref(), Some("age"));
    assert!(proposal.to_string().contains("\"abc\"]"), "{proposal}");
    // A missing target is for the file's owner to mend.
    assert!(proposal.obstacles[0].contains("missing in 1 rows"), "{proposal:?}");
}

#[test]
fn all_mistakes_are_counted_with_their_first_places() {
    let text = "age,ward,smoker,visit,weight,outcome\n\
                50,A,yes,2020-01-01,70,benign\n\
                x,D,yes,2020-01-01,500,benign\n\
                y,D,maybe,2020-02-30,-1,malignant\n\
                x,E,no,2020-01-01,NA,\n\
                1,2\n\
                ,A,?,2020-01-01,80,malignent\n";
    let (_dir, path) = written(text);
    let data = data_args(
        "[data]\ntarget = \"outcome\"\n[data.columns]\nage = \"number\"\n\
         ward = { kind = \"category\", values = [\"A\", \"B\"] }\nsmoker = \"boolean\"\n\
         visit = \"date\"\nwieght = \"number\"\n\
         weight = { kind = \"number\", clip = [0, 300], impute = \"median\" }\n\
         outcome = { kind = \"class\", values = [\"benign\", \"malignant\"] }\n",
    );
    let check = Check::of(&path, None, &Volumes::default(), &Renames::new(), &data).unwrap();
    assert_eq!(check.mistakes, ["there is no column `wieght`; did you mean `weight`?"]);
    assert_eq!((check.n_rows, check.n_ragged, &check.ragged[..]), (5, 1, &[(6, 2)][..]));
    let fault = |name: &str, kind: FaultKind| {
        let column = check.columns.iter().find(|column| column.name == name).unwrap();
        let fault = &column.faults[&kind];
        let lines: Vec<String> = fault.places.iter().map(ToString::to_string).collect();
        let texts: Vec<String> =
            fault.texts.iter().map(|(text, n)| format!("{text} {n}")).collect();
        (fault.n, texts.join(", "), lines.join(", "))
    };
    let of = |n: u64, texts: &str, lines: &str| (n, texts.to_owned(), lines.to_owned());
    assert_eq!(fault("age", FaultKind::NotANumber), of(3, "x 2, y 1", "line 3, line 4, line 5"));
    assert_eq!(fault("age", FaultKind::Missing), of(1, "", "line 7"));
    assert_eq!(fault("ward", FaultKind::Unknown), of(3, "D 2, E 1", "line 3, line 4, line 5"));
    assert_eq!(fault("smoker", FaultKind::NotATruth), of(1, "maybe 1", "line 4"));
    assert_eq!(fault("smoker", FaultKind::Missing), of(1, "", "line 7"));
    assert_eq!(fault("visit", FaultKind::NotADate), of(1, "2020-02-30 1", "line 4"));
    assert_eq!(fault("outcome", FaultKind::NoTarget), of(1, "", "line 5"));
    assert_eq!(fault("outcome", FaultKind::Unknown), of(1, "malignent 1", "line 7"));
    let weight = check.columns.iter().find(|column| column.name == "weight").unwrap();
    assert_eq!((weight.n_imputed, weight.n_clipped), (1, 2));
    assert_eq!(check.n_mistakes(), 14);
}

/// The memory that this process had at most, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn hostile_files_end_in_an_error_that_names_them_or_in_bounded_memory() {
    let before = peak();
    // A row of 1 GiB, in a file that takes no room.
    let (_dir, path) = written("a,b\n1,");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let error = look(&path).unwrap_err();
    assert!(error.contains("d.csv: a row is longer than 67108864 bytes"), "{error}");
    let (_dir, path) = written("a,".repeat(5 << 20));
    let error = look(&path).unwrap_err();
    assert!(error.contains("the header is longer than"), "{error}");
    let names: Vec<String> = (0..65_537).map(|n| format!("c{n}")).collect();
    let (_dir, path) = written(names.join(",") + "\n1\n");
    assert!(look(&path).unwrap_err().contains("65537 columns, at most 65536 are read"));
    // Rows of other lengths, and a quote that is never closed.
    let (_dir, path) = written(names[1..].join(",") + "\n" + &",".repeat(1 << 20) + "\n\"");
    let found = look(&path).unwrap();
    assert_eq!((found.n_rows, found.n_ragged), (0, 2));
    // Bytes that are not text, of every length of a line.
    let mut state = 1u64;
    let noise = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8 | 1
    };
    let noise: Vec<u8> = (0..1 << 20).map(noise).collect();
    let (_dir, path) = written([b"a,b\n".to_vec(), noise].concat());
    let found = look(&path).unwrap();
    assert!(found.n_ragged > 0 && !found.propose(None).to_string().is_empty());
    let data = DataArgs::of("b");
    assert!(
        Check::of(&path, None, &Volumes::default(), &Renames::new(), &data).unwrap().n_mistakes()
            > 0
    );
    // A cell that is different in every row of every column.
    let rows = (0..20_000).map(|n| format!("{n}x,{n}y{}\n", "z".repeat(90)));
    let (_dir, path) = written("a,b\n".to_owned() + &rows.collect::<String>());
    let found = look(&path).unwrap();
    assert!(found.columns.iter().all(|column| column.has_more && column.n_distinct == 10_000));
    let grown = peak() - before;
    assert!(grown < 600 << 20, "{} MiB", grown >> 20);
}
