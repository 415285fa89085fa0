//! Which columns of a dataset a run uses, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    Augment, ColumnKind, ColumnRule, ColumnRules, DatasetId, FieldSelection, Fields, IdError,
    MISSING_WORDS, NodeId, RULE_TEXT_BYTES_MAX, Split, Standardize, WORDS_MAX,
};

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
    /// Where the scales of inputs come from, to mean 0 and standard deviation 1. Default: the
    /// training part of each node's data.
    #[serde(default)]
    pub standardize: Standardize,
    /// How columns become numbers; those without a rule are read as numbers.
    #[serde(default, skip_serializing_if = "ColumnRules::is_empty")]
    pub columns: ColumnRules,
    /// The words that mean that a value is missing, in columns with a rule. None means
    /// [`MISSING_WORDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
    /// Up to how many MiB a dataset is kept in memory and shuffled as a whole;
    /// a larger one is read and shuffled block by block. Part of the result:
    /// the order of rows depends on it. None means [`MEMORY_MIB`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Which rows are held out.
    #[serde(default, skip_serializing_if = "Split::is_random")]
    pub split: Split,
    /// How training rows are changed each time they are given.
    #[serde(default, skip_serializing_if = "Augment::is_none")]
    pub augment: Augment,
}

impl DataArgs {
    /// The columns of `target`, all columns but it as inputs, scaled.
    pub fn of(target: impl Into<FieldSelection>) -> Self {
        Self {
            tags: Vec::new(),
            dataset: None,
            target: target.into(),
            inputs: None,
            standardize: Standardize::Site,
            columns: ColumnRules::default(),
            missing: None,
            memory_mib: None,
            split: Split::Random,
            augment: Augment::default(),
        }
    }

    /// Up to how many bytes a dataset is kept in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib().min(MEMORY_MIB_MAX) << 20
    }

    /// `memory_mib`, or its default.
    pub fn memory_mib(&self) -> u64 {
        self.memory_mib.unwrap_or(MEMORY_MIB)
    }

    /// How many classes the first target has, at least 2, if its rule lists them.
    pub fn n_classes(&self) -> Option<usize> {
        let target = self.target.names().into_iter().next()?;
        self.columns.get(target)?.n_categories().map(|n| n.max(2))
    }

    /// Whether a rule leaves a column out.
    pub fn is_dropped(&self, column: &str) -> bool {
        self.columns.get(column).is_some_and(|rule| rule.kind == ColumnKind::Drop)
    }

    /// The words that mean that a value is missing, in columns with a rule.
    pub fn missing_words(&self) -> Vec<String> {
        self.missing.clone().unwrap_or_else(|| MISSING_WORDS.map(str::to_owned).to_vec())
    }

    /// Whether inputs are scaled by the sums of all sites.
    pub fn is_scaled_by_all(&self) -> bool {
        self.standardize == Standardize::Federation
    }

    /// The names of all columns that are asked for, that of the split among them.
    pub fn names(&self) -> Vec<&String> {
        let inputs = self.inputs.iter().flat_map(FieldSelection::names);
        inputs.chain(self.target.names()).chain(self.split.column()).collect()
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
        let standardize = fields.value("standardize").map(Standardize::try_from);
        let standardize = standardize.unwrap_or(Ok(Standardize::Site)).unwrap_or_else(|what| {
            fields.mistake("standardize", what);
            Standardize::Site
        });
        let columns = ColumnRules::take(fields);
        let missing = missing(fields, &columns);
        let memory_mib = fields.whole_until("memory_mib", 1, MEMORY_MIB_MAX);
        let split = Split::take(fields);
        let augment = Augment::take(fields);
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
        for (name, rule) in columns.iter() {
            let is_target = targets.contains(name);
            let is_listed = seen.contains(name);
            if let Some(what) = misplaced(rule, is_target, is_listed) {
                fields.mistake(&format!("columns.{name}"), what);
            }
        }
        let target = target?;
        Some(Self {
            tags,
            dataset,
            target,
            inputs,
            standardize,
            columns,
            missing,
            memory_mib,
            split,
            augment,
        })
    }
}

/// Takes `missing`.
fn missing(fields: &mut Fields, columns: &ColumnRules) -> Option<Vec<String>> {
    let words = fields.texts("missing")?;
    if columns.is_empty() {
        fields.mistake("missing", "is for columns with a rule; give them one in [data.columns]");
    }
    if words.len() > WORDS_MAX {
        fields.mistake("missing", format!("has {} words, at most {WORDS_MAX}", words.len()));
    }
    if let Some(word) = words.iter().find(|word| word.len() > RULE_TEXT_BYTES_MAX) {
        fields.mistake_in("missing", word, format!("has a word of {} bytes", word.len()));
    }
    Some(words)
}

/// Why a column cannot have its rule: targets are neither imputed nor scaled, and classes are
/// targets.
fn misplaced(rule: &ColumnRule, is_target: bool, is_listed: bool) -> Option<&'static str> {
    match (&rule.kind, is_target) {
        (ColumnKind::Drop, true) => Some("drops the target"),
        (ColumnKind::Drop, false) if is_listed => {
            Some("drops a column that is among `data.inputs`; take it out of one of them")
        }
        (ColumnKind::Class { .. }, false) => {
            Some("is a class, but the column is not the target; write `category`")
        }
        (_, true) if rule.impute.is_some() || rule.flag_missing => {
            Some("imputes the target; rows without a target cannot be learned from")
        }
        (_, true) if rule.scale.is_some() => Some("scales the target; targets are not scaled"),
        _ => None,
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
    }

    #[test]
    fn arguments_without_rules_keep_their_bytes() {
        let old = r#"{"tags":[],"target":"y","inputs":null,"standardize":true}"#;
        assert_eq!(serde_json::to_string(&DataArgs::of("y")).unwrap(), old);
        assert_eq!(serde_json::from_str::<DataArgs>(old).unwrap(), DataArgs::of("y"));
        let none = DataArgs { standardize: Standardize::None, ..DataArgs::of("y") };
        assert_eq!(serde_json::to_string(&none).unwrap(), old.replace("true", "false"));
    }

    #[test]
    fn rules_are_where_they_belong() {
        for (text, expected) in [
            ("target = 'y'\n[columns]\ny = 'drop'", "drops the target"),
            ("target = 'y'\ninputs = ['a']\n[columns]\na = 'drop'", "among `data.inputs`"),
            (
                "target = 'y'\n[columns]\na = { kind = 'class', values = ['p', 'q'] }",
                "`data.columns.a` is a class, but the column is not the target",
            ),
            ("target = 'y'\n[columns]\ny = { kind = 'number', impute = 0 }", "imputes the target"),
            (
                "target = 'y'\n[columns]\ny = { kind = 'number', scale = 'none' }",
                "scales the target",
            ),
            ("target = 'y'\nmissing = ['x']", "is for columns with a rule"),
            ("target = 'y'\nstandardize = 'sites'", "expected \"site\", \"federation\" or"),
        ] {
            let error = take(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let classes = "target = 'y'\n[columns]\ny = { kind = 'class', values = ['p', 'q', 'r'] }";
        assert_eq!(take(classes).unwrap().n_classes(), Some(3));
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
