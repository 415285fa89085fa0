//! Scores of classes: sums of all sites in histories, on pages and on terminals.

use fedwasm_protocol::{Evaluation, ScoreReport};
use fedwasm_record::load_history;
use serde_json::json;

use crate::support::{Edit, Federation, data, fedwasm, part, plan};

/// Three nodes with unequal parts.
fn federation() -> Federation {
    let mut federation = Federation::start();
    for (nth, (start, step)) in [(0, 2), (1, 4), (3, 4)].into_iter().enumerate() {
        let file = part(federation.dir.path(), start, step);
        federation.node(&format!("n{nth}"), &file);
    }
    federation
}

/// An experiment of all three that can be verified.
fn of_three(text: String) -> String {
    text.edit("min_nodes = 2", "min_nodes = 3")
        .edit("rounds = 2", "rounds = 2\nkeep_uploads = true")
}

fn report(evaluation: &Evaluation) -> ScoreReport {
    evaluation.sums.as_ref().unwrap().report().unwrap()
}

#[test]
fn scores_of_all_sites_are_those_of_all_their_rows() {
    let federation = federation();
    let experiment = federation.experiment(of_three);
    let ended = federation.run(&experiment).ok();
    let out = federation.dir.path().join("out");
    let history = load_history(&out).unwrap();
    for round in &history.rounds {
        let all = round.evaluation.as_ref().unwrap();
        let mut counts = [[0; 2]; 2];
        let mut brier = 0.0;
        for scores in round.scores().into_values() {
            assert!(scores.metrics.contains_key("roc_auc"));
            assert!(!scores.metrics.contains_key("roc_auc_error"), "{:?}", scores.metrics);
            brier += scores.metrics["brier_score"] * scores.n_rows as f64;
            for (row, class) in report(scores).confusion.unwrap().iter().zip(&mut counts) {
                (0..2).for_each(|said| class[said] += row[said]);
            }
        }
        assert_eq!(report(all).confusion.unwrap(), counts);
        assert_eq!(counts.iter().flatten().sum::<u64>(), all.n_rows);
        let [[tn, fp], [fn_, tp]] = counts.map(|row| row.map(|count| count as f64));
        let (precision, recall) = (tp / (tp + fp), tp / (tp + fn_));
        for (name, expected) in [
            ("accuracy", (tp + tn) / all.n_rows as f64),
            ("precision", precision),
            ("recall", recall),
            ("f1_score", 2.0 * precision * recall / (precision + recall)),
            ("balanced_accuracy", (recall + tn / (tn + fp)) / 2.0),
            ("brier_score", brier / all.n_rows as f64),
        ] {
            assert!((all.metrics[name] - expected).abs() < 1e-12, "{name}: {:?}", all.metrics);
        }
        let (area, error) = (all.metrics["roc_auc"], all.metrics["roc_auc_error"]);
        assert!(area > 0.9 && error < 0.02, "{area} {error}");
        let rows: u64 = report(all).calibration.iter().map(|bin| bin.rows).sum();
        assert_eq!(rows, all.n_rows);
    }
    // The means that they replace differ, since sites do.
    let last = history.rounds.last().unwrap();
    let all = last.evaluation.as_ref().unwrap();
    let mean: f64 =
        last.scores().values().map(|one| one.metrics["f1_score"] * one.n_rows as f64).sum();
    assert!((mean / all.n_rows as f64 - all.metrics["f1_score"]).abs() > 1e-9);
    assert_eq!(ended.result()["scores"]["confusion"], json!(report(all).confusion));
    fedwasm(&["experiment", "verify"]).arg(&out).ok();

    let text = fedwasm(&["experiment", "show"]).arg(&out).ok().stdout;
    for words in ["said 1", "is 0", "weighted", "held-out rows,", " \u{b1} 0.0"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for heading in ["Confusion matrix", "Calibration", "Classes at the nodes", "macro average"] {
        assert!(page.contains(heading), "{heading}");
    }
}

/// An operator who keeps the sums lets metrics out: those of all sites are means then.
#[test]
fn a_node_may_keep_its_sums() {
    let mut federation = federation();
    let config = federation.dir.path().join("n2").join("node.toml");
    drop(federation.nodes.pop());
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.edit("score_sums = true", "score_sums = false");
    std::fs::write(&config, text).unwrap();
    federation.start_node("n2");
    let experiment = federation.experiment(of_three);
    federation.run(&experiment).ok();
    let out = federation.dir.path().join("out");
    let history = load_history(&out).unwrap();
    let last = history.rounds.last().unwrap();
    let told: Vec<bool> = last.scores().values().map(|scores| scores.sums.is_some()).collect();
    assert_eq!(told, [true, true, false]);
    let all = last.evaluation.as_ref().unwrap();
    assert_eq!(all.sums, None);
    assert!(!all.metrics.contains_key("roc_auc_error"));
    let mean: f64 =
        last.scores().values().map(|one| one.metrics["f1_score"] * one.n_rows as f64).sum();
    assert!((mean / all.n_rows as f64 - all.metrics["f1_score"]).abs() < 1e-12);
    fedwasm(&["experiment", "verify"]).arg(&out).ok();
}

/// All single scores are at hand: areas have no error.
#[test]
fn local_jobs_and_evaluations_show_classes() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let file = data("breast_cancer.csv");
    let local = fedwasm(&["--json", "local", "--target", "benign", "--seed", "42"]);
    let local = local.arg("--plan").arg(plan()).arg("--data").arg(&file).arg("--out").arg(&run);
    let result = local.ok().result();
    let confusion = result["scores"]["confusion"].as_array().unwrap();
    let n: u64 =
        confusion.iter().flat_map(|row| row.as_array().unwrap()).map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(json!(n), result["n_test"]);
    assert!(result["metrics"]["roc_auc"].as_f64().unwrap() > 0.9, "{result}");
    assert_eq!(result["metrics"]["roc_auc_error"], json!(null));
    let evaluate = fedwasm(&["evaluate", "--target", "benign"]).arg("--plan").arg(plan());
    let evaluate = evaluate.arg("--params").arg(run.join("params.safetensors"));
    let text = evaluate.arg("--data").arg(&file).ok().stdout;
    for words in ["roc_auc", "log_loss", "said 1", "is 0", "macro"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{b1}'), "{text}");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("Confusion matrix") && page.contains("Calibration"));
}
