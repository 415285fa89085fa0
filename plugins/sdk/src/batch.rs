//! Batches, and what a plan says that they must hold.

use crate::bindings::fedwasm::training_plan::types::{DataSpec, Dtype};
use crate::{PlanError, Result, Tensor};

/// The name of the only input in this version.
pub(crate) const INPUTS: &str = "inputs";
/// The name of the only target in this version.
pub(crate) const TARGETS: &str = "targets";

/// Rows to train or to test on.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Inputs, shape [rows, columns].
    pub inputs: Inputs,
    /// Targets, one entry or line a row.
    pub targets: Targets,
}

/// The inputs of a batch, shape [rows, columns].
pub type Inputs = Tensor;

/// The targets of a batch.
#[derive(Clone, Debug)]
pub enum Targets {
    /// One class index a row, from 0 on.
    Classes(Vec<i64>),
    /// Real numbers, shape [rows, outputs].
    Reals(Tensor),
}

impl Targets {
    /// Returns the class indices.
    ///
    /// # Errors
    /// [`PlanError::BadData`] if the targets are real numbers.
    pub fn classes(&self) -> Result<&[i64]> {
        match self {
            Self::Classes(classes) => Ok(classes),
            Self::Reals(_) => Err(PlanError::BadData("targets are not class indices".into())),
        }
    }
}

/// What a batch must hold.
#[derive(Clone, Debug)]
pub struct Data {
    pub(crate) inputs: Vec<DataSpec>,
    pub(crate) targets: Vec<DataSpec>,
}

impl Data {
    /// `n_inputs` real numbers and one class index a row.
    pub fn classes(n_inputs: usize) -> Self {
        Self::new(n_inputs, Dtype::Int64, Vec::new())
    }

    /// `n_inputs` and `n_outputs` real numbers a row.
    pub fn reals(n_inputs: usize, n_outputs: usize) -> Self {
        Self::new(n_inputs, Dtype::Float32, vec![n_outputs as u64])
    }

    fn new(n_inputs: usize, target: Dtype, shape: Vec<u64>) -> Self {
        let inputs =
            DataSpec { name: INPUTS.into(), dtype: Dtype::Float32, shape: vec![n_inputs as u64] };
        let targets = DataSpec { name: TARGETS.into(), dtype: target, shape };
        Self { inputs: vec![inputs], targets: vec![targets] }
    }
}
