//! The functions of a graph that move elements.

use fedwasm_graph::FunctionKind;

use super::attributes::{Attributes, Known};
use super::functions::{axis_of, typed};
use super::network::{Attribute, Element, Network, OUTPUTS_MAX, Size, Step, Value};
use super::{NotCovered, cast};

// long: a line for each function that is covered
pub(super) fn call(
    network: &mut Network,
    kind: FunctionKind,
    inputs: &[&Value],
    a: &Attributes<'_>,
) -> Step<Vec<Value>> {
    use FunctionKind as F;
    let not_covered = || NotCovered::new(format!("the function `{}`", kind.name()));
    let (&x, others) = inputs.split_first().ok_or_else(not_covered)?;
    let n = network;
    Ok(vec![match kind {
        F::Reshape => {
            let sizes = a.numbers("shape")?.ok_or_else(not_covered)?;
            reshape(n, x, &sizes)?
        }
        F::Flatten => flatten(n, x, a.number("start_dim")?.map_or(Ok(0), Known::whole)?)?,
        F::Unsqueeze => {
            let axis = x.axis_of(a.whole("dim")?, x.rank() + 1)?;
            unsqueeze(n, x, axis)
        }
        F::Squeeze => {
            let axis = x.axis(a.whole("dim")?)?;
            let mut shape = x.shape.clone();
            shape.remove(axis);
            let axes = n.integers(&[axis as i64]);
            n.call("Squeeze", &[x, &axes], vec![], &typed(x, x.element, shape))
        }
        F::Expand => {
            let sizes = a.numbers("shape")?.ok_or_else(not_covered)?;
            let sizes = sizes.into_iter().map(Known::size).collect::<Step<Vec<_>>>()?;
            // An axis that is as long already is asked for as one of length 1.
            let asked = sizes.iter().map(|size| if let Size::Known(n) = size { *n } else { 1 });
            let asked = n.integers(&asked.collect::<Vec<_>>());
            n.call("Expand", &[x, &asked], vec![], &typed(x, x.element, sizes))
        }
        F::Permute => {
            let axes = a.wholes("dims")?.ok_or_else(not_covered)?;
            let axes = axes.into_iter().map(|axis| x.axis(axis)).collect::<Step<Vec<_>>>()?;
            permute(n, x, &axes)
        }
        F::Transpose => {
            let mut axes: Vec<usize> = (0..x.rank()).collect();
            axes.swap(x.axis(a.whole("dim0")?)?, x.axis(a.whole("dim1")?)?);
            permute(n, x, &axes)
        }
        F::Slice => {
            let (start, length) = (a.whole("start")?, a.whole("length")?);
            let step = a.number("step")?.map_or(Ok(1), Known::whole)?;
            slice(n, x, x.axis(a.whole("dim")?)?, (start, length, step))
        }
        F::Select => {
            let axis = x.axis(a.whole("dim")?)?;
            let index = n.number(Element::I64, a.whole("index")? as f64);
            let mut shape = x.shape.clone();
            shape.remove(axis);
            let like = typed(x, x.element, shape);
            n.call("Gather", &[x, &index], vec![axis_of("axis", axis)], &like)
        }
        F::Split => {
            let sizes = a.wholes("sizes")?.ok_or_else(not_covered)?;
            return Ok(split(n, x, x.axis(a.whole("dim")?)?, &sizes));
        }
        F::Chunk => {
            let axis = x.axis(a.whole("dim")?)?;
            let (all, chunks) = (x.length(axis)?, a.whole("chunks")?.max(1));
            let each = (all + chunks - 1) / chunks;
            if all / each.max(1) > OUTPUTS_MAX {
                return Err(not_covered());
            }
            let starts = (0..all).step_by(usize::try_from(each.max(1)).map_err(|_| not_covered())?);
            let sizes: Vec<i64> = starts.map(|start| each.min(all - start)).collect();
            return Ok(split(n, x, axis, &sizes));
        }
        F::Pad => {
            let around = a.wholes("around")?.ok_or_else(not_covered)?;
            pad(n, x, &around, a.real("value", 0.0)?)?
        }
        F::Gather => {
            let indices = others.first().copied().ok_or_else(not_covered)?;
            let axis = x.axis(a.whole("dim")?)?;
            let indices = cast(n, indices, Element::I64);
            let like = typed(x, x.element, indices.shape.clone());
            n.call("GatherElements", &[x, &indices], vec![axis_of("axis", axis)], &like)
        }
        F::Embedding => embedding(n, x, others.first().copied().ok_or_else(not_covered)?)?,
        F::Cat => concat(n, inputs, x.axis(a.whole("dim")?)?)?,
        F::Stack => {
            let axis = x.axis_of(a.whole("dim")?, x.rank() + 1)?;
            let longer: Vec<Value> = inputs.iter().map(|x| unsqueeze(n, x, axis)).collect();
            concat(n, &longer.iter().collect::<Vec<_>>(), axis)?
        }
        _ => return Err(not_covered()),
    }])
}

/// To sizes, of which one may be -1, and one the rows of a batch.
fn reshape(network: &mut Network, x: &Value, sizes: &[Known]) -> Step<Value> {
    let rest = || NotCovered::new("a reshape of the rows of a batch");
    let is_rest = |size: &Known| *size == Known::Whole(-1);
    let n_rows = |shape: &[Size]| shape.iter().filter(|size| **size == Size::Rows).count();
    let known = |shape: &[Size]| {
        let mut lengths = shape.iter().filter_map(|size| match size {
            Size::Known(length) => Some(*length),
            Size::Rows | Size::Unknown => None,
        });
        let product = lengths.try_fold(1i64, |all, length| all.checked_mul(length));
        product.ok_or_else(|| NotCovered::new("a reshape of so many elements"))
    };
    let mut asked = Vec::with_capacity(sizes.len());
    let mut shape = Vec::with_capacity(sizes.len());
    for (at, size) in sizes.iter().enumerate() {
        let (value, size) = match size {
            Known::Rows if at == 0 && x.shape.first() == Some(&Size::Rows) => (0, Size::Rows),
            Known::Rows if !sizes.iter().any(is_rest) => (-1, Size::Rows),
            Known::Rows => return Err(rest()),
            size if is_rest(size) => (-1, Size::Unknown),
            size => (size.whole()?, size.size()?),
        };
        asked.push(value);
        shape.push(size);
    }
    // The length that is left follows if the rows are on both sides, or on none.
    let is_known = !x.shape.contains(&Size::Unknown) && n_rows(&x.shape) <= 1;
    if let (Some(at), true) = (sizes.iter().position(is_rest), is_known) {
        let (all, others) = (known(&x.shape)?, known(&shape)?.max(1));
        shape[at] = match n_rows(&x.shape) - n_rows(&shape).min(n_rows(&x.shape)) {
            0 => Size::of(all / others)?,
            _ if all == others => Size::Rows,
            _ => Size::Unknown,
        };
    }
    let asked = network.integers(&asked);
    Ok(network.call("Reshape", &[x, &asked], vec![], &typed(x, x.element, shape)))
}

/// The axes from `start` on as one.
pub(super) fn flatten(network: &mut Network, x: &Value, start: i64) -> Step<Value> {
    let start = x.axis(start)?;
    let mut sizes: Vec<Known> = Vec::with_capacity(start + 1);
    for axis in 0..start {
        sizes.push(match x.shape[axis] {
            Size::Rows => Known::Rows,
            _ => Known::Whole(x.length(axis)?),
        });
    }
    sizes.push(Known::Whole(-1));
    reshape(network, x, &sizes)
}

fn unsqueeze(network: &mut Network, x: &Value, axis: usize) -> Value {
    let mut shape = x.shape.clone();
    shape.insert(axis, Size::Known(1));
    let axes = network.integers(&[axis as i64]);
    network.call("Unsqueeze", &[x, &axes], vec![], &typed(x, x.element, shape))
}

pub(super) fn permute(network: &mut Network, x: &Value, axes: &[usize]) -> Value {
    let shape = axes.iter().map(|axis| x.shape[*axis]).collect();
    let axes = Attribute::Integers(axes.iter().map(|axis| *axis as i64).collect());
    network.call("Transpose", &[x], vec![("perm", axes)], &typed(x, x.element, shape))
}

fn slice(
    network: &mut Network,
    x: &Value,
    axis: usize,
    (start, length, step): (i64, i64, i64),
) -> Value {
    let end = start + (length - 1).max(0) * step + i64::from(length > 0);
    let mut shape = x.shape.clone();
    shape[axis] = Size::Known(length);
    let [starts, ends, axes, steps] =
        [start, end, axis as i64, step].map(|value| network.integers(&[value]));
    let inputs = [x, &starts, &ends, &axes, &steps];
    network.call("Slice", &inputs, vec![], &typed(x, x.element, shape))
}

fn split(network: &mut Network, x: &Value, axis: usize, sizes: &[i64]) -> Vec<Value> {
    let lengths = network.integers(sizes);
    let inputs = vec![x.name.clone(), lengths.name];
    let names = network.named("Split", inputs, vec![axis_of("axis", axis)], sizes.len());
    let part = |(name, size): (String, &i64)| {
        let mut shape = x.shape.clone();
        shape[axis] = Size::Known(*size);
        Value { name, element: x.element, shape }
    };
    names.into_iter().zip(sizes).map(part).collect()
}

/// Before and after each of the last axes.
fn pad(network: &mut Network, x: &Value, around: &[i64], value: f64) -> Step<Value> {
    let (pairs, rest) = around.as_chunks::<2>();
    let first = x.rank().checked_sub(pairs.len()).filter(|_| rest.is_empty());
    let first = first.ok_or_else(|| NotCovered::new("a padding of these axes"))?;
    let mut shape = x.shape.clone();
    let (mut before, mut after) = (vec![0; x.rank()], vec![0; x.rank()]);
    for (axis, [left, right]) in (first..).zip(pairs) {
        (before[axis], after[axis]) = (*left, *right);
        shape[axis] = match shape[axis] {
            Size::Known(length) => Size::of(length + left + right)?,
            size if left + right == 0 => size,
            _ => Size::Unknown,
        };
    }
    let pads = network.integers(&[before, after].concat());
    let value = network.number(x.element, value);
    Ok(network.call("Pad", &[x, &pads, &value], vec![], &typed(x, x.element, shape)))
}

/// The entries of a table.
pub(super) fn embedding(network: &mut Network, table: &Value, indices: &Value) -> Step<Value> {
    let indices = cast(network, indices, Element::I64);
    let Some((_, entry)) = table.shape.split_first() else {
        return Err(NotCovered::new("the entries of a number"));
    };
    let shape = indices.shape.iter().chain(entry).copied().collect();
    let like = typed(table, table.element, shape);
    Ok(network.call("Gather", &[table, &indices], vec![axis_of("axis", 0)], &like))
}

fn concat(network: &mut Network, inputs: &[&Value], axis: usize) -> Step<Value> {
    let mut shape = inputs[0].shape.clone();
    let lengths = inputs.iter().map(|x| match x.shape.get(axis) {
        Some(Size::Known(length)) => Some(*length),
        _ => None,
    });
    let all: Option<i64> = lengths.sum();
    shape[axis] = all.map_or(Ok(Size::Unknown), Size::of)?;
    let like = typed(inputs[0], inputs[0].element, shape);
    Ok(network.call("Concat", inputs, vec![axis_of("axis", axis)], &like))
}
