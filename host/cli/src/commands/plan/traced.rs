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
    if !traced.values_sha256.is_empty() {
        printer.line("SHA-256 of initial values");
    }
    for (name, sha256) in &traced.values_sha256 {
        printer.line(format!("  {name}: {sha256}"));
    }
}

/// Lines of a graph that are listed as changed.
const LINES_MAX: usize = 40;

/// The changes of a traced plan against another version, in words: first those that no line tells, then
/// the lines. The author's words and the numbers of calls do not count.
pub(crate) fn differences(old: &Inspection, new: &Inspection) -> Vec<String> {
    let (old, new) = match (&old.traced, &new.traced) {
        (Some(old), Some(new)) => (old, new),
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec!["it is a traced plan now".into()],
        (Some(_), None) => return vec!["it is not a traced plan any more".into()],
    };
    let mut found: Vec<String> = Vec::new();
    if old.values_sha256 != new.values_sha256 {
        found.push("initial values have changed".into());
    }
    let (old, new) = (parts_of(&old.text), parts_of(&new.text));
    let mut lines = Vec::new();
    for part in old.keys().chain(new.keys().filter(|part| !old.contains_key(*part))) {
        let of = |parts: &Parts| parts.get(part).cloned().unwrap_or_default();
        let (old, new) = (of(&old), of(&new));
        // With their numbers first: of two equal calls the one that has moved is not there any more.
        let (left, added) =
            (without(&old, &new, str::to_owned), without(&new, &old, str::to_owned));
        let gone = without(&left, &added, unnumbered);
        let come = without(&added, &left, unnumbered);
        let moved = left.len() > gone.len();
        if moved && gone.is_empty() && come.is_empty() {
            found.push(format!("{part}: its calls are connected in another way"));
        } else if moved {
            found.push(format!("{part}: its calls are numbered anew and must be read again"));
        } else if left.is_empty() && added.is_empty() && old != new {
            found.push(format!("{part}: its lines are in another order"));
        }
        lines.extend(gone.iter().map(|line| format!("{part}: gone: {line}")));
        lines.extend(come.iter().map(|line| format!("{part}: new: {line}")));
    }
    if let Some(more) = lines.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} more lines of the graph"));
    }
    found.extend(lines);
    found
}

/// The lines that `other` has not as often, where lines of the same key are alike.
fn without(of: &[String], other: &[String], key: impl Fn(&str) -> String) -> Vec<String> {
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for line in other {
        *left.entry(key(line)).or_default() += 1;
    }
    let is_left = |line: &&String| match left.get_mut(&key(line)) {
        Some(n) if *n > 0 => {
            *n -= 1;
            false
        }
        _ => true,
    };
    of.iter().filter(is_left).cloned().collect()
}

/// Lines by the part of a graph that they are in.
type Parts = BTreeMap<String, Vec<String>>;

/// The lines of a graph without the author's words.
fn parts_of(text: &str) -> Parts {
    let mut part = String::new();
    let mut parts = Parts::new();
    for line in text.lines() {
        let line = line.split(" ; ").next().unwrap_or_default().trim_end();
        if line.is_empty() {
            continue;
        }
        if !line.starts_with(' ') {
            part = match line {
                "initial values" => line.to_owned(),
                _ => line.split(' ').next().unwrap_or_default().to_owned(),
            };
        }
        parts.entry(part.clone()).or_default().push(line.trim_start().to_owned());
    }
    parts
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

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_artifact::Component;
    use fedwasm_artifact::traced::NEWEST;
    use fedwasm_protocol::Digest;

    /// The changes from a text to another one, where each has one initial value.
    fn listed(old: (&str, &[u8]), new: (&str, &[u8])) -> Vec<String> {
        let runtime = Component::admit(NEWEST.to_vec()).unwrap();
        let inspection = |(text, value): (&str, &[u8])| {
            let mut inspection = runtime.inspect();
            inspection.traced = Some(TracedInspection {
                graph_sha256: Digest::of(b""),
                graph_bytes: 0,
                runtime_sha256: Digest::of(b""),
                runtime_version: None,
                calls: BTreeMap::new(),
                facts: Vec::new(),
                values_sha256: BTreeMap::from([("x".into(), Digest::of(value))]),
                text: text.into(),
            });
            inspection
        };
        differences(&inspection(old), &inspection(new))
    }

    const OLD: &str = "plan a 1: regression
  ; words
members
  a = Linear()
  b = ReLU()
training_step
  %0 = input x
  %1 = tanh(%0)
  %2 = relu(%1)
  %3 = add(%1, %2)
  return loss = %3 ; words
";

    #[test]
    fn changes_that_no_line_tells_are_said_before_the_lines() {
        let none: [&str; 0] = [];
        assert_eq!(listed((OLD, b"1"), (&OLD.replace("words", "others"), b"1")), none);
        assert_eq!(listed((OLD, b"1"), (OLD, b"2")), ["initial values have changed"]);
        let rewired = OLD.replace("add(%1, %2)", "add(%2, %1)");
        let connected = "training_step: its calls are connected in another way";
        assert_eq!(listed((OLD, b"1"), (&rewired, b"1")), [connected]);
        // Other parts have other changes.
        let also = rewired.replace("a = Linear()", "a = Linear(), frozen");
        assert_eq!(
            listed((OLD, b"1"), (&also, b"1")),
            [connected, "members: gone: a = Linear()", "members: new: a = Linear(), frozen"]
        );
        // So has the part itself.
        let anew = "training_step: its calls are numbered anew and must be read again";
        let also = rewired.replace("tanh", "sigmoid");
        assert_eq!(
            listed((OLD, b"1"), (&also, b"1")),
            [anew, "training_step: gone: %1 = tanh(%0)", "training_step: new: %1 = sigmoid(%0)"]
        );
        let in_place = OLD.replace("tanh", "sigmoid");
        assert_eq!(listed((OLD, b"1"), (&in_place, b"1")).len(), 2);
        let reordered = OLD.replace("  a = Linear()\n  b = ReLU()", "  b = ReLU()\n  a = Linear()");
        assert_eq!(
            listed((OLD, b"1"), (&reordered, b"1")),
            ["members: its lines are in another order"]
        );
    }

    #[test]
    fn long_lists_of_lines_hide_no_other_change() {
        let more: String = (0..50).map(|n| format!("  m{n} = ReLU()\n")).collect();
        let new = OLD.replace("members\n", &format!("members\n{more}"));
        let new = new.replace("add(%1, %2)", "add(%2, %1)");
        let found = listed((OLD, b"1"), (&new, b"1"));
        assert_eq!(found[0], "training_step: its calls are connected in another way");
        assert_eq!(found.last().unwrap(), "and 10 more lines of the graph");
    }
}
