//! Rounds of which only sums are known, as under secure aggregation.

use std::collections::BTreeSet;

use fedwasm_params::Params;
use fedwasm_protocol::NodeId;

use crate::{AggregateError, Aggregator, Samples};

/// The methods of files that need no single update.
pub(crate) const METHODS: [&str; 7] =
    ["fedavg", "fedprox", "scaffold", "fedavgm", "fedadagrad", "fedadam", "fedyogi"];

/// How nodes weigh in a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// By the rows that they trained on.
    Rows,
    /// All alike.
    Equal,
}

/// A round of which only sums are known.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundSum {
    /// The nodes whose updates are in it, at least one.
    pub nodes: BTreeSet<NodeId>,
    /// Their rows together, at least 1: the sum of weights in means weighted by rows.
    pub n_samples: u64,
    /// The mean of their parameters, weighted as the aggregator says ([`Aggregator::of_sums`]):
    /// all finite, with the names, element types and shapes of the global ones.
    pub params: Params,
    /// The sum over these nodes of the change of each auxiliary variable that a node keeps for
    /// itself, its new value minus the one before (zeros at first): float64 of the variable's own
    /// name, such as `scaffold.local.linear.weight`. Empty without such variables.
    pub aux: Params,
}

/// Takes the mean of a round in place of one update, whose weight is that of all.
pub(crate) fn take_mean(
    aggregator: &mut impl Aggregator,
    global: &Params,
    sum: &RoundSum,
) -> Result<Params, AggregateError> {
    let samples: Samples =
        sum.nodes.first().map(|node| (node.clone(), sum.n_samples)).into_iter().collect();
    aggregator.begin(global, &samples)?;
    if let Some(node) = sum.nodes.first() {
        aggregator.add(node, &sum.params)?;
    }
    aggregator.finish()
}

#[cfg(test)]
mod tests;
