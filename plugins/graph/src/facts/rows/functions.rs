//! What each function does to the axis of rows.

use alloc::vec::Vec;

use super::{Flow, Rows, Step, axis_from, broadcast, product};
use crate::{Attribute, FunctionKind, Number};

impl Step<'_> {
    /// None of the inputs has rows that met.
    // long: a line for each function of the table
    pub(super) fn function(&self, kind: FunctionKind, inputs: &[Flow]) -> Flow {
        use FunctionKind as F;
        let Some((x, others)) = inputs.split_first() else { return self.created(kind) };
        let none = inputs.iter().all(|flow| flow.is_none());
        match kind {
            F::Exp
            | F::Log
            | F::Sqrt
            | F::Rsqrt
            | F::Reciprocal
            | F::Square
            | F::Abs
            | F::Sign
            | F::Neg
            | F::Relu
            | F::LeakyRelu
            | F::Elu
            | F::Gelu
            | F::Silu
            | F::Sigmoid
            | F::Tanh
            | F::Softplus
            | F::Clamp
            | F::To
            | F::Detach
            | F::Dropout
            | F::LogicalNot
            | F::RandnLike
            | F::RandLike => *x,
            F::Add
            | F::Sub
            | F::Mul
            | F::Div
            | F::Pow
            | F::Maximum
            | F::Minimum
            | F::Eq
            | F::Ne
            | F::Lt
            | F::Le
            | F::Gt
            | F::Ge
            | F::LogicalAnd
            | F::LogicalOr
            | F::Where => broadcast(inputs),
            F::Sum | F::Mean | F::Amax | F::Amin | F::Logsumexp | F::Var => self.reduced(*x),
            F::Argmax => self.without(*x, self.axis(0, x.rank)),
            F::Softmax | F::LogSoftmax => self.beside(*x, self.axis(0, x.rank)),
            F::Normalise => {
                let axes = self.list(0).map(|axes| self.axes(axes, x.rank));
                match axes.flatten() {
                    Some(axes) if axes.iter().all(|axis| x.rows != Rows::Apart(*axis)) => *x,
                    _ => none_or_meet(none, x.rank),
                }
            }
            F::LayerNorm => match self.list(0) {
                Some(sizes) if x.is_first(sizes.len()) && all_none(others) => *x,
                _ => none_or_meet(none, x.rank),
            },
            F::GroupNorm | F::InstanceNorm | F::BatchNorm | F::Interpolate => {
                let first = x.is_first(1) && all_none(others);
                if first { x.with_rank(x.rank) } else { none_or_meet(none, x.rank) }
            }
            F::Conv1d
            | F::Conv2d
            | F::Conv3d
            | F::ConvTranspose1d
            | F::ConvTranspose2d
            | F::ConvTranspose3d
            | F::MaxPool1d
            | F::MaxPool2d
            | F::MaxPool3d
            | F::AvgPool1d
            | F::AvgPool2d
            | F::AvgPool3d
            | F::AdaptiveMaxPool1d
            | F::AdaptiveMaxPool2d
            | F::AdaptiveMaxPool3d
            | F::AdaptiveAvgPool1d
            | F::AdaptiveAvgPool2d
            | F::AdaptiveAvgPool3d => {
                let first = x.is_first(1) && all_none(others);
                if first { x.with_rank(x.rank) } else { none_or_meet(none, x.rank) }
            }
            F::Linear => match x.end() {
                Some(end) if end > 1 && all_none(others) => x.with_rank(x.rank),
                _ => none_or_meet(none, x.rank),
            },
            F::Matmul => self.product(*x, others.first().copied()),
            F::ScaledDotProductAttention => attended(inputs),
            F::Embedding => match others {
                [indices] if x.is_none() => {
                    let rank = x.rank.zip(indices.rank).map(|(x, indices)| x + indices - 1);
                    indices.with_rank(rank)
                }
                _ => Flow::MEET,
            },
            F::Gather | F::ScatterAdd => self.indexed(kind, inputs),
            F::Cat => match self.axis(0, x.rank) {
                Some(axis) => joined(inputs, axis),
                None => none_or_meet(none, x.rank),
            },
            F::Stack => match self.axis(0, x.rank.map(|rank| rank + 1)) {
                Some(axis) => moved(joined(inputs, usize::MAX), axis),
                None => none_or_meet(none, None),
            },
            F::CrossEntropy
            | F::NllLoss
            | F::MseLoss
            | F::L1Loss
            | F::HuberLoss
            | F::BceWithLogits
            | F::KlDiv
            | F::DiceLoss => self.loss(kind, inputs),
            _ => self.laid_out(kind, *x),
        }
    }

    /// A tensor that follows from no other.
    fn created(&self, kind: FunctionKind) -> Flow {
        use FunctionKind as F;
        let shape = self.list(if kind == F::Constant { 1 } else { 0 });
        let first = match (kind, self.node.attributes.first()) {
            (F::Arange, Some(Attribute::Number(len))) => Some(len),
            _ => shape.and_then(<[Number]>::first),
        };
        let rank = match kind {
            F::Arange => Some(1),
            F::Constant if shape.is_none() && self.node.attributes.len() < 2 => Some(1),
            _ => shape.map(<[Number]>::len),
        };
        match first {
            // One value in as many rows as the batch has, or their places.
            Some(first) if kind != F::Constant && self.is_rows(first) => {
                Flow { rows: Rows::Apart(0), rank, of_row: None }
            }
            _ => Flow::of_parameter(rank),
        }
    }

    fn axes(&self, axes: &[Number], rank: Option<usize>) -> Option<Vec<usize>> {
        let axis = |axis: &Number| match axis {
            Number::Integer(axis) => axis_from(*axis, rank),
            _ => None,
        };
        axes.iter().map(axis).collect()
    }

    /// Over axes that are not that of the rows.
    fn reduced(&self, x: Flow) -> Flow {
        let axes = self.list(0).and_then(|axes| self.axes(axes, x.rank));
        let (Some(mut axes), Some(keeps)) = (axes, self.flag(1)) else {
            return none_or_meet(x.is_none(), None);
        };
        // One that is there twice goes once.
        axes.sort_unstable();
        axes.dedup();
        let rank =
            if keeps { x.rank } else { x.rank.and_then(|rank| rank.checked_sub(axes.len())) };
        match x.rows {
            Rows::Apart(rows) if axes.contains(&rows) => Flow::MEET,
            Rows::Apart(rows) if !keeps => {
                let before = axes.iter().filter(|axis| **axis < rows).count();
                Flow { rows: Rows::Apart(rows - before), rank, of_row: None }
            }
            _ => x.with_rank(rank),
        }
    }

    /// Along an axis that stays.
    fn beside(&self, x: Flow, axis: Option<usize>) -> Flow {
        match (x.rows, axis) {
            (Rows::Apart(rows), Some(axis)) if rows != axis => x,
            (Rows::None, _) => x,
            _ => Flow::MEET,
        }
    }

    /// Along an axis that goes.
    fn without(&self, x: Flow, axis: Option<usize>) -> Flow {
        let rank = x.rank.and_then(|rank| rank.checked_sub(1));
        match (x.rows, axis) {
            (Rows::Apart(rows), Some(axis)) if rows != axis => {
                let rows = Rows::Apart(rows - usize::from(axis < rows));
                Flow { rows, rank, of_row: None }
            }
            (Rows::None, _) => x.with_rank(rank),
            _ => Flow::MEET,
        }
    }

    /// Functions of one tensor that move its elements.
    fn laid_out(&self, kind: FunctionKind, x: Flow) -> Flow {
        use FunctionKind as F;
        match kind {
            F::Slice | F::Split | F::Chunk => {
                let at = if kind == F::Slice { 0 } else { 1 };
                self.beside(x, self.axis(at, x.rank)).with_rank(x.rank)
            }
            F::Select | F::Squeeze => self.without(x, self.axis(0, x.rank)),
            F::Unsqueeze => match self.axis(0, x.rank.map(|rank| rank + 1)) {
                Some(axis) => moved(x, axis),
                None => none_or_meet(x.is_none(), None),
            },
            F::Permute => self.permuted(x),
            F::Transpose => match (self.axis(0, x.rank), self.axis(1, x.rank)) {
                (Some(a), Some(b)) => {
                    let to = |rows| {
                        if rows == a {
                            b
                        } else if rows == b {
                            a
                        } else {
                            rows
                        }
                    };
                    match x.rows {
                        Rows::Apart(rows) => Flow { rows: Rows::Apart(to(rows)), ..x },
                        _ => x,
                    }
                }
                _ => none_or_meet(x.is_none(), x.rank),
            },
            F::Pad => match (self.list(0), x.end()) {
                (Some(around), Some(end)) if around.len() / 2 < end => x.with_rank(x.rank),
                _ => none_or_meet(x.is_none(), x.rank),
            },
            F::Flatten => {
                let first = match self.node.attributes.first() {
                    None | Some(Attribute::None) => Some(0),
                    _ => self.axis(0, x.rank),
                };
                match (x.rows, first) {
                    (Rows::Apart(rows), Some(first)) if rows < first => {
                        Flow { rank: Some(first + 1), ..x }
                    }
                    _ => none_or_meet(x.is_none(), first.map(|first| first + 1)),
                }
            }
            F::Reshape => self.reshaped(x),
            F::Expand => match self.list(0) {
                // As many rows as the batch has, whose sum would count them.
                Some(shape) if x.is_none() => match shape.first() {
                    Some(first) if self.is_rows(first) => {
                        let (rows, rank) = (Rows::Apart(0), Some(shape.len()));
                        Flow { rows, rank, of_row: None }
                    }
                    _ => x.with_rank(Some(shape.len())),
                },
                Some([first, others @ ..])
                    if x.rank == Some(others.len() + 1)
                        && x.rows == Rows::Apart(0)
                        && self.is_rows(first) =>
                {
                    x.with_rank(x.rank)
                }
                _ => none_or_meet(x.is_none(), None),
            },
            _ => none_or_meet(x.is_none(), None),
        }
    }

    fn permuted(&self, x: Flow) -> Flow {
        let order = self.list(0).and_then(|axes| self.axes(axes, x.rank));
        match (x.rows, order) {
            (Rows::None, _) => x,
            (Rows::Apart(rows), Some(order)) => match order.iter().position(|axis| *axis == rows) {
                Some(axis) => Flow { rows: Rows::Apart(axis), ..x },
                None => Flow::MEET,
            },
            _ => Flow::MEET,
        }
    }

    /// The first axis stays as long as the batch: then each row has its elements, in their order.
    fn reshaped(&self, x: Flow) -> Flow {
        let Some(shape) = self.list(0) else { return none_or_meet(x.is_none(), None) };
        let rank = Some(shape.len());
        if x.is_none() {
            return match shape.first() {
                Some(first) if self.is_rows(first) => Flow::MEET,
                _ => x.with_rank(rank),
            };
        }
        let [first, others @ ..] = shape else { return Flow::MEET };
        let is_rest = *first == Number::Integer(-1) && x.of_row.is_some();
        let stays = self.is_rows(first) || is_rest && product(others) == x.of_row;
        match (stays, x.rows) {
            (true, Rows::Apart(0)) => Flow { rank, ..x },
            _ => Flow::MEET,
        }
    }

    /// A matrix product: rows stay apart along axes that are not summed over.
    fn product(&self, a: Flow, b: Option<Flow>) -> Flow {
        let Some(b) = b else { return Flow::MEET };
        let (Some(left), Some(right)) = (a.rank, b.rank) else {
            return none_or_meet(a.is_none() && b.is_none(), None);
        };
        let rank = match (left, right) {
            (0, _) | (_, 0) => return Flow::MEET,
            (1, 1) => 0,
            (1, n) | (n, 1) => n - 1,
            (a, b) => a.max(b),
        };
        let rows = match (a.end(), b.end()) {
            (None, None) => return Flow::of_parameter(Some(rank)),
            // The lines of a matrix, to which each line of the result belongs; or what lies before.
            (Some(end), None) if end > 1 && right == 1 => rank.checked_sub(end - 1),
            (Some(end), None) if end > 1 => rank.checked_sub(end),
            (None, Some(end)) if end > 2 && left == 1 => rank.checked_sub(end - 1),
            (None, Some(end)) if end > 2 => rank.checked_sub(end),
            (Some(one), Some(other)) if one > 2 && one == other => rank.checked_sub(one),
            _ => None,
        };
        match rows {
            Some(axis) => Flow { rows: Rows::Apart(axis), rank: Some(rank), of_row: None },
            None => Flow::MEET,
        }
    }

    /// Indices and elements of the same row.
    fn indexed(&self, kind: FunctionKind, inputs: &[Flow]) -> Flow {
        let rank = inputs[0].rank;
        if inputs.iter().all(|flow| flow.is_none()) {
            return Flow::of_parameter(rank);
        }
        let Some(axis) = self.axis(0, rank) else { return Flow::MEET };
        // What is gathered from may be a table with a line for each place in the batch.
        let must = if kind == FunctionKind::Gather { &inputs[1..] } else { inputs };
        let all = must.iter().all(|flow| flow.rows == Rows::Apart(0) && flow.rank == rank);
        let first = inputs[0].is_none() || inputs[0].rows == Rows::Apart(0);
        match all && first && axis > 0 && rank.is_some() {
            true => Flow { rows: Rows::Apart(0), rank, of_row: None },
            false => Flow::MEET,
        }
    }

    /// The losses of rows, if they are not made one number.
    fn loss(&self, kind: FunctionKind, inputs: &[Flow]) -> Flow {
        use FunctionKind as F;
        let none = inputs.iter().all(|flow| flow.is_none());
        let of_classes = matches!(kind, F::CrossEntropy | F::NllLoss);
        let at = if of_classes || kind == F::HuberLoss { 1 } else { 0 };
        let apart = matches!(
            self.node.attributes.get(at),
            Some(Attribute::Text(word)) if word == "none"
        );
        if !apart || matches!(kind, F::KlDiv | F::DiceLoss) {
            return none_or_meet(none, None);
        }
        let [scores, targets, weights @ ..] = inputs else { return Flow::MEET };
        if of_classes {
            let both = scores.is_first(1) && targets.rows == Rows::Apart(0) && all_none(weights);
            let rank = scores.rank.and_then(|rank| rank.checked_sub(1));
            let same = targets.rank.is_some() && targets.rank == rank;
            return if both && same { targets.with_rank(rank) } else { none_or_meet(none, rank) };
        }
        broadcast(inputs)
    }
}

fn all_none(flows: &[Flow]) -> bool {
    flows.iter().all(|flow| flow.is_none())
}

fn none_or_meet(none: bool, rank: Option<usize>) -> Flow {
    if none { Flow::of_parameter(rank) } else { Flow::MEET }
}

/// With a new axis at this place.
fn moved(x: Flow, axis: usize) -> Flow {
    let rank = x.rank.map(|rank| rank + 1);
    match x.rows {
        Rows::Apart(rows) => {
            let rows = Rows::Apart(rows + usize::from(axis <= rows));
            Flow { rows, rank, of_row: None }
        }
        _ => x.with_rank(rank),
    }
}

/// Tensors that are alike but for one axis, side by side along it.
fn joined(inputs: &[Flow], axis: usize) -> Flow {
    let Some(apart) = inputs.iter().find(|flow| !flow.is_none()) else {
        return Flow::of_parameter(inputs.first().and_then(|flow| flow.rank));
    };
    let Rows::Apart(rows) = apart.rows else { return Flow::MEET };
    // A parameter among them is as long as the batch, or they are not joined.
    let same = inputs.iter().all(|flow| flow.is_none() || flow.rows == apart.rows);
    if same && rows != axis { apart.with_rank(apart.rank) } else { Flow::MEET }
}

/// Queries, keys, values and maybe a mask: rows lie before positions and widths.
fn attended(inputs: &[Flow]) -> Flow {
    let flow = broadcast(inputs);
    let apart = inputs.iter().filter(|flow| !flow.is_none());
    let before = apart.clone().all(|flow| flow.end().is_some_and(|end| end > 2));
    if before { flow } else { Flow::MEET }
}
