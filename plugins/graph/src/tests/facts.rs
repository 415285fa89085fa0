//! What is sure of graphs, and what is not said to be.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;

fn integer(value: i64) -> Attribute {
    Attribute::Number(Number::Integer(value))
}

fn integers(values: &[i64]) -> Attribute {
    Attribute::Numbers(values.iter().map(|value| Number::Integer(*value)).collect())
}

/// A plan whose inputs are `[rows, 4]` and `[rows, 3, 8]`, and that predicts by these calls.
fn predicts(mut nodes: Vec<Node>) -> Graph {
    let of = |name: &str, sizes: &[i64]| Data {
        name: name.into(),
        dtype: Dtype::F32,
        shape: sizes.iter().map(|size| Number::Integer(*size)).collect(),
    };
    let last = nodes.len() as u32 + 1;
    let inputs = [node(Call::Input(0), &[]), node(Call::Input(1), &[])];
    nodes.splice(0..0, inputs);
    let mut graph = mlp();
    graph.inputs = vec![of("flat", &[4]), of("deep", &[3, 8])];
    let weight = |path: &str, sizes: &[i64]| Member {
        path: path.into(),
        kind: MemberKind::Parameter {
            shape: sizes.iter().map(|size| Number::Integer(*size)).collect(),
            init: Init::Full(Number::Integer(0)),
            is_buffer: false,
        },
        is_frozen: false,
        is_local: false,
    };
    graph.members.push(weight("w4", &[4]));
    graph.members.push(weight("w45", &[4, 5]));
    graph.members.push(weight("w343", &[3, 4, 3]));
    graph.members.push(module("norm", ModuleKind::BatchNorm, vec![integer(4)]));
    graph.members.push(module("lstm", ModuleKind::Lstm, vec![integer(8), integer(5)]));
    graph.members.push(module("ln", ModuleKind::LayerNorm, vec![integers(&[4])]));
    graph.members.push(module("drop", ModuleKind::Dropout, vec![]));
    let outputs = vec![("scores".into(), last)];
    graph.functions[1].1 = Function { nodes, outputs };
    // The other function is of the first input, too.
    graph.check().unwrap();
    graph
}

fn prediction(graph: &Graph) -> OutputFacts {
    let facts = graph.facts();
    let predict = facts.functions.into_iter().find(|function| function.role == Role::Predict);
    predict.unwrap().outputs.remove(0)
}

/// Whether rows of the last call are apart; node 0 is [rows, 4], node 1 [rows, 3, 8].
fn apart(nodes: Vec<Node>) -> bool {
    prediction(&predicts(nodes)).rows_are_apart
}

fn f(kind: FunctionKind, inputs: &[NodeId], attributes: Vec<Attribute>) -> Node {
    function(kind, inputs, attributes)
}

fn value(name: &str) -> Node {
    node(Call::Value(name.into()), &[])
}

fn size(node: NodeId, axis: i8) -> Number {
    Number::Size(node, axis)
}

#[test]
fn rows_are_apart_where_each_call_keeps_them_so() {
    use FunctionKind as F;
    let rows_and = |others: &[i64]| {
        let others = others.iter().map(|size| Number::Integer(*size));
        Attribute::Numbers([size(0, 0)].into_iter().chain(others).collect())
    };
    let apart_ones: Vec<Vec<Node>> = vec![
        vec![f(F::Relu, &[0], vec![])],
        vec![f(F::Add, &[0], vec![Attribute::None, integer(3)])],
        vec![value("w4"), f(F::Mul, &[0, 2], vec![])],
        vec![value("w45"), f(F::Matmul, &[0, 2], vec![])],
        vec![value("w4"), f(F::Matmul, &[0, 2], vec![])],
        vec![f(F::Sum, &[1], vec![integers(&[-1, 1])])],
        vec![f(F::Mean, &[1], vec![integers(&[2]), Attribute::Bool(true)])],
        vec![f(F::Softmax, &[0], vec![integer(-1)])],
        vec![f(F::Argmax, &[0], vec![integer(1)])],
        vec![f(F::Flatten, &[1], vec![integer(1)])],
        vec![f(F::Reshape, &[1], vec![rows_and(&[-1])])],
        vec![f(F::Reshape, &[1], vec![integers(&[-1, 24])])],
        vec![f(F::Reshape, &[1], vec![integers(&[-1, 2, 12])])],
        // There and back.
        vec![
            f(F::Transpose, &[1], vec![integer(0), integer(1)]),
            f(F::Relu, &[2], vec![]),
            f(F::Permute, &[3], vec![integers(&[1, 2, 0])]),
            f(F::Transpose, &[4], vec![integer(0), integer(2)]),
            f(F::Sum, &[5], vec![integers(&[0, 1])]),
        ],
        // The last hidden state of a recurrent layer, [layers, rows, units].
        vec![
            node(Call::Module(6), &[1]),
            node(Call::Output(1), &[2]),
            f(F::Select, &[3], vec![integer(0), integer(0)]),
        ],
        vec![node(Call::Module(7), &[0])],
        vec![node(Call::Module(5), &[0])],
        vec![f(F::Zeros, &[], vec![rows_and(&[4])]), f(F::Cat, &[0, 2], vec![integer(1)])],
        vec![f(F::Unsqueeze, &[0], vec![integer(1)]), f(F::Mul, &[1], vec![integer(2)])],
        vec![f(F::Matmul, &[1, 2], vec![])].into_iter().fold(
            vec![f(F::Transpose, &[1], vec![integer(1), integer(2)])],
            |mut nodes, node| {
                nodes.push(node);
                nodes
            },
        ),
        vec![f(F::ScaledDotProductAttention, &[1, 1, 1], vec![])],
        vec![f(F::Split, &[0], vec![integers(&[1, 3]), integer(1)]), node(Call::Output(1), &[2])],
        vec![value("w4"), value("w4"), f(F::Add, &[2, 3], vec![])],
    ];
    for (nth, nodes) in apart_ones.into_iter().enumerate() {
        assert!(apart(nodes), "case {nth}");
    }
}

// long: a line for each way to mix rows
#[test]
fn what_may_mix_rows_is_not_said_to_keep_them_apart() {
    use FunctionKind as F;
    let numbers = |all: Vec<Number>| Attribute::Numbers(all);
    let half = || Number::Binary(Binary::FloorDiv, size(0, 0).into(), Number::Integer(2).into());
    let mixed: Vec<Vec<Node>> = vec![
        vec![f(F::Sum, &[0], vec![])],
        vec![f(F::Sum, &[0], vec![integers(&[0])])],
        vec![f(F::Sum, &[0], vec![integers(&[-2])])],
        vec![
            f(F::Mean, &[0], vec![integers(&[0]), Attribute::Bool(true)]),
            f(F::Sub, &[0, 2], vec![]),
        ],
        vec![f(F::Softmax, &[0], vec![integer(0)])],
        vec![f(F::Softmax, &[0], vec![integer(-2)])],
        // [rows] along the last axis.
        vec![
            f(F::Select, &[0], vec![integer(1), integer(0)]),
            f(F::Softmax, &[2], vec![integer(-1)]),
        ],
        // [rows] beside [rows, 4]: for 4 rows it is broadcast the wrong way.
        vec![f(F::Select, &[0], vec![integer(1), integer(0)]), f(F::Add, &[0, 2], vec![])],
        vec![f(F::Transpose, &[0], vec![integer(0), integer(1)])],
        vec![f(F::Transpose, &[0], vec![integer(0), integer(1)]), f(F::Matmul, &[0, 2], vec![])],
        vec![f(F::Flatten, &[0], vec![])],
        vec![f(F::Reshape, &[1], vec![integers(&[-1, 8])])],
        vec![f(F::Reshape, &[1], vec![integers(&[-1, 48])])],
        vec![f(F::Reshape, &[0], vec![numbers(vec![half(), Number::Integer(8)])])],
        // As many rows as there are, but of other elements.
        vec![
            f(F::Transpose, &[0], vec![integer(0), integer(1)]),
            f(F::Reshape, &[2], vec![numbers(vec![size(0, 0), Number::Integer(4)])]),
        ],
        vec![f(F::Slice, &[0], vec![integer(0), integer(0), integer(1)])],
        vec![f(F::Select, &[0], vec![integer(0), integer(0)]), f(F::Add, &[0, 2], vec![])],
        vec![f(F::Cat, &[0, 0], vec![integer(0)])],
        vec![f(F::Cat, &[0, 0], vec![integer(-2)])],
        vec![f(F::Stack, &[0, 0], vec![integer(0)])],
        vec![f(F::Pad, &[0], vec![integers(&[1, 1, 0, 0])])],
        vec![f(F::ScaledDotProductAttention, &[0, 0, 0], vec![])],
        // The number of rows is of all of them.
        vec![f(F::Mul, &[0], vec![Attribute::None, Attribute::Number(size(0, 0))])],
        vec![f(F::Zeros, &[], vec![numbers(vec![half(), Number::Integer(4)])])],
        vec![
            f(F::Arange, &[], vec![Attribute::Number(size(0, 0))]),
            f(F::Sum, &[2], vec![]),
            f(F::Mul, &[0, 3], vec![]),
        ],
        // A matrix that permutes the rows.
        vec![
            f(F::Arange, &[], vec![Attribute::Number(size(0, 0))]),
            f(F::Unsqueeze, &[2], vec![integer(1)]),
            f(F::Eq, &[2, 3], vec![]),
            f(F::To, &[4], vec![Attribute::Text("float32".into())]),
            f(F::Matmul, &[5, 0], vec![]),
        ],
        // Indices over rows, and a parameter that is as long as the batch.
        vec![f(F::Argmax, &[0], vec![integer(0)])],
        vec![value("w45"), f(F::Matmul, &[2, 0], vec![])],
        vec![
            f(F::To, &[0], vec![Attribute::Text("int64".into())]),
            f(F::Gather, &[0, 2], vec![integer(0)]),
        ],
        vec![
            f(F::To, &[0], vec![Attribute::Text("int64".into())]),
            f(F::Embedding, &[0, 2], vec![]),
        ],
        vec![node(Call::Module(6), &[1]), node(Call::Output(1), &[2])],
        vec![f(F::CrossEntropy, &[0, 0], vec![])],
        vec![f(F::Linear, &[0, 0], vec![])],
    ];
    for (nth, nodes) in mixed.into_iter().enumerate() {
        assert!(!apart(nodes), "case {nth}");
    }
}

#[test]
fn inputs_and_targets_that_reach_are_named() {
    let graph = predicts(vec![function(FunctionKind::Relu, &[1], vec![])]);
    assert_eq!(prediction(&graph).inputs, ["deep"]);
    // By its size alone.
    let shape = Attribute::Numbers(vec![Number::Size(1, 0), Number::Integer(2)]);
    let graph = predicts(vec![function(FunctionKind::Zeros, &[], vec![shape])]);
    assert_eq!(prediction(&graph).inputs, ["deep"]);
    let step = mlp().facts().functions.remove(0).outputs.remove(0);
    assert_eq!((step.inputs, step.targets), (vec!["inputs".to_string()], vec!["targets".into()]));
    assert_eq!(step.rows_meet_at, ["%5 = cross_entropy(%3, %4)"]);
}

#[test]
fn batch_normalisation_mixes_rows_in_training_alone() {
    let mut graph = predicts(vec![node(Call::Module(5), &[0])]);
    let predict = graph.functions[1].1.clone();
    assert!(prediction(&graph).rows_are_apart);
    let step = Function { outputs: vec![("loss".into(), 2)], ..predict };
    graph.functions[0].1 = step;
    let facts = graph.facts();
    assert!(!facts.functions[0].outputs[0].rows_are_apart);
    let moves = |path: &str, facts: &Facts| -> Vec<Moves> {
        let of = facts.parameters.iter().filter(|(known, _)| known == path);
        of.map(|(_, moves)| *moves).collect()
    };
    assert_eq!(moves("norm", &facts), [Moves::Gradients, Moves::Statistics]);
    assert_eq!(moves("hidden", &facts), [Moves::Corrections]);
    // Frozen, it computes as in prediction.
    graph.members[5].is_frozen = true;
    let facts = graph.facts();
    assert!(facts.functions[0].outputs[0].rows_are_apart);
    assert_eq!(moves("norm", &facts), [Moves::Nothing]);
    // Not used, it moves all the same.
    graph.members[5].is_frozen = false;
    graph.functions[0].1.outputs[0].1 = 0;
    assert_eq!(moves("norm", &graph.facts()), [Moves::Statistics]);
}

#[test]
fn gradients_do_not_pass_what_is_detached() {
    let mut graph = mlp();
    graph.functions[0].1.nodes[2] = function(FunctionKind::Detach, &[1], vec![]);
    let facts = graph.facts();
    assert_eq!(facts.parameters[0], ("hidden".into(), Moves::Corrections));
    assert_eq!(facts.parameters[1], ("output".into(), Moves::Gradients));
}

#[test]
fn chance_is_said_where_it_acts() {
    let mut graph = predicts(vec![node(Call::Module(8), &[0])]);
    assert_eq!(graph.facts().functions[1].draws, [] as [String; 0]);
    let draws = function(FunctionKind::RandnLike, &[2], vec![]);
    graph.functions[1].1.nodes.push(draws);
    assert_eq!(graph.facts().functions[1].draws, ["randn_like"]);
    graph.functions[0].1 = Function {
        nodes: vec![node(Call::Input(0), &[]), node(Call::Module(8), &[0])],
        outputs: vec![("loss".into(), 1)],
    };
    assert_eq!(graph.facts().functions[0].draws, ["drop (Dropout)"]);
}

#[test]
fn a_member_is_not_taken_for_a_function() {
    let mut graph = mlp();
    graph.members[0].path = "relu".into();
    let text = graph.text().to_string();
    assert!(text.contains("%1 = self.relu(%0)") && text.contains("%2 = relu(%1)"), "{text}");
}

#[test]
fn text_and_facts_of_an_mlp_read_so() {
    let graph = mlp();
    let text = graph.text().to_string();
    for line in [
        "plan mlp 0.1.0: classification",
        "  hidden: size = 128",
        "  inputs: float32 [rows, model.n_features]",
        "  output = Linear(in_features=model.hidden, out_features=model.n_classes)",
        "  output.bias: 2 numbers",
        "  lr = 0.05",
        "  return loss = %5",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
    }
    let facts = graph.facts().to_string();
    let wanted = "\
training_step: loss follows from input inputs and target targets
training_step: loss may mix rows, which meet first at
  %5 = cross_entropy(%3, %4)
training_step: draws no random numbers
predict: scores follows from input inputs and no targets
predict: row i of scores follows from row i of the batch alone
predict: targets cannot reach it
predict: draws no random numbers
moved by gradients of the loss: hidden, output
";
    assert_eq!(facts, wanted);
    assert_eq!(graph.counts(), [("Linear", 4), ("relu", 2), ("cross_entropy", 1)]);
}

/// Running statistics that a call of the same function has moved follow from its rows.
#[test]
fn running_statistics_are_not_read_after_they_were_moved() {
    let with = |role, nodes: &[Node]| {
        let mut graph = predicts(vec![node(Call::Module(5), &[0])]);
        let nodes = [&[node(Call::Input(0), &[])], nodes].concat();
        let outputs = vec![("w4".into(), nodes.len() as u32 - 1)];
        graph.functions[0] = (role, Function { nodes, outputs });
        graph.check().map_err(|refusal| refusal.to_string())
    };
    let (norm, mean) = (node(Call::Module(5), &[0]), value("norm.running_mean"));
    let after = with(Role::TrainingStep, &[norm.clone(), mean.clone()]).unwrap_err();
    assert!(after.contains("`norm.running_mean` is read after a call that moves it"), "{after}");
    assert_eq!(with(Role::TrainingStep, &[mean.clone(), norm.clone()]), Ok(()));
    assert_eq!(with(Role::TrainingStep, &[norm.clone(), value("norm.weight")]), Ok(()));
    let in_sums = with(Role::Statistics, &[norm, mean]).unwrap_err();
    assert!(in_sums.contains("it moves running statistics"), "{in_sums}");
}

/// Layers on fewer axes than they take go along the axis of rows.
#[test]
fn described_layers_keep_rows_apart_on_rows_of_their_axes_alone() {
    let described = |inputs: &[i64]| {
        let layers = Attribute::Argument(3);
        let mut graph = predicts(vec![value("w4")]);
        graph.functions[1].1.nodes[2] = node(Call::Module(9), &[0]);
        let mut layers_of = argument("layers", Default::Required);
        layers_of.kind = ArgumentKind::Texts;
        graph.arguments.push(layers_of);
        graph.members.push(module("net", ModuleKind::Described, vec![integers(inputs), layers]));
        graph.check().unwrap();
        prediction(&graph).rows_are_apart
    };
    assert!(described(&[4]));
    assert!(!described(&[]) && !described(&[2, 2]));
}

#[test]
fn repeating_a_parameter_for_each_row_counts_the_rows() {
    use FunctionKind as F;
    let repeated =
        f(F::Expand, &[2], vec![Attribute::Numbers(vec![size(0, 0), Number::Integer(4)])]);
    let sum = f(F::Sum, &[3], vec![integers(&[0])]);
    assert!(apart(vec![value("w4"), repeated.clone()]));
    assert!(!apart(vec![value("w4"), repeated.clone(), sum.clone(), f(F::Mul, &[0, 4], vec![])]));
    let reshaped =
        f(F::Reshape, &[2], vec![Attribute::Numbers(vec![size(0, 0), Number::Integer(-1)])]);
    assert!(!apart(vec![value("w4"), reshaped]));
}
