//! Statistics of a federation's data, and scales that all of its sites share.

use std::path::Path;

use fedwasm_protocol::{
    BlobRef, Body, ColumnSums, Moments, Payload, Reason, Refusal, SearchReply, StatisticsReply,
    Sums,
};
use serde_json::Value;

use crate::fake::{Fake, answer, columns, enrol};
use crate::support::{Edit, Federation, data, event, fedwasm, part};

/// Five sites with a fifth of breast cancer each.
pub fn five() -> Federation {
    let mut federation = Federation::start();
    for n in 0..5 {
        let file = part(federation.dir.path(), n, 5);
        federation.node(&format!("n{n}"), &file);
    }
    federation
}

/// Starts a node again with more under `[privacy]`.
pub fn restart(federation: &mut Federation, at: usize, privacy: &str) {
    let dir = federation.dir.path().join(format!("n{at}"));
    restart_at(federation, at, &dir, privacy);
}

/// The same of a node in this directory.
fn restart_at(federation: &mut Federation, at: usize, dir: &Path, privacy: &str) {
    let file = dir.join("node.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let section = "[privacy]\n";
    let config = match config.contains(section) {
        true => config.edit(section, &format!("{section}{privacy}\n")),
        false => format!("{config}\n{section}{privacy}\n"),
    };
    std::fs::write(file, config).unwrap();
    let old = federation.nodes.remove(at);
    old.signal("TERM");
    drop(old);
    let node = fedwasm(&["node", "start"]).arg(dir).start();
    node.wait_for(event("ready"));
    federation.nodes.insert(at, node);
}

pub fn statistics(experiment: &Path, args: &[&str]) -> crate::support::Ended {
    fedwasm(&["--json", "data", "statistics"]).arg(experiment).args(args).run()
}

pub fn column<'a>(result: &'a Value, name: &str) -> &'a Value {
    let columns = result["pooled"]["columns"].as_array().unwrap();
    columns.iter().find(|column| column["name"] == name).unwrap()
}

fn numpy() -> Value {
    let path = crate::support::root().join("tests/data/statistics_numpy.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn real(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn close(got: f64, expected: f64, what: &str) {
    let error = (got - expected).abs() / expected.abs().max(1e-300);
    assert!(error < 1e-12, "{what}: {got} instead of {expected}, relative error {error:e}");
}

// tests/oracles/statistics_numpy.py wrote the numbers.
#[test]
fn statistics_of_five_sites_equal_numpys_on_the_pooled_file() {
    let mut federation = five();
    let experiment = federation.experiment(|text| text);
    let out = federation.dir.path().join("statistics.json");
    let ended = statistics(&experiment, &["--out", out.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (result, expected) = (ended.result(), numpy());
    assert_eq!(
        (&result["pooled"]["n_rows"], &result["pooled"]["n_sites"]),
        (&569.into(), &5.into())
    );
    let edges = &result["edges"];
    let n_bins = edges["n_bins"].as_u64().unwrap() as f64;
    let mut n_quantiles = 0;
    for (name, of) in expected["columns"].as_object().unwrap() {
        let got = column(&result, name);
        assert_eq!((&got["n"], &got["missing"]), (&of["n"], &0.into()), "{name}");
        close(real(&got["mean"]), real(&of["mean"]), name);
        close(real(&got["variance"]), real(&of["variance"]), name);
        // No site lets out a value of a row.
        assert_eq!(got["extremes"], Value::Null);
        if name == "benign" {
            // All of its values are counted.
            assert_eq!(edges["ends"][name], Value::Null);
            continue;
        }
        let ends: Vec<f64> = edges["ends"][name].as_array().unwrap().iter().map(real).collect();
        let edge = |at: usize| {
            let share = at as f64 / n_bins;
            ends[0] * (1.0 - share) + ends[1] * share
        };
        let below: Vec<Vec<u64>> = serde_json::from_value(got["below"].clone()).unwrap();
        for (q, value) in [0.25, 0.5, 0.75].iter().zip(of["quantiles"].as_array().unwrap()) {
            let k = (q * 569.0f64).ceil() as u64;
            let low = below.iter().rposition(|b| b[1] < k).map_or(f64::NEG_INFINITY, edge);
            let high = below.iter().position(|b| b[0] >= k).map_or(f64::INFINITY, edge);
            let value = real(value);
            assert!((low..=high).contains(&value), "{name} {q}: {value} in {low}..{high}");
            n_quantiles += usize::from(high - low < (ends[1] - ends[0]) / 4.0);
        }
    }
    // The ranges are narrow for all but a few.
    assert!(n_quantiles > 80, "{n_quantiles}");
    assert_eq!(column(&result, "benign")["categories"], expected["benign"]);
    for (node, site) in result["sites"].as_object().unwrap() {
        for column in site["sums"]["columns"].as_array().unwrap() {
            if column["name"] == "benign" {
                assert_eq!(column.get("histogram"), None);
                continue;
            }
            let cells = column["histogram"].as_array().unwrap();
            assert!(cells.iter().all(|cell| cell[1].as_u64().unwrap() >= 10), "{node}: {column}");
        }
    }
    let written: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(written["pooled"], result["pooled"]);
    // The same sites give the same bytes, whatever the order of their answers.
    let first = std::fs::read(&out).unwrap();
    assert_eq!(statistics(&experiment, &["--out", out.to_str().unwrap()]).code, 0);
    assert_eq!(std::fs::read(&out).unwrap(), first);
    let log = fedwasm(&["--json", "node", "log"]).arg(federation.dir.path().join("n0")).ok();
    let told = log.stdout.lines().filter(|line| line.contains("\"statistics\"")).count();
    // Two questions each time: moments, then histograms on the agreed edges.
    assert_eq!(told, 4, "{}", log.stdout);

    for at in 0..5 {
        restart(&mut federation, at, "statistics_extremes = true");
    }
    let result = statistics(&experiment, &[]).result();
    for (name, of) in expected["columns"].as_object().unwrap() {
        let got = column(&result, name);
        assert_eq!(got["extremes"], serde_json::json!([of["min"], of["max"]]), "{name}");
    }
}

#[test]
fn sites_that_let_nothing_out_are_named_and_the_others_are_pooled() {
    let mut federation = five();
    restart(&mut federation, 0, "statistics = false");
    restart(&mut federation, 1, "statistics_min_rows = 115");
    restart(&mut federation, 2, "clip = 1.0\nnoise_multiplier = 1.0");
    let experiment = federation.experiment(|text| text);
    let ended = statistics(&experiment, &["--bins", "0"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let result = ended.result();
    let reason = |node: &str| result["refused"][node].as_str().unwrap().to_owned();
    assert!(reason("n0").contains("(`statistics` under [privacy]"), "{}", reason("n0"));
    assert!(reason("n1").contains("has 114 rows"), "{}", reason("n1"));
    assert!(reason("n2").contains("`noise_multiplier`"), "{}", reason("n2"));
    assert_eq!(result["pooled"]["n_sites"], 2);
    assert_eq!(result["pooled"]["n_rows"], 227);
    assert_eq!(result["edges"], Value::Null);
    let masked = "[secagg]\nscheme = \"masking\"\n[network]";
    let experiment = federation.experiment(|text| text.edit("[network]", masked));
    let ended = statistics(&experiment, &[]);
    assert!(ended.stderr.contains("(`statistics` under [privacy]"), "{}", ended.stderr);
}

/// A node that answers a question for statistics with these bytes.
fn telling(federation: &Federation, id: &str, bytes: &[u8]) -> Fake {
    let member = enrol(federation, &format!("node-{id}"));
    let bytes = bytes.to_vec();
    Fake::start(federation, member, move |message, say| {
        let body = match &message.body {
            Body::Statistics(_) => Some(Body::StatisticsReply(StatisticsReply {
                sums: Payload::inline(bytes.clone()),
            })),
            body => answer(body, &columns()),
        };
        body.into_iter().for_each(|body| say.answer(message, body));
    })
}

#[test]
fn forged_statistics_are_refused_by_name() {
    let mut federation = Federation::start();
    federation.node("n0", &part(federation.dir.path(), 0, 5));
    let sums = |change: &dyn Fn(&mut Sums)| {
        let mut moments = Moments::default();
        assert!(moments.add(1.0, 50) && moments.add(1.5, 50));
        let column = ColumnSums::of("mean_radius".into(), moments);
        let mut sums = Sums { n_rows: 100, columns: vec![column], withheld: Vec::new() };
        change(&mut sums);
        sums.encode().unwrap()
    };
    let _nan =
        telling(&federation, "nan", &sums(&|s| s.columns[0].extremes = Some([f64::NAN, 1.0])));
    let _more = telling(&federation, "more", &sums(&|s| s.n_rows = 1_000_000));
    let _twice = telling(&federation, "twice", &sums(&|s| s.columns.push(s.columns[0].clone())));
    let _text = telling(&federation, "text", b"not sums");
    let member = enrol(&federation, "node-large");
    let _large = Fake::start(&federation, member, move |message, say| {
        let blob = BlobRef { size: 1 << 40, ..BlobRef::of(b"x") };
        let body = match &message.body {
            Body::Statistics(_) => {
                Some(Body::StatisticsReply(StatisticsReply { sums: Payload::stored(blob) }))
            }
            body => answer(body, &columns()),
        };
        body.into_iter().for_each(|body| say.answer(message, body));
    });
    let experiment = federation.experiment(|text| text);
    let ended = statistics(&experiment, &["--bins", "0"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let result = ended.result();
    for (node, expected) in [
        ("nan", "no sum can have"),
        ("more", "1000000 rows, and 100 were announced"),
        ("twice", "there twice"),
        ("text", "cannot be read"),
        ("large", "too large"),
    ] {
        let reason = result["refused"][node].as_str().unwrap();
        assert!(reason.contains(expected), "{node}: {reason}");
    }
    assert_eq!(result["pooled"]["n_sites"], 1);
}

pub fn federal(text: String) -> String {
    text.edit("target = \"benign\"", "target = \"benign\"\nstandardize = \"federation\"")
}

#[test]
fn one_round_with_scales_of_the_federation_on_all_rows_equals_the_local_run_bit_for_bit() {
    let mut federation = Federation::start();
    federation.node("all", &data("breast_cancer.csv"));
    // The training rows of the two differ enough for a node that tells sums of both.
    for split in ["\"random\"", "{ time = \"mean_radius\" }"] {
        let experiment = federation.experiment(|text| {
            let text = federal(text).edit("rounds = 2", "rounds = 1");
            let text = text.edit("[training]", &format!("split = {split}\n[training]"));
            text.edit("min_nodes = 2", "min_nodes = 1")
        });
        let result = federation.run(&experiment).ok().result();
        let local = |standardize: &str| {
            let text = std::fs::read_to_string(&experiment).unwrap();
            let text =
                text.edit("standardize = \"federation\"", &format!("standardize = {standardize}"));
            let file = federation.dir.path().join("local.toml");
            std::fs::write(&file, text).unwrap();
            let out = federation.dir.path().join("local");
            let command = fedwasm(&["--json", "local", "--force", "--seed", "42", "--plan"]);
            let command = command.arg(crate::support::plan()).arg("--data");
            let command = command.arg(data("breast_cancer.csv")).arg("--args").arg(file);
            let result = command.arg("--out").arg(&out).ok().result();
            (result, std::fs::read(out.join("preprocessing.json")).unwrap())
        };
        let scales = std::fs::read(federation.dir.path().join("out/preprocessing.json")).unwrap();
        let (of_all, fitted) = local("\"federation\"");
        assert_eq!(result["params_sha256"], of_all["params_sha256"], "{split}");
        assert_eq!(result["metrics"], of_all["metrics"], "{split}");
        let read = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
        assert_eq!(read(&scales), read(&fitted), "{split}");
        // A site that scales by itself has the same scales but for the rounding of its sums.
        let own = read(&local("\"site\"").1);
        for (own, all) in own["columns"]
            .as_array()
            .unwrap()
            .iter()
            .zip(read(&scales)["columns"].as_array().unwrap())
        {
            for number in ["mean", "std"] {
                close(real(&own[number]), real(&all[number]), &own["name"].to_string());
            }
        }
    }
}

#[test]
fn all_sites_scale_alike_and_a_resumed_experiment_scales_as_before() {
    let mut federation = Federation::start();
    for n in 0..3 {
        let file = part(federation.dir.path(), n, 3);
        federation.node(&format!("n{n}"), &file);
    }
    let whole = federation.experiment(|text| {
        federal(text).edit("rounds = 2", "rounds = 2\nsave_breakpoints = true\nkeep_uploads = true")
    });
    let all = federation.run(&whole).ok().result();
    let out = federation.dir.path().join("out");
    let scales = std::fs::read(out.join("preprocessing.json")).unwrap();
    let digest = fedwasm_protocol::Digest::of(&scales).to_string();
    let history: Value =
        serde_json::from_slice(&std::fs::read(out.join("history.json")).unwrap()).unwrap();
    assert_eq!(history["scales_sha256"], digest);
    // The model stands alone.
    assert_eq!(std::fs::read(out.join("model/preprocessing.json")).unwrap(), scales);
    fedwasm(&["model", "verify"]).arg(&out).ok();
    for n in 0..3 {
        // What each node scaled by, and the receipts that say so.
        let name = format!("out/receipts/round-0002-n{n}-train.json");
        let receipt = federation.dir.path().join(name);
        let node = federation.dir.path().join(format!("n{n}"));
        fedwasm(&["verify"]).arg(&receipt).arg("--data").arg(&node).ok();
        let scale = format!("out/receipts/round-0000-n{n}-scale.json");
        let scale = federation.dir.path().join(scale);
        fedwasm(&["verify"]).arg(&scale).arg("--data").arg(&node).ok();
    }
    fedwasm(&["experiment", "verify"]).arg(&out).ok();

    let first = std::fs::read_to_string(&whole).unwrap().edit("rounds = 2", "rounds = 1");
    std::fs::rename(&out, federation.dir.path().join("whole")).unwrap();
    let one = federation.dir.path().join("one.toml");
    std::fs::write(&one, first).unwrap();
    federation.run(&one).ok();
    let resumed = federation.to_out(&whole, "--resume").ok().result();
    assert_eq!(all["params_sha256"], resumed["params_sha256"]);
    assert_eq!(std::fs::read(out.join("preprocessing.json")).unwrap(), scales);
}

#[test]
fn a_site_without_statistics_takes_no_part_in_common_scales() {
    let mut federation = five();
    restart(&mut federation, 4, "statistics = false");
    let experiment = federation.experiment(|text| {
        federal(text).edit("min_nodes = 2", "min_nodes = 4").edit("rounds = 2", "rounds = 1")
    });
    let ended = federation.run(&experiment).ok();
    let dropped = ended.events().into_iter().find(|event| event["event"] == "dropped").unwrap();
    assert_eq!(dropped["node"], "n4");
    let reason = dropped["reason"].as_str().unwrap();
    assert!(reason.contains("(`statistics` under [privacy]"), "{reason}");
    for (from, to, expected) in [
        ("test_ratio = 0.2", "test_ratio = 0.2\nshuffle_testing_dataset = true", "shuffle_testing"),
        (
            "test_ratio = 0.2",
            "test_ratio = 0.2\ndp_args = { type = \"local\", sigma = 1.0, clip = 1.0 }",
            "noise",
        ),
    ] {
        let experiment = federation.experiment(|text| federal(text).edit(from, to));
        let ended = federation.run(&experiment).run();
        assert_ne!(ended.code, 0);
        assert!(ended.stderr.contains("`data.standardize` is `federation`"), "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

/// A site with 120 rows of an age that six lack, a ward and an outcome.
fn ruled_site() -> (Federation, std::path::PathBuf) {
    let mut federation = Federation::start();
    let file = federation.dir.path().join("ruled.csv");
    let row = |n: u64| {
        let age = if n % 20 == 3 { "?".to_owned() } else { format!("\"{},5\"", 30 + n * 7 % 41) };
        let ward = ["north", "east", "south"][n as usize % 3];
        format!("{age},{ward},{}\n", if (n * 7 % 41) > 20 { "good" } else { "bad" })
    };
    let text: String = (0..120).map(row).collect();
    std::fs::write(&file, format!("age,ward,outcome\n{text}")).unwrap();
    federation.node("all", &file);
    (federation, file)
}

/// An experiment on it, with what stands for a missing age and more of its rule.
fn rules(federation: &Federation, impute: &str, missing: &str) -> std::path::PathBuf {
    federation.experiment(|text| {
        let columns = format!(
            "{missing}[data.columns]\n\
             age = {{ kind = \"number\", decimal = \",\", impute = {impute} }}\n\
             ward = {{ kind = \"category\", values = [\"north\", \"east\", \"south\"] }}\n\
             outcome = {{ kind = \"class\", values = [\"bad\", \"good\"] }}\n[training]"
        );
        let text = federal(text.edit("[training]", &columns));
        let text = text.edit("target = \"benign\"", "target = \"outcome\"");
        text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1")
    })
}

/// Runs it, and compares the result with the local run on the same rows.
fn equals_the_local_run(federation: &Federation, experiment: &Path, file: &Path) {
    let result = federation.run(experiment).ok().result();
    let command = fedwasm(&["--json", "local", "--seed", "42", "--plan"]);
    let command = command.arg(crate::support::plan()).arg("--data").arg(file);
    let local = command.arg("--args").arg(experiment).ok().result();
    assert_eq!(result["params_sha256"], local["params_sha256"]);
    assert_eq!(result["metrics"], local["metrics"]);
}

#[test]
fn columns_with_rules_are_summed_up_as_the_rules_read_them() {
    let (federation, file) = ruled_site();
    let experiment = rules(&federation, "45.0", "");
    let found = statistics(&experiment, &["--bins", "0"]).result();
    let age = column(&found, "age");
    assert_eq!((age["n"].as_u64(), age["missing"].as_u64()), (Some(114), Some(6)));
    let values = (0..120u64).filter(|n| n % 20 != 3).map(|n| (30 + n * 7 % 41) as f64 + 0.5);
    let values: Vec<f64> = values.collect();
    close(real(&age["mean"]), values.iter().sum::<f64>() / 114.0, "age");
    assert_eq!(column(&found, "ward")["categories"], serde_json::json!([40, 40, 40]));
    assert!(column(&found, "outcome")["categories"][0].as_u64().unwrap() > 40);
    equals_the_local_run(&federation, &experiment, &file);
    let ended = federation.run(&rules(&federation, "\"median\"", "")).run();
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("the rule of column `age` has `impute`"), "{}", ended.stderr);
    // The mean of all sites stands for missing values.
    equals_the_local_run(&federation, &rules(&federation, "\"mean\"", ""), &file);
}

#[test]
fn sums_for_scales_find_neither_extremes_nor_the_rows_with_a_word() {
    let (mut federation, file) = ruled_site();
    // Two rows have the word; six have none of the age, which is told.
    assert_eq!((0..120u64).filter(|n| n % 20 != 3 && n * 7 % 41 == 7).count(), 2);
    let words = rules(&federation, "45.0", "missing = [\"?\", \"37,5\"]\n");
    let found = statistics(&words, &["--bins", "0"]).result();
    assert_eq!(found["sites"]["all"]["sums"]["withheld"], serde_json::json!(["age"]));
    let ended = federation.run(&words).run();
    assert!(ended.stderr.contains("`missing` of [data]"), "{}", ended.stderr);
    // The range of all sites needs the values of single rows, and bounds would find them.
    let (range, clip) = ("45.0, scale = \"min-max\"", "45.0, clip = [20, 90]");
    for (rule, what) in [(range, "`scale = \"min-max\"`"), (clip, "`clip` of column `age`")] {
        let stderr = federation.run(&rules(&federation, rule, "")).run().stderr;
        assert!(stderr.contains("`statistics_extremes`") && stderr.contains(what), "{stderr}");
    }
    let dir = federation.dir.path().join("all");
    restart_at(&mut federation, 0, &dir, "statistics_extremes = true");
    for rule in [range, clip] {
        equals_the_local_run(&federation, &rules(&federation, rule, ""), &file);
    }
}

#[test]
fn a_node_without_datasets_is_a_stranger() {
    let mut federation = Federation::start();
    federation.node("n0", &part(federation.dir.path(), 0, 5));
    let reply = SearchReply { datasets: Vec::new(), columns: [].into() };
    let _empty = Fake::searched(&federation, "empty", Body::SearchReply(reply));
    let refusal = Refusal { reason: Reason::Internal, message: "not today".into() };
    let _sick = Fake::searched(&federation, "sick", Body::Refused(refusal));
    let experiment = federation.experiment(|text| text);
    let result = statistics(&experiment, &["--bins", "0"]).result();
    assert_eq!(result["strangers"]["empty"], "no dataset has the tags t");
    assert_eq!(result["refused"]["sick"], "not today");
}
