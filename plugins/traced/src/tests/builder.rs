//! Graphs by hand.

use fedwasm_graph::*;

pub(super) fn size(value: i64) -> Attribute {
    Attribute::Number(Number::Integer(value))
}

pub(super) fn real(value: f64) -> Attribute {
    Attribute::Number(Number::Real(value))
}

pub(super) fn argument(nth: u32) -> Attribute {
    Attribute::Number(Number::Argument(nth))
}

pub(super) fn numbers(all: Vec<Number>) -> Attribute {
    Attribute::Numbers(all)
}

pub(super) fn size_of(node: NodeId, axis: i8) -> Number {
    Number::Size(node, axis)
}

pub(super) fn module(path: &str, kind: ModuleKind, attributes: Vec<Attribute>) -> Member {
    let kind = MemberKind::Module { kind, attributes };
    Member { path: path.into(), kind, is_frozen: false, is_local: false }
}

/// A function that grows; its lines begin with 11.
pub(super) struct Function(Vec<Node>);

impl Function {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, call: Call, inputs: &[NodeId], attributes: Vec<Attribute>) -> NodeId {
        let nth = self.0.len() as u32;
        let place = Some(Place { file: 0, line: 11 + nth });
        self.0.push(Node { call, inputs: inputs.to_vec(), attributes, place, kind: None });
        nth
    }

    pub(super) fn input(&mut self, nth: u16) -> NodeId {
        self.add(Call::Input(nth), &[], Vec::new())
    }

    pub(super) fn target(&mut self, nth: u16) -> NodeId {
        self.add(Call::Target(nth), &[], Vec::new())
    }

    pub(super) fn value(&mut self, name: &str) -> NodeId {
        self.add(Call::Value(name.into()), &[], Vec::new())
    }

    pub(super) fn module(&mut self, member: u32, x: NodeId) -> NodeId {
        self.add(Call::Module(member), &[x], Vec::new())
    }

    pub(super) fn call(
        &mut self,
        kind: FunctionKind,
        inputs: &[NodeId],
        attributes: Vec<Attribute>,
    ) -> NodeId {
        self.add(Call::Function(kind), inputs, attributes)
    }

    pub(super) fn gives(self, name: &str, node: NodeId) -> fedwasm_graph::Function {
        fedwasm_graph::Function { nodes: self.0, outputs: vec![(name.into(), node)] }
    }
}

fn arguments() -> Vec<Argument> {
    let argument = |name: &str, default, doc: &str| Argument {
        name: name.into(),
        kind: ArgumentKind::Size,
        default,
        doc: doc.into(),
    };
    vec![
        argument("n_features", Default::InputColumns, "number of input columns"),
        argument("n_classes", Default::TargetClasses, "number of classes"),
        argument("hidden", Default::Value(Value::Integer(128)), "units of the hidden layer"),
    ]
}

fn graph(
    name: &str,
    members: Vec<Member>,
    kind: OptimizerKind,
    functions: Vec<(Role, fedwasm_graph::Function)>,
) -> Graph {
    let inputs = vec![Number::Argument(0)];
    Graph {
        name: name.into(),
        version: "0.1.0".into(),
        doc: String::new(),
        task: Task::Classification,
        arguments: arguments(),
        inputs: vec![Data { name: "inputs".into(), dtype: Dtype::F32, shape: inputs }],
        targets: vec![Data { name: "targets".into(), dtype: Dtype::I64, shape: vec![] }],
        members,
        values: Vec::new(),
        optimizer: Optimizer { kind, defaults: Vec::new() },
        files: vec!["mlp.py".into()],
        functions,
    }
}

/// [`Mlp`](super::twins::Mlp).
pub(super) fn mlp() -> Graph {
    let linear = |path, inputs, outputs| {
        module(path, ModuleKind::Linear, vec![argument(inputs), argument(outputs)])
    };
    let forward = |function: &mut Function| {
        let x = function.input(0);
        let hidden = function.module(0, x);
        let hidden = function.call(FunctionKind::Relu, &[hidden], vec![]);
        function.module(1, hidden)
    };
    let (mut step, mut predict) = (Function::new(), Function::new());
    let scores = forward(&mut step);
    let classes = step.target(0);
    let loss = step.call(FunctionKind::CrossEntropy, &[scores, classes], vec![]);
    let scores = forward(&mut predict);
    let functions = vec![
        (Role::TrainingStep, step.gives("loss", loss)),
        (Role::Predict, predict.gives("scores", scores)),
    ];
    graph(
        "mlp",
        vec![linear("hidden", 0, 2), linear("output", 2, 1)],
        OptimizerKind::Sgd,
        functions,
    )
}

/// [`Norms`](super::twins::Norms).
pub(super) fn norms() -> Graph {
    let mut first =
        module("first", ModuleKind::Linear, vec![argument(0), argument(2), Attribute::Bool(false)]);
    first.is_frozen = true;
    let scale = MemberKind::Parameter {
        shape: vec![Number::Integer(1)],
        init: Init::Full(Number::Integer(2)),
        is_buffer: false,
    };
    let members = vec![
        first,
        module("norm", ModuleKind::BatchNorm, vec![argument(2), Attribute::None, real(0.25)]),
        module("dropout", ModuleKind::Dropout, vec![real(0.25)]),
        module("last", ModuleKind::Linear, vec![argument(2), argument(1)]),
        Member { path: "scale".into(), kind: scale, is_frozen: false, is_local: false },
    ];
    let scores = |function: &mut Function| {
        let x = function.input(0);
        let x = function.module(0, x);
        let x = function.module(1, x);
        let x = function.call(FunctionKind::Gelu, &[x], vec![]);
        let x = function.module(2, x);
        let x = function.module(3, x);
        let scale = function.value("scale");
        function.call(FunctionKind::Mul, &[x, scale], vec![])
    };
    let mut step = Function::new();
    let given = scores(&mut step);
    let classes = step.target(0);
    let loss = step.call(FunctionKind::CrossEntropy, &[given, classes], vec![]);
    let mut predict = Function::new();
    let given = scores(&mut predict);
    let softmax = predict.call(FunctionKind::Softmax, &[given], vec![size(-1)]);
    let mut metrics = Function::new();
    let given = scores(&mut metrics);
    let best = metrics.call(FunctionKind::Argmax, &[given], vec![size(-1)]);
    let classes = metrics.target(0);
    let right = metrics.call(FunctionKind::Eq, &[best, classes], vec![]);
    let dtype = Attribute::Text("float32".into());
    let right = metrics.call(FunctionKind::To, &[right], vec![dtype]);
    let mean = metrics.call(FunctionKind::Mean, &[right], vec![]);
    let functions = vec![
        (Role::TrainingStep, step.gives("loss", loss)),
        (Role::Predict, predict.gives("scores", softmax)),
        (Role::Metrics, metrics.gives("agreement", mean)),
    ];
    graph("norms", members, OptimizerKind::AdamW, functions)
}

/// The mean of each column, without a gradient.
pub(super) fn means() -> Graph {
    let mean = MemberKind::Parameter {
        shape: vec![Number::Argument(0)],
        init: Init::Full(Number::Integer(0)),
        is_buffer: true,
    };
    let mut statistics = Function::new();
    let x = statistics.input(0);
    let sum = statistics.call(FunctionKind::Sum, &[x], vec![numbers(vec![Number::Integer(0)])]);
    let mut predict = Function::new();
    let x = predict.input(0);
    let mean_of = predict.value("mean");
    let far = predict.call(FunctionKind::Sub, &[x, mean_of], vec![]);
    let functions = vec![
        (Role::Statistics, statistics.gives("mean", sum)),
        (Role::Predict, predict.gives("scores", far)),
    ];
    let member = Member { path: "mean".into(), kind: mean, is_frozen: false, is_local: false };
    let mut graph = graph("means", vec![member], OptimizerKind::Sgd, functions);
    graph.arguments.truncate(1);
    graph
}
