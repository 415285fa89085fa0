//! A plan's description of itself, checked.

use std::collections::BTreeSet;

use fedwasm_artifact::Contract;
use fedwasm_protocol::{Value, ValueKind, printable};
use serde::{Deserialize, Serialize};

/// The most arguments and dependencies of a plan, and of inputs and targets.
pub(crate) const LIST_LEN_MAX: usize = 256;
/// The longest name of an argument or a tensor, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The largest default of an argument, in bytes: it travels with every call.
const DEFAULT_BYTES_MAX: usize = 4 << 10;

/// The prefix of host features that announce a metric: `metric/top3`.
const METRIC: &str = "metric/";
/// The most metrics that a plan announces, and the longest name of one, in bytes.
const METRICS_MAX: usize = 16;
const METRIC_BYTES_MAX: usize = 64;
/// The names that every plan may report without announcing them.
const METRICS: [&str; 2] = ["loss", "optimizer.lr"];

/// The names of the metrics that the host computes of scores; several outputs have `_1`, `_2`.
const OF_SCORES: [&str; 7] = [
    "accuracy",
    "precision",
    "recall",
    "f1_score",
    "mean_square_error",
    "mean_absolute_error",
    "explained_variance",
];

/// The meaning of predictions.
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

/// The default of an argument.
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
    /// Its default.
    pub default: Default,
    /// One sentence.
    pub doc: String,
}

/// A need of a plan beyond the contract.
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

/// The description of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The meaning of its predictions.
    pub task: Task,
    /// The arguments that it understands.
    pub arguments: Vec<Argument>,
    /// Its needs beyond the contract.
    pub dependencies: Vec<Dependency>,
}

impl Metadata {
    /// Checks names, lengths and kinds, and cleans the texts that people will read. A worker's
    /// answer is checked here, where it is used.
    pub(crate) fn checked(mut self) -> Result<Self, String> {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(allowed) {
            return Err(format!(
                "its name `{}` is invalid; expected 1 to 64 of a-z, 0-9, `_` and `-`",
                printable(&self.name)
            ));
        }
        let is_version = self.version.parse::<semver::Version>().is_ok();
        if !is_version || self.version.len() > NAME_BYTES_MAX {
            return Err(format!(
                "its version `{}` is not a semantic version such as 1.0.0",
                printable(&self.version)
            ));
        }
        let longest = self.arguments.len().max(self.dependencies.len());
        if longest > LIST_LEN_MAX {
            return Err(format!(
                "it lists {longest} arguments or dependencies, at most {LIST_LEN_MAX} are allowed"
            ));
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
        if let Some(name) = self.announced().find(|name| !is_metric(name)) {
            return Err(format!(
                "it announces the metric `{name}`; expected 1 to {METRIC_BYTES_MAX} of a-z, 0-9, \
                 `_`, `-` and `.`"
            ));
        }
        let of_host = |name: &&str| OF_SCORES.iter().any(|own| name.starts_with(own));
        if let (false, Some(name)) =
            (matches!(self.task, Task::Other(_)), self.announced().find(of_host))
        {
            return Err(format!("it announces the metric `{name}`, which the host computes"));
        }
        let announced = self.announced().count();
        if announced > METRICS_MAX {
            return Err(format!("it announces {announced} metrics, at most {METRICS_MAX}"));
        }
        Ok(self)
    }

    /// The names of the metrics that the plan announces as host features
    /// `metric/NAME`.
    fn announced(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter_map(|dependency| match dependency {
            Dependency::HostFeature(name) => name.strip_prefix(METRIC),
            Dependency::DataColumn(_) | Dependency::Runtime(_) => None,
        })
    }

    /// The names of all numbers that the plan may report.
    pub fn reported(&self) -> impl Iterator<Item = &str> {
        METRICS.into_iter().chain(self.announced())
    }

    /// Whether the plan may report a number under this name: `loss`,
    /// `optimizer.lr`, or one that it announces. The operator who approves the plan reads the
    /// names; a name made from data must not leave.
    pub fn may_report(&self, name: &str) -> bool {
        self.reported().any(|reported| reported == name)
    }

    /// Checks the plan's needs against this host's features; columns are checked with the data.
    pub(crate) fn check_dependencies(&self) -> Result<(), String> {
        for dependency in &self.dependencies {
            match dependency {
                Dependency::HostFeature(name) if name.starts_with(METRIC) => {}
                Dependency::HostFeature(name) => {
                    return Err(format!(
                        "the host feature `{name}`, which this host does not have and no operator can \
                         grant"
                    ));
                }
                Dependency::Runtime(text) => match semver::VersionReq::parse(text) {
                    Ok(requirement) if Contract::meets(&requirement) => {}
                    Ok(_) => {
                        let spoken = Contract::spoken();
                        return Err(format!("contract {text}, and this host implements {spoken}"));
                    }
                    Err(_) => {
                        return Err(format!(
                            "contract `{text}`, which is not a version requirement"
                        ));
                    }
                },
                Dependency::DataColumn(_) => {}
            }
        }
        Ok(())
    }
}

fn is_metric(name: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    (1..=METRIC_BYTES_MAX).contains(&name.len()) && name.chars().all(allowed)
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
    // Characters that people would misread, and the names that safetensors reserves.
    let is_plain = printable(name) == name && name != "__metadata__";
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && is_plain {
        Ok(())
    } else {
        Err(format!("`{}` is not a name", printable(name)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(task: Task, features: &[&str]) -> Result<Metadata, String> {
        let feature = |name: &&str| Dependency::HostFeature((*name).into());
        let dependencies = features.iter().map(feature).collect();
        let (name, version) = ("p".into(), "0.1.0".into());
        Metadata { name, version, task, arguments: Vec::new(), dependencies }.checked()
    }

    #[test]
    fn a_plan_reports_the_metrics_that_it_announces_and_no_others() {
        let plan = checked(Task::Classification, &["metric/top3", "metric/optimizer.mu"]).unwrap();
        plan.check_dependencies().unwrap();
        let names = ["loss", "optimizer.lr", "top3", "optimizer.mu", "row 7", "top", "metric/top3"];
        let told: Vec<&str> = names.into_iter().filter(|name| plan.may_report(name)).collect();
        assert_eq!(told, ["loss", "optimizer.lr", "top3", "optimizer.mu"]);
        for name in ["metric/", "metric/A", "metric/row 7", &format!("metric/{}", "a".repeat(65))] {
            assert!(checked(Task::Classification, &[name]).is_err(), "{name}");
        }
        let many: Vec<String> = (0..17).map(|n| format!("metric/m{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(checked(Task::Classification, &many[..16]).is_ok());
        assert!(checked(Task::Classification, &many).is_err());
        // The host leaves some of its own out on purpose, such as an F1 without positives.
        let names = ["metric/f1_score"];
        assert!(checked(Task::Classification, &names).is_err());
        assert!(checked(Task::Other("rank".into()), &names).is_ok());
        let error = checked(Task::Classification, &["gpu"]).unwrap().check_dependencies();
        assert_eq!(
            error.unwrap_err(),
            "the host feature `gpu`, which this host does not have and no operator can grant"
        );
    }
}
