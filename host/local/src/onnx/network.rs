//! A network in ONNX's operators, put together call by call.

use fedwasm_params::{DType, Params};

use super::NotCovered;

/// The result of a step: what cannot be said in ONNX is named.
pub(super) type Step<T> = Result<T, NotCovered>;

/// Operators and constants.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) nodes: Vec<Node>,
    pub(super) initializers: Vec<Initializer>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Input>,
    /// Values that were named.
    n: u64,
}

/// A call of an operator.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) op: &'static str,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
}

/// An attribute of a call.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Integer(i64),
    Integers(Vec<i64>),
    Real(f32),
    Text(&'static str),
}

/// A constant.
#[derive(Debug)]
pub(super) struct Initializer {
    pub(super) name: String,
    pub(super) element: Element,
    pub(super) shape: Vec<i64>,
    /// Little-endian, row-major.
    pub(super) bytes: Vec<u8>,
}

/// An input or an output.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) element: Element,
    pub(super) shape: Vec<Size>,
}

/// A type of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F64,
    I64,
    Bool,
}

/// The length of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Known(i64),
    /// The rows of a batch.
    Rows,
    Unknown,
}

/// A tensor in the network.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) element: Element,
    pub(super) shape: Vec<Size>,
}

/// The longest axis, and the largest whole number of an attribute; what lies beyond is not covered,
/// so that sums of products of two stay within 64 bits.
pub(super) const LENGTH_MAX: i64 = 1 << 30;
/// The most tensors that one call gives.
pub(super) const OUTPUTS_MAX: i64 = 4_096;
/// The most elements of a constant that a graph does not bring.
pub(super) const FILLED_MAX: i64 = 1 << 24;

impl Size {
    /// A length that was computed.
    pub(super) fn of(length: i64) -> Step<Self> {
        match length {
            0..=LENGTH_MAX => Ok(Self::Known(length)),
            _ => Err(NotCovered::new(format!("an axis of length {length}"))),
        }
    }
}

impl Value {
    pub(super) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// An axis that may count from the end, from 0 on.
    pub(super) fn axis(&self, axis: i64) -> Step<usize> {
        self.axis_of(axis, self.rank())
    }

    /// An axis among `rank`.
    pub(super) fn axis_of(&self, axis: i64, rank: usize) -> Step<usize> {
        let from_start = if axis < 0 { axis + rank as i64 } else { axis };
        let at = usize::try_from(from_start).ok().filter(|at| *at < rank);
        at.ok_or_else(|| NotCovered::new(format!("axis {axis} of a tensor with {rank}")))
    }

    /// The length of an axis, which must be known.
    pub(super) fn length(&self, axis: usize) -> Step<i64> {
        match self.shape.get(axis) {
            Some(Size::Known(length)) => Ok(*length),
            _ => Err(NotCovered::new(format!("an unknown length of axis {axis}"))),
        }
    }
}

impl Network {
    /// A name that no other value has.
    fn name(&mut self) -> String {
        self.n += 1;
        format!("v{}", self.n)
    }

    /// Calls an operator that gives one tensor, of the element type and shape of `like`.
    pub(super) fn call(
        &mut self,
        op: &'static str,
        inputs: &[&Value],
        attributes: Vec<(&'static str, Attribute)>,
        like: &Value,
    ) -> Value {
        let names = inputs.iter().map(|input| input.name.clone()).collect();
        let name = self.named(op, names, attributes, 1).remove(0);
        Value { name, ..like.clone() }
    }

    /// Calls an operator on values by name, and returns the names of what it gives.
    pub(super) fn named(
        &mut self,
        op: &'static str,
        inputs: Vec<String>,
        attributes: Vec<(&'static str, Attribute)>,
        n_outputs: usize,
    ) -> Vec<String> {
        let outputs: Vec<String> = (0..n_outputs).map(|_| self.name()).collect();
        self.nodes.push(Node { op, inputs, outputs: outputs.clone(), attributes });
        outputs
    }

    /// A constant.
    pub(super) fn constant(&mut self, element: Element, shape: &[i64], bytes: Vec<u8>) -> Value {
        let name = self.name();
        let value = Value {
            name: name.clone(),
            element,
            shape: shape.iter().map(|length| Size::Known(*length)).collect(),
        };
        self.initializers.push(Initializer { name, element, shape: shape.to_vec(), bytes });
        value
    }

    /// A constant of float32.
    pub(super) fn floats(&mut self, shape: &[i64], values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(Element::F32, shape, bytes)
    }

    /// A list of int64.
    pub(super) fn integers(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(Element::I64, &[values.len() as i64], bytes)
    }

    /// A number of an element type, without axes.
    pub(super) fn number(&mut self, element: Element, value: f64) -> Value {
        let bytes = match element {
            Element::F32 => (value as f32).to_le_bytes().to_vec(),
            Element::F64 => value.to_le_bytes().to_vec(),
            Element::I64 => (value as i64).to_le_bytes().to_vec(),
            Element::Bool => vec![u8::from(value != 0.0)],
        };
        self.constant(element, &[], bytes)
    }

    /// A parameter under its own name.
    pub(super) fn parameter(&mut self, params: &Params, name: &str) -> Step<Value> {
        let missing = || NotCovered::new(format!("the parameter `{name}`, which is not there"));
        let tensor = params.tensor(name).ok_or_else(missing)?;
        let element = match tensor.dtype() {
            DType::Float32 => Element::F32,
            DType::Float64 => Element::F64,
            DType::Int64 => Element::I64,
            DType::Boolean => Element::Bool,
            other => {
                return Err(NotCovered::new(format!("the parameter `{name}` of {other}")));
            }
        };
        let lengths = tensor.shape().iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX));
        let shape: Vec<i64> = lengths.collect();
        let known = shape.iter().map(|length| Size::of(*length)).collect::<Step<_>>()?;
        if !self.initializers.iter().any(|known| known.name == name) {
            let (name, bytes) = (name.to_owned(), tensor.data().to_vec());
            self.initializers.push(Initializer { name, element, shape, bytes });
        }
        Ok(Value { name: name.to_owned(), element, shape: known })
    }
}
