//! Batches, and what a plan says that they must hold.

use crate::bindings::fedwasm::training_plan::types::{self as wit, DataSpec};
use crate::{Dtype, PlanError, Result, Tensor, engine};

/// What inputs are called that a plan does not name.
const INPUTS: &str = "inputs";
/// What targets are called that a plan does not name.
const TARGETS: &str = "targets";
/// Why targets are not there.
const NO_TARGETS: &str = "a batch that is predicted has no targets";

/// Rows to train, to test or to predict on.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The first input that the plan declares, shape [rows, ..].
    pub inputs: Tensor,
    /// The first target: classes int64 `[rows]`, numbers float32 [rows, outputs]. In prediction there
    /// are none, and using them is a mistake.
    pub targets: Tensor,
    rows: usize,
    all_inputs: Vec<(String, Tensor)>,
    all_targets: Vec<(String, Tensor)>,
}

impl Batch {
    /// A batch of these inputs and targets, for tests.
    #[must_use]
    pub fn new(inputs: Tensor, targets: Tensor) -> Self {
        let rows = inputs.size(0);
        Self::of(rows, vec![(INPUTS.into(), inputs)], vec![(TARGETS.into(), targets)])
    }

    fn of(rows: usize, inputs: Vec<(String, Tensor)>, targets: Vec<(String, Tensor)>) -> Self {
        let first = |all: &[(String, Tensor)], none| {
            all.first().map_or_else(|| Tensor::absent(none), |(_, tensor)| tensor.clone())
        };
        Self {
            inputs: first(&inputs, "the batch holds no input"),
            targets: first(&targets, NO_TARGETS),
            rows,
            all_inputs: inputs,
            all_targets: targets,
        }
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The input of this name.
    #[must_use]
    #[track_caller]
    pub fn input(&self, name: &str) -> Tensor {
        find(&self.all_inputs, name, "input")
    }

    /// The target of this name.
    #[must_use]
    #[track_caller]
    pub fn target(&self, name: &str) -> Tensor {
        match self.all_targets.is_empty() {
            true => Tensor::absent(NO_TARGETS),
            false => find(&self.all_targets, name, "target"),
        }
    }
}

#[track_caller]
fn find(all: &[(String, Tensor)], name: &str, what: &str) -> Tensor {
    if let Some((_, tensor)) = all.iter().find(|(known, _)| known == name) {
        return tensor.clone();
    }
    let known: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let text = format!("the batch holds no {what} `{name}`, only `{}`", known.join("`, `"));
    engine::note(PlanError::Internal(text));
    Tensor::failed()
}

/// What a batch must hold.
#[derive(Clone, Debug)]
pub struct Data {
    pub(crate) inputs: Vec<DataSpec>,
    pub(crate) targets: Vec<DataSpec>,
}

impl Data {
    /// Float32 inputs of this shape a row, and one class index a row.
    #[must_use]
    pub fn classes(inputs: &[usize]) -> Self {
        Self::new(Dtype::F32, inputs).target(TARGETS, Dtype::I64, &[])
    }

    /// Float32 inputs of this shape a row, and `n_outputs` float32 numbers a row.
    #[must_use]
    pub fn reals(inputs: &[usize], n_outputs: usize) -> Self {
        Self::new(Dtype::F32, inputs).target(TARGETS, Dtype::F32, &[n_outputs])
    }

    /// Inputs of any dtype and this shape a row, and no target yet.
    #[must_use]
    pub fn new(dtype: Dtype, inputs: &[usize]) -> Self {
        Self { inputs: vec![spec(INPUTS, dtype, inputs)], targets: Vec::new() }
    }

    /// Nothing yet: of a plan that names its first input.
    #[doc(hidden)]
    #[must_use]
    pub fn empty() -> Self {
        Self { inputs: Vec::new(), targets: Vec::new() }
    }

    /// The first input as int64, such as words for an embedding.
    #[must_use]
    pub fn whole_numbers(mut self) -> Self {
        if let Some(first) = self.inputs.first_mut() {
            first.dtype = wit::Dtype::Int64;
        }
        self
    }

    /// And another input: float32 of this shape a row.
    #[must_use]
    pub fn input(self, name: &str, shape: &[usize]) -> Self {
        self.input_of(name, Dtype::F32, shape)
    }

    /// And another input of any dtype.
    #[must_use]
    pub fn input_of(mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Self {
        self.inputs.push(spec(name, dtype, shape));
        self
    }

    /// And another target: `n_outputs` float32 numbers a row.
    #[must_use]
    pub fn target_reals(self, name: &str, n_outputs: usize) -> Self {
        self.target(name, Dtype::F32, &[n_outputs])
    }

    /// And another target: one class index a row.
    #[must_use]
    pub fn target_classes(self, name: &str) -> Self {
        self.target(name, Dtype::I64, &[])
    }

    /// And another target of any dtype and shape a row.
    #[must_use]
    pub fn target(mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Self {
        self.targets.push(spec(name, dtype, shape));
        self
    }

    /// The next batch and its number.
    pub(crate) fn next(&self) -> Result<Option<(Batch, u64)>> {
        let Some(rows) = engine::next(&self.inputs, &self.targets)? else { return Ok(None) };
        let named = |tensors: Vec<_>, specs: &[DataSpec]| {
            let tensors = tensors.into_iter().map(|held| Tensor::of(Some(held)));
            specs.iter().map(|spec| spec.name.clone()).zip(tensors).collect()
        };
        let inputs = named(rows.inputs, &self.inputs);
        let targets = named(rows.targets, &self.targets);
        Ok(Some((Batch::of(rows.rows as usize, inputs, targets), rows.index)))
    }
}

fn spec(name: &str, dtype: Dtype, shape: &[usize]) -> DataSpec {
    let dtype = match dtype {
        Dtype::F32 => wit::Dtype::Float32,
        Dtype::F64 => wit::Dtype::Float64,
        Dtype::I64 => wit::Dtype::Int64,
        Dtype::Bool => wit::Dtype::Boolean,
    };
    let shape = shape.iter().map(|size| *size as u64).collect();
    DataSpec { name: name.into(), dtype, shape }
}
