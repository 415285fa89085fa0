//! Which rows of one file each node has. docs/simulation.md has the rules for people, and
//! `tests/oracles/partition.py` is an independent implementation of them.
//!
//! Draws come from one ChaCha20 generator with the seed `partition` of [`fedwasm_protocol::seed`];
//! permutations are those of [`fedwasm_training::permute`].
//!
//! * `iid`: a permutation of all rows, cut as `numpy.array_split` does: of `n` rows for `k` nodes the
//!   first `n mod k` nodes have `floor(n / k) + 1`, the others `floor(n / k)`.
//! * `dirichlet`: the classes in ascending order; of each, its rows are permuted, then a share of every
//!   node is drawn, in the order of the nodes. The rows are cut after `floor(c_i * n)` of them, where
//!   `c_i` is the sum of the shares up to node `i` (`numpy.cumsum`, `numpy.split`); the last node has
//!   the rest.
//! * `shards`: the rows in the order of class and row, cut into `k * per_node` pieces as
//!   `numpy.array_split` does; the numbers of the pieces are permuted, and each node has `per_node`
//!   that follow each other.
//! * `sizes`: a permutation of all rows, cut into pieces of these lengths.
//! * `by`: the values in ascending order, numbers before texts; nothing is drawn.
//!
//! The rows of a node are in the order of the file. Nodes without rows do not exist.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_dataset::{Dataset, Key};
use fedwasm_protocol::{DataArgs, NodeId, seed};
use fedwasm_training::permute;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::Serialize;

use crate::draw::dirichlet;
use crate::labels;
use crate::{Error, Split};

/// The part of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its rows, from 0, ascending.
    pub rows: Vec<u64>,
    /// The value that its rows share, with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How many rows of each class every node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCounts {
    /// The classes of the whole file, ascending.
    pub classes: Vec<i64>,
    /// The rows of a node in each of them.
    pub nodes: BTreeMap<NodeId, Vec<u64>>,
}

/// Which rows each node has.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// The rule.
    pub split: Split,
    /// The seed that it was drawn from.
    pub random_seed: u64,
    /// Nodes with their rows.
    pub nodes: BTreeMap<NodeId, Part>,
    /// How many nodes got no rows, and so do not exist.
    pub n_empty: usize,
    /// The class of each row of the file, where the target has classes.
    pub(crate) classes: Option<Vec<i64>>,
}

impl Partition {
    /// Deals the rows of a dataset. Reads what the rule asks for.
    ///
    /// * `n_nodes` — none: as many as the rule says.
    ///
    /// # Errors
    /// [`Error::Split`], [`Error::Data`].
    pub(crate) fn deal(
        dataset: &Dataset,
        data: &DataArgs,
        split: &Split,
        n_nodes: Option<usize>,
        random_seed: u64,
    ) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Split { split: split.to_string(), reason };
        let classes = labels::classes(dataset, data)?;
        let keys = match split {
            Split::By { column } => Some(dataset.keys(column)?),
            _ => None,
        };
        let n_rows = dataset.n_rows() as usize;
        let mut random = ChaCha20Rng::from_seed(seed::partition(random_seed));
        let of = Rows { n_rows, classes: classes.as_deref(), keys: keys.as_deref() };
        let parts = of.deal(split, n_nodes, &mut random).map_err(wrong)?;
        let (n, width) = (parts.len(), parts.len().max(1).to_string().len());
        let mut nodes = BTreeMap::new();
        for (at, mut part) in parts.into_iter().enumerate() {
            part.rows.sort_unstable();
            let id = format!("node-{:0width$}", at + 1);
            let id = id.parse().map_err(|error| wrong(format!("{id}: {error}")))?;
            if !part.rows.is_empty() {
                nodes.insert(id, part);
            }
        }
        let (split, n_empty) = (split.clone(), n - nodes.len());
        Ok(Self { split, random_seed, nodes, n_empty, classes })
    }

    /// How many rows of each class every node has; none where the target has no classes.
    pub fn counts(&self) -> Option<ClassCounts> {
        let of_rows = self.classes.as_ref()?;
        let classes: Vec<i64> =
            of_rows.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let count = |part: &Part| {
            let mut counts = vec![0; classes.len()];
            for row in &part.rows {
                let class =
                    of_rows.get(*row as usize).and_then(|of| classes.binary_search(of).ok());
                if let Some(count) = class.and_then(|class| counts.get_mut(class)) {
                    *count += 1;
                }
            }
            counts
        };
        let nodes = self.nodes.iter().map(|(node, part)| (node.clone(), count(part))).collect();
        Some(ClassCounts { classes, nodes })
    }
}

/// The rows of a file, with their labels.
struct Rows<'a> {
    n_rows: usize,
    classes: Option<&'a [i64]>,
    keys: Option<&'a [Key]>,
}

impl Rows<'_> {
    /// The rows of each node, in any order.
    fn deal(
        &self,
        split: &Split,
        n_nodes: Option<usize>,
        random: &mut ChaCha20Rng,
    ) -> Result<Vec<Part>, String> {
        let n = || n_nodes.ok_or_else(|| "the number of nodes is missing: add --nodes".to_owned());
        let permuted = |random: &mut ChaCha20Rng| {
            let mut rows: Vec<u64> = (0..self.n_rows as u64).collect();
            permute(&mut rows, random);
            rows
        };
        let rows = match split {
            Split::Iid => even(&permuted(random), self.at_most(n()?)?),
            Split::Sizes { rows } => self.sizes(rows, n_nodes, &permuted(random))?,
            Split::Dirichlet { alpha } => self.by_shares(*alpha, self.at_most(n()?)?, random)?,
            Split::Shards { per_node } => self.shards(*per_node, n()?, random)?,
            Split::By { .. } => return self.by_value(n_nodes),
        };
        Ok(rows.into_iter().map(|rows| Part { rows, value: None }).collect())
    }

    fn at_most(&self, n_nodes: usize) -> Result<usize, String> {
        match n_nodes <= self.n_rows {
            true => Ok(n_nodes),
            false => Err(format!("{n_nodes} nodes cannot share {} rows", self.n_rows)),
        }
    }

    fn classes(&self) -> Result<&[i64], String> {
        let text = "the target has no classes: it needs one column of whole numbers, or a rule of kind \
                    class under [data.columns]";
        self.classes.ok_or_else(|| text.to_owned())
    }

    /// The rows of each class, in ascending order of both.
    fn by_class(&self) -> Result<BTreeMap<i64, Vec<u64>>, String> {
        let mut of: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for (row, class) in (0u64..).zip(self.classes()?) {
            of.entry(*class).or_default().push(row);
        }
        Ok(of)
    }

    fn by_shares(
        &self,
        alpha: f64,
        n_nodes: usize,
        random: &mut ChaCha20Rng,
    ) -> Result<Vec<Vec<u64>>, String> {
        let mut nodes = vec![Vec::new(); n_nodes];
        for mut rows in self.by_class()?.into_values() {
            permute(&mut rows, random);
            let (mut sum, mut start) = (0.0, 0);
            let shares = dirichlet(alpha, n_nodes, random);
            for (at, (node, share)) in nodes.iter_mut().zip(shares).enumerate() {
                sum += share;
                let end = (sum * rows.len() as f64).floor() as usize;
                let end = if at + 1 == n_nodes { rows.len() } else { end.min(rows.len()) };
                node.extend(&rows[start..end.max(start)]);
                start = end.max(start);
            }
        }
        Ok(nodes)
    }

    fn shards(
        &self,
        per_node: usize,
        n_nodes: usize,
        random: &mut ChaCha20Rng,
    ) -> Result<Vec<Vec<u64>>, String> {
        let n_shards = n_nodes.saturating_mul(per_node);
        if n_shards > self.n_rows {
            let rows = self.n_rows;
            return Err(format!(
                "{n_nodes} nodes with {per_node} shards each need {n_shards} rows, and the file has {rows}"
            ));
        }
        let sorted: Vec<u64> = self.by_class()?.into_values().flatten().collect();
        let shards = even(&sorted, n_shards);
        let mut order: Vec<usize> = (0..n_shards).collect();
        permute(&mut order, random);
        let of = |order: &[usize]| order.iter().flat_map(|shard| shards[*shard].clone()).collect();
        Ok(order.chunks(per_node).map(of).collect())
    }

    fn sizes(
        &self,
        sizes: &[usize],
        n_nodes: Option<usize>,
        permuted: &[u64],
    ) -> Result<Vec<Vec<u64>>, String> {
        if n_nodes.is_some_and(|n| n != sizes.len()) {
            return Err(format!("it has {} sizes, and --nodes another number", sizes.len()));
        }
        let sum = sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size));
        if sum > self.n_rows {
            return Err(format!("{sum} rows are dealt, and the file has {}", self.n_rows));
        }
        let mut rest = permuted;
        let piece = |size: &usize| {
            let (own, others) = rest.split_at(*size);
            rest = others;
            own.to_vec()
        };
        Ok(sizes.iter().map(piece).collect())
    }

    fn by_value(&self, n_nodes: Option<usize>) -> Result<Vec<Part>, String> {
        let mut of: BTreeMap<&Key, Vec<u64>> = BTreeMap::new();
        for (row, key) in (0u64..).zip(self.keys.unwrap_or_default()) {
            of.entry(key).or_default().push(row);
        }
        if n_nodes.is_some_and(|n| n != of.len()) {
            return Err(format!(
                "the column has {} values, a node for each: leave --nodes out",
                of.len()
            ));
        }
        let part = |(key, rows)| Part { rows, value: Some(labels::text(key)) };
        Ok(of.into_iter().map(part).collect())
    }
}

/// Pieces as equal as can be, the longer ones first.
fn even(rows: &[u64], n: usize) -> Vec<Vec<u64>> {
    let (size, longer) = (rows.len() / n.max(1), rows.len() % n.max(1));
    let mut rest = rows;
    let piece = |at: usize| {
        let (own, others) = rest.split_at(size + usize::from(at < longer));
        rest = others;
        own.to_vec()
    };
    (0..n).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [i64; 20] = [0, 1, 0, 2, 1, 0, 0, 2, 0, 1, 0, 0, 2, 2, 1, 0, 1, 1, 2, 0];

    // tests/oracles/partition.py prints these.
    const IID: [&[u64]; 3] =
        [&[0, 3, 4, 5, 13, 17, 19], &[7, 10, 11, 12, 14, 15, 16], &[1, 2, 6, 8, 9, 18]];
    const DIRICHLET: [&[u64]; 3] =
        [&[1, 17], &[2, 3, 4, 8, 9, 12, 13, 14, 18], &[0, 5, 6, 7, 10, 11, 15, 16, 19]];
    const SHARP: [&[u64]; 4] =
        [&[], &[0, 2, 5, 6, 8, 10, 11, 15, 19], &[1, 3, 4, 9, 12, 13, 14, 16, 17, 18], &[7]];
    const SHARDS: [&[u64]; 4] =
        [&[3, 13, 17, 18], &[0, 2, 5, 7, 12], &[1, 4, 6, 8, 9, 10], &[11, 14, 15, 16, 19]];
    const SIZES: [&[u64]; 3] = [&[0, 3, 4, 5, 13, 17, 19], &[12, 16], &[10, 14, 15]];

    fn rows() -> Rows<'static> {
        Rows { n_rows: CLASSES.len(), classes: Some(&CLASSES), keys: None }
    }

    fn deal(split: &str, n_nodes: usize) -> Vec<Vec<u64>> {
        let mut random = ChaCha20Rng::from_seed(seed::partition(42));
        let parts = rows().deal(&split.parse().unwrap(), Some(n_nodes), &mut random).unwrap();
        let sorted = |mut part: Part| {
            part.rows.sort_unstable();
            part.rows
        };
        parts.into_iter().map(sorted).collect()
    }

    #[test]
    fn rows_are_dealt_as_by_the_python_twin() {
        assert_eq!(deal("iid", 3), IID);
        assert_eq!(deal("dirichlet=0.5", 3), DIRICHLET);
        assert_eq!(deal("dirichlet=0.01", 4), SHARP);
        assert_eq!(deal("shards=2", 4), SHARDS);
        assert_eq!(deal("sizes=7,2,3", 3), SIZES);
    }

    #[test]
    fn every_row_is_dealt_once() {
        for split in ["iid", "dirichlet=0.1", "dirichlet=100", "shards=1", "shards=3"] {
            let mut all = deal(split, 5).concat();
            all.sort_unstable();
            assert_eq!(all, (0..20).collect::<Vec<_>>(), "{split}");
        }
        assert_eq!(deal("iid", 20).iter().map(Vec::len).max(), Some(1));
    }

    #[test]
    fn a_value_is_a_node() {
        let keys: Vec<Key> = ["b", "a", "b", "a", "a"].map(|t| Key::Text(t.into())).into();
        let rows = Rows { n_rows: 5, classes: None, keys: Some(&keys) };
        let mut random = ChaCha20Rng::from_seed([0; 32]);
        let split = "by=site".parse().unwrap();
        let parts = rows.deal(&split, None, &mut random).unwrap();
        let of: Vec<_> =
            parts.iter().map(|part| (part.value.as_deref().unwrap(), &part.rows[..])).collect();
        assert_eq!(of, [("a", &[1, 3, 4][..]), ("b", &[0, 2][..])]);
        assert!(rows.deal(&split, Some(3), &mut random).unwrap_err().contains("has 2 values"));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut random = ChaCha20Rng::from_seed([0; 32]);
        let without = Rows { classes: None, ..rows() };
        let mut said = |rows: &Rows<'_>, split: &str, n: Option<usize>| {
            rows.deal(&split.parse().unwrap(), n, &mut random).unwrap_err()
        };
        assert!(said(&rows(), "iid", None).contains("add --nodes"));
        assert!(said(&rows(), "iid", Some(21)).contains("21 nodes cannot share 20 rows"));
        assert!(said(&rows(), "shards=3", Some(7)).contains("need 21 rows"));
        assert!(said(&rows(), "sizes=15,6", None).contains("21 rows are dealt"));
        assert!(said(&rows(), "sizes=5,6", Some(3)).contains("it has 2 sizes"));
        for split in ["dirichlet=1", "shards=1"] {
            assert!(said(&without, split, Some(2)).contains("the target has no classes"));
        }
    }
}
