//! Which tensors a derivative reads, so that others need not be kept for it.

use crate::op::{Binary, Op, Pooling, Reduce, Unary};

/// Inputs, a bit for each, and whether the output is read. Shapes are always known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) inputs: u64,
    pub(crate) output: bool,
}

const NOTHING: Needs = Needs { inputs: 0, output: false };
const OUTPUT: Needs = Needs { inputs: 0, output: true };

fn inputs(inputs: u64) -> Needs {
    Needs { inputs, output: false }
}

/// What [`derive`](super::derive) reads for the wanted inputs.
pub(crate) fn needs(op: &Op, wanted: u64) -> Needs {
    let (first, second) = (wanted & 1 != 0, wanted & 2 != 0);
    match op {
        Op::Unary(Unary::Neg | Unary::AddScalar(_) | Unary::MulScalar(_)) => NOTHING,
        Op::Unary(f) if f.slope_of_output() => OUTPUT,
        Op::Unary(_) => inputs(1),
        Op::Binary(Binary::Add | Binary::Sub) => NOTHING,
        // The factor on the other side.
        Op::Binary(Binary::Mul) | Op::MatMul { .. } => {
            inputs(u64::from(second) | u64::from(first) << 1)
        }
        Op::Linear | Op::Conv(_) | Op::ConvTranspose(..) => {
            inputs(u64::from(second) | u64::from(first) << 1)
        }
        Op::Binary(Binary::Div) if !second => inputs(2),
        Op::Binary(_) => inputs(3),
        Op::Where => inputs(1),
        Op::Dropout(_) | Op::Embedding | Op::Gather(_) => inputs(2),
        Op::ScatterAdd(_) => inputs(if wanted & 4 != 0 { 2 } else { 0 }),
        Op::EmbeddingGradient(_) => inputs(1),
        Op::Reduce(Reduce::Sum | Reduce::Mean, ..) => NOTHING,
        Op::Reduce(..) => Needs { inputs: 1, output: true },
        Op::Variance { .. } | Op::Normalise { .. } | Op::Pool(Pooling::Max, _) => inputs(1),
        Op::Softmax(_) | Op::LogSoftmax(_) => OUTPUT,
        Op::ClassLoss(_) => inputs(7),
        // Moves elements, or has no derivative.
        _ => NOTHING,
    }
}
