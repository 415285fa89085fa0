//! Normalisations, in operators that every reader has.

use super::functions::{reduced, two, typed, unary};
use super::network::{Network, Size, Step, Value};

/// Less the mean over some axes, over the deviation.
pub(super) fn normalise(network: &mut Network, x: &Value, axes: &[i64], eps: f64) -> Step<Value> {
    let axes = axes.iter().map(|axis| x.axis(*axis)).collect::<Step<Vec<_>>>()?;
    let n = network;
    let mean = reduced(n, "ReduceMean", x, &axes, true);
    let centred = n.call("Sub", &[x, &mean], vec![], x);
    let squares = n.call("Mul", &[&centred, &centred], vec![], x);
    let variance = reduced(n, "ReduceMean", &squares, &axes, true);
    let eps = n.number(x.element, eps);
    let sum = n.call("Add", &[&variance, &eps], vec![], &variance);
    let root = unary(n, "Sqrt", &sum);
    Ok(n.call("Div", &[&centred, &root], vec![], x))
}

pub(super) fn layer_norm(
    network: &mut Network,
    x: &Value,
    sizes: &[i64],
    (weight, bias): (Option<&Value>, Option<&Value>),
    eps: f64,
) -> Step<Value> {
    let last = -(sizes.len() as i64)..0;
    let normal = normalise(network, x, &last.collect::<Vec<_>>(), eps)?;
    affine(network, normal, weight, bias)
}

pub(super) fn affine(
    network: &mut Network,
    mut x: Value,
    weight: Option<&Value>,
    bias: Option<&Value>,
) -> Step<Value> {
    for (op, parameter) in [("Mul", weight), ("Add", bias)] {
        if let Some(parameter) = parameter {
            x = two(network, op, &x, parameter, x.element)?;
        }
    }
    Ok(x)
}

/// Of groups of channels, the second axis.
pub(super) fn group_norm(
    network: &mut Network,
    x: &Value,
    groups: i64,
    (weight, bias): (Option<&Value>, Option<&Value>),
    eps: f64,
) -> Step<Value> {
    let lengths = (1..x.rank()).map(|axis| x.length(axis)).collect::<Step<Vec<_>>>()?;
    let shape = [&[0, groups], &[-1][..]].concat();
    let shape = network.integers(&shape);
    let grouped = vec![Size::Rows, Size::Known(groups), Size::Unknown];
    let grouped = network.call("Reshape", &[x, &shape], vec![], &typed(x, x.element, grouped));
    let normal = normalise(network, &grouped, &[2], eps)?;
    let back = network.integers(&[&[0][..], &lengths].concat());
    let normal = network.call("Reshape", &[&normal, &back], vec![], x);
    let along_channels = |network: &mut Network, parameter: Option<&Value>| {
        parameter.map(|parameter| channels(network, parameter, x.rank())).transpose()
    };
    let (weight, bias) = (along_channels(network, weight)?, along_channels(network, bias)?);
    affine(network, normal, weight.as_ref(), bias.as_ref())
}

/// A parameter of channels, for a tensor [rows, channels, ...] of this rank.
fn channels(network: &mut Network, parameter: &Value, rank: usize) -> Step<Value> {
    let mut lengths = vec![1; rank];
    if let Some(length) = lengths.get_mut(1) {
        *length = parameter.length(0)?;
    }
    let sizes = lengths.iter().map(|length| Size::Known(*length)).collect();
    let shape = network.integers(&lengths);
    let like = typed(parameter, parameter.element, sizes);
    Ok(network.call("Reshape", &[parameter, &shape], vec![], &like))
}
