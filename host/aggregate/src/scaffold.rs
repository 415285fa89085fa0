//! Control variates against the drift of nodes.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_params::{DType, Params, from_f64, to_f64};
use fedwasm_protocol::{Arguments, NodeId, Value};

use crate::aux_vars::{AuxVars, ReceivedAuxVars};
use crate::fold::{Steps, not_begun, pairs};
use crate::numbers::{ONE, at_least, in_order_of, prefixed, rounded, zeros};
use crate::{AggregateError, Aggregator, RoundSum, Samples, Weights};

use self::variates::Variates;

mod variates;

const NAME: &str = "scaffold";

/// SCAFFOLD with option II for the control variates (Karimireddy et al. 2020,
/// Algorithm 1; declearn `scaffold-server`). A node trains with its gradients
/// corrected by `c - c_i` and sends the next `c_i`, the mean of its gradients
/// before correction. Here `c` is the mean of the latest `c_i` of all nodes
/// that ever sent one, and zero before.
///
/// The paper counts nodes that never took part as zeros in `c`; declearn and
/// we cannot know of them, so that `c` moves faster in the first rounds.
///
/// Where only sums of rounds are known, a node keeps its own `c_i` and sends the change; here lie
/// the total of all `c_i` and the nodes behind it, whose quotient is the same `c`. A node that lost
/// its `c_i` begins with zeros again, and the old one stays in the total.
#[derive(Clone, Debug)]
pub(crate) struct Scaffold {
    server_lr: f64,
    variates: Variates,
    /// Zeros such as the `c_i` that these nodes owe after `aggregate`.
    owed: Option<(Params, BTreeSet<NodeId>)>,
    /// The round that was begun, and its nodes.
    round: Option<(Steps, BTreeSet<NodeId>)>,
}

impl Scaffold {
    pub(crate) fn new(server_lr: f64) -> Self {
        Self { server_lr, variates: Variates::Each(BTreeMap::new()), owed: None, round: None }
    }
}

impl Aggregator for Scaffold {
    fn name(&self) -> &str {
        NAME
    }

    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError> {
        self.round = None;
        if let Variates::Total { .. } = self.variates {
            return Err(order("a single update came, and only sums are expected"));
        }
        at_least(NAME, 1, ONE, samples)?;
        let nodes = samples.keys().cloned().collect();
        self.round = Some((Steps::begin(NAME, global, samples)?, nodes));
        Ok(())
    }

    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError> {
        let (steps, _) = self.round.as_mut().ok_or_else(|| not_begun(NAME))?;
        steps.add(node, update, |y, x| x - y)
    }

    /// Returns `x - server_lr / |S| Σ (x - y_i)` over the nodes `S`: the plain
    /// mean, as in the paper and in Fed-BioMed; sample counts do not count.
    fn finish(&mut self) -> Result<Params, AggregateError> {
        let (steps, nodes) = self.round.take().ok_or_else(|| not_begun(NAME))?;
        let (global, mut sum) = steps.finish()?;
        let step = self.server_lr / nodes.len() as f64;
        let mut moved = sum.iter_mut();
        pairs(&global, &global, |x, _| {
            if let Some(sum) = moved.next() {
                *sum = x - step * *sum;
            }
        })?;
        let owed = (zeros(DType::Float32, &global)?, nodes);
        let moved = rounded(NAME, &sum, &global)?;
        self.owed = Some(owed);
        Ok(moved)
    }

    fn arguments(&self) -> Arguments {
        Arguments::from([("aggregator.scaffold".into(), Value::Boolean(true))])
    }

    fn aux_vars(&self, global: &Params, nodes: &[NodeId]) -> Result<AuxVars, AggregateError> {
        let like = zeros(DType::Float32, global)?;
        let c = self.variates.mean(global)?;
        let named = |kind, values: &[f64]| -> Result<Params, AggregateError> {
            let variate = rounded(NAME, values, &like)?;
            Ok(Params::new(prefixed(&format!("{NAME}.{kind}."), &variate))?)
        };
        let shared = named("global", &c)?;
        // Under sums a node keeps its own.
        let Variates::Each(variates) = &self.variates else {
            return Ok(AuxVars { shared, by_node: BTreeMap::new() });
        };
        let local = |node: &NodeId| {
            let variate = variates.get(node).cloned().unwrap_or_default();
            Ok((node.clone(), named("local", &in_order_of(&variate, global)?)?))
        };
        let by_node = nodes.iter().map(local).collect::<Result<_, AggregateError>>()?;
        Ok(AuxVars { shared, by_node })
    }

    fn take_aux_vars(&mut self, received: &ReceivedAuxVars) -> Result<(), AggregateError> {
        let (like, nodes) =
            self.owed.as_ref().ok_or_else(|| wrong("no control variates are expected".into()))?;
        let received = received.get(NAME);
        let sent = |node: &NodeId| received.and_then(|received| received.get(node));
        if let Some(node) = received.and_then(|sent| sent.keys().find(|n| !nodes.contains(*n))) {
            return Err(wrong(format!("node `{node}` sent control variates but no update")));
        }
        let (named, kept) = (Params::new(prefixed("local.", like))?, zeros(DType::Float64, like)?);
        let mut sent_by = Vec::with_capacity(nodes.len());
        for node in nodes {
            let sent = sent(node)
                .ok_or_else(|| wrong(format!("node `{node}` sent no control variates")))?;
            let values = to_f64(sent, &named)
                .map_err(|error| wrong(format!("control variates of node `{node}`: {error}")))?;
            if let Some((name, _)) = sent.iter().find(|(_, tensor)| !tensor.is_finite()) {
                return Err(wrong(format!("`{name}` of node `{node}` is not finite")));
            }
            sent_by.push((node.clone(), from_f64(&values, &kept)?));
        }
        if let Variates::Each(variates) = &mut self.variates {
            variates.extend(sent_by);
        }
        self.owed = None;
        Ok(())
    }

    fn of_sums(&self) -> Option<Weights> {
        Some(Weights::Equal)
    }

    fn expect_sums(&mut self) -> Result<(), AggregateError> {
        let (total, sent) = Default::default();
        self.variates = Variates::Total { total, sent };
        Ok(())
    }

    fn take_sum(&mut self, global: &Params, sum: &RoundSum) -> Result<Params, AggregateError> {
        let Variates::Total { total, sent } = &mut self.variates else {
            return Err(order("a sum came, and single updates are expected"));
        };
        at_least(NAME, 1, ONE, &sum.nodes.iter().map(|node| (node.clone(), 1)).collect())?;
        let mut moved = to_f64(&sum.params, global)?;
        let mut mean = moved.iter_mut();
        pairs(&sum.params, global, |y, x| {
            if let Some(moved) = mean.next() {
                *moved = x - self.server_lr * (x - y);
            }
        })?;
        let named =
            Params::new(prefixed(&format!("{NAME}.local."), &zeros(DType::Float64, global)?))?;
        let changes = to_f64(&sum.aux, &named)
            .map_err(|error| wrong(format!("the sum of changes of control variates: {error}")))?;
        let moved = rounded(NAME, &moved, global)?;
        let changed = Variates::changed(total, &changes, global)?;
        *total = changed;
        sent.extend(sum.nodes.iter().cloned());
        Ok(moved)
    }

    fn state(&self) -> Result<Params, AggregateError> {
        self.variates.state()
    }

    fn restore(&mut self, state: &Params) -> Result<(), AggregateError> {
        self.variates = self.variates.restored(state)?;
        self.owed = None;
        Ok(())
    }
}

fn wrong(reason: String) -> AggregateError {
    AggregateError::AuxVars { aggregator: NAME, reason }
}

fn order(reason: &str) -> AggregateError {
    AggregateError::Order { aggregator: NAME, reason: reason.into() }
}

#[cfg(test)]
mod tests;
