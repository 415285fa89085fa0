//! The kind of an operation's output from those of its inputs, before anything is computed.

mod elementwise;
mod index;
mod layout;
mod product;
mod reduce;
mod window;

use crate::error::{Mistake, Rule};
use crate::op::{INPUTS_MAX, Op};
use crate::shape::{Dtype, Kind, Shape};

/// The kind of the output of `op` on inputs of these kinds.
///
/// # Errors
/// The rule that is broken. After `Ok` only an index that is out of range can make the operation
/// fail, and the memory that it takes.
pub fn infer(op: &Op, inputs: &[Kind]) -> Result<Kind, Mistake> {
    kind_of(op, inputs).map_err(|rule| Mistake::new(op.name(), inputs, rule))
}

/// As [`infer`], with the rule alone.
pub(crate) fn kind_of(op: &Op, inputs: &[Kind]) -> Result<Kind, Rule> {
    match op {
        Op::Full { shape, dtype, .. } => {
            none(inputs).map(|()| Kind { dtype: *dtype, shape: *shape })
        }
        Op::Range(len) => {
            none(inputs)?;
            Ok(Kind { dtype: Dtype::I64, shape: Shape::new(&[*len as usize])? })
        }
        Op::Cast(dtype) => Ok(Kind { dtype: *dtype, ..one(inputs)? }),
        Op::Unary(f) | Op::UnaryGradient(f) => elementwise::unary(op, *f, inputs),
        Op::Binary(f) | Op::BinaryGradient(f, _) => elementwise::binary(op, *f, inputs),
        Op::Compare(_) => elementwise::compare(inputs),
        Op::Where => elementwise::select(inputs),
        Op::Dropout(rate) => elementwise::dropout(*rate, inputs),
        Op::Reduce(by, axes, keep) => reduce::reduce(*by, *axes, *keep, inputs),
        Op::Variance { axes, keep, correction } => {
            reduce::variance(*axes, *keep, *correction, inputs)
        }
        Op::ArgMax { axis, keep } => reduce::arg_max(*axis, *keep, inputs),
        Op::Softmax(axis) | Op::LogSoftmax(axis) => reduce::along(*axis, one_float(inputs)?),
        Op::SoftmaxGradient(axis) | Op::LogSoftmaxGradient(axis) => {
            reduce::along(*axis, two_alike(inputs)?)
        }
        Op::Normalise { axes, epsilon } => reduce::normalise(*axes, *epsilon, one_float(inputs)?),
        Op::NormaliseGradient { axes, epsilon } => {
            reduce::normalise(*axes, *epsilon, two_alike(inputs)?)
        }
        Op::MatMul { left, right } => product::matmul(*left, *right, inputs),
        Op::Linear => product::linear(inputs),
        Op::Conv(window) => window::conv(window, inputs),
        Op::ConvTranspose(window, longer) => window::conv_transpose(window, *longer, inputs),
        Op::ConvWeights(window, kernel) => window::conv_weights(window, *kernel, inputs),
        Op::Pool(pooling, windows) => window::pool(*pooling, windows, one_float(inputs)?),
        Op::PoolGradient(pooling, windows, sizes) => {
            window::pool_gradient(*pooling, windows, *sizes, inputs)
        }
        Op::Resample(_, sizes) | Op::ResampleGradient(_, sizes) => {
            window::resample(*sizes, one_float(inputs)?)
        }
        Op::Embedding => index::embedding(inputs),
        Op::EmbeddingGradient(rows) => index::embedding_gradient(*rows, inputs),
        Op::Gather(axis) => index::gather(*axis, inputs),
        Op::ScatterAdd(axis) => index::scatter_add(*axis, inputs),
        Op::ClassLoss(loss) => index::class_loss(loss, inputs),
        Op::ClassLossGradient(loss) => index::class_loss_gradient(loss, inputs),
        Op::Concat(axis) => layout::concat(*axis, inputs),
        Op::Slice { axis, start, len, step } => layout::slice(*axis, [*start, *len, *step], inputs),
        Op::SliceGradient { axis, start, size, step } => {
            layout::slice_gradient(*axis, [*start, *size, *step], inputs)
        }
        Op::Pad { axis, before, after, .. } => layout::pad(*axis, *before, *after, inputs),
        Op::Permute(axes) => layout::permute(axes, inputs),
        Op::Reshape(shape) => layout::reshape(shape, inputs),
        Op::Expand(shape) => layout::expand(shape, inputs),
    }
}

fn none(inputs: &[Kind]) -> Result<(), Rule> {
    if inputs.is_empty() { Ok(()) } else { Err(Rule::Inputs("no input")) }
}

fn one(inputs: &[Kind]) -> Result<Kind, Rule> {
    let [x] = inputs else { return Err(Rule::Inputs("one input")) };
    Ok(*x)
}

fn one_float(inputs: &[Kind]) -> Result<Kind, Rule> {
    let x = one(inputs)?;
    float(&x)?;
    Ok(x)
}

/// Two inputs of one floating-point kind.
fn two_alike(inputs: &[Kind]) -> Result<Kind, Rule> {
    let [a, b] = inputs else { return Err(Rule::Inputs("two inputs")) };
    same_floats(&[*a, *b])?;
    if a.shape != b.shape {
        return Err(Rule::Sizes("both inputs must have one shape"));
    }
    Ok(*a)
}

fn float(kind: &Kind) -> Result<Dtype, Rule> {
    if kind.dtype.is_float() { Ok(kind.dtype) } else { Err(Rule::Dtype("f32 or f64")) }
}

/// All of one floating-point dtype; there is one at least.
fn same_floats(kinds: &[Kind]) -> Result<Dtype, Rule> {
    let first = kinds.first().ok_or(Rule::Inputs("one input or more"))?;
    for kind in kinds {
        float(kind)?;
        if kind.dtype != first.dtype {
            return Err(Rule::Dtypes(first.dtype, kind.dtype));
        }
    }
    Ok(first.dtype)
}

fn indices(kind: &Kind) -> Result<(), Rule> {
    if kind.dtype == Dtype::I64 { Ok(()) } else { Err(Rule::Dtype("i64 for indices and classes")) }
}

fn within_inputs_max(inputs: &[Kind]) -> Result<(), Rule> {
    if inputs.len() <= INPUTS_MAX { Ok(()) } else { Err(Rule::Inputs("at most 64 inputs")) }
}
