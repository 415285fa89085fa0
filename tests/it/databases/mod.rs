//! Datasets that are answers of databases: SQLite files, and a Postgres server that runs here.

mod server;

use std::path::{Path, PathBuf};

use serde_json::Value;

use server::{PASSWORD, Server};

use crate::support::{Edit, Federation, Fedwasm, data, event, fedwasm, part};

fn snapshot(from: &str, sql: &str, out: &Path) -> Fedwasm {
    fedwasm(&["--json", "data", "snapshot", "--from", from, "--sql", sql, "--out"])
        .arg(out)
        .env("PGPASSWORD", PASSWORD)
        .env("HOME", "/nowhere")
}

/// All bytes of all files of a directory.
fn bytes_of(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(bytes_of(&path));
        } else {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}

fn node(dir: &Path) {
    let network = ["--mqtt", "mqtt://127.0.0.1:1", "--repository", "http://127.0.0.1:1/"];
    fedwasm(&["node", "init", "--id", "n"]).args(&network).arg(dir).ok();
}

/// Makes the database and the query of the page about data.
pub fn ward(dir: &Path) -> PathBuf {
    let file = dir.join("ward.db");
    let rows = "CREATE TABLE p (id TEXT, y INTEGER); INSERT INTO p VALUES ('a', 1), ('b', 0)";
    rusqlite::Connection::open(&file).unwrap().execute_batch(rows).unwrap();
    std::fs::write(dir.join("cohort.sql"), "SELECT id, y FROM p ORDER BY id").unwrap();
    file
}

#[test]
fn a_table_of_sqlite_is_a_dataset_that_changes_when_its_operator_asks_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (site, file) = (dir.path().join("site"), dir.path().join("ward.db"));
    node(&site);
    let database = rusqlite::Connection::open(&file).unwrap();
    let rows = "CREATE TABLE p (id TEXT, age INTEGER, ward TEXT, y INTEGER);
                INSERT INTO p VALUES ('a', 61, 'A', 1), ('b', NULL, 'B', 0), ('c', 47, 'A', 1)";
    database.execute_batch(rows).unwrap();
    let query = dir.path().join("cohort.sql");
    std::fs::write(&query, "SELECT id, age, ward, y\nFROM p WHERE y >= 0 ORDER BY id\n").unwrap();
    let dataset = |command: &str| fedwasm(&["--json", "node", "dataset", command]).arg(&site);
    let from = format!("sqlite:{}", file.display());
    let add = |name: &str| dataset("add").args(&["--name", name, "--tags", "t", "--from", &from]);
    let added = add("cohort").arg("--sql").arg(&query).ok().result();
    assert_eq!((&added["rows"], &added["type"]), (&3.into(), &"parquet".into()));
    assert_eq!(added["query"]["from"], from);
    let kept = site.canonicalize().unwrap().join("snapshots/cohort.parquet");
    assert_eq!(added["path"], kept.to_str().unwrap());
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let show = || {
        let shown = fedwasm(&["node", "dataset", "show", "--name", "cohort"]).arg(&site).ok();
        shown.stdout
    };
    let digest = added["query"]["digest"].as_str().unwrap().to_owned();
    for text in [&digest, &from, "FROM p WHERE y >= 0 ORDER BY id", "rows     3", "600 s"] {
        assert!(show().contains(text), "{text}: {}", show());
    }
    let listed = fedwasm(&["node", "dataset", "list"]).arg(&site).ok().stdout;
    assert!(listed.contains(&from) && listed.contains("3 rows, 4 columns"), "{listed}");
    // The same rows are the same file, which is left as it is.
    let written = std::fs::metadata(&kept).unwrap().modified().unwrap();
    let refresh = || dataset("refresh").args(&["--name", "cohort"]);
    assert_eq!(refresh().ok().result()["digest_before"], digest);
    assert_eq!(std::fs::metadata(&kept).unwrap().modified().unwrap(), written);
    database.execute_batch("INSERT INTO p VALUES ('d', 50, 'B', 0)").unwrap();
    assert_eq!(dataset("list").ok().result()["datasets"][0]["rows"], 3);
    let now = refresh().ok().result();
    assert_eq!((&now["rows"], &now["rows_before"]), (&4.into(), &3.into()));
    assert!(now["query"]["digest"] != digest && now["digest_before"] == digest);
    // An answer that does not come leaves the one that is there.
    let bytes = std::fs::read(&kept).unwrap();
    database.execute_batch("ALTER TABLE p RENAME TO q").unwrap();
    let ended = refresh().run();
    assert!(ended.code == 2 && ended.stderr.contains("no such table: p"), "{}", ended.stderr);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
    for (name, sql, expected) in [
        ("cohort", "SELECT 1 AS x", "is already registered"),
        ("other", "DELETE FROM q", "writing is not allowed"),
        ("other", "SELECT x'00' AS scan", "column `scan` has blobs"),
    ] {
        let ended = add(name).args(&["--sql", sql]).run();
        assert!(ended.code == 2 && ended.stderr.contains(expected), "{}", ended.stderr);
    }
    let ended = add("other").args(&["--sql", "SELECT 1 AS x", "--path", "x.csv"]).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let log = fedwasm(&["--json", "node", "log"]).arg(&site).ok().stdout;
    assert!(log.contains("dataset-refreshed") && log.contains(&digest), "{log}");
    dataset("remove").args(&["--name", "cohort"]).ok();
    assert_eq!(std::fs::read_dir(site.join("snapshots")).unwrap().count(), 0);
}

/// The answer is the same, but what lies there is not.
#[test]
fn a_snapshot_that_was_damaged_touched_or_removed_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("site");
    node(&site);
    let from = format!("sqlite:{}", ward(dir.path()).display());
    let dataset = |command: &str| fedwasm(&["--json", "node", "dataset", command]).arg(&site);
    let add = dataset("add").args(&["--name", "cohort", "--tags", "t", "--from", &from, "--sql"]);
    add.arg(dir.path().join("cohort.sql")).ok();
    let kept = site.join("snapshots/cohort.parquet");
    let refresh = || dataset("refresh").args(&["--name", "cohort"]).ok();
    let (whole, modified) =
        (std::fs::read(&kept).unwrap(), || std::fs::metadata(&kept).unwrap().modified().unwrap());
    let write = |bytes: &[u8], time: std::time::SystemTime| {
        std::fs::write(&kept, bytes).unwrap();
        std::fs::File::options().write(true).open(&kept).unwrap().set_modified(time).unwrap();
    };
    // With the length and the time that it had.
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    write(&damaged, modified());
    refresh();
    assert_eq!(std::fs::read(&kept).unwrap(), whole);
    let early = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    write(&whole, early);
    refresh();
    assert!(modified() > early && std::fs::read(&kept).unwrap() == whole);
    std::fs::remove_file(&kept).unwrap();
    refresh();
    assert_eq!(std::fs::read(&kept).unwrap(), whole);
}

#[test]
fn tables_of_postgres_are_snapshots() {
    let Some(server) = Server::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x.parquet");
    let tables = "CREATE TYPE sex AS ENUM ('f', 'm');
        CREATE TABLE p (id text, n2 smallint, n4 int, n8 bigint, f4 real, f8 float8, b bool,
            num numeric(10, 3), d date, ts timestamp, tz timestamptz, u uuid, v varchar(9),
            c char(3), s sex, j jsonb, raw bytea);
        INSERT INTO p VALUES ('P-1', -2, 70000, -9007199254740993, 0.5, 0.1, true, 12.345,
            '2024-02-29', '2024-02-29 12:00:00', '2024-02-29 12:00:00+02',
            '00000000-0000-0000-0000-000000000001', 'v', 'c', 'f', '{\"a\": 1}', '\\x00');
        INSERT INTO p (id) VALUES ('P-2');
        GRANT SELECT ON p TO reader, old, told;
        CREATE SEQUENCE counter; GRANT ALL ON counter TO reader;
        CREATE TABLE open_to_all (x int); GRANT ALL ON open_to_all TO reader";
    server.psql("ward", tables).unwrap();
    let from = server.address("reader");
    let all = "SELECT id, n2, n4, f4, f8, b, num, d, ts, tz, u, v, c, s, j FROM p ORDER BY id";
    let taken = snapshot(&from, all, &out).ok();
    assert_eq!(taken.result()["rows"], 2);
    assert!(taken.result()["remarks"].as_array().unwrap().len() == 1, "{}", taken.stderr);
    assert!(taken.stderr.contains("`s` is of a type that is kept as its text"));
    let dataset = fedwasm_dataset::Dataset::open(&out, None).unwrap();
    let texts: Vec<Vec<String>> =
        (0..dataset.fields().len()).map(|at| dataset.texts(0, at).unwrap()).collect();
    let first: Vec<&str> = texts.iter().map(|column| column[0].as_str()).collect();
    let days = "19782.416666666668";
    let uuid = "00000000-0000-0000-0000-000000000001";
    let expected = [
        "P-1",
        "-2",
        "70000",
        "0.5",
        "0.1",
        "true",
        "12.345",
        "2024-02-29",
        "19782.5",
        days,
        uuid,
        "v",
        "c",
        "f",
        "{\"a\": 1}",
    ];
    assert_eq!(first, expected);
    assert!(texts[1..].iter().all(|column| column[1].is_empty()), "{texts:?}");

    ways_to_connect(&server, dir.path(), all);
    refused(&server, &out);
    passwords_stay_out_of_the_node(&server, dir.path());
}

/// Every way to connect and to log in, and certificates that are not the server's.
fn ways_to_connect(server: &Server, dir: &Path, all: &str) {
    let out = dir.join("y.parquet");
    let (port, ca) = (server.port, server.dir.path().join("ca.pem"));
    let (ca, socket) = (ca.display(), server.dir.path().display());
    for from in [
        server.address("old"),
        server.address("told"),
        format!("postgres://reader@/ward?host={socket}").edit("@/", &format!("@:{port}/")),
        format!("postgres://reader@127.0.0.1:{port}/ward?sslmode=require"),
        format!("postgres://reader@localhost:{port}/ward?sslmode=verify-full&sslrootcert={ca}"),
    ] {
        assert_eq!(snapshot(&from, all, &out).ok().result()["rows"], 2, "{from}");
    }
    let wrong = format!("{}?sslmode=verify-full&sslrootcert={ca}", server.address("reader"));
    let without = format!("postgres://reader@localhost:{port}/ward?sslmode=verify-full");
    for from in [&wrong, &without] {
        let ended = snapshot(from, all, &out).run();
        assert!(ended.code != 0 && ended.stderr.contains("TLS"), "{from}: {}", ended.stderr);
    }
}

/// Queries that write, reach out, or give what is not kept; and the bounds of answers.
fn refused(server: &Server, out: &Path) {
    let from = server.address("reader");
    for (sql, expected) in [
        ("SELECT raw FROM p", "column `raw` has bytes (bytea)"),
        ("SELECT 1 AS x; SELECT 2", "several statements"),
        ("DELETE FROM open_to_all", "has no answer"),
        ("INSERT INTO open_to_all VALUES (1) RETURNING x", "read-only transaction"),
        ("SELECT nextval('counter') AS x", "read-only transaction"),
        ("SELECT set_config('transaction_read_only', 'off', false) AS x", "read-write mode"),
        ("CREATE TABLE t (x int)", "has no answer"),
        ("COPY p TO PROGRAM 'touch /tmp/x'", "has no answer"),
        ("SELECT $1::int AS x", "has parameters"),
        ("SELECT pg_read_file('/etc/passwd') AS x", "permission denied"),
        ("SELECT 'infinity'::date AS x", "column `x`, row 1: an infinite date"),
        ("SELECT id, id FROM p", "called `id` as one before it"),
        ("SELECT * FROM nowhere", "relation \"nowhere\" does not exist"),
        ("SELECT 1 AS x WHERE false", "no rows"),
        ("SELECT repeat('x', 2000000) AS x", "more than 1048576 bytes"),
        ("SELECT repeat('x', 70000000) AS x", "more than 67108864"),
    ] {
        let ended = snapshot(&from, sql, out).run();
        assert!(ended.code != 0 && ended.stderr.contains(expected), "{sql}: {}", ended.stderr);
    }
    assert_eq!(server.psql("ward", "SELECT count(*) FROM open_to_all").unwrap(), "0\n");
    let slow =
        snapshot(&from, "SELECT pg_sleep(60)::text AS x", out).args(&["--seconds", "1"]).run();
    assert!(slow.stderr.contains("did not end within 1 s"), "{}", slow.stderr);
    let many = "SELECT g AS x, 'text ' || g AS t FROM generate_series(1, 400000) g";
    assert_eq!(snapshot(&from, many, out).ok().result()["rows"], 400_000);
    let ended = snapshot(&from, many, out).args(&["--rows-max", "1000"]).run();
    assert!(ended.stderr.contains("rows of the answer: more than 1000"), "{}", ended.stderr);
}

/// The registry, the log and all messages of a node have no password.
fn passwords_stay_out_of_the_node(server: &Server, dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let site = dir.join("site");
    node(&site);
    let passfile = dir.join("pass");
    std::fs::write(&passfile, format!("127.0.0.1:*:ward:reader:{PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    let from = server.address("reader");
    let add = |from: &str, name: &str| {
        fedwasm(&["node", "dataset", "add", "--tags", "t", "--name", name, "--from", from])
            .args(&["--sql", "SELECT n4 FROM p ORDER BY id"])
            .arg(&site)
            .env("HOME", "/nowhere")
    };
    let added = add(&from, "d").env("PGPASSFILE", passfile.to_str().unwrap()).ok();
    let wrong = add(&from, "e").env("PGPASSWORD", "wrong-horse").run();
    assert!(wrong.stderr.contains("password authentication failed"), "{}", wrong.stderr);
    let none = add(&from, "e").run();
    assert!(none.stderr.contains("PGPASSWORD"), "{}", none.stderr);
    let with = add(&from.edit("reader@", &format!("reader:{PASSWORD}@")), "e").run();
    assert!(with.stderr.contains("PGPASSWORD"), "{}", with.stderr);
    let log = fedwasm(&["--json", "node", "log"]).arg(&site).ok().stdout;
    let mut said = bytes_of(&site);
    for text in [&added.stdout, &added.stderr, &wrong.stderr, &none.stderr, &with.stderr, &log] {
        said.extend(text.bytes());
    }
    assert!(!said.windows(PASSWORD.len()).any(|bytes| bytes == PASSWORD.as_bytes()));
    assert!(!said.windows(11).any(|bytes| bytes == b"wrong-horse"));
}

/// Adds a node whose dataset is the answer of a database.
fn node_of(federation: &mut Federation, id: &str, from: &str) -> PathBuf {
    let dir = federation.dir.path().join(id);
    let (mqtt, repository) = (&federation.mqtt, &federation.repository);
    fedwasm(&["node", "init", "--id", id, "--mqtt", mqtt, "--repository", repository])
        .args(&["--approve", "any"])
        .arg(&dir)
        .ok();
    fedwasm(&["node", "dataset", "add", "--name", "d", "--tags", "t,u", "--from", from, "--sql"])
        .arg("SELECT * FROM rows ORDER BY row")
        .arg(&dir)
        .env("PGPASSWORD", PASSWORD)
        .ok();
    let node = fedwasm(&["node", "start"]).arg(&dir).start();
    node.wait_for(event("ready"));
    federation.nodes.push(node);
    dir
}

#[test]
fn an_experiment_trains_on_sqlite_and_postgres_and_its_receipts_hold() {
    let Some(server) = Server::start() else { return };
    let mut federation = Federation::start();
    let (one, two) = (part(federation.dir.path(), 0, 2), part(federation.dir.path(), 1, 2));
    let file = federation.dir.path().join("rows.db");
    let text = std::fs::read_to_string(&one).unwrap();
    let (names, cells) = text.split_once('\n').unwrap();
    let names: Vec<String> = names.split(',').map(|name| format!("\"{name}\" REAL")).collect();
    let database = rusqlite::Connection::open(&file).unwrap();
    let mut sql = format!("CREATE TABLE rows (row INTEGER PRIMARY KEY, {});", names.join(", "));
    for line in cells.lines() {
        sql += &format!("INSERT INTO rows VALUES (NULL, {line});");
    }
    database.execute_batch(&format!("BEGIN; {sql} COMMIT")).unwrap();
    server.load("rows", &two);
    node_of(&mut federation, "n0", &format!("sqlite:{}", file.display()));
    let postgres = node_of(&mut federation, "n1", &server.address("reader"));
    let names = std::fs::read_to_string(data("breast_cancer.csv")).unwrap();
    let inputs: Vec<&str> =
        names.lines().next().unwrap().split(',').filter(|name| *name != "benign").collect();
    let experiment = federation.experiment(|text| {
        text.edit("target = \"benign\"", &format!("target = \"benign\"\ninputs = {inputs:?}"))
    });
    let result = federation.run(&experiment).ok().result();
    let accuracy = result["metrics"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{result}");
    // The same rows as files give the same parameters.
    let params = result["params_sha256"].clone();
    let mut files = Federation::start();
    for (n, rows) in [&one, &two].into_iter().enumerate() {
        files.node(&format!("n{n}"), rows);
    }
    let same = files.experiment(|text| {
        text.edit("target = \"benign\"", &format!("target = \"benign\"\ninputs = {inputs:?}"))
    });
    assert_eq!(files.run(&same).ok().result()["params_sha256"], params);
    // Later rows of the server change nothing until the operator asks again.
    server.psql("ward", "DELETE FROM rows WHERE row < 10").unwrap();
    for (id, dir) in [("n0", federation.dir.path().join("n0")), ("n1", postgres.clone())] {
        let receipt =
            federation.dir.path().join(format!("out/receipts/round-0002-{id}-train.json"));
        fedwasm(&["verify"]).arg(receipt).arg("--data").arg(dir).ok();
    }
    let refresh = |site: &Path| {
        fedwasm(&["--json", "node", "dataset", "refresh", "--name", "d"])
            .arg(site)
            .env("PGPASSWORD", PASSWORD)
            .ok()
            .result()
    };
    let now: Value = refresh(&postgres);
    let before = now["rows_before"].as_u64().unwrap();
    assert_eq!(now["rows"].as_u64().unwrap(), before - 9);
}
