//! Between the types of the contract that the SDK has and those of the host.

use std::cell::RefCell;
use std::rc::Rc;

use fedwasm_params::{DType, Tensor};
use fedwasm_protocol::{Arguments, Value, ValueKind};
use fedwasm_sandbox::{
    AccessError, Argument, DataSpec, Declaration, Default, Dependency, Imports, Level, Metadata,
    PlanError, Report, Scope, SlotName, Task, TensorSpec,
};
use fedwasm_sdk::native::{self, Host, Slot};
use fedwasm_sdk::{Dependency as SdkDependency, PlanError as SdkError, Scope as SdkScope};

/// Lets these be the imports of an export that runs natively.
pub(crate) fn with_imports<T>(imports: &Imports, f: impl FnOnce() -> T) -> T {
    native::with_host(Rc::new(RefCell::new(OfCall(imports.clone()))), f)
}

struct OfCall(Imports);

fn refused(what: &'static str) -> impl Fn(AccessError) -> SdkError {
    move |error| match error {
        AccessError::Cancelled => SdkError::Cancelled,
        other => SdkError::Internal(format!("the host refused {what}: {other:?}")),
    }
}

fn slot(slot: Slot) -> SlotName {
    match slot {
        Slot::Model => SlotName::Model,
        Slot::AuxIn => SlotName::AuxIn,
        Slot::AuxOut => SlotName::AuxOut,
        Slot::State => SlotName::State,
    }
}

impl Host for OfCall {
    fn read(&mut self, of: Slot, index: u32, offset: u64, len: usize) -> Result<Vec<u8>, SdkError> {
        self.0.read(slot(of), index, offset, len as u32).map_err(refused("to read a tensor"))
    }

    fn write(&mut self, of: Slot, index: u32, offset: u64, bytes: &[u8]) -> Result<(), SdkError> {
        self.0.write(slot(of), index, offset, bytes).map_err(refused("to write a tensor"))
    }

    fn next(&mut self) -> Result<Option<native::Batch>, SdkError> {
        let next = self.0.next().map_err(refused("a batch"))?;
        let tensors = |all: Vec<(String, Tensor)>| {
            all.into_iter().map(|(name, tensor)| (name, given(tensor))).collect()
        };
        Ok(next.map(|(index, batch)| native::Batch {
            index,
            rows: batch.rows,
            inputs: tensors(batch.inputs),
            targets: tensors(batch.targets),
        }))
    }

    fn emit(&mut self, index: u64, scores: &native::Tensor) -> Result<(), SdkError> {
        let native::Tensor { dtype: of, shape, data } = scores.clone();
        let wrong = |error: fedwasm_params::Error| SdkError::Internal(error.to_string());
        let scores = Tensor::new(dtype(of), shape, data).map_err(wrong)?;
        self.0.emit(index, scores).map_err(refused("predictions"))
    }

    fn random(&mut self, len: usize) -> Result<Vec<u8>, SdkError> {
        self.0.random(len as u32).map_err(refused("random bytes"))
    }

    fn scalars(&mut self, values: &[(String, f64)]) {
        // Training goes on after the monitor is full.
        let _ = self.0.scalars(values.to_vec());
    }

    fn log(&mut self, level: native::Level, line: &str) {
        let level = match level {
            native::Level::Debug => Level::Debug,
            native::Level::Info => Level::Info,
            native::Level::Warn => Level::Warn,
            native::Level::Error => Level::Error,
        };
        self.0.log(level, line);
    }
}

/// A table of two enums with the same variants.
macro_rules! dtypes {
    ($($host:ident $sdk:ident;)*) => {
        fn dtype(of: native::Dtype) -> DType {
            match of { $(native::Dtype::$sdk => DType::$host,)* }
        }

        fn given(tensor: Tensor) -> native::Tensor {
            let (of, shape, data) = tensor.into_parts();
            let dtype = match of { $(DType::$host => native::Dtype::$sdk,)* };
            native::Tensor { dtype, shape, data }
        }
    };
}

dtypes! {
    Boolean Boolean;
    UInt8 Uint8;
    Int8 Int8;
    Int16 Int16;
    Int32 Int32;
    Int64 Int64;
    Float16 Float16;
    BFloat16 Bfloat16;
    Float32 Float32;
    Float64 Float64;
}

/// Another table of two enums with the same variants.
macro_rules! values {
    ($($variant:ident)*) => {
        fn sdk_value(value: &Value) -> native::Value {
            match value.clone() { $(Value::$variant(value) => native::Value::$variant(value),)* }
        }

        fn value(value: native::Value) -> Value {
            match value { $(native::Value::$variant(value) => Value::$variant(value),)* }
        }

        fn kind(kind: native::ValueKind) -> ValueKind {
            match kind { $(native::ValueKind::$variant => ValueKind::$variant,)* }
        }
    };
}

values! { Boolean Integer Real Text Integers Reals Texts }

pub(crate) fn arguments(arguments: &Arguments) -> Vec<(String, native::Value)> {
    arguments.iter().map(|(name, value)| (name.clone(), sdk_value(value))).collect()
}

pub(crate) fn plan_error(error: SdkError) -> PlanError {
    match error {
        SdkError::Cancelled => PlanError::Cancelled,
        SdkError::InvalidArgument(text) => PlanError::InvalidArgument(text),
        SdkError::BadData(text) => PlanError::BadData(text),
        SdkError::NonFinite(text) => PlanError::NonFinite(text),
        SdkError::Unsupported(text) => PlanError::Unsupported(text),
        SdkError::Internal(text) => PlanError::Internal(text),
    }
}

pub(crate) fn metadata(of: native::Metadata) -> Metadata {
    let native::Metadata { name, version, task, arguments, dependencies } = of;
    let default = |default| match default {
        native::Default::Required => Default::Required,
        native::Default::InputColumns => Default::InputColumns,
        native::Default::TargetClasses => Default::TargetClasses,
        native::Default::Value(of) => Default::Value(value(of)),
    };
    let argument = |one: native::Argument| Argument {
        name: one.name,
        kind: kind(one.kind),
        default: default(one.default),
        doc: one.doc,
    };
    let dependency = |one| match one {
        SdkDependency::HostFeature(name) => Dependency::HostFeature(name),
        SdkDependency::DataColumn(name) => Dependency::DataColumn(name),
        SdkDependency::Runtime(name) => Dependency::Runtime(name),
    };
    Metadata {
        name,
        version,
        task: match task {
            native::Task::Classification => Task::Classification,
            native::Task::Regression => Task::Regression,
            native::Task::Other(name) => Task::Other(name),
        },
        arguments: arguments.into_iter().map(argument).collect(),
        dependencies: dependencies.into_iter().map(dependency).collect(),
    }
}

pub(crate) fn declaration(of: native::Declaration) -> Declaration {
    let data = |all: Vec<native::DataSpec>| {
        let spec = |one: native::DataSpec| DataSpec {
            name: one.name,
            dtype: dtype(one.dtype),
            shape: one.shape,
        };
        all.into_iter().map(spec).collect()
    };
    let tensors = |all: Vec<native::TensorSpec>| {
        let spec = |one: native::TensorSpec| TensorSpec {
            name: one.name,
            dtype: dtype(one.dtype),
            shape: one.shape,
            trainable: one.trainable,
            scope: match one.scope {
                SdkScope::Shared => Scope::Shared,
                SdkScope::Local => Scope::Local,
            },
        };
        all.into_iter().map(spec).collect()
    };
    Declaration {
        inputs: data(of.inputs),
        targets: data(of.targets),
        model: tensors(of.model),
        aux_in: tensors(of.aux_in),
        aux_out: tensors(of.aux_out),
        state: tensors(of.state),
    }
}

pub(crate) fn report(of: native::Report) -> Report {
    Report { steps: of.steps, rows: of.rows, metrics: of.metrics.into_iter().collect() }
}
