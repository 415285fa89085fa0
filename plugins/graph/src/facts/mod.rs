//! What is sure of a plan because it is a graph.
//!
//! A graph has no other state than its parameters and calls nothing but the tables' functions, so
//! what reaches what can be followed. Each statement errs on one side: an input that is not named
//! does not reach, rows that are said to be apart are, a parameter that is not named is not moved.
//! They hold for the graph as a runtime of this release does it.

mod parameters;
mod rows;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};

use crate::{
    Attribute, Call, Function, FunctionKind, Graph, MemberKind, ModuleKind, Node, NodeId, Number,
    Role,
};
pub use parameters::Moves;
use rows::{Flow, Rows, Step};

/// What is sure of a plan; [`Graph::facts`] makes it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Of each function.
    pub functions: Vec<FunctionFacts>,
    /// Of each part of the model that has parameters, by path.
    pub parameters: Vec<(String, Moves)>,
}

/// What is sure of a function.
#[derive(Clone, Debug)]
pub struct FunctionFacts {
    /// What it is for.
    pub role: Role,
    /// Of each output.
    pub outputs: Vec<OutputFacts>,
    /// Names of the functions and modules that draw random numbers in it.
    pub draws: Vec<String>,
}

/// What is sure of an output.
#[derive(Clone, Debug)]
pub struct OutputFacts {
    /// Its name.
    pub name: String,
    /// Names of the inputs that reach it.
    pub inputs: Vec<String>,
    /// Names of the targets that reach it.
    pub targets: Vec<String>,
    /// Whether row i of it follows from row i of the batch, parameters and chance alone.
    pub rows_are_apart: bool,
    /// The first calls in which rows may meet on the way to it, as the text shows them.
    pub rows_meet_at: Vec<String>,
}

/// The most calls that are named where rows meet.
const MEETINGS_MAX: usize = 8;

impl Graph {
    /// What is sure of it. It is checked already.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let functions = self.functions.iter();
        Facts {
            functions: functions.map(|(role, function)| self.facts_of(*role, function)).collect(),
            parameters: parameters::moves(self),
        }
    }

    fn facts_of(&self, role: Role, function: &Function) -> FunctionFacts {
        let mut flows: Vec<Flow> = Vec::with_capacity(function.nodes.len());
        for node in &function.nodes {
            flows.push(Step { graph: self, role, node, before: &flows }.flow());
        }
        let output = |(name, node): &(String, NodeId)| {
            let reached = reached(function, *node, &|_| true);
            let names = |of: &dyn Fn(&Call) -> Option<String>| {
                let nodes = function.nodes.iter().zip(&reached).filter(|(_, reached)| **reached);
                let mut names: Vec<String> = nodes.filter_map(|(node, _)| of(&node.call)).collect();
                names.sort_unstable();
                names.dedup();
                names
            };
            let meets = |id: usize| flows.get(id).is_none_or(|flow| flow.rows == Rows::Meet);
            let first = (0..function.nodes.len()).filter(|id| {
                let node = &function.nodes[*id];
                let earlier = node.inputs.iter().any(|input| meets(*input as usize));
                reached[*id] && meets(*id) && !earlier
            });
            OutputFacts {
                name: name.clone(),
                inputs: names(&|call| match call {
                    Call::Input(nth) => self.inputs.get(usize::from(*nth)).map(|x| x.name.clone()),
                    _ => None,
                }),
                targets: names(&|call| match call {
                    Call::Target(nth) => {
                        self.targets.get(usize::from(*nth)).map(|x| x.name.clone())
                    }
                    _ => None,
                }),
                rows_are_apart: matches!(
                    flows.get(*node as usize).map(|flow| flow.rows),
                    Some(Rows::Apart(0) | Rows::None)
                ),
                rows_meet_at: first.take(MEETINGS_MAX).map(|id| self.line(function, id)).collect(),
            }
        };
        FunctionFacts {
            role,
            outputs: function.outputs.iter().map(output).collect(),
            draws: self.draws(role, function),
        }
    }

    /// What draws random numbers in a function.
    fn draws(&self, role: Role, function: &Function) -> Vec<String> {
        use FunctionKind as F;
        let trains = matches!(role, Role::TrainingStep | Role::Statistics);
        let mut names: Vec<String> = Vec::new();
        for node in &function.nodes {
            let name = match &node.call {
                Call::Function(kind @ (F::RandnLike | F::RandLike)) => {
                    Some(kind.name().to_string())
                }
                Call::Function(kind @ F::Dropout) if trains => Some(kind.name().to_string()),
                Call::Function(kind @ F::ScaledDotProductAttention) if trains => {
                    let rate = node.attributes.first();
                    (!is_zero_or_none(rate, true)).then(|| kind.name().to_string())
                }
                Call::Module(nth) if trains => self.drawing_member(*nth as usize),
                _ => None,
            };
            names.extend(name.filter(|name| !names.contains(name)).iter().cloned());
        }
        names
    }

    fn drawing_member(&self, nth: usize) -> Option<String> {
        use ModuleKind as M;
        let member = self.members.get(nth)?;
        let MemberKind::Module { kind, attributes } = &member.kind else { return None };
        let rate = kind.signature().attributes.iter();
        let mut rate = rate.enumerate().filter(|(_, attr)| matches!(attr.name, "dropout" | "p"));
        let rate = rate.next().map(|(at, _)| attributes.get(at));
        // PyTorch's defaults.
        let default_is_zero = !matches!(kind, M::Dropout | M::TransformerEncoderLayer);
        let draws = match (kind, rate) {
            (M::Described, _) => true,
            (_, Some(rate)) => !is_zero_or_none(rate, default_is_zero),
            (_, None) => false,
        };
        (draws && !member.is_frozen).then(|| format!("{} ({})", member.path, kind.name()))
    }
}

/// Whether a rate is 0, given or by default.
fn is_zero_or_none(rate: Option<&Attribute>, default_is_zero: bool) -> bool {
    match rate {
        None | Some(Attribute::None) => default_is_zero,
        Some(Attribute::Number(Number::Integer(0))) => true,
        Some(Attribute::Number(Number::Real(rate))) => *rate == 0.0,
        _ => false,
    }
}

/// Which nodes a node follows from, itself among them, through those that `passes` lets.
fn reached(function: &Function, from: NodeId, passes: &dyn Fn(&Node) -> bool) -> Vec<bool> {
    let mut reached = alloc::vec![false; function.nodes.len()];
    if let Some(last) = reached.get_mut(from as usize) {
        *last = true;
    }
    // Inputs are earlier nodes.
    for id in (0..reached.len()).rev() {
        let node = &function.nodes[id];
        if !reached[id] || !passes(node) {
            continue;
        }
        let mut mark = |input: NodeId| {
            if let Some(input) = reached.get_mut(input as usize) {
                *input = true;
            }
        };
        node.inputs.iter().for_each(|input| mark(*input));
        for attribute in &node.attributes {
            match attribute {
                Attribute::Number(number) => number.sizes(&mut mark),
                Attribute::Numbers(numbers) => numbers.iter().for_each(|x| x.sizes(&mut mark)),
                _ => {}
            }
        }
    }
    reached
}

impl Display for Facts {
    /// A line each.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for function in &self.functions {
            let role = function.role.name();
            for output in &function.outputs {
                output.show(f, role)?;
            }
            if function.role == Role::Predict {
                writeln!(f, "{role}: targets cannot reach it")?;
            }
            match function.draws.is_empty() {
                true => writeln!(f, "{role}: draws no random numbers")?,
                false => writeln!(f, "{role}: draws random numbers in {}", list(&function.draws))?,
            }
        }
        for moves in Moves::ALL {
            let fits = self.parameters.iter().filter(|(_, known)| known == moves);
            let paths: Vec<String> = fits.map(|(path, _)| path.clone()).collect();
            if !paths.is_empty() {
                writeln!(f, "{}: {}", moves.words(), list(&paths))?;
            }
        }
        Ok(())
    }
}

impl OutputFacts {
    fn show(&self, f: &mut Formatter<'_>, role: &str) -> fmt::Result {
        let name = crate::text::Shown(&self.name);
        let reach = |names: &[String], of: &str| match names {
            [] => format!("no {of}s"),
            [one] => format!("{of} {}", crate::text::Shown(one)),
            _ => format!("{of}s {}", list(names)),
        };
        let (inputs, targets) = (reach(&self.inputs, "input"), reach(&self.targets, "target"));
        writeln!(f, "{role}: {name} follows from {inputs} and {targets}")?;
        if self.rows_are_apart {
            return writeln!(f, "{role}: row i of {name} follows from row i of the batch alone");
        }
        writeln!(f, "{role}: {name} may mix rows, which meet first at")?;
        self.rows_meet_at.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> =
        names.iter().map(|name| crate::text::Shown(name).to_string()).collect();
    names.join(", ")
}
