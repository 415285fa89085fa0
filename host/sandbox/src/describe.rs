//! What a plan says of itself, checked.

use std::collections::BTreeSet;

use fedwasm_artifact::{CONTRACT_VERSION, Component};
use fedwasm_params::{DType, TENSORS_MAX};
use fedwasm_protocol::{Arguments, Value, ValueKind, printable};
use serde::Serialize;

use crate::bindings::{TrainingPlanPre, plan, types};
use crate::session::{Call, call};
use crate::{Error, Fault, FaultKind, Limits, PlanName, Sandbox};

/// The most arguments and dependencies of a plan.
const LIST_LEN_MAX: usize = 256;
/// The longest name of a plan, an argument or a tensor, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The most axes of a tensor; NumPy allows 64.
const AXES_MAX: usize = 16;

/// What predictions mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Scores of classes.
    Classification,
    /// Real numbers.
    Regression,
    /// Something else; no standard metrics apply.
    Other(String),
}

/// Where an argument's value comes from when nobody gives one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Default {
    /// It must be given.
    Required,
    /// The number of input columns of the dataset.
    InputColumns,
    /// The number of classes of the dataset's target.
    TargetClasses,
    /// This value.
    Value(Value),
}

/// An argument that a plan understands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Argument {
    /// Dotted key.
    pub name: String,
    /// Kind of value.
    pub kind: ValueKind,
    /// What holds when nobody gives it.
    pub default: Default,
    /// One sentence.
    pub doc: String,
}

/// What a plan needs beyond the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependency {
    /// An optional feature of the host.
    HostFeature(String),
    /// A column of the dataset.
    DataColumn(String),
    /// A version requirement on the contract.
    Runtime(String),
}

/// What a plan is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its predictions mean.
    pub task: Task,
    /// The arguments that it understands.
    pub arguments: Vec<Argument>,
    /// What it needs.
    pub dependencies: Vec<Dependency>,
}

/// Who may see a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The researcher, too.
    Shared,
    /// The node alone.
    Local,
}

/// One tensor of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorSpec {
    /// Unique within its store.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Lengths of the axes.
    pub shape: Vec<u64>,
    /// Whether training may write it.
    pub trainable: bool,
    /// Who may see it.
    pub scope: Scope,
}

/// One input or target of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DataSpec {
    /// Its name in batches.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Lengths of the axes of one row.
    pub shape: Vec<u64>,
}

/// The shapes of everything that a session holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

/// A plan that was compiled and has said what it is. Cheap to clone.
#[derive(Clone)]
pub struct Described {
    pub(crate) sandbox: Sandbox,
    pub(crate) pre: TrainingPlanPre<crate::host::Host>,
    pub(crate) plan: PlanName,
    pub(crate) metadata: Metadata,
    pub(crate) limits: Limits,
}

impl Described {
    /// What the plan is.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Name, version and digest.
    pub fn plan(&self) -> &PlanName {
        &self.plan
    }
}

impl std::fmt::Debug for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Described").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Compiles a plan and asks it what it is. All later calls get `limits`.
    /// Takes tens of milliseconds; do not call it on an async thread.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::Fault`], and [`Error::Dependency`] if the
    /// plan needs a feature or a contract that this host does not have.
    pub fn describe(&self, component: &Component, limits: Limits) -> Result<Described, Error> {
        let digest = component.digest();
        let refused =
            |error: wasmtime::Error| Error::Compile { digest, reason: format!("{error:#}") };
        let compiled = wasmtime::component::Component::from_binary(&self.engine, component.bytes());
        let pre = self.linker.instantiate_pre(&compiled.map_err(refused)?).map_err(refused)?;
        let pre = TrainingPlanPre::new(pre).map_err(refused)?;
        let plan = PlanName { name: String::new(), version: String::new(), digest };
        let (described, _) = call(self, &pre, &plan, Call::pure(&limits), |plan, store| {
            plan.fedwasm_training_plan_plan().call_describe(store)
        })?;
        let bad = |detail| Fault { plan: plan.clone(), kind: FaultKind::BadOutput, detail };
        let metadata = check_metadata(described).map_err(bad)?;
        let plan =
            PlanName { name: metadata.name.clone(), version: metadata.version.clone(), digest };
        check_dependencies(&plan, &metadata)?;
        Ok(Described { sandbox: self.clone(), pre, plan, metadata, limits })
    }
}

/// Checks what this host offers; columns are checked where the data are.
fn check_dependencies(plan: &PlanName, metadata: &Metadata) -> Result<(), Error> {
    let needs = |need| Err(Error::Dependency { plan: plan.clone(), need });
    for dependency in &metadata.dependencies {
        match dependency {
            Dependency::HostFeature(name) => {
                return needs(format!("the host feature `{name}`, which this host does not have"));
            }
            Dependency::Runtime(text) => match semver::VersionReq::parse(text) {
                Ok(requirement) if requirement.matches(&CONTRACT_VERSION) => {}
                Ok(_) => {
                    return needs(format!("contract {text}, this host speaks {CONTRACT_VERSION}"));
                }
                Err(_) => return needs(format!("contract `{text}`, which is no requirement")),
            },
            Dependency::DataColumn(_) => {}
        }
    }
    Ok(())
}

fn check_metadata(metadata: plan::Metadata) -> Result<Metadata, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let name = metadata.name;
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
        return Err(format!("its name is `{}`", printable(&name)));
    }
    if metadata.version.parse::<semver::Version>().is_err() {
        return Err(format!("its version is `{}`", printable(&metadata.version)));
    }
    let longest = metadata.arguments.len().max(metadata.dependencies.len());
    if longest > LIST_LEN_MAX {
        return Err(format!("{longest} arguments or dependencies, at most {LIST_LEN_MAX}"));
    }
    let task = match metadata.task {
        plan::Task::Classification => Task::Classification,
        plan::Task::Regression => Task::Regression,
        plan::Task::Other(text) => Task::Other(printable(&text)),
    };
    let arguments = metadata.arguments.into_iter().map(check_argument).collect::<Result<_, _>>()?;
    let dependencies = metadata.dependencies.into_iter().map(|dependency| match dependency {
        plan::Dependency::HostFeature(text) => Dependency::HostFeature(printable(&text)),
        plan::Dependency::DataColumn(text) => Dependency::DataColumn(printable(&text)),
        plan::Dependency::Runtime(text) => Dependency::Runtime(printable(&text)),
    });
    let dependencies = dependencies.collect();
    Ok(Metadata { name, version: metadata.version, task, arguments, dependencies })
}

fn check_argument(argument: plan::Argument) -> Result<Argument, String> {
    let kind = ValueKind::from(argument.kind);
    let name = check_name(argument.name)?;
    let default = match argument.default {
        plan::Default::Required => Default::Required,
        plan::Default::InputColumns => Default::InputColumns,
        plan::Default::TargetClasses => Default::TargetClasses,
        plan::Default::Value(value) => {
            let value = Value::from(value).into_kind(kind);
            Default::Value(value.ok_or(format!("the default of `{name}` is not {kind}"))?)
        }
    };
    Ok(Argument { name, kind, default, doc: printable(&argument.doc) })
}

fn check_name(name: String) -> Result<String, String> {
    match !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        true => Ok(name),
        false => Err(format!("`{}` is not a name", printable(&name))),
    }
}

/// Checks names, axes and sizes; `bytes_max` bounds all tensors together.
pub(crate) fn check_declaration(
    declaration: plan::Declaration,
    bytes_max: usize,
) -> Result<Declaration, String> {
    let mut left = bytes_max;
    let mut specs = |specs: Vec<types::TensorSpec>| -> Result<Vec<TensorSpec>, String> {
        let specs: Vec<TensorSpec> =
            specs.into_iter().map(tensor_spec).collect::<Result<_, _>>()?;
        let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        if names.len() != specs.len() || specs.len() > TENSORS_MAX {
            return Err("a store declares a name twice, or too many tensors".into());
        }
        for spec in &specs {
            let bytes = byte_len(spec.dtype, &spec.shape);
            let rest = bytes.and_then(|bytes| left.checked_sub(bytes));
            left = rest.ok_or(format!("it declares more than {bytes_max} bytes of tensors"))?;
        }
        Ok(specs)
    };
    Ok(Declaration {
        model: specs(declaration.model)?,
        aux_in: specs(declaration.aux_in)?,
        aux_out: specs(declaration.aux_out)?,
        state: specs(declaration.state)?,
        inputs: declaration.inputs.into_iter().map(data_spec).collect::<Result<_, _>>()?,
        targets: declaration.targets.into_iter().map(data_spec).collect::<Result<_, _>>()?,
    })
}

fn tensor_spec(spec: types::TensorSpec) -> Result<TensorSpec, String> {
    let scope = match spec.scope {
        types::Scope::Shared => Scope::Shared,
        types::Scope::Local => Scope::Local,
    };
    Ok(TensorSpec {
        name: check_name(spec.name)?,
        dtype: spec.dtype.into(),
        shape: check_shape(spec.shape)?,
        trainable: spec.trainable,
        scope,
    })
}

fn data_spec(spec: types::DataSpec) -> Result<DataSpec, String> {
    Ok(DataSpec {
        name: check_name(spec.name)?,
        dtype: spec.dtype.into(),
        shape: check_shape(spec.shape)?,
    })
}

fn check_shape(shape: Vec<u64>) -> Result<Vec<u64>, String> {
    match shape.len() {
        0..=AXES_MAX => Ok(shape),
        axes => Err(format!("a shape of {axes} axes, at most {AXES_MAX}")),
    }
}

fn byte_len(dtype: DType, shape: &[u64]) -> Option<usize> {
    let axis = |n: usize, axis: &u64| n.checked_mul(usize::try_from(*axis).ok()?);
    shape.iter().try_fold(dtype.size(), axis)
}

impl Metadata {
    /// Returns the arguments of a call: those given, checked, and the
    /// defaults of the rest. Only keys that start with one of `prefixes` take
    /// part.
    ///
    /// # Errors
    /// [`crate::ArgumentError`].
    pub fn arguments(
        &self,
        given: &Arguments,
        facts: &crate::DataFacts,
        prefixes: &[&str],
    ) -> Result<Arguments, crate::ArgumentError> {
        crate::arguments::resolve(self, given, facts, prefixes)
    }
}
