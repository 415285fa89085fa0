//! The graph of `plugins/dist/sequential.wasm`: a classifier whose layers are an argument. Prints its
//! bytes.
//!
//! `tests/it/traced.rs` compares the component with this graph in the shipped runtime, and writes it
//! with `FEDWASM_BLESS=1`.

use std::io::Write as _;

use fedwasm_graph::*;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(&encode(&graph()))
}

/// Rows of numbers, layers by texts, cross entropy.
pub fn graph() -> Graph {
    let argument = |name: &str, kind, default, doc: &str| Argument {
        name: name.into(),
        kind,
        default,
        doc: doc.into(),
    };
    let layers = ["linear 64", "relu", "linear outputs"].map(String::from).to_vec();
    let arguments = vec![
        argument(
            "n_features",
            ArgumentKind::Size,
            Default::InputColumns,
            "number of input columns",
        ),
        argument("n_classes", ArgumentKind::Size, Default::TargetClasses, "number of classes"),
        argument(
            "layers",
            ArgumentKind::Texts,
            Default::Value(Value::Texts(layers)),
            "layers, such as linear 64; outputs stands for the number of classes",
        ),
    ];
    let number = |nth| Attribute::Number(Number::Argument(nth));
    let layers = MemberKind::Module {
        kind: ModuleKind::Described,
        attributes: vec![
            Attribute::Numbers(vec![Number::Argument(0)]),
            Attribute::Argument(2),
            number(1),
        ],
    };
    let node = |call, inputs: &[NodeId]| Node {
        call,
        inputs: inputs.to_vec(),
        attributes: Vec::new(),
        place: None,
        kind: None,
    };
    let forward = vec![node(Call::Input(0), &[]), node(Call::Module(0), &[0])];
    let mut step = forward.clone();
    step.push(node(Call::Target(0), &[]));
    step.push(node(Call::Function(FunctionKind::CrossEntropy), &[1, 2]));
    Graph {
        name: "sequential".into(),
        version: "0.1.0".into(),
        doc: "A classifier whose layers are an argument, one after the other.".into(),
        task: Task::Classification,
        arguments,
        inputs: vec![Data {
            name: "inputs".into(),
            dtype: Dtype::F32,
            shape: vec![Number::Argument(0)],
        }],
        targets: vec![Data { name: "targets".into(), dtype: Dtype::I64, shape: Vec::new() }],
        members: vec![Member {
            path: "layers".into(),
            kind: layers,
            is_frozen: false,
            is_local: false,
        }],
        values: Vec::new(),
        optimizer: Optimizer { kind: OptimizerKind::Sgd, defaults: Vec::new() },
        files: Vec::new(),
        functions: vec![
            (Role::TrainingStep, Function { nodes: step, outputs: vec![("loss".into(), 3)] }),
            (Role::Predict, Function { nodes: forward, outputs: vec![("scores".into(), 1)] }),
        ],
    }
}
