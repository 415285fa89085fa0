//! Which columns an experiment uses, and which nodes have them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fedwasm_dataset::is_index;
use fedwasm_protocol::{
    COLUMNS_MAX, ColumnKind, ColumnRule, ColumnRules, DataArgs, DatasetEntry, DatasetId, NodeId,
    Reason, suggestion,
};

use crate::Member;

/// More rows than any dataset has: sums of them must not overflow.
const ROWS_MAX: u64 = 1 << 48;

/// Input columns, and the values of a row in them.
type Inputs = (Vec<String>, usize);

/// The result of a search.
#[derive(Debug, PartialEq)]
pub(crate) struct Chosen {
    /// The input columns that all members have.
    pub(crate) inputs: Vec<String>,
    /// Values of a row in them.
    pub(crate) n_inputs: usize,
    /// The columns that are scaled, in order: `age`, or `image[0]` where there are several.
    pub(crate) scale_names: Vec<String>,
    /// The columns of statistics in the same way, targets among them; one with a rule is one number.
    pub(crate) column_names: Vec<String>,
    pub(crate) members: BTreeMap<NodeId, Member>,
    /// Those that have data with the tags and cannot take part, and those that did not answer.
    pub(crate) refused: Vec<(NodeId, Reason, String)>,
    /// All that have data with the tags.
    pub(crate) found: BTreeSet<NodeId>,
    /// The nodes without matching data, and the reason, which is not a failure of theirs.
    pub(crate) strangers: Vec<(NodeId, String)>,
}

/// Chooses the input columns and the nodes that have them. `n_inputs` is what
/// the plan takes, if that is known already.
///
/// Named inputs are asked of every node. Otherwise the inputs of a node are
/// all of its columns but the target and that of the split; of those that the plan can take, the
/// list that most nodes have is used (of equals, that of the smallest node id).
pub(crate) fn choose(
    found: BTreeMap<NodeId, Vec<DatasetEntry>>,
    data: &DataArgs,
    mut n_inputs: impl FnMut(usize) -> Result<u64, String>,
) -> Chosen {
    let (mut refused, mut strangers) = (Vec::new(), Vec::new());
    let mut with_data = BTreeSet::new();
    let mut candidates: BTreeMap<NodeId, (DatasetEntry, Inputs)> = BTreeMap::new();
    for (node, mut datasets) in found {
        let wanted = data.dataset.as_ref().map(|choice| choice.of(&node));
        if let Some(Some(id)) = wanted {
            datasets.retain(|dataset| dataset.dataset_id == *id);
        }
        let tags = data.tags.join(", ");
        let why = match (datasets.is_empty(), wanted) {
            // Without tags everything a node has was found.
            (_, Some(None)) if tags.is_empty() => Some("`data.dataset` does not name it".into()),
            (false, _) => None,
            (true, Some(Some(id))) if tags.is_empty() => Some(format!("no dataset is called {id}")),
            (true, Some(Some(id))) => Some(format!("no dataset {id} has the tags {tags}")),
            (true, _) => Some(format!("no dataset has the tags {tags}")),
        };
        if let Some(why) = why {
            strangers.push((node, why));
            continue;
        }
        with_data.insert(node.clone());
        match candidate(datasets, data, &mut n_inputs) {
            Ok(candidate) => drop(candidates.insert(node, candidate)),
            Err(reason) => refused.push((node, Reason::Dataset, reason)),
        }
    }
    let mut votes: Vec<(&Inputs, usize)> = Vec::new();
    for (_, inputs) in candidates.values() {
        match votes.iter_mut().find(|(known, _)| *known == inputs) {
            Some((_, n)) => *n += 1,
            None => votes.push((inputs, 1)),
        }
    }
    // Of equals, the first: max_by_key would return the last.
    let inputs = votes.iter().rev().max_by_key(|(_, n)| *n);
    let inputs = inputs.map(|(inputs, _)| (*inputs).clone()).unwrap_or_default();
    let (inputs, n_inputs) = inputs;
    let mut members = BTreeMap::new();
    let (mut scale_names, mut column_names) = (Vec::new(), Vec::new());
    for (node, (dataset, (own, n_own))) in candidates {
        if own != inputs || n_own != n_inputs {
            let reason = differs(&dataset.dataset_id, (&own, n_own), (&inputs, n_inputs));
            refused.push((node, Reason::Dataset, reason));
            continue;
        }
        if members.is_empty() {
            (scale_names, column_names) = names(&inputs, &dataset, data);
        }
        members.insert(node, Member { dataset_id: dataset.dataset_id, n_rows: dataset.n_rows });
    }
    refused.sort_by(|a, b| a.0.cmp(&b.0));
    Chosen {
        inputs,
        n_inputs,
        scale_names,
        column_names,
        members,
        refused,
        found: with_data,
        strangers,
    }
}

/// The way in which the inputs of a dataset are not those that are used.
fn differs(
    name: &DatasetId,
    (own, n_own): (&[String], usize),
    (inputs, n_inputs): (&[String], usize),
) -> String {
    match own.iter().zip(inputs).find(|(own, other)| own != other) {
        Some((own, other)) => {
            format!("dataset {name} has the column `{own}`, but others have `{other}`")
        }
        None if own == inputs => {
            format!("dataset {name} has {n_own} values a row, but others have {n_inputs}")
        }
        None => format!("dataset {name} has {n_own} input columns, but others have {n_inputs}"),
    }
}

/// The columns that are scaled, and those of statistics.
fn names(inputs: &[String], dataset: &DatasetEntry, data: &DataArgs) -> (Vec<String>, Vec<String>) {
    let width = |name: &String| data.columns.get(name).map(ColumnRule::width);
    let targets = data.target.names().into_iter().filter(|target| !inputs.contains(target));
    let all: Vec<String> = inputs.iter().chain(targets).cloned().collect();
    let one = |name: &String| data.columns.get(name).map(|_| 1);
    (names_of(inputs, dataset, width), names_of(&all, dataset, one))
}

/// Values of a row in a column without a rule.
fn shape_of(dataset: &DatasetEntry, name: &String) -> u64 {
    dataset.n_values(std::slice::from_ref(name), &ColumnRules::default())
}

/// The scales of columns: one a channel of images and volumes, one a value of other arrays. None if
/// they are more than can be summed.
fn names_of(
    inputs: &[String],
    dataset: &DatasetEntry,
    of_rule: impl Fn(&String) -> Option<usize>,
) -> Vec<String> {
    let n = |name: &String| match (of_rule(name), dataset.shapes.get(name).map(Vec::as_slice)) {
        (Some(width), _) => width as u64,
        (None, Some([_, _])) => 1,
        (None, Some([channels, _, _] | [channels, _, _, _])) => *channels,
        (None, _) => shape_of(dataset, name),
    };
    if inputs.iter().map(n).fold(0, u64::saturating_add) > COLUMNS_MAX as u64 {
        return Vec::new();
    }
    let names = |name: &String| match n(name) {
        1 => vec![name.clone()],
        n => (0..n).map(|at| format!("{name}[{at}]")).collect(),
    };
    inputs.iter().flat_map(names).collect()
}

fn candidate(
    datasets: Vec<DatasetEntry>,
    data: &DataArgs,
    n_inputs: &mut impl FnMut(usize) -> Result<u64, String>,
) -> Result<(DatasetEntry, Inputs), String> {
    let tags = data.tags.join(", ");
    let names: Vec<&str> = datasets.iter().map(|dataset| dataset.dataset_id.as_str()).collect();
    let names = names.join(", ");
    let mut datasets = datasets.into_iter();
    let (dataset, others) = (datasets.next(), datasets.next());
    let Some(dataset) = dataset else {
        return Err(format!("no dataset has the tags {tags}"));
    };
    if others.is_some() {
        let all = format!("the datasets {names} all have the tags {tags}");
        return Err(format!(
            "{all}; add a tag that only one of them has, or name one of them as `dataset` of [data]"
        ));
    }
    if dataset.n_rows > ROWS_MAX {
        return Err(format!(
            "dataset {names} announces {} rows, more than the {ROWS_MAX} that a dataset may have",
            dataset.n_rows
        ));
    }
    let name = &dataset.dataset_id;
    let known: HashSet<&String> = dataset.columns.iter().collect();
    if let Some(column) = data.names().into_iter().find(|column| !known.contains(column)) {
        let columns: Vec<&str> = dataset.columns.iter().map(String::as_str).collect();
        let hint = suggestion(&columns, column);
        let hint = hint.map_or(String::new(), |hint| format!("; did you mean `{hint}`?"));
        return Err(format!("dataset {name} has no column `{column}`{hint}"));
    }
    let ruled = data
        .columns
        .iter()
        .find(|(column, rule)| rule.kind != ColumnKind::Drop && !known.contains(column));
    if let Some((column, _)) = ruled {
        return Err(format!("dataset {name} has no column `{column}`, which [data.columns] names"));
    }
    let targets = data.target.names();
    let inputs: Vec<String> = match &data.inputs {
        Some(inputs) => inputs.names().into_iter().cloned().collect(),
        None => {
            let is_input = |name: &&String| {
                !targets.contains(name)
                    && !data.is_dropped(name)
                    && data.split.column() != Some(name)
            };
            dataset.columns.iter().filter(is_input).cloned().collect()
        }
    };
    if let (None, Some(index)) = (&data.inputs, inputs.iter().find(|name| is_index(name))) {
        return Err(format!(
            "dataset {name} has `{index}`, an index that pandas wrote; name the input columns with \
             `inputs` under [data]"
        ));
    }
    let got = usize::try_from(dataset.n_values(&inputs, &data.columns)).unwrap_or(usize::MAX);
    let expected = n_inputs(got)?;
    if expected != got as u64 {
        return Err(format!("dataset {name} has {got} input columns, the plan takes {expected}"));
    }
    Ok((dataset, (inputs, got)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(columns: &str) -> Vec<DatasetEntry> {
        vec![DatasetEntry {
            dataset_id: "d".parse().unwrap(),
            tags: vec!["t".into()],
            n_rows: 5,
            columns: columns.split(' ').map(str::to_owned).collect(),
            shapes: BTreeMap::new(),
        }]
    }

    fn chosen(found: &[(&str, Vec<DatasetEntry>)]) -> Chosen {
        let found = found.iter().map(|(id, found)| (id.parse().unwrap(), found.clone())).collect();
        let data = DataArgs { tags: vec!["t".into()], ..DataArgs::of("y") };
        choose(found, &data, |_| Ok(2))
    }

    #[test]
    fn nodes_with_other_columns_are_refused_by_name_and_reason() {
        let Chosen { inputs, members, refused, found, strangers, .. } = chosen(&[
            ("n1", dataset("a c y")),
            ("n2", dataset("a b y")),
            ("n3", dataset("a b y")),
            ("n4", dataset("a b c y")),
            ("n5", dataset("a b z")),
            ("n6", vec![]),
        ]);
        assert_eq!(inputs, ["a", "b"]);
        assert_eq!(members.keys().map(NodeId::as_str).collect::<Vec<_>>(), ["n2", "n3"]);
        let reasons: Vec<String> =
            refused.iter().map(|(id, _, text)| format!("{id}: {text}")).collect();
        assert_eq!(
            reasons,
            [
                "n1: dataset d has the column `c`, but others have `b`",
                "n4: dataset d has 3 input columns, the plan takes 2",
                "n5: dataset d has no column `y`",
            ]
        );
        // A node with other data takes part in nothing, nor do its reasons.
        assert_eq!((found.len(), found.contains(&"n6".parse().unwrap())), (5, false));
        assert_eq!(strangers, [("n6".parse().unwrap(), "no dataset has the tags t".to_owned())]);
    }

    #[test]
    fn a_dataset_that_is_named_is_the_one_that_is_taken() {
        use fedwasm_protocol::DatasetChoice;
        let called = |id: &str| DatasetEntry {
            dataset_id: id.parse().unwrap(),
            ..dataset("a b y").remove(0)
        };
        let found = || {
            let both = vec![called("old"), called("new")];
            [("n1", both.clone()), ("n2", vec![called("old")]), ("n3", both)]
                .map(|(id, found)| (id.parse().unwrap(), found))
                .into()
        };
        let chosen = |tags: &[&str], choice: Option<DatasetChoice>| {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            let data = DataArgs { tags, dataset: choice, ..DataArgs::of("y") };
            choose(found(), &data, |_| Ok(2))
        };
        let ids = |members: &BTreeMap<NodeId, Member>| -> Vec<String> {
            members.iter().map(|(node, member)| format!("{node} {}", member.dataset_id)).collect()
        };
        let Chosen { members, refused, .. } = chosen(&["t"], None);
        assert_eq!(ids(&members), ["n2 old"]);
        assert!(refused[0].2.contains("or name one of them as `dataset`"), "{}", refused[0].2);
        let new = || "new".parse().unwrap();
        let Chosen { members, strangers, .. } = chosen(&["t"], Some(DatasetChoice::One(new())));
        assert_eq!(ids(&members), ["n1 new", "n3 new"]);
        assert_eq!(strangers[0].1, "no dataset new has the tags t");
        let choice = || Some(DatasetChoice::ByNode([("n1".parse().unwrap(), new())].into()));
        let Chosen { members, refused, .. } = chosen(&["t"], choice());
        assert_eq!((ids(&members), refused.len()), (vec!["n1 new".into(), "n2 old".into()], 1));
        let Chosen { members, strangers, .. } = chosen(&[], choice());
        assert_eq!((ids(&members), strangers.len()), (vec!["n1 new".into()], 2));
    }

    #[test]
    fn images_of_another_size_are_refused() {
        let images = |side: u64| {
            let mut found = dataset("image y");
            found[0].shapes = [("image".to_owned(), vec![1, side, side])].into();
            found
        };
        let found = [("n1", images(4)), ("n2", images(5)), ("n3", images(5))];
        let found = found.map(|(id, found)| (id.parse().unwrap(), found)).into();
        let data = DataArgs { tags: vec!["t".into()], ..DataArgs::of("y") };
        let Chosen { members, refused, .. } = choose(found, &data, |n| Ok(n as u64));
        assert_eq!(members.len(), 2);
        assert_eq!(refused[0].2, "dataset d has 16 values a row, but others have 25");
    }

    #[test]
    fn of_equals_the_smallest_node_id_decides() {
        let all = [("n1", dataset("a c y")), ("n2", dataset("a b y"))];
        assert_eq!(chosen(&all).inputs, ["a", "c"]);
    }
}
