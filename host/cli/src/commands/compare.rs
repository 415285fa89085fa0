//! `fedwasm compare`.

use std::path::{Path, PathBuf};

use fedwasm_record::{Comparison, Method, Overview, Spread, compare, overview};
use fedwasm_report::{compare_curves, compare_page};
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::printer::Printer;

/// Show the differences of runs, and their scores side by side; test the differences of several
/// folds or seeds.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directories of runs: --out of `local` or of `experiment run`, also with --folds or
    /// --repeat.
    #[arg(required = true, num_args = 2..)]
    dirs: Vec<PathBuf>,
    /// The file for a chart of the losses, as SVG; of single runs.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The file for a page with tables and charts, as HTML.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> Result<(), CommandError> {
    let load = |dir: &PathBuf| Method::load(dir);
    let methods = args.dirs.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let found = overview(&methods);
    match (&args.dirs[..], methods.iter().any(Method::has_several)) {
        ([a, b], false) => show_pair(&compare(a, b)?, printer),
        _ => show_overview(&found, printer),
    }
    if let Some(file) = &args.svg {
        let dirs: Vec<&Path> = args.dirs.iter().map(PathBuf::as_path).collect();
        if methods.iter().any(Method::has_several) {
            let text =
                "--svg draws the losses of single runs; --html has charts of folds and seeds";
            return Err(CommandError::new(USAGE, text));
        }
        fedwasm_folder::write_file(file, compare_curves(&dirs)?.as_bytes())?;
    }
    if let Some(file) = &args.html {
        fedwasm_folder::write_file(file, compare_page(&methods, &found)?.as_bytes())?;
        printer.line(format!("page       {}", file.display()));
    }
    Ok(())
}

fn show_pair(found: &Comparison, printer: &Printer) {
    if found.differences.is_empty() {
        printer.line(format!("the same {}", found.compared.join(", ")));
    }
    let differences: Vec<Vec<String>> = found
        .differences
        .iter()
        .map(|difference| {
            vec![difference.name.clone(), format!("{} | {}", difference.a, difference.b)]
        })
        .collect();
    Columns::new(1).left(28).left(0).print(&differences, printer);
    for what in &found.not_compared {
        printer.line(format!("not compared: {what}"));
    }
    let headings = ["", "first", "second", "difference"].map(str::to_owned);
    let mut metrics = vec![headings.to_vec()];
    for metric in &found.metrics {
        let difference = metric.a.zip(metric.b).map(|(a, b)| format!("{:+.4}", b - a));
        let difference = difference.unwrap_or_else(|| "-".into());
        metrics.push(vec![metric.name.clone(), shown(metric.a), shown(metric.b), difference]);
    }
    Columns::new(1).left(28).right(12).right(12).right(12).print(&metrics, printer);
    printer.event(
        "result",
        &json!({
            "differences": found.differences, "compared": found.compared,
            "not_compared": found.not_compared, "metrics": found.metrics,
        }),
    );
}

fn show_overview(found: &Overview, printer: &Printer) {
    let methods = found.methods.iter();
    let names: std::collections::BTreeSet<&String> =
        methods.flat_map(|method| method.metrics.keys()).collect();
    let headings = ["", "runs"].into_iter().chain(names.iter().map(|name| name.as_str()));
    let mut table = vec![headings.map(str::to_owned).collect::<Vec<_>>()];
    for method in &found.methods {
        let values = names.iter().map(|name| spread(method.metrics.get(*name), method.runs));
        let first = [method.label.clone(), method.runs.to_string()];
        table.push(first.into_iter().chain(values).collect());
    }
    let columns = Columns::new(2).left(14).right(4);
    names.iter().fold(columns, |columns, _| columns.right(10)).print(&table, printer);
    for method in found.methods.iter().filter(|method| !method.differences.is_empty()) {
        printer.line(format!("{} differs from the first:", method.label));
        let row = |difference: &fedwasm_record::Difference| {
            let values = format!("{} | {}", difference.a, difference.b);
            vec![format!("  {}", difference.name), values]
        };
        let rows: Vec<Vec<String>> = method.differences.iter().map(row).collect();
        Columns::new(1).left(28).left(0).print(&rows, printer);
    }
    for of_pair in found.tests.chunk_by(|one, other| one.b == other.b) {
        let Some(first) = of_pair.first() else { continue };
        let (a, b, n, over) = (&first.a, &first.b, first.paired.n, first.over);
        printer.line(format!("{b} less {a}, paired over {n} {over}, two-sided p:"));
        let headings = ["", "pairs", "mean", "t", "p", "corrected", "Wilcoxon"].map(str::to_owned);
        let mut table = vec![headings.to_vec()];
        for test in of_pair {
            let paired = &test.paired;
            let mean = format!("{:+.4}", paired.mean);
            let mut row = vec![format!("  {}", test.metric), paired.n.to_string(), mean];
            row.extend([paired.t, paired.p, paired.p_corrected, paired.wilcoxon_p].map(shown));
            table.push(row);
        }
        let columns = Columns::new(2).left(20).right(5).right(8).right(8);
        columns.right(8).right(9).right(8).print(&table, printer);
    }
    for note in &found.notes {
        printer.line(note.clone());
    }
    printer.event("result", &json!(found));
}

fn shown(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}

fn spread(spread: Option<&Spread>, runs: usize) -> String {
    let Some(Spread { mean, std, runs: with }) = spread else { return "-".into() };
    let std = std.map_or(String::new(), |std| format!(" ± {std:.4}"));
    let with = if *with < runs { format!(" ({with})") } else { String::new() };
    format!("{mean:.4}{std}{with}")
}
