//! The functions of a graph as operators.

use fedwasm_graph::FunctionKind;

use super::attributes::{Attributes, Known};
use super::network::{Attribute, Element, Network, Size, Step, Value};
use super::{NotCovered, cast, norms, windows};

/// Calls a function.
// long: a line for each function that is covered
pub(super) fn call(
    network: &mut Network,
    kind: FunctionKind,
    inputs: &[&Value],
    a: &Attributes<'_>,
) -> Step<Vec<Value>> {
    use FunctionKind as F;
    let not_covered = || NotCovered::new(format!("the function `{}`", kind.name()));
    let Some((&x, others)) = inputs.split_first() else {
        return Ok(vec![create(network, kind, a)?]);
    };
    let second = || others.first().copied().ok_or_else(not_covered);
    let maybe = |nth: usize| inputs.get(nth).copied();
    let n = network;
    Ok(vec![match kind {
        F::Exp => unary(n, "Exp", x),
        F::Log => unary(n, "Log", x),
        F::Sqrt => unary(n, "Sqrt", x),
        F::Reciprocal => unary(n, "Reciprocal", x),
        F::Rsqrt => {
            let root = unary(n, "Sqrt", x);
            unary(n, "Reciprocal", &root)
        }
        F::Square => n.call("Mul", &[x, x], vec![], x),
        F::Abs => unary(n, "Abs", x),
        F::Sign => unary(n, "Sign", x),
        F::Neg => unary(n, "Neg", x),
        F::Relu => unary(n, "Relu", x),
        F::LeakyRelu => leaky_relu(n, x, a.real("negative_slope", 0.01)?),
        F::Elu => elu(n, x, a.real("alpha", 1.0)?),
        F::Gelu => gelu(n, x, a.word("approximate")? == Some("tanh")),
        F::Silu => silu(n, x),
        F::Sigmoid => unary(n, "Sigmoid", x),
        F::Tanh => unary(n, "Tanh", x),
        F::Softplus => unary(n, "Softplus", x),
        F::Clamp => {
            let low = n.number(x.element, a.real("min", f64::NEG_INFINITY)?);
            let high = n.number(x.element, a.real("max", f64::INFINITY)?);
            n.call("Clip", &[x, &low, &high], vec![], x)
        }
        F::To => cast(n, x, a.element()?),
        F::Detach | F::Dropout => x.clone(),
        F::LogicalNot => unary(n, "Not", x),
        F::Add | F::Sub | F::Mul | F::Div | F::Pow | F::Maximum | F::Minimum => {
            let (x, y) = operands(n, inputs, a, kind)?;
            let op = match kind {
                F::Add => "Add",
                F::Sub => "Sub",
                F::Mul => "Mul",
                F::Div if x.element == Element::I64 => return Err(not_covered()),
                F::Div => "Div",
                F::Pow => "Pow",
                F::Maximum => "Max",
                _ => "Min",
            };
            two(n, op, &x, &y, x.element)?
        }
        F::Eq | F::Ne | F::Lt | F::Le | F::Gt | F::Ge => {
            let (x, y) = operands(n, inputs, a, kind)?;
            let op = match kind {
                F::Lt => "Less",
                F::Le => "LessOrEqual",
                F::Gt => "Greater",
                F::Ge => "GreaterOrEqual",
                _ => "Equal",
            };
            let found = two(n, op, &x, &y, Element::Bool)?;
            if kind == F::Ne { unary(n, "Not", &found) } else { found }
        }
        F::LogicalAnd => two(n, "And", x, second()?, Element::Bool)?,
        F::LogicalOr => two(n, "Or", x, second()?, Element::Bool)?,
        F::Where => select(n, inputs, a).ok_or_else(not_covered)??,
        F::Sum | F::Mean | F::Amax | F::Amin | F::Logsumexp => reduce(n, kind, x, a)?,
        F::Argmax => {
            let axis = x.axis(a.whole("dim")?)?;
            let attributes = vec![axis_of("axis", axis), ("keepdims", Attribute::Integer(0))];
            let mut shape = x.shape.clone();
            shape.remove(axis);
            n.call("ArgMax", &[x], attributes, &typed(x, Element::I64, shape))
        }
        F::Softmax => along(n, "Softmax", x, a)?,
        F::LogSoftmax => along(n, "LogSoftmax", x, a)?,
        F::Normalise => {
            let axes = a.wholes("dim")?.ok_or_else(not_covered)?;
            norms::normalise(n, x, &axes, a.real("eps", 1e-5)?)?
        }
        F::LayerNorm => {
            let sizes = a.wholes("normalized_shape")?.ok_or_else(not_covered)?;
            norms::layer_norm(n, x, &sizes, (maybe(1), maybe(2)), a.real("eps", 1e-5)?)?
        }
        F::GroupNorm => {
            let groups = a.whole("num_groups")?;
            norms::group_norm(n, x, groups, (maybe(1), maybe(2)), a.real("eps", 1e-5)?)?
        }
        F::InstanceNorm => {
            let groups = x.length(1)?;
            norms::group_norm(n, x, groups, (maybe(1), maybe(2)), a.real("eps", 1e-5)?)?
        }
        F::BatchNorm => {
            let variance = maybe(2).ok_or_else(not_covered)?.clone();
            let moments = [second()?.clone(), variance];
            let affine = (maybe(3).cloned(), maybe(4).cloned());
            super::modules::batch_norm(n, x, &moments, affine, a.real("eps", 1e-5)?)?
        }
        F::Matmul => matmul(n, x, second()?)?,
        F::Linear => linear(n, x, second()?, maybe(2))?,
        F::Reshape
        | F::Flatten
        | F::Unsqueeze
        | F::Squeeze
        | F::Expand
        | F::Permute
        | F::Transpose
        | F::Slice
        | F::Select
        | F::Split
        | F::Chunk
        | F::Pad
        | F::Gather
        | F::Embedding
        | F::Cat
        | F::Stack => {
            return super::moves::call(n, kind, inputs, a);
        }
        F::Conv1d | F::Conv2d | F::Conv3d => windows::conv(n, (x, second()?, maybe(2)), a)?,
        F::ConvTranspose1d | F::ConvTranspose2d | F::ConvTranspose3d => {
            windows::conv_transpose(n, (x, second()?, maybe(2)), a)?
        }
        F::MaxPool1d | F::MaxPool2d | F::MaxPool3d => windows::pool(n, "MaxPool", x, a)?,
        F::AvgPool1d | F::AvgPool2d | F::AvgPool3d => windows::pool(n, "AveragePool", x, a)?,
        F::AdaptiveMaxPool1d | F::AdaptiveMaxPool2d | F::AdaptiveMaxPool3d => {
            windows::adaptive(n, "MaxPool", x, a)?
        }
        F::AdaptiveAvgPool1d | F::AdaptiveAvgPool2d | F::AdaptiveAvgPool3d => {
            windows::adaptive(n, "AveragePool", x, a)?
        }
        F::Interpolate => {
            let sizes = a.wholes("size")?.ok_or_else(not_covered)?;
            windows::resample(n, x, &sizes, a.word("mode")?.unwrap_or("nearest"))?
        }
        _ => return Err(not_covered()),
    }])
}

pub(super) fn unary(network: &mut Network, op: &'static str, x: &Value) -> Value {
    network.call(op, &[x], vec![], x)
}

pub(super) fn leaky_relu(network: &mut Network, x: &Value, slope: f64) -> Value {
    network.call("LeakyRelu", &[x], vec![("alpha", Attribute::Real(slope as f32))], x)
}

pub(super) fn elu(network: &mut Network, x: &Value, alpha: f64) -> Value {
    network.call("Elu", &[x], vec![("alpha", Attribute::Real(alpha as f32))], x)
}

pub(super) fn silu(network: &mut Network, x: &Value) -> Value {
    let gate = unary(network, "Sigmoid", x);
    network.call("Mul", &[x, &gate], vec![], x)
}

/// `x Φ(x)`, or its approximation by tanh; `Gelu` is an operator from version 20 on.
pub(super) fn gelu(network: &mut Network, x: &Value, is_tanh: bool) -> Value {
    let n = network;
    let number = |n: &mut Network, value: f64| n.number(x.element, value);
    let share = if is_tanh {
        let (cubic, root) = (number(n, 0.044_715), number(n, (2.0 / std::f64::consts::PI).sqrt()));
        let square = n.call("Mul", &[x, x], vec![], x);
        let cube = n.call("Mul", &[&square, x], vec![], x);
        let cube = n.call("Mul", &[&cube, &cubic], vec![], x);
        let sum = n.call("Add", &[x, &cube], vec![], x);
        let scaled = n.call("Mul", &[&sum, &root], vec![], x);
        unary(n, "Tanh", &scaled)
    } else {
        let root = number(n, std::f64::consts::FRAC_1_SQRT_2);
        let scaled = n.call("Mul", &[x, &root], vec![], x);
        unary(n, "Erf", &scaled)
    };
    let (one, half) = (number(n, 1.0), number(n, 0.5));
    let sum = n.call("Add", &[&share, &one], vec![], x);
    let half = n.call("Mul", &[&sum, &half], vec![], x);
    n.call("Mul", &[x, &half], vec![], x)
}

/// The two operands of a function: tensors, or a number on one side.
fn operands(
    network: &mut Network,
    inputs: &[&Value],
    a: &Attributes<'_>,
    kind: FunctionKind,
) -> Step<(Value, Value)> {
    match (inputs, a.number("left")?, a.number("right")?) {
        ([x, y], None, None) => Ok(((*x).clone(), (*y).clone())),
        ([x], None, Some(y)) => {
            let y = network.number(x.element, y.real()?);
            Ok(((*x).clone(), y))
        }
        ([y], Some(x), None) => {
            let x = network.number(y.element, x.real()?);
            Ok((x, (*y).clone()))
        }
        _ => Err(NotCovered::new(format!("the function `{}` of these", kind.name()))),
    }
}

/// An operator of two tensors that are broadcast as in NumPy.
pub(super) fn two(
    network: &mut Network,
    op: &'static str,
    x: &Value,
    y: &Value,
    element: Element,
) -> Step<Value> {
    let shape = broadcast(&x.shape, &y.shape);
    Ok(network.call(op, &[x, y], vec![], &typed(x, element, shape)))
}

fn broadcast(a: &[Size], b: &[Size]) -> Vec<Size> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Size], axis: usize| -> Size {
        (axis + shape.len()).checked_sub(rank).map_or(Size::Known(1), |axis| shape[axis])
    };
    let longer = |axis| match (at(a, axis), at(b, axis)) {
        (Size::Known(1), other) | (other, Size::Known(1)) => other,
        (a, b) if a == b => a,
        _ => Size::Unknown,
    };
    (0..rank).map(longer).collect()
}

pub(super) fn typed(like: &Value, element: Element, shape: Vec<Size>) -> Value {
    Value { name: like.name.clone(), element, shape }
}

pub(super) fn axis_of(name: &'static str, axis: usize) -> (&'static str, Attribute) {
    (name, Attribute::Integer(axis as i64))
}

/// A condition, and tensors or numbers; none of another form.
fn select(network: &mut Network, inputs: &[&Value], a: &Attributes<'_>) -> Option<Step<Value>> {
    let numbers = (a.number("left").ok()?, a.number("right").ok()?);
    let (condition, left, right) = match (inputs, numbers) {
        ([condition, left, right], (None, None)) => (*condition, (*left).clone(), (*right).clone()),
        ([condition, left], (None, Some(right))) => {
            let right = network.number(left.element, right.real().ok()?);
            (*condition, (*left).clone(), right)
        }
        ([condition, right], (Some(left), None)) => {
            let left = network.number(right.element, left.real().ok()?);
            (*condition, left, (*right).clone())
        }
        _ => return None,
    };
    let shape = broadcast(&condition.shape, &broadcast(&left.shape, &right.shape));
    let like = typed(&left, left.element, shape);
    Some(Ok(network.call("Where", &[condition, &left, &right], vec![], &like)))
}

fn reduce(network: &mut Network, kind: FunctionKind, x: &Value, a: &Attributes<'_>) -> Step<Value> {
    let op = match kind {
        FunctionKind::Sum => "ReduceSum",
        FunctionKind::Mean => "ReduceMean",
        FunctionKind::Amax => "ReduceMax",
        FunctionKind::Amin => "ReduceMin",
        _ => "ReduceLogSumExp",
    };
    let axes = match a.wholes("dim")? {
        Some(axes) => axes.into_iter().map(|axis| x.axis(axis)).collect::<Step<Vec<_>>>()?,
        None => (0..x.rank()).collect(),
    };
    Ok(reduced(network, op, x, &axes, a.flag("keepdim", false)?))
}

pub(super) fn reduced(
    network: &mut Network,
    op: &'static str,
    x: &Value,
    axes: &[usize],
    keeps: bool,
) -> Value {
    let lengths = x.shape.iter().copied().enumerate();
    let shape = match keeps {
        true => lengths
            .map(|(axis, length)| if axes.contains(&axis) { Size::Known(1) } else { length })
            .collect(),
        false => lengths.filter(|(axis, _)| !axes.contains(axis)).map(|(_, n)| n).collect(),
    };
    let like = typed(x, x.element, shape);
    let axes: Vec<i64> = axes.iter().map(|axis| *axis as i64).collect();
    let keeps = ("keepdims", Attribute::Integer(keeps.into()));
    // Sums take their axes as a tensor from version 13 on, the others from version 18 on.
    if op == "ReduceSum" {
        let axes = network.integers(&axes);
        return network.call(op, &[x, &axes], vec![keeps], &like);
    }
    network.call(op, &[x], vec![("axes", Attribute::Integers(axes)), keeps], &like)
}

fn along(network: &mut Network, op: &'static str, x: &Value, a: &Attributes<'_>) -> Step<Value> {
    let axis = x.axis(a.whole("dim")?)?;
    Ok(network.call(op, &[x], vec![axis_of("axis", axis)], x))
}

fn matmul(network: &mut Network, x: &Value, y: &Value) -> Step<Value> {
    if x.rank() < 2 || y.rank() < 2 {
        return Err(NotCovered::new("a product of vectors"));
    }
    let (outer_x, outer_y) = (&x.shape[..x.rank() - 2], &y.shape[..y.rank() - 2]);
    let mut shape = broadcast(outer_x, outer_y);
    shape.extend([x.shape[x.rank() - 2], y.shape[y.rank() - 1]]);
    Ok(network.call("MatMul", &[x, y], vec![], &typed(x, x.element, shape)))
}

/// `x wᵀ + b` along the last axis.
pub(super) fn linear(
    network: &mut Network,
    x: &Value,
    weight: &Value,
    bias: Option<&Value>,
) -> Step<Value> {
    let mut shape = x.shape.clone();
    match (shape.last_mut(), weight.shape.first()) {
        (Some(last), Some(outputs)) => *last = *outputs,
        _ => return Err(NotCovered::new("a linear layer of a number")),
    }
    let like = typed(x, x.element, shape);
    if x.rank() == 2 {
        let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
        let transposed = vec![("transB", Attribute::Integer(1))];
        return Ok(network.call("Gemm", &inputs, transposed, &like));
    }
    let turned: Vec<Size> = weight.shape.iter().rev().copied().collect();
    let turned = typed(weight, weight.element, turned);
    let weight = network.call("Transpose", &[weight], vec![], &turned);
    let product = network.call("MatMul", &[x, &weight], vec![], &like);
    norms::affine(network, product, None, bias)
}

/// A tensor that follows from no other.
fn create(network: &mut Network, kind: FunctionKind, a: &Attributes<'_>) -> Step<Value> {
    use FunctionKind as F;
    let not_covered = || NotCovered::new(format!("the function `{}`", kind.name()));
    let element = a.element()?;
    let (shape, elements): (Vec<i64>, Vec<f64>) = match kind {
        F::Full | F::Zeros | F::Ones => {
            let shape = a.wholes("shape")?.ok_or_else(not_covered)?;
            let value = match kind {
                F::Full => a.real("value", 0.0)?,
                F::Zeros => 0.0,
                _ => 1.0,
            };
            let n = shape.iter().product::<i64>();
            (shape, vec![value; bounded(n)?])
        }
        F::Arange => {
            let n = a.whole("length")?;
            let elements = (0..bounded(n)?).map(|at| at as f64).collect();
            return Ok(elements_of(network, Element::I64, &[n], elements));
        }
        F::Constant => {
            let elements = a.numbers("elements")?.ok_or_else(not_covered)?;
            let elements = elements.into_iter().map(Known::real).collect::<Step<Vec<_>>>()?;
            (a.wholes("shape")?.unwrap_or_else(|| vec![elements.len() as i64]), elements)
        }
        _ => return Err(not_covered()),
    };
    Ok(elements_of(network, element, &shape, elements))
}

/// How many elements a constant may have that a call makes.
const CREATED_MAX: i64 = 1 << 24;

fn bounded(n: i64) -> Step<usize> {
    let n = usize::try_from(n).ok().filter(|_| n <= CREATED_MAX);
    n.ok_or_else(|| NotCovered::new(format!("a constant of more than {CREATED_MAX} elements")))
}

fn elements_of(
    network: &mut Network,
    element: Element,
    shape: &[i64],
    elements: Vec<f64>,
) -> Value {
    let bytes = elements.iter().flat_map(|value| match element {
        Element::F32 => (*value as f32).to_le_bytes().to_vec(),
        Element::F64 => value.to_le_bytes().to_vec(),
        Element::I64 => (*value as i64).to_le_bytes().to_vec(),
        Element::Bool => vec![u8::from(*value != 0.0)],
    });
    let bytes = bytes.collect();
    network.constant(element, shape, bytes)
}
