//! Which columns of a dataset a run uses, and how.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Fields, Selection};

/// How many MiB a dataset may have before it is read block by block, if nothing
/// else is said.
pub const MEMORY_MIB: u64 = 256;
/// The most that `memory_mib` may say.
pub const MEMORY_MIB_MAX: u64 = 4_096;

/// Which columns of a dataset a run uses, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataArgs {
    /// Tags that the dataset must have; empty where the dataset is known.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The column to predict, or several.
    pub target: Selection,
    /// The input columns in order; all columns but the target if none.
    #[serde(default)]
    pub inputs: Option<Selection>,
    /// Whether inputs are scaled to mean 0 and standard deviation 1, fitted
    /// on the training part of each node's data. Default true.
    #[serde(default = "yes")]
    pub standardize: bool,
    /// Up to how many MiB a dataset is kept in memory and shuffled as a whole;
    /// a larger one is read and shuffled block by block. Part of the result:
    /// the order of rows depends on it. None means [`MEMORY_MIB`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
}

fn yes() -> bool {
    true
}

impl DataArgs {
    /// The columns of `target`, all columns but it as inputs, scaled.
    pub fn of(target: impl Into<Selection>) -> Self {
        let (target, tags) = (target.into(), Vec::new());
        Self { tags, target, inputs: None, standardize: true, memory_mib: None }
    }

    /// Up to how many bytes a dataset is kept in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib().min(MEMORY_MIB_MAX) << 20
    }

    /// `memory_mib`, or what it is if nothing is said.
    pub fn memory_mib(&self) -> u64 {
        self.memory_mib.unwrap_or(MEMORY_MIB)
    }

    /// The names of all columns that are asked for.
    pub fn names(&self) -> Vec<&String> {
        let inputs = self.inputs.iter().flat_map(Selection::names);
        inputs.chain(self.target.names()).collect()
    }

    /// Reads the table of an experiment's file; mistakes go to `fields`. None
    /// without a target.
    pub fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("target") {
            fields.mistake("target", "is missing; name the column to predict");
        }
        let target = Selection::take(fields, "target");
        let tags = fields.texts("tags").unwrap_or_default();
        let inputs = Selection::take(fields, "inputs");
        let standardize = fields.boolean("standardize").unwrap_or(true);
        let memory_mib = fields.whole_until("memory_mib", 1, MEMORY_MIB_MAX);
        let targets: BTreeSet<&String> = target.iter().flat_map(Selection::names).collect();
        let mut seen = BTreeSet::new();
        for name in inputs.iter().flat_map(Selection::names) {
            if targets.contains(name) {
                let what = format!("has `{name}`, which is the target; take it out of one of them");
                fields.mistake("inputs", what);
            } else if !seen.insert(name) {
                fields.mistake("inputs", format!("has `{name}` twice"));
            }
        }
        Some(Self { tags, target: target?, inputs, standardize, memory_mib })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_used_once() {
        for (text, expected) in [
            ("target = 'y'\ninputs = ['a', 'y']", "`data.inputs` has `y`, which is the target"),
            (
                "target = ['y', 'z']\ninputs = { a = ['z'], b = ['c'] }",
                "`data.inputs` has `z`, which is the target",
            ),
            ("target = 'y'\ninputs = ['a', 'b', 'a']", "`data.inputs` has `a` twice"),
        ] {
            let mut fields = Fields::new("data", text.parse().unwrap());
            DataArgs::take(&mut fields);
            let [mistake] = &fields.finish()[..] else { panic!("one mistake: {text}") };
            assert!(mistake.starts_with(expected), "{mistake}");
        }
    }
}
