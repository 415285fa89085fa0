//! Tables as sites have them, through the binary: each trains after one `[data.columns]`, or is
//! refused with words about what to write.

use std::path::Path;

use serde_json::Value;

use crate::support::{Edit, Ended, Federation, Fedwasm, fedwasm, root};

const TRAINING: &str = "[training]\nepochs = 1\ntest_ratio = 0.25\n";

fn hospital(name: &str) -> std::path::PathBuf {
    root().join("tests/data/hospital").join(name)
}

fn local(dir: &Path, file: &Path, data: &str) -> Fedwasm {
    let args = dir.join("args.toml");
    std::fs::write(&args, format!("{TRAINING}[data]\n{data}")).unwrap();
    let plan = root().join("plugins/dist/logistic-regression.wasm");
    let command = fedwasm(&["--json", "local", "--seed", "1", "--plan"]).arg(plan).arg("--data");
    command.arg(file).arg("--args").arg(args)
}

fn check(case: &Value, how: &str, ended: &Ended) {
    match case[how].as_str() {
        None => assert_eq!(ended.code, 0, "{} {how}: {}", case["file"], ended.stderr),
        Some(words) => {
            assert_ne!(ended.code, 0, "{} {how}", case["file"]);
            assert!(ended.stderr.contains(words), "{} {how}: {}", case["file"], ended.stderr);
        }
    }
}

// tests/oracles/hospital_tables.py makes the tables and the list.
#[test]
fn every_table_trains_by_rules_or_says_what_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let list = std::fs::read_to_string(hospital("list.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert!(cases.len() >= 29);
    for case in &cases {
        let file = hospital(case["file"].as_str().unwrap());
        let target = "target = \"outcome\"\n";
        check(case, "plain", &local(dir.path(), &file, target).run());
        let Some(columns) = case["columns"].as_str() else { continue };
        let missing = match case["missing"].as_array() {
            Some(words) => format!("missing = {}\n", serde_json::to_string(words).unwrap()),
            None => String::new(),
        };
        let data = format!("{target}{missing}[data.columns]\n{columns}\n");
        check(case, "ruled", &local(dir.path(), &file, &data).run());
    }
}

// One file holds codes and wards by name, the other one the codes in their place.
#[test]
fn codes_stand_beside_scaled_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let wards = ["north", "east", "south"];
    let row = |row: u64| (row % 3, 50.0 + (row * 37 % 41) as f64, (row + row / 3) % 2);
    let table = |named: bool| {
        let line = |n: u64| {
            let (ward, age, outcome) = row(n);
            let ward = if named { wards[ward as usize].to_owned() } else { ward.to_string() };
            format!("{ward},{age},{outcome}\n")
        };
        format!("ward,age,outcome\n{}", (0..60).map(line).collect::<String>())
    };
    let train = |name: &str, named: bool, ward: &str| {
        let (file, out) = (dir.path().join(format!("{name}.csv")), dir.path().join(name));
        std::fs::write(&file, table(named)).unwrap();
        let data =
            format!("target = \"outcome\"\n[data.columns]\nward = {ward}\nage = \"number\"\n");
        local(dir.path(), &file, &data).arg("--out").arg(&out).ok();
        let scales = std::fs::read_to_string(out.join("preprocessing.json")).unwrap();
        let params = std::fs::read(out.join("params.safetensors")).unwrap();
        (serde_json::from_str::<Value>(&scales).unwrap(), params)
    };
    let values = "values = [\"north\", \"east\", \"south\"]";
    let named =
        train("named", true, &format!("{{ kind = \"category\", {values}, encode = \"code\" }}"));
    let coded = train("coded", false, "{ kind = \"number\", scale = \"none\" }");
    assert_eq!(named.1, coded.1);
    let [ward, age] = &named.0["columns"].as_array().unwrap()[..] else { panic!("two columns") };
    assert_eq!((ward["mean"].as_f64(), ward["std"].as_f64()), (Some(0.0), Some(1.0)));
    assert!(age["mean"].as_f64().unwrap() > 50.0 && age["std"].as_f64().unwrap() > 1.0, "{age}");
}

/// Two sites with tables of texts and holes, and a third whose texts are others.
#[test]
fn a_federation_trains_by_rules_and_says_what_it_did() {
    let mut federation = Federation::start();
    let table = |id: &str, other: &str| {
        let line = |n: usize| {
            let ward = if n == 5 { other } else { ["north", "east"][n % 2] };
            let age = if n % 10 == 3 { "?".to_owned() } else { (30 + n * 7 % 40).to_string() };
            format!("{ward},{age},{}\n", if n.is_multiple_of(3) { "ill" } else { "well" })
        };
        let path = federation.dir.path().join(format!("{id}.csv"));
        let text = format!("ward,age,outcome\n{}", (0..80).map(line).collect::<String>());
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = [("a", table("a", "north")), ("b", table("b", "east")), ("c", table("c", "west"))];
    for (id, file) in &files {
        federation.node(id, file);
    }
    let rules = "[data.columns]\nward = { kind = \"category\", values = [\"north\", \"east\"] }\n\
                 age = { kind = \"number\", impute = \"median\", flag_missing = true }\n\
                 outcome = { kind = \"class\", values = [\"well\", \"ill\"] }\n[training]";
    let change = |text: String| {
        // The number of classes follows from the rule.
        text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true")
            .edit("target = \"benign\"", "target = \"outcome\"")
            .edit("[training]", rules)
            .edit("[model]\nn_classes = 2\n", "")
    };
    let ended = federation.run(&federation.experiment(change)).ok();
    assert!(ended.result()["metrics"]["accuracy"].as_f64().is_some(), "{}", ended.stdout);
    let refused = "dataset d: the column `ward` does not fit its rule; the node's log says more";
    assert!(ended.stdout.contains(refused), "{}", ended.stdout);
    let log = fedwasm(&["--json", "node", "log"]).arg(federation.dir.path().join("a")).ok();
    let started = log.events().into_iter().map(|event| event.to_string());
    let started: Vec<String> = started.filter(|entry| entry.contains("\"started\"")).collect();
    let done = "\"rows_with_missing\":8";
    assert!(!started.is_empty() && started.iter().all(|entry| entry.contains(done)), "{started:?}");
    // Every receipt has the rules, and another rule in the experiment's history is found.
    let out = federation.dir.path().join("out");
    let verify = || fedwasm(&["experiment", "verify"]).arg(&out);
    verify().ok();
    let history = std::fs::read_to_string(out.join("history.json")).unwrap();
    assert!(history.contains("\"median\""), "{history}");
    std::fs::write(out.join("history.json"), history.replace("\"median\"", "\"mean\"")).unwrap();
    assert_ne!(verify().run().code, 0);
}
