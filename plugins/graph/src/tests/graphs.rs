//! Graphs of tests.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::*;

pub(crate) fn argument(name: &str, default: Default) -> Argument {
    Argument { name: name.into(), kind: ArgumentKind::Size, default, doc: String::new() }
}

pub(crate) fn node(call: Call, inputs: &[NodeId]) -> Node {
    Node { call, inputs: inputs.to_vec(), attributes: Vec::new(), place: None, kind: None }
}

pub(crate) fn function(kind: FunctionKind, inputs: &[NodeId], attributes: Vec<Attribute>) -> Node {
    Node { attributes, ..node(Call::Function(kind), inputs) }
}

pub(crate) fn linear(path: &str, inputs: u32, outputs: u32) -> Member {
    let size = |nth| Attribute::Number(Number::Argument(nth));
    module(path, ModuleKind::Linear, vec![size(inputs), size(outputs)])
}

pub(crate) fn module(path: &str, kind: ModuleKind, attributes: Vec<Attribute>) -> Member {
    let kind = MemberKind::Module { kind, attributes };
    Member { path: path.into(), kind, is_frozen: false, is_local: false }
}

/// Two linear layers, the first rectified.
pub(crate) fn mlp() -> Graph {
    let forward = vec![
        Node { place: Some(Place { file: 0, line: 12 }), ..node(Call::Input(0), &[]) },
        Node { place: Some(Place { file: 0, line: 13 }), ..node(Call::Module(0), &[0]) },
        Node {
            kind: Some("float32 [rows, hidden]".into()),
            place: Some(Place { file: 0, line: 13 }),
            ..function(FunctionKind::Relu, &[1], vec![])
        },
        node(Call::Module(1), &[2]),
    ];
    let mut step = forward.clone();
    step.push(node(Call::Target(0), &[]));
    step.push(function(FunctionKind::CrossEntropy, &[3, 4], vec![]));
    Graph {
        name: "mlp".into(),
        version: "0.1.0".into(),
        doc: "Two layers.".into(),
        task: Task::Classification,
        arguments: vec![
            argument("n_features", Default::InputColumns),
            argument("n_classes", Default::TargetClasses),
            argument("hidden", Default::Value(Value::Integer(128))),
        ],
        inputs: vec![Data {
            name: "inputs".into(),
            dtype: Dtype::F32,
            shape: vec![Number::Argument(0)],
        }],
        targets: vec![Data { name: "targets".into(), dtype: Dtype::I64, shape: vec![] }],
        members: vec![linear("hidden", 0, 2), linear("output", 2, 1)],
        values: vec![("output.bias".to_owned(), vec![0; 8])],
        optimizer: Optimizer {
            kind: OptimizerKind::Sgd,
            defaults: vec![("lr".into(), Value::Real(0.05))],
        },
        files: vec!["mlp.py".into()],
        functions: vec![
            (Role::TrainingStep, Function { nodes: step, outputs: vec![("loss".into(), 5)] }),
            (Role::Predict, Function { nodes: forward, outputs: vec![("scores".into(), 3)] }),
        ],
    }
}

/// A number that lies so deep.
pub(crate) fn deep(depth: usize) -> Number {
    (0..depth).fold(Number::Integer(1), |x, _| Number::Unary(Unary::Neg, Box::new(x)))
}
