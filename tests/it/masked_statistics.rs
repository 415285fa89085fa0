//! Statistics and scales of a federation under masks, and that they follow from the rows alone.

use serde_json::Value;

use crate::statistics::{column, federal, five, restart, statistics};
use crate::support::{Edit, Federation, data, fedwasm};

#[test]
fn masked_statistics_are_the_same_integers_as_in_the_clear() {
    let mut federation = five();
    let clear = statistics(&federation.experiment(|text| text), &[]);
    assert_eq!(clear.code, 0, "{}", clear.stderr);
    let clear = clear.result();
    for node in 0..5 {
        // Under masks `min_rows` is the least that holds.
        let few = if node == 0 { "\nstatistics_min_rows = 3" } else { "" };
        let schemes = "secagg = [\"masking\", \"double_masking\"]";
        restart(&mut federation, node, &format!("{schemes}{few}"));
    }
    let masked = |federation: &Federation, scheme: &str| {
        let table = format!("[secagg]\nscheme = \"{scheme}\"\n");
        statistics(&federation.experiment(|text| text + &table), &[])
    };
    for scheme in ["masking", "double_masking"] {
        let ended = masked(&federation, scheme);
        assert_eq!(ended.code, 0, "{scheme}: {}", ended.stderr);
        let result = ended.result();
        assert_eq!(result["pooled"], clear["pooled"], "{scheme}");
        assert_eq!(result["edges"], clear["edges"], "{scheme}");
        assert_eq!(result["sites"], serde_json::json!({}));
        let moments = &column(&result, "mean_radius")["moments"];
        assert!(moments["sum"].as_str().unwrap().len() > 30, "{moments}");
    }
    let in_the_clear = statistics(&federation.experiment(|text| text), &[]);
    assert!(
        in_the_clear.stderr.contains("under secure aggregation only"),
        "{}",
        in_the_clear.stderr
    );
    // A receipt says what left, and the sums are made again at the site.
    let node = federation.dir.path().join("n0");
    let log = fedwasm(&["--json", "node", "log"]).arg(&node).ok().stdout;
    assert_eq!(log.matches("\"mode\":\"statistics\"").count() % 4, 0, "{log}");
    let log = fedwasm(&["--json", "node", "log", "--kind", "run"]).arg(&node).ok().stdout;
    let receipts = log.split("\"receipt\":\"").skip(1).map(|rest| rest.split('"').next());
    for digest in receipts.flatten() {
        let file = federation.dir.path().join("receipt.json");
        fedwasm(&["node", "receipt", "-o"]).arg(&file).arg(&node).arg(digest).ok();
        fedwasm(&["verify"]).arg(&file).arg("--data").arg(&node).ok();
    }
    assert_eq!(log.matches("\"receipt\"").count(), 4, "{log}");
    // Sums of the same rows over other nodes would tell those of the one that is missing.
    federation.nodes.pop();
    let ended = masked(&federation, "masking");
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("was masked for other nodes"), "{}", ended.stderr);
}

/// The scales of the newest experiment.
fn scales(federation: &Federation) -> Vec<u8> {
    std::fs::read(federation.dir.path().join("out/preprocessing.json")).unwrap()
}

#[test]
fn scales_do_not_depend_on_how_rows_are_dealt_to_sites() {
    let federation = five();
    let experiment = federation.experiment(|text| {
        let text = federal(text).edit("rounds = 2", "rounds = 1");
        text.edit("test_ratio = 0.2\ntest_on_global_updates = true", "test_ratio = 0.0")
    });
    federation.run(&experiment).ok();
    let out = federation.dir.path().join("local");
    let command =
        fedwasm(&["--json", "local", "--seed", "7", "--plan"]).arg(crate::support::plan());
    let command = command.arg("--data").arg(data("breast_cancer.csv")).arg("--args");
    command.arg(&experiment).arg("--out").arg(&out).ok();
    let read = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
    let local = std::fs::read(out.join("preprocessing.json")).unwrap();
    assert_eq!(read(&scales(&federation)), read(&local));
}

#[test]
fn masked_scales_are_the_same_bytes_as_in_the_clear_and_are_summed_again() {
    let mut federation = five();
    let at = |federation: &Federation, scheme: &str, seed: &str, n: usize| {
        federation.experiment(|text| {
            let text = federal(text).edit("rounds = 2", "rounds = 1\nkeep_uploads = true");
            let text = text.edit("random_seed = 42", seed);
            text.edit("min_nodes = 2", &format!("min_nodes = {n}")) + scheme
        })
    };
    let seed = "random_seed = 42";
    federation.run(&at(&federation, "", seed, 5)).ok();
    let expected = scales(&federation);
    for node in 0..5 {
        restart(&mut federation, node, "secagg = [\"masking\", \"double_masking\"]");
    }
    // Now none of them tells sums of its own.
    let ended = federation.run(&at(&federation, "", seed, 5)).run();
    assert!(ended.stderr.contains("under secure aggregation only"), "{}", ended.stderr);
    for scheme in ["masking", "double_masking"] {
        let table = format!("[secagg]\nscheme = \"{scheme}\"\n");
        let masked = at(&federation, &table, seed, 5);
        federation.run(&masked).ok();
        assert_eq!(scales(&federation), expected, "{scheme}");
        let out = federation.dir.path().join("out");
        let verify = || fedwasm(&["experiment", "verify"]).arg(&out).run();
        assert_eq!(verify().code, 0, "{scheme}: {}", verify().stderr);
        for n in 0..5 {
            let receipt = out.join(format!("receipts/round-0000-n{n}-scale.json"));
            let node = federation.dir.path().join(format!("n{n}"));
            fedwasm(&["verify"]).arg(&receipt).arg("--data").arg(&node).ok();
            let text = std::fs::read_to_string(&receipt).unwrap();
            assert!(!text.contains("\"sums\""), "{text}");
        }
        let file = out.join("history.json");
        let history = std::fs::read_to_string(&file).unwrap();
        let mut changed: Value = serde_json::from_str(&history).unwrap();
        let sum = &mut changed["scales_secagg"];
        assert_eq!(sum["sum_of"].as_array().unwrap().len(), 5);
        sum["numbers_sha256"] = Value::from(fedwasm_protocol::Digest::of(b"other").to_string());
        std::fs::write(&file, changed.to_string()).unwrap();
        assert!(verify().stderr.contains("other statistics"), "{}", verify().stderr);
    }
    // Sums of the same rows over other nodes would tell those of the one that is missing.
    federation.nodes.pop();
    // A researcher without the files of the earlier run does not know of it.
    std::fs::remove_dir_all(federation.dir.path().join("out")).unwrap();
    let table = "[secagg]\nscheme = \"masking\"\n";
    let ended = federation.run(&at(&federation, table, seed, 4)).run();
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("was masked for other nodes"), "{}", ended.stderr);
    federation.run(&at(&federation, table, "random_seed = 43", 4)).ok();
}
