//! `fedwasm compare`.

use std::path::PathBuf;

use fedwasm_record::compare;
use fedwasm_report::compare_curves;
use serde_json::json;

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
    for difference in &found.differences {
        printer.line(format!("{:<28} {} | {}", difference.name, difference.a, difference.b));
    }
    for what in &found.not_compared {
        printer.line(format!("not compared: {what}"));
    }
    printer.line(format!("{:<28} {:>12} {:>12} {:>12}", "", "first", "second", "difference"));
    for metric in &found.metrics {
        let shown = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let difference = metric.a.zip(metric.b).map(|(a, b)| format!("{:+.4}", b - a));
        printer.line(format!(
            "{:<28} {:>12} {:>12} {:>12}",
            metric.name,
            shown(metric.a),
            shown(metric.b),
            difference.unwrap_or_else(|| "-".into()),
        ));
    }
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
