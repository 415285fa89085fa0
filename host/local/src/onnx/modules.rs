//! The modules of a graph as operators, with their parameters under PyTorch's names.

use fedwasm_graph::ModuleKind;
use fedwasm_params::Params;

use super::attributes::Attributes;
use super::network::{Attribute, Element, FILLED_MAX, Network, Step, Value};
use super::{NotCovered, functions, moves, norms, recurrent, windows};

/// A module's parameters: those whose names begin with its path.
pub(super) struct Of<'a> {
    pub(super) params: &'a Params,
    pub(super) path: &'a str,
}

impl Of<'_> {
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    pub(super) fn parameter(&self, network: &mut Network, name: &str) -> Step<Value> {
        network.parameter(self.params, &self.name(name))
    }

    fn maybe(&self, network: &mut Network, name: &str, is_there: bool) -> Step<Option<Value>> {
        is_there.then(|| self.parameter(network, name)).transpose()
    }
}

/// Calls a module.
// long: a line for each module that is covered
pub(super) fn call(
    network: &mut Network,
    kind: ModuleKind,
    of: &Of<'_>,
    inputs: &[&Value],
    a: &Attributes<'_>,
) -> Step<Vec<Value>> {
    use ModuleKind as M;
    let not_covered = || NotCovered::new(format!("the module `{}`", kind.name()));
    let [x] = inputs else { return Err(not_covered()) };
    let (x, n) = (*x, network);
    Ok(vec![match kind {
        M::Linear => linear(n, of, x, a.flag("bias", true)?)?,
        M::Conv1d | M::Conv2d | M::Conv3d => {
            let weight = of.parameter(n, "weight")?;
            let bias = of.maybe(n, "bias", a.flag("bias", true)?)?;
            windows::conv(n, (x, &weight, bias.as_ref()), a)?
        }
        M::ConvTranspose1d | M::ConvTranspose2d | M::ConvTranspose3d => {
            let weight = of.parameter(n, "weight")?;
            let bias = of.maybe(n, "bias", a.flag("bias", true)?)?;
            windows::conv_transpose(n, (x, &weight, bias.as_ref()), a)?
        }
        M::Embedding => {
            let table = of.parameter(n, "weight")?;
            moves::embedding(n, &table, x)?
        }
        M::BatchNorm => {
            let is_affine = a.flag("affine", true)?;
            let moments = [of.parameter(n, "running_mean")?, of.parameter(n, "running_var")?];
            let (weight, bias) =
                (of.maybe(n, "weight", is_affine)?, of.maybe(n, "bias", is_affine)?);
            batch_norm(n, x, &moments, (weight, bias), a.real("eps", 1e-5)?)?
        }
        M::LayerNorm => {
            let sizes = a.wholes("normalized_shape")?.ok_or_else(not_covered)?;
            let is_affine = a.flag("elementwise_affine", true)?;
            let (weight, bias) =
                (of.maybe(n, "weight", is_affine)?, of.maybe(n, "bias", is_affine)?);
            let affine = (weight.as_ref(), bias.as_ref());
            norms::layer_norm(n, x, &sizes, affine, a.real("eps", 1e-5)?)?
        }
        M::GroupNorm | M::InstanceNorm => {
            let is_group = kind == M::GroupNorm;
            let groups = if is_group { a.whole("num_groups")? } else { x.length(1)? };
            let is_affine = a.flag("affine", is_group)?;
            let (weight, bias) =
                (of.maybe(n, "weight", is_affine)?, of.maybe(n, "bias", is_affine)?);
            let affine = (weight.as_ref(), bias.as_ref());
            norms::group_norm(n, x, groups, affine, a.real("eps", 1e-5)?)?
        }
        M::Dropout => x.clone(),
        M::Rnn | M::Lstm | M::Gru => return recurrent::call(n, kind, of, x, a),
        M::MaxPool1d | M::MaxPool2d | M::MaxPool3d => windows::pool(n, "MaxPool", x, a)?,
        M::AvgPool1d | M::AvgPool2d | M::AvgPool3d => windows::pool(n, "AveragePool", x, a)?,
        M::AdaptiveMaxPool1d | M::AdaptiveMaxPool2d | M::AdaptiveMaxPool3d => {
            windows::adaptive(n, "MaxPool", x, a)?
        }
        M::AdaptiveAvgPool1d | M::AdaptiveAvgPool2d | M::AdaptiveAvgPool3d => {
            windows::adaptive(n, "AveragePool", x, a)?
        }
        M::Upsample => {
            let times = a.whole("scale_factor")?;
            let sizes = (2..x.rank()).map(|axis| Ok(x.length(axis)? * times));
            let sizes = sizes.collect::<Step<Vec<_>>>()?;
            windows::resample(n, x, &sizes, a.word("mode")?.unwrap_or("nearest"))?
        }
        M::Relu => functions::unary(n, "Relu", x),
        M::LeakyRelu => functions::leaky_relu(n, x, a.real("negative_slope", 0.01)?),
        M::Elu => functions::elu(n, x, a.real("alpha", 1.0)?),
        M::Gelu => functions::gelu(n, x, false),
        M::Silu => functions::silu(n, x),
        M::Sigmoid => functions::unary(n, "Sigmoid", x),
        M::Tanh => functions::unary(n, "Tanh", x),
        M::Softplus => functions::unary(n, "Softplus", x),
        M::Flatten => moves::flatten(n, x, 1)?,
        M::MultiheadAttention | M::TransformerEncoderLayer | M::Described => {
            return Err(not_covered());
        }
    }])
}

pub(super) fn linear(network: &mut Network, of: &Of<'_>, x: &Value, has_bias: bool) -> Step<Value> {
    let weight = of.parameter(network, "weight")?;
    let bias = of.maybe(network, "bias", has_bias)?;
    functions::linear(network, x, &weight, bias.as_ref())
}

/// Of channels, by given moments.
pub(super) fn batch_norm(
    network: &mut Network,
    x: &Value,
    [mean, variance]: &[Value; 2],
    (weight, bias): (Option<Value>, Option<Value>),
    eps: f64,
) -> Step<Value> {
    if x.element != Element::F32 {
        return Err(NotCovered::new("a batch norm of other elements than float32"));
    }
    let length = mean.length(0)?;
    if length > FILLED_MAX {
        return Err(NotCovered::new(format!("a batch norm of {length} channels")));
    }
    let n = usize::try_from(length).unwrap_or_default();
    let weight = weight.unwrap_or_else(|| network.floats(&[length], &vec![1.0; n]));
    let bias = bias.unwrap_or_else(|| network.floats(&[length], &vec![0.0; n]));
    let eps = vec![("epsilon", Attribute::Real(eps as f32))];
    let inputs = [x, &weight, &bias, mean, variance];
    Ok(network.call("BatchNormalization", &inputs, eps, x))
}
