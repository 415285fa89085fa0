//! Scores by class after the last round that has them: of all nodes together, and of each.

use fedwasm_protocol::{Average, Calibrated, ClassScores, Evaluation, Metric, NodeId, ScoreReport};
use fedwasm_record::{History, RoundRecord};
use maud::{Markup, html};

use super::numbers::{grouped, number};
use super::table::{self, Column};

/// The most classes, and the most rows of the table of nodes.
const CLASSES_MAX: usize = 100;
const ROWS_MAX: usize = 400;

pub(super) fn sections(history: &History) -> Markup {
    let newest = history.rounds.iter().rev().find_map(|round| {
        let evaluation = round.evaluation.as_ref()?;
        Some((round, evaluation, evaluation.sums.as_ref()?.report()?))
    });
    let Some((round, evaluation, report)) = newest else { return html! {} };
    html! {
        (classes(history, round, evaluation, &report))
        (confusion(&report))
        (calibration(&report))
        @if !history.is_local() { (of_nodes(round)) }
    }
}

fn classes(
    history: &History,
    round: &RoundRecord,
    evaluation: &Evaluation,
    report: &ScoreReport,
) -> Markup {
    let cells = |scores: [f64; 3], iou: Option<f64>| {
        html! { @for value in scores.into_iter().chain(iou) { td.n { (number(value)) } } }
    };
    let of_class = report.classes.iter().take(CLASSES_MAX);
    let of_class = of_class.map(|of: &ClassScores| {
        html! {
            tr {
                th scope="row" { (of.class) }
                (cells([of.precision, of.recall, of.f1_score], of.iou))
                td.n { (grouped(of.support)) }
            }
        }
    });
    // Those of other classes are counted, too.
    let n_counted = match report.of {
        "rows" => evaluation.n_rows,
        _ => report.classes.iter().map(|of| of.support).sum(),
    };
    let averages = report.averages.iter().map(|of: &Average| {
        html! {
            tr {
                th scope="row" { (of.average) " average" }
                (cells([of.precision, of.recall, of.f1_score], of.iou))
                td.n { (grouped(n_counted)) }
            }
        }
    });
    let rows: Vec<Markup> = of_class.chain(averages).collect();
    let n_hidden = report.classes.len().saturating_sub(CLASSES_MAX);
    let errors = [Metric::RocAuc, Metric::PrAuc].map(|metric| {
        let value = evaluation.metrics.get(metric.key())?;
        let error = evaluation.metrics.get(&metric.error_key())?;
        Some(format!("{} is {value:.4} \u{b1} {error:.4}", metric.key()))
    });
    let errors = errors.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let notes = html! {
        @if n_hidden > 0 { (n_hidden) " further classes are not shown. " }
        @if !history.is_local() {
            "Of all held-out rows of all nodes, after round " (round.round) ". "
            @if !errors.is_empty() { "From histograms of scores, " (errors) ". " }
        }
        "A share of no rows is 0."
    };
    let columns = [vec![Column::Text("Class")], score_columns(report)].concat();
    table::section("Classes", notes, &columns, &rows)
}

/// The columns of the scores of a class.
fn score_columns(report: &ScoreReport) -> Vec<Column<'static>> {
    let has_iou = report.classes.iter().any(|of| of.iou.is_some());
    let scores = ["Precision", "Recall", "F1"].into_iter().chain(has_iou.then_some("IoU"));
    let counted = if report.of == "rows" { "Rows" } else { "Voxels" };
    scores.chain([counted]).map(Column::Number).collect()
}

/// Rows by class and by the class that they are said to be of.
fn confusion(report: &ScoreReport) -> Markup {
    let Some(confusion) = &report.confusion else { return html! {} };
    let k = report.classes.len();
    let row = |(class, counts): (usize, &Vec<u64>)| {
        html! {
            tr {
                th scope="row" { @if class < k { (class) } @else { "others" } }
                @for count in counts { td.n { (grouped(*count)) } }
            }
        }
    };
    let rows: Vec<Markup> = confusion.iter().enumerate().map(row).collect();
    let said: Vec<String> = (0..k).map(|class| class.to_string()).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let columns = [Column::Text("Class"), Column::Group("Said to be of class", &said)];
    table::section("Confusion matrix", "", &columns, &rows)
}

/// How probabilities match the rows.
fn calibration(report: &ScoreReport) -> Markup {
    let row = |bin: &Calibrated| {
        html! {
            tr {
                th.n scope="row" { (format!("{:.1}", bin.until)) }
                td.n { (grouped(bin.rows)) }
                td.n { (number(bin.mean_score)) }
                td.n { (number(bin.positives)) }
            }
        }
    };
    let rows: Vec<Markup> = report.calibration.iter().map(row).collect();
    let columns = [
        Column::Number("Score until"),
        Column::Number("Rows"),
        Column::Number("Mean score"),
        Column::Number("Share of class 1"),
    ];
    let notes = "The last two columns of a calibrated model are equal.";
    html! { @if !rows.is_empty() { (table::section("Calibration", notes, &columns, &rows)) } }
}

/// Each node by itself, on its own held-out rows.
fn of_nodes(round: &RoundRecord) -> Markup {
    let reports = round.scores().into_iter();
    let reports: Vec<(&NodeId, ScoreReport)> = reports
        .filter_map(|(node, scores)| Some((node, scores.sums.as_ref()?.report()?)))
        .collect();
    let columns = [Column::Text("Node"), Column::Number("Class")].into_iter();
    let columns: Vec<_> = columns
        .chain(reports.iter().take(1).flat_map(|(_, report)| score_columns(report)))
        .collect();
    let of_class = reports.into_iter().flat_map(|(node, report)| {
        let classes = report.classes.into_iter().filter(|of| of.support > 0);
        classes.map(|of| (node, of)).collect::<Vec<_>>()
    });
    let row = |(node, of): (&NodeId, ClassScores)| {
        html! {
            tr {
                th scope="row" { (node) }
                td.n { (of.class) }
                @for value in [of.precision, of.recall, of.f1_score].into_iter().chain(of.iou) {
                    td.n { (number(value)) }
                }
                td.n { (grouped(of.support)) }
            }
        }
    };
    let rows: Vec<Markup> = of_class.take(ROWS_MAX).map(row).collect();
    html! {
        @if !rows.is_empty() { (table::section("Classes at the nodes", "", &columns, &rows)) }
    }
}
