//! A page of runs side by side.

use std::collections::BTreeMap;

use fedwasm_protocol::Evaluation;
use fedwasm_record::{Method, MethodLine, Overview, Spread, Test};
use maud::{Markup, html};

use super::curves;
use super::metrics::{Chosen, left_out, metrics};
use super::numbers::{NONE, number, opt};
use super::shell;
use super::table::{self, Column};
use crate::curve::Chart;

/// The most rows of a table.
const ROWS_MAX: usize = 500;

/// Returns the page. `curves` are headings with charts.
pub(crate) fn html(methods: &[Method], overview: &Overview, curves: &[(String, Chart)]) -> String {
    let shown: Vec<Evaluation> = methods
        .iter()
        .flat_map(|method| &method.runs)
        .map(|run| Evaluation { n_rows: 1, metrics: run.metrics.clone(), sums: None })
        .collect();
    let chosen = metrics(&shown);
    let body = html! {
        header {
            p.kind { "Comparison" }
            h1 { (methods.len()) @if methods.len() == 1 { " run" } @else { " runs" } " side by side" }
        }
        "\n"
        (scores(overview, &chosen))
        (tests(overview))
        (differences(overview))
        (curves::figures(curves))
        (runs(methods, &chosen))
    };
    let footer = html! { "Made by fedwasm from the " code { "history.json" } " of each run." };
    shell::frame("Comparison of runs", &body, &footer)
}

/// A row for each method.
fn scores(overview: &Overview, chosen: &Chosen<'_>) -> Markup {
    let mut notes = left_out(chosen);
    if overview.methods.iter().any(|method| method.runs > 1) {
        notes += "Of several runs the mean and, after ±, the standard deviation of a sample; in \
                  brackets over how many runs, where some lack the metric. ";
    }
    notes += &overview.notes.join(". ");
    let columns = ["Directory", "Runs"].map(Column::Text).into_iter();
    let columns: Vec<Column<'_>> =
        columns.chain(chosen.names.iter().map(|name| Column::Number(name))).collect();
    let row = |method: &MethodLine| {
        html! {
            tr {
                th scope="row" { (method.label) }
                td.n { (method.runs) }
                @for name in &chosen.names { td.n { (spread(&method.metrics, name, method.runs)) } }
            }
        }
    };
    let rows: Vec<Markup> = overview.methods.iter().take(ROWS_MAX).map(row).collect();
    table::section("Scores", notes, &columns, &rows)
}

fn spread(all: &BTreeMap<String, Spread>, name: &str, runs: usize) -> String {
    let Some(spread) = all.get(name) else { return NONE.to_owned() };
    let mut text = number(spread.mean);
    if let Some(std) = spread.std {
        text += &format!(" ± {}", number(std));
    }
    if spread.runs < runs {
        text += &format!(" ({})", spread.runs);
    }
    text
}

fn tests(overview: &Overview) -> Markup {
    let columns = [
        Column::Text("Metric"),
        Column::Text("Of"),
        Column::Text("Less that of"),
        Column::Number("Pairs"),
        Column::Number("Mean difference"),
        Column::Number("t"),
        Column::Number("p"),
        Column::Number("p, corrected"),
        Column::Number("p, Wilcoxon"),
    ];
    let row = |test: &Test| {
        let paired = &test.paired;
        html! {
            tr {
                th scope="row" { (test.metric) }
                td { (test.b) }
                td { (test.a) }
                td.n { (paired.n) " " (test.over) }
                td.n { (number(paired.mean)) }
                @for value in [paired.t, paired.p, paired.p_corrected, paired.wilcoxon_p] {
                    td.n { (opt(value)) }
                }
            }
        }
    };
    let rows: Vec<Markup> = overview.tests.iter().take(ROWS_MAX).map(row).collect();
    let notes = "Two-sided tests of the differences of pairs: Student's t, and Wilcoxon's signed \
                 ranks, exact. Folds train on rows of each other, so p of the t test is too small; \
                 the corrected one takes that into account (Nadeau and Bengio 2003). Of many \
                 metrics and methods some p are small by chance.";
    html! { @if !rows.is_empty() { (table::section("Tests of differences", notes, &columns, &rows)) } }
}

fn differences(overview: &Overview) -> Markup {
    let Some(first) = overview.methods.first() else { return html! {} };
    let all = overview.methods.iter();
    let all = all.flat_map(|method| method.differences.iter().map(|found| (&method.label, found)));
    let rows: Vec<Markup> = all
        .take(ROWS_MAX)
        .map(|(label, found)| {
            html! {
                tr {
                    th scope="row" { (label) }
                    td { (found.name) }
                    @for text in [&found.a, &found.b] { td.words { (text) } }
                }
            }
        })
        .collect();
    let notes = format!("From {}; of several runs by the first.", first.label);
    let columns = ["Directory", "Difference", "There", "Here"].map(Column::Text);
    html! { @if !rows.is_empty() { (table::section("Differences", notes, &columns, &rows)) } }
}

/// A row for each of several runs of a method.
fn runs(methods: &[Method], chosen: &Chosen<'_>) -> Markup {
    let several = methods.iter().filter(|method| method.has_several());
    let all = several.flat_map(|method| method.runs.iter().map(|run| (&method.label, run)));
    let rows: Vec<Markup> = all
        .take(ROWS_MAX)
        .map(|(label, run)| {
            html! {
                tr {
                    th scope="row" { (label) }
                    td { (run.name) }
                    @for name in &chosen.names { td.n { (opt(run.metrics.get(*name).copied())) } }
                }
            }
        })
        .collect();
    let columns = ["Directory", "Run"].map(Column::Text).into_iter();
    let columns: Vec<Column<'_>> =
        columns.chain(chosen.names.iter().map(|name| Column::Number(name))).collect();
    html! { @if !rows.is_empty() { (table::section("Runs", "", &columns, &rows)) } }
}
