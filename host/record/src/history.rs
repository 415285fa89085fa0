//! The history of a run, round by round; `history.json`.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_protocol::{Digest, Evaluation, Metric, Metrics, NodeId, NodeTiming, ScoreSums};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    BestRecord, Difference, PrivacyRecord, RoundsEnd, SecaggRecord, StepRecord, ValidationRecord,
};

/// The history of a run, round by round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// Its name for people.
    pub name: String,
    /// The plan that ran.
    pub plan: PlanRecord,
    /// Where all randomness came from.
    pub random_seed: u64,
    /// The program that wrote it.
    pub written_by: String,
    /// The experiment's id at the nodes; empty for a local job.
    pub experiment_id: String,
    /// The arguments, by section, such as `training`; after changes, those of the newest round.
    pub arguments: BTreeMap<String, Value>,
    /// The changes between rounds, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeRecord>,
    /// How far it is: `running`, `finished`, `cancelled`, `stopped: ...` or
    /// `failed: ...`.
    pub status: String,
    /// Rounds that were asked for.
    pub rounds_max: u32,
    /// The parameters that the first round started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_sha256: Option<Digest>,
    /// The nodes that were to take part from the start: those that had data with the tags, or
    /// those that the strategy lists.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub expected: BTreeSet<NodeId>,
    /// Those of them that were left out before the first round, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<NodeId, String>,
    /// The parameters that training does not change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
    /// A commitment to the seed of the aggregator's noise: its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_sha256: Option<Digest>,
    /// The SHA-256 of the scales of the federation, `preprocessing.json`; none if each site has its
    /// own, or inputs are not scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales_sha256: Option<Digest>,
    /// The secure sum that these scales were made of; none in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales_secagg: Option<SecaggRecord>,
    /// Scores of the parameters that the first round started from, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<ScoreRecord>,
    /// The rounds in order.
    pub rounds: Vec<RoundRecord>,
    /// Up to where `rounds.jsonl` has the rounds, in files of a running experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds_file: Option<RoundsEnd>,
    /// The training loss of a local job, at most 1,000 points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// Scores of a local job after epochs, at most [`VALIDATIONS_MAX`](crate::VALIDATIONS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<ValidationRecord>,
    /// The parameters that are the result with `keep = "best"`; without it the last ones are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestRecord>,
}

impl History {
    /// The history of a run that begins: nothing has happened.
    pub fn new(name: String, plan: PlanRecord, random_seed: u64, rounds_max: u32) -> Self {
        Self {
            name,
            plan,
            random_seed,
            written_by: WRITTEN_BY.into(),
            experiment_id: String::new(),
            arguments: BTreeMap::new(),
            changes: Vec::new(),
            status: RUNNING.into(),
            rounds_max,
            initial_sha256: None,
            expected: BTreeSet::new(),
            left_out: BTreeMap::new(),
            frozen: Vec::new(),
            noise_sha256: None,
            scales_sha256: None,
            scales_secagg: None,
            initial: None,
            rounds: Vec::new(),
            rounds_file: None,
            steps: Vec::new(),
            validations: Vec::new(),
            best: None,
        }
    }

    /// Whether a local job wrote it.
    pub fn is_local(&self) -> bool {
        self.experiment_id.is_empty()
    }

    /// The same without the rounds that `rounds.jsonl` has, up to `end`. A round that has yet to be
    /// scored is not among them.
    pub fn without_rounds(&self, end: RoundsEnd) -> Self {
        let mut header = self.clone();
        header.rounds.retain(|record| record.round > end.rounds);
        header.rounds_file = Some(end);
        header
    }

    /// Takes the rounds back that `rounds.jsonl` has.
    pub(crate) fn take_rounds(&mut self, in_file: Vec<RoundRecord>) {
        let n = in_file.last().map_or(0, |record| record.round);
        self.rounds.retain(|record| record.round > n);
        self.rounds.splice(..0, in_file);
    }

    /// The round whose model is the result: the last one, or the best with `keep = "best"`.
    pub fn kept(&self) -> Option<&RoundRecord> {
        let best = self.best.as_ref().filter(|_| !self.is_local());
        let mut rounds = self.rounds.iter();
        let kept = best.and_then(|best| rounds.find(|round| u64::from(round.round) == best.at));
        kept.or(self.rounds.last())
    }

    /// Whether only sums of the results of nodes are known: secure aggregation.
    pub fn is_of_sums(&self) -> bool {
        self.rounds.iter().any(|round| round.secagg.is_some())
    }

    /// The same with what differs from the round after `round` on.
    pub fn changed(
        mut self,
        round: u32,
        differences: Vec<Difference>,
        arguments: BTreeMap<String, Value>,
    ) -> Self {
        if differences.is_empty() {
            return Self { arguments, ..self };
        }
        let sections: BTreeSet<&String> = self.arguments.keys().chain(arguments.keys()).collect();
        let was = |section: &String| self.arguments.get(section).cloned().unwrap_or_default();
        let is = |section: &String| arguments.get(section).cloned().unwrap_or_default();
        let before = sections.into_iter().filter(|section| was(section) != is(section));
        let before = before.map(|section| (section.clone(), was(section))).collect();
        let first = round.saturating_add(1);
        self.changes.push(ChangeRecord { round: first, differences, before });
        Self { arguments, ..self }
    }

    /// The arguments of a round, by section.
    pub fn arguments_in(&self, round: u32) -> BTreeMap<String, Value> {
        let mut arguments = self.arguments.clone();
        for change in self.changes.iter().rev().take_while(|change| change.round > round) {
            arguments.extend(change.before.clone());
        }
        arguments
    }

    /// The nodes that were to take part and did not in the last round, and why; those that the
    /// strategy did not draw are not among them.
    pub fn missing(&self) -> BTreeMap<NodeId, String> {
        let Some(last) = self.rounds.last() else { return self.left_out.clone() };
        let mut missing = self.left_out.clone();
        for round in &self.rounds {
            missing.retain(|node, _| !round.nodes.contains_key(node));
            missing.extend(round.dropped.clone());
        }
        missing.retain(|node, _| !last.nodes.contains_key(node));
        missing
    }
}

/// A change between two rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// The first round with the change.
    pub round: u32,
    /// Each value that changed.
    pub differences: Vec<Difference>,
    /// The sections that changed, as they were before.
    pub before: BTreeMap<String, Value>,
}

/// Scores of one model at nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScoreRecord {
    /// On all held-out rows.
    pub evaluation: Option<Evaluation>,
    /// On those of each node; none under secure aggregation.
    pub nodes: BTreeMap<NodeId, Evaluation>,
    /// The sum that they come from, under secure aggregation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secagg: Option<SecaggRecord>,
}

/// The plan that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// The program that writes files.
pub const WRITTEN_BY: &str = concat!("fedwasm ", env!("CARGO_PKG_VERSION"));

/// The status of a running experiment.
pub const RUNNING: &str = "running";
/// The status of an experiment whose rounds are done.
pub const FINISHED: &str = "finished";

/// One round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundRecord {
    /// From 1.
    pub round: u32,
    /// Where the time went.
    pub timing: RoundTiming,
    /// The results of each node that took part.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// The nodes that dropped out in this round, and why.
    pub dropped: BTreeMap<NodeId, String>,
    /// SHA-256 of the parameters after the round, as safetensors.
    pub params_sha256: Digest,
    /// Scores of the parameters after the round on all held-out rows.
    pub evaluation: Option<Evaluation>,
    /// The same at each node that scored them and did not train in this round.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scored: BTreeMap<NodeId, Evaluation>,
    /// The sum of updates, under secure aggregation: results of single nodes are unknown then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secagg: Option<SecaggRecord>,
    /// The sum of scores that `evaluation` comes from, under secure aggregation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored_secagg: Option<SecaggRecord>,
    /// Noise of the aggregator, and what it is worth after this round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyRecord>,
}

impl RoundRecord {
    /// Rows that were trained on, at all nodes.
    pub fn n_samples(&self) -> u64 {
        let of_nodes = self.nodes.values().map(|node| node.n_samples);
        let of_nodes = of_nodes.fold(0, u64::saturating_add);
        self.secagg.as_ref().map_or(of_nodes, |sum| sum.n_samples)
    }

    /// Optimizer steps of all nodes.
    pub fn n_steps(&self) -> u64 {
        let of_nodes = self.nodes.values().map(|node| node.n_steps);
        let of_nodes = of_nodes.fold(0, u64::saturating_add);
        self.secagg.as_ref().map_or(of_nodes, |sum| sum.n_steps)
    }

    /// Scores of the parameters after the round at a node, whether it trained or not.
    pub fn score_of(&self, node: &NodeId) -> Option<&Evaluation> {
        let trained = self.nodes.get(node).and_then(|node| node.global_evaluation.as_ref());
        trained.or_else(|| self.scored.get(node))
    }

    /// All such scores, in ascending order of nodes.
    pub fn scores(&self) -> BTreeMap<&NodeId, &Evaluation> {
        let trained = self.nodes.iter();
        let trained =
            trained.filter_map(|(node, own)| Some((node, own.global_evaluation.as_ref()?)));
        trained.chain(&self.scored).collect()
    }
}

/// Where the time of a round went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RoundTiming {
    /// The whole round.
    pub wall_ms: f64,
    /// Storing parameters and sending requests.
    pub send_ms: f64,
    /// The longest that a node took to compile the plan and to read its data.
    pub prepare_ms: f64,
    /// The longest training at a node, its downloads and uploads not counted.
    pub train_ms: f64,
    /// The longest upload of a node.
    pub upload_ms: f64,
    /// Fetching the updates.
    pub download_ms: f64,
    /// Making one model of them.
    pub aggregate_ms: f64,
    /// Having the model scored at the nodes.
    pub validate_ms: f64,
    /// Agreeing upon keys, under secure aggregation.
    #[serde(default)]
    pub agree_ms: f64,
    /// Unmasking the sum, under secure aggregation.
    #[serde(default)]
    pub unmask_ms: f64,
}

impl RoundRecord {
    /// The mean training loss of the nodes that tell one, weighted by the rows that they train on.
    pub fn train_loss(&self) -> Option<f64> {
        if let Some(sum) = &self.secagg {
            return sum.train_loss;
        }
        let losses = self.nodes.values();
        let losses = losses.filter_map(|node| Some((node.n_samples, node.train_loss?)));
        let add = |(n, sum), (n_k, loss)| (n + n_k as f64, sum + n_k as f64 * loss);
        let (n, sum) = losses.fold((0.0, 0.0), add);
        (n > 0.0).then_some(sum / n)
    }
}

/// The results of a node in a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// SHA-256 of the parameters that it uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Digest>,
    /// SHA-256 of the auxiliary variables that it uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_aux: Option<Digest>,
    /// SHA-256 of its signed receipt of the round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Digest>,
    /// Rows of its training part, its weight in the mean.
    pub n_samples: u64,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Mean training loss of the round.
    pub train_loss: Option<f64>,
    /// The optimizer's numbers that the plan reported, such as `lr`.
    pub optimizer_args: Metrics,
    /// The device that it ran on.
    pub device: String,
    /// The ways in which it departed from the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Scores of its own update on its held-out rows.
    pub evaluation: Option<Evaluation>,
    /// Scores of the aggregated model on its held-out rows.
    pub global_evaluation: Option<Evaluation>,
    /// Its times, as it reports them.
    pub timing: NodeTiming,
    /// From the request to its answer, in milliseconds (Fed-BioMed
    /// `rtime_total`, without polling).
    pub total_ms: f64,
}

/// Combines scores of several nodes, in the order of node ids. Where all tell the sums of their
/// scores, the host's metrics are those of all rows together, areas under curves within an error that
/// is named beside them. Others are means weighted by rows: a metric must be known to all, but for
/// those about a class that some may have no row of, whose mean is over the nodes that have some.
pub fn combine(evaluations: &[&Evaluation]) -> Option<Evaluation> {
    let n_rows = evaluations.iter().try_fold(0u64, |n, e| n.checked_add(e.n_rows))?;
    if let [only] = evaluations {
        // Its areas are exact.
        return Some((*only).clone());
    }
    let mean = |name: &String| {
        let known = evaluations.iter().filter(|evaluation| evaluation.metrics.contains_key(name));
        let rows: u64 = known.clone().map(|evaluation| evaluation.n_rows).sum();
        let weighted = known.clone().filter_map(|evaluation| {
            let share = evaluation.n_rows as f64 / rows as f64;
            evaluation.metrics.get(name).map(|value| share * value)
        });
        let is_whole = known.clone().count() == evaluations.len();
        (is_whole || Metric::may_be_absent(name)).then(|| (name.clone(), weighted.sum::<f64>()))
    };
    let names: BTreeSet<&String> = evaluations.iter().flat_map(|e| e.metrics.keys()).collect();
    let mut metrics: Metrics = names.into_iter().filter_map(mean).collect();
    let sums: Option<Vec<_>> = evaluations.iter().map(|e| e.sums.as_ref()).collect();
    let sums = sums.and_then(|sums| ScoreSums::joined(sums.into_iter())?.checked());
    if let Some(sums) = &sums {
        // A mean of numbers with different meanings has none.
        metrics.retain(|name, _| !sums.leaves_open(name));
        metrics.extend(sums.metrics());
    }
    Some(Evaluation { n_rows, metrics, sums })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn empty_history() -> History {
        let (version, sha256) = ("1.0.0".into(), Digest::of(b"p"));
        History::new("t".into(), PlanRecord { name: "p".into(), version, sha256 }, 42, 3)
    }

    pub(crate) fn empty_round(round: u32) -> RoundRecord {
        RoundRecord {
            round,
            timing: RoundTiming::default(),
            nodes: BTreeMap::new(),
            dropped: BTreeMap::new(),
            params_sha256: Digest::of(b""),
            evaluation: None,
            scored: BTreeMap::new(),
            secagg: None,
            scored_secagg: None,
            privacy: None,
        }
    }

    #[test]
    fn every_round_has_the_arguments_that_it_was_asked_for() {
        let mut history = empty_history();
        let section = |value: u32| [("training".to_owned(), Value::from(value))].into();
        history.arguments = section(3);
        history.arguments.insert("data".into(), Value::from("same"));
        let change = |round, before| ChangeRecord {
            round,
            differences: Vec::new(),
            before: section(before),
        };
        history.changes = vec![change(2, 1), change(5, 2)];
        let training = |round| history.arguments_in(round)["training"].clone();
        assert_eq!([1, 2, 4, 5, 9].map(training), [1, 2, 2, 3, 3].map(Value::from));
        assert_eq!(history.arguments_in(1)["data"], "same");
    }

    #[test]
    fn who_is_missing_at_the_end_is_named_with_the_newest_reason() {
        let mut history = empty_history();
        let id = |node: &str| -> NodeId { node.parse().unwrap() };
        let round = |nodes: &[&str], dropped: &[(&str, &str)]| RoundRecord {
            nodes: nodes.iter().map(|n| (id(n), node())).collect(),
            dropped: dropped.iter().map(|(node, why)| (id(node), (*why).to_owned())).collect(),
            ..empty_round(1)
        };
        history.left_out = [(id("z"), "not approved".to_owned())].into();
        assert_eq!(history.missing().len(), 1);
        history.rounds.push(round(&["a", "b"], &[("c", "silent")]));
        history.rounds.push(round(&["a", "c"], &[("b", "gone")]));
        history.rounds.push(round(&["a"], &[]));
        let missing: Vec<(NodeId, String)> = history.missing().into_iter().collect();
        // The strategy did not draw c in the last round: nothing is wrong with it.
        assert_eq!(missing, [(id("b"), "gone".into()), (id("z"), "not approved".into())]);
    }

    fn node() -> NodeRecord {
        NodeRecord {
            upload: None,
            upload_aux: None,
            receipt: None,
            n_samples: 1,
            n_steps: 1,
            train_loss: None,
            optimizer_args: Metrics::new(),
            device: "cpu".into(),
            warnings: Vec::new(),
            evaluation: None,
            global_evaluation: None,
            timing: NodeTiming::default(),
            total_ms: 0.0,
        }
    }

    #[test]
    fn scores_are_weighted_by_rows() {
        let evaluation = |n_rows, accuracy| Evaluation {
            n_rows,
            metrics: [("accuracy".to_owned(), accuracy)].into(),
            sums: None,
        };
        let all = combine(&[&evaluation(1, 0.0), &evaluation(3, 1.0)]).unwrap();
        assert_eq!((all.n_rows, all.metrics["accuracy"]), (4, 0.75));
    }

    /// Of one row of class 1 that is found at one node, and of three of which one is at another.
    #[test]
    fn sums_of_all_nodes_replace_means() {
        let evaluation = |rows: &[(usize, usize)], f1: f64| {
            let mut sums = fedwasm_protocol::ClassSums::new(3);
            rows.iter().for_each(|(class, said)| sums.count(Some(*class), *said));
            let sums = ScoreSums::Classes(sums).checked();
            let metrics = [("f1_score".to_owned(), f1), ("own".to_owned(), f1)].into();
            Evaluation { n_rows: rows.len() as u64, metrics, sums }
        };
        let a = evaluation(&[(1, 1)], 1.0);
        let b = evaluation(&[(1, 1), (1, 0), (1, 2)], 0.5);
        let all = combine(&[&a, &b]).unwrap();
        // f1_score([1, 1, 1, 1], [1, 1, 0, 2], average="weighted") = 2/3; (1 + 3 * 0.5) / 4 = 0.625
        assert!((all.metrics["f1_score"] - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((all.metrics["own"], all.metrics["accuracy"], all.n_rows), (0.625, 0.5, 4));
        assert_eq!(all.sums.as_ref().unwrap().rows(), 4);
        let without = Evaluation { sums: None, ..a.clone() };
        let mean = combine(&[&without, &b]).unwrap();
        assert_eq!((mean.metrics["f1_score"], mean.sums), (0.625, None));
        assert_eq!(combine(&[&a]), Some(a));
    }

    #[test]
    fn nodes_without_positives_have_no_part_in_f1() {
        let evaluation = |n_rows, metrics: &[(&str, f64)]| Evaluation {
            n_rows,
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            sums: None,
        };
        let without = evaluation(5, &[("accuracy", 1.0)]);
        let with = evaluation(1, &[("accuracy", 0.5), ("f1_score", 0.5), ("own", 1.0)]);
        let more = evaluation(3, &[("accuracy", 0.5), ("f1_score", 1.0)]);
        let all = combine(&[&without, &with, &more]).unwrap();
        assert_eq!((all.n_rows, all.metrics["f1_score"]), (9, 0.875));
        assert!(!all.metrics.contains_key("own") && all.metrics.contains_key("accuracy"));
        assert!(!combine(&[&without]).unwrap().metrics.contains_key("f1_score"));
    }
}
