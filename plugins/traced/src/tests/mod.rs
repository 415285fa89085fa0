//! A graph does what its twin in Rust does, bit for bit; and mistakes name the author's lines.

mod builder;
mod twins;

use std::cell::RefCell;
use std::rc::Rc;

use fedwasm_graph::{
    Attribute, Default, FunctionKind, Graph, Init, ModuleKind, Number, OptimizerKind, Value, encode,
};
use fedwasm_sdk::native::{self, Batch, Guest, Memory, Metadata, Report, Slot};
use fedwasm_sdk::{Adapter, PlanError};

use crate::held;
use crate::plan::Plan;
use builder::{Function, numbers, size, size_of};

type Given = Vec<(String, native::Value)>;

/// The arguments of a call: those that are given, and defaults.
fn arguments(metadata: &Metadata, some: &[(&str, native::Value)]) -> Given {
    let value = |argument: &native::Argument| {
        let given = some.iter().find(|(name, _)| *name == argument.name);
        let value = match (given, &argument.default) {
            (Some((_, value)), _) | (None, native::Default::Value(value)) => value.clone(),
            _ => panic!("{} must be given", argument.name),
        };
        (argument.name.clone(), value)
    };
    metadata.arguments.iter().map(value).collect()
}

/// Numbers between -1 and 1 that follow from a seed.
fn draws(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn tensor(shape: &[u64], values: &[f32]) -> native::Tensor {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    native::Tensor { dtype: native::Dtype::Float32, shape: shape.to_vec(), data }
}

fn classes(rows: usize, n: i64, seed: u64) -> native::Tensor {
    let of = |x: &f32| (((x + 1.0) / 2.0 * n as f32) as i64).min(n - 1);
    let data = draws(seed, rows).iter().flat_map(|x| of(x).to_le_bytes()).collect();
    native::Tensor { dtype: native::Dtype::Int64, shape: vec![rows as u64], data }
}

/// Batches of rows of `columns` numbers and a class.
fn batches(n: u64, rows: usize, columns: usize, n_classes: i64, with_targets: bool) -> Vec<Batch> {
    let batch = |index| Batch {
        index,
        rows: rows as u32,
        inputs: vec![(
            "inputs".into(),
            tensor(&[rows as u64, columns as u64], &draws(index + 1, rows * columns)),
        )],
        targets: match with_targets {
            true => vec![("targets".into(), classes(rows, n_classes, index + 100))],
            false => Vec::new(),
        },
    };
    (0..n).map(batch).collect()
}

/// What a plan did.
#[derive(Debug)]
struct Done {
    declared: Vec<(String, Vec<u64>, bool)>,
    initial: Memory,
    trained: Memory,
    reports: Vec<Report>,
    predicted: Memory,
}

/// Calls a plan within a host that has these batches.
fn within<T>(memory: Memory, f: impl FnOnce() -> T) -> (T, Memory) {
    let host = Rc::new(RefCell::new(memory));
    let done = native::with_host(Rc::clone(&host) as _, f);
    let memory = Rc::try_unwrap(host).map_err(drop).unwrap().into_inner();
    (done, memory)
}

/// Draws, trains, validates and predicts.
fn run<G: Guest>(args: &Given, batches: impl Fn(bool) -> Vec<Batch>) -> Result<Done, PlanError> {
    let declared = G::declare(args.clone())?;
    let declared = declared.model.into_iter();
    let declared = declared.map(|spec| (spec.name, spec.shape, spec.trainable)).collect();
    let (done, initial) = within(Memory::new(), || G::init(args.clone()));
    done?;
    let after = |stores: &Memory, with_targets| {
        let mut memory = Memory::new();
        memory.stores.clone_from(&stores.stores);
        memory.batches.extend(batches(with_targets));
        memory
    };
    let (report, trained) = within(after(&initial, true), || G::train(args.clone()));
    let (scores, _) = within(after(&trained, true), || G::validate(args.clone()));
    let (done, predicted) = within(after(&trained, false), || G::predict(args.clone()));
    done?;
    Ok(Done { declared, initial, trained, reports: vec![report?, scores?], predicted })
}

/// Runs a graph.
fn run_graph(
    graph: &Graph,
    some: &[(&str, native::Value)],
    batches: impl Fn(bool) -> Vec<Batch>,
) -> Result<Done, PlanError> {
    held::hold(encode(graph).into());
    let args = arguments(&Adapter::<Plan>::describe(), some);
    run::<Adapter<Plan>>(&args, batches)
}

fn assert_same(graph: &Done, twin: &Done) {
    assert_eq!(graph.declared, twin.declared);
    assert_eq!(graph.initial.stores, twin.initial.stores);
    assert_eq!(graph.trained.stores, twin.trained.stores);
    assert_ne!(graph.initial.stores, graph.trained.stores);
    assert_eq!(format!("{:?}", graph.reports), format!("{:?}", twin.reports));
    assert_eq!(graph.trained.reported, twin.trained.reported);
    let scores = |done: &Done| {
        let emitted = done.predicted.emitted.iter();
        emitted.map(|(index, scores)| (*index, scores.data.clone())).collect::<Vec<_>>()
    };
    assert_eq!(scores(graph), scores(twin));
    assert!(!scores(graph).is_empty());
}

fn integer(name: &str, value: i64) -> (&str, native::Value) {
    (name, native::Value::Integer(value))
}

#[test]
fn a_graph_does_what_its_twin_does() {
    let some = [
        integer("model.n_features", 5),
        integer("model.n_classes", 3),
        ("optimizer.momentum", native::Value::Real(0.5)),
    ];
    let batches = |with_targets| batches(7, 8, 5, 3, with_targets);
    let graph = run_graph(&builder::mlp(), &some, batches).unwrap();
    let args = arguments(&Adapter::<twins::Mlp>::describe(), &some);
    assert_same(&graph, &run::<Adapter<twins::Mlp>>(&args, batches).unwrap());
}

#[test]
fn what_a_graph_announces_is_what_its_twin_announces() {
    held::hold(encode(&builder::mlp()).into());
    let (graph, twin) = (Adapter::<Plan>::describe(), Adapter::<twins::Mlp>::describe());
    assert_eq!(format!("{graph:?}"), format!("{twin:?}"));
}

#[test]
fn optimizers_have_the_arguments_of_the_table() {
    for kind in OptimizerKind::ALL {
        let mut graph = builder::mlp();
        graph.optimizer.kind = *kind;
        graph.optimizer.defaults.clear();
        held::hold(encode(&graph).into());
        let metadata = Adapter::<Plan>::describe();
        let announced = metadata.arguments.iter();
        let mut announced: Vec<&str> =
            announced.filter_map(|one| one.name.strip_prefix("optimizer.")).collect();
        let mut known: Vec<&str> = kind.arguments().map(|(name, _)| name).collect();
        announced.sort_unstable();
        known.sort_unstable();
        assert_eq!(announced, known, "{kind:?}");
    }
}

#[test]
fn a_graph_that_remembers_and_measures_does_what_its_twin_does() {
    let some = [integer("model.n_features", 4), integer("model.n_classes", 2)];
    let batches = |with_targets| batches(5, 6, 4, 2, with_targets);
    let graph = run_graph(&builder::norms(), &some, batches).unwrap();
    let args = arguments(&Adapter::<twins::Norms>::describe(), &some);
    let twin = run::<Adapter<twins::Norms>>(&args, batches).unwrap();
    assert_same(&graph, &twin);
    let names: Vec<&str> = graph.reports[1].metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["agreement", "loss"]);
}

#[test]
fn initial_values_take_the_place_of_draws_and_change_no_other() {
    let some = [integer("model.n_features", 5), integer("model.n_classes", 3)];
    let batches = |with_targets| batches(1, 4, 5, 3, with_targets);
    let mut graph = builder::mlp();
    let drawn = run_graph(&graph, &some, batches).unwrap();
    let value: Vec<u8> = [1.5f32, -2.0, 0.25].iter().flat_map(|x| x.to_le_bytes()).collect();
    graph.values = vec![("output.bias".into(), value.clone())];
    let given = run_graph(&graph, &some, batches).unwrap();
    for index in 0..3 {
        let key = (Slot::Model, index);
        assert_eq!(given.initial.stores[&key], drawn.initial.stores[&key]);
    }
    assert_eq!(given.initial.stores[&(Slot::Model, 3)], value);
    graph.values[0].1.truncate(8);
    let text = run_graph(&graph, &some, batches).unwrap_err().to_string();
    assert!(text.contains("`output.bias` of shape [3] has 2 numbers"), "{text}");
    graph.values[0].0 = "output.weights".into();
    let text = run_graph(&graph, &some, batches).unwrap_err().to_string();
    assert!(text.contains("there is no parameter `output.weights`, only hidden.weight"), "{text}");
}

#[test]
fn statistics_are_means_over_all_rows() {
    let some = [integer("model.n_features", 3)];
    let batches = |with_targets| batches(4, 5, 3, 2, with_targets);
    let done = run_graph(&builder::means(), &some, batches).unwrap();
    // In float64, batch by batch, as the runtime adds.
    let mut sums = [0.0f64; 3];
    for batch in 0..4 {
        let rows = draws(batch + 1, 15);
        for (column, sum) in sums.iter_mut().enumerate() {
            let of_batch: Vec<f32> = rows.iter().skip(column).step_by(3).copied().collect();
            *sum += f64::from(of_batch.iter().sum::<f32>());
        }
    }
    let got = &done.trained.stores[&(Slot::Model, 0)];
    for (bytes, sum) in got.as_chunks::<4>().0.iter().zip(sums) {
        let (got, wanted) = (f32::from_le_bytes(*bytes), sum / 20.0);
        assert!((f64::from(got) - wanted).abs() < 1e-6, "{got}, not {wanted}");
    }
    let report = &done.reports[0];
    assert_eq!((report.steps, report.rows), (4, 20));
    // No step of an optimizer: nothing of one is announced, reported, or corrected by an aggregator.
    assert!(report.metrics.iter().all(|(name, _)| !name.starts_with("optimizer.")));
    let announced = Adapter::<Plan>::describe().arguments;
    let announced = announced.iter().map(|argument| argument.name.as_str());
    assert_eq!(announced.collect::<Vec<_>>(), ["model.n_features"]);
}

/// What a changed graph says is wrong.
fn mistake(change: impl FnOnce(&mut Graph)) -> String {
    let some = [integer("model.n_features", 5), integer("model.n_classes", 3)];
    let mut graph = builder::mlp();
    change(&mut graph);
    run_graph(&graph, &some, |targets| batches(1, 4, 5, 3, targets)).unwrap_err().to_string()
}

#[test]
fn mistakes_name_the_line_of_the_author() {
    use FunctionKind as F;
    let step = |graph: &mut Graph, change: &dyn Fn(&mut fedwasm_graph::Function)| {
        change(&mut graph.functions[0].1);
    };
    let text = mistake(|graph| {
        step(graph, &|function| function.nodes[2].attributes.clear());
        step(graph, &|function| function.nodes[3].inputs = vec![0]);
    });
    assert!(text.contains("mlp.py:14: in `output`: linear of f32 [4, 5], f32 [3, 128]"), "{text}");
    let text = mistake(|graph| graph.arguments[2].default = Default::Value(Value::Integer(0)));
    assert!(text.contains("not size"), "{text}");
    // A size that overflows, and one that is not there.
    let text = mistake(|graph| {
        let huge = Number::Integer(i64::MAX);
        let twice = Number::Binary(fedwasm_graph::Binary::Mul, huge.clone().into(), huge.into());
        step(graph, &|function| {
            let shape = Attribute::Numbers(vec![twice.clone()]);
            function.nodes[2].call = fedwasm_graph::Call::Function(F::Expand);
            function.nodes[2].attributes = vec![shape];
        });
    });
    assert!(text.contains("mlp.py:13: ") && text.contains("is not a whole number"), "{text}");
    let text = mistake(|graph| {
        step(graph, &|function| {
            function.nodes[2].call = fedwasm_graph::Call::Function(F::Softmax);
            function.nodes[2].attributes = vec![Attribute::Number(Number::Size(1, 7))];
        });
    });
    assert!(text.contains("mlp.py:13: what node 1 gives has no axis 7"), "{text}");
    let text = mistake(|graph| {
        let huge = vec![size(1 << 40), size(1 << 40)];
        graph.members[0] = builder::module("hidden", ModuleKind::Linear, huge);
    });
    assert!(text.contains("in `hidden`: a parameter of shape"), "{text}");
    let text = mistake(|graph| graph.members.swap(0, 1));
    assert!(text.contains("mlp.py:12: in `output`: linear of"), "{text}");
    let text = mistake(|graph| {
        step(graph, &|function| {
            function.nodes[0].call = fedwasm_graph::Call::Value("hidden.weights".into());
        });
    });
    assert!(text.contains("node 0 of training_step: there is no parameter"), "{text}");
    let text = mistake(|graph| graph.functions[0].1.nodes[3].inputs[0] = 3);
    assert!(text.contains("input 3 is not an earlier node"), "{text}");
}

#[test]
fn sizes_of_tensors_are_numbers() {
    let some = [integer("model.n_features", 6)];
    let batches = |with_targets| batches(3, 4, 6, 2, with_targets);
    let mut graph = builder::means();
    // Scores: the first half of the columns, of [rows, columns] whatever these are.
    let mut predict = Function::new();
    let x = predict.input(0);
    let half = Number::Binary(
        fedwasm_graph::Binary::FloorDiv,
        size_of(x, -1).into(),
        Number::Integer(2).into(),
    );
    let attributes = vec![size(1), size(0), Attribute::Number(half)];
    let left = predict.call(FunctionKind::Slice, &[x], attributes);
    let rows = numbers(vec![size_of(x, 0), Number::Integer(3)]);
    let same = predict.call(FunctionKind::Reshape, &[left], vec![rows]);
    graph.functions[1].1 = predict.gives("scores", same);
    let done = run_graph(&graph, &some, batches).unwrap();
    assert_eq!(done.predicted.emitted.len(), 3);
    for (index, scores) in &done.predicted.emitted {
        let rows = draws(index + 1, 24);
        let wanted: Vec<u8> =
            rows.chunks(6).flat_map(|row| &row[..3]).flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!((&scores.shape[..], &scores.data), (&[4, 3][..], &wanted));
    }
}

#[test]
fn a_parameter_starts_from_what_the_graph_says() {
    let mut graph = builder::means();
    let parameter = |path: &str, init| {
        let shape = vec![Number::Integer(1000)];
        let kind = fedwasm_graph::MemberKind::Parameter { shape, init, is_buffer: false };
        fedwasm_graph::Member { path: path.into(), kind, is_frozen: false, is_local: true }
    };
    let half = || Number::Real(0.5);
    graph.members.push(parameter("full", Init::Full(half())));
    graph.members.push(parameter("uniform", Init::Uniform(half())));
    graph.members.push(parameter("normal", Init::Normal(half())));
    let some = [integer("model.n_features", 3)];
    let done = run_graph(&graph, &some, |targets| batches(1, 4, 3, 2, targets)).unwrap();
    let floats = |index| -> Vec<f32> {
        let bytes = &done.initial.stores[&(Slot::Model, index)];
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    assert_eq!(floats(1), [0.5; 1000]);
    let (uniform, normal) = (floats(2), floats(3));
    assert!(uniform.iter().all(|x| x.abs() <= 0.5) && uniform.iter().any(|x| x.abs() > 0.4));
    let square = |all: &[f32]| all.iter().map(|x| x * x).sum::<f32>() / all.len() as f32;
    assert!((square(&uniform) - 0.25 / 3.0).abs() < 0.01, "{}", square(&uniform));
    assert!((square(&normal) - 0.25).abs() < 0.03, "{}", square(&normal));
}

#[test]
fn a_runtime_without_a_graph_says_so() {
    let error = Adapter::<Plan>::declare(Vec::new()).map(drop).unwrap_err();
    assert!(matches!(&error, PlanError::Unsupported(text) if text.contains("holds no graph")));
    assert_eq!(Adapter::<Plan>::describe().name, "traced");
}
