//! The shapes that a plan declares, checked.

use std::collections::BTreeSet;

use fedwasm_params::{DType, TENSORS_MAX};
use serde::{Deserialize, Serialize};

use crate::metadata::{LIST_LEN_MAX, check_name};

/// The most axes of a tensor; NumPy allows 64.
const AXES_MAX: usize = 16;

/// The visibility of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The node and the researcher.
    Shared,
    /// The node alone.
    Local,
}

/// One tensor of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Unique within its store.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Lengths of the axes.
    pub shape: Vec<u64>,
    /// Whether training may write it.
    pub trainable: bool,
    /// Its visibility.
    pub scope: Scope,
}

/// One input or target of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSpec {
    /// Its name in batches.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Lengths of the axes of one row.
    pub shape: Vec<u64>,
}

/// The shapes of everything that a session holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// Inputs of a batch.
    pub inputs: Vec<DataSpec>,
    /// Targets of a batch.
    pub targets: Vec<DataSpec>,
    /// Model parameters.
    pub model: Vec<TensorSpec>,
    /// Auxiliary variables from the researcher.
    pub aux_in: Vec<TensorSpec>,
    /// Auxiliary variables for the researcher.
    pub aux_out: Vec<TensorSpec>,
    /// Node state.
    pub state: Vec<TensorSpec>,
}

impl Declaration {
    /// Checks names, axes and sizes; `bytes_max` bounds all tensors together.
    /// A worker's answer is checked here, where it is used.
    pub(crate) fn check(&self, bytes_max: usize) -> Result<(), String> {
        let mut left = bytes_max;
        for specs in [&self.model, &self.aux_in, &self.aux_out, &self.state] {
            let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            if names.len() != specs.len() || specs.len() > TENSORS_MAX {
                return Err("a store has a duplicate name or too many tensors".into());
            }
            for spec in specs {
                check_name(&spec.name)?;
                check_shape(&spec.shape)?;
                let bytes = byte_len(spec.dtype, &spec.shape);
                let rest = bytes.and_then(|bytes| left.checked_sub(bytes));
                left = rest.ok_or_else(|| {
                    format!(
                        "it declares more than {bytes_max} bytes of tensors (`declared_bytes_max`)"
                    )
                })?;
            }
        }
        let n = self.inputs.len().max(self.targets.len());
        if n > LIST_LEN_MAX {
            return Err(format!("{n} inputs or targets, at most {LIST_LEN_MAX}"));
        }
        for spec in self.inputs.iter().chain(&self.targets) {
            check_name(&spec.name)?;
            check_shape(&spec.shape)?;
        }
        Ok(())
    }
}

fn check_shape(shape: &[u64]) -> Result<(), String> {
    match shape.len() {
        0..=AXES_MAX => Ok(()),
        axes => Err(format!("a shape of {axes} axes, at most {AXES_MAX}")),
    }
}

fn byte_len(dtype: DType, shape: &[u64]) -> Option<usize> {
    let axis = |n: usize, axis: &u64| n.checked_mul(usize::try_from(*axis).ok()?);
    shape.iter().try_fold(dtype.size(), axis)
}
