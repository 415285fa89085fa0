//! Splits by class, group and time: at a node and in `local`, the same rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Edit, Federation, Fedwasm, fedwasm, plan};

/// 120 rows of 24 patients, named by texts, in no order of time; 30 rows are of class 1.
fn hospital(dir: &Path) -> PathBuf {
    let path = dir.join("hospital.csv");
    let row = |n: u32| {
        let (patient, day) = (n * 7 % 24, n * 37 % 120);
        format!(
            "P-{patient:02},{day},{},{},{}\n",
            n % 11,
            n * n % 13,
            u32::from(n.is_multiple_of(4))
        )
    };
    let rows: String = (0..120).map(row).collect();
    std::fs::write(&path, "patient,day,a,b,y\n".to_owned() + &rows).unwrap();
    path
}

fn local(dir: &Path, split: &str, rest: &str) -> Fedwasm {
    local_on(&hospital(dir), dir, split, rest)
}

fn local_on(data: &Path, dir: &Path, split: &str, rest: &str) -> Fedwasm {
    let args = dir.join("args.toml");
    let text = format!(
        "{rest}\n[data]\ntarget = \"y\"\ninputs = [\"a\", \"b\"]\n{split}\n[training]\nepochs = 1\n\
         test_ratio = 0.25"
    );
    std::fs::write(&args, text).unwrap();
    let command = fedwasm(&["--json", "local", "--seed", "3"]).arg("--plan").arg(plan());
    command.arg("--data").arg(data).arg("--args").arg(args)
}

fn ready(events: &[Value]) -> Vec<(u64, u64)> {
    let ready = events.iter().filter(|event| event["event"] == "ready");
    ready.map(|e| (e["n_train"].as_u64().unwrap(), e["n_test"].as_u64().unwrap())).collect()
}

#[test]
fn parts_and_folds_have_the_rows_of_their_split() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let parts = |split: &str| ready(&local(dir, split, "").ok().events());
    let folds = |split: &str| ready(&local(dir, split, "").args(&["--folds", "4"]).ok().events());
    assert_eq!(parts("split = \"random\""), [(90, 30)]);
    assert_eq!(parts("split = \"stratified\""), [(90, 30)]);
    // Six patients of five rows each.
    assert_eq!(parts("split = { group = \"patient\" }"), [(90, 30)]);
    assert_eq!(parts("split = { time = \"day\" }"), [(90, 30)]);
    assert_eq!(folds("split = { group = \"patient\" }"), [(90, 30); 4]);
    assert_eq!(folds("split = { time = \"day\" }"), [(24, 24), (48, 24), (72, 24), (96, 24)]);
    // Every fold has positives, 7 or 8 of the 30.
    let events = local(dir, "split = \"stratified\"", "").args(&["--folds", "4"]).ok();
    assert_eq!(events.result()["runs_with"]["f1_score"], 4, "{}", events.stdout);
    // As before without the key, bit for bit.
    let of = |split: &str| local(dir, split, "").ok().result()["params_sha256"].clone();
    assert_eq!(of(""), of("split = \"random\""));
    let splits = [
        "",
        "split = \"stratified\"",
        "split = { group = \"patient\" }",
        "split = { time = \"day\" }",
    ];
    let all = splits.map(of);
    assert_eq!(splits.map(of), all);
    assert!((1..4).all(|at| !all[..at].contains(&all[at])), "{all:?}");
}

/// Texts of Parquet are groups, and ids of predictions, as those of CSV are.
#[test]
fn texts_of_a_snapshot_are_groups_and_ids_as_those_of_a_csv_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (csv, file, parquet) = (hospital(dir), dir.join("h.db"), dir.join("h.parquet"));
    let database = rusqlite::Connection::open(&file).unwrap();
    let mut sql = "CREATE TABLE p (patient TEXT, day INT, a INT, b INT, y INT);".to_owned();
    for line in std::fs::read_to_string(&csv).unwrap().lines().skip(1) {
        let (patient, numbers) = line.split_once(',').unwrap();
        sql += &format!("INSERT INTO p VALUES ('{patient}', {numbers});");
    }
    database.execute_batch(&sql).unwrap();
    let from = format!("sqlite:{}", file.display());
    fedwasm(&["data", "snapshot", "--from", &from, "--sql", "SELECT * FROM p ORDER BY rowid"])
        .arg("--out")
        .arg(&parquet)
        .ok();
    let of = |data: &Path| {
        let (out, scores) = (dir.join("out"), dir.join("scores.csv"));
        let split = "split = { group = \"patient\" }";
        let run = local_on(data, dir, split, "").arg("--force").arg("--out").arg(&out).ok();
        fedwasm(&["predict", "--id", "patient", "--data"])
            .arg(data)
            .arg("--out")
            .arg(&scores)
            .arg(out.join("model"))
            .ok();
        (run.result()["params_sha256"].clone(), std::fs::read_to_string(scores).unwrap())
    };
    let (params, scores) = of(&csv);
    assert_eq!(of(&parquet), (params, scores.clone()));
    assert!(scores.lines().nth(2).unwrap().contains("P-07"), "{scores}");
}

/// The column of a group or time is an input only if it is named.
#[test]
fn the_column_of_a_split_is_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let n_features = |split: &str| {
        let args = dir.path().join("args.toml");
        let text = format!("[data]\ntarget = \"y\"\n{split}\n[training]\nepochs = 1");
        std::fs::write(&args, text).unwrap();
        let file = dir.path().join("numbers.csv");
        let row = |n: u32| format!("{},{},{},{}\n", n % 9, n, n % 7, n % 2);
        let rows: String = (0..60).map(row).collect();
        std::fs::write(&file, "patient,day,a,y\n".to_owned() + &rows).unwrap();
        let out = dir.path().join("out");
        let command = fedwasm(&["--json", "local", "--seed", "3", "--force", "--plan"]).arg(plan());
        let command = command.arg("--data").arg(&file).arg("--args").arg(&args);
        command.arg("--out").arg(&out).ok();
        let scales = std::fs::read(out.join("preprocessing.json")).unwrap();
        let scales: Value = serde_json::from_slice(&scales).unwrap();
        let names = scales["columns"].as_array().unwrap().iter();
        // The file of the run says it, so that scores of other files know it, too.
        let params = out.join("params.safetensors");
        let scored = fedwasm(&["--json", "evaluate", "--plan"]).arg(plan()).arg("--params");
        scored.arg(params).arg("--data").arg(&file).ok();
        names.map(|column| column["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(n_features(""), ["patient", "day", "a"]);
    assert_eq!(n_features("split = { group = \"patient\" }"), ["day", "a"]);
    assert_eq!(n_features("split = { time = \"day\" }"), ["patient", "a"]);
    let named = "split = { time = \"day\" }\ninputs = [\"a\", \"day\"]";
    assert_eq!(n_features(named), ["a", "day"]);
}

#[test]
fn what_cannot_be_split_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (split, flags, words) in [
        ("split = { group = \"patients\" }", &[][..], "did you mean `patient`?"),
        ("split = { time = \"patient\" }", &[], "column `patient`: `P-"),
        (
            "split = { group = \"y\" }",
            &["--folds", "3"],
            "`y` has 2 different values, too few for 3",
        ),
        ("split = { time = \"y\" }", &["--folds", "3"], "fold 1 of 3 by `y` has no rows before"),
        ("split = { tme = \"day\" }", &[], "`data.split` is"),
    ] {
        let ended = local(dir, split, "").args(flags).run();
        assert_eq!(ended.code, 2, "{split}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{split}: {}", ended.stderr);
    }
    // A target of reals has no classes.
    let args = dir.join("args.toml");
    let text =
        "[data]\ntarget = \"a\"\ninputs = [\"b\"]\nsplit = \"stratified\"\n[training]\nepochs = 1";
    std::fs::write(&args, text).unwrap();
    let linear = crate::support::root().join("plugins/dist/linear-regression.wasm");
    let ended = fedwasm(&["local", "--plan"]).arg(linear).arg("--data").arg(hospital(dir));
    let ended = ended.arg("--args").arg(&args).run();
    let words = "the target is not one column of classes";
    assert!(ended.code == 2 && ended.stderr.contains(words), "{}", ended.stderr);
    // More than memory: rows are drawn block by block, and the others are refused.
    let file = dir.join("long.csv");
    let row = |n: u32| format!("{},{},{}\n", n % 1_000, n % 7, n % 2);
    std::fs::write(&file, "p,a,y\n".to_owned() + &(0..70_000).map(row).collect::<String>())
        .unwrap();
    let run = |split: &str| {
        let text = format!(
            "[data]\ntarget = \"y\"\nmemory_mib = 1\n{split}\n[training]\nepochs = 1\n\
             loader_args = {{ batch_size = 10000 }}"
        );
        std::fs::write(&args, text).unwrap();
        let command = fedwasm(&["local", "--plan"]).arg(plan()).arg("--data").arg(&file);
        command.arg("--args").arg(&args).run()
    };
    assert_eq!(run("").code, 0);
    let ended = run("split = { group = \"p\" }");
    let words = "the dataset is larger than `memory_mib` (1 MiB) and read block by block, but the \
                 split `group = \"p\"` looks at all rows at once";
    assert!(ended.code == 2 && ended.stderr.contains(words), "{}", ended.stderr);
}

/// The first round at a node holds out and trains on the rows that a local job does.
#[test]
fn a_node_splits_as_a_local_job_does() {
    let mut federation = Federation::start();
    let dir = federation.dir.path().to_owned();
    let file = hospital(&dir);
    federation.node("n0", &file);
    for split in ["\"stratified\"", "{ group = \"patient\" }", "{ time = \"day\" }"] {
        let experiment = federation.experiment(|text| {
            let text = text.edit("rounds = 2", "rounds = 1").edit("min_nodes = 2", "min_nodes = 1");
            let data = format!("target = \"y\"\ninputs = [\"a\", \"b\"]\nsplit = {split}");
            text.edit("target = \"benign\"", &data)
        });
        let far = federation.run(&experiment).ok().result();
        let near = fedwasm(&["--json", "local", "--seed", "42", "--plan"]).arg(plan());
        let near = near.arg("--data").arg(&file).arg("--args").arg(&experiment).ok().result();
        let scores = |result: &Value| -> BTreeMap<String, Value> {
            serde_json::from_value(result["metrics"].clone()).unwrap()
        };
        assert_eq!(scores(&far)["accuracy"], scores(&near)["accuracy"], "{split}");
        assert_eq!(scores(&far)["loss"], scores(&near)["loss"], "{split}");
    }
}
