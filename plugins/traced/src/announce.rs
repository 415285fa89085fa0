//! What the graph announces: arguments, the optimizer, a name.

use fedwasm_graph::{ArgumentKind, Default, Graph, OptimizerKind, Task, Value};
use fedwasm_sdk::bindings::exports::fedwasm::training_plan::plan as exports;
use fedwasm_sdk::bindings::fedwasm::training_plan::types::Value as Given;
use fedwasm_sdk::{
    Adagrad, Adam, AdamW, Argument, Arguments, Optimizer, PlanArguments, Result, RmsProp, Rule,
    Sgd, Value as OfSdk,
};

use crate::held;

/// The values of the graph's arguments, in their order.
#[derive(Debug)]
pub struct Values(pub(crate) Vec<Value>);

/// Does one of these for the type of a kind of argument.
macro_rules! by_kind {
    ($kind:expr, $f:ident $args:tt) => {
        match $kind {
            ArgumentKind::Size => by_kind!(@ $f (usize) $args),
            ArgumentKind::Integer => by_kind!(@ $f (i64) $args),
            ArgumentKind::Real => by_kind!(@ $f (f64) $args),
            ArgumentKind::Boolean => by_kind!(@ $f (bool) $args),
            ArgumentKind::Text => by_kind!(@ $f (String) $args),
            ArgumentKind::Integers => by_kind!(@ $f (Vec<i64>) $args),
            ArgumentKind::Reals => by_kind!(@ $f (Vec<f64>) $args),
            ArgumentKind::Texts => by_kind!(@ $f (Vec<String>) $args),
        }
    };
    (@ $f:ident ($type:ty) ($($arg:expr),*)) => { $f::<$type>($($arg),*) };
}

fn required<T: OfSdk>(name: &str, doc: &str) -> Argument {
    Argument::required::<T>(name, doc)
}

fn read<T: OfSdk + IntoValue>(args: &Arguments, name: &str) -> Result<Value> {
    T::read(args, name).map(IntoValue::into_value)
}

/// A value of the SDK as one of the graph.
trait IntoValue {
    fn into_value(self) -> Value;
}

macro_rules! values {
    ($($type:ty, $variant:ident;)*) => {$(
        impl IntoValue for $type {
            fn into_value(self) -> Value {
                Value::$variant(self)
            }
        }
    )*};
}

values! {
    i64, Integer;
    f64, Real;
    bool, Boolean;
    String, Text;
    Vec<i64>, Integers;
    Vec<f64>, Reals;
    Vec<String>, Texts;
}

impl IntoValue for usize {
    fn into_value(self) -> Value {
        Value::Integer(i64::try_from(self).unwrap_or(i64::MAX))
    }
}

/// A value of the graph as one of the contract.
fn given(value: &Value) -> Given {
    match value.clone() {
        Value::Integer(value) => Given::Integer(value),
        Value::Real(value) => Given::Real(value),
        Value::Boolean(value) => Given::Boolean(value),
        Value::Text(value) => Given::Text(value),
        Value::Integers(value) => Given::Integers(value),
        Value::Reals(value) => Given::Reals(value),
        Value::Texts(value) => Given::Texts(value),
    }
}

fn key(name: &str) -> String {
    format!("model.{name}")
}

impl PlanArguments for Values {
    /// All as if they were required; [`metadata`] has the defaults.
    fn announced() -> Vec<Argument> {
        let Ok(graph) = held::graph() else { return Vec::new() };
        let arguments = graph.arguments.iter();
        arguments
            .map(|argument| {
                let (name, doc) = (key(&argument.name), argument.doc.as_str());
                by_kind!(argument.kind, required(&name, doc))
            })
            .collect()
    }

    fn read(args: &Arguments) -> Result<Self> {
        let graph = held::graph()?;
        let arguments = graph.arguments.iter();
        let values = arguments.map(|argument| {
            let name = key(&argument.name);
            by_kind!(argument.kind, read(args, &name))
        });
        values.collect::<Result<_>>().map(Self)
    }
}

/// The optimizer that the graph says.
#[derive(Debug)]
pub struct Chosen;

fn kind() -> OptimizerKind {
    held::graph().map_or(OptimizerKind::Sgd, |graph| graph.optimizer.kind)
}

impl Optimizer for Chosen {
    fn counts_steps() -> bool {
        match kind() {
            OptimizerKind::Sgd => Sgd::COUNTS_STEPS,
            OptimizerKind::Adam => Adam::COUNTS_STEPS,
            OptimizerKind::AdamW => AdamW::COUNTS_STEPS,
            OptimizerKind::Adagrad => Adagrad::COUNTS_STEPS,
            OptimizerKind::RmsProp => RmsProp::COUNTS_STEPS,
        }
    }

    fn arguments() -> Vec<Argument> {
        match kind() {
            OptimizerKind::Sgd => Sgd::arguments(),
            OptimizerKind::Adam => Adam::arguments(),
            OptimizerKind::AdamW => AdamW::arguments(),
            OptimizerKind::Adagrad => Adagrad::arguments(),
            OptimizerKind::RmsProp => RmsProp::arguments(),
        }
    }

    fn read(args: &Arguments) -> Result<Rule> {
        match kind() {
            OptimizerKind::Sgd => Sgd::read(args),
            OptimizerKind::Adam => Adam::read(args),
            OptimizerKind::AdamW => AdamW::read(args),
            OptimizerKind::Adagrad => Adagrad::read(args),
            OptimizerKind::RmsProp => RmsProp::read(args),
        }
    }
}

/// Names, task and defaults of the graph in the place of those of this crate.
pub(crate) fn metadata(graph: &Graph, mut metadata: exports::Metadata) -> exports::Metadata {
    metadata.name.clone_from(&graph.name);
    metadata.version.clone_from(&graph.version);
    metadata.task = match &graph.task {
        Task::Classification => exports::Task::Classification,
        Task::Regression => exports::Task::Regression,
        Task::Other(name) => exports::Task::Other(name.clone()),
    };
    let mut set = |name: &str, default: exports::Default| {
        let announced = metadata.arguments.iter_mut().find(|argument| argument.name == name);
        if let Some(argument) = announced {
            argument.default = default;
        }
    };
    for argument in &graph.arguments {
        let default = match &argument.default {
            Default::Required => exports::Default::Required,
            Default::InputColumns => exports::Default::InputColumns,
            Default::TargetClasses => exports::Default::TargetClasses,
            Default::Value(value) => exports::Default::Value(given(value)),
        };
        set(&key(&argument.name), default);
    }
    for (name, value) in &graph.optimizer.defaults {
        set(&format!("optimizer.{name}"), exports::Default::Value(given(value)));
    }
    metadata
}
