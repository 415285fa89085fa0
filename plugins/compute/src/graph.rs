//! A graph: operations that were applied without tensors, to be run later and often.

use alloc::vec::Vec;
use core::fmt;

use crate::apply::{Apply, Id};
use crate::derive::{Done, derive};
use crate::error::{Mistake, Rule};
use crate::infer::infer;
use crate::op::{Binary, Op};
use crate::shape::Kind;
use crate::work::work;

/// The most nodes of a graph.
pub const NODES_MAX: usize = 1 << 20;

/// An input or an operation.
#[derive(Clone, Debug)]
struct Node {
    /// None of an input.
    op: Option<Op>,
    inputs: Vec<Id>,
    kind: Kind,
}

/// Nodes in the order that they were applied in; each stands on earlier ones, so that there is no
/// cycle. A node's number is its place.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

/// The name in mistakes of what is not an operation.
const GRAPH: &str = "graph";

impl Graph {
    /// Returns a graph without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input of a kind: a parameter, a batch, a mask.
    ///
    /// # Errors
    /// [`Rule::Exhausted`] beyond [`NODES_MAX`].
    pub fn input(&mut self, kind: Kind) -> Result<Id, Mistake> {
        self.push(Node { op: None, inputs: Vec::new(), kind })
    }

    fn push(&mut self, node: Node) -> Result<Id, Mistake> {
        if self.nodes.len() >= NODES_MAX {
            return Err(Mistake::new(GRAPH, &[], Rule::Exhausted));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() as Id - 1)
    }

    fn node(&self, id: Id) -> Result<&Node, Mistake> {
        let node = self.nodes.get(id as usize);
        node.ok_or_else(|| Mistake::new(GRAPH, &[], Rule::NoTensor(id)))
    }

    /// How many nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Units of [`work`](crate::work()) of all operations.
    #[must_use]
    pub fn work(&self) -> u64 {
        let of = |node: &Node| {
            let kinds: Vec<Kind> =
                node.inputs.iter().map(|id| self.nodes[*id as usize].kind).collect();
            node.op.as_ref().map_or(0, |op| work(op, &kinds, &node.kind))
        };
        self.nodes.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Adds the gradients of `output` with respect to `wanted`, given its own gradient, as
    /// operations: none where nothing flows to.
    ///
    /// # Errors
    /// As [`Session::backward_with`](crate::Session::backward_with).
    pub fn gradients(
        &mut self,
        output: Id,
        gradient: Id,
        wanted: &[Id],
    ) -> Result<Vec<Option<Id>>, Mistake> {
        if self.node(output)?.kind != self.node(gradient)?.kind {
            let kinds = [self.node(output)?.kind, self.node(gradient)?.kind];
            let rule = Rule::Sizes("the gradient must be of the kind of the output");
            return Err(Mistake::new(GRAPH, &kinds, rule));
        }
        let n = output as usize + 1;
        let mut flows = alloc::vec![false; n];
        for (nth, node) in self.nodes[..n].iter().enumerate() {
            let is_wanted = wanted.contains(&(nth as Id));
            let through = node.inputs.iter().any(|id| flows[*id as usize]);
            flows[nth] = (is_wanted || through) && node.kind.dtype.is_float();
        }
        let mut sums: Vec<Option<Id>> = alloc::vec![None; n];
        sums[n - 1] = Some(gradient);
        for nth in (0..n).rev() {
            let (Some(gradient), true) = (sums[nth], flows[nth]) else { continue };
            let Node { op: Some(op), inputs, .. } = self.nodes[nth].clone() else { continue };
            let each = inputs.iter().enumerate();
            let wanted = each.fold(0, |all, (nth, id)| all | u64::from(flows[*id as usize]) << nth);
            let done = Done { op: &op, inputs: &inputs, output: nth as Id, gradient, wanted };
            for (id, part) in inputs.iter().zip(derive(self, &done)?) {
                let Some(part) = part else { continue };
                sums[*id as usize] = Some(match sums[*id as usize] {
                    Some(sum) => self.apply(Op::Binary(Binary::Add), &[sum, part])?,
                    None => part,
                });
            }
        }
        Ok(wanted.iter().map(|id| sums.get(*id as usize).copied().flatten()).collect())
    }

    /// Applies all operations elsewhere, on these inputs in the order that they were added in, and
    /// returns the numbers of all nodes there.
    ///
    /// # Errors
    /// [`Rule::Inputs`] unless there are as many inputs and of these kinds, and those of `apply`.
    pub fn replay(&self, apply: &mut dyn Apply, inputs: &[Id]) -> Result<Vec<Id>, Mistake> {
        let mut given = inputs.iter();
        let mut found: Vec<Id> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let Some(op) = node.op else {
                let wrong = Rule::Inputs("the inputs of the graph, in its order");
                let wrong = || Mistake::new(GRAPH, &[node.kind], wrong);
                let id = given.next().ok_or_else(wrong)?;
                if apply.kind(*id)? != node.kind {
                    return Err(wrong());
                }
                found.push(*id);
                continue;
            };
            let inputs: Vec<Id> = node.inputs.iter().map(|id| found[*id as usize]).collect();
            found.push(apply.apply(op, &inputs)?);
        }
        Ok(found)
    }

    /// A gradient of 1 for a loss: a node of its kind.
    ///
    /// # Errors
    /// As [`Apply::apply`].
    pub fn one_like(&mut self, loss: Id) -> Result<Id, Mistake> {
        let Kind { shape, dtype } = self.kind(loss)?;
        self.apply(Op::Full { shape, dtype, value: 1.0 }, &[])
    }
}

impl Apply for Graph {
    fn apply(&mut self, op: Op, inputs: &[Id]) -> Result<Id, Mistake> {
        let kinds = inputs.iter().map(|id| self.node(*id).map(|node| node.kind));
        let kinds = kinds.collect::<Result<Vec<Kind>, Mistake>>()?;
        let kind = infer(&op, &kinds)?;
        self.push(Node { op: Some(op), inputs: inputs.to_vec(), kind })
    }

    fn kind(&self, id: Id) -> Result<Kind, Mistake> {
        self.node(id).map(|node| node.kind)
    }
}

impl fmt::Display for Graph {
    /// A line for each node: its number, its kind, its operation and inputs.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (nth, node) in self.nodes.iter().enumerate() {
            write!(f, "%{nth}: {} = ", node.kind)?;
            match &node.op {
                None => f.write_str("input")?,
                Some(op) => write!(f, "{op:?}")?,
            }
            node.inputs.iter().try_for_each(|id| write!(f, " %{id}"))?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}
