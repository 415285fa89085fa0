//! The predictions of a traced plan, call by call.

use fedwasm_graph::{
    Attribute, Call, Data, Default, Dtype, Function, Graph, MemberKind, Node, NodeId, Role,
    Value as GraphValue,
};
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, Value as Argument, prefix};

use super::attributes::{Attributes, Scope};
use super::network::{Element, Network, Size, Step, Value};
use super::{Inputs, NotCovered, cast, functions, modules};

/// Writes the calls of `predict`, and returns the scores.
pub(super) fn predict(
    network: &mut Network,
    graph: &Graph,
    (params, arguments): (&Params, &Arguments),
    input: &mut Inputs<'_>,
) -> Step<Value> {
    let function = graph.functions.iter().find(|(role, _)| *role == Role::Predict);
    let (_, function) = function.ok_or_else(|| NotCovered::new("a plan without `predict`"))?;
    let arguments = of_graph(graph, arguments)?;
    let inputs = graph.inputs.iter().map(|data| {
        let shape = shape_of(data, &arguments)?;
        let value = input(network, &data.name, shape)?;
        Ok(cast(network, &value, element_of(data.dtype)))
    });
    let inputs = inputs.collect::<Step<Vec<Value>>>()?;
    let walk = Walk { graph, params, arguments: &arguments, inputs: &inputs };
    walk.run(network, function)
}

struct Walk<'a> {
    graph: &'a Graph,
    params: &'a Params,
    arguments: &'a [GraphValue],
    inputs: &'a [Value],
}

impl Walk<'_> {
    fn run(&self, network: &mut Network, function: &Function) -> Step<Value> {
        let needed = needed(function);
        let mut given: Vec<Vec<Value>> = Vec::with_capacity(function.nodes.len());
        for (node, is_needed) in function.nodes.iter().zip(needed) {
            if !is_needed {
                given.push(Vec::new());
                continue;
            }
            let values = self.call(network, node, &given).map_err(|NotCovered { what }| {
                let file = node.place.and_then(|place| {
                    let file = self.graph.files.get(usize::from(place.file))?;
                    Some(format!(" ({file}:{})", place.line))
                });
                NotCovered::new(what + &file.unwrap_or_default())
            })?;
            given.push(values);
        }
        let (_, output) = match &function.outputs[..] {
            [output] => output,
            _ => return Err(NotCovered::new("a `predict` of several results")),
        };
        let scores = given.get(*output as usize).and_then(|all| all.first());
        scores.cloned().ok_or_else(|| NotCovered::new("a `predict` without a result"))
    }

    fn call(&self, network: &mut Network, node: &Node, given: &[Vec<Value>]) -> Step<Vec<Value>> {
        let nothing = || NotCovered::new("a tensor that is not there");
        let of = |node: &u32| given.get(*node as usize).and_then(|all| all.first());
        let inputs = node.inputs.iter().map(|node| of(node).ok_or_else(nothing));
        let inputs = inputs.collect::<Step<Vec<&Value>>>()?;
        let scope = Scope { arguments: self.arguments, given };
        match &node.call {
            Call::Input(nth) => {
                Ok(vec![self.inputs.get(usize::from(*nth)).cloned().ok_or_else(nothing)?])
            }
            Call::Target(_) => Err(NotCovered::new("a prediction that needs a target")),
            Call::Value(name) => Ok(vec![network.parameter(self.params, name)?]),
            Call::Function(kind) => {
                let known = kind.signature().attributes;
                let attributes = Attributes { known, given: &node.attributes, scope: &scope };
                functions::call(network, *kind, &inputs, &attributes)
            }
            Call::Module(nth) => {
                let member = self.graph.members.get(*nth as usize).ok_or_else(nothing)?;
                let MemberKind::Module { kind, attributes } = &member.kind else {
                    return Err(nothing());
                };
                let scope = Scope { arguments: self.arguments, given: &[] };
                let known = kind.signature().attributes;
                let attributes = Attributes { known, given: attributes, scope: &scope };
                let of = modules::Of { params: self.params, path: &member.path };
                modules::call(network, *kind, &of, &inputs, &attributes)
            }
            Call::Output(nth) => {
                let all = node.inputs.first().and_then(|node| given.get(*node as usize));
                let one = all.and_then(|all| all.get(usize::from(*nth)));
                let unknown = || NotCovered::new(format!("output {nth} of a call"));
                Ok(vec![one.cloned().ok_or_else(unknown)?])
            }
        }
    }
}

/// Whether each node leads to a result: a trace has calls whose results are not used, too.
fn needed(function: &Function) -> Vec<bool> {
    let mut needed = vec![false; function.nodes.len()];
    let mark = |needed: &mut Vec<bool>, node: NodeId| {
        if let Some(needed) = needed.get_mut(node as usize) {
            *needed = true;
        }
    };
    function.outputs.iter().for_each(|(_, node)| mark(&mut needed, *node));
    for (nth, node) in function.nodes.iter().enumerate().rev() {
        if !needed[nth] {
            continue;
        }
        node.inputs.iter().for_each(|input| mark(&mut needed, *input));
        for attribute in &node.attributes {
            let numbers = match attribute {
                Attribute::Number(number) => std::slice::from_ref(number),
                Attribute::Numbers(numbers) => numbers,
                _ => continue,
            };
            numbers.iter().for_each(|number| number.sizes(&mut |node| mark(&mut needed, node)));
        }
    }
    needed
}

/// The arguments of a graph, in its order.
fn of_graph(graph: &Graph, arguments: &Arguments) -> Step<Vec<GraphValue>> {
    let value = |argument: &fedwasm_graph::Argument| {
        let given = arguments.get(&format!("{}{}", prefix::MODEL, argument.name));
        match (given, &argument.default) {
            (Some(value), _) => Ok(value_of(value)),
            (None, Default::Value(value)) => Ok(value.clone()),
            (None, _) => {
                let name = &argument.name;
                Err(NotCovered::new(format!("the argument `{name}`, which model.json lacks")))
            }
        }
    };
    graph.arguments.iter().map(value).collect()
}

fn value_of(value: &Argument) -> GraphValue {
    match value.clone() {
        Argument::Boolean(value) => GraphValue::Boolean(value),
        Argument::Integer(value) => GraphValue::Integer(value),
        Argument::Real(value) => GraphValue::Real(value),
        Argument::Text(text) => GraphValue::Text(text),
        Argument::Integers(all) => GraphValue::Integers(all),
        Argument::Reals(all) => GraphValue::Reals(all),
        Argument::Texts(all) => GraphValue::Texts(all),
    }
}

/// The shape of a batch.
fn shape_of(data: &Data, arguments: &[GraphValue]) -> Step<Vec<Size>> {
    let scope = Scope { arguments, given: &[] };
    let lengths = data.shape.iter().map(|number| scope.number(number)?.size());
    std::iter::once(Ok(Size::Rows)).chain(lengths).collect()
}

fn element_of(dtype: Dtype) -> Element {
    match dtype {
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::I64 => Element::I64,
        Dtype::Bool => Element::Bool,
    }
}
