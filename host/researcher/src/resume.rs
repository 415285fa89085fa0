//! Whether a breakpoint is of the experiment that is to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fedwasm_artifact::Component;
use serde_json::Value;

use crate::{Breakpoint, Error, Event, Events, ExperimentFile, Selection, load_history};

/// Returns the breakpoint to go on from, if that is wanted and there is one.
pub(crate) fn find_breakpoint(
    dir: &Path,
    resume: bool,
    events: Events<'_>,
) -> Result<Option<Breakpoint>, Error> {
    if resume {
        let newest = Breakpoint::newest(dir, |warning| events(Event::Warning(warning)))?;
        let done = load_history(dir).map_or(0, |history| history.rounds.len());
        if newest.is_none() && done > 0 {
            let reason = format!(
                "it holds {done} rounds but no breakpoint (`save_breakpoints` was false); choose \
                 another directory, or run without --resume to start again"
            );
            return Err(Error::Breakpoint { path: dir.to_owned(), reason });
        }
        return Ok(newest);
    }
    match Breakpoint::exist(dir) {
        true => {
            let reason = "it holds breakpoints of an earlier run; go on with --resume, or choose \
                          another directory";
            Err(Error::Breakpoint { path: dir.to_owned(), reason: reason.into() })
        }
        false => Ok(None),
    }
}

/// The arguments that results follow from, by section.
pub(crate) fn arguments(file: &ExperimentFile) -> BTreeMap<String, Value> {
    let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
    // Elsewhere it decides whether a round counts, not who takes part.
    let is_random = matches!(file.strategy.selection, Selection::Random { .. });
    let drawn = is_random.then_some(file.strategy.min_nodes);
    [
        ("data", json(serde_json::to_value(&file.data))),
        ("training", json(serde_json::to_value(&file.training))),
        ("model", json(serde_json::to_value(&file.model))),
        ("aggregator", json(serde_json::to_value(&file.aggregator))),
        ("strategy.name", json(serde_json::to_value(&file.strategy.selection))),
        ("strategy.min_nodes", drawn.map_or(Value::Null, Value::from)),
        ("secagg", json(serde_json::to_value(&file.secagg))),
        ("strict", Value::from(file.strict)),
    ]
    .map(|(section, value)| (section.to_owned(), value))
    .into()
}

/// Checks that a breakpoint is of this experiment: of the same plan, and of
/// arguments that give the same results. Rounds, deadlines and addresses may
/// be others.
pub(crate) fn check_same(
    breakpoint: &Breakpoint,
    file: &ExperimentFile,
    component: &Component,
    dir: &Path,
) -> Result<(), Error> {
    let other = |what: String| {
        let reason = format!("its breakpoint is of another experiment: {what}");
        Err(Error::Breakpoint { path: dir.to_owned(), reason })
    };
    if breakpoint.plan_sha256 != component.digest() {
        let (theirs, ours) = (breakpoint.plan_sha256, component.digest());
        return other(format!("its plan is {theirs}, {} is {ours}", file.plan.display()));
    }
    let ours = arguments(file);
    for (section, theirs) in &breakpoint.arguments {
        let ours = ours.get(section).cloned().unwrap_or_default();
        if let Some(difference) = difference(section, theirs, &ours) {
            return other(difference);
        }
    }
    Ok(())
}

/// Names the first value that differs.
fn difference(name: &str, theirs: &Value, ours: &Value) -> Option<String> {
    if let (Value::Object(theirs), Value::Object(ours)) = (theirs, ours) {
        let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        let value = |object: &serde_json::Map<String, Value>, key: &str| {
            object.get(key).cloned().unwrap_or_default()
        };
        let inner = |key: &&String| {
            let name = if key.contains('.') { (*key).clone() } else { format!("{name}.{key}") };
            difference(&name, &value(theirs, key), &value(ours, key))
        };
        return names.iter().find_map(inner);
    }
    let shown = |value: &Value| match value {
        Value::Null => "not given".to_owned(),
        value => value.to_string(),
    };
    (theirs != ours).then(|| format!("`{name}` was {}, now it is {}", shown(theirs), shown(ours)))
}
