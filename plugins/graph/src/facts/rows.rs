//! Which axis of a tensor counts the rows of a batch, if its rows are apart.
//!
//! Rows are apart along an axis if that axis is as long as the batch, and what lies at place i of it
//! follows from row i of the batch, from parameters, and from i alone. What is not sure is
//! [`Rows::Meet`]. A tensor's number of axes is known or not; an axis counted from the end says
//! nothing where it is not.

mod functions;

use alloc::vec::Vec;

use crate::{Attribute, Call, FunctionKind, Graph, MemberKind, ModuleKind, Node, Number, Role};

/// How a tensor depends on the rows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// On no row.
    None,
    /// They are apart along this axis.
    Apart(usize),
    /// They may have met.
    Meet,
}

/// What is known of a tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) rows: Rows,
    /// How many axes.
    rank: Option<usize>,
    /// How many elements a row has, where that is a constant.
    of_row: Option<i64>,
}

impl Flow {
    const MEET: Self = Self { rows: Rows::Meet, rank: None, of_row: None };

    /// An input or a target.
    pub(super) fn of_batch(shape: &[Number]) -> Self {
        Self { rows: Rows::Apart(0), rank: Some(shape.len() + 1), of_row: product(shape) }
    }

    /// A parameter with so many axes.
    pub(super) fn of_parameter(rank: Option<usize>) -> Self {
        Self { rows: Rows::None, rank, of_row: None }
    }

    fn with_rank(self, rank: Option<usize>) -> Self {
        Self { rank, of_row: None, ..self }
    }

    fn is_none(self) -> bool {
        self.rows == Rows::None
    }

    /// The rows along the first axis, behind which there are at least so many.
    fn is_first(self, others: usize) -> bool {
        self.rows == Rows::Apart(0) && self.rank.is_some_and(|rank| rank > others)
    }

    /// How far the axis of rows is from the end.
    fn end(self) -> Option<usize> {
        match (self.rows, self.rank) {
            (Rows::Apart(axis), Some(rank)) => rank.checked_sub(axis),
            _ => None,
        }
    }
}

/// The product of sizes that are constants.
fn product(sizes: &[Number]) -> Option<i64> {
    sizes.iter().try_fold(1i64, |product, size| match size {
        Number::Integer(size) if *size > 0 => product.checked_mul(*size),
        _ => None,
    })
}

/// The call of one node, whose inputs are known.
pub(super) struct Step<'a> {
    pub(super) graph: &'a Graph,
    pub(super) role: Role,
    pub(super) node: &'a Node,
    /// All earlier nodes.
    pub(super) before: &'a [Flow],
}

impl Step<'_> {
    /// What it gives.
    pub(super) fn flow(&self) -> Flow {
        let inputs = self.inputs();
        if let Call::Output(nth) = self.node.call {
            return self.output(nth);
        }
        if inputs.iter().any(|flow| flow.rows == Rows::Meet) || self.counts_rows() {
            return Flow::MEET;
        }
        match &self.node.call {
            Call::Input(nth) => match self.graph.inputs.get(usize::from(*nth)) {
                Some(data) => Flow::of_batch(&data.shape),
                None => Flow::MEET,
            },
            Call::Target(nth) => match self.graph.targets.get(usize::from(*nth)) {
                Some(data) => Flow::of_batch(&data.shape),
                None => Flow::MEET,
            },
            Call::Value(name) => Flow::of_parameter(self.rank_of(name)),
            Call::Module(nth) => self.module(*nth as usize, &inputs),
            Call::Function(kind) => self.function(*kind, &inputs),
            Call::Output(_) => Flow::MEET,
        }
    }

    fn inputs(&self) -> Vec<Flow> {
        let of = |id: &u32| self.before.get(*id as usize).copied().unwrap_or(Flow::MEET);
        self.node.inputs.iter().map(of).collect()
    }

    fn rank_of(&self, name: &str) -> Option<usize> {
        let member = self.graph.members.iter().find(|member| member.path == name)?;
        match &member.kind {
            MemberKind::Parameter { shape, .. } => Some(shape.len()),
            MemberKind::Module { .. } => None,
        }
    }

    /// A node of several tensors is known as its first.
    fn output(&self, nth: u8) -> Flow {
        let [of] = self.node.inputs[..] else { return Flow::MEET };
        let Some(flow) = self.before.get(of as usize).copied() else { return Flow::MEET };
        // Parts along another axis than the rows, which is what a split leaves apart; the states of a
        // recurrent layer are [layers, rows, units].
        let is_states =
            nth > 0 && self.function_of(of).is_some_and(|call| matches!(call, Call::Module(_)));
        match flow.rows {
            Rows::Apart(0) if is_states => Flow { rows: Rows::Apart(1), of_row: None, ..flow },
            Rows::Apart(_) | Rows::None => flow,
            Rows::Meet => Flow::MEET,
        }
    }

    fn function_of(&self, node: u32) -> Option<&Call> {
        let (_, function) = self.graph.functions.iter().find(|(role, _)| *role == self.role)?;
        function.nodes.get(node as usize).map(|node| &node.call)
    }

    /// Whether a number says how many rows there are, but as the first size of a shape.
    fn counts_rows(&self) -> bool {
        use FunctionKind as F;
        let takes_shape = matches!(
            self.node.call,
            Call::Function(F::Reshape | F::Expand | F::Full | F::Zeros | F::Ones)
        );
        let counts = |number: &Number| self.says_rows(number, 0);
        let is_range = matches!(self.node.call, Call::Function(F::Arange));
        self.node.attributes.iter().enumerate().any(|(nth, attribute)| match attribute {
            Attribute::Number(number) if is_range && self.is_rows(number) => false,
            Attribute::Number(number) => counts(number),
            Attribute::Numbers(numbers) => {
                let is_shape = nth == 0 && takes_shape;
                let skip =
                    usize::from(is_shape && numbers.first().is_some_and(|x| self.is_rows(x)));
                numbers[skip..].iter().any(counts)
            }
            _ => false,
        })
    }

    /// The number of rows itself.
    fn is_rows(&self, number: &Number) -> bool {
        let Number::Size(node, axis) = number else { return false };
        let Some(flow) = self.before.get(*node as usize) else { return false };
        let axis = axis_from(i64::from(*axis), flow.rank);
        matches!((flow.rows, axis), (Rows::Apart(rows), Some(axis)) if rows == axis)
    }

    /// Whether the number of rows, or what rows have in them, is part of a number.
    fn says_rows(&self, number: &Number, depth: usize) -> bool {
        match number {
            _ if depth > crate::bounds::DEPTH_MAX => true,
            Number::Integer(_) | Number::Real(_) | Number::Argument(_) => false,
            Number::Size(node, axis) => match self.before.get(*node as usize) {
                Some(Flow { rows: Rows::None, .. }) => false,
                Some(Flow { rows: Rows::Apart(rows), rank, .. }) => {
                    axis_from(i64::from(*axis), *rank).is_none_or(|axis| axis == *rows)
                }
                _ => true,
            },
            Number::Unary(_, x) => self.says_rows(x, depth + 1),
            Number::Binary(_, a, b) => self.says_rows(a, depth + 1) || self.says_rows(b, depth + 1),
        }
    }

    /// An attribute that is a constant axis of a tensor with so many.
    fn axis(&self, nth: usize, rank: Option<usize>) -> Option<usize> {
        match self.node.attributes.get(nth) {
            Some(Attribute::Number(Number::Integer(axis))) => axis_from(*axis, rank),
            _ => None,
        }
    }

    /// An attribute that is a list of numbers.
    fn list(&self, nth: usize) -> Option<&[Number]> {
        match self.node.attributes.get(nth) {
            Some(Attribute::Numbers(numbers)) => Some(numbers),
            _ => None,
        }
    }

    fn flag(&self, nth: usize) -> Option<bool> {
        match self.node.attributes.get(nth) {
            None | Some(Attribute::None) => Some(false),
            Some(Attribute::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    fn module(&self, member: usize, inputs: &[Flow]) -> Flow {
        use ModuleKind as M;
        let member = self.graph.members.get(member);
        let Some((member, MemberKind::Module { kind, attributes })) =
            member.map(|member| (member, &member.kind))
        else {
            return Flow::MEET;
        };
        let Some((x, others)) = inputs.split_first() else { return Flow::MEET };
        if inputs.iter().all(|flow| flow.is_none()) {
            return Flow::of_parameter(None);
        }
        let trains = matches!(self.role, Role::TrainingStep | Role::Statistics);
        let over = |n: Option<usize>| match n {
            Some(n) if x.is_first(n) => *x,
            _ => Flow::MEET,
        };
        let has_first = x.is_first(1) && others.iter().all(|other| other.is_none());
        match kind {
            M::Relu
            | M::LeakyRelu
            | M::Elu
            | M::Gelu
            | M::Silu
            | M::Sigmoid
            | M::Tanh
            | M::Softplus
            | M::Dropout => *x,
            M::BatchNorm | M::Described if trains && !member.is_frozen => Flow::MEET,
            M::LayerNorm => over(match attributes.first() {
                Some(crate::Attribute::Numbers(sizes)) => Some(sizes.len()),
                _ => None,
            }),
            M::Embedding if x.rows != Rows::Meet => x.with_rank(x.rank.map(|rank| rank + 1)),
            M::Flatten if x.is_first(1) => x.with_rank(Some(2)),
            // Layers take rows of as many axes as it has inputs; of fewer, the axis of rows is one of them.
            M::Described => match attributes.iter().find_map(sizes) {
                Some(n) if x.is_first(n) && x.rank == Some(n + 1) => x.with_rank(None),
                _ => Flow::MEET,
            },
            M::MultiheadAttention if inputs.len() > 2 => {
                let all = inputs[..3].iter().all(|flow| flow.is_first(2));
                let mask = inputs.get(3).is_none_or(|mask| mask.is_none());
                if all && mask { x.with_rank(x.rank) } else { Flow::MEET }
            }
            _ if has_first => x.with_rank(x.rank),
            _ => Flow::MEET,
        }
    }
}

/// How long a list of numbers is.
fn sizes(attribute: &Attribute) -> Option<usize> {
    match attribute {
        Attribute::Numbers(sizes) => Some(sizes.len()),
        _ => None,
    }
}

/// An axis from the start; one from the end is known where the number of axes is.
fn axis_from(axis: i64, rank: Option<usize>) -> Option<usize> {
    match usize::try_from(axis) {
        Ok(axis) => Some(axis),
        Err(_) => rank?.checked_sub(usize::try_from(axis.unsigned_abs()).ok()?),
    }
}

/// Element by element, with broadcasting: the axis of rows must be the same, from the end.
fn broadcast(inputs: &[Flow]) -> Flow {
    let ranks: Option<Vec<usize>> = inputs.iter().map(|flow| flow.rank).collect();
    let Some(apart) = inputs.iter().find(|flow| !flow.is_none()) else {
        return Flow::of_parameter(ranks.and_then(|ranks| ranks.into_iter().max()));
    };
    let (Some(ranks), Some(end)) = (ranks, apart.end()) else { return Flow::MEET };
    let rank = ranks.into_iter().max().unwrap_or(0);
    let same = inputs.iter().all(|flow| flow.is_none() || flow.end() == Some(end));
    match (same, rank.checked_sub(end)) {
        (true, Some(axis)) => {
            // Rows that lie along a later axis of the result are beside those of a parameter.
            let of_row = if inputs.len() == 1 { apart.of_row } else { None };
            Flow { rows: Rows::Apart(axis), rank: Some(rank), of_row }
        }
        _ => Flow::MEET,
    }
}
