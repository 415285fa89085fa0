//! The metrics that have a column.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fedwasm_protocol::{Evaluation, Metric};

/// The most metrics of a table; a reply may hold 192.
pub(super) const METRICS_MAX: usize = 12;

/// The metrics that have a column.
pub(crate) struct Chosen<'a> {
    pub(crate) names: Vec<&'a str>,
    pub(crate) n_left_out: usize,
}

/// Chooses those that most evaluations have, so that one node with odd names
/// does not crowd out the others; of equals the loss, then by name.
pub(crate) fn metrics<'a>(evaluations: impl IntoIterator<Item = &'a Evaluation>) -> Chosen<'a> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let names = evaluations.into_iter().flat_map(|evaluation| evaluation.metrics.keys());
    for name in names.filter(|name| !Metric::is_error(name)) {
        *counts.entry(name).or_default() += 1;
    }
    let mut names: Vec<&str> = counts.keys().copied().collect();
    names.sort_by_key(|name| (Reverse(counts[name]), *name != "loss"));
    let n_left_out = names.len().saturating_sub(METRICS_MAX);
    names.truncate(METRICS_MAX);
    Chosen { names, n_left_out }
}

pub(super) fn left_out(chosen: &Chosen<'_>) -> String {
    match chosen.n_left_out {
        0 => String::new(),
        n => format!("{n} further metrics are not shown. "),
    }
}

pub(crate) fn metric(evaluation: Option<&Evaluation>, name: &str) -> Option<f64> {
    evaluation?.metrics.get(name).copied()
}
