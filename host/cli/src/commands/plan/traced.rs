//! A traced plan in words: its runtime, its calls, the facts that are sure of it, and its graph.

use std::collections::BTreeMap;

use fedwasm_artifact::Inspection;
use fedwasm_artifact::traced::TracedInspection;
use serde_json::{Value, json};

use crate::printer::Printer;

/// The lines of a traced plan: a heading, empty where the one above still holds, and a text.
pub(crate) fn lines(inspection: &Inspection) -> Vec<(&'static str, String)> {
    let Some(traced) = &inspection.traced else { return Vec::new() };
    let calls: Vec<String> = traced.calls.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let mut lines = vec![
        ("traced", format!("graph sha256:{}, {} bytes", traced.graph_sha256, traced.graph_bytes)),
        ("runtime", runtime(traced)),
        ("", trust(traced).to_owned()),
        ("calls", calls.join(", ")),
    ];
    for (nth, fact) in traced.facts.iter().enumerate() {
        lines.push((if nth == 0 { "sure" } else { "" }, fact.clone()));
    }
    lines
}

/// The runtime, by the release that it belongs to or its digest.
pub(crate) fn runtime(traced: &TracedInspection) -> String {
    match traced.runtime_version {
        Some(version) => format!("{version}, known (sha256:{})", traced.runtime_sha256),
        None => format!("unknown (sha256:{})", traced.runtime_sha256),
    }
}

/// How far the graph tells what runs.
fn trust(traced: &TracedInspection) -> &'static str {
    match traced.runtime_version {
        Some(_) => "it does the graph and nothing else: all that runs is below",
        None => "this fedwasm does not know it: it need not do what the graph says",
    }
}

/// Prints the graph, call by call.
pub(crate) fn print_graph(inspection: &Inspection, printer: &Printer) {
    let Some(traced) = &inspection.traced else { return };
    printer.line("");
    for line in traced.text.lines() {
        printer.line(line);
    }
}

/// Lines of a graph that are listed as changed.
const LINES_MAX: usize = 40;

/// The changes of a traced plan against another version, in words. The author's words and the numbers of
/// calls do not count.
pub(crate) fn differences(old: &Inspection, new: &Inspection) -> Vec<String> {
    let text = |of: &Inspection| of.traced.as_ref().map(|traced| traced.text.clone());
    let (old, new) = match (text(old), text(new)) {
        (Some(old), Some(new)) => (old, new),
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec!["it is a traced plan now".into()],
        (Some(_), None) => return vec!["it is not a traced plan any more".into()],
    };
    let (old, new) = (lines_of(&old), lines_of(&new));
    let mut found: Vec<String> = Vec::new();
    for (word, of, other) in [("gone", &old, &new), ("new", &new, &old)] {
        let mut left: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for (part, line) in other {
            *left.entry((part, unnumbered(line))).or_default() += 1;
        }
        for (part, line) in of {
            match left.get_mut(&(part.as_str(), unnumbered(line))) {
                Some(n) if *n > 0 => *n -= 1,
                _ => found.push(format!("{part}: {word}: {line}")),
            }
        }
    }
    if found.is_empty() && old != new {
        found.push("the calls of the graph are connected in another way".into());
    }
    if let Some(more) = found.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        found.truncate(LINES_MAX);
        found.push(format!("and {more} more lines of the graph"));
    }
    found
}

/// The lines of a graph without the author's words, each with the part that it is in.
fn lines_of(text: &str) -> Vec<(String, String)> {
    let mut part = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = line.split(" ; ").next().unwrap_or_default().trim_end();
        if !line.starts_with(' ') {
            part = line.split(' ').next().unwrap_or_default().to_owned();
        }
        lines.push((part.clone(), line.trim_start().to_owned()));
    }
    lines
}

/// A line without the numbers of its calls.
fn unnumbered(line: &str) -> String {
    let mut parts = line.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push('%');
        text += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    text
}

/// The runtime for programs; null if the plan is not traced.
pub(crate) fn runtime_event(inspection: &Inspection) -> Value {
    inspection.traced.as_ref().map_or(Value::Null, |traced| {
        json!({
            "graph_sha256": traced.graph_sha256, "runtime_sha256": traced.runtime_sha256,
            "runtime_version": traced.runtime_version,
        })
    })
}
