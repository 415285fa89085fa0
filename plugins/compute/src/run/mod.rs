//! Operations on tensors.

mod broadcast;
mod elementwise;
mod functions;
mod index;
mod layout;
mod loss;
mod norm;
mod numbers;
mod planes;
mod product;
mod reduce;
mod rows;
mod window;

use alloc::vec::Vec;

use crate::apply::Id;
use crate::buffers::Buffers;
use crate::error::{Mistake, Rule};
use crate::infer::kind_of;
use crate::kernels::Parallel;
use crate::meter::Meter;
use crate::op::{Op, Reduce};
use crate::shape::{Dtype, Kind};
use crate::tensor::{Element, Tensor};
use crate::work::work;

pub(crate) use numbers::Functions;

/// What operations are given: buffers and threads.
pub struct Home<'a> {
    /// Where outputs come from.
    pub buffers: &'a mut Buffers,
    /// What large operations are shared out to; results do not depend on it.
    pub threads: &'a dyn Parallel,
}

/// Does `op` on `inputs`.
///
/// # Errors
/// Those of [`infer`](crate::infer()), an index that is out of range, or [`Rule::Memory`].
pub fn run(op: &Op, inputs: &[Tensor], home: &mut Home) -> Result<Tensor, Mistake> {
    let kinds: Vec<Kind> = inputs.iter().map(Tensor::kind).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let done = kind_of(op, &kinds).and_then(|kind| run_checked(op, &inputs, kind, home));
    done.map_err(|rule| Mistake::new(op.name(), &kinds, rule))
}

/// Does an operation that counts; the kinds of its inputs are in `kinds` then.
pub(crate) fn run_counted(
    op: &Op,
    inputs: &[&Tensor],
    kinds: &mut Vec<Kind>,
    meter: &mut Meter,
    home: &mut Home,
) -> Result<Tensor, Rule> {
    kinds.extend(inputs.iter().map(|input| input.kind()));
    let kind = kind_of(op, kinds)?;
    meter.charge(work(op, kinds, &kind))?;
    run_checked(op, inputs, kind, home)
}

/// Looks up tensors by number and lends them all: few of them without an allocation, and without
/// counting as other users of the elements.
#[inline]
pub(crate) fn lend<'a, R>(
    ids: &[Id],
    mut of: impl FnMut(Id) -> Result<&'a Tensor, Rule>,
    to: impl FnOnce(&[&'a Tensor]) -> Result<R, Rule>,
) -> Result<R, Rule> {
    match *ids {
        [] => to(&[]),
        [a] => to(&[of(a)?]),
        [a, b] => to(&[of(a)?, of(b)?]),
        [a, b, c] => to(&[of(a)?, of(b)?, of(c)?]),
        _ => to(&ids.iter().map(|id| of(*id)).collect::<Result<Vec<_>, Rule>>()?),
    }
}

/// Does `op` on `inputs` whose output was inferred to be of this kind.
pub(crate) fn run_checked(
    op: &Op,
    inputs: &[&Tensor],
    kind: Kind,
    home: &mut Home,
) -> Result<Tensor, Rule> {
    match (op, inputs) {
        (Op::Reshape(shape), [x]) => return Ok(x.reshaped(*shape)),
        (Op::Permute(_) | Op::Expand(_), [x]) if x.kind() == kind && !is_moved(op, x) => {
            return Ok(x.reshaped(kind.shape));
        }
        (Op::Cast(dtype), [x]) if x.dtype() == *dtype => return Ok(x.reshaped(kind.shape)),
        _ => {}
    }
    let mut to = home.buffers.tensor(kind)?;
    let done = into(op, inputs, &mut to, home);
    match done {
        Ok(()) => Ok(to),
        Err(rule) => {
            home.buffers.give_back(to);
            Err(rule)
        }
    }
}

/// Whether a permutation changes the order of elements.
fn is_moved(op: &Op, x: &Tensor) -> bool {
    let Op::Permute(axes) = op else { return false };
    axes[..x.shape().rank()].iter().enumerate().any(|(nth, axis)| nth != usize::from(*axis))
}

fn into(op: &Op, inputs: &[&Tensor], to: &mut Tensor, home: &mut Home) -> Result<(), Rule> {
    match op {
        Op::Cast(_) => return elementwise::cast(inputs[0], to),
        Op::Compare(by) => return elementwise::compare(*by, [inputs[0], inputs[1]], to, home),
        Op::ArgMax { axis, .. } => return reduce::arg_max(*axis as usize, inputs[0], to),
        Op::Range(_) => {
            let elements = to.elements_mut::<i64>()?.iter_mut();
            elements.zip(0..).for_each(|(element, nth)| *element = nth);
            return Ok(());
        }
        _ => {}
    }
    match to.dtype() {
        Dtype::F32 => floats::<f32>(op, inputs, to, home),
        Dtype::F64 => floats::<f64>(op, inputs, to, home),
        Dtype::I64 => others::<i64>(op, inputs, to, home, |value| value as i64),
        Dtype::Bool => others::<bool>(op, inputs, to, home, |value| value != 0.0),
    }
}

/// Operations that any dtype has.
fn others<T: Element>(
    op: &Op,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &Home,
    number: fn(f64) -> T,
) -> Result<(), Rule> {
    match op {
        Op::Full { value, .. } => {
            to.elements_mut::<T>()?.fill(number(*value));
            Ok(())
        }
        Op::Where => elementwise::select::<T>(inputs, to, home),
        Op::Concat(axis) => layout::concat::<T>(*axis as usize, inputs, to),
        Op::Slice { axis, start, step, .. } => {
            layout::slice::<T>([*axis, *start, *step], inputs[0], to)
        }
        Op::Permute(axes) => layout::permute::<T>(axes, inputs[0], to),
        Op::Expand(_) => layout::expand::<T>(inputs[0], to, home),
        _ => Err(Rule::Dtype("f32 or f64")),
    }
}

/// Operations that give floating-point numbers.
fn floats<T: Functions + Element>(
    op: &Op,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    match op {
        Op::Unary(f) => elementwise::unary::<T>(*f, inputs[0], to, home),
        Op::UnaryGradient(f) => elementwise::unary_gradient::<T>(*f, inputs, to, home),
        Op::Binary(f) => elementwise::binary::<T>(*f, inputs, to, home),
        Op::BinaryGradient(f, side) => {
            elementwise::binary_gradient::<T>(*f, *side, inputs, to, home)
        }
        Op::Dropout(rate) => elementwise::dropout::<T>(*rate, inputs, to),
        Op::Reduce(by @ (Reduce::Sum | Reduce::Mean), axes, _) => {
            reduce::sum::<T>(*axes, *by == Reduce::Mean, inputs[0], to, home)
        }
        Op::Reduce(by, axes, _) => reduce::by_groups::<T>(*by, *axes, inputs[0], to, home),
        Op::Variance { axes, correction, .. } => {
            reduce::variance::<T>(*axes, *correction, inputs[0], to, home)
        }
        Op::Softmax(axis) => norm::softmax::<T>(*axis as usize, inputs[0], to, home),
        Op::LogSoftmax(axis) => norm::log_softmax::<T>(*axis as usize, inputs[0], to),
        Op::SoftmaxGradient(axis) => norm::softmax_gradient::<T>(*axis as usize, inputs, to, home),
        Op::LogSoftmaxGradient(axis) => norm::log_softmax_gradient::<T>(*axis as usize, inputs, to),
        Op::Normalise { axes, epsilon } => {
            norm::normalise::<T>(*axes, *epsilon, inputs[0], to, home)
        }
        Op::NormaliseGradient { axes, epsilon } => {
            norm::normalise_gradient::<T>(*axes, *epsilon, inputs, to, home)
        }
        Op::MatMul { left, right } => product::matmul::<T>(*left, *right, inputs, to, home),
        Op::Linear => product::linear::<T>(inputs, to, home),
        Op::Conv(window) => window::conv::<T>(window, inputs, to, home),
        Op::ConvTranspose(window, _) => window::conv_transpose::<T>(window, inputs, to, home),
        Op::ConvWeights(window, _) => window::conv_weights::<T>(window, inputs, to, home),
        Op::Pool(pooling, windows) => window::pool::<T>(*pooling, windows, inputs[0], to, home),
        Op::PoolGradient(pooling, windows, _) => {
            window::pool_gradient::<T>(*pooling, windows, inputs, to, home)
        }
        Op::Resample(by, _) => window::resample::<T>(*by, inputs[0], to, home),
        Op::ResampleGradient(by, _) => window::resample_gradient::<T>(*by, inputs[0], to, home),
        Op::Embedding => index::embedding::<T>(inputs, to),
        Op::EmbeddingGradient(_) => index::embedding_gradient::<T>(inputs, to),
        Op::Gather(axis) => index::gather::<T>(*axis as usize, inputs, to),
        Op::ScatterAdd(axis) => index::scatter_add::<T>(*axis as usize, inputs, to),
        Op::ClassLoss(loss) => loss::class_loss::<T>(loss, inputs, to, home),
        Op::ClassLossGradient(loss) => loss::class_loss_gradient::<T>(loss, inputs, to, home),
        Op::SliceGradient { axis, start, step, .. } => {
            layout::slice_gradient::<T>([*axis, *start, *step], inputs[0], to)
        }
        Op::Pad { axis, before, value, .. } => {
            layout::pad::<T>([*axis, *before], T::from_f64(*value), inputs[0], to)
        }
        _ => others::<T>(op, inputs, to, home, T::from_f64),
    }
}
