//! The modules of the table.

use fedwasm_graph::{ModuleKind, Value};
use fedwasm_sdk::*;

use crate::attributes::{Attributes, Result};

/// A module that takes and gives tensors.
pub trait Callable: Module {
    /// Computes the outputs. Mistakes of tensors are noted by the SDK.
    ///
    /// # Errors
    /// [`PlanError`] if there are too many or too few tensors.
    #[track_caller]
    fn call(&self, inputs: &[&Tensor]) -> fedwasm_sdk::Result<Vec<Tensor>>;
}

/// Makes a module. What is wrong with its sizes is noted by the SDK.
///
/// # Errors
/// [`PlanError`] if an attribute has another form than the table says.
#[track_caller]
pub fn module(
    kind: ModuleKind,
    attributes: &[Option<Value>],
) -> fedwasm_sdk::Result<Box<dyn Callable>> {
    made(kind, attributes).map_err(|error| *error)
}

#[track_caller]
// long: a line for each module of the table
fn made(kind: ModuleKind, attributes: &[Option<Value>]) -> Result<Box<dyn Callable>> {
    use ModuleKind as M;
    let a = &Attributes::new(kind.signature(), attributes)?;
    Ok(match kind {
        M::Linear => {
            let (inputs, outputs) = (a.size("in_features")?, a.size("out_features")?);
            layer(match a.flag("bias", true)? {
                true => Linear::new(inputs, outputs),
                false => Linear::without_bias(inputs, outputs),
            })
        }
        M::Conv1d => conv::<1, false>(a)?,
        M::Conv2d => conv::<2, false>(a)?,
        M::Conv3d => conv::<3, false>(a)?,
        M::ConvTranspose1d => conv_transpose::<1>(a)?,
        M::ConvTranspose2d => conv_transpose::<2>(a)?,
        M::ConvTranspose3d => conv_transpose::<3>(a)?,
        M::Embedding => {
            let table = Embedding::new(a.size("num_embeddings")?, a.size("embedding_dim")?);
            layer(match a.maybe_size("padding_idx")? {
                Some(entry) => table.padding(entry),
                None => table,
            })
        }
        M::BatchNorm => {
            let norm = BatchNorm::new(a.size("num_features")?).epsilon(epsilon(a)?);
            let norm = norm.momentum(a.maybe_real("momentum")?.unwrap_or(0.1));
            let norm = norm.share_buffers(a.flag("share_buffers", true)?);
            layer(if a.flag("affine", true)? { norm } else { norm.without_affine() })
        }
        M::LayerNorm => {
            let norm = LayerNorm::over(&a.sizes("normalized_shape")?).epsilon(epsilon(a)?);
            let is_affine = a.flag("elementwise_affine", true)?;
            layer(if is_affine { norm } else { norm.without_affine() })
        }
        M::GroupNorm => {
            let norm = GroupNorm::new(a.size("num_groups")?, a.size("num_channels")?);
            let norm = norm.epsilon(epsilon(a)?);
            layer(if a.flag("affine", true)? { norm } else { norm.without_affine() })
        }
        M::InstanceNorm => {
            let norm = InstanceNorm::new(a.size("num_features")?).epsilon(epsilon(a)?);
            layer(if a.flag("affine", false)? { norm.affine() } else { norm })
        }
        M::Dropout => layer(Dropout::new(a.maybe_real("p")?.unwrap_or(0.5))),
        M::Rnn => Box::new(Steps(recurrent::<_>(a, Rnn::new)?)),
        M::Lstm => Box::new(Remembers(recurrent::<_>(a, Lstm::new)?)),
        M::Gru => Box::new(Steps(recurrent::<_>(a, Gru::new)?)),
        M::MultiheadAttention => {
            let attention = MultiheadAttention::new(a.size("embed_dim")?, a.size("num_heads")?);
            let attention = attention.dropout(a.maybe_real("dropout")?.unwrap_or(0.0));
            let is_causal = a.flag("is_causal", false)?;
            Box::new(Attends(if is_causal { attention.causal() } else { attention }))
        }
        M::TransformerEncoderLayer => Box::new(Encodes(encoder(a)?)),
        M::MaxPool1d => layer(pool::<1, true>(a)?),
        M::MaxPool2d => layer(pool::<2, true>(a)?),
        M::MaxPool3d => layer(pool::<3, true>(a)?),
        M::AvgPool1d => avg_pool::<1>(a)?,
        M::AvgPool2d => avg_pool::<2>(a)?,
        M::AvgPool3d => avg_pool::<3>(a)?,
        M::AdaptiveMaxPool1d => adaptive::<1, true>(a)?,
        M::AdaptiveMaxPool2d => adaptive::<2, true>(a)?,
        M::AdaptiveMaxPool3d => adaptive::<3, true>(a)?,
        M::AdaptiveAvgPool1d => adaptive::<1, false>(a)?,
        M::AdaptiveAvgPool2d => adaptive::<2, false>(a)?,
        M::AdaptiveAvgPool3d => adaptive::<3, false>(a)?,
        M::Upsample => {
            let times = a.size("scale_factor")?;
            let is_linear = a.word("mode")? == "linear";
            layer(if is_linear { Upsample::linear(times) } else { Upsample::nearest(times) })
        }
        M::Relu => layer(Relu),
        M::LeakyRelu => layer(LeakyRelu(a.maybe_real("negative_slope")?.unwrap_or(0.01))),
        M::Elu => layer(Elu(a.maybe_real("alpha")?.unwrap_or(1.0))),
        M::Gelu => layer(Gelu),
        M::Silu => layer(Silu),
        M::Sigmoid => layer(Sigmoid),
        M::Tanh => layer(Tanh),
        M::Softplus => layer(Softplus),
        M::Flatten => layer(Flatten),
        M::Described => layer(crate::described::described(a)?),
    })
}

/// PyTorch's default.
fn epsilon(a: &Attributes<'_>) -> Result<f64> {
    Ok(a.maybe_real("eps")?.unwrap_or(1e-5))
}

fn layer(layer: impl Layer + 'static) -> Box<dyn Callable> {
    Box::new(Function(Box::new(layer)))
}

#[track_caller]
fn with_window<const N: usize, const IS_TRANSPOSED: bool>(
    a: &Attributes<'_>,
) -> Result<Conv<N, IS_TRANSPOSED>> {
    let kernel = needed(a.along::<N>("kernel_size")?)?;
    let mut conv = Conv::new(a.size("in_channels")?, a.size("out_channels")?, kernel);
    if let Some(groups) = a.maybe_size("groups")? {
        conv = conv.groups(groups);
    }
    conv = conv.stride(a.along::<N>("stride")?.unwrap_or([1; N]));
    conv = conv.padding(a.along::<N>("padding")?.unwrap_or([0; N]));
    conv = conv.dilation(a.along::<N>("dilation")?.unwrap_or([1; N]));
    Ok(if a.flag("bias", true)? { conv } else { conv.without_bias() })
}

fn needed<T>(kernel: Option<T>) -> Result<T> {
    kernel.ok_or_else(|| PlanError::Internal("a window needs sizes".into()).into())
}

#[track_caller]
fn conv<const N: usize, const IS_TRANSPOSED: bool>(
    a: &Attributes<'_>,
) -> Result<Box<dyn Callable>> {
    Ok(layer(with_window::<N, IS_TRANSPOSED>(a)?))
}

#[track_caller]
fn conv_transpose<const N: usize>(a: &Attributes<'_>) -> Result<Box<dyn Callable>> {
    let longer = a.along::<N>("output_padding")?.unwrap_or([0; N]);
    Ok(layer(with_window::<N, true>(a)?.output_padding(longer)))
}

fn pool<const N: usize, const IS_MAX: bool>(a: &Attributes<'_>) -> Result<Pool<N, IS_MAX>> {
    let kernel = needed(a.along::<N>("kernel_size")?)?;
    let pool = Pool::new(kernel).stride(a.along::<N>("stride")?.unwrap_or(kernel));
    Ok(pool.padding(a.along::<N>("padding")?.unwrap_or([0; N])))
}

fn avg_pool<const N: usize>(a: &Attributes<'_>) -> Result<Box<dyn Callable>> {
    let pool = pool::<N, false>(a)?;
    let counts = a.flag("count_include_pad", true)?;
    Ok(layer(if counts { pool } else { pool.without_padding_in_mean() }))
}

fn adaptive<const N: usize, const IS_MAX: bool>(a: &Attributes<'_>) -> Result<Box<dyn Callable>> {
    let sizes = needed(a.along::<N>("output_size")?)?;
    Ok(layer(AdaptivePool::<N, IS_MAX>::new(sizes)))
}

#[track_caller]
fn recurrent<C: RecurrentCell>(
    a: &Attributes<'_>,
    new: fn(usize, usize) -> Recurrent<C>,
) -> Result<Recurrent<C>> {
    let steps = new(a.size("input_size")?, a.size("hidden_size")?);
    let steps = steps.layers(a.maybe_size("num_layers")?.unwrap_or(1));
    let steps = steps.dropout(a.maybe_real("dropout")?.unwrap_or(0.0));
    Ok(if a.flag("bidirectional", false)? { steps.bidirectional() } else { steps })
}

#[track_caller]
fn encoder(a: &Attributes<'_>) -> Result<TransformerEncoderLayer> {
    let hidden = a.maybe_size("dim_feedforward")?.unwrap_or(2048);
    let mut layer = TransformerEncoderLayer::new(a.size("d_model")?, a.size("nhead")?, hidden);
    layer = layer.dropout(a.maybe_real("dropout")?.unwrap_or(0.1));
    if a.word("activation")? == "gelu" {
        layer = layer.gelu();
    }
    if a.flag("norm_first", false)? {
        layer = layer.norm_first();
    }
    Ok(if a.flag("is_causal", false)? { layer.causal() } else { layer })
}

fn other_number(name: &str, takes: &str, n: usize) -> PlanError {
    PlanError::Internal(format!("{name} takes {takes} tensors, not {n}"))
}

/// Declares what wraps a module.
macro_rules! wrappers {
    ($($(#[$doc:meta])* $name:ident $(<$cell:ident>)? ($inner:ty);)*) => {$(
        $(#[$doc])*
        struct $name $(<$cell>)? ($inner);

        impl $(<$cell: RecurrentCell>)? Module for $name $(<$cell>)? {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                self.0.visit(visitor);
            }
        }
    )*};
}

wrappers! {
    /// A function of one tensor.
    Function(Box<dyn Layer>);
    /// One step after the other; x, maybe hidden states.
    Steps<C>(Recurrent<C>);
    /// As that, with cell states.
    Remembers(Lstm);
    /// x; x, mask; queries, keys, values; or those and a mask.
    Attends(MultiheadAttention);
    /// x, maybe a mask.
    Encodes(TransformerEncoderLayer);
}

impl Callable for Function {
    fn call(&self, inputs: &[&Tensor]) -> fedwasm_sdk::Result<Vec<Tensor>> {
        match inputs {
            [x] => Ok(vec![self.0.forward(x)]),
            _ => Err(other_number("a layer", "1", inputs.len())),
        }
    }
}

impl<C: RecurrentCell> Callable for Steps<C> {
    fn call(&self, inputs: &[&Tensor]) -> fedwasm_sdk::Result<Vec<Tensor>> {
        let (outputs, last) = match inputs {
            [x] => self.0.run(x),
            [x, hidden] => {
                // Its cell states are not used.
                let (hidden, cell) = ((*hidden).clone(), (*hidden).clone());
                self.0.run_from(x, &States { hidden, cell })
            }
            _ => return Err(other_number("a recurrent layer", "1 or 2", inputs.len())),
        };
        Ok(vec![outputs, last.hidden])
    }
}

impl Callable for Remembers {
    fn call(&self, inputs: &[&Tensor]) -> fedwasm_sdk::Result<Vec<Tensor>> {
        let (outputs, last) = match inputs {
            [x] => self.0.run(x),
            [x, hidden, cell] => {
                let (hidden, cell) = ((*hidden).clone(), (*cell).clone());
                self.0.run_from(x, &States { hidden, cell })
            }
            _ => return Err(other_number("LSTM", "1 or 3", inputs.len())),
        };
        Ok(vec![outputs, last.hidden, last.cell])
    }
}

impl Callable for Attends {
    fn call(&self, inputs: &[&Tensor]) -> fedwasm_sdk::Result<Vec<Tensor>> {
        Ok(vec![match inputs {
            [x] => self.0.forward_with(x, None),
            [x, mask] => self.0.forward_with(x, Some(mask)),
            [queries, keys, values] => self.0.attend(queries, keys, values, None),
            [queries, keys, values, mask] => self.0.attend(queries, keys, values, Some(mask)),
            _ => return Err(other_number("MultiheadAttention", "1 to 4", inputs.len())),
        }])
    }
}

impl Callable for Encodes {
    fn call(&self, inputs: &[&Tensor]) -> fedwasm_sdk::Result<Vec<Tensor>> {
        Ok(vec![match inputs {
            [x] => self.0.forward_with(x, None),
            [x, mask] => self.0.forward_with(x, Some(mask)),
            _ => return Err(other_number("TransformerEncoderLayer", "1 or 2", inputs.len())),
        }])
    }
}
