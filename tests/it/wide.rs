//! As many columns, datasets and images as are promised.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::support::{Edit as _, Federation, event, fedwasm};

/// As many columns as a dataset may have.
const COLUMNS: usize = 65_536;

/// Writes a table of this many columns, the last of which is `y`.
fn write_table(path: &Path, columns: usize, rows: u64, first: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let names: Vec<String> = (0..columns - 1).map(|n| format!("gene_{n}")).collect();
    writeln!(file, "{},y", names.join(",")).unwrap();
    for row in first..first + rows {
        let cells = (0..columns as u64 - 1).map(|n| ((row * 7_919 + n * 104_729) % 10).to_string());
        writeln!(file, "{},{}", cells.collect::<Vec<_>>().join(","), row % 2).unwrap();
    }
}

#[test]
fn as_many_columns_as_are_allowed_train_by_scales_of_each_site_and_of_all() {
    let mut federation = Federation::start();
    for (id, first) in [("a", 0), ("b", 3)] {
        let path = federation.dir.path().join(format!("{id}.csv"));
        write_table(&path, COLUMNS, 24, first);
        federation.node(id, &path);
    }
    for standardize in ["site", "federation"] {
        let start = Instant::now();
        let change = |text: String| {
            let with = format!("\"y\"\nstandardize = \"{standardize}\"");
            let text = text
                .edit("\"benign\"", &with)
                .edit("rounds = 2", "rounds = 1\nkeep_uploads = true");
            let text = text.edit("test_ratio = 0.2", "test_ratio = 0.5");
            text.edit("batch_size = 32", "batch_size = 10")
        };
        let ended = federation.run(&federation.experiment(change)).ok();
        assert_eq!(ended.result()["nodes"], serde_json::json!(["a", "b"]), "{}", ended.stdout);
        let out = federation.dir.path().join("out");
        let weights = crate::datasets::params(&out, "linear.weight");
        assert_eq!(weights.len(), 2 * (COLUMNS - 1));
        assert!(
            weights.iter().all(|weight| weight.is_finite()) && weights.iter().any(|w| *w != 0.0)
        );
        fedwasm(&["experiment", "verify"]).arg(&out).ok();
        if standardize == "federation" {
            let scores = federation.dir.path().join("scores.csv");
            let predict = fedwasm(&["predict"]).arg(out.join("model")).arg("--data");
            let file = federation.dir.path().join("b.csv");
            predict.arg(&file).arg("--out").arg(&scores).ok();
            assert_eq!(std::fs::read_to_string(scores).unwrap().lines().count(), 25);
        }
        eprintln!("{standardize}: {:.1} s", start.elapsed().as_secs_f64());
    }
}

#[test]
fn a_hundred_datasets_are_registered_listed_found_and_trained_on() {
    let mut federation = Federation::start();
    let csv = crate::support::data("breast_cancer.csv");
    federation.node("a", &csv);
    federation.node("b", &csv);
    let dir = federation.dir.path().join("a");
    let start = Instant::now();
    for n in 1..100 {
        let name = format!("d{n}");
        fedwasm(&["node", "dataset", "add", "--name", &name, "--tags", &format!("x,{name}")])
            .arg(&dir)
            .arg("--path")
            .arg(&csv)
            .ok();
    }
    eprintln!("add: {:.3} s each", start.elapsed().as_secs_f64() / 99.0);
    let timed =
        |what: &str, start: Instant| eprintln!("{what}: {:.3} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let listed = fedwasm(&["--json", "node", "dataset", "list"]).arg(&dir).ok().stdout;
    timed("list", start);
    assert!(listed.contains("\"d99\""), "{listed}");
    federation.nodes.remove(0);
    let start = Instant::now();
    let node = fedwasm(&["node", "start"]).arg(&dir).start();
    node.wait_for(event("ready"));
    timed("start", start);
    federation.nodes.push(node);
    let start = Instant::now();
    let nodes = fedwasm(&["--json", "nodes", "--mqtt", &federation.mqtt, "--repository"]);
    let nodes = nodes.arg(&federation.repository).ok().result();
    timed("search", start);
    let of = |id: &str| {
        let nodes = nodes["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["node"] == id).unwrap();
        node["datasets"].as_array().unwrap().clone()
    };
    assert_eq!(of("a").len(), 100, "{nodes}");
    assert!(of("a").iter().all(|dataset| dataset["columns"].as_array().unwrap().len() == 31));
    federation.run(&federation.experiment(|text| text)).ok();
}

/// The most memory that a process had, in MiB, as long as it runs.
fn peak_mib(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
}

/// `FEDWASM_IMAGES` says how many; a million take minutes, and 2.2 GB of disk.
#[test]
fn images_in_a_tar_are_registered_and_trained_on() {
    let n: usize = std::env::var("FEDWASM_IMAGES").map_or(2_000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("images.tar");
    crate::tar_of_images::write(&data, n);
    let node = dir.path().join("node");
    fedwasm(&["node", "init", "--id", "n"]).arg(&node).ok();
    let start = Instant::now();
    let add = fedwasm(&["--json", "node", "dataset", "add", "--name", "d", "--tags", "t"]);
    let added = add.args(&["--type", "tar"]).arg(&node).arg("--path").arg(&data).ok().result();
    eprintln!("add: {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(added["rows"].as_u64(), Some(n as u64));
    let args = dir.path().join("args.toml");
    let text = format!(
        "[data]\ntarget = \"label\"\nmemory_mib = 64\n[training]\nepochs = 1\ntest_ratio = 0.1\n\
         loader_args = {{ batch_size = 256 }}\noptimizer_args = {{ lr = 0.5 }}\n\
         [model]\nn_classes = {}\n",
        crate::tar_of_images::CLASSES
    );
    std::fs::write(&args, text).unwrap();
    let start = Instant::now();
    let local = fedwasm(&["--json", "local", "--seed", "1", "--plan"]).arg(crate::support::plan());
    let mut running = local.arg("--args").arg(&args).arg("--data").arg(&data).start();
    let process = running.child.id();
    let mut peak = 0;
    while running.child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_mib(process).unwrap_or(0));
        // The peak is looked at, not waited for.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (code, events) = running.end();
    let result = events.last().unwrap();
    assert_eq!(code, 0, "{result}");
    eprintln!("train: {:.1} s, {peak} MiB at most", start.elapsed().as_secs_f64());
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.9, "{result}");
    assert!(peak < 400, "{peak} MiB");
}
