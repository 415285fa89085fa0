//! Rules of single parts.

use alloc::format;

use super::{METRICS_MAX, Rule, must};
use crate::{
    Argument, ArgumentKind, Attribute, Default, Function, FunctionKind, Node, OptimizerKind, Role,
    Signature, Value,
};

/// `[a-z0-9]` and these.
pub(super) fn is_name(name: &str, most: usize, more: &str) -> Rule {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
    must(!name.is_empty() && name.len() <= most && name.chars().all(fits), || {
        format!("a name is of a-z, 0-9 and `{more}`, at most {most} of them")
    })
}

/// The name of a parameter or of a part of the model.
pub(super) fn is_path(path: &str) -> Rule {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_part = |part: &str| !part.is_empty() && part.chars().all(fits);
    must(path.split('.').all(is_part), || {
        "a path is names of A-Z, a-z, 0-9 and `_` with dots between".into()
    })
}

/// The name of an input, of a target or of an output.
pub(super) fn is_label(name: &str) -> Rule {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    must(!name.is_empty() && name.chars().all(fits), || {
        "a name is of A-Z, a-z, 0-9, `_`, `-` and `.`".into()
    })
}

pub(super) fn is_version(version: &str) -> Rule {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    let starts = version.chars().next().is_some_and(|c| c.is_ascii_digit());
    must(starts && version.len() <= 64 && version.chars().all(fits), || {
        "a version is such as 0.1.0".into()
    })
}

pub(super) fn is_below(nth: usize, len: usize, of: &str) -> Rule {
    must(nth < len, || format!("{of} {nth}, and there are {len}"))
}

pub(super) fn check_default(argument: &Argument) -> Rule {
    match &argument.default {
        Default::Required => Ok(()),
        Default::InputColumns | Default::TargetClasses => {
            let counts = matches!(argument.kind, ArgumentKind::Size | ArgumentKind::Integer);
            must(counts, || "a number of columns or classes is whole".into())
        }
        Default::Value(value) => must(value.is(argument.kind), || {
            format!("its default is {value:?}, not {}", argument.kind.name())
        }),
    }
}

pub(super) fn takes(signature: &Signature, n: usize) -> Rule {
    let (least, most) = signature.inputs;
    must((least.into()..=usize::from(most)).contains(&n), || match least == most {
        true => format!("{} takes {least} tensors, not {n}", signature.name),
        false => format!("{} takes {least} to {most} tensors, not {n}", signature.name),
    })
}

/// A number is there for each operand that is not a tensor, and for no other.
pub(super) fn check_operands(kind: FunctionKind, node: &Node) -> Rule {
    let attributes = kind.signature().attributes;
    if attributes.first().is_none_or(|attr| attr.name != "left") {
        return Ok(());
    }
    let numbers = node.attributes.iter().take(2);
    let numbers = numbers.filter(|attribute| !matches!(attribute, Attribute::None)).count();
    let operands = if kind == FunctionKind::Where { 3 } else { 2 };
    must(node.inputs.len() + numbers == operands, || {
        let (name, tensors) = (kind.name(), node.inputs.len());
        format!("{name} is of {operands}, not of {tensors} tensors and {numbers} numbers")
    })
}

pub(super) fn check_outputs(role: Role, function: &Function) -> Rule {
    let outputs = &function.outputs;
    for (nth, (name, node)) in outputs.iter().enumerate() {
        is_below(*node as usize, function.nodes.len(), "node")?;
        let known = outputs[..nth].iter().any(|(other, _)| other == name);
        must(!known, || format!("`{name}` is there twice"))?;
        match role {
            Role::Metrics => is_name(name, 64, "_-.")?,
            Role::Statistics => is_path(name)?,
            _ => is_label(name)?,
        }
    }
    let n = outputs.len();
    match role {
        Role::TrainingStep | Role::Predict | Role::TestingStep => {
            must(n == 1, || format!("there is one, not {n}"))
        }
        Role::Metrics => {
            must((1..=METRICS_MAX).contains(&n), || format!("1 to {METRICS_MAX}, not {n}"))
        }
        Role::Statistics => must(n > 0, || "there is at least one".into()),
    }
}

impl Value {
    /// Whether it is of a kind; a list of whole numbers is none of real ones.
    #[must_use]
    pub fn is(&self, kind: ArgumentKind) -> bool {
        match (self, kind) {
            (Self::Integer(value), ArgumentKind::Size) => *value >= 1,
            (Self::Integer(_), ArgumentKind::Integer)
            | (Self::Real(_), ArgumentKind::Real)
            | (Self::Boolean(_), ArgumentKind::Boolean)
            | (Self::Text(_), ArgumentKind::Text)
            | (Self::Integers(_), ArgumentKind::Integers)
            | (Self::Reals(_), ArgumentKind::Reals)
            | (Self::Texts(_), ArgumentKind::Texts) => true,
            _ => false,
        }
    }
}

impl OptimizerKind {
    /// The arguments that it has, `lr` for `optimizer.lr`, and their kinds.
    pub fn arguments(self) -> impl Iterator<Item = (&'static str, ArgumentKind)> {
        use ArgumentKind::{Boolean, Integer, Real, Text};
        let own: &[(&str, ArgumentKind)] = match self {
            Self::Sgd => &[("momentum", Real), ("nesterov", Boolean)],
            Self::Adam | Self::AdamW => &[("beta1", Real), ("beta2", Real), ("eps", Real)],
            Self::Adagrad => &[("lr_decay", Real), ("eps", Real)],
            Self::RmsProp => &[("alpha", Real), ("eps", Real), ("momentum", Real)],
        };
        let all = &[
            ("lr", Real),
            ("weight_decay", Real),
            ("keep_state", Boolean),
            ("clip_norm", Real),
            ("clip_value", Real),
            ("schedule", Text),
            ("schedule_steps", Integer),
            ("schedule_factor", Real),
            ("warmup_steps", Integer),
        ];
        own.iter().chain(all).copied()
    }
}
