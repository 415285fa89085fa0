//! Snapshots of SQLite files that the library wrote, read again by the reader of Parquet.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use fedwasm_dataset::{Dataset, Look, LookKind};
use fedwasm_sql::{Error, Passwords, Snapshot, SnapshotLimits, Source, take_snapshot};
use rusqlite::Connection;

const TABLES: &str = "
    CREATE TABLE patient (id TEXT, age INTEGER, weight REAL, smoker BOOLEAN, seen DATE, note, odd);
    INSERT INTO patient VALUES
        ('P-1', 61, 70.5, 1, '2024-02-29', 'a,\"b', 1),
        ('P-2', NULL, 81, 0, NULL, NULL, 'x'),
        ('P-3', 47, 66.25, 1, '2023-12-31', 'ü', 2.5);";

fn ask(dir: &Path, sql: &str, limits: SnapshotLimits) -> Result<Snapshot, Error> {
    let source = Source::Sqlite(dir.join("a.db"));
    let mut file = std::fs::File::create(dir.join("a.parquet")).unwrap();
    take_snapshot(&source, sql, limits, &Passwords::default(), &mut file)
}

fn database(tables: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Connection::open(dir.path().join("a.db")).unwrap().execute_batch(tables).unwrap();
    dir
}

fn message(dir: &Path, sql: &str) -> String {
    ask(dir, sql, SnapshotLimits::default()).unwrap_err().to_string()
}

#[test]
fn every_kind_of_value_is_kept() {
    let dir = database(TABLES);
    let sql = "SELECT id, age, weight, smoker, seen, note, odd, NULL AS none,
               9007199254740993 AS large FROM patient ORDER BY id";
    let snapshot = ask(dir.path(), sql, SnapshotLimits::default()).unwrap();
    assert_eq!(snapshot.n_rows, 3);
    let file = dir.path().join("a.parquet");
    assert_eq!(snapshot.n_bytes, std::fs::metadata(&file).unwrap().len());
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(snapshot.digest, fedwasm_protocol::Digest::of(&bytes));
    assert_eq!(snapshot.remarks.len(), 2, "{:?}", snapshot.remarks);
    assert!(snapshot.remarks[0].contains("`odd` has numbers and texts"));
    assert!(snapshot.remarks[1].contains("`none` has no value"));
    let look = Look::of(
        &file,
        None,
        &fedwasm_dataset::Volumes::default(),
        &fedwasm_dataset::Renames::new(),
        fedwasm_protocol::MISSING_WORDS.map(str::to_owned).to_vec(),
        u64::MAX,
    )
    .unwrap();
    let column = |name: &str| look.columns.iter().find(|column| column.name == name).unwrap();
    assert_eq!(column("age").n_missing, 1);
    assert_eq!(column("none").n_missing, 3);
    assert!(matches!(column("id").kind, LookKind::Id | LookKind::Text));
    let dataset = Dataset::open(&file, None).unwrap();
    let weight = dataset.position("weight").unwrap();
    let block = dataset.read(0, &[weight]).unwrap();
    let mut weights = Vec::new();
    block.columns[0].each(0..3, |value| weights.push(value));
    assert_eq!(weights, [70.5, 81.0, 66.25]);
    // The same rows give the same bytes.
    assert_eq!(ask(dir.path(), sql, SnapshotLimits::default()).unwrap(), snapshot);
    assert_eq!(bytes, std::fs::read(&file).unwrap());
}

#[test]
fn texts_of_a_snapshot_are_ids_and_groups() {
    let dir = database(TABLES);
    ask(dir.path(), "SELECT id, age FROM patient ORDER BY id", SnapshotLimits::default()).unwrap();
    let dataset = Dataset::open(&dir.path().join("a.parquet"), None).unwrap();
    assert_eq!(dataset.texts(0, 0).unwrap(), ["P-1", "P-2", "P-3"]);
    let keys = dataset.keys("id").unwrap();
    assert!(keys.is_sorted() && keys.len() == 3);
    assert!(dataset.keys("age").unwrap_err().to_string().contains("age"));
}

#[test]
fn many_rows_become_several_groups() {
    let dir = database("");
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
               SELECT i, i * 0.5 AS half, 'text ' || (i % 10) AS text FROM n";
    let snapshot = ask(dir.path(), sql, SnapshotLimits::default()).unwrap();
    assert_eq!(snapshot.n_rows, 300_000);
    assert!(snapshot.remarks[0].contains("no ORDER BY"));
    let dataset = Dataset::open(&dir.path().join("a.parquet"), None).unwrap();
    assert_eq!(dataset.n_rows(), 300_000);
    let mut sum = 0.0;
    for block in 0..dataset.n_blocks() {
        let block = dataset.read(block, &[0]).unwrap();
        block.columns[0].each(0..block.n_rows, |value| sum += value);
    }
    assert_eq!(sum, 300_000.0 * 300_001.0 / 2.0);
}

#[test]
fn anything_but_one_query_is_refused_and_changes_nothing() {
    let dir = database(TABLES);
    let before = std::fs::read(dir.path().join("a.db")).unwrap();
    let mut wrong = Vec::new();
    for (sql, expected) in [
        ("", "is empty"),
        ("-- nothing", "has no answer"),
        ("SELECT 1; SELECT 2", "several statements"),
        ("SELECT 1; DROP TABLE patient", "writing is not allowed"),
        ("DELETE FROM patient", "writing is not allowed"),
        ("DELETE FROM patient RETURNING id", "writing is not allowed"),
        ("WITH x AS (SELECT 1) INSERT INTO patient(id) SELECT * FROM x", "writing"),
        ("DROP TABLE patient", "not allowed"),
        ("CREATE TEMP TABLE t AS SELECT 1", "not allowed"),
        ("ATTACH '/etc/passwd' AS x", "ATTACH is not allowed"),
        ("VACUUM INTO '/tmp/x'", "has no answer"),
        ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode is not allowed"),
        ("SELECT * FROM pragma_database_list", "PRAGMA database_list is not allowed"),
        ("SELECT load_extension('/tmp/x.so') AS x", "load_extension"),
        ("SELECT fts3_tokenizer('simple') AS x", "fts3_tokenizer"),
        ("BEGIN", "transaction"),
        ("EXPLAIN SELECT 1 AS x", "explains"),
        ("SELECT ? AS x", "has parameters"),
        ("SELECT x FROM patient", "no such column"),
        ("SELECT id, id FROM patient", "called `id` as one before it"),
        ("SELECT id FROM patient WHERE 0", "no rows"),
        ("SELECT 1 AS \"\"", "has no name"),
        ("SELECT x'00' AS scan", "column `scan` has blobs"),
        ("SELECT CAST(x'ff41' AS TEXT) AS t", "not UTF-8"),
        ("SELECT zeroblob(2147483647) AS b", "16777216"),
        ("SELECT length(zeroblob(2147483647)) AS b", "16777216"),
        ("SELECT printf('%.*c', 2000000, 'x') AS t", "more than 1048576 bytes"),
        ("SELECT group_concat(a.note, b.note) FROM patient", "no such column"),
    ] {
        let error = message(dir.path(), sql);
        if !error.contains(expected) {
            wrong.push(format!("{sql}: {error}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(before, std::fs::read(dir.path().join("a.db")).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn bounds_end_a_query() {
    let dir = database(TABLES);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let limits = SnapshotLimits { seconds: 1, rows: u64::MAX >> 1, mib: 1 };
    let error = |sql: &str, limits| ask(dir.path(), sql, limits).unwrap_err().to_string();
    assert!(error(endless, limits).contains("did not end within 1 s"));
    let counted = format!("SELECT count(*) AS n FROM ({endless})");
    assert!(error(&counted, limits).contains("did not end within 1 s"));
    let limits = SnapshotLimits { rows: 1_000, ..SnapshotLimits::default() };
    assert!(error(endless, limits).contains("rows of the answer: more than 1000"));
    let wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000)
                SELECT hex(randomblob(16)) AS x FROM n";
    let limits = SnapshotLimits { mib: 1, ..SnapshotLimits::default() };
    assert!(error(wide, limits).contains("MiB of the snapshot: more than 1"));
    for limits in [
        SnapshotLimits { seconds: 0, ..limits },
        SnapshotLimits { rows: 0, ..limits },
        SnapshotLimits { mib: u64::MAX, ..limits },
    ] {
        assert!(error("SELECT 1 AS x", limits).contains("must be from 1 to"));
    }
}

#[test]
fn code_in_a_hostile_schema_does_nothing() {
    let dir = database(
        "CREATE TABLE t (a INTEGER, big GENERATED ALWAYS AS (zeroblob(90000000)) VIRTUAL);
         INSERT INTO t(a) VALUES (1);
         CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
             SELECT max(i) AS i FROM n;
         CREATE VIEW around AS SELECT * FROM endless UNION ALL SELECT * FROM endless;
         CREATE VIEW loads AS SELECT load_extension('/tmp/x.so') AS x;
         CREATE TRIGGER writes INSTEAD OF INSERT ON around BEGIN DELETE FROM t; END;",
    );
    let limits = SnapshotLimits { seconds: 1, ..SnapshotLimits::default() };
    let error = |sql: &str| ask(dir.path(), sql, limits).unwrap_err().to_string();
    assert!(error("SELECT * FROM around").contains("did not end within 1 s"));
    assert!(error("SELECT big FROM t").contains("16777216"), "{}", error("SELECT big FROM t"));
    let denied = error("SELECT * FROM loads");
    assert!(denied.contains("load_extension"), "{denied}");
}

#[test]
fn damaged_files_are_errors() {
    let dir = database(TABLES);
    let path = dir.path().join("a.db");
    let sql = "SELECT * FROM patient ORDER BY age";
    let whole = std::fs::read(&path).unwrap();
    assert!(ask(dir.path(), sql, SnapshotLimits::default()).is_ok());
    for text in [
        &b""[..],
        b"not a database, but a text that is longer than the magic bytes",
        &whole[..3000],
    ] {
        std::fs::write(&path, text).unwrap();
        let error = message(dir.path(), sql);
        assert!(error.contains("a.db") || error.contains("no such table"), "{error}");
    }
    // Each byte of the header and of the first cells, changed by itself.
    for at in (0..200).chain(whole.len() - 300..whole.len()) {
        for bits in [0xff, 0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bits;
            std::fs::write(&path, &bytes).unwrap();
            let limits = SnapshotLimits { seconds: 5, ..SnapshotLimits::default() };
            let _ = ask(dir.path(), sql, limits);
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert!(message(dir.path(), sql).contains("a.db"));
    std::fs::create_dir(&path).unwrap();
    assert!(message(dir.path(), sql).contains("not a regular file"));
}

#[test]
fn a_file_that_another_program_writes_is_read_as_of_one_moment() {
    let dir = database("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);");
    let other = Connection::open(dir.path().join("a.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)").unwrap();
    let count = |dir: &Path| {
        ask(dir, "SELECT a FROM t ORDER BY a", SnapshotLimits::default()).unwrap().n_rows
    };
    assert_eq!(count(dir.path()), 1);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(count(dir.path()), 2);
}
