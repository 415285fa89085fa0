//! A function of the graph, ready to run.

use std::rc::Rc;

use fedwasm_graph::{Attribute, Call, Function, FunctionKind, Graph, NodeId, Role, Value};
use fedwasm_interpreter::{Callable, Scope, attribute, call};
use fedwasm_sdk::{Batch, Parameter, PlanError, Result, Source, Tensor, noted};

/// Calls in order, with what is known before there is data.
pub(crate) struct Program {
    steps: Vec<Step>,
    /// Names and nodes.
    outputs: Vec<(String, usize)>,
    /// Native code in the place of the steps.
    #[cfg(not(target_arch = "wasm32"))]
    native: Option<(Role, Rc<dyn crate::native::Functions>)>,
}

struct Step {
    act: Act,
    inputs: Vec<usize>,
    attributes: Attributes,
    source: Source,
    /// Nodes that no later step needs.
    done: Vec<usize>,
}

/// What is called.
enum Act {
    Input(String),
    Target(String),
    Value(Parameter),
    Module(Rc<dyn Callable>),
    Function(FunctionKind),
    Output(usize),
}

enum Attributes {
    /// They follow from arguments alone.
    Known(Vec<Option<Value>>),
    /// Some follow from sizes.
    Sized(Vec<Attribute>),
}

/// The parts of the model that functions refer to.
pub(crate) struct Parts<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) arguments: &'a [Value],
    /// By place; none where the member is a parameter.
    pub(crate) modules: &'a [Option<Rc<dyn Callable>>],
    pub(crate) parameters: &'a [(String, Parameter)],
}

/// Arguments, and sizes of what nodes gave.
struct Known<'a> {
    arguments: &'a [Value],
    given: &'a [Vec<Tensor>],
}

impl Scope for Known<'_> {
    fn argument(&self, nth: u32) -> Option<&Value> {
        self.arguments.get(nth as usize)
    }

    fn size(&self, node: NodeId, axis: i8) -> Option<usize> {
        let tensor = self.given.get(node as usize)?.first()?;
        let rank = tensor.rank();
        let axis = if axis < 0 { rank.checked_add_signed(axis.into())? } else { axis as usize };
        (axis < rank).then(|| tensor.size(axis as isize))
    }
}

fn sizes_of(attributes: &[Attribute]) -> Vec<usize> {
    let mut all = Vec::new();
    for attribute in attributes {
        let numbers = match attribute {
            Attribute::Number(number) => std::slice::from_ref(number),
            Attribute::Numbers(numbers) => numbers,
            _ => continue,
        };
        numbers.iter().for_each(|number| number.sizes(&mut |node| all.push(node as usize)));
    }
    all
}

impl Program {
    /// # Errors
    /// [`PlanError`] that names the node of which a parameter is not there, or a number is wrong.
    pub(crate) fn new(role: Role, function: &Function, parts: &Parts<'_>) -> Result<Self> {
        let mut steps = Vec::with_capacity(function.nodes.len());
        // Where each node is needed last.
        let mut last: Vec<usize> = (0..function.nodes.len()).collect();
        for (nth, node) in function.nodes.iter().enumerate() {
            let wrong = |rule: String| {
                PlanError::Internal(format!("node {nth} of {}: {rule}", role.name()))
            };
            let source = source(parts.graph, node);
            let needed = sizes_of(&node.attributes);
            let inputs: Vec<usize> = node.inputs.iter().map(|input| *input as usize).collect();
            inputs.iter().chain(&needed).for_each(|node| last[*node] = nth);
            let attributes = if needed.is_empty() {
                let known = Known { arguments: parts.arguments, given: &[] };
                let all = node.attributes.iter().map(|one| attribute(one, &known));
                Attributes::Known(source.within(|| all.collect::<Result<_>>().map_err(noted))?)
            } else {
                Attributes::Sized(node.attributes.clone())
            };
            let act = act(&node.call, parts).map_err(wrong)?;
            steps.push(Step { act, inputs, attributes, source, done: Vec::new() });
        }
        for (_, node) in &function.outputs {
            last[*node as usize] = usize::MAX;
        }
        for (node, at) in last.iter().enumerate() {
            if let Some(step) = steps.get_mut(*at) {
                step.done.push(node);
            }
        }
        let outputs = function.outputs.iter();
        let outputs = outputs.map(|(name, node)| (name.clone(), *node as usize)).collect();
        Ok(Self {
            steps,
            outputs,
            #[cfg(not(target_arch = "wasm32"))]
            native: None,
        })
    }

    /// A function that is native code, with the names of the graph's.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn native(
        role: Role,
        function: &Function,
        functions: &Rc<dyn crate::native::Functions>,
    ) -> Self {
        let outputs = function.outputs.iter().map(|(name, node)| (name.clone(), *node as usize));
        let native = Some((role, Rc::clone(functions)));
        Self { steps: Vec::new(), outputs: outputs.collect(), native }
    }

    /// The names of what it gives.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|(name, _)| name.as_str())
    }

    /// What it gives, in the order of [`names`](Self::names).
    pub(crate) fn run(&self, batch: &Batch, arguments: &[Value]) -> Result<Vec<Tensor>> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some((role, functions)) = &self.native {
            let names: Vec<String> = self.names().map(str::to_owned).collect();
            return functions.call(*role, &names, batch);
        }
        let mut given: Vec<Vec<Tensor>> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let tensors = step.source.within(|| step.run(batch, arguments, &given))?;
            given.push(tensors);
            step.done.iter().for_each(|node| given[*node] = Vec::new());
        }
        let of = |node: &usize| given.get(*node)?.first().cloned();
        let outputs = self.outputs.iter().map(|(name, node)| {
            of(node).ok_or_else(|| PlanError::Internal(format!("`{name}` was not computed")))
        });
        outputs.collect()
    }
}

impl Step {
    fn run(
        &self,
        batch: &Batch,
        arguments: &[Value],
        given: &[Vec<Tensor>],
    ) -> Result<Vec<Tensor>> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let nothing = || PlanError::Internal(format!("node {input} gave nothing"));
            inputs.push(given[*input].first().ok_or_else(nothing)?);
        }
        let done = match &self.act {
            Act::Input(name) => Ok(vec![batch.input(name)]),
            Act::Target(name) => Ok(vec![batch.target(name)]),
            Act::Value(parameter) => Ok(vec![parameter.tensor()]),
            Act::Module(module) => module.call(&inputs),
            Act::Function(kind) => match &self.attributes {
                Attributes::Known(attributes) => call(*kind, &inputs, attributes),
                Attributes::Sized(attributes) => {
                    let known = Known { arguments, given };
                    let all = attributes.iter().map(|one| attribute(one, &known));
                    all.collect::<Result<Vec<_>>>().and_then(|all| call(*kind, &inputs, &all))
                }
            },
            Act::Output(nth) => {
                let all = self.inputs.first().map_or(&[][..], |input| &given[*input]);
                let none = || format!("there is no output {nth}, only {}", all.len());
                let one = all.get(*nth).ok_or_else(|| PlanError::Internal(none()));
                one.map(|one| vec![one.clone()])
            }
        };
        done.map_err(noted)
    }
}

fn source(graph: &Graph, node: &fedwasm_graph::Node) -> Source {
    let place = node.place.and_then(|place| {
        let file = graph.files.get(usize::from(place.file))?;
        Some(format!("{file}:{}", place.line))
    });
    let module = match node.call {
        Call::Module(nth) => graph.members.get(nth as usize).map(|member| member.path.as_str()),
        _ => None,
    };
    Source {
        place: place.unwrap_or_else(|| graph.name.clone()).into(),
        module: module.unwrap_or_default().into(),
    }
}

fn act(call: &Call, parts: &Parts<'_>) -> Result<Act, String> {
    let name = |all: &[fedwasm_graph::Data], nth: u16| {
        let data = all.get(usize::from(nth)).map(|data| data.name.clone());
        data.ok_or_else(|| format!("there is no input or target {nth}"))
    };
    Ok(match call {
        Call::Input(nth) => Act::Input(name(&parts.graph.inputs, *nth)?),
        Call::Target(nth) => Act::Target(name(&parts.graph.targets, *nth)?),
        Call::Value(name) => Act::Value(parameter(name, parts.parameters)?),
        Call::Module(nth) => match parts.modules.get(*nth as usize) {
            Some(Some(module)) => Act::Module(Rc::clone(module)),
            _ => return Err(format!("member {nth} is not a module")),
        },
        Call::Function(kind) => Act::Function(*kind),
        Call::Output(nth) => Act::Output((*nth).into()),
    })
}

/// The parameter of this full name.
pub(crate) fn parameter(
    name: &str,
    parameters: &[(String, Parameter)],
) -> Result<Parameter, String> {
    if let Some((_, parameter)) = parameters.iter().find(|(known, _)| known == name) {
        return Ok(parameter.clone());
    }
    let known: Vec<&str> = parameters.iter().map(|(known, _)| known.as_str()).collect();
    Err(format!("there is no parameter `{name}`, only {}", known.join(", ")))
}
