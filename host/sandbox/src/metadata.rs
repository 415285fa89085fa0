//! What a plan says of itself, checked.

use std::collections::BTreeSet;

use fedwasm_artifact::CONTRACT_VERSION;
use fedwasm_protocol::{Arguments, Value, ValueKind, printable};
use serde::{Deserialize, Serialize};

/// The most arguments and dependencies of a plan, and of inputs and targets.
pub(crate) const LIST_LEN_MAX: usize = 256;
/// The longest name of an argument or a tensor, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The largest default of an argument, in bytes: it travels with every call.
const DEFAULT_BYTES_MAX: usize = 4 << 10;

/// What predictions mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

impl Metadata {
    /// Checks names, lengths and kinds, and cleans what people will read. What
    /// comes from a worker is checked here, where it is used.
    pub(crate) fn checked(mut self) -> Result<Self, String> {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(allowed) {
            return Err(format!("its name is `{}`", printable(&self.name)));
        }
        let is_version = self.version.parse::<semver::Version>().is_ok();
        if !is_version || self.version.len() > NAME_BYTES_MAX {
            return Err(format!("its version is `{}`", printable(&self.version)));
        }
        let longest = self.arguments.len().max(self.dependencies.len());
        if longest > LIST_LEN_MAX {
            return Err(format!("{longest} arguments or dependencies, at most {LIST_LEN_MAX}"));
        }
        if let Task::Other(task) = &mut self.task {
            *task = printable(task);
        }
        let mut names = BTreeSet::new();
        for argument in &mut self.arguments {
            check_argument(argument)?;
            if !names.insert(argument.name.clone()) {
                return Err(format!("it has two arguments called `{}`", argument.name));
            }
        }
        for dependency in &mut self.dependencies {
            let (Dependency::HostFeature(name)
            | Dependency::DataColumn(name)
            | Dependency::Runtime(name)) = dependency;
            *name = printable(name);
        }
        Ok(self)
    }

    /// Checks what this host offers; columns are checked where the data are.
    pub(crate) fn check_dependencies(&self) -> Result<(), String> {
        for dependency in &self.dependencies {
            match dependency {
                Dependency::HostFeature(name) => {
                    return Err(format!(
                        "the host feature `{name}`, which this host does not have"
                    ));
                }
                Dependency::Runtime(text) => match semver::VersionReq::parse(text) {
                    Ok(requirement) if requirement.matches(&CONTRACT_VERSION) => {}
                    Ok(_) => {
                        return Err(format!(
                            "contract {text}, this host speaks {CONTRACT_VERSION}"
                        ));
                    }
                    Err(_) => return Err(format!("contract `{text}`, which is no requirement")),
                },
                Dependency::DataColumn(_) => {}
            }
        }
        Ok(())
    }

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

    /// Checks that nobody gives what is the host's to give.
    ///
    /// # Errors
    /// [`crate::ArgumentError::OfHost`].
    pub fn check_given(&self, given: &Arguments) -> Result<(), crate::ArgumentError> {
        crate::arguments::check_given(self, given)
    }
}

fn check_argument(argument: &mut Argument) -> Result<(), String> {
    check_name(&argument.name)?;
    argument.doc = printable(&argument.doc);
    if let Default::Value(value) = &argument.default {
        let (name, kind) = (&argument.name, argument.kind);
        let bytes = value_bytes(value);
        if bytes > DEFAULT_BYTES_MAX {
            let max = DEFAULT_BYTES_MAX;
            return Err(format!("the default of `{name}` has {bytes} bytes, at most {max}"));
        }
        let value = value.clone().into_kind(kind);
        argument.default =
            Default::Value(value.ok_or(format!("the default of `{name}` is not {kind}"))?);
    }
    Ok(())
}

pub(crate) fn check_name(name: &str) -> Result<(), String> {
    // What people would read otherwise than it is, and what safetensors keeps for itself.
    let is_plain = printable(name) == name && name != "__metadata__";
    match !name.is_empty() && name.len() <= NAME_BYTES_MAX && is_plain {
        true => Ok(()),
        false => Err(format!("`{}` is not a name", printable(name))),
    }
}

/// Bytes of the texts and numbers of a value.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Boolean(_) | Value::Integer(_) | Value::Real(_) => 8,
        Value::Text(text) => text.len(),
        Value::Integers(values) => 8 * values.len(),
        Value::Reals(values) => 8 * values.len(),
        Value::Texts(texts) => texts.iter().map(|text| text.len() + 8).sum(),
    }
}
