//! An optimizer together with what it keeps.

use super::Optimizer;
use crate::{Parameter, Result, session};

/// An optimizer, its buffers for each parameter that it moves, and the number of steps.
#[derive(Debug)]
pub(crate) struct Stepper<O> {
    rule: O,
    /// For each parameter that is moved one vector a buffer.
    buffers: Vec<Vec<Vec<f32>>>,
    steps: u64,
}

/// Whether the buffers go on from round to round.
pub(crate) const KEEP_STATE: &str = "optimizer.keep_state";

/// Float32 counts up to here; what depends on the count has long reached its limit then.
const STEPS_MAX: u64 = 1 << 24;

impl<O: Optimizer> Stepper<O> {
    pub(crate) fn new(rule: O, parameters: &[&mut Parameter]) -> Self {
        let n_buffers = rule.buffers().len();
        let trained = parameters.iter().filter(|parameter| parameter.is_trained());
        let buffers = trained
            .map(|parameter| vec![vec![O::INITIAL; parameter.value.data().len()]; n_buffers])
            .collect();
        Self { rule, buffers, steps: 0 }
    }

    /// Takes one step and sets the gradients back to zero. `parameters` are the same ones in the
    /// same order at every call.
    pub(crate) fn step(&mut self, parameters: &mut [&mut Parameter]) {
        self.steps = STEPS_MAX.min(self.steps + 1);
        let trained = parameters.iter_mut().filter(|parameter| parameter.is_trained());
        for (parameter, buffers) in trained.zip(&mut self.buffers) {
            let Parameter { value, gradient, .. } = &mut **parameter;
            self.rule.step(self.steps, value.data_mut(), gradient.data_mut(), buffers);
        }
        for parameter in parameters {
            parameter.gradient.data_mut().fill(0.0);
        }
    }

    pub(crate) fn lr(&self) -> f32 {
        self.rule.lr()
    }

    /// Reads what was kept: as [`state`] lists it.
    pub(crate) fn read_state(&mut self) -> Result<()> {
        let mut index = 0;
        for buffer in self.buffers.iter_mut().flatten() {
            session::read_state(index, buffer)?;
            index += 1;
        }
        if O::COUNTS_STEPS {
            let mut steps = [0.0];
            session::read_state(index, &mut steps)?;
            self.steps = steps[0] as u64;
        }
        Ok(())
    }

    /// Writes what is kept.
    pub(crate) fn write_state(&self) -> Result<()> {
        let mut index = 0;
        for buffer in self.buffers.iter().flatten() {
            session::write_state(index, buffer)?;
            index += 1;
        }
        if O::COUNTS_STEPS {
            session::write_state(index, &[self.steps as f32])?;
        }
        Ok(())
    }
}

/// The names and shapes of an optimizer's node state for parameters of these names and shapes.
pub(crate) fn state<O: Optimizer>(
    rule: &O,
    parameters: &[(String, Vec<u64>)],
) -> Vec<(String, Vec<u64>)> {
    let mut specs = Vec::new();
    for (name, shape) in parameters {
        specs.extend(
            rule.buffers().iter().map(|buffer| (format!("{buffer}.{name}"), shape.clone())),
        );
    }
    if O::COUNTS_STEPS {
        specs.push(("steps".to_owned(), vec![1]));
    }
    specs
}
