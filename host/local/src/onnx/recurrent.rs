//! Recurrent modules. ONNX orders the gates of a cell otherwise than PyTorch, whose order the
//! parameters have, and takes both directions of a layer in one tensor.

use fedwasm_graph::ModuleKind;
use fedwasm_params::{DType, Tensor};

use super::NotCovered;
use super::attributes::Attributes;
use super::functions::typed;
use super::modules::Of;
use super::moves::permute;
use super::network::{Attribute, Element, Network, Size, Step, Value};

/// Runs all layers from zeros, and returns the outputs; states at the end are not covered.
pub(super) fn call(
    network: &mut Network,
    kind: ModuleKind,
    of: &Of<'_>,
    x: &Value,
    a: &Attributes<'_>,
) -> Step<Vec<Value>> {
    let units = a.whole("hidden_size")?;
    let n_layers = a.number("num_layers")?.map_or(Ok(1), super::attributes::Known::whole)?;
    let ends: &[&str] = if a.flag("bidirectional", false)? { &["", "_reverse"] } else { &[""] };
    // Operator, and where its gates are among PyTorch's.
    let (op, gates): (_, &[usize]) = match kind {
        // input, output, forget, cell of: input, forget, cell, output.
        ModuleKind::Lstm => ("LSTM", &[0, 3, 1, 2]),
        // update, reset, new of: reset, update, new.
        ModuleKind::Gru => ("GRU", &[1, 0, 2]),
        _ => ("RNN", &[0]),
    };
    if x.rank() != 3 {
        return Err(NotCovered::new(format!("a sequence with {} axes", x.rank())));
    }
    let n_directions = ends.len() as i64;
    // [rows, steps, inputs] to [steps, rows, inputs].
    let mut x = permute(network, x, &[1, 0, 2]);
    for layer in 0..n_layers {
        let part = |name: &str, width: Option<usize>| -> Step<Vec<f32>> {
            let mut all = Vec::new();
            for end in ends {
                all.extend(gated(of, &format!("{name}_l{layer}{end}"), gates, width)?);
            }
            Ok(all)
        };
        let inputs = usize::try_from(x.length(2)?).unwrap_or_default();
        let width = usize::try_from(units).unwrap_or_default();
        let lines = gates.len() as i64 * units;
        let weights = part("weight_ih", Some(inputs))?;
        let weights = network.floats(&[n_directions, lines, inputs as i64], &weights);
        let recurrent = part("weight_hh", Some(width))?;
        let recurrent = network.floats(&[n_directions, lines, units], &recurrent);
        let mut biases = Vec::new();
        for end in ends {
            for name in ["bias_ih", "bias_hh"] {
                biases.extend(gated(of, &format!("{name}_l{layer}{end}"), gates, None)?);
            }
        }
        let biases = network.floats(&[n_directions, 2 * lines], &biases);
        let mut attributes = vec![("hidden_size", Attribute::Integer(units))];
        if ends.len() == 2 {
            attributes.push(("direction", Attribute::Text("bidirectional")));
        }
        if op == "GRU" {
            // The reset gate is applied to the product, as PyTorch does.
            attributes.push(("linear_before_reset", Attribute::Integer(1)));
        }
        let shape = vec![x.shape[0], Size::Known(n_directions), Size::Rows, Size::Known(units)];
        let like = typed(&x, Element::F32, shape);
        let y = network.call(op, &[&x, &weights, &recurrent, &biases], attributes, &like);
        // [steps, directions, rows, units] to [steps, rows, directions · units].
        let y = permute(network, &y, &[0, 2, 1, 3]);
        let sizes = network.integers(&[0, 0, n_directions * units]);
        let shape = vec![y.shape[0], Size::Rows, Size::Known(n_directions * units)];
        x = network.call("Reshape", &[&y, &sizes], vec![], &typed(&y, Element::F32, shape));
    }
    Ok(vec![permute(network, &x, &[1, 0, 2])])
}

/// A parameter [gates · units, width], or [gates · units], with its gates in another order.
fn gated(of: &Of<'_>, name: &str, gates: &[usize], width: Option<usize>) -> Step<Vec<f32>> {
    let name = of.name(name);
    let wrong = || NotCovered::new(format!("the parameter `{name}` as it is"));
    let tensor: &Tensor = of.params.tensor(&name).ok_or_else(wrong)?;
    if tensor.dtype() != DType::Float32 || tensor.shape().get(1).map(|n| *n as usize) != width {
        return Err(wrong());
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let gate = values.len() / gates.len();
    Ok(gates.iter().flat_map(|at| values[at * gate..(at + 1) * gate].to_vec()).collect())
}
