//! A model as an ONNX file (onnx.ai), with the operators of version 17. What it computes is what the
//! plan predicts: the scores, from inputs as the dataset has them where the model holds their
//! scales. Covered are graphs of traced plans, call by call, and shipped plans of single layers;
//! what is not covered is named.

mod attributes;
mod functions;
mod graph;
mod modules;
mod moves;
mod network;
mod norms;
mod proto;
mod recurrent;
mod shipped;
mod windows;

use fedwasm_artifact::traced::extract;
use fedwasm_protocol::{DataArgs, FieldSelection};
use fedwasm_training::{ColumnScale, Preprocessing};

use self::network::{Attribute, Element, Input, Network, Node, Size, Step, Value};
use crate::{Error, UsableModel};

/// The largest file that readers of Protocol Buffers take, in bytes.
const BYTES_MAX: u64 = (1 << 31) - 1;

/// What cannot be said in ONNX.
#[derive(Debug)]
pub(crate) struct NotCovered {
    /// Such as ``the function `randn_like` ``.
    what: String,
}

impl NotCovered {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// Inputs of the network by the names of the plan's inputs.
type Inputs<'a> = dyn FnMut(&mut Network, &str, Vec<Size>) -> Step<Value> + 'a;

impl UsableModel {
    /// Writes the model as ONNX: the bytes follow from it alone.
    ///
    /// # Errors
    /// [`Error::Onnx`], which names what is not covered.
    pub fn to_onnx(&self) -> Result<Vec<u8>, Error> {
        let refused = |what: String| Error::Onnx { plan: self.about().plan.name.clone(), what };
        let bytes = self.model.params.iter().map(|(_, tensor)| tensor.data().len() as u64);
        if bytes.sum::<u64>() > BYTES_MAX {
            return Err(refused(format!("more than {BYTES_MAX} bytes of parameters")));
        }
        let scales = self.scales()?;
        if !self.about().data.columns.is_empty() {
            return Err(refused("rules of columns (`[data.columns]`)".into()));
        }
        let traced = extract(self.component.bytes());
        let traced = traced.map_err(|error| refused(error.to_string()))?;
        let mut network = Network::default();
        let data = &self.about().data;
        let mut input = |network: &mut Network, name: &str, shape: Vec<Size>| {
            scaled_input(network, (name, shape), data, scales)
        };
        let (params, arguments) = (&self.model.params, &self.about().model);
        let outputs = match traced {
            Some(traced) => {
                let graph = traced.decode().map_err(|error| refused(error.to_string()))?;
                graph::predict(&mut network, &graph, (params, arguments), &mut input)
            }
            None => shipped::predict(&mut network, self.component.digest(), params, &mut input),
        };
        let output = outputs.map_err(|NotCovered { what }| refused(what))?;
        let Value { name, element, shape } = output;
        let scores = || "scores".to_owned();
        let (inputs, outputs, attributes) = (vec![name], vec![scores()], Vec::new());
        network.nodes.push(Node { op: "Identity", inputs, outputs, attributes });
        network.outputs.push(Input { name: scores(), element, shape });
        let plan = &self.about().plan;
        let mut facts = vec![("plan_sha256".to_owned(), plan.sha256.to_string())];
        let params_sha256 = self.about().params_sha256();
        facts.extend(params_sha256.map(|sha256| ("params_sha256".into(), sha256.to_string())));
        let inputs = data.inputs.iter().flat_map(FieldSelection::names);
        let inputs: Vec<&String> = inputs.collect();
        facts.push(("inputs".into(), serde_json::to_string(&inputs).unwrap_or_default()));
        Ok(proto::model(&network, &plan.name, &facts))
    }
}

/// An input of the plan: of float32, or, where the model scales it, of float64 as the dataset has it.
/// The host scales in float64, and so does the network.
fn scaled_input(
    network: &mut Network,
    (name, shape): (&str, Vec<Size>),
    data: &DataArgs,
    scales: Option<&Preprocessing>,
) -> Step<Value> {
    let columns = scales.map(|scales| scales_of(name, data, scales)).unwrap_or_default();
    let changes = |scale: &&ColumnScale| scale.mean != 0.0 || scale.std != 1.0;
    let is_scaled = columns.iter().any(changes);
    let element = if is_scaled { Element::F64 } else { Element::F32 };
    let raw = Value { name: name.to_owned(), element, shape: shape.clone() };
    network.inputs.push(Input { name: name.to_owned(), element, shape: shape.clone() });
    if !is_scaled {
        return Ok(raw);
    }
    let lengths: Vec<i64> = (1..shape.len()).map(|axis| raw.length(axis)).collect::<Step<_>>()?;
    let n = columns.len() as i64;
    let lengths = match &lengths[..] {
        all if all.iter().product::<i64>() == n => all.to_vec(),
        // One of each channel.
        [channels, _, _] if *channels == n => vec![n, 1, 1],
        [_, _] if n == 1 => vec![1, 1],
        _ => return Err(NotCovered::new(format!("{n} scales of the input `{name}`"))),
    };
    let of = |number: fn(&ColumnScale) -> f64| -> Vec<u8> {
        columns.iter().flat_map(|scale| number(scale).to_le_bytes()).collect()
    };
    let means = network.constant(Element::F64, &lengths, of(|scale| scale.mean));
    let deviations = network.constant(Element::F64, &lengths, of(|scale| scale.std));
    let centred = network.call("Sub", &[&raw, &means], vec![], &raw);
    let scaled = network.call("Div", &[&centred, &deviations], vec![], &raw);
    Ok(cast(network, &scaled, Element::F32))
}

/// The scales of an input of the plan, in its order.
fn scales_of<'a>(name: &str, data: &DataArgs, scales: &'a Preprocessing) -> Vec<&'a ColumnScale> {
    let columns = match &data.inputs {
        Some(FieldSelection::Table(table)) => table.get(name).cloned().unwrap_or_default(),
        Some(selection) => {
            let all: Vec<String> = selection.names().into_iter().cloned().collect();
            // Of several inputs, each is the field of its name.
            if all.iter().any(|column| column == name) { vec![name.to_owned()] } else { all }
        }
        None => Vec::new(),
    };
    let of_column = |column: &String| {
        let (column, indexed) = (column.clone(), format!("{column}["));
        let is_of = move |scale: &&ColumnScale| {
            scale.name == column || scale.name.starts_with(&indexed) && scale.name.ends_with(']')
        };
        scales.columns.iter().filter(is_of)
    };
    columns.iter().flat_map(of_column).collect()
}

/// As another element type.
fn cast(network: &mut Network, value: &Value, element: Element) -> Value {
    if value.element == element {
        return value.clone();
    }
    let to = Attribute::Integer(proto::code(element).cast_signed());
    let like = Value { element, ..value.clone() };
    network.call("Cast", &[value], vec![("to", to)], &like)
}
