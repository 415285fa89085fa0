//! `plugins/mlp` as a graph: for tests, and for the benchmark of training.

use fedwasm_graph::{
    Argument, ArgumentKind, Attribute, Call, Data, Default, Dtype, Function, FunctionKind, Graph,
    Member, MemberKind, ModuleKind, Node, NodeId, Number, Optimizer, OptimizerKind, Place, Role,
    Task, Value,
};

pub(crate) fn node(call: Call, inputs: &[NodeId], line: u32) -> Node {
    let place = Some(Place { file: 0, line });
    Node { call, inputs: inputs.to_vec(), attributes: Vec::new(), place, kind: None }
}

pub(crate) fn linear(path: &str, inputs: u32, outputs: u32) -> Member {
    let size = |nth| Attribute::Number(Number::Argument(nth));
    let kind = MemberKind::Module {
        kind: ModuleKind::Linear,
        attributes: vec![size(inputs), size(outputs)],
    };
    Member { path: path.into(), kind, is_frozen: false, is_local: false }
}

/// `plugins/mlp` as a graph.
pub(crate) fn mlp() -> Graph {
    let argument = |name: &str, default, doc: &str| Argument {
        name: name.into(),
        kind: ArgumentKind::Size,
        default,
        doc: doc.into(),
    };
    let forward = vec![
        node(Call::Input(0), &[], 18),
        node(Call::Module(0), &[0], 18),
        Node {
            kind: Some("float32 [rows, hidden]".into()),
            ..node(Call::Function(FunctionKind::Relu), &[1], 18)
        },
        node(Call::Module(1), &[2], 18),
    ];
    let mut step = forward.clone();
    step.push(node(Call::Target(0), &[], 21));
    step.push(node(Call::Function(FunctionKind::CrossEntropy), &[3, 4], 21));
    Graph {
        name: "mlp".into(),
        version: "0.1.0".into(),
        doc: "A multilayer perceptron.".into(),
        task: Task::Classification,
        arguments: vec![
            argument("n_features", Default::InputColumns, "number of input columns"),
            argument("n_classes", Default::TargetClasses, "number of classes"),
            argument("hidden", Default::Value(Value::Integer(128)), "units of the hidden layer"),
        ],
        inputs: vec![Data {
            name: "inputs".into(),
            dtype: Dtype::F32,
            shape: vec![Number::Argument(0)],
        }],
        targets: vec![Data { name: "targets".into(), dtype: Dtype::I64, shape: vec![] }],
        members: vec![linear("hidden", 0, 2), linear("output", 2, 1)],
        values: Vec::new(),
        optimizer: Optimizer { kind: OptimizerKind::Sgd, defaults: Vec::new() },
        files: vec!["mlp.py".into()],
        functions: vec![
            (Role::TrainingStep, Function { nodes: step, outputs: vec![("loss".into(), 5)] }),
            (Role::Predict, Function { nodes: forward, outputs: vec![("scores".into(), 3)] }),
        ],
    }
}
