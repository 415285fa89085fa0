//! The arguments of a run, by section, and the differences between two runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name in the section `aggregator` of an aggregator that is not from the file.
pub const OWN: &str = "own";

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Dotted, such as `training.epochs`.
    pub name: String,
    /// In the first run, or before a change.
    pub a: String,
    /// In the second run, or after the change.
    pub b: String,
}

/// The method of a section `aggregator`, without its settings.
pub fn method(aggregator: Option<&Value>) -> Option<String> {
    match aggregator? {
        Value::String(name) => Some(name.clone()),
        Value::Object(object) => match object.iter().next()? {
            (key, Value::String(name)) if key == OWN => Some(format!("{OWN} {name}")),
            (name, _) => Some(name.clone()),
        },
        _ => None,
    }
}

/// The differences between two sets of arguments: dotted name, and both values.
pub fn differences(
    a: &BTreeMap<String, Value>,
    b: &BTreeMap<String, Value>,
) -> Vec<(String, String, String)> {
    let (mut of_a, mut of_b) = (BTreeMap::new(), BTreeMap::new());
    for (arguments, flat) in [(a, &mut of_a), (b, &mut of_b)] {
        arguments.iter().for_each(|(section, value)| flatten(section.clone(), value, flat));
    }
    let names: BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    let shown = |value: Option<&String>| value.cloned().unwrap_or_else(|| "not given".into());
    names
        .into_iter()
        .filter(|name| of_a.get(*name) != of_b.get(*name))
        .map(|name| (name.clone(), shown(of_a.get(name)), shown(of_b.get(name))))
        .collect()
}

fn flatten(name: String, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            // Keys of optimizer and model have their section in front already.
            let key = key.strip_prefix("optimizer.").or(key.strip_prefix("model.")).unwrap_or(key);
            flatten(format!("{name}.{key}"), value, into);
        }),
        // As if it were not there.
        Value::Null => {}
        other => drop(into.insert(name, other.to_string())),
    }
}
