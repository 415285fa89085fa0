//! Aggregators and strategies that are objects of Python.

use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_aggregate::{AggregateError, Aggregator, Samples};
use fedwasm_protocol::NodeId;
use fedwasm_researcher::Sampler;
use pyo3::prelude::*;

use super::Params;

/// The exception of an object of Python, for the caller who waits: with its traceback.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    /// Keeps an exception, and returns its text.
    fn keep(&self, error: PyErr) -> String {
        let text = error.to_string();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        text
    }

    /// Takes the exception.
    pub(crate) fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An aggregator in Python, behind `fedwasm._own.Aggregation`: `name`, `aggregate(global, updates)`,
/// `state()` and `restore(params)`.
#[derive(Debug)]
pub(crate) struct PyAggregator {
    object: Py<PyAny>,
    name: String,
    raised: Raised,
    round: Option<Round>,
}

/// The updates so far.
#[derive(Debug)]
struct Round {
    global: fedwasm_params::Params,
    samples: Samples,
    updates: Vec<(NodeId, fedwasm_params::Params)>,
}

impl PyAggregator {
    pub(crate) fn new(object: &Bound<'_, PyAny>, raised: &Raised) -> PyResult<Self> {
        let name = object.getattr("name")?.extract()?;
        Ok(Self { object: object.clone().unbind(), name, raised: raised.clone(), round: None })
    }

    /// Calls a method that takes and gives parameters.
    fn call<T>(
        &self,
        call: impl FnOnce(Python<'_>, &Py<PyAny>) -> PyResult<T>,
    ) -> Result<T, AggregateError> {
        Python::attach(|py| call(py, &self.object))
            .map_err(|error| self.other(self.raised.keep(error)))
    }

    fn other(&self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AggregateError {
        AggregateError::Other { aggregator: self.name.clone(), source: reason.into() }
    }
}

impl Aggregator for PyAggregator {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_all(&self) -> bool {
        true
    }

    fn begin(
        &mut self,
        global: &fedwasm_params::Params,
        samples: &Samples,
    ) -> Result<(), AggregateError> {
        let (global, samples) = (global.clone(), samples.clone());
        self.round = Some(Round { global, samples, updates: Vec::new() });
        Ok(())
    }

    fn add(
        &mut self,
        node: &NodeId,
        update: &fedwasm_params::Params,
    ) -> Result<(), AggregateError> {
        match &mut self.round {
            Some(round) => {
                round.updates.push((node.clone(), update.clone()));
                Ok(())
            }
            None => Err(self.other("the round has not begun")),
        }
    }

    fn finish(&mut self) -> Result<fedwasm_params::Params, AggregateError> {
        let round = self.round.take().ok_or_else(|| self.other("the round has not begun"))?;
        let Round { global, samples, updates } = round;
        let updates: Vec<(String, u64, Params)> = updates
            .into_iter()
            .map(|(node, params)| {
                let n_samples = samples.get(&node).copied().unwrap_or_default();
                (node.to_string(), n_samples, Params(params))
            })
            .collect();
        let made = self.call(|py, object| {
            let made = object.call_method1(py, "aggregate", (Params(global.clone()), updates))?;
            Ok(made.extract::<Params>(py)?.0)
        })?;
        // In the order, element types and shapes of the global ones.
        let specs = global.iter().map(|(name, tensor)| (name, tensor.dtype(), tensor.shape()));
        let tensors = made.arrange(specs)?;
        let mut both = global.iter().zip(&tensors);
        if let Some(((name, _), _)) = both.find(|(_, tensor)| !tensor.is_finite()) {
            return Err(self.other(format!("it makes parameter `{name}` not finite")));
        }
        let named = global.iter().map(|(name, _)| name.to_owned()).zip(tensors).collect();
        Ok(fedwasm_params::Params::new(named)?)
    }

    fn state(&self) -> Result<fedwasm_params::Params, AggregateError> {
        self.call(|py, object| Ok(object.call_method0(py, "state")?.extract::<Params>(py)?.0))
    }

    fn restore(&mut self, state: &fedwasm_params::Params) -> Result<(), AggregateError> {
        let state = Params(state.clone());
        self.call(|py, object| object.call_method1(py, "restore", (state,)).map(drop))
    }
}

/// A strategy in Python, behind `fedwasm._own.Sampling`: `name` and `sample(nodes, round)`.
#[derive(Debug)]
pub(crate) struct PySampler {
    object: Py<PyAny>,
    name: String,
    raised: Raised,
}

impl PySampler {
    pub(crate) fn new(object: &Bound<'_, PyAny>, raised: &Raised) -> PyResult<Self> {
        let name = object.getattr("name")?.extract()?;
        Ok(Self { object: object.clone().unbind(), name, raised: raised.clone() })
    }
}

impl Sampler for PySampler {
    fn name(&self) -> &str {
        &self.name
    }

    fn sample(
        &self,
        nodes: &[NodeId],
        round: u32,
    ) -> Result<Vec<NodeId>, Box<dyn std::error::Error + Send + Sync>> {
        let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
        let chosen: PyResult<Vec<String>> = Python::attach(|py| {
            self.object.call_method1(py, "sample", (nodes, round))?.extract(py)
        });
        let chosen = chosen.map_err(|error| self.raised.keep(error))?;
        Ok(chosen.iter().map(|node| node.parse()).collect::<Result<_, _>>()?)
    }
}
