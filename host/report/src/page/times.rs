//! Where the time went.

use fedwasm_record::{History, RoundTiming};
use maud::{Markup, html};

use super::numbers::ms;
use super::table::{self, Column};

pub(super) fn section(history: &History) -> Markup {
    let parts = vec![
        ("Agreeing upon keys of secure sums", sum(history, |timing| timing.agree_ms)),
        ("Storing parameters, sending requests", sum(history, |timing| timing.send_ms)),
        ("Nodes: compiling the plan, reading data", sum(history, |timing| timing.prepare_ms)),
        ("Nodes: training", sum(history, |timing| timing.train_ms)),
        ("Nodes: uploading", sum(history, |timing| timing.upload_ms)),
        ("Fetching updates", sum(history, |timing| timing.download_ms)),
        ("Unmasking secure sums", sum(history, |timing| timing.unmask_ms)),
        ("Aggregating", sum(history, |timing| timing.aggregate_ms)),
        ("Scoring the aggregated model at the nodes", sum(history, |timing| timing.validate_ms)),
    ];
    let notes = "Sums over all rounds. For work that nodes do at the same time, the slowest node \
                 counts; such parts may overlap, so shares need not add up to 100 %.";
    time_table(history, parts, "Everything else, such as waiting for messages", notes)
}

/// Shares of the whole time; `rest` is the time outside all parts.
pub(super) fn time_table(
    history: &History,
    mut parts: Vec<(&str, f64)>,
    rest: &'static str,
    notes: &str,
) -> Markup {
    let wall_ms = sum(history, |timing| timing.wall_ms);
    let known_ms: f64 = parts.iter().map(|part| part.1).sum();
    parts.push((rest, wall_ms - known_ms));
    let row = |(name, part_ms): &(&str, f64)| {
        let share = format!("{:.1}", (100.0 * part_ms / wall_ms).clamp(0.0, 100.0));
        html! {
            tr {
                th scope="row" { (name) }
                td.n { (ms(*part_ms)) }
                td.n { (share) " %" }
                td.wide { (bar(&share)) }
            }
        }
    };
    let rows: Vec<Markup> = parts.iter().filter(|part| part.1 > 0.0).map(row).collect();
    let columns =
        [Column::Text("Part"), Column::Number("ms in all"), Column::Number("Share"), Column::Drawn];
    table::section("Where time went", notes, &columns, &rows)
}

/// Drawn, not a background: printers leave those out.
fn bar(share: &str) -> Markup {
    html! {
        svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(share) height="10" fill="#0072b2" {}
        }
    }
}

pub(super) fn sum(history: &History, part: fn(&RoundTiming) -> f64) -> f64 {
    history.rounds.iter().map(|round| part(&round.timing)).sum()
}
