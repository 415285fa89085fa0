//! Pages of histories, as readers and browsers get them.

mod hostile;
mod parsed;

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, Evaluation, NodeId, NodeTiming};
use fedwasm_record::{Difference, NodeRecord, PlanRecord, RoundRecord, RoundTiming, ScoreRecord};

use self::parsed::parse;
use super::metrics::{METRICS_MAX, metrics};
use super::rounds::{DROPPED_MAX, REASON_CHARS_MAX, ROUNDS_MAX, dropped};
use super::shell::STYLE;
use super::*;
use crate::curve::{Line, draw};
use crate::output::report;

fn evaluation(metrics: &[(&str, f64)]) -> Option<Evaluation> {
    let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value));
    Some(Evaluation { n_rows: 10, metrics: metrics.collect(), sums: None })
}

fn node_record(train_loss: f64, n_samples: u64, metric: &str) -> NodeRecord {
    NodeRecord {
        upload: None,
        upload_aux: None,
        receipt: None,
        n_samples,
        n_steps: 4,
        train_loss: Some(train_loss),
        evaluation: evaluation(&[("loss", 0.5), (metric, 0.25)]),
        global_evaluation: evaluation(&[("loss", 0.4), (metric, 0.75)]),
        timing: NodeTiming { train_ms: 1_234.56, ..NodeTiming::default() },
        total_ms: 1_300.0,
        optimizer_args: [("lr".to_owned(), 0.1)].into(),
        device: "cpu".into(),
        warnings: Vec::new(),
    }
}

fn round_record(round: u32, metric: &str, reason: &str) -> RoundRecord {
    let record = |node: &str, n| (node.parse().unwrap(), node_record(1.0 / n as f64, n, metric));
    RoundRecord {
        round,
        timing: RoundTiming { wall_ms: 2_000.0, train_ms: 1_500.0, ..RoundTiming::default() },
        nodes: [record("site-1", 1), record("site-2", 2)].into(),
        dropped: [("site-3".parse().unwrap(), reason.to_owned())].into(),
        params_sha256: Digest::of(&round.to_le_bytes()),
        evaluation: evaluation(&[("loss", 0.4), (metric, f64::from(round))]),
        scored: [].into(),
        secagg: None,
        scored_secagg: None,
        privacy: None,
    }
}

fn history(name: &str, rounds: Vec<RoundRecord>) -> History {
    let plan =
        PlanRecord { name: name.into(), version: "0.1.0".into(), sha256: Digest::of(b"plan") };
    History {
        written_by: "fedwasm 0".into(),
        experiment_id: "e".into(),
        arguments: [("training".to_owned(), serde_json::json!({"lr": 0.1, "a": {"b": [1]}}))]
            .into(),
        rounds,
        ..History::new(name.into(), plan, 7, 9)
    }
}

#[test]
fn what_changed_between_rounds_is_there_and_escaped() {
    let mut history = history("x", vec![round_record(1, "accuracy", "")]);
    assert!(!page(&history, "finished").contains("Changes"));
    let text = |text: &str| text.to_owned();
    history.changes = vec![fedwasm_record::ChangeRecord {
        round: 3,
        differences: vec![Difference {
            name: text("training.optimizer_args.lr"),
            a: text("0.1"),
            b: text("<b>"),
        }],
        before: [].into(),
    }];
    let page = page(&history, "finished");
    assert!(page.contains("<h2>Changes</h2>") && page.contains("From round"), "{page}");
    assert!(page.contains("<td>training.optimizer_args.lr</td><td class=\"words\">0.1</td><td class=\"words\">&lt;b&gt;</td>"));
}

#[test]
fn local_run_is_no_federation() {
    let mut round = round_record(1, "accuracy", "");
    round.nodes.retain(|node, _| node.as_str() == "site-2");
    round.dropped.clear();
    let local = History { experiment_id: String::new(), ..history("local", vec![round]) };
    let page = page(&local, "finished");
    for text in [
        "<p class=\"kind\">Local run report</p>",
        "<dt>Steps</dt><dd>4</dd>",
        "<dt>Training rows</dt><dd>2</dd><dd class=\"note\">10 held out</dd>",
        "<dt>Training loss</dt><dd>0.5000</dd>",
        "<dt>Held-out accuracy</dt><dd>1.0000</dd>",
        "<th scope=\"row\">Training</th><td class=\"n\">1,500.0</td>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for text in ["Rounds", "Nodes", "node", "a round"] {
        assert!(!page.contains(text), "{text}");
    }
    parse(&page);
}

fn page(history: &History, status: &str) -> String {
    let lines = [Line { label: history.name.clone(), points: vec![(1.0, 2.0), (2.0, 1.0)] }];
    let svg = draw(&history.name, &history.name, "loss", &lines).unwrap();
    let curves = vec![(history.name.clone(), svg)];
    html(&Report { history, status, curves, n_not_drawn: 0 })
}

#[test]
fn all_rounds_and_nodes_are_there_and_tags_balance() {
    let rounds = (1..=200).map(|round| round_record(round, "accuracy", "it is gone"));
    let history = history("demo", rounds.collect());
    let page = page(&history, "finished");
    for round in &history.rounds {
        let row =
            format!("<tr><th class=\"n\" scope=\"row\">{}</th><td class=\"n\">2</td>", round.round);
        assert_eq!(page.matches(&row).count(), 1, "{row}");
        assert!(page.contains(&format!("title=\"{}\"", round.params_sha256)));
    }
    for text in [
        "<b>site-3</b>: it is gone",
        "<th scope=\"row\">site-1</th><td class=\"n\">200</td><td class=\"n\">0</td>",
        "<th scope=\"row\">site-3</th><td class=\"n\">0</td><td class=\"n\">200</td>",
        // (1 · 1 + 2 · 0.5) / 3
        "<td class=\"n\">2,000.0</td><td class=\"n\">0.6667</td>",
        "<td class=\"n\">300,000.0</td><td class=\"n\">75.0 %</td>",
        "<dt>Held-out accuracy</dt><dd>200.0000</dd><dd class=\"note\">1.0000 in round 1</dd>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("not shown"));
    parse(&page);
}

#[test]
fn one_round_too_many_hides_one_and_says_so() {
    let rounds = (1..=201).map(|round| round_record(round, "accuracy", "it is gone"));
    let page = page(&history("demo", rounds.collect()), "running");
    assert_eq!(page.matches("Rounds 21 to 21 are not shown").count(), 2);
    assert_eq!(page.matches("it is gone").count(), ROUNDS_MAX);
    assert!(!page.contains("<tr><th class=\"n\" scope=\"row\">21</th>"));
    parse(&page);
}

#[test]
fn empty_history_is_a_page() {
    let history = history("", vec![]);
    let page = html(&Report { history: &history, status: "", curves: vec![], n_not_drawn: 0 });
    assert!(page.contains("No round is done yet"));
    parse(&page);
}

#[test]
fn round_without_nodes_and_odd_numbers_is_a_page() {
    let mut round = round_record(1, "accuracy", "");
    round.nodes.clear();
    round.evaluation = None;
    round.timing.wall_ms = f64::NAN;
    round.timing.train_ms = f64::INFINITY;
    let page = page(&history("demo", vec![round]), "failed: no node is left");
    assert!(page.contains("<dd class=\"bad\">failed: no node is left</dd>"));
    parse(&page);
}

#[test]
fn metrics_that_most_nodes_have_come_first() {
    let odd: Vec<String> = (0..127).map(|index| format!("a{index}")).collect();
    let mut odd: Vec<_> = odd.iter().map(|name| (name.as_str(), 1.0)).collect();
    odd.push(("loss", 1.0));
    let usual = evaluation(&[("accuracy", 1.0), ("loss", 1.0)]);
    let all = [evaluation(&odd), usual.clone(), usual];
    let chosen = metrics(all.iter().flatten());
    assert_eq!(chosen.names[..3], ["loss", "accuracy", "a0"]);
    assert_eq!((chosen.names.len(), chosen.n_left_out), (METRICS_MAX, 129 - METRICS_MAX));
}

#[test]
fn many_dropped_nodes_and_long_reasons_are_cut() {
    let node = |index| format!("n{index}").parse().unwrap();
    let all: BTreeMap<NodeId, String> =
        (0..=DROPPED_MAX).map(|index| (node(index), "ä".repeat(1_000))).collect();
    let lines = dropped(&all).into_string();
    assert_eq!(lines.matches('ä').count(), DROPPED_MAX * REASON_CHARS_MAX);
    assert!(lines.ends_with("…</li><li>and 1 more</li></ul>"), "{lines}");
}

#[test]
fn dark_rules_are_for_the_colours_of_charts() {
    let history = history("demo", vec![round_record(1, "accuracy", "")]);
    let (page, dark) = (page(&history, ""), "prefers-color-scheme: dark");
    let (_, dark) = STYLE.split_once(dark).unwrap();
    let rules: Vec<&str> = dark.split(".curve svg [").skip(1).collect();
    assert_eq!(rules.len(), 6);
    for rule in rules {
        let colour = rule.split_once(']').unwrap().0.replace('\'', "\"");
        assert!(page.contains(&colour), "{colour}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let mut history = history("demo", vec![]);
    let node = |name: &str| name.parse::<NodeId>().unwrap();
    history.left_out = [(node("site-9"), "it has no such data".to_owned())].into();
    let told = "<th scope=\"row\">site-9</th><td class=\"words\">it has no such data</td>";
    assert!(page(&history, "failed: no node is left").contains(told));
    history.rounds = vec![round_record(1, "accuracy", "")];
    let scores = evaluation(&[("loss", 0.9), ("accuracy", 0.125)]);
    history.initial = Some(ScoreRecord { evaluation: scores, nodes: [].into(), secagg: None });
    let page = page(&history, "running");
    for text in [
        told,
        "<dt>Rounds done</dt><dd>1</dd><dd class=\"note\">of 9</dd>",
        "<th class=\"n\" scope=\"row\">0</th><td class=\"n\">–</td>",
        "<td class=\"n\">0.9000</td><td class=\"n\">0.1250</td>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    parse(&page);
}

#[test]
fn no_two_lines_of_a_chart_have_one_colour() {
    let mut history = history("demo", vec![round_record(1, "a", ""), round_record(2, "a", "")]);
    for round in &mut history.rounds {
        for n in 1..=9 {
            let node = format!("site-{n}").parse().unwrap();
            round.nodes.insert(node, node_record(0.1 * f64::from(n), 10, "a"));
        }
    }
    let page = report(&history).unwrap();
    assert!(page.contains("3 further nodes are not drawn."));
    let charts: Vec<&str> = page.split("<figure").skip(1).collect();
    assert_eq!(charts.len(), 2);
    for chart in charts {
        let lines = chart.split("<polyline").skip(1).filter(|line| line.contains("width=\"2\""));
        let colour = |line: &str| line.split("stroke=\"").nth(1).unwrap()[..7].to_owned();
        let mut n_lines: BTreeMap<String, u32> = BTreeMap::new();
        for line in lines {
            *n_lines.entry(colour(line)).or_default() += 1;
        }
        // Each is in the chart and in its legend.
        assert_eq!(n_lines.len(), 7, "{n_lines:?}");
        assert!(n_lines.values().all(|n| *n == 2), "{n_lines:?}");
    }
}
