//! `fedwasm compare`.

use std::path::PathBuf;

use fedwasm_record::compare;
use fedwasm_report::compare_curves;
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::CommandError;
use crate::printer::Printer;

/// Show the differences of two runs, and their scores side by side.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of a run: --out of `local` or of `experiment run`.
    a: PathBuf,
    /// The directory of another run.
    b: PathBuf,
    /// The file for a chart of both losses, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> Result<(), CommandError> {
    let found = compare(&args.a, &args.b)?;
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
        let shown = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let difference = metric.a.zip(metric.b).map(|(a, b)| format!("{:+.4}", b - a));
        let difference = difference.unwrap_or_else(|| "-".into());
        metrics.push(vec![metric.name.clone(), shown(metric.a), shown(metric.b), difference]);
    }
    Columns::new(1).left(28).right(12).right(12).right(12).print(&metrics, printer);
    if let Some(file) = &args.svg {
        fedwasm_folder::write_file(file, compare_curves(&args.a, &args.b)?.as_bytes())?;
    }
    printer.event(
        "result",
        &json!({
            "differences": found.differences, "compared": found.compared,
            "not_compared": found.not_compared, "metrics": found.metrics,
        }),
    );
    Ok(())
}
