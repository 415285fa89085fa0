//! Scores for people: metrics, each class, which classes are taken for which, each node.

use fedwasm_protocol::{Average, ClassScores, Evaluation, Metric, Metrics, NodeId, ScoreReport};
use fedwasm_record::RoundRecord;
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::printer::Printer;

/// The most classes whose scores are printed, and the most of which a matrix fits on a line.
const CLASSES_MAX: usize = 32;
const CONFUSION_MAX: usize = 10;
/// Metrics that a line of a round leaves out, unless they were asked for: a terminal bounds its
/// length, and the history has them.
const NOT_BRIEF: [Metric; 4] =
    [Metric::BalancedAccuracy, Metric::PrAuc, Metric::LogLoss, Metric::BrierScore];

/// Prints a metric a line, and below them the scores of each class.
pub(crate) fn print(evaluation: &Evaluation, remark: &str, printer: &Printer) {
    let metrics = &evaluation.metrics;
    let row = |name: &String| Some(vec![name.clone(), value_of(metrics, name)? + remark]);
    let rows: Vec<Vec<String>> = metrics.keys().filter_map(row).collect();
    Columns::new(1).left("parameters".len()).left(0).print(&rows, printer);
    print_classes(evaluation, printer);
}

/// The scores of classes that metrics are means of, for programs; null if they are unknown.
pub(crate) fn fields(evaluation: Option<&Evaluation>) -> Value {
    json!(evaluation.and_then(report))
}

/// Metrics on one line, `first` before the others.
pub(crate) fn brief(metrics: &Metrics, first: Option<Metric>) -> Vec<String> {
    let first = first.map(Metric::key);
    let is_brief = |name: &&String| {
        Some(name.as_str()) == first || !NOT_BRIEF.iter().any(|metric| metric.key() == *name)
    };
    let mut names: Vec<&String> = metrics.keys().filter(is_brief).collect();
    names.sort_by_key(|name| Some(name.as_str()) != first);
    let text = |name: &String| Some(format!("{name} {}", value_of(metrics, name)?));
    names.into_iter().filter_map(text).collect()
}

/// Prints the scores of each node on its own held-out rows.
pub(crate) fn print_sites(round: &RoundRecord, printer: &Printer) {
    let row = |(node, scores): (&NodeId, &Evaluation)| {
        let text = brief(&scores.metrics, None).join("  ");
        vec![node.to_string(), format!("{} held-out rows,", scores.n_rows), text]
    };
    let rows: Vec<Vec<String>> = round.scores().into_iter().map(row).collect();
    Columns::new(1).left(10).right(0).left(0).fit(&rows).print(&rows, printer);
}

/// Prints the scores of each class, and which classes are taken for which.
pub(crate) fn print_classes(evaluation: &Evaluation, printer: &Printer) {
    let Some(report) = report(evaluation) else { return };
    let k = report.classes.len();
    if k > CLASSES_MAX {
        return;
    }
    let number = |value: f64| format!("{value:.4}");
    let heads = ["class", "precision", "recall", "f1_score"].map(str::to_owned);
    let row = |name: String, scores: [f64; 3], iou: Option<f64>, support: String| {
        let scores = scores.into_iter().chain(iou).map(number);
        [name].into_iter().chain(scores).chain([support]).collect::<Vec<_>>()
    };
    let has_iou = report.classes.iter().any(|of| of.iou.is_some());
    let iou = has_iou.then(|| "iou".to_owned());
    let heads = heads.into_iter().chain(iou).chain([report.of.to_owned()]);
    let mut rows = vec![heads.collect::<Vec<_>>()];
    rows.extend(report.classes.iter().map(|of: &ClassScores| {
        let scores = [of.precision, of.recall, of.f1_score];
        row(of.class.to_string(), scores, of.iou, of.support.to_string())
    }));
    rows.extend(report.averages.iter().map(|of: &Average| {
        let scores = [of.precision, of.recall, of.f1_score];
        row(of.average.to_owned(), scores, of.iou, String::new())
    }));
    let columns = Columns::new(2).left(10).right(0).right(0).right(0).right(0);
    let columns = if has_iou { columns.right(0) } else { columns };
    columns.fit(&rows).print(&rows, printer);
    let Some(confusion) = report.confusion.as_ref().filter(|_| k <= CONFUSION_MAX) else { return };
    let said = (0..k).map(|class| format!("said {class}"));
    let mut rows: Vec<Vec<String>> =
        vec![["confusion".to_owned()].into_iter().chain(said).collect()];
    rows.extend(confusion.iter().enumerate().map(|(class, counts)| {
        let name = if class < k { format!("is {class}") } else { "is another".to_owned() };
        [name].into_iter().chain(counts.iter().map(u64::to_string)).collect()
    }));
    let columns = (0..k).fold(Columns::new(2).left(10), |columns, _| columns.right(0));
    columns.fit(&rows).print(&rows, printer);
}

fn report(evaluation: &Evaluation) -> Option<ScoreReport> {
    evaluation.sums.as_ref()?.report()
}

/// A metric in words, with its error; none if it is an error itself.
fn value_of(metrics: &Metrics, name: &str) -> Option<String> {
    let value = metrics.get(name).filter(|_| !Metric::is_error(name))?;
    let metric = Metric::ALL.into_iter().find(|metric| metric.key() == name);
    let error = metric.and_then(|metric| metrics.get(&metric.error_key()));
    let error = error.map_or(String::new(), |error| format!(" \u{b1} {error:.4}"));
    Some(format!("{value:.4}{error}"))
}
