//! The contract as wasmtime sees it, and conversions to the crate's own types.
#![allow(missing_docs, unreachable_pub)]

use fedwasm_params::{DType, Tensor};
use fedwasm_protocol::{Value, ValueKind};

use crate::declaration::{DataSpec, Declaration, Scope, TensorSpec};
use crate::metadata::{Argument, Default, Dependency, Metadata, Task};
use crate::request::PlainReport;

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "training-plan",
    imports: { default: trappable },
});

pub use exports::fedwasm::training_plan::plan;
pub use fedwasm::training_plan::{loader, monitor, predictions, random, store, types};

impl From<types::Dtype> for DType {
    fn from(dtype: types::Dtype) -> Self {
        match dtype {
            types::Dtype::Boolean => Self::Boolean,
            types::Dtype::Uint8 => Self::UInt8,
            types::Dtype::Int8 => Self::Int8,
            types::Dtype::Int16 => Self::Int16,
            types::Dtype::Int32 => Self::Int32,
            types::Dtype::Int64 => Self::Int64,
            types::Dtype::Float16 => Self::Float16,
            types::Dtype::Bfloat16 => Self::BFloat16,
            types::Dtype::Float32 => Self::Float32,
            types::Dtype::Float64 => Self::Float64,
        }
    }
}

impl From<DType> for types::Dtype {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::Boolean => Self::Boolean,
            DType::UInt8 => Self::Uint8,
            DType::Int8 => Self::Int8,
            DType::Int16 => Self::Int16,
            DType::Int32 => Self::Int32,
            DType::Int64 => Self::Int64,
            DType::Float16 => Self::Float16,
            DType::BFloat16 => Self::Bfloat16,
            DType::Float32 => Self::Float32,
            DType::Float64 => Self::Float64,
        }
    }
}

impl From<Tensor> for types::Tensor {
    fn from(tensor: Tensor) -> Self {
        let (dtype, shape, data) = tensor.into_parts();
        Self { dtype: dtype.into(), shape, data }
    }
}

impl TryFrom<types::Tensor> for Tensor {
    type Error = fedwasm_params::Error;

    fn try_from(tensor: types::Tensor) -> Result<Self, Self::Error> {
        Self::new(tensor.dtype.into(), tensor.shape, tensor.data)
    }
}

impl From<Value> for types::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value),
            Value::Integers(values) => Self::Integers(values),
            Value::Reals(values) => Self::Reals(values),
            Value::Texts(values) => Self::Texts(values),
        }
    }
}

impl From<types::Value> for Value {
    fn from(value: types::Value) -> Self {
        match value {
            types::Value::Boolean(value) => Self::Boolean(value),
            types::Value::Integer(value) => Self::Integer(value),
            types::Value::Real(value) => Self::Real(value),
            types::Value::Text(value) => Self::Text(value),
            types::Value::Integers(values) => Self::Integers(values),
            types::Value::Reals(values) => Self::Reals(values),
            types::Value::Texts(values) => Self::Texts(values),
        }
    }
}

impl From<types::ValueKind> for ValueKind {
    fn from(kind: types::ValueKind) -> Self {
        match kind {
            types::ValueKind::Boolean => Self::Boolean,
            types::ValueKind::Integer => Self::Integer,
            types::ValueKind::Real => Self::Real,
            types::ValueKind::Text => Self::Text,
            types::ValueKind::Integers => Self::Integers,
            types::ValueKind::Reals => Self::Reals,
            types::ValueKind::Texts => Self::Texts,
        }
    }
}

impl From<plan::Metadata> for Metadata {
    fn from(said: plan::Metadata) -> Self {
        let plan::Metadata { name, version, task, arguments, dependencies } = said;
        let task = match task {
            plan::Task::Classification => Task::Classification,
            plan::Task::Regression => Task::Regression,
            plan::Task::Other(text) => Task::Other(text),
        };
        let arguments = arguments.into_iter().map(|argument| Argument {
            name: argument.name,
            kind: argument.kind.into(),
            default: match argument.default {
                plan::Default::Required => Default::Required,
                plan::Default::InputColumns => Default::InputColumns,
                plan::Default::TargetClasses => Default::TargetClasses,
                plan::Default::Value(value) => Default::Value(value.into()),
            },
            doc: argument.doc,
        });
        let dependencies = dependencies.into_iter().map(|dependency| match dependency {
            plan::Dependency::HostFeature(text) => Dependency::HostFeature(text),
            plan::Dependency::DataColumn(text) => Dependency::DataColumn(text),
            plan::Dependency::Runtime(text) => Dependency::Runtime(text),
        });
        let (arguments, dependencies) = (arguments.collect(), dependencies.collect());
        Self { name, version, task, arguments, dependencies }
    }
}

impl From<types::TensorSpec> for TensorSpec {
    fn from(spec: types::TensorSpec) -> Self {
        let types::TensorSpec { name, dtype, shape, trainable, scope } = spec;
        let scope = match scope {
            types::Scope::Shared => Scope::Shared,
            types::Scope::Local => Scope::Local,
        };
        Self { name, dtype: dtype.into(), shape, trainable, scope }
    }
}

impl From<types::DataSpec> for DataSpec {
    fn from(spec: types::DataSpec) -> Self {
        Self { name: spec.name, dtype: spec.dtype.into(), shape: spec.shape }
    }
}

impl From<plan::Declaration> for Declaration {
    fn from(said: plan::Declaration) -> Self {
        let specs = |specs: Vec<types::TensorSpec>| specs.into_iter().map(Into::into).collect();
        let data = |specs: Vec<types::DataSpec>| specs.into_iter().map(Into::into).collect();
        Self {
            inputs: data(said.inputs),
            targets: data(said.targets),
            model: specs(said.model),
            aux_in: specs(said.aux_in),
            aux_out: specs(said.aux_out),
            state: specs(said.state),
        }
    }
}

impl From<plan::Report> for PlainReport {
    fn from(report: plan::Report) -> Self {
        Self { steps: report.steps, rows: report.rows, metrics: report.metrics }
    }
}
