//! The bindings of a version of the contract, and their conversion to this crate's own types. Each
//! version has types of its own, of the same names, so this is written once for all of them.

/// Makes the contents of a version's module from the directory of its text.
macro_rules! version {
    ($text:literal) => {
        use fedwasm_params::{DType, Tensor};
        use fedwasm_protocol::{Arguments, Value, ValueKind};
        use wasmtime::component::{Component, HasSelf, Linker};
        use wasmtime::{Result, Store};

        use super::{AccessError, PlanError, SlotName};
        use crate::declaration::{DataSpec, Declaration, Scope, TensorSpec};
        use crate::event::Level;
        use crate::host::Host;
        use crate::metadata::{Argument, Default, Dependency, Metadata, Task};
        use crate::request::{Export, PlainReport, Said};

        wasmtime::component::bindgen!({
            path: $text,
            world: "training-plan",
            imports: { default: trappable },
        });

        use exports::fedwasm::training_plan::plan;
        use fedwasm::training_plan::{loader, monitor, predictions, random, store, types};

        /// Offers plans the imports that all versions have.
        pub(super) fn add_common(linker: &mut Linker<Host>) -> Result<()> {
            types::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
            store::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
            loader::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
            predictions::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
            monitor::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
            random::add_to_linker::<_, HasSelf<_>>(linker, |host| host)
        }

        /// A compiled plan of this version whose imports are found.
        #[derive(Clone)]
        pub(crate) struct Linked(TrainingPlanPre<Host>);

        impl Linked {
            pub(super) fn new(linker: &Linker<Host>, component: &Component) -> Result<Self> {
                TrainingPlanPre::new(linker.instantiate_pre(component)?).map(Self)
            }

            pub(super) fn call(
                &self,
                store: &mut Store<Host>,
                export: Export,
                arguments: Arguments,
            ) -> Result<Result<Said, PlanError>> {
                let arguments: Vec<(String, types::Value)> =
                    arguments.into_iter().map(|(key, value)| (key, value.into())).collect();
                let plan = self.0.instantiate(&mut *store)?;
                let plan = plan.fedwasm_training_plan_plan();
                let nothing = |()| Said::Nothing;
                let report = |report: plan::Report| Said::Report(report.into());
                let said = match export {
                    Export::Describe => Ok(Said::Metadata(plan.call_describe(store)?.into())),
                    Export::Declare => {
                        plan.call_declare(store, &arguments)?.map(|said| Said::Declaration(said.into()))
                    }
                    Export::Init => plan.call_init(store, &arguments)?.map(nothing),
                    Export::Train => plan.call_train(store, &arguments)?.map(report),
                    Export::Predict => plan.call_predict(store, &arguments)?.map(nothing),
                    Export::Validate => plan.call_validate(store, &arguments)?.map(report),
                };
                Ok(said.map_err(Into::into))
            }
        }

        impl types::Host for Host {}

        impl store::Host for Host {
            fn read(
                &mut self,
                slot: store::Slot,
                index: u32,
                offset: u64,
                len: u32,
            ) -> Result<Result<Vec<u8>, types::AccessError>> {
                Ok(self.read_store(slot.into(), index, offset, len)?.map_err(Into::into))
            }

            fn write(
                &mut self,
                slot: store::Slot,
                index: u32,
                offset: u64,
                data: Vec<u8>,
            ) -> Result<Result<(), types::AccessError>> {
                Ok(self.write_store(slot.into(), index, offset, &data)?.map_err(Into::into))
            }
        }

        impl loader::Host for Host {
            fn next(&mut self) -> Result<Result<Option<loader::Batch>, types::AccessError>> {
                let cross = |tensors: Vec<(String, Tensor)>| -> Vec<(String, types::Tensor)> {
                    tensors.into_iter().map(|(name, tensor)| (name, tensor.into())).collect()
                };
                let cross = |(index, batch): (u64, crate::Batch)| {
                    let crate::Batch { rows, inputs, targets } = batch;
                    loader::Batch { index, rows, inputs: cross(inputs), targets: cross(targets) }
                };
                Ok(self.next_batch()?.map(|batch| batch.map(cross)).map_err(Into::into))
            }
        }

        impl predictions::Host for Host {
            fn emit(
                &mut self,
                index: u64,
                scores: types::Tensor,
            ) -> Result<Result<(), types::AccessError>> {
                let types::Tensor { dtype, shape, data } = scores;
                Ok(self.emit_scores(index, dtype.into(), shape, data)?.map_err(Into::into))
            }
        }

        impl monitor::Host for Host {
            fn log(&mut self, level: monitor::Level, message: String) -> Result<()> {
                self.log_line(level.into(), &message)
            }

            fn scalars(&mut self, values: Vec<(String, f64)>) -> Result<Result<(), types::AccessError>> {
                Ok(self.report_scalars(values)?.map_err(Into::into))
            }
        }

        impl random::Host for Host {
            fn bytes(&mut self, len: u32) -> Result<Result<Vec<u8>, types::AccessError>> {
                Ok(self.random_bytes(len)?.map_err(Into::into))
            }
        }

        impl From<AccessError> for types::AccessError {
            fn from(error: AccessError) -> Self {
                match error {
                    AccessError::Closed => Self::Closed,
                    AccessError::Cancelled => Self::Cancelled,
                    AccessError::UnknownTensor => Self::UnknownTensor,
                    AccessError::OutOfBounds => Self::OutOfBounds,
                    AccessError::ReadOnly => Self::ReadOnly,
                    AccessError::TooLarge => Self::TooLarge,
                    AccessError::Exhausted => Self::Exhausted,
                    AccessError::Mismatch => Self::Mismatch,
                    AccessError::Unavailable => Self::Unavailable,
                }
            }
        }

        impl From<types::PlanError> for PlanError {
            fn from(error: types::PlanError) -> Self {
                match error {
                    types::PlanError::Cancelled => Self::Cancelled,
                    types::PlanError::InvalidArgument(text) => Self::InvalidArgument(text),
                    types::PlanError::BadData(text) => Self::BadData(text),
                    types::PlanError::NonFinite(text) => Self::NonFinite(text),
                    types::PlanError::Unsupported(text) => Self::Unsupported(text),
                    types::PlanError::Internal(text) => Self::Internal(text),
                }
            }
        }

        impl From<store::Slot> for SlotName {
            fn from(slot: store::Slot) -> Self {
                match slot {
                    store::Slot::Model => Self::Model,
                    store::Slot::AuxIn => Self::AuxIn,
                    store::Slot::AuxOut => Self::AuxOut,
                    store::Slot::State => Self::State,
                }
            }
        }

        impl From<monitor::Level> for Level {
            fn from(level: monitor::Level) -> Self {
                match level {
                    monitor::Level::Debug => Self::Debug,
                    monitor::Level::Info => Self::Info,
                    monitor::Level::Warn => Self::Warn,
                    monitor::Level::Error => Self::Error,
                }
            }
        }

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
    };
}

pub(super) use version;
