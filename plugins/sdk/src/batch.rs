//! Batches, and what a plan says that they must hold.

use crate::bindings::fedwasm::training_plan::types::{DataSpec, Dtype};
use crate::{PlanError, Result, Tensor};

/// What inputs are called that a plan does not name.
const INPUTS: &str = "inputs";
/// What targets are called that a plan does not name.
const TARGETS: &str = "targets";

/// Rows to train, to test or to predict on.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The first input that the plan declares, shape [rows, ...].
    pub inputs: Tensor,
    /// The first target; absent in prediction.
    pub targets: Targets,
    /// The other inputs, by name.
    pub other_inputs: Vec<(String, Tensor)>,
    /// The other targets, by name.
    pub other_targets: Vec<(String, Targets)>,
}

impl Batch {
    /// Takes another input than the first.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if there is none of this name.
    pub fn take_input(&mut self, name: &str) -> Result<Tensor> {
        let found = self.other_inputs.iter().position(|(key, _)| key == name);
        let missing = || PlanError::BadData(format!("the batch holds no input `{name}`"));
        found.map(|nth| self.other_inputs.swap_remove(nth).1).ok_or_else(missing)
    }

    /// Another target than the first.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if there is none of this name.
    pub fn target(&self, name: &str) -> Result<&Targets> {
        let found = self.other_targets.iter().find(|(key, _)| key == name);
        let missing = || PlanError::BadData(format!("the batch holds no target `{name}`"));
        found.map(|(_, targets)| targets).ok_or_else(missing)
    }
}

/// The targets of a batch.
#[derive(Clone, Debug)]
pub enum Targets {
    /// One class index a row, from 0 on.
    Classes(Vec<i64>),
    /// Real numbers, shape [rows, outputs].
    Reals(Tensor),
    /// None: predictions never see them.
    Absent,
}

impl Targets {
    /// Returns the class indices.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if the targets are no classes.
    pub fn classes(&self) -> Result<&[i64]> {
        match self {
            Self::Classes(classes) => Ok(classes),
            _ => Err(PlanError::BadData("targets are not class indices".into())),
        }
    }

    /// Returns real numbers of this shape. Classes are numbers, too, where the shape is [rows, 1].
    ///
    /// # Errors
    /// [`PlanError::BadData`] if the targets have another shape, or no row.
    pub fn reals(&self, shape: &[usize]) -> Result<Tensor> {
        let targets = match self {
            Self::Reals(targets) => targets.clone(),
            Self::Classes(classes) => {
                let data = classes.iter().map(|class| *class as f32).collect();
                Tensor::new(&[classes.len(), 1], data)?
            }
            Self::Absent => return Err(PlanError::BadData("there are no targets".into())),
        };
        let got = targets.shape();
        if got == shape && targets.data().is_empty() {
            return Err(PlanError::BadData("there are no rows to take a loss of".into()));
        }
        if got != shape {
            let text = format!("targets of shape {got:?} for outputs of shape {shape:?}");
            return Err(PlanError::BadData(text));
        }
        Ok(targets)
    }
}

/// What a batch must hold.
#[derive(Clone, Debug)]
pub struct Data {
    pub(crate) inputs: Vec<DataSpec>,
    pub(crate) targets: Vec<DataSpec>,
}

impl Data {
    /// Real numbers of this shape and one class index a row.
    #[must_use]
    pub fn classes(inputs: &[usize]) -> Self {
        Self::new(inputs, Dtype::Int64, &[])
    }

    /// Real numbers of this shape, and `n_outputs` real numbers a row.
    #[must_use]
    pub fn reals(inputs: &[usize], n_outputs: usize) -> Self {
        Self::new(inputs, Dtype::Float32, &[n_outputs])
    }

    /// And another input: real numbers of this shape.
    #[must_use]
    pub fn and_input(mut self, name: &str, shape: &[usize]) -> Self {
        self.inputs.push(spec(name, Dtype::Float32, shape));
        self
    }

    /// And another target: `n_outputs` real numbers a row.
    #[must_use]
    pub fn and_reals(mut self, name: &str, n_outputs: usize) -> Self {
        self.targets.push(spec(name, Dtype::Float32, &[n_outputs]));
        self
    }

    /// And another target: one class index a row.
    #[must_use]
    pub fn and_classes(mut self, name: &str) -> Self {
        self.targets.push(spec(name, Dtype::Int64, &[]));
        self
    }

    fn new(inputs: &[usize], target: Dtype, shape: &[usize]) -> Self {
        let inputs = spec(INPUTS, Dtype::Float32, inputs);
        Self { inputs: vec![inputs], targets: vec![spec(TARGETS, target, shape)] }
    }
}

fn spec(name: &str, dtype: Dtype, shape: &[usize]) -> DataSpec {
    let shape = shape.iter().map(|axis| *axis as u64).collect();
    DataSpec { name: name.into(), dtype, shape }
}
