//! Which nodes take part in a round (Fed-BioMed `Strategy.sample_nodes`), and
//! when an experiment is over.

use std::collections::BTreeSet;
use std::sync::Arc;

use fedwasm_protocol::{Fields, NodeId, seed};
use fedwasm_record::EarlyStopping;
use fedwasm_training::permute;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use crate::Error;

/// The longest time that a round may wait for a node: a week.
const ROUND_DEADLINE_S_MAX: u64 = 7 * 24 * 3_600;
/// The most times that a round is tried again.
const RETRIES_MAX: u64 = 1_000;

/// Which nodes take part, how long they are waited for, and when it is enough.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategyArgs {
    /// How nodes are selected. Default: all.
    pub selection: Selection,
    /// A round with fewer updates does not count. None: all nodes that were found, or listed, or
    /// the share of those found that is drawn.
    pub min_nodes: Option<usize>,
    /// A round whose updates stem from fewer training rows does not count.
    /// Default 0.
    pub min_samples: u64,
    /// Whether a node must send a signed receipt of each run for its update and its scores to
    /// count. Default false: one that sends none is told of once.
    pub require_receipts: bool,
    /// How long a round waits for a node, in seconds. Default 60.
    pub round_deadline_s: u64,
    /// How often a round that does not count is tried again before the
    /// experiment ends. Default 0.
    pub retries: u32,
    /// How long missing nodes are waited for before a round is tried again, in
    /// seconds. Default 5.
    pub retry_pause_s: u64,
    /// How long the experiment waits for a broker, a repository or nodes that are away, in
    /// seconds, beside its retries. Default 300.
    pub patience_s: u64,
    /// When to stop before all rounds are done: by scores of the global model on all held-out rows.
    pub early_stopping: Option<EarlyStopping>,
}

/// How the nodes of a round are selected among those that have the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// All of them.
    All,
    /// A random `fraction`, rounded up, but not fewer than `min_nodes`; others
    /// in every round, which follow from the random seed.
    Random {
        /// In (0, 1].
        fraction: f64,
    },
    /// These and no others.
    List {
        /// Their ids.
        nodes: BTreeSet<NodeId>,
    },
    /// Those that the caller's own strategy names, each round anew; scores come from all.
    Own(OwnSampler),
}

/// Chooses the nodes of a round (Fed-BioMed `Strategy.sample_nodes`).
pub trait Sampler: std::fmt::Debug + Send + Sync {
    /// Its name, which histories and breakpoints record. It should change with the method and its
    /// settings.
    fn name(&self) -> &str;

    /// Returns the nodes of a round, among `nodes` in ascending order.
    ///
    /// # Errors
    /// Why there are none. The round then does not count.
    fn sample(
        &self,
        nodes: &[NodeId],
        round: u32,
    ) -> Result<Vec<NodeId>, Box<dyn std::error::Error + Send + Sync>>;
}

/// A strategy of the caller's own. Two are equal if their names are.
#[derive(Clone, Debug)]
pub struct OwnSampler(pub Arc<dyn Sampler>);

impl PartialEq for OwnSampler {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Serialize for OwnSampler {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name())
    }
}

impl Default for StrategyArgs {
    fn default() -> Self {
        Self {
            selection: Selection::All,
            min_nodes: None,
            min_samples: 0,
            require_receipts: false,
            round_deadline_s: 60,
            retries: 0,
            retry_pause_s: 5,
            patience_s: 300,
            early_stopping: None,
        }
    }
}

impl StrategyArgs {
    /// Reads the table `[strategy]`; mistakes go to `fields`.
    pub(crate) fn take(fields: &mut Fields) -> Self {
        let default = Self::default();
        let selection = match fields.one_of("name", &["all", "random", "list"]) {
            Some(1) => Selection::Random { fraction: fraction(fields) },
            Some(2) => Selection::List { nodes: list(fields) },
            _ => Selection::All,
        };
        Self {
            selection,
            min_nodes: fields.whole("min_nodes", 1).map(|n| n as usize),
            min_samples: fields.whole("min_samples", 0).unwrap_or(0),
            require_receipts: fields.boolean("require_receipts").unwrap_or(false),
            round_deadline_s: fields
                .whole_until("round_deadline_s", 1, ROUND_DEADLINE_S_MAX)
                .unwrap_or(default.round_deadline_s),
            retries: fields.whole_until("retries", 0, RETRIES_MAX).unwrap_or(0) as u32,
            retry_pause_s: fields
                .whole_until("retry_pause_s", 0, ROUND_DEADLINE_S_MAX)
                .unwrap_or(default.retry_pause_s),
            patience_s: fields
                .whole_until("patience_s", 0, ROUND_DEADLINE_S_MAX)
                .unwrap_or(default.patience_s),
            early_stopping: EarlyStopping::take(fields),
        }
    }

    /// Returns the updates that a round needs, given how many nodes were found at the start.
    pub fn needed(&self, n_found: usize) -> usize {
        self.min_nodes.unwrap_or_else(|| match &self.selection {
            Selection::All => n_found.max(1),
            Selection::Random { fraction } => share(n_found, *fraction).max(1),
            Selection::List { nodes } => nodes.len(),
            Selection::Own(_) => 1,
        })
    }

    /// Returns the nodes that must take part from the start, of those that were found.
    pub fn expected(&self, found: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        match &self.selection {
            Selection::All | Selection::Random { .. } | Selection::Own(_) => found.clone(),
            Selection::List { nodes } => nodes.clone(),
        }
    }

    /// Returns the nodes that may take part in a round, among `nodes`.
    pub fn eligible(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        match &self.selection {
            Selection::All | Selection::Random { .. } | Selection::Own(_) => nodes.to_vec(),
            Selection::List { nodes: list } => {
                nodes.iter().filter(|node| list.contains(node)).cloned().collect()
            }
        }
    }

    /// Returns the nodes that take part in a round, among `nodes` in ascending order.
    ///
    /// # Errors
    /// [`Error::Strategy`] of the caller's own.
    pub fn sample(
        &self,
        nodes: &[NodeId],
        random_seed: u64,
        round: u32,
    ) -> Result<Vec<NodeId>, Error> {
        Ok(match &self.selection {
            Selection::Own(OwnSampler(sampler)) => own_sample(&**sampler, nodes, round)?,
            Selection::All | Selection::List { .. } => self.eligible(nodes),
            Selection::Random { fraction } => {
                let n = share(nodes.len(), *fraction);
                let mut random = ChaCha20Rng::from_seed(seed::sample(random_seed, round));
                let mut drawn = nodes.to_vec();
                permute(&mut drawn, &mut random);
                drawn.truncate(n.max(self.min_nodes.unwrap_or(1)));
                drawn.sort_unstable();
                drawn
            }
        })
    }
}

/// The nodes that a strategy of the caller's own chooses, in ascending order.
fn own_sample(sampler: &dyn Sampler, nodes: &[NodeId], round: u32) -> Result<Vec<NodeId>, Error> {
    let failed = |source| Error::Strategy { strategy: sampler.name().to_owned(), source };
    let chosen: BTreeSet<NodeId> =
        sampler.sample(nodes, round).map_err(failed)?.into_iter().collect();
    match chosen.iter().find(|node| !nodes.contains(node)) {
        Some(node) => {
            let text = format!("it chooses `{node}`, which does not take part");
            Err(failed(text.into()))
        }
        None => Ok(chosen.into_iter().collect()),
    }
}

/// A share of so many nodes, rounded up.
fn share(n: usize, fraction: f64) -> usize {
    // 100 * 0.07 is a little more than 7.
    (n as f64 * fraction - 1e-9).ceil() as usize
}

fn fraction(fields: &mut Fields) -> f64 {
    if !fields.has("fraction") {
        fields.mistake("fraction", "is missing; `random` selects this share of the nodes");
    }
    let rule = "0 < fraction <= 1";
    fields.real("fraction", rule, |share| share > 0.0 && share <= 1.0).unwrap_or(1.0)
}

fn list(fields: &mut Fields) -> BTreeSet<NodeId> {
    let given = fields.has("nodes");
    let nodes: Option<BTreeSet<NodeId>> = fields.read("nodes");
    if !given || nodes.as_ref().is_some_and(BTreeSet::is_empty) {
        fields.mistake("nodes", "is missing or empty; `list` selects these nodes");
    }
    nodes.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use fedwasm_protocol::sentences;

    use super::*;

    fn strategy(text: &str) -> Result<StrategyArgs, String> {
        let mut fields = Fields::new("strategy", toml::from_str(text).unwrap());
        let strategy = StrategyArgs::take(&mut fields);
        let mistakes = fields.finish();
        if mistakes.is_empty() { Ok(strategy) } else { Err(sentences(&mistakes, "\n")) }
    }

    fn nodes(n: usize) -> Vec<NodeId> {
        (0..n).map(|n| format!("n{n}").parse().unwrap()).collect()
    }

    #[derive(Debug)]
    struct Own(&'static [&'static str]);

    impl Sampler for Own {
        fn name(&self) -> &str {
            "own"
        }

        fn sample(
            &self,
            _: &[NodeId],
            round: u32,
        ) -> Result<Vec<NodeId>, Box<dyn std::error::Error + Send + Sync>> {
            match round {
                0 => Err("no round".into()),
                _ => Ok(self.0.iter().map(|node| node.parse()).collect::<Result<_, _>>()?),
            }
        }
    }

    #[test]
    fn a_strategy_of_ones_own_chooses_among_those_that_take_part() {
        let of = |chosen| {
            let selection = Selection::Own(OwnSampler(Arc::new(Own(chosen))));
            StrategyArgs { selection, ..StrategyArgs::default() }
        };
        let (all, own) = (nodes(3), of(&["n2", "n0", "n2"]));
        assert_eq!(own.sample(&all, 42, 1).unwrap(), [all[0].clone(), all[2].clone()]);
        assert_eq!((own.needed(3), own.eligible(&all)), (1, all.clone()));
        let text = |result: Result<Vec<NodeId>, Error>| result.unwrap_err().to_string();
        assert_eq!(text(own.sample(&all, 42, 0)), "own: no round");
        let absent = text(of(&["n9"]).sample(&all, 42, 1));
        assert_eq!(absent, "own: it chooses `n9`, which does not take part");
        let json = serde_json::to_string(&own.selection).unwrap();
        assert_eq!((json.as_str(), own == of(&[])), (r#"{"own":"own"}"#, true));
    }

    #[test]
    fn a_fraction_is_drawn_anew_in_every_round_and_follows_from_the_seed() {
        let strategy = strategy("name = \"random\"\nfraction = 0.3\nmin_nodes = 2").unwrap();
        let all = nodes(10);
        let rounds: Vec<_> =
            (1..=20).map(|round| strategy.sample(&all, 42, round).unwrap()).collect();
        assert!(rounds.iter().all(|drawn| drawn.len() == 3 && drawn.is_sorted()));
        assert!(rounds.windows(2).any(|pair| pair[0] != pair[1]));
        let everybody: BTreeSet<&NodeId> = rounds.iter().flatten().collect();
        assert_eq!(everybody.len(), 10);
        assert_eq!(strategy.sample(&all, 42, 7).unwrap(), rounds[6]);
        assert_ne!(strategy.sample(&all, 43, 7).unwrap(), rounds[6]);
        // Rounded up, and never fewer than min_nodes.
        assert_eq!(strategy.sample(&nodes(4), 42, 1).unwrap().len(), 2);
        let share = StrategyArgs {
            selection: Selection::Random { fraction: 0.07 },
            ..StrategyArgs::default()
        };
        assert_eq!(share.sample(&nodes(100), 42, 1).unwrap().len(), 7);
        assert_eq!(strategy.sample(&nodes(1), 42, 1).unwrap().len(), 1);
    }

    #[test]
    fn all_that_were_found_are_needed_unless_fewer_are_asked_for() {
        for (text, needed) in [
            ("", 7),
            ("min_nodes = 2", 2),
            ("name = \"random\"\nfraction = 0.3", 3),
            ("name = \"random\"\nfraction = 0.3\nmin_nodes = 5", 5),
            ("name = \"list\"\nnodes = [\"n2\", \"n0\"]", 2),
        ] {
            assert_eq!(strategy(text).unwrap().needed(7), needed, "{text}");
        }
    }

    #[test]
    fn a_list_is_kept_to() {
        let strategy = strategy("name = \"list\"\nnodes = [\"n2\", \"n0\", \"x\"]").unwrap();
        let drawn = strategy.sample(&nodes(4), 1, 1).unwrap();
        assert_eq!(drawn.iter().map(NodeId::as_str).collect::<Vec<_>>(), ["n0", "n2"]);
    }

    #[test]
    fn mistakes_are_found_together() {
        let mistakes = strategy(
            "name = \"random\"\nmin_nodes = 0\nround_deadline_s = 604801\nretires = 2\n\
             early_stopping = { patience = 0 }",
        );
        let mistakes = mistakes.unwrap_err();
        for expected in [
            "`strategy.fraction` is missing",
            "`strategy.min_nodes` is 0",
            "from 1 to 604800",
            "`strategy.retires` is unknown; did you mean `retries`?",
            "`strategy.early_stopping.metric` is missing",
            "`strategy.early_stopping.patience` is 0",
        ] {
            assert!(mistakes.contains(expected), "{expected}: {mistakes}");
        }
    }
}
