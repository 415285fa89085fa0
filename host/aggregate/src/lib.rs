//! How the updates of a round become one model: one file a method. No files, no sockets, no clock,
//! no randomness.

mod adaptive;
mod aux_vars;
mod bulyan;
mod fedadagrad;
mod fedadam;
mod fedavg;
mod fedavgm;
mod fedprox;
mod fedyogi;
mod fold;
mod krum;
mod median;
mod norm_bound;
mod numbers;
mod scaffold;
mod settings;
mod sums;
mod trimmed_mean;

use std::collections::BTreeMap;

use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, Metrics, NodeId};

use bulyan::Bulyan;
use fedadagrad::FedAdagrad;
use fedadam::FedAdam;
use fedavg::FedAvg;
use fedavgm::FedAvgM;
use fedprox::FedProx;
use fedyogi::FedYogi;
use krum::Krum;
use median::Median;
use norm_bound::NormBound;
use scaffold::Scaffold;
use trimmed_mean::TrimmedMean;

pub use aux_vars::{AuxVars, ReceivedAuxVars, transpose};
pub use settings::{AggregatorArgs, Moments};
pub use sums::{RoundSum, Weights};

/// A node's contribution to aggregation.
#[derive(Clone, Debug)]
pub struct Update {
    /// Rows of its training part, the weight in means; at least 1.
    pub n_samples: u64,
    /// Its trained parameters: all finite, with the names, element types and
    /// shapes of the global ones, in their order.
    pub params: Params,
}

/// Updates of a round, in ascending order of node ids.
pub type Updates = BTreeMap<NodeId, Update>;

/// The rows that each node of a round trained on, in ascending order of ids.
pub type Samples = BTreeMap<NodeId, u64>;

/// Makes one model of the updates of a round (Fed-BioMed `Aggregator` and
/// `agg_optimizer`). All that it keeps from round to round is in `state`.
pub trait Aggregator: std::fmt::Debug + Send {
    /// Its name, which histories and breakpoints record. An experiment with an aggregator of
    /// one's own resumes only with one of the same name, so the name should change with the
    /// method and its settings.
    fn name(&self) -> &str;

    /// Whether it holds all updates of a round at once, as a median must. The others hold one
    /// model in float64 for any number of nodes.
    fn needs_all(&self) -> bool {
        false
    }

    /// Begins a round from the parameters `global`, with the updates of the nodes that `samples`
    /// names. A round that was begun before and not finished is forgotten.
    ///
    /// # Errors
    /// [`AggregateError::TooFewNodes`], and [`AggregateError::Params`] if `global` or the numbers
    /// of rows cannot be averaged.
    fn begin(&mut self, global: &Params, samples: &Samples) -> Result<(), AggregateError>;

    /// Takes the update of one node. They come in ascending order of ids, which is the order of
    /// all sums; these run in float64.
    ///
    /// # Errors
    /// [`AggregateError`] if names, element types or shapes are not those of the global
    /// parameters, or if it is not this node's turn.
    fn add(&mut self, node: &NodeId, update: &Params) -> Result<(), AggregateError>;

    /// Returns the parameters after the round, once all updates are in.
    ///
    /// # Errors
    /// [`AggregateError`]; after one, its state from round to round is unchanged.
    fn finish(&mut self) -> Result<Params, AggregateError>;

    /// The three steps at once, for updates that are all here.
    ///
    /// # Errors
    /// Those of the steps.
    fn aggregate(&mut self, global: &Params, updates: &Updates) -> Result<Params, AggregateError> {
        let samples = updates.iter().map(|(node, update)| (node.clone(), update.n_samples));
        self.begin(global, &samples.collect())?;
        for (node, update) in updates {
            self.add(node, &update.params)?;
        }
        self.finish()
    }

    /// Numbers of the round that ended last, by name, for its history.
    fn numbers(&self) -> Metrics {
        Metrics::new()
    }

    /// Arguments for plans, keys starting with `aggregator.`. A plan that does
    /// not know one of them is refused.
    fn arguments(&self) -> Arguments {
        Arguments::new()
    }

    /// Auxiliary variables for these nodes in the round that follows, given
    /// the parameters at its start.
    ///
    /// # Errors
    /// [`AggregateError`].
    fn aux_vars(&self, _global: &Params, _nodes: &[NodeId]) -> Result<AuxVars, AggregateError> {
        Ok(AuxVars::default())
    }

    /// Takes the auxiliary variables of a round, after `aggregate`.
    ///
    /// # Errors
    /// [`AggregateError`]; after one, the aggregator is as it was before.
    fn take_aux_vars(&mut self, _received: &ReceivedAuxVars) -> Result<(), AggregateError> {
        Ok(())
    }

    /// How nodes weigh in the mean that it can work on alone; none if it must see single updates,
    /// as a median must.
    fn of_sums(&self) -> Option<Weights> {
        None
    }

    /// Prepares for rounds of which only sums are known. Called before the first round and before
    /// `restore`; from then on a round is one call of `take_sum`.
    ///
    /// # Errors
    /// [`AggregateError::NeedsUpdates`] if it must see single updates.
    fn expect_sums(&mut self) -> Result<(), AggregateError> {
        match self.of_sums() {
            Some(_) => Ok(()),
            None => Err(AggregateError::NeedsUpdates { aggregator: self.name().into() }),
        }
    }

    /// Returns the parameters after a round of which only the sum is known: what `begin`, `add`,
    /// `finish` and `take_aux_vars` do otherwise.
    ///
    /// # Errors
    /// [`AggregateError::NeedsUpdates`] if it must see single updates, and those of the other
    /// steps; after one, its state from round to round is unchanged.
    fn take_sum(&mut self, _global: &Params, _sum: &RoundSum) -> Result<Params, AggregateError> {
        Err(AggregateError::NeedsUpdates { aggregator: self.name().into() })
    }

    /// The state that a breakpoint must hold to resume, as named tensors.
    ///
    /// # Errors
    /// [`AggregateError`].
    fn state(&self) -> Result<Params, AggregateError> {
        Ok(Params::default())
    }

    /// Continues from a result of `state`.
    ///
    /// # Errors
    /// [`AggregateError::State`] if it is not such a state.
    fn restore(&mut self, state: &Params) -> Result<(), AggregateError> {
        match state.is_empty() {
            true => Ok(()),
            false => Err(AggregateError::State { reason: "this aggregator keeps no state".into() }),
        }
    }
}

/// Why updates cannot be aggregated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AggregateError {
    /// Fewer nodes than the method needs.
    #[error(
        "{aggregator} needs at least {needed} {} ({rule}), {got} took part",
        if *needed == 1 { "node" } else { "nodes" }
    )]
    TooFewNodes {
        /// The method.
        aggregator: &'static str,
        /// Nodes that it needs.
        needed: usize,
        /// Where the number comes from, such as `2 f + 3 with f = 1`.
        rule: String,
        /// Nodes that there are.
        got: usize,
    },
    /// Names, element types or shapes.
    #[error(transparent)]
    Params(#[from] fedwasm_params::Error),
    /// The result left the range of finite numbers.
    #[error("{aggregator} makes parameter `{name}` not finite; try a smaller learning rate")]
    NotFinite {
        /// The method.
        aggregator: &'static str,
        /// The parameter.
        name: String,
    },
    /// Auxiliary variables of a node are absent or differ from the declaration.
    #[error("{aggregator}: {reason}")]
    AuxVars {
        /// The method.
        aggregator: &'static str,
        /// The reason.
        reason: String,
    },
    /// The steps of a round came in another order.
    #[error("{aggregator}: {reason}")]
    Order {
        /// The method.
        aggregator: &'static str,
        /// The expected tensor, and the one that came.
        reason: String,
    },
    /// Only the sum of updates is known.
    #[error(
        "{aggregator} needs the updates of single nodes, and only their sum is known; a sum is \
         enough for {}",
        sums::METHODS.join(", ")
    )]
    NeedsUpdates {
        /// The method.
        aggregator: String,
    },
    /// Something of an aggregator outside of this crate.
    #[error("{aggregator}: {source}")]
    Other {
        /// The method.
        aggregator: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A breakpoint holds a state of something else.
    #[error("the aggregator's state in the breakpoint does not fit: {reason}")]
    State {
        /// The reason.
        reason: String,
    },
}
