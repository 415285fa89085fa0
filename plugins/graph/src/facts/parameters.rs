//! What moves each parameter.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::reached;
use crate::{Call, FunctionKind, Graph, Member, MemberKind, ModuleKind, Node, Role};

/// What moves the parameters of a part of the model in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// Gradients of the loss.
    Gradients,
    /// Mean and variance of batches, its running ones.
    Statistics,
    /// Sums over the rows, which become means.
    Sums,
    /// No gradient of the loss; at most an aggregator's corrections, such as SCAFFOLD's.
    Corrections,
    /// Nothing.
    Nothing,
}

impl Moves {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Gradients, Self::Statistics, Self::Sums, Self::Corrections, Self::Nothing];

    /// What it says, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Gradients => "moved by gradients of the loss",
            Self::Statistics => "with running means that move by mean and variance of batches",
            Self::Sums => "replaced by means over the rows",
            Self::Corrections => {
                "reached by no gradient of the loss, moved at most by corrections of the aggregator"
            }
            Self::Nothing => "never moved",
        }
    }
}

/// Those of all members that can have parameters.
pub(super) fn moves(graph: &Graph) -> Vec<(String, Moves)> {
    let trained = touched_by_loss(graph);
    let called = called_in_training(graph);
    let summed = graph.functions.iter().filter(|(role, _)| *role == Role::Statistics);
    let summed = summed.flat_map(|(_, function)| &function.outputs).map(|(name, _)| name.as_str());
    let summed: Vec<&str> = summed.collect();
    let learns = graph.functions.iter().any(|(role, _)| *role == Role::TrainingStep);
    let mut all = Vec::new();
    for ((member, by_loss), called) in graph.members.iter().zip(trained).zip(called) {
        if !has_parameters(member) {
            continue;
        }
        let is_buffer = matches!(member.kind, MemberKind::Parameter { is_buffer: true, .. });
        let before = all.len();
        let mut say = |moves| all.push((member.path.to_string(), moves));
        if !member.is_frozen {
            if by_loss && !is_buffer {
                say(Moves::Gradients);
            }
            if called && has_statistics(member) {
                say(Moves::Statistics);
            }
            if summed.iter().any(|name| is_of(name, &member.path)) {
                say(Moves::Sums);
            }
        }
        if all.len() == before {
            let is_trained = learns && !member.is_frozen && !is_buffer;
            let moves = if is_trained { Moves::Corrections } else { Moves::Nothing };
            all.push((member.path.to_string(), moves));
        }
    }
    all
}

/// Whether a parameter's name is that of a member or of a part of it.
fn is_of(name: &str, path: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Which members gradients of the loss may reach.
fn touched_by_loss(graph: &Graph) -> Vec<bool> {
    let mut touched = vec![false; graph.members.len()];
    let steps = graph.functions.iter().filter(|(role, _)| *role == Role::TrainingStep);
    for (_, function) in steps {
        for (_, output) in &function.outputs {
            let reached = reached(function, *output, &passes_gradients);
            for (node, _) in function.nodes.iter().zip(reached).filter(|(_, reached)| *reached) {
                touch(graph, node, &mut touched);
            }
        }
    }
    touched
}

/// Marks the members that a call is of.
fn touch(graph: &Graph, node: &Node, touched: &mut [bool]) {
    match &node.call {
        Call::Module(nth) => {
            if let Some(member) = touched.get_mut(*nth as usize) {
                *member = true;
            }
        }
        Call::Value(name) => {
            let members = graph.members.iter().zip(touched);
            let members = members.filter(|(member, _)| is_of(name, &member.path));
            members.for_each(|(_, touched)| *touched = true);
        }
        _ => {}
    }
}

/// Which members are called in training, whether or not something follows from it.
fn called_in_training(graph: &Graph) -> Vec<bool> {
    let mut called = vec![false; graph.members.len()];
    let train = |role: &Role| matches!(role, Role::TrainingStep | Role::Statistics);
    for (_, function) in graph.functions.iter().filter(|(role, _)| train(role)) {
        let modules = function.nodes.iter().filter(|node| matches!(node.call, Call::Module(_)));
        modules.for_each(|node| touch(graph, node, &mut called));
    }
    called
}

/// Whether a gradient can go from the output of a call to its inputs.
fn passes_gradients(node: &Node) -> bool {
    use FunctionKind as F;
    !matches!(
        node.call,
        Call::Function(F::Detach | F::Argmax | F::Eq | F::Ne | F::Lt | F::Le | F::Gt | F::Ge)
    )
}

fn has_statistics(member: &Member) -> bool {
    let MemberKind::Module { kind, .. } = &member.kind else { return false };
    matches!(kind, ModuleKind::BatchNorm | ModuleKind::Described)
}

fn has_parameters(member: &Member) -> bool {
    use ModuleKind as M;
    match &member.kind {
        MemberKind::Parameter { .. } => true,
        MemberKind::Module { kind, .. } => matches!(
            kind,
            M::Linear
                | M::Conv1d
                | M::Conv2d
                | M::Conv3d
                | M::ConvTranspose1d
                | M::ConvTranspose2d
                | M::ConvTranspose3d
                | M::Embedding
                | M::BatchNorm
                | M::LayerNorm
                | M::GroupNorm
                | M::InstanceNorm
                | M::Rnn
                | M::Lstm
                | M::Gru
                | M::MultiheadAttention
                | M::TransformerEncoderLayer
                | M::Described
        ),
    }
}
