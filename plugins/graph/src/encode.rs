//! A graph as bytes.
//!
//! A version byte, then the fields of [`Graph`] in order, but for `values`, which come last. Whole
//! numbers from 0 on are LEB128 in their shortest form, signed ones zigzag in the same, real ones
//! eight bytes, little-endian; lists and texts have their length first; variants their number. So
//! each graph has one form, which [`decode`](crate::decode) insists on.

use alloc::vec::Vec;

use crate::{
    Argument, Attribute, Call, Data, Default, Function, Graph, Init, Member, MemberKind, Node,
    Number, Task, Value,
};

/// The first byte: the version of this form.
pub(crate) const VERSION: u8 = 1;

/// Writes a graph as bytes. What [`Graph::check`] refuses has a form, too.
#[must_use]
pub fn encode(graph: &Graph) -> Vec<u8> {
    let mut to = Writer(Vec::new());
    to.0.push(VERSION);
    to.text(&graph.name);
    to.text(&graph.version);
    to.text(&graph.doc);
    match &graph.task {
        Task::Classification => to.0.push(0),
        Task::Regression => to.0.push(1),
        Task::Other(name) => {
            to.0.push(2);
            to.text(name);
        }
    }
    to.list(&graph.arguments, Writer::argument);
    to.list(&graph.inputs, Writer::data);
    to.list(&graph.targets, Writer::data);
    to.list(&graph.members, Writer::member);
    to.0.push(graph.optimizer.kind.code());
    to.list(&graph.optimizer.defaults, |to, (name, value)| {
        to.text(name);
        to.value(value);
    });
    to.list(&graph.files, |to, file| to.text(file));
    to.list(&graph.functions, |to, (role, function)| {
        to.0.push(role.code());
        to.function(function);
    });
    to.list(&graph.values, |to, (name, bytes)| {
        to.text(name);
        to.whole(bytes.len() as u64);
        to.0.extend(bytes);
    });
    to.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn whole(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn signed(&mut self, value: i64) {
        self.whole(((value << 1) ^ (value >> 63)) as u64);
    }

    fn real(&mut self, value: f64) {
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.whole(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.whole(list.len() as u64);
        list.iter().for_each(|one| write(self, one));
    }

    fn argument(&mut self, argument: &Argument) {
        self.text(&argument.name);
        self.0.push(argument.kind.code());
        match &argument.default {
            Default::Required => self.0.push(0),
            Default::InputColumns => self.0.push(1),
            Default::TargetClasses => self.0.push(2),
            Default::Value(value) => {
                self.0.push(3);
                self.value(value);
            }
        }
        self.text(&argument.doc);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Integer(value) => {
                self.0.push(0);
                self.signed(*value);
            }
            Value::Real(value) => {
                self.0.push(1);
                self.real(*value);
            }
            Value::Boolean(value) => {
                self.0.push(2);
                self.flag(*value);
            }
            Value::Text(value) => {
                self.0.push(3);
                self.text(value);
            }
            Value::Integers(values) => {
                self.0.push(4);
                self.list(values, |to, value| to.signed(*value));
            }
            Value::Reals(values) => {
                self.0.push(5);
                self.list(values, |to, value| to.real(*value));
            }
            Value::Texts(values) => {
                self.0.push(6);
                self.list(values, |to, value| to.text(value));
            }
        }
    }

    fn data(&mut self, data: &Data) {
        self.text(&data.name);
        self.0.push(data.dtype.code());
        self.list(&data.shape, Self::number);
    }

    fn member(&mut self, member: &Member) {
        self.text(&member.path);
        match &member.kind {
            MemberKind::Module { kind, attributes } => {
                self.0.push(0);
                self.whole(kind.code().into());
                self.list(attributes, Self::attribute);
            }
            MemberKind::Parameter { shape, init, is_buffer } => {
                self.0.push(1);
                self.list(shape, Self::number);
                let (code, number) = match init {
                    Init::Full(number) => (0, number),
                    Init::Uniform(number) => (1, number),
                    Init::Normal(number) => (2, number),
                };
                self.0.push(code);
                self.number(number);
                self.flag(*is_buffer);
            }
        }
        self.flag(member.is_frozen);
        self.flag(member.is_local);
    }

    fn number(&mut self, number: &Number) {
        match number {
            Number::Integer(value) => {
                self.0.push(0);
                self.signed(*value);
            }
            Number::Real(value) => {
                self.0.push(1);
                self.real(*value);
            }
            Number::Argument(nth) => {
                self.0.push(2);
                self.whole((*nth).into());
            }
            Number::Size(node, axis) => {
                self.0.push(3);
                self.whole((*node).into());
                self.signed((*axis).into());
            }
            Number::Unary(function, x) => {
                self.0.push(4);
                self.0.push(function.code());
                self.number(x);
            }
            Number::Binary(function, a, b) => {
                self.0.push(5);
                self.0.push(function.code());
                self.number(a);
                self.number(b);
            }
        }
    }

    fn attribute(&mut self, attribute: &Attribute) {
        match attribute {
            Attribute::None => self.0.push(0),
            Attribute::Bool(value) => {
                self.0.push(1);
                self.flag(*value);
            }
            Attribute::Text(text) => {
                self.0.push(2);
                self.text(text);
            }
            Attribute::Number(number) => {
                self.0.push(3);
                self.number(number);
            }
            Attribute::Numbers(numbers) => {
                self.0.push(4);
                self.list(numbers, Self::number);
            }
            Attribute::Argument(nth) => {
                self.0.push(5);
                self.whole((*nth).into());
            }
        }
    }

    fn function(&mut self, function: &Function) {
        self.list(&function.nodes, Self::node);
        self.list(&function.outputs, |to, (name, node)| {
            to.text(name);
            to.whole((*node).into());
        });
    }

    fn node(&mut self, node: &Node) {
        match &node.call {
            Call::Input(nth) => self.call(0, (*nth).into()),
            Call::Target(nth) => self.call(1, (*nth).into()),
            Call::Value(name) => {
                self.0.push(2);
                self.text(name);
            }
            Call::Module(member) => self.call(3, (*member).into()),
            Call::Function(kind) => self.call(4, kind.code().into()),
            Call::Output(nth) => self.call(5, (*nth).into()),
        }
        self.list(&node.inputs, |to, input| to.whole((*input).into()));
        self.list(&node.attributes, Self::attribute);
        self.flag(node.place.is_some());
        if let Some(place) = node.place {
            self.whole(place.file.into());
            self.whole(place.line.into());
        }
        self.flag(node.kind.is_some());
        if let Some(kind) = &node.kind {
            self.text(kind);
        }
    }

    fn call(&mut self, code: u8, nth: u64) {
        self.0.push(code);
        self.whole(nth);
    }
}
