//! Simulations: the bytes of real federations, from one process, whatever the number of threads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Edit, Ended, Federation, data, fedwasm, plan, root, shell};

/// Edits the text of an experiment.
type Change<'a> = &'a dyn Fn(String) -> String;

/// An experiment on breast cancer data; `change` edits the text.
fn experiment(dir: &Path, change: impl Fn(String) -> String) -> PathBuf {
    let text = format!(
        "name = \"simulated\"\nplan = {plan:?}\nrounds = 3\n\
         [data]\ntags = [\"t\"]\ntarget = \"benign\"\n\
         [training]\nepochs = 1\nloader_args = {{ batch_size = 32 }}\n\
         optimizer_args = {{ lr = 0.1 }}\ntest_ratio = 0.2\ntest_on_global_updates = true\n\
         random_seed = 42\n[model]\nn_classes = 2\n\
         [strategy]\nmin_nodes = 2\n",
        plan = plan(),
    );
    let path = dir.join("simulated.toml");
    std::fs::write(&path, change(text)).unwrap();
    path
}

/// Simulates it; files go to `out` in its directory.
fn simulate(experiment: &Path, args: &[&str]) -> Ended {
    let out = experiment.with_file_name("out");
    let command = fedwasm(&["--json", "simulate", "--force", "--out"]).arg(out).arg(experiment);
    command.args(args).run()
}

fn ok(experiment: &Path, data: &Path, args: &[&str]) -> Value {
    let args: Vec<&str> = ["--data", data.to_str().unwrap()].iter().chain(args).copied().collect();
    let ended = simulate(experiment, &args);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.result()
}

fn read(experiment: &Path, name: &str) -> Value {
    let text = std::fs::read(experiment.with_file_name("out").join(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn rows_of(part: &Value) -> Vec<usize> {
    part["rows"].as_array().unwrap().iter().map(|row| row.as_u64().unwrap() as usize).collect()
}

/// Writes the rows of each node to a file of its own.
fn files(experiment: &Path, data: &Path) -> Vec<(String, PathBuf)> {
    let text = std::fs::read_to_string(data).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let partition = read(experiment, "partition.json");
    let file = |(node, part): (&String, &Value)| {
        let rows = rows_of(part);
        let rows = rows.iter().map(|row| lines[row + 1]);
        let text: Vec<&str> = [lines[0]].into_iter().chain(rows).collect();
        let path = experiment.with_file_name(format!("{node}.csv"));
        std::fs::write(&path, text.join("\n") + "\n").unwrap();
        (node.clone(), path)
    };
    partition["nodes"].as_object().unwrap().iter().map(file).collect()
}

/// As many rows of breast cancer data, from the first again after the last.
fn rows(dir: &Path, n: usize) -> PathBuf {
    let text = std::fs::read_to_string(data("breast_cancer.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let rows = rows.iter().cycle().take(n).copied();
    let text: Vec<&str> = std::iter::once(header).chain(rows).collect();
    let path = dir.join(format!("{n}-rows.csv"));
    std::fs::write(&path, text.join("\n") + "\n").unwrap();
    path
}

/// Simulates `n` nodes, then runs the same experiments with as many real ones: with scales of the
/// federation and auxiliary variables of each node; with node state, sampled nodes and compressed
/// updates.
fn compare_with_real_nodes(n: usize) {
    let mut federation = Federation::start();
    let dir = federation.dir.path().to_owned();
    // Real nodes tell nothing about fewer than ten rows.
    let data = rows(&dir, 114 * n);
    let nodes = n.to_string();
    let network = format!(
        "[network]\nmqtt = {:?}\nrepository = {:?}\nidentity = \"researcher\"\n",
        federation.mqtt, federation.repository
    );
    let scaffold = |text: String| {
        let text = text
            .edit("target = \"benign\"\n", "target = \"benign\"\nstandardize = \"federation\"\n");
        text + "[aggregator]\nname = \"scaffold\"\n" + &network
    };
    let kept = |text: String| {
        let text = text.edit("{ lr = 0.1 }", "{ lr = 0.1, momentum = 0.9, keep_state = true }");
        let text = text.edit("test_ratio = 0.2\n", "test_ratio = 0.2\ncompression = \"int8\"\n");
        text.edit("min_nodes = 2\n", "min_nodes = 2\nname = \"random\"\nfraction = 0.6\n")
            + &network
    };
    let changes: [Change<'_>; 2] = [&scaffold, &kept];
    let mut is_started = false;
    for change in changes {
        let experiment = experiment(&dir, change);
        let simulated = ok(&experiment, &data, &["--nodes", &nodes, "--split", "shards=2"]);
        assert_eq!(simulated["rounds"], 3);
        if !is_started {
            for (node, file) in files(&experiment, &data) {
                federation.node(&node, &file);
            }
            is_started = true;
        }
        let real = federation.run(&experiment).ok().result();
        for key in ["params_sha256", "metrics", "nodes", "rounds", "random_seed"] {
            assert_eq!(simulated[key], real[key], "{key}");
        }
    }
}

#[test]
fn five_simulated_nodes_give_the_bytes_of_five_real_ones() {
    compare_with_real_nodes(5);
}

/// `cargo test -p fedwasm --test it -- --ignored twenty_simulated`
#[test]
#[ignore = "four times the processes of the test above; by hand"]
fn twenty_simulated_nodes_give_the_bytes_of_twenty_real_ones() {
    compare_with_real_nodes(20);
}

/// Neither threads nor walls change a byte; the seed changes all.
#[test]
fn threads_and_processes_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(dir.path(), |text| {
        text.edit("min_nodes = 2\n", "min_nodes = 2\nround_deadline_s = 20\n")
    });
    let conditions = ["--nodes", "12", "--split", "dirichlet=0.5", "--drop-out", "0.2"];
    let conditions = [&conditions[..], &["--round-time", "lognormal=10,0.8", "--slow", "0.25,3"]];
    let conditions = conditions.concat();
    let run = |more: &[&str]| {
        let args = [&conditions[..], more].concat();
        let result = ok(&experiment, &data("breast_cancer.csv"), &args);
        let params = std::fs::read(dir.path().join("out/params.safetensors")).unwrap();
        (result["params_sha256"].clone(), params, read(&experiment, "simulation.json"))
    };
    let first = run(&["--threads", "1"]);
    for more in [&["--threads", "5"][..], &["--threads", "3", "--in-process"]] {
        let other = run(more);
        assert!(other == first, "{more:?}: {} {}", other.2, first.2);
    }
    assert_ne!(run(&["--threads", "2", "--seed", "43"]).0, first.0);

    // The deadline of the strategy counts, in seconds of the simulation.
    let rounds = first.2["rounds"].as_array().unwrap();
    let n = |key: &str| -> usize {
        let all = |round: &Value| match &round[key] {
            Value::Array(nodes) => nodes.len(),
            of => of.as_object().unwrap().len(),
        };
        rounds.iter().map(all).sum()
    };
    assert!(n("dropped_out") > 0 && n("late") > 0, "{rounds:?}");
    for round in rounds {
        assert!(round["seconds"].as_f64().unwrap() <= 20.0, "{round}");
        for late in round["late"].as_object().unwrap().values() {
            assert!(late.as_f64().unwrap() > 20.0, "{round}");
        }
    }
}

/// A round that does not count is tried again, with other draws, and without a pause.
#[test]
fn a_round_that_lost_too_many_nodes_is_drawn_again() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(dir.path(), |text| {
        let strategy = "min_nodes = 5\nretries = 200\nretry_pause_s = 3600\n";
        text.edit("min_nodes = 2\n", strategy)
    });
    let args = ["--nodes", "6", "--drop-out", "0.5"];
    let result = ok(&experiment, &data("breast_cancer.csv"), &args);
    assert_eq!(result["rounds"], 3);
    let simulation = read(&experiment, "simulation.json");
    let rounds = simulation["rounds"].as_array().unwrap();
    let attempts: Vec<u64> = rounds.iter().map(|r| r["attempt"].as_u64().unwrap()).collect();
    assert!(rounds.len() > 3 && attempts.contains(&1), "{attempts:?}");
    let last = rounds.last().unwrap();
    assert!(last["dropped_out"].as_array().unwrap().len() <= 1, "{last}");
}

/// A thousand nodes of which the strategy draws ten a round.
#[test]
fn a_thousand_nodes_of_which_some_are_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = rows(dir.path(), 20_000);
    let experiment = experiment(dir.path(), |text| {
        let text = text.edit("min_nodes = 2\n", "name = \"random\"\nfraction = 0.01\n");
        text.edit("test_on_global_updates = true\n", "")
    });
    let result = ok(&experiment, &file, &["--nodes", "1000", "--in-process"]);
    assert_eq!((&result["asked"]["times"], &result["rounds"]), (&30.into(), &3.into()));
    let partition = read(&experiment, "partition.json");
    let nodes = partition["nodes"].as_object().unwrap();
    let dealt: BTreeSet<usize> = nodes.values().flat_map(rows_of).collect();
    assert_eq!((nodes.len(), dealt.len()), (1_000, 20_000));
    assert!(nodes.values().all(|part| rows_of(part).len() == 20));
    let out = dir.path().join("out");
    let history = read(&experiment, "history.json");
    for round in history["rounds"].as_array().unwrap() {
        assert_eq!(round["nodes"].as_object().unwrap().len(), 10);
    }
    let svg = std::fs::read_to_string(out.join("partition.svg")).unwrap();
    assert!(svg.contains("1000 nodes, iid; 120 of them drawn"));
    for file in ["params.mpk", "report.html", "curve.svg", "model/model.json"] {
        assert!(out.join(file).exists(), "{file}");
    }
    // No participant has a key.
    assert!(!out.join("receipts").exists());
}

/// A node for each hospital, named in a column of texts, and columns with rules; the local job on all
/// rows stands beside.
#[test]
fn a_column_deals_the_rows_and_rules_read_them() {
    let dir = tempfile::tempdir().unwrap();
    let row = |n: usize| {
        let (hospital, sex) = (["north", "east", "south"][n * n % 3], ["f", "m"][n / 7 % 2]);
        format!("{hospital},{sex},{},{}", n * 37 % 100, usize::from(n * 37 % 100 > 50))
    };
    let text = (0..300).map(row).collect::<Vec<_>>().join("\n");
    let file = dir.path().join("hospitals.csv");
    std::fs::write(&file, format!("hospital,sex,age,benign\n{text}\n")).unwrap();
    let experiment = experiment(dir.path(), |text| {
        let text = text
            .edit("target = \"benign\"\n", "target = \"benign\"\ninputs = [\"sex\", \"age\"]\n");
        let text = text.edit("epochs = 1\n", "epochs = 2\n");
        text + "[data.columns]\nsex = { kind = \"category\", values = [\"f\", \"m\"] }\n"
    });
    let result = ok(&experiment, &file, &["--split", "by=hospital", "--local"]);
    assert_eq!(result["nodes"], serde_json::json!(["node-1", "node-2"]));
    let partition = read(&experiment, "partition.json");
    let values: Vec<&str> =
        ["node-1", "node-2"].map(|node| partition["nodes"][node]["value"].as_str().unwrap()).into();
    assert_eq!(values, ["east", "north"]);
    let accuracy = |of: &Value| of["metrics"]["accuracy"].as_f64().unwrap();
    assert!(accuracy(&result) > 0.7 && accuracy(&result["local"]) > 0.7, "{result}");
    assert!(dir.path().join("out/local/params.mpk").exists());

    // The same rows as files of their own.
    let mut federation = Federation::start();
    for (node, file) in files(&experiment, &file) {
        federation.node(&node, &file);
    }
    let network = format!(
        "[network]\nmqtt = {:?}\nrepository = {:?}\nidentity = \"researcher\"\n",
        federation.mqtt, federation.repository
    );
    let text = std::fs::read_to_string(&experiment).unwrap() + &network;
    let real = dir.path().join("real.toml");
    std::fs::write(&real, text).unwrap();
    let real = federation.run(&real).ok().result();
    assert_eq!(result["params_sha256"], real["params_sha256"]);
    assert_eq!(result["metrics"], real["metrics"]);
}

#[test]
fn what_cannot_be_simulated_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = data("breast_cancer.csv");
    let refused = |change: Change<'_>, args: &[&str]| {
        let experiment = experiment(dir.path(), change);
        let args: Vec<&str> =
            ["--data", file.to_str().unwrap()].iter().chain(args).copied().collect();
        let ended = simulate(&experiment, &args);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(!dir.path().join("out/params.mpk").exists());
        ended.stderr
    };
    let same = |text: String| text;
    let masked = |text: String| text + "[secagg]\nscheme = \"masking\"\n";
    let receipts = |text: String| text.edit("min_nodes = 2\n", "require_receipts = true\n");
    let changes: [(Change<'_>, &str, &str); 7] = [
        (&masked, "iid", "under secure aggregation, and simulated nodes have no keys"),
        (&receipts, "iid", "leave `strategy.require_receipts` out"),
        (&same, "shards=400", "4 nodes with 400 shards each need 1600 rows"),
        (&same, "sizes=3,4", "it has 2 sizes"),
        (&same, "by=none", "there is no column `none`"),
        (&same, "by=benign", "the column has 2 values"),
        (&same, "zipf", "is not a rule; write iid, dirichlet=ALPHA"),
    ];
    for (change, split, why) in changes {
        let said = refused(change, &["--nodes", "4", "--split", split]);
        assert!(said.contains(why), "{split}: {said}");
    }
    assert!(refused(&same, &["--nodes", "0"]).contains("1 to 100000 nodes"));
    assert!(refused(&same, &["--nodes", "1000"]).contains("1000 nodes cannot share 569 rows"));
    assert!(refused(&same, &["--nodes", "4", "--drop-out", "2"]).contains("is not a probability"));
}

/// The command of the page, with its own table.
#[test]
fn the_command_of_the_page_runs() {
    let dir = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(root().join("docs/simulation.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("fedwasm simulate experiment.toml"));
    let (_, strategy) = page.split_once("```toml\n").unwrap();
    let (strategy, _) = strategy.split_once("```").unwrap();
    let experiment = experiment(dir.path(), |text| {
        let text = text.edit("[strategy]\nmin_nodes = 2\n", &strategy.edit("= 50", "= 1"));
        text.edit("\"benign\"", "\"digit\"").edit("n_classes = 2", "n_classes = 10")
    });
    std::fs::rename(experiment, dir.path().join("experiment.toml")).unwrap();
    std::fs::copy(data("digits.csv"), dir.path().join("digits.csv")).unwrap();
    let ended = shell(line.unwrap()).current_dir(dir.path()).ok();
    assert!(ended.stdout.contains("asked      3 times"), "{}", ended.stdout);
    assert!(dir.path().join("run/partition.svg").exists());
}

/// A floor like an operator's: nodes with fewer rows refuse, by name.
#[test]
fn nodes_may_have_a_floor_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    let experiment = experiment(dir.path(), |text| text);
    let args = ["--split", "sizes=100,30,100", "--min-rows", "10", "--data"];
    let file = data("breast_cancer.csv");
    let ended = simulate(&experiment, &[&args[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let dropped: Vec<Value> =
        ended.events().into_iter().filter(|event| event["event"] == "dropped").collect();
    let is_floor = |event: &Value| {
        event["node"] == "node-2"
            && event["reason"].as_str().unwrap().contains("releases nothing about fewer than 10")
    };
    assert!(!dropped.is_empty() && dropped.iter().all(is_floor), "{dropped:?}");
}
