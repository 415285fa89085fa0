//! What is not a graph is an error that says why.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;

/// The rule that a changed graph breaks.
fn refused(change: impl FnOnce(&mut Graph)) -> String {
    let mut graph = mlp();
    change(&mut graph);
    let _ = graph.text().to_string();
    graph.check().unwrap_err().to_string()
}

fn step(graph: &mut Graph) -> &mut Function {
    &mut graph.functions[0].1
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    use FunctionKind as F;
    let refusals: Vec<(String, &str)> = vec![
        (refused(|g| g.name = "Mlp".into()), "the plan's name: a name is of a-z"),
        (refused(|g| g.version = String::new()), "the plan's version"),
        (refused(|g| g.inputs.clear()), "inputs: a plan has at least one"),
        (refused(|g| g.arguments[1].name = "n_features".into()), "name is that of another"),
        (refused(|g| g.arguments[1].name = "2".into()), "its name begins with a letter"),
        (refused(|g| g.task = Task::Other("regression".into())), "that of a standard one"),
        (refused(|g| g.arguments[2].default = Default::Value(Value::Integer(0))), "not size"),
        (refused(|g| g.inputs[0].shape[0] = Number::Argument(9)), "argument 9 of 3"),
        (refused(|g| g.inputs[0].shape[0] = Number::Real(2.0)), "must be whole"),
        (refused(|g| g.inputs[0].shape[0] = Number::Size(0, 0)), "in functions only"),
        (refused(|g| g.members[1].path = "hidden".into()), "there are two of this path"),
        (refused(|g| g.members[1].path = "a..b".into()), "a path is names"),
        (refused(|g| g.functions.remove(0).1.nodes.clear()), "training_step or statistics"),
        (refused(|g| g.functions[1].0 = Role::TrainingStep), "it is there twice"),
        (refused(|g| step(g).nodes[1].inputs = vec![1]), "input 1 is not an earlier node"),
        (refused(|g| step(g).nodes[1].inputs = vec![u32::MAX]), "not an earlier node"),
        (refused(|g| step(g).nodes[1].inputs.clear()), "Linear takes 1 tensors, not 0"),
        (refused(|g| step(g).nodes[1].call = Call::Module(7)), "member 7, and there are 2"),
        (refused(|g| step(g).nodes[0].call = Call::Input(3)), "input 3, and there are 1"),
        (refused(|g| step(g).nodes[5].attributes = vec![Attribute::Bool(true)]), "ignore_index"),
        (refused(|g| g.functions[1].1.nodes[0].call = Call::Target(0)), "has no targets"),
        (refused(|g| step(g).nodes[0].place = Some(Place { file: 4, line: 1 })), "file 4 of 1"),
        (refused(|g| step(g).outputs[0].1 = 6), "node 6, and there are 6"),
        (refused(|g| step(g).outputs.clear()), "there is one, not 0"),
        (refused(|g| step(g).nodes[2] = function(F::Add, &[1], vec![])), "1 tensors and 0 numbers"),
        (refused(|g| step(g).nodes[2] = function(F::Softmax, &[1], vec![])), "it must be given"),
        (
            refused(|g| {
                let size = Attribute::Number(Number::Size(2, 0));
                step(g).nodes[2] = function(F::Softmax, &[1], vec![size]);
            }),
            "node 2, and there are 2",
        ),
        (refused(|g| step(g).nodes[2] = node(Call::Output(1), &[1])), "output 1, of 1"),
        (refused(|g| g.values[0].1.pop().map(drop).unwrap()), "are no float32 numbers"),
        (refused(|g| g.optimizer.defaults[0].0 = "beta1".into()), "sgd has no argument `beta1`"),
        (refused(|g| g.optimizer.defaults[0].1 = Value::Text("x".into())), "not real"),
    ];
    for (refusal, rule) in refusals {
        assert!(refusal.contains(rule), "{refusal}, not {rule}");
    }
}

/// The rule that bytes break.
fn malformed(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

#[test]
fn bytes_that_are_not_a_graph_are_refused() {
    let bytes = encode(&mlp());
    for len in 0..bytes.len() {
        malformed(&bytes[..len]);
    }
    assert!(malformed(&[&bytes[..], &[0]].concat()).contains("there are more bytes"));
    assert!(malformed(&[2]).contains("version"));
    // Any byte another one: never a panic, and what is read is written as it was.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(graph) = decode(&bytes) {
                assert_eq!(encode(&graph), bytes);
                let _ = (graph.check(), graph.text().to_string(), graph.counts());
                let _ = graph.facts().to_string();
            }
        }
    }
}

#[test]
fn lengths_are_bounded_before_they_take_memory() {
    let mut graph = mlp();
    graph.inputs[0].shape[0] = deep(31);
    assert_eq!(decode(&encode(&graph)).unwrap(), graph);
    graph.inputs[0].shape[0] = deep(32);
    assert!(malformed(&encode(&graph)).contains("32 deep"));
    let mut graph = mlp();
    graph.files = vec!["x".repeat(257)];
    assert!(malformed(&encode(&graph)).contains("a text is at most 256 bytes"));
    // A list of 2^31 nodes.
    let graph = Graph { functions: Vec::new(), values: Vec::new(), ..mlp() };
    let mut bytes = encode(&graph);
    let functions = bytes.len() - 2;
    bytes.truncate(functions);
    bytes.extend([1, 0, 0x80, 0x80, 0x80, 0x80, 0x08]);
    assert!(malformed(&bytes).contains("longer than any of its kind"));
    // Within bounds, and not there.
    bytes.truncate(functions);
    bytes.extend([1, 0, 0xff, 0xff, 0x03]);
    assert!(malformed(&bytes).contains("the bytes end within the graph"));
    let zeros = vec![Attribute::None; 64];
    let mut graph = mlp();
    step(&mut graph).nodes = vec![function(FunctionKind::Relu, &[], zeros); 10_000];
    assert!(malformed(&encode(&graph)).contains("2^19 parts"));
    let mut graph = mlp();
    let kind = Some("x".repeat(250));
    step(&mut graph).nodes = vec![Node { kind, ..node(Call::Input(0), &[]) }; 5000];
    assert!(malformed(&encode(&graph)).contains("at most 1 MiB"));
}

#[test]
fn numbers_in_longer_forms_and_nan_are_refused() {
    let bytes = encode(&mlp());
    let longer = [&[1, 0x83, 0][..], &bytes[2..]].concat();
    assert!(malformed(&longer).contains("shortest form"));
    let mut graph = mlp();
    graph.optimizer.defaults[0].1 = Value::Real(f64::NAN);
    assert!(malformed(&encode(&graph)).contains("not NaN"));
    let most = [&[1][..], &[0xff; 9], &[2]].concat();
    assert!(malformed(&most).contains("64 bits"));
}

#[test]
fn names_in_refusals_move_no_cursor() {
    let error = refused(|graph| graph.members[0].path = "a\u{1b}[2J\n".into());
    assert!(error.contains("member `a\\u{1b}[2J\\n`"), "{error}");
}

#[test]
fn what_the_author_wrote_moves_no_cursor() {
    let mut graph = mlp();
    graph.doc = "\u{1b}[2J\u{202e}x\ny".to_owned();
    step(&mut graph).nodes[0].kind = Some("a\r\n  %9 = b".into());
    let text = graph.text().to_string();
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text}");
    assert!(text.contains("traced: a\\r\\n  %9 = b"), "{text}");
}

/// What stands behind ` ; ` is the author's word, and does not count when versions are compared.
#[test]
fn texts_that_run_hide_nothing() {
    let mut graph = mlp();
    graph.task = Task::Other("a ; b".into());
    let mut name = argument("name", Default::Value(Value::Text("x\", frozen ; \\".into())));
    name.kind = ArgumentKind::Text;
    graph.arguments.push(name);
    graph.check().unwrap();
    let text = graph.text().to_string();
    assert!(text.starts_with("plan mlp 0.1.0: a \\u{3b} b\n"), "{text}");
    assert!(text.contains("name: text = \"x\\u{22}, frozen \\u{3b} \\u{5c}\""), "{text}");
}
