//! The bytes of an ONNX file: Protocol Buffers (protobuf.dev/programming-guides/encoding), as
//! `onnx/onnx.proto3` numbers its fields. Writes, and reads nothing.

use super::network::{Attribute, Element, Initializer, Input, Network, Node, Size};

/// `Version.IR_VERSION` of ONNX 1.12, the first with operators of version 17.
const IR_VERSION: u64 = 8;
/// The version of the operators.
pub(super) const OPSET: u64 = 17;

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn message(&mut self, field: u64, build: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        build(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// Packed, as `proto3` writes lists of numbers.
    fn integers(&mut self, field: u64, values: &[i64]) {
        let mut inner = Self::default();
        values.iter().for_each(|value| inner.varint(value.cast_unsigned()));
        self.bytes(field, &inner.0);
    }
}

/// `ModelProto`, with facts for `metadata_props`.
pub(super) fn model(network: &Network, name: &str, facts: &[(String, String)]) -> Vec<u8> {
    let mut model = Message::default();
    model.integer(1, IR_VERSION);
    model.text(2, "fedwasm");
    model.text(3, env!("CARGO_PKG_VERSION"));
    model.message(7, |graph| {
        network.nodes.iter().for_each(|node| graph.message(1, |message| write_node(message, node)));
        graph.text(2, name);
        for initializer in &network.initializers {
            graph.message(5, |message| write_tensor(message, initializer));
        }
        network.inputs.iter().for_each(|input| graph.message(11, |m| write_input(m, input)));
        network.outputs.iter().for_each(|output| graph.message(12, |m| write_input(m, output)));
    });
    model.message(8, |opset| {
        opset.text(1, "");
        opset.integer(2, OPSET);
    });
    for (key, value) in facts {
        model.message(14, |fact| {
            fact.text(1, key);
            fact.text(2, value);
        });
    }
    model.0
}

/// `NodeProto`.
fn write_node(message: &mut Message, node: &Node) {
    node.inputs.iter().for_each(|name| message.text(1, name));
    node.outputs.iter().for_each(|name| message.text(2, name));
    message.text(4, node.op);
    for (name, attribute) in &node.attributes {
        message.message(5, |message| write_attribute(message, name, attribute));
    }
}

/// `AttributeProto`, with its `AttributeType`.
fn write_attribute(message: &mut Message, name: &str, attribute: &Attribute) {
    message.text(1, name);
    let kind = match attribute {
        Attribute::Real(value) => {
            message.float(2, *value);
            1
        }
        Attribute::Integer(value) => {
            message.integer(3, value.cast_unsigned());
            2
        }
        Attribute::Text(text) => {
            message.text(4, text);
            3
        }
        Attribute::Integers(values) => {
            message.integers(8, values);
            7
        }
    };
    message.integer(20, kind);
}

/// `TensorProto`.
fn write_tensor(message: &mut Message, Initializer { name, element, shape, bytes }: &Initializer) {
    message.integers(1, shape);
    message.integer(2, code(*element));
    message.text(8, name);
    message.bytes(9, bytes);
}

/// `ValueInfoProto` of a tensor.
fn write_input(message: &mut Message, Input { name, element, shape }: &Input) {
    message.text(1, name);
    message.message(2, |kind| {
        kind.message(1, |tensor| {
            tensor.integer(1, code(*element));
            tensor.message(2, |sizes| {
                for size in shape {
                    sizes.message(1, |dimension| match size {
                        Size::Known(length) => dimension.integer(1, length.cast_unsigned()),
                        Size::Rows => dimension.text(2, "rows"),
                        Size::Unknown => {}
                    });
                }
            });
        });
    });
}

/// `TensorProto.DataType`.
pub(super) fn code(element: Element) -> u64 {
    match element {
        Element::F32 => 1,
        Element::I64 => 7,
        Element::Bool => 9,
        Element::F64 => 11,
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    // The examples of protobuf.dev/programming-guides/encoding: 150, "testing", a message in one,
    // packed 3, 270 and 86942; and -2 as ten bytes.
    #[test]
    fn bytes_are_those_of_the_guide() {
        let built = |build: &dyn Fn(&mut Message)| {
            let mut message = Message::default();
            build(&mut message);
            message.0
        };
        assert_eq!(built(&|m| m.integer(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(built(&|m| m.text(2, "testing")), *b"\x12\x07testing");
        let inner = built(&|m| m.message(3, |m| m.integer(1, 150)));
        assert_eq!(inner, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let packed = built(&|m| m.integers(6, &[3, 270, 86_942]));
        assert_eq!(packed, [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]);
        let negative = built(&|m| m.integer(1, (-2i64).cast_unsigned()));
        assert_eq!(negative, [8, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }
}
