//! Pages of histories, as readers and browsers get them.

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, Evaluation, NodeId, NodeTiming};
use fedwasm_record::{Difference, NodeRecord, PlanRecord, RoundRecord, RoundTiming};

use super::escape::escape;
use super::metrics::{METRICS_MAX, metrics};
use super::numbers::{NONE, duration, grouped, ms, number};
use super::rounds::{DROPPED_MAX, REASON_CHARS_MAX, ROUNDS_MAX, dropped};
use super::shell::STYLE;
use super::*;
use crate::curve::{Line, draw};

fn evaluation(metrics: &[(&str, f64)]) -> Option<Evaluation> {
    let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value));
    Some(Evaluation { n_rows: 10, metrics: metrics.collect() })
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
    }
}

fn history(name: &str, rounds: Vec<RoundRecord>) -> History {
    let plan =
        PlanRecord { name: name.into(), version: "0.1.0".into(), sha256: Digest::of(b"plan") };
    History {
        name: name.into(),
        plan,
        random_seed: 7,
        written_by: "fedwasm 0".into(),
        experiment_id: "e".into(),
        arguments: [("training".to_owned(), serde_json::json!({"lr": 0.1, "a": {"b": [1]}}))]
            .into(),
        changes: Vec::new(),
        status: "running".into(),
        rounds_max: 9,
        initial_sha256: None,
        expected: [].into(),
        left_out: [].into(),
        frozen: Vec::new(),
        initial: None,
        rounds,
        steps: Vec::new(),
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
    assert!(page.contains("<td>training.optimizer_args.lr</td><td>0.1</td><td>&lt;b&gt;</td>"));
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
    tags(&page);
}

fn page(history: &History, status: &str) -> String {
    let lines = [Line { label: history.name.clone(), points: vec![(1.0, 2.0), (2.0, 1.0)] }];
    let svg = draw(&history.name, &history.name, "loss", &lines).unwrap();
    html(&Report { history, status, curves: vec![(history.name.clone(), svg)] })
}

/// Checks that each tag closes the one that was opened last, and returns
/// the names of all.
fn tags(page: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("no end: {tag}"));
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{tag}");
        } else if !tag.ends_with('/') && !["!doctype", "meta", "wbr"].contains(&name) {
            open.push(name.to_owned());
        }
        all.push(name.to_owned());
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[test]
fn escaped_text_has_no_markup_and_no_control_characters() {
    for (text, expected) in [
        ("plain ä 漢", "plain ä 漢"),
        ("<script>", "&lt;script&gt;"),
        ("\" onload='x' &amp;", "&quot; onload=&#39;x&#39; &amp;amp;"),
        ("a\u{0}b\u{1b}[2Jc\u{7f}\u{85}", "ab[2Jc"),
        ("a\nb\tc\rd", "a b c d"),
        ("\u{202e}evil\u{2069}", "evil"),
    ] {
        assert_eq!(escape(text), expected);
    }
}

#[test]
fn markup_of_strangers_has_no_effect() {
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{0}";
    let plain = history("demo", vec![round_record(1, "accuracy", "it is gone")]);
    let hostile = history(evil, vec![round_record(1, evil, evil)]);
    let (plain, hostile) = (page(&plain, "finished"), page(&hostile, evil));
    assert_eq!(tags(&hostile), tags(&plain));
    // Name, plan, status, curve, metrics and the refusal: all are there.
    assert!(hostile.matches("&lt;script&gt;alert(1)").count() > 8);
    assert!(!hostile.contains('\u{0}'));
}

#[test]
fn all_rounds_and_nodes_are_there_and_tags_balance() {
    let rounds = (1..=200).map(|round| round_record(round, "accuracy", "it is gone"));
    let history = history("demo", rounds.collect());
    let page = page(&history, "finished");
    for round in &history.rounds {
        let row = format!("<tr><td class=\"n\">{}</td><td class=\"n\">2</td>", round.round);
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
    tags(&page);
}

#[test]
fn one_round_too_many_hides_one_and_says_so() {
    let rounds = (1..=201).map(|round| round_record(round, "accuracy", "it is gone"));
    let page = page(&history("demo", rounds.collect()), "running");
    assert_eq!(page.matches("Rounds 21 to 21 are not shown").count(), 2);
    assert_eq!(page.matches("it is gone").count(), ROUNDS_MAX);
    assert!(!page.contains("<tr><td class=\"n\">21</td>"));
    tags(&page);
}

#[test]
fn empty_history_is_a_page() {
    let page = html(&Report { history: &history("", vec![]), status: "", curves: vec![] });
    assert!(page.contains("No round is done yet"));
    tags(&page);
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
    tags(&page);
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
    let lines = dropped(&all);
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
fn numbers_read_well() {
    assert_eq!(grouped(0) + " " + &grouped(999) + " " + &grouped(1_234_567), "0 999 1,234,567");
    for (value, expected) in [
        (0.0, "0.0000"),
        (-0.5, "-0.5000"),
        (12_345.0, "12345.0000"),
        (1e-7, "1.000e-7"),
        (-0.0, "0.0000"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(number(value), expected);
    }
    for (value, expected) in [(0.04, "0.0"), (999.96, "1,000.0"), (1e300, NONE), (f64::NAN, NONE)] {
        assert_eq!(ms(value), expected);
    }
    for (value, expected) in
        [(43.4, "43 ms"), (1_234.0, "1.2 s"), (59_600.0, "1 min 00 s"), (3_725_000.0, "1 h 02 min")]
    {
        assert_eq!(duration(value), expected);
    }
}
