//! The rules that a graph must keep before it is run.
//!
//! What follows from arguments and from data, such as shapes, is found when it runs.

mod rules;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rules::{
    check_default, check_operands, check_outputs, is_below, is_label, is_name, is_path, is_version,
    takes,
};

use crate::bounds::{METRICS_MAX, NODES_MAX};
use crate::{
    Argument, ArgumentKind, AttrKind, Attribute, Binary, Call, Data, Error, Function, Graph, Init,
    Member, MemberKind, ModuleKind, Node, Number, Role, Signature, Task, Unary,
};

type Result<T = ()> = core::result::Result<T, Error>;

/// A rule that is broken, in a part that is named by the caller.
type Rule<T = ()> = core::result::Result<T, String>;

/// Says where a rule is broken.
trait At<T> {
    fn at(self, at: impl FnOnce() -> String) -> Result<T>;
}

impl<T> At<T> for Rule<T> {
    fn at(self, at: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|rule| Error::Refused { at: at(), rule })
    }
}

/// What the text calls the standard tasks.
const STANDARD: [&str; 2] = ["classification", "regression"];

fn must(holds: bool, rule: impl FnOnce() -> String) -> Rule {
    if holds { Ok(()) } else { Err(rule()) }
}

impl Graph {
    /// Checks that it can be run: names, references, kinds of attributes, and numbers of tensors.
    /// Whether shapes fit depends on arguments, and parameters of modules have names then only.
    ///
    /// # Errors
    /// [`Error::Refused`] with the part of the graph and the first rule that it breaks.
    pub fn check(&self) -> Result {
        is_name(&self.name, 64, "_-").at(|| "the plan's name".into())?;
        let is_other =
            !matches!(&self.task, Task::Other(name) if STANDARD.contains(&name.as_str()));
        must(is_other, || "its name is that of a standard one".into()).at(|| "the task".into())?;
        is_version(&self.version).at(|| "the plan's version".into())?;
        for (nth, argument) in self.arguments.iter().enumerate() {
            let at = || format!("argument `{}`", argument.name);
            is_name(&argument.name, 64, "_").at(at)?;
            let is_word = argument.name.starts_with(|c: char| c.is_ascii_lowercase());
            must(is_word, || "its name begins with a letter".into()).at(at)?;
            let known = self.arguments[..nth].iter().any(|other| other.name == argument.name);
            must(!known, || "its name is that of another".into()).at(at)?;
            check_default(argument).at(at)?;
        }
        must(!self.inputs.is_empty(), || "a plan has at least one".into())
            .at(|| "inputs".into())?;
        for data in [&self.inputs, &self.targets] {
            self.check_data(data)?;
        }
        self.check_members()?;
        self.check_optimizer().at(|| "the optimizer".into())?;
        let all: usize = self.functions.iter().map(|(_, function)| function.nodes.len()).sum();
        must(all <= NODES_MAX, || format!("{all} nodes, at most {NODES_MAX}"))
            .at(|| "functions".into())?;
        let has = |role| self.functions.iter().any(|(known, _)| *known == role);
        let learns = has(Role::TrainingStep) != has(Role::Statistics);
        must(learns, || "a plan has a training_step or statistics, and not both".into())
            .at(|| "functions".into())?;
        for (nth, (role, function)) in self.functions.iter().enumerate() {
            let known = self.functions[..nth].iter().any(|(other, _)| other == role);
            must(!known, || "it is there twice".into()).at(|| role.name().into())?;
            for (at, node) in function.nodes.iter().enumerate() {
                self.check_node(*role, function, at, node)
                    .at(|| format!("node {at} of {}", role.name()))?;
            }
            check_outputs(*role, function).at(|| format!("outputs of {}", role.name()))?;
        }
        Ok(())
    }

    fn check_data(&self, all: &[Data]) -> Result {
        for (nth, data) in all.iter().enumerate() {
            let at = || format!("input or target `{}`", data.name);
            is_label(&data.name).at(at)?;
            let known = all[..nth].iter().any(|other| other.name == data.name);
            must(!known, || "its name is that of another".into()).at(at)?;
            data.shape.iter().try_for_each(|size| self.check_whole(size, None)).at(at)?;
        }
        Ok(())
    }

    fn check_members(&self) -> Result {
        for (nth, member) in self.members.iter().enumerate() {
            let at = || format!("member `{}`", member.path);
            is_path(&member.path).at(at)?;
            let known = self.members[..nth].iter().any(|other| other.path == member.path);
            must(!known, || "there are two of this path".into()).at(at)?;
            match &member.kind {
                MemberKind::Module { kind, attributes } => {
                    self.check_attributes(kind.signature(), attributes, None).at(at)?;
                }
                MemberKind::Parameter { shape, init, .. } => {
                    shape.iter().try_for_each(|size| self.check_whole(size, None)).at(at)?;
                    let (Init::Full(x) | Init::Uniform(x) | Init::Normal(x)) = init;
                    self.is_whole(x, None).map(drop).at(at)?;
                }
            }
        }
        for (nth, (name, bytes)) in self.values.iter().enumerate() {
            let at = || format!("initial value of `{name}`");
            is_path(name).at(at)?;
            let known = self.values[..nth].iter().any(|(other, _)| other == name);
            must(!known, || "the parameter has another".into()).at(at)?;
            let floats = bytes.len() % 4 == 0;
            must(floats, || format!("{} bytes are no float32 numbers", bytes.len())).at(at)?;
        }
        Ok(())
    }

    fn check_optimizer(&self) -> Rule {
        let kind = self.optimizer.kind;
        for (nth, (name, value)) in self.optimizer.defaults.iter().enumerate() {
            let known = self.optimizer.defaults[..nth].iter().any(|(other, _)| other == name);
            must(!known, || format!("`{name}` has two defaults"))?;
            let fits = kind.arguments().find(|(known, _)| known == name);
            let (_, wanted) = fits.ok_or_else(|| {
                let names: Vec<&str> = kind.arguments().map(|(name, _)| name).collect();
                format!("{} has no argument `{name}`, but {}", kind.name(), names.join(", "))
            })?;
            must(value.is(wanted), || format!("`{name}` is {value:?}, not {}", wanted.name()))?;
        }
        Ok(())
    }

    fn check_node(&self, role: Role, function: &Function, at: usize, node: &Node) -> Rule {
        let nodes = &function.nodes;
        let is_earlier = |id: &u32| (*id as usize) < at;
        let later = node.inputs.iter().find(|id| !is_earlier(id));
        must(later.is_none(), || {
            format!("its input {} is not an earlier node", later.unwrap_or(&0))
        })?;
        if let Some(place) = node.place {
            let known = usize::from(place.file) < self.files.len();
            must(known, || format!("its place is in file {} of {}", place.file, self.files.len()))?;
        }
        let n_inputs = node.inputs.len();
        match &node.call {
            Call::Input(nth) => is_below((*nth).into(), self.inputs.len(), "input")?,
            Call::Target(nth) => {
                is_below((*nth).into(), self.targets.len(), "target")?;
                must(role != Role::Predict, || "what is predicted has no targets".into())?;
            }
            Call::Value(name) => {
                is_path(name)?;
                self.check_value(role, &nodes[..at], name)?;
            }
            Call::Module(member) => {
                is_below(*member as usize, self.members.len(), "member")?;
                let MemberKind::Module { kind, .. } = self.members[*member as usize].kind else {
                    return Err(format!("member {member} is a parameter and cannot be called"));
                };
                takes(kind.signature(), n_inputs)?;
                let moves = role == Role::Statistics && self.keeps_statistics(*member);
                must(!moves, || {
                    "it moves running statistics, and sums are taken with parameters as they were at \
                     the start of the round"
                        .into()
                })?;
            }
            Call::Function(kind) => {
                takes(kind.signature(), n_inputs)?;
                check_operands(*kind, node)?;
                return self.check_attributes(kind.signature(), &node.attributes, Some(at));
            }
            Call::Output(nth) => {
                must(n_inputs == 1, || format!("it picks of one node, not of {n_inputs}"))?;
                let given = self.outputs_of(&nodes[node.inputs[0] as usize]);
                must(given.is_none_or(|given| *nth < given), || {
                    format!("it picks output {nth}, of {}", given.unwrap_or(0))
                })?;
            }
        }
        let is_leaf = matches!(node.call, Call::Input(_) | Call::Target(_) | Call::Value(_));
        must(!is_leaf || n_inputs == 0, || "it takes no tensors".into())?;
        must(node.attributes.is_empty(), || "it takes no attributes".into())
    }

    /// Whether a call in training moves running statistics of the member.
    fn keeps_statistics(&self, member: u32) -> bool {
        self.members.get(member as usize).is_some_and(|member| {
            let MemberKind::Module { kind, .. } = member.kind else { return false };
            !member.is_frozen && matches!(kind, ModuleKind::BatchNorm | ModuleKind::Described)
        })
    }

    /// In training, running statistics are those of earlier batches: after a call that moves them they
    /// would hand on rows that nothing says they come from.
    fn check_value(&self, role: Role, before: &[Node], name: &str) -> Rule {
        if role != Role::TrainingStep {
            return Ok(());
        }
        let mut called = before.iter().filter_map(|node| match &node.call {
            Call::Module(nth) if self.keeps_statistics(*nth) => self.members.get(*nth as usize),
            _ => None,
        });
        let is_statistic = |member: &Member| {
            let rest = name.strip_prefix(member.path.as_str()).and_then(|x| x.strip_prefix('.'));
            rest.is_some_and(|rest| {
                matches!(member.kind, MemberKind::Module { kind: ModuleKind::Described, .. })
                    || rest.starts_with("running_")
            })
        };
        let moved = called.any(is_statistic);
        must(!moved, || format!("`{name}` is read after a call that moves it: read it before"))
    }

    /// How many tensors a node gives; none if it depends.
    fn outputs_of(&self, node: &Node) -> Option<u8> {
        let outputs = match &node.call {
            Call::Function(kind) => kind.signature().outputs,
            Call::Module(member) => match self.members.get(*member as usize)?.kind {
                MemberKind::Module { kind, .. } => kind.signature().outputs,
                MemberKind::Parameter { .. } => 1,
            },
            _ => 1,
        };
        (outputs > 0).then_some(outputs)
    }

    /// `before` is the node that has them; none outside of functions.
    fn check_attributes(
        &self,
        signature: &Signature,
        attributes: &[Attribute],
        before: Option<usize>,
    ) -> Rule {
        let (name, known) = (signature.name, signature.attributes);
        must(attributes.len() <= known.len(), || {
            format!("{name} takes {} attributes, not {}", known.len(), attributes.len())
        })?;
        for (nth, attr) in known.iter().enumerate() {
            let attribute = attributes.get(nth).unwrap_or(&Attribute::None);
            let wrong = |rule: String| format!("`{}` of {name}: {rule}", attr.name);
            if matches!(attribute, Attribute::None) {
                must(!attr.is_required, || wrong("it must be given".into()))?;
                continue;
            }
            self.check_attribute(attr.kind, attribute, before).map_err(wrong)?;
        }
        Ok(())
    }

    fn check_attribute(
        &self,
        kind: AttrKind,
        attribute: &Attribute,
        before: Option<usize>,
    ) -> Rule {
        let wanted = || format!("it is {attribute:?}, not {kind:?}");
        match (attribute, kind) {
            (Attribute::Bool(_), AttrKind::Flag) => Ok(()),
            (Attribute::Text(text), AttrKind::Word(words)) => {
                must(words.contains(&text.as_str()), || {
                    format!("it is `{text}`, not {}", words.join(" or "))
                })
            }
            (Attribute::Number(number), AttrKind::Integer | AttrKind::Size) => {
                self.check_whole(number, before)
            }
            (Attribute::Number(number), AttrKind::Real) => self.is_whole(number, before).map(drop),
            (Attribute::Numbers(numbers), AttrKind::Integers | AttrKind::Sizes) => {
                numbers.iter().try_for_each(|number| self.check_whole(number, before))
            }
            (Attribute::Numbers(numbers), AttrKind::Reals) => {
                numbers.iter().try_for_each(|number| self.is_whole(number, before).map(drop))
            }
            (Attribute::Argument(nth), kind) => {
                let fits = matches!(
                    (self.argument(*nth)?.kind, kind),
                    (ArgumentKind::Boolean, AttrKind::Flag)
                        | (ArgumentKind::Text, AttrKind::Word(_))
                        | (ArgumentKind::Integers, AttrKind::Integers | AttrKind::Sizes)
                        | (ArgumentKind::Integers | ArgumentKind::Reals, AttrKind::Reals)
                        | (ArgumentKind::Texts, AttrKind::Texts)
                );
                must(fits, wanted)
            }
            _ => Err(wanted()),
        }
    }

    fn argument(&self, nth: u32) -> Rule<&Argument> {
        let argument = self.arguments.get(nth as usize);
        argument.ok_or_else(|| format!("argument {nth} of {}", self.arguments.len()))
    }

    fn check_whole(&self, number: &Number, before: Option<usize>) -> Rule {
        must(self.is_whole(number, before)?, || "a number is real that must be whole".into())
    }

    /// Whether a number is whole, if it is one.
    fn is_whole(&self, number: &Number, before: Option<usize>) -> Rule<bool> {
        Ok(match number {
            Number::Integer(_) => true,
            Number::Real(_) => false,
            Number::Argument(nth) => match self.argument(*nth)?.kind {
                ArgumentKind::Size | ArgumentKind::Integer => true,
                ArgumentKind::Real => false,
                kind => return Err(format!("argument {nth} is {}, not a number", kind.name())),
            },
            Number::Size(node, _) => {
                let before = before.ok_or("sizes of tensors are known in functions only")?;
                is_below(*node as usize, before, "node")?;
                true
            }
            Number::Unary(function, x) => {
                let is_whole = self.is_whole(x, before)?;
                match function {
                    Unary::Neg | Unary::Abs => is_whole,
                    Unary::Floor | Unary::Ceil | Unary::Round => true,
                    Unary::Sqrt | Unary::Exp | Unary::Ln | Unary::Real => false,
                }
            }
            Number::Binary(function, a, b) => {
                let both = self.is_whole(a, before)? & self.is_whole(b, before)?;
                both && *function != Binary::Div
            }
        })
    }
}
