//! A graph as text, for those who review it: all that runs, one line a call.
//!
//! Behind `;` stand the author's words: the line of the source, and after `traced:` dtype and shape
//! as the tracer saw them. They change nothing that runs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter, Write as _};

use crate::number::Names;
use crate::{
    Argument, Attr, Attribute, Call, Data, Default, Function, FunctionKind, Graph, Init, Member,
    MemberKind, ModuleKind, Node, NodeId, Number, Task, Value,
};

/// Where the author's words begin, in columns.
const MARGIN: usize = 64;

/// A graph as text; [`Graph::text`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(&'a Graph);

impl Graph {
    /// The graph as text that can be shown: everything that runs, in order.
    #[must_use]
    pub fn text(&self) -> Text<'_> {
        Text(self)
    }

    /// The line of a call in the text, without the author's words.
    pub(crate) fn line(&self, function: &Function, nth: usize) -> String {
        function.nodes.get(nth).map_or_else(String::new, |node| Text(self).line(nth, node))
    }

    /// How many calls there are of each function and module, by name; the tables' order.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let nodes = || self.functions.iter().flat_map(|(_, function)| &function.nodes);
        let calls = |fits: &dyn Fn(&Call) -> bool| nodes().filter(|node| fits(&node.call)).count();
        let is_of = |member: u32, kind: ModuleKind| {
            let member = self.members.get(member as usize).map(|member| &member.kind);
            matches!(member, Some(MemberKind::Module { kind: known, .. }) if *known == kind)
        };
        let modules = ModuleKind::ALL.iter().map(|kind| {
            let fits = |call: &Call| matches!(call, Call::Module(nth) if is_of(*nth, *kind));
            (kind.name(), calls(&fits))
        });
        let functions = FunctionKind::ALL.iter().map(|kind| {
            let fits = |call: &Call| matches!(call, Call::Function(known) if known == kind);
            (kind.name(), calls(&fits))
        });
        modules.chain(functions).filter(|(_, n)| *n > 0).collect()
    }
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let graph = self.0;
        let task = match &graph.task {
            Task::Classification => "classification",
            Task::Regression => "regression",
            Task::Other(name) => name,
        };
        let (name, version) = (Shown(&graph.name), Shown(&graph.version));
        writeln!(f, "plan {name} {version}: {}", Quoted(task))?;
        for line in graph.doc.lines() {
            writeln!(f, "  ; {}", Shown(line))?;
        }
        self.section(f, "arguments", &graph.arguments, Self::argument)?;
        self.section(f, "inputs", &graph.inputs, Self::data)?;
        self.section(f, "targets", &graph.targets, Self::data)?;
        self.section(f, "members", &graph.members, Self::member)?;
        self.section(f, "initial values", &graph.values, |_, (name, bytes)| {
            alloc::format!("{}: {} numbers", Shown(name), bytes.len() / 4)
        })?;
        writeln!(f, "optimizer {}", graph.optimizer.kind.name())?;
        for (name, value) in &graph.optimizer.defaults {
            writeln!(f, "  {} = {}", Shown(name), ShownValue(value))?;
        }
        for (role, function) in &graph.functions {
            writeln!(f, "{}", role.name())?;
            self.function(f, function)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn section<T>(
        &self,
        f: &mut Formatter<'_>,
        name: &str,
        list: &[T],
        show: impl Fn(&Self, &T) -> String,
    ) -> fmt::Result {
        if !list.is_empty() {
            writeln!(f, "{name}")?;
        }
        list.iter().try_for_each(|one| writeln!(f, "  {}", show(self, one)))
    }

    fn argument(&self, argument: &Argument) -> String {
        let default = match &argument.default {
            Default::Required => String::from(", required"),
            Default::InputColumns => String::from(" = number of input columns"),
            Default::TargetClasses => String::from(" = number of classes"),
            Default::Value(value) => alloc::format!(" = {}", ShownValue(value)),
        };
        let line = alloc::format!("{}: {}{default}", Shown(&argument.name), argument.kind.name());
        let says_more = !default.ends_with(argument.doc.as_str());
        if says_more { with_words(line, &argument.doc) } else { line }
    }

    fn data(&self, data: &Data) -> String {
        let mut sizes = alloc::vec![String::from("rows")];
        sizes.extend(data.shape.iter().map(|size| self.number(size)));
        alloc::format!("{}: {} [{}]", Shown(&data.name), data.dtype.name(), sizes.join(", "))
    }

    fn member(&self, member: &Member) -> String {
        let mut line = alloc::format!("{} = ", Shown(&member.path));
        match &member.kind {
            MemberKind::Module { kind, attributes } => {
                let given = self.attributes(kind.signature().attributes, attributes);
                line += &alloc::format!("{}({})", kind.name(), given.join(", "));
            }
            MemberKind::Parameter { shape, init, is_buffer } => {
                let sizes: Vec<String> = shape.iter().map(|size| self.number(size)).collect();
                line += if *is_buffer { "Buffer" } else { "Parameter" };
                line += &alloc::format!("([{}])", sizes.join(", "));
                line += &match init {
                    Init::Full(x) => alloc::format!(" from {}", self.number(x)),
                    Init::Uniform(x) => alloc::format!(" from U(-x, x), x = {}", self.number(x)),
                    Init::Normal(x) => alloc::format!(" from N(0, {})", self.number(x)),
                };
            }
        }
        line += if member.is_frozen { ", frozen" } else { "" };
        line += if member.is_local { ", stays at the node" } else { "" };
        line
    }

    fn function(&self, f: &mut Formatter<'_>, function: &Function) -> fmt::Result {
        for (nth, node) in function.nodes.iter().enumerate() {
            writeln!(f, "  {}", with_words(self.line(nth, node), &self.words(node)))?;
        }
        for (name, node) in &function.outputs {
            writeln!(f, "  return {} = %{node}", Shown(name))?;
        }
        Ok(())
    }

    fn line(&self, nth: usize, node: &Node) -> String {
        alloc::format!("%{nth} = {}", self.call(node))
    }

    fn call(&self, node: &Node) -> String {
        let of = |list: &[Data], nth: u16| match list.get(usize::from(nth)) {
            Some(data) => Shown(&data.name).to_string(),
            None => nth.to_string(),
        };
        let mut given: Vec<String> =
            node.inputs.iter().map(|input| alloc::format!("%{input}")).collect();
        let name = match &node.call {
            Call::Input(nth) => return alloc::format!("input {}", of(&self.0.inputs, *nth)),
            Call::Target(nth) => return alloc::format!("target {}", of(&self.0.targets, *nth)),
            Call::Value(name) => return alloc::format!("value {}", Shown(name)),
            Call::Output(nth) => return alloc::format!("{}[{nth}]", given.join(", ")),
            Call::Module(nth) => match self.0.members.get(*nth as usize) {
                // No function of the table is called so.
                Some(member) => alloc::format!("self.{}", Shown(&member.path)),
                None => alloc::format!("member {nth}"),
            },
            Call::Function(kind) => {
                given.extend(self.attributes(kind.signature().attributes, &node.attributes));
                kind.name().into()
            }
        };
        alloc::format!("{name}({})", given.join(", "))
    }

    /// The author's words on a call.
    fn words(&self, node: &Node) -> String {
        let mut words = Vec::new();
        if let Some(place) = node.place {
            let file = self.0.files.get(usize::from(place.file)).map_or("", String::as_str);
            words.push(alloc::format!("{file}:{}", place.line));
        }
        if let Some(kind) = &node.kind {
            words.push(alloc::format!("traced: {kind}"));
        }
        words.join(" ; ")
    }

    /// Those that are given, by name.
    fn attributes(&self, known: &[Attr], given: &[Attribute]) -> Vec<String> {
        let given = known.iter().zip(given);
        let given = given.filter(|(_, attribute)| !matches!(attribute, Attribute::None));
        given
            .map(|(attr, value)| alloc::format!("{}={}", attr.name, self.attribute(value)))
            .collect()
    }

    fn attribute(&self, attribute: &Attribute) -> String {
        match attribute {
            Attribute::None => "none".into(),
            Attribute::Bool(value) => value.to_string(),
            Attribute::Text(text) => Quoted(text).to_string(),
            Attribute::Number(number) => self.number(number),
            Attribute::Numbers(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(|x| self.number(x)).collect();
                alloc::format!("[{}]", numbers.join(", "))
            }
            Attribute::Argument(nth) => self.number(&Number::Argument(*nth)),
        }
    }

    fn number(&self, number: &Number) -> String {
        struct Of<'a>(&'a Graph, &'a Number);
        impl Display for Of<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.1.show(f, self.0)
            }
        }
        Of(self.0, number).to_string()
    }
}

impl Names for Graph {
    fn argument(&self, f: &mut Formatter<'_>, nth: u32) -> fmt::Result {
        match self.arguments.get(nth as usize) {
            // As it is announced: no word or number of the tables can be meant.
            Some(argument) => write!(f, "model.{}", Shown(&argument.name)),
            None => write!(f, "argument {nth}"),
        }
    }

    fn node(&self, f: &mut Formatter<'_>, node: NodeId) -> fmt::Result {
        write!(f, "%{node}")
    }
}

/// A line and, if there are some, the author's words behind it.
fn with_words(mut line: String, words: &str) -> String {
    if words.is_empty() {
        return line;
    }
    for _ in line.chars().count()..MARGIN {
        line.push(' ');
    }
    line += " ; ";
    line += &Shown(words).to_string();
    line
}

/// A text of the author without what moves a cursor or turns the order of letters.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' => write!(f, "{}", c.escape_unicode()),
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => f.write_char(c),
        })
    }
}

/// A text that runs, without what could pass for its end or for the author's words behind `;`.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            ';' | '"' | '\\' => write!(f, "{}", c.escape_unicode()),
            c => write!(f, "{}", Shown(c.encode_utf8(&mut [0; 4]))),
        })
    }
}

struct ShownValue<'a>(&'a Value);

impl Display for ShownValue<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Integer(value) => write!(f, "{value}"),
            Value::Real(value) => write!(f, "{value:?}"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Text(text) => write!(f, "\"{}\"", Quoted(text)),
            Value::Integers(values) => write!(f, "{values:?}"),
            Value::Reals(values) => write!(f, "{values:?}"),
            Value::Texts(texts) => {
                let texts: Vec<String> =
                    texts.iter().map(|text| alloc::format!("\"{}\"", Quoted(text))).collect();
                write!(f, "[{}]", texts.join(", "))
            }
        }
    }
}
