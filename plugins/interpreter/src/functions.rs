//! The functions of the table.

use fedwasm_graph::{FunctionKind, Value};
use fedwasm_sdk::{
    Attention, CrossEntropy, Dropout, Dtype, Layer, PlanError, Random, Sampling, Tensor,
};

use crate::attributes::{Attributes, Result};
use crate::{operands, windows};

/// Calls a function on tensors. Mistakes of tensors, such as shapes that do not fit, are noted by the
/// SDK; what comes of them is a tensor that failed.
///
/// # Errors
/// [`PlanError`] if an attribute has another form than the table says, or there are too many or too
/// few tensors.
#[track_caller]
pub fn call(
    kind: FunctionKind,
    inputs: &[&Tensor],
    attributes: &[Option<Value>],
) -> fedwasm_sdk::Result<Vec<Tensor>> {
    called(kind, inputs, attributes).map_err(|error| *error)
}

#[track_caller]
// long: a line for each function of the table
fn called(
    kind: FunctionKind,
    inputs: &[&Tensor],
    attributes: &[Option<Value>],
) -> Result<Vec<Tensor>> {
    use FunctionKind as F;
    let signature = kind.signature();
    let a = &Attributes::new(signature, attributes)?;
    let n_inputs = inputs.len();
    let (least, most) = signature.inputs;
    if !(usize::from(least)..=usize::from(most)).contains(&n_inputs) {
        let (name, text) = (signature.name, format!("{least} to {most} tensors, not {n_inputs}"));
        return Err(PlanError::Internal(format!("{name} takes {text}")).into());
    }
    let Some((&x, others)) = inputs.split_first() else { return Ok(vec![create(kind, a)?]) };
    let few = || Box::new(PlanError::Internal(format!("{} takes more tensors", signature.name)));
    let y = || others.first().copied().ok_or_else(few);
    let z = || others.get(1).copied().ok_or_else(few);
    let maybe = |nth: usize| inputs.get(nth).copied();
    Ok(vec![match kind {
        F::Exp => x.exp(),
        F::Log => x.ln(),
        F::Sqrt => x.sqrt(),
        F::Rsqrt => x.rsqrt(),
        F::Reciprocal => x.reciprocal(),
        F::Square => x.square(),
        F::Abs => x.abs(),
        F::Sign => x.sign(),
        F::Neg => -x,
        F::Relu => x.relu(),
        F::LeakyRelu => x.leaky_relu(a.maybe_real("negative_slope")?.unwrap_or(0.01)),
        F::Elu => x.elu(a.maybe_real("alpha")?.unwrap_or(1.0)),
        F::Gelu if a.word("approximate")? == "tanh" => x.gelu_tanh(),
        F::Gelu => x.gelu(),
        F::Silu => x.silu(),
        F::Sigmoid => x.sigmoid(),
        F::Tanh => x.tanh(),
        F::Softplus => x.softplus(),
        F::Clamp => {
            let (low, high) = (a.maybe_real("min")?, a.maybe_real("max")?);
            x.clamp(low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY))
        }
        F::To => x.to(a.dtype()?),
        F::Detach => x.detach(),
        F::Dropout => Dropout::new(a.maybe_real("p")?.unwrap_or(0.5)).forward(x),
        F::LogicalNot => x.where_(truth(false), truth(true)),
        F::Add | F::Sub | F::Mul | F::Div | F::Pow | F::Maximum | F::Minimum => {
            operands::binary(kind, inputs, a)?
        }
        F::Eq | F::Ne | F::Lt | F::Le | F::Gt | F::Ge => operands::binary(kind, inputs, a)?,
        F::LogicalAnd => x.where_(y()?, truth(false)),
        F::LogicalOr => x.where_(truth(true), y()?),
        F::Where => operands::select(inputs, a)?,
        F::Sum | F::Mean | F::Amax | F::Amin | F::Logsumexp | F::Var => {
            operands::reduce(kind, x, a)?
        }
        F::Argmax => x.argmax(a.axis("dim")?),
        F::Softmax => x.softmax(a.axis("dim")?),
        F::LogSoftmax => x.log_softmax(a.axis("dim")?),
        F::Normalise => x.normalise(&a.axes("dim")?, epsilon(a)?),
        F::LayerNorm => {
            let sizes = a.sizes("normalized_shape")?;
            if !x.shape().ends_with(&sizes) {
                let text = format!("layer_norm over {sizes:?} of a tensor {:?}", x.shape());
                return Err(PlanError::Internal(text).into());
            }
            x.layer_norm(sizes.len(), maybe(1), maybe(2), epsilon(a)?)
        }
        F::GroupNorm => x.group_norm(a.size("num_groups")?, maybe(1), maybe(2), epsilon(a)?),
        F::InstanceNorm => x.instance_norm(maybe(1), maybe(2), epsilon(a)?),
        F::BatchNorm => x.batch_norm(y()?, z()?, maybe(3), maybe(4), epsilon(a)?),
        F::Matmul => x.matmul(y()?),
        F::Linear => x.linear(y()?, maybe(2)),
        F::ScaledDotProductAttention => {
            let options = Attention {
                mask: maybe(3),
                is_causal: a.flag("is_causal", false)?,
                dropout: a.maybe_real("dropout_p")?.unwrap_or(0.0),
                scale: a.maybe_real("scale")?,
            };
            x.scaled_dot_product_attention(y()?, z()?, &options)
        }
        F::Reshape => x.reshape(&a.axes("shape")?),
        F::Flatten => x.flatten(match a.maybe_integer("start_dim")? {
            Some(_) => a.axis("start_dim")?,
            None => 0,
        }),
        F::Unsqueeze => x.unsqueeze(a.axis("dim")?),
        F::Squeeze => x.squeeze(a.axis("dim")?),
        F::Expand => x.expand(&a.sizes("shape")?),
        F::Permute => x.permute(&a.axes("dims")?),
        F::Transpose => x.transpose(a.axis("dim0")?, a.axis("dim1")?),
        F::Slice => {
            let (start, length) = (a.size("start")?, a.size("length")?);
            x.slice_by(a.axis("dim")?, start, length, a.maybe_size("step")?.unwrap_or(1))
        }
        F::Select => x.select(a.axis("dim")?, a.size("index")?),
        F::Split => return Ok(x.split(&a.sizes("sizes")?, a.axis("dim")?)),
        F::Chunk => return Ok(x.chunk(a.size("chunks")?, a.axis("dim")?)),
        F::Pad => {
            let around = a.sizes("around")?;
            let (pairs, rest) = around.as_chunks::<2>();
            if !rest.is_empty() {
                return Err(PlanError::Internal("pad takes two sizes an axis".into()).into());
            }
            let pairs: Vec<(usize, usize)> = pairs.iter().map(|[a, b]| (*a, *b)).collect();
            x.pad(&pairs, a.maybe_real("value")?.unwrap_or(0.0))
        }
        F::Gather => x.gather(a.axis("dim")?, y()?),
        F::ScatterAdd => x.scatter_add(a.axis("dim")?, y()?, z()?),
        F::Embedding => x.embedding(y()?),
        F::Cat => Tensor::concat(inputs, a.axis("dim")?),
        F::Stack => Tensor::stack(inputs, a.axis("dim")?),
        F::Full | F::Zeros | F::Ones | F::Arange | F::Constant => create(kind, a)?,
        F::RandnLike => random(x, |random, values| random.fill_normal(values))?,
        F::RandLike => random(x, |random, values| {
            random.fill_uniform(values, 1.0)?;
            // Of [-1, 1), and exact.
            values.iter_mut().for_each(|value| *value = (*value + 1.0) * 0.5);
            Ok(())
        })?,
        F::CrossEntropy => x.cross_entropy_with(y()?, &class_loss(maybe(2), a)?),
        F::NllLoss => x.nll_with(y()?, &class_loss(maybe(2), a)?),
        F::MseLoss => x.mse_with(y()?, a.reduction()?),
        F::L1Loss => x.mae_with(y()?, a.reduction()?),
        F::HuberLoss => {
            let delta = a.maybe_real("delta")?.unwrap_or(1.0);
            x.huber_with(y()?, delta, a.reduction()?)
        }
        F::BceWithLogits => x.bce_with_logits_with(y()?, a.reduction()?),
        F::KlDiv => x.kl_with(y()?, a.reduction()?),
        F::DiceLoss => x.dice(y()?, a.maybe_real("smooth")?.unwrap_or(1.0)),
        F::Conv1d => windows::conv::<1>(kind, x, y()?, maybe(2), a)?,
        F::Conv2d => windows::conv::<2>(kind, x, y()?, maybe(2), a)?,
        F::Conv3d => windows::conv::<3>(kind, x, y()?, maybe(2), a)?,
        F::ConvTranspose1d => windows::conv_transpose::<1>(kind, x, y()?, maybe(2), a)?,
        F::ConvTranspose2d => windows::conv_transpose::<2>(kind, x, y()?, maybe(2), a)?,
        F::ConvTranspose3d => windows::conv_transpose::<3>(kind, x, y()?, maybe(2), a)?,
        F::MaxPool1d => windows::max_pool::<1>(kind, x, a)?,
        F::MaxPool2d => windows::max_pool::<2>(kind, x, a)?,
        F::MaxPool3d => windows::max_pool::<3>(kind, x, a)?,
        F::AvgPool1d => windows::avg_pool::<1>(kind, x, a)?,
        F::AvgPool2d => windows::avg_pool::<2>(kind, x, a)?,
        F::AvgPool3d => windows::avg_pool::<3>(kind, x, a)?,
        F::AdaptiveMaxPool1d => x.max_pool(windows::adaptive::<1>(kind, x, a)?),
        F::AdaptiveMaxPool2d => x.max_pool(windows::adaptive::<2>(kind, x, a)?),
        F::AdaptiveMaxPool3d => x.max_pool(windows::adaptive::<3>(kind, x, a)?),
        F::AdaptiveAvgPool1d => x.avg_pool(windows::adaptive::<1>(kind, x, a)?, true),
        F::AdaptiveAvgPool2d => x.avg_pool(windows::adaptive::<2>(kind, x, a)?, true),
        F::AdaptiveAvgPool3d => x.avg_pool(windows::adaptive::<3>(kind, x, a)?, true),
        F::Interpolate => {
            let by = match a.word("mode")? {
                "linear" => Sampling::Linear,
                "linear_corners" => Sampling::LinearCorners,
                _ => Sampling::Nearest,
            };
            x.resample(by, &a.sizes("size")?)
        }
    }])
}

/// PyTorch's default.
fn epsilon(a: &Attributes<'_>) -> Result<f64> {
    Ok(a.maybe_real("eps")?.unwrap_or(1e-5))
}

fn truth(value: bool) -> Tensor {
    Tensor::full_of(&[], f64::from(u8::from(value)), Dtype::Bool)
}

/// A tensor that follows from no other.
#[track_caller]
fn create(kind: FunctionKind, a: &Attributes<'_>) -> Result<Tensor> {
    use FunctionKind as F;
    Ok(match kind {
        F::Full => Tensor::full_of(&a.sizes("shape")?, a.real("value")?, a.dtype()?),
        F::Zeros => Tensor::full_of(&a.sizes("shape")?, 0.0, a.dtype()?),
        F::Ones => Tensor::full_of(&a.sizes("shape")?, 1.0, a.dtype()?),
        F::Arange => Tensor::range(a.size("length")?),
        F::Constant => constant(a)?,
        _ => {
            let text = format!("{} takes a tensor", kind.name());
            return Err(PlanError::Internal(text).into());
        }
    })
}

#[track_caller]
fn constant(a: &Attributes<'_>) -> Result<Tensor> {
    let elements = a.reals("elements")?;
    let shape = a.maybe_sizes("shape")?.unwrap_or_else(|| vec![elements.len()]);
    Ok(match a.dtype()? {
        Dtype::F32 => {
            let elements: Vec<f32> = elements.iter().map(|x| *x as f32).collect();
            Tensor::from_slice(&elements, &shape)
        }
        Dtype::F64 => Tensor::from_slice(&elements, &shape),
        Dtype::I64 => {
            let elements: Vec<i64> = elements.iter().map(|x| *x as i64).collect();
            Tensor::from_slice(&elements, &shape)
        }
        Dtype::Bool => {
            let elements: Vec<bool> = elements.iter().map(|x| *x != 0.0).collect();
            Tensor::from_slice(&elements, &shape)
        }
    })
}

/// Draws of the host's randomness, float32, in the shape of another tensor.
#[track_caller]
fn random(
    like: &Tensor,
    fill: fn(&mut Random, &mut [f32]) -> fedwasm_sdk::Result<()>,
) -> Result<Tensor> {
    let mut values = vec![0.0; like.len()];
    fill(&mut Random::new(), &mut values)?;
    Ok(Tensor::from_slice(&values, &like.shape()))
}

fn class_loss(weights: Option<&Tensor>, a: &Attributes<'_>) -> Result<CrossEntropy> {
    let (ignored, reduction) = (a.maybe_integer("ignore_index")?, a.reduction()?);
    Ok(CrossEntropy { weights: weights.cloned(), ignored, reduction })
}
