//! What an operation costs, as a number: the same on every machine, known before it runs.
//!
//! One unit is about a multiplication, or reading and writing an element.
//!
//! | operation | units |
//! |---|---|
//! | any | [`CALL`], and one for each element of inputs and output |
//! | product, linear | m · n · k for each matrix of the batch |
//! | convolution, its gradients, transposed | windows · filters · (channels / groups) · kernel for each image |
//! | pooling and its gradient | windows · kernel |
//! | exponentials, powers, logarithms and the like | 16 for each element |
//! | softmax, normalisation, losses of classes | 16 for each element |
//! | functions of two or three with broadcasting | 4 for each element of the output |
//! | resampling | 8 for each element of the larger side |

use crate::op::{Binary, Op, Reduce, Unary, Windows};
use crate::shape::{Kind, Shape};

/// Of an operation on nothing.
pub const CALL: u64 = 64;

/// The most units of one operation, which nothing interrupts: 1 to 2 seconds of products with
/// AVX-512, and at most some minutes of the slowest operations in plain code.
pub const OPERATION_MAX: u64 = 1 << 37;

/// The units of `op` on inputs and output of these kinds.
#[must_use]
pub fn work(op: &Op, inputs: &[Kind], output: &Kind) -> u64 {
    let moved = inputs.iter().chain([output]).map(len).fold(CALL, u64::saturating_add);
    moved.saturating_add(computed(op, inputs, output))
}

fn len(kind: &Kind) -> u64 {
    kind.shape.len() as u64
}

fn computed(op: &Op, inputs: &[Kind], output: &Kind) -> u64 {
    let out = len(output);
    let of = |input: usize| inputs.get(input).map_or(Shape::SCALAR, |kind| kind.shape);
    match op {
        Op::Unary(f) | Op::UnaryGradient(f) => out.saturating_mul(of_unary(*f)),
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) => 4 * out,
        Op::Binary(_) | Op::BinaryGradient(..) => 16 * out,
        Op::Compare(_) | Op::Where | Op::Expand(_) | Op::Permute(_) => 4 * out,
        Op::Reduce(Reduce::LogSumExp, ..) => 16 * of(0).len() as u64,
        Op::Variance { .. } | Op::Normalise { .. } | Op::NormaliseGradient { .. } => {
            16 * of(0).len() as u64
        }
        Op::Softmax(_) | Op::SoftmaxGradient(_) | Op::LogSoftmax(_) | Op::LogSoftmaxGradient(_) => {
            16 * out
        }
        Op::ClassLoss(_) => 16 * of(0).len() as u64,
        Op::ClassLossGradient(_) => 16 * out,
        Op::MatMul { left, .. } => {
            let depth = of(0).size_from_end(usize::from(*left));
            out.saturating_mul(depth as u64)
        }
        Op::Linear => out.saturating_mul(of(0).size_from_end(0) as u64),
        Op::Conv(_) => filters(out, &of(1)),
        Op::ConvTranspose(..) => filters(of(0).len() as u64, &of(1)),
        Op::ConvWeights(..) => filters(of(1).len() as u64, &output.shape),
        Op::Pool(_, windows) => out.saturating_mul(kernel(windows, &of(0), &output.shape)),
        Op::PoolGradient(_, windows, _) => {
            let kernel = kernel(windows, &output.shape, &of(0));
            (of(0).len() as u64).saturating_mul(kernel.saturating_mul(2))
        }
        Op::Resample(..) | Op::ResampleGradient(..) => 8 * out.max(of(0).len() as u64),
        Op::Gather(_) | Op::ScatterAdd(_) => 4 * of(1).len() as u64,
        _ => 0,
    }
}

fn of_unary(f: Unary) -> u64 {
    match f {
        Unary::Neg | Unary::Square | Unary::Abs | Unary::Sign | Unary::AddScalar(_) => 1,
        Unary::MulScalar(_) | Unary::Clamp(..) | Unary::Relu | Unary::LeakyRelu(_) => 1,
        _ => 16,
    }
}

/// Each of `outputs` takes the elements of a filter.
fn filters(outputs: u64, weights: &Shape) -> u64 {
    outputs.saturating_mul(weights.len_of(1..weights.rank()) as u64)
}

/// Elements of a window.
fn kernel(windows: &Windows, image: &Shape, output: &Shape) -> u64 {
    (2..image.rank()).fold(1u64, |product, axis| {
        let along = match windows {
            Windows::Strided { kernel, .. } => u64::from(kernel[axis - 2]),
            Windows::Adaptive(_) => (image.size(axis) / output.size(axis).max(1)) as u64 + 2,
        };
        product.saturating_mul(along)
    })
}
