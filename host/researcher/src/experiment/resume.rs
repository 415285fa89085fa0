//! Checks that a breakpoint belongs to the experiment that resumes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fedwasm_protocol::{Digest, NodeId};
use fedwasm_record::{Error as RecordError, Keep, OWN};
use serde_json::{Value, json};

use crate::{
    Breakpoint, Difference, Error, Event, Events, ExperimentFile, History, Job, Selection,
    load_history,
};

/// Returns the breakpoint to resume from, if that is wanted and there is one. Refuses to write over
/// an earlier run, unless `force` says so.
pub(crate) fn find_breakpoint(
    dir: &Path,
    (resume, force): (bool, bool),
    events: Events<'_>,
) -> Result<Option<Breakpoint>, Error> {
    if resume {
        let newest = Breakpoint::newest(dir, |warning| events(Event::Warning(warning)))?;
        let done = load_history(dir).map_or(0, |history| history.rounds.len());
        if newest.is_none() && done > 0 {
            let reason = format!(
                "it holds {done} rounds but no breakpoint (`save_breakpoints` was false); choose \
                 another directory, or start from the beginning with --force"
            );
            return Err(RecordError::Breakpoint { path: dir.to_owned(), reason }.into());
        }
        return Ok(newest);
    }
    let n_rounds = load_history(dir).map_or(0, |history| history.rounds.len());
    let reason = match (Breakpoint::exist(dir), n_rounds) {
        (false, 0) => return Ok(None),
        _ if force => {
            Breakpoint::clear(dir)?;
            return Ok(None);
        }
        (true, _) => {
            "it holds breakpoints of an earlier run; continue with --resume, choose another \
             directory, or overwrite it with --force"
                .to_owned()
        }
        (false, n_rounds) => {
            let rounds = if n_rounds == 1 { "round" } else { "rounds" };
            format!(
                "it holds an earlier run of {n_rounds} {rounds}; choose another directory, or \
                 overwrite it with --force"
            )
        }
    };
    Err(RecordError::Breakpoint { path: dir.to_owned(), reason }.into())
}

/// The arguments that results follow from, by section. `own` is the name of an aggregator of the
/// caller's own, which takes the place of the file's, `params` the SHA-256 of parameters that were
/// given to start from.
pub(crate) fn arguments(
    file: &ExperimentFile,
    own: Option<&str>,
    params: Option<&Digest>,
) -> BTreeMap<String, Value> {
    let of = |value: serde_json::Result<Value>| value.unwrap_or_default();
    // Elsewhere it decides whether a round counts, not which nodes take part.
    let is_random = matches!(file.strategy.selection, Selection::Random { .. });
    let drawn = file.strategy.min_nodes.filter(|_| is_random);
    let aggregator = match own {
        Some(name) => json!({ OWN: name }),
        None => of(serde_json::to_value(&file.aggregator)),
    };
    let arguments = [
        ("data", of(serde_json::to_value(&file.data))),
        ("training", of(serde_json::to_value(&file.training))),
        ("training.lr_schedule", of(serde_json::to_value(&file.lr_schedule))),
        ("model", of(serde_json::to_value(&file.model))),
        ("aggregator", aggregator),
        ("strategy.name", of(serde_json::to_value(&file.strategy.selection))),
        ("strategy.min_nodes", drawn.map_or(Value::Null, Value::from)),
        ("secagg", of(serde_json::to_value(&file.secagg))),
        ("privacy", of(serde_json::to_value(&file.privacy))),
        ("strict", Value::from(file.strict)),
        ("params", of(serde_json::to_value(params))),
    ]
    .map(|(section, value)| (section.to_owned(), value));
    let only = (!file.init_only.is_empty()).then(|| of(serde_json::to_value(&file.init_only)));
    arguments.into_iter().chain(only.map(|only| ("init_only".to_owned(), only))).collect()
}

/// Checks that a breakpoint is of this experiment: of the same plan, and of
/// arguments that give the same results. Rounds, deadlines and addresses may
/// differ. Returns the differences, which are none unless `change` lets
/// training arguments, aggregator and strategy be others from here on.
pub(crate) fn check_same(
    breakpoint: &Breakpoint,
    plan: (&Path, Digest),
    ours: &BTreeMap<String, Value>,
    dir: &Path,
    change: bool,
) -> Result<Vec<Difference>, Error> {
    let other = |what: String| {
        let reason = format!("its breakpoint belongs to another experiment: {what}");
        Err(RecordError::Breakpoint { path: dir.to_owned(), reason }.into())
    };
    let (path, sha256) = plan;
    if breakpoint.plan_sha256 != sha256 {
        let theirs = breakpoint.plan_sha256;
        return other(format!("its plan is {theirs}, {} is {sha256}", path.display()));
    }
    let differences = differences(&breakpoint.arguments, ours);
    let (may, fixed): (Vec<&Difference>, Vec<&Difference>) =
        differences.iter().partition(|difference| may_change(&difference.name));
    match (&fixed[..], &may[..], change) {
        ([], [], _) | ([], _, true) => Ok(differences),
        ([], _, false) => {
            other(sentence(&may) + "\nhelp: --change continues with the values of the file")
        }
        (fixed, ..) => other(sentence(fixed)),
    }
}

/// Checks that the best parameters so far are known if they are to be the result.
pub(crate) fn check_keep(breakpoint: &Breakpoint, keep: Keep, dir: &Path) -> Result<(), Error> {
    let is_known = breakpoint.round == 0 || breakpoint.best.is_some();
    if keep == Keep::Last || is_known {
        return Ok(());
    }
    let reason = "`keep` is \"best\" now, and the parameters of its earlier rounds were not kept";
    Err(RecordError::Breakpoint { path: dir.to_owned(), reason: reason.into() }.into())
}

/// Tells of nodes that were to take part and are not among those that the breakpoint has.
pub(crate) fn tell_left_out(history: &History, job: &Job, events: Events<'_>) {
    let known: BTreeSet<NodeId> = job.known();
    for node in history.expected.iter().filter(|node| !known.contains(*node)) {
        let why = history.missing().remove(node).unwrap_or_else(|| "the reason is unknown".into());
        let reason = format!(
            "it no longer takes part in this experiment: {why}; an experiment that is resumed asks \
             it again"
        );
        events(Event::Dropped { node: node.clone(), round: 0, reason });
    }
}

/// Checks that a plan that asks how many rounds there are is told the same as before.
pub(crate) fn check_rounds(
    history: &History,
    file: &ExperimentFile,
    job: &Job,
    change: bool,
) -> Result<(), Error> {
    let mut arguments = job.training_plan().metadata().arguments.iter();
    let asks = arguments.any(|argument| argument.name == "rounds");
    let (was, is) = (history.rounds_max, file.rounds);
    if !asks || change || history.rounds.is_empty() || was == is {
        return Ok(());
    }
    let reason = format!(
        "`rounds` was {was}, now it is {is}, and the plan asks for it\nhelp: --change continues \
         with the values of the file"
    );
    Err(Error::Change { reason })
}

/// Whether an argument may be another one from some round on. The seed may not: other rows would
/// be held out, and those of before be trained on.
pub(crate) fn may_change(name: &str) -> bool {
    let section = name.split('.').next().unwrap_or_default();
    ["training", "aggregator", "strategy"].contains(&section) && name != "training.random_seed"
}

/// Names the differences, one after the other.
pub(crate) fn sentence(differences: &[&Difference]) -> String {
    let all = differences
        .iter()
        .map(|Difference { name, a, b }| format!("`{name}` was {a}, now it is {b}"));
    all.collect::<Vec<_>>().join("; ")
}

/// The differences between two sets of arguments, value by value.
pub(crate) fn differences(
    theirs: &BTreeMap<String, Value>,
    ours: &BTreeMap<String, Value>,
) -> Vec<Difference> {
    let sections: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let mut found = Vec::new();
    for section in sections {
        let of = |arguments: &BTreeMap<String, Value>| {
            arguments.get(section).cloned().unwrap_or_default()
        };
        collect(section, &of(theirs), &of(ours), &mut found);
    }
    found
}

fn collect(name: &str, theirs: &Value, ours: &Value, found: &mut Vec<Difference>) {
    if let (Value::Object(theirs), Value::Object(ours)) = (theirs, ours)
        // Settings of two methods have nothing to do with each other.
        && (name != "aggregator" || theirs.keys().eq(ours.keys()))
    {
        let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        let value = |object: &serde_json::Map<String, Value>, key: &str| {
            object.get(key).cloned().unwrap_or_default()
        };
        for key in names {
            // Arguments of plans have their section in their name.
            let is_whole = key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            let name = if is_whole { key.clone() } else { format!("{name}.{key}") };
            collect(&name, &value(theirs, key), &value(ours, key), found);
        }
        return;
    }
    let shown = |value: &Value| match value {
        Value::Null => "not given".to_owned(),
        Value::Object(object) if name == "aggregator" && object.contains_key(OWN) => {
            let own = object.get(OWN).map(Value::to_string).unwrap_or_default();
            format!("{own} of a custom program (`Experiment::start_with`)")
        }
        value => value.to_string(),
    };
    if theirs != ours {
        found.push(Difference { name: name.to_owned(), a: shown(theirs), b: shown(ours) });
    }
}
