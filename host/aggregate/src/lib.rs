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
mod krum;
mod median;
mod norm_bound;
mod numbers;
mod scaffold;
mod settings;
mod trimmed_mean;

use std::collections::BTreeMap;

use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, NodeId};

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

/// What a node gives to aggregation.
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

/// Makes one model of the updates of a round (Fed-BioMed `Aggregator` and
/// `agg_optimizer`). Whatever it keeps from round to round is in `state`.
pub trait Aggregator: std::fmt::Debug + Send {
    /// Its name, which histories and breakpoints record. An experiment with an aggregator of
    /// one's own goes on only with one of the same name, so the name should change with the
    /// method and its settings.
    fn name(&self) -> &str;

    /// Returns the parameters after the round, given those before it. All
    /// sums run in float64 in ascending order of node ids.
    ///
    /// # Errors
    /// [`AggregateError`]; after one, the aggregator is as it was before.
    fn aggregate(&mut self, global: &Params, updates: &Updates) -> Result<Params, AggregateError>;

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

    /// What a breakpoint must hold to go on, as named tensors.
    ///
    /// # Errors
    /// [`AggregateError`].
    fn state(&self) -> Result<Params, AggregateError> {
        Ok(Params::default())
    }

    /// Goes on from what `state` returned.
    ///
    /// # Errors
    /// [`AggregateError::State`] if it is not such a state.
    fn restore(&mut self, state: &Params) -> Result<(), AggregateError> {
        match state.is_empty() {
            true => Ok(()),
            false => Err(AggregateError::State { reason: "this aggregator has none".into() }),
        }
    }
}

/// Why updates cannot be aggregated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AggregateError {
    /// Fewer nodes than the method needs.
    #[error("{aggregator} needs at least {needed} nodes ({rule}), {got} took part")]
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
    /// Auxiliary variables of a node are absent or not what was declared.
    #[error("{aggregator}: {reason}")]
    AuxVars {
        /// The method.
        aggregator: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A breakpoint holds a state of something else.
    #[error("the aggregator's state in the breakpoint does not fit: {reason}")]
    State {
        /// What is wrong.
        reason: String,
    },
}
