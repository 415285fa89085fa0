//! Derivatives: the gradients of an operation's inputs from that of its output, as operations.

mod layout;
mod needs;
mod product;
mod reduce;

use alloc::vec::Vec;

use crate::apply::{Apply, Id};
use crate::error::{Mistake, Rule};
use crate::op::{Binary, Op, Pooling, Side, Unary};
use crate::shape::{Axes, Dtype, Kind, RANK_MAX, Shape};

pub(crate) use needs::needs;

/// An operation that was done, and the gradient of its output.
pub struct Done<'a> {
    /// The operation.
    pub op: &'a Op,
    /// What it was done on.
    pub inputs: &'a [Id],
    /// What it gave.
    pub output: Id,
    /// The gradient of that, of its shape.
    pub gradient: Id,
    /// A bit for each input whose gradient is wanted, the lowest for the first.
    pub wanted: u64,
}

impl Done<'_> {
    pub(crate) fn wants(&self, input: usize) -> bool {
        self.wanted & 1 << input != 0
    }
}

/// Applies what gives the gradients of the wanted inputs: as many as there are inputs, none where
/// it is not wanted.
///
/// # Errors
/// [`Rule::NoDerivative`] where none is known, and those of the operations.
pub fn derive(apply: &mut dyn Apply, done: &Done) -> Result<Vec<Option<Id>>, Mistake> {
    let mut gradients = Vec::with_capacity(done.inputs.len());
    for input in 0..done.inputs.len() {
        gradients.push(if done.wants(input) { Some(of_input(apply, done, input)?) } else { None });
    }
    Ok(gradients)
}

/// The gradient of one input.
pub(crate) fn of_input(apply: &mut dyn Apply, done: &Done, input: usize) -> Result<Id, Mistake> {
    let (g, inputs) = (done.gradient, done.inputs);
    match (done.op, input) {
        (Op::Cast(_), _) => {
            let dtype = apply.kind(inputs[0])?.dtype;
            apply.apply(Op::Cast(dtype), &[g])
        }
        (Op::Unary(f), _) => unary(apply, *f, done),
        (Op::Binary(f), _) => binary(apply, *f, done, input),
        (Op::Where, 1 | 2) => select(apply, done, input),
        (Op::Dropout(rate), 0) => apply.apply(Op::Dropout(*rate), &[g, inputs[1]]),
        (Op::Reduce(by, axes, _), _) => reduce::reduce(apply, done, *by, *axes),
        (Op::Variance { axes, correction, .. }, _) => {
            reduce::variance(apply, done, *axes, *correction)
        }
        (Op::Softmax(axis), _) => apply.apply(Op::SoftmaxGradient(*axis), &[g, done.output]),
        (Op::LogSoftmax(axis), _) => apply.apply(Op::LogSoftmaxGradient(*axis), &[g, done.output]),
        (Op::Normalise { axes, epsilon }, _) => {
            let op = Op::NormaliseGradient { axes: *axes, epsilon: *epsilon };
            apply.apply(op, &[g, inputs[0]])
        }
        (Op::MatMul { left, right }, _) => product::matmul(apply, done, *left, *right, input),
        (Op::Linear, _) => product::linear(apply, done, input),
        (Op::Conv(window), _) => product::conv(apply, done, window, input),
        (Op::ConvTranspose(window, _), _) => product::conv_transpose(apply, done, window, input),
        (Op::Pool(pooling, windows), _) => {
            let sizes = spatial(&apply.kind(inputs[0])?.shape);
            let op = Op::PoolGradient(*pooling, *windows, sizes);
            match pooling {
                Pooling::Max => apply.apply(op, &[g, inputs[0]]),
                Pooling::Mean(_) => apply.apply(op, &[g]),
            }
        }
        (Op::Resample(by, _), _) => {
            let sizes = spatial(&apply.kind(inputs[0])?.shape);
            apply.apply(Op::ResampleGradient(*by, sizes), &[g])
        }
        (Op::ResampleGradient(by, _), _) => {
            let sizes = spatial(&apply.kind(inputs[0])?.shape);
            apply.apply(Op::Resample(*by, sizes), &[g])
        }
        (Op::Embedding, 0) => {
            let rows = apply.kind(inputs[0])?.shape.size(0) as u32;
            apply.apply(Op::EmbeddingGradient(rows), &[inputs[1], g])
        }
        (Op::EmbeddingGradient(_), 1) => apply.apply(Op::Embedding, &[g, inputs[0]]),
        (Op::Gather(axis), 0) => {
            let kind = apply.kind(inputs[0])?;
            let zeros = zeros(apply, kind.dtype, kind.shape)?;
            apply.apply(Op::ScatterAdd(*axis), &[zeros, inputs[1], g])
        }
        (Op::ScatterAdd(_), 0) => Ok(g),
        (Op::ScatterAdd(axis), 2) => apply.apply(Op::Gather(*axis), &[g, inputs[1]]),
        (Op::ClassLoss(loss), 0) => {
            let mut all = [g; 4];
            all[1..=inputs.len()].copy_from_slice(inputs);
            apply.apply(Op::ClassLossGradient(*loss), &all[..=inputs.len()])
        }
        _ => layout::layout(apply, done, input),
    }
}

/// The sizes behind [n, channels].
fn spatial(shape: &Shape) -> [u32; 3] {
    [2, 3, 4].map(|axis| shape.size(axis) as u32)
}

fn zeros(apply: &mut dyn Apply, dtype: Dtype, shape: Shape) -> Result<Id, Mistake> {
    apply.apply(Op::Full { shape, dtype, value: 0.0 }, &[])
}

fn unary(apply: &mut dyn Apply, f: Unary, done: &Done) -> Result<Id, Mistake> {
    let g = done.gradient;
    match f {
        Unary::Neg | Unary::MulScalar(_) => apply.apply(Op::Unary(f), &[g]),
        Unary::AddScalar(_) => Ok(g),
        Unary::Exp => apply.apply(Op::Binary(Binary::Mul), &[g, done.output]),
        _ => {
            let at = if f.slope_of_output() { done.output } else { done.inputs[0] };
            apply.apply(Op::UnaryGradient(f), &[g, at])
        }
    }
}

fn binary(apply: &mut dyn Apply, f: Binary, done: &Done, input: usize) -> Result<Id, Mistake> {
    let (g, inputs) = (done.gradient, done.inputs);
    let gradient = match f {
        Binary::Add => g,
        Binary::Sub if input == 0 => g,
        Binary::Sub => apply.apply(Op::Unary(Unary::Neg), &[g])?,
        Binary::Mul => apply.apply(Op::Binary(f), &[g, inputs[1 - input]])?,
        Binary::Div if input == 0 => apply.apply(Op::Binary(f), &[g, inputs[1]])?,
        _ => {
            let side = if input == 0 { Side::Left } else { Side::Right };
            apply.apply(Op::BinaryGradient(f, side), &[g, inputs[0], inputs[1]])?
        }
    };
    sum_to(apply, gradient, inputs[input])
}

fn select(apply: &mut dyn Apply, done: &Done, input: usize) -> Result<Id, Mistake> {
    let (g, inputs) = (done.gradient, done.inputs);
    let dtype = apply.kind(g)?.dtype;
    let none = zeros(apply, dtype, Shape::SCALAR)?;
    let sides = if input == 1 { [g, none] } else { [none, g] };
    let gradient = apply.apply(Op::Where, &[inputs[0], sides[0], sides[1]])?;
    sum_to(apply, gradient, inputs[input])
}

/// The sum over what `like` was repeated along.
fn sum_to(apply: &mut dyn Apply, gradient: Id, like: Id) -> Result<Id, Mistake> {
    let (from, to) = (apply.kind(gradient)?.shape, apply.kind(like)?.shape);
    if from == to {
        return Ok(gradient);
    }
    let more = from.rank() - to.rank();
    let repeated = |axis: &usize| *axis < more || to.size(axis - more) != from.size(*axis);
    let mut axes = 0;
    (0..from.rank()).filter(repeated).for_each(|axis| axes |= 1 << axis);
    let op = Op::Reduce(crate::op::Reduce::Sum, Axes::from_bits(axes), true);
    let sum = apply.apply(op, &[gradient])?;
    if more == 0 { Ok(sum) } else { apply.apply(Op::Reshape(to), &[sum]) }
}

/// The mistake of an operation without a derivative.
fn no_derivative(apply: &dyn Apply, done: &Done) -> Mistake {
    let kinds: Vec<Kind> = done.inputs.iter().filter_map(|id| apply.kind(*id).ok()).collect();
    Mistake::new(done.op.name(), &kinds, Rule::NoDerivative)
}

/// The permutation that undoes one of `rank` axes.
fn inverse(axes: &[u8; RANK_MAX], rank: usize) -> [u8; RANK_MAX] {
    let mut inverse = [0; RANK_MAX];
    for (nth, axis) in axes[..rank].iter().enumerate() {
        inverse[usize::from(*axis)] = nth as u8;
    }
    inverse
}
