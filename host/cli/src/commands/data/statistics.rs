//! `fedwasm data statistics`.

use std::path::PathBuf;

use fedwasm_protocol::{BINS_MAX, Sums, printable};
use fedwasm_researcher::{
    BINS, ExperimentFile, PooledColumn, Statistics, masked_statistics, statistics,
};
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::{CommandError, FAILED};
use crate::commands::experiment::options;
use crate::printer::Printer;
use crate::stop::stop_signal;

/// The quantiles that are shown.
const QUANTILES: [(&str, f64); 3] = [("25 %", 0.25), ("50 %", 0.5), ("75 %", 0.75)];
/// The most categories that are shown in a line.
const CATEGORIES_MAX: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment: its network, its tags and its columns.
    pub(super) file: PathBuf,
    /// Bins of each histogram, for quantiles; 0 leaves them out.
    #[arg(long, default_value_t = BINS, value_parser = clap::value_parser!(u32).range(0..=BINS_MAX as i64))]
    bins: u32,
    /// Write all numbers, those of each site among them, into this file as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Show each site below the federation.
    #[arg(long)]
    sites: bool,
}

pub(super) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let file = ExperimentFile::read(&args.file)?;
    let found = match file.secagg {
        None => statistics(&file, args.bins, stop_signal(false)?).await?,
        Some(_) => {
            let options = options(file, printer)?;
            masked_statistics(options, args.bins, stop_signal(false)?).await?
        }
    };
    let Statistics { pooled, sites, refused, strangers, .. } = &found;
    printer.line(format!("{} sites, {} rows", pooled.n_sites, pooled.n_rows));
    for (node, reason) in refused {
        printer.line(format!("{node} tells nothing: {reason}"));
    }
    for (node, reason) in strangers {
        printer.line(format!("{node} does not take part: {}", printable(reason)));
    }
    let rows = pooled.columns.iter().map(|column| row(column, &found));
    print(rows.collect(), printer);
    for column in &pooled.columns {
        if column.n_sites < pooled.n_sites {
            printer.line(format!(
                "{}: of {} sites; the others have too few values",
                printable(&column.name),
                column.n_sites
            ));
        }
    }
    if args.sites {
        for (node, site) in sites {
            printer.line(format!("{node}  {}, {} rows", site.dataset_id, site.sums.n_rows));
            print(site_rows(&site.sums), printer);
        }
    }
    if let Some(out) = &args.out {
        let text = serde_json::to_vec_pretty(&found).map_err(|e| CommandError::new(FAILED, e))?;
        std::fs::write(out, text).map_err(|error| {
            CommandError::new(FAILED, format!("{} cannot be written: {error}", out.display()))
        })?;
        printer.line(format!("written to {}", out.display()));
    }
    printer.event("result", &json!(found));
    Ok(())
}

fn print(rows: Vec<Vec<String>>, printer: &Printer) {
    let n_numbers = 3 + QUANTILES.len();
    let mut head = vec!["column", "count", "missing", "mean", "std", "min", "max"];
    head.splice(5..5, QUANTILES.map(|(name, _)| name));
    head.push("whole numbers");
    let head: Vec<String> = head.into_iter().map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = (0..n_numbers + 3).fold(Columns::new(2).left(6), |columns, _| columns.right(0));
    columns.left(0).print(&rows, printer);
}

fn row(column: &PooledColumn, found: &Statistics) -> Vec<String> {
    let quantile = |q| {
        let range = found.edges.as_ref().and_then(|edges| column.quantile(q, edges));
        match range {
            Some([Some(low), Some(high)]) => format!("{}..{}", short(low), short(high)),
            Some([None, Some(high)]) => format!("below {}", short(high)),
            Some([Some(low), None]) => format!("above {}", short(low)),
            _ => String::new(),
        }
    };
    let quantiles = QUANTILES.map(|(_, q)| quantile(q));
    let (n, missing) = (column.n, column.missing);
    let moments = (column.mean, column.std());
    cells((&column.name, n, missing), moments, quantiles, column.extremes, &column.categories)
}

fn site_rows(sums: &Sums) -> Vec<Vec<String>> {
    let row = |column: &fedwasm_protocol::ColumnSums| {
        let moments = (column.moments.mean(), column.moments.variance().sqrt());
        let (n, missing) = (column.n(), column.missing);
        let none = QUANTILES.map(|_| String::new());
        cells((&column.name, n, missing), moments, none, column.extremes, &column.categories)
    };
    sums.columns.iter().map(row).collect()
}

fn cells(
    (name, n, missing): (&str, u64, u64),
    (mean, std): (f64, f64),
    quantiles: [String; 3],
    extremes: Option<[f64; 2]>,
    categories: &[Option<u64>],
) -> Vec<String> {
    let mut row =
        vec![name.to_owned(), n.to_string(), missing.to_string(), short(mean), short(std)];
    row.extend(quantiles);
    row.extend(extremes.map_or([String::new(), String::new()], |ends| ends.map(short)));
    let told = categories.iter().enumerate().filter_map(|(at, count)| Some((at, (*count)?)));
    let told: Vec<String> = told.map(|(at, count)| format!("{at}: {count}")).collect();
    let more = told.len().saturating_sub(CATEGORIES_MAX);
    let shown = told.into_iter().take(CATEGORIES_MAX).collect::<Vec<_>>().join(", ");
    row.push(if more > 0 { format!("{shown} and {more} more") } else { shown });
    row
}

/// Five significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = (4 - size.log10().floor() as i32).clamp(0, 8) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (14.127_291, "14.127"),
            (-0.001_234_5, "-0.0012345"),
            (654.889, "654.89"),
            (123_456.7, "123457"),
            (1.5e9, "1.500e9"),
        ];
        for (value, expected) in cases {
            assert_eq!(short(value), expected);
        }
    }
}
