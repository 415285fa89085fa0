//! The control variates of nodes: each of them, or only their total where rounds are known by sums.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_params::{DType, Params, Tensor};
use fedwasm_protocol::NodeId;

use crate::AggregateError;
use crate::numbers::{groups, in_order_of, misfit, prefixed, rounded, zeros};

use super::NAME;

/// Names in a state: one variate of each node, or the total of all and the nodes behind it.
const OF_NODE: &str = "c.";
const TOTAL: &str = "total.";
const SENT: &str = "sent.";

/// The latest `c_i` of all nodes that ever sent one, in float64.
#[derive(Clone, Debug)]
pub(super) enum Variates {
    /// One by one.
    Each(BTreeMap<NodeId, Params>),
    /// Their sum, without tensors before the first round.
    Total { total: Params, sent: BTreeSet<NodeId> },
}

impl Variates {
    /// Returns `c`, their mean, in the order of `global`; zeros before the first round.
    pub(super) fn mean(&self, global: &Params) -> Result<Vec<f64>, AggregateError> {
        match self {
            Self::Each(variates) => {
                let mut c = in_order_of(&Params::default(), global)?;
                let n = variates.len() as f64;
                for variate in variates.values() {
                    let variate = in_order_of(variate, global)?;
                    c.iter_mut().zip(variate).for_each(|(c, variate)| *c += variate / n);
                }
                Ok(c)
            }
            Self::Total { total, sent } => {
                let n = sent.len().max(1) as f64;
                let mut c = in_order_of(total, global)?;
                c.iter_mut().for_each(|c| *c /= n);
                Ok(c)
            }
        }
    }

    /// Returns the total after nodes changed theirs by `changes` together, in the order of
    /// `global`.
    pub(super) fn changed(
        total: &Params,
        changes: &[f64],
        global: &Params,
    ) -> Result<Params, AggregateError> {
        let mut sum = in_order_of(total, global)?;
        sum.iter_mut().zip(changes).for_each(|(sum, change)| *sum += change);
        rounded(NAME, &sum, &zeros(DType::Float64, global)?)
    }

    pub(super) fn state(&self) -> Result<Params, AggregateError> {
        let tensors = match self {
            Self::Each(variates) => {
                let named = |(node, variate): (&NodeId, &Params)| {
                    prefixed(&format!("{OF_NODE}{node}."), variate)
                };
                variates.iter().flat_map(named).collect()
            }
            Self::Total { total, sent } => {
                let mut tensors = prefixed(TOTAL, total);
                for node in sent {
                    tensors.push((format!("{SENT}{node}"), nothing()?));
                }
                tensors
            }
        };
        Ok(Params::new(tensors)?)
    }

    /// Reads a result of `state` of the same kind.
    pub(super) fn restored(&self, state: &Params) -> Result<Self, AggregateError> {
        let has = |prefix: &str| state.iter().any(|(name, _)| name.starts_with(prefix));
        let parsed = |node: &str| node.parse().map_err(|error| misfit(format!("{error}")));
        match self {
            Self::Each(_) if has(TOTAL) || has(SENT) => {
                Err(misfit("it is of rounds of which only sums were known".into()))
            }
            Self::Total { .. } if has(OF_NODE) => {
                Err(misfit("it is of rounds whose updates were known one by one".into()))
            }
            Self::Each(_) => {
                // Ids have no dots, so the next one ends the id.
                let split = |name| str::strip_prefix(name, OF_NODE)?.split_once('.');
                let nodes = groups(state.iter(), split)?.into_iter();
                let variates = nodes.map(|(node, variate)| Ok((parsed(node)?, variate)));
                Ok(Self::Each(variates.collect::<Result<_, AggregateError>>()?))
            }
            Self::Total { .. } => {
                let (sent, total): (Vec<_>, Vec<_>) =
                    state.iter().partition(|(name, _)| name.starts_with(SENT));
                let split = |name| Some((TOTAL, str::strip_prefix(name, TOTAL)?));
                let total = groups(total, split)?.remove(TOTAL).unwrap_or_default();
                let mut nodes = BTreeSet::new();
                for (name, tensor) in sent {
                    if *tensor != nothing()? {
                        return Err(misfit(format!("`{name}` is not a mark")));
                    }
                    nodes.insert(parsed(name.strip_prefix(SENT).unwrap_or(name))?);
                }
                match total.is_empty() == nodes.is_empty() {
                    true => Ok(Self::Total { total, sent: nodes }),
                    false => Err(misfit(format!("`{TOTAL}*` or `{SENT}*` is absent"))),
                }
            }
        }
    }
}

/// The tensor of a mark, of which only the name counts.
fn nothing() -> Result<Tensor, fedwasm_params::Error> {
    Tensor::zeros(DType::Float64, Vec::new())
}
