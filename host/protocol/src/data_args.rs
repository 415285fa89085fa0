//! Which columns of a dataset a run uses, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{DatasetId, FieldSelection, Fields, IdError, NodeId};

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
    /// Which dataset it is, where tags alone do not say it; none where the dataset is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetChoice>,
    /// The column to predict, or several.
    pub target: FieldSelection,
    /// The input columns in order; all columns but the target if none.
    #[serde(default)]
    pub inputs: Option<FieldSelection>,
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
    pub fn of(target: impl Into<FieldSelection>) -> Self {
        let (target, tags) = (target.into(), Vec::new());
        Self { tags, dataset: None, target, inputs: None, standardize: true, memory_mib: None }
    }

    /// Up to how many bytes a dataset is kept in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib().min(MEMORY_MIB_MAX) << 20
    }

    /// `memory_mib`, or its default.
    pub fn memory_mib(&self) -> u64 {
        self.memory_mib.unwrap_or(MEMORY_MIB)
    }

    /// The names of all columns that are asked for.
    pub fn names(&self) -> Vec<&String> {
        let inputs = self.inputs.iter().flat_map(FieldSelection::names);
        inputs.chain(self.target.names()).collect()
    }

    /// Reads the table of an experiment's file; mistakes go to `fields`. None
    /// without a target.
    pub fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("target") {
            fields.mistake("target", "is missing; name the column to predict");
        }
        let target = FieldSelection::take(fields, "target");
        let tags = fields.texts("tags").unwrap_or_default();
        let dataset = DatasetChoice::take(fields);
        let inputs = FieldSelection::take(fields, "inputs");
        let standardize = fields.boolean("standardize").unwrap_or(true);
        let memory_mib = fields.whole_until("memory_mib", 1, MEMORY_MIB_MAX);
        let targets: BTreeSet<&String> = target.iter().flat_map(FieldSelection::names).collect();
        let mut seen = BTreeSet::new();
        for name in inputs.iter().flat_map(FieldSelection::names) {
            if targets.contains(name) {
                let what = format!("has `{name}`, which is the target; take it out of one of them");
                fields.mistake_in("inputs", name, what);
            } else if !seen.insert(name) {
                fields.mistake_in("inputs", name, format!("has `{name}` twice"));
            }
        }
        Some(Self { tags, dataset, target: target?, inputs, standardize, memory_mib })
    }
}

/// A dataset by its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DatasetChoice {
    /// The one of this id, at every node.
    One(DatasetId),
    /// One for each of these nodes; at others the tags decide.
    ByNode(BTreeMap<NodeId, DatasetId>),
}

impl DatasetChoice {
    /// The id at a node, if it is given.
    pub fn of(&self, node: &NodeId) -> Option<&DatasetId> {
        match self {
            Self::One(id) => Some(id),
            Self::ByNode(ids) => ids.get(node),
        }
    }

    /// Takes `dataset`: an id, or a table of ids by node.
    fn take(fields: &mut Fields) -> Option<Self> {
        fn id<T: FromStr<Err = IdError>>(text: &str) -> Result<T, String> {
            text.parse().map_err(|error: IdError| error.to_string())
        }
        let taken = match fields.value("dataset")? {
            toml::Value::String(text) => id(&text).map(Self::One),
            toml::Value::Table(table) => {
                let pair = |(node, value): (String, toml::Value)| {
                    let text = value.as_str().ok_or_else(|| format!("`{node}` is not a text"))?;
                    Ok((id(&node)?, id(text)?))
                };
                table.into_iter().map(pair).collect::<Result<_, String>>().map(Self::ByNode)
            }
            _ => Err("neither an id nor a table of ids by node".to_owned()),
        };
        match taken {
            Ok(taken) => Some(taken),
            Err(error) => {
                fields.mistake("dataset", format!(": {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> Result<DataArgs, String> {
        let mut fields = Fields::new("data", toml::from_str(text).unwrap());
        let data = DataArgs::take(&mut fields);
        let mistakes = fields.finish();
        if mistakes.is_empty() { Ok(data.unwrap()) } else { Err(crate::sentences(&mistakes, "\n")) }
    }

    #[test]
    fn a_dataset_can_be_named_for_all_nodes_or_for_each() {
        let of = |text: &str, node: &str| {
            let data = take(&format!("target = \"y\"\n{text}")).unwrap();
            data.dataset?.of(&node.parse().unwrap()).map(ToString::to_string)
        };
        assert_eq!(of("", "a"), None);
        assert_eq!(of("dataset = \"d-1\"", "a").as_deref(), Some("d-1"));
        assert_eq!(of("dataset = { a = \"d-2\" }", "a").as_deref(), Some("d-2"));
        assert_eq!(of("dataset = { a = \"d-2\" }", "b"), None);
        for wrong in ["dataset = 3", "dataset = \"a b\"", "dataset = { a = 1 }"] {
            let error = take(&format!("target = \"y\"\n{wrong}")).unwrap_err();
            assert!(error.contains("`data.dataset`"), "{error}");
        }
        // Data arguments without a dataset are written as before.
        assert!(!serde_json::to_string(&DataArgs::of("y")).unwrap().contains("dataset"));
    }

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
            assert!(mistake.message.starts_with(expected), "{mistake}");
        }
    }
}
