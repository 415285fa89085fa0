//! Traced graphs against sessions, bit for bit, and operations as bytes.

extern crate std;

use std::vec::Vec;

use super::{BYTES, Random, hostile};
use crate::compose::*;
use crate::op::{Binary, Reduce, Reduction, Unary};
use crate::{Apply, Dtype, Graph, Id, Kind, Mistake, Op, Rule, Session, Shape, Tensor};

fn kind(dtype: Dtype, sizes: &[usize]) -> Kind {
    Kind { dtype, shape: Shape::new(sizes).unwrap() }
}

/// A net with a shared weight, wherever tensors live: inputs x, w, classes.
fn net(apply: &mut dyn Apply, [x, w, classes]: [Id; 3]) -> Result<Id, Mistake> {
    let mut y = x;
    for _ in 0..3 {
        let z = linear(apply, y, w, None)?;
        let z = layer_norm(apply, z, 1, None, None, 1e-5)?;
        let z = unary(apply, Unary::Gelu, z)?;
        y = binary(apply, Binary::Add, y, z)?;
    }
    let spread = variance(apply, y, &[1], true, false)?;
    let spread = reduce_all(apply, Reduce::Mean, spread)?;
    let loss = cross_entropy(apply, y, classes, None, None, Reduction::Mean)?;
    binary(apply, Binary::Add, loss, spread)
}

#[test]
fn a_graph_with_its_gradients_gives_the_bits_of_a_session() {
    let mut random = Random(9);
    let mut single = |sizes: &[usize]| {
        let x: Vec<f32> = random.units(sizes.iter().product()).iter().map(|x| *x as f32).collect();
        Tensor::new(sizes, &x).unwrap()
    };
    let tensors = [single(&[5, 4]), single(&[4, 4])];
    let classes = Tensor::new(&[5], &[0i64, 1, 2, 3, 0]).unwrap();
    let tensors = [&tensors[0], &tensors[1], &classes];

    let mut session = Session::new(BYTES);
    let ids = tensors.map(|tensor| session.insert(tensor).unwrap());
    session.want_gradient(ids[0], true).unwrap();
    session.want_gradient(ids[1], true).unwrap();
    let loss = net(&mut session, ids).unwrap();
    session.backward(loss).unwrap();
    let mut expected = Vec::from([session.get(loss).unwrap().to_bytes()]);
    for id in &ids[..2] {
        let gradient = session.take_gradient(*id).unwrap().unwrap();
        expected.push(session.get(gradient).unwrap().to_bytes());
    }

    let mut graph = Graph::new();
    let nodes = tensors.map(|tensor| graph.input(tensor.kind()).unwrap());
    let loss = net(&mut graph, nodes).unwrap();
    let one = graph.one_like(loss).unwrap();
    let gradients = graph.gradients(loss, one, &nodes).unwrap();
    assert_eq!(gradients[2], None, "classes have no gradient");
    let mut session = Session::new(BYTES);
    let ids = tensors.map(|tensor| session.insert(tensor).unwrap());
    let done = graph.replay(&mut session, &ids).unwrap();
    let found = [Some(loss), gradients[0], gradients[1]].map(|node| done[node.unwrap() as usize]);
    let found = found.map(|id| session.get(id).unwrap().to_bytes());
    assert_eq!(found.as_slice(), expected);
    assert_eq!(graph.work(), session.work());
    let text = std::format!("{graph}");
    assert!(text.starts_with("%0: f32 [5, 4] = input\n%1: f32 [4, 4] = input\n"), "{text}");
    assert_eq!(text.lines().count(), graph.len());
}

#[test]
fn wrong_graphs_are_refused() {
    let mut graph = Graph::new();
    let x = graph.input(kind(Dtype::F32, &[2])).unwrap();
    assert_eq!(graph.apply(Op::Linear, &[x, 7]).unwrap_err().rule, Rule::NoTensor(7));
    let y = unary(&mut graph, Unary::Exp, x).unwrap();
    let z = reduce_all(&mut graph, Reduce::Sum, y).unwrap();
    assert!(graph.gradients(z, y, &[x]).is_err());
    assert!(graph.gradients(z, 99, &[x]).is_err());
    let mut session = Session::new(BYTES);
    assert!(graph.replay(&mut session, &[]).is_err());
    let other = full(&mut session, &[3], Dtype::F32, 0.0).unwrap();
    assert!(graph.replay(&mut session, &[other]).is_err());
}

#[test]
fn operations_are_read_as_they_were_written() {
    let mut random = Random(3);
    for _ in 0..5000 {
        let op = hostile::op(&mut random);
        let mut bytes = Vec::new();
        op.write(&mut bytes);
        let mut rest = &bytes[..];
        let again = Op::read(&mut rest).unwrap();
        assert!(rest.is_empty());
        let mut second = Vec::new();
        again.write(&mut second);
        assert_eq!(second, bytes, "{op:?}, {again:?}");
        for len in 0..bytes.len() {
            assert!(Op::read(&mut &bytes[..len]).is_err(), "{op:?} cut at {len}");
        }
        // Any bytes are an operation or a mistake.
        let at = random.below(bytes.len());
        bytes[at] = random.bits() as u8;
        let _ = Op::read(&mut &bytes[..]);
    }
}

/// Gradients of gradients, where all operations of a derivative have one.
#[test]
fn second_derivatives_of_sums_and_products() {
    let mut graph = Graph::new();
    let x = graph.input(kind(Dtype::F64, &[3])).unwrap();
    let square = binary(&mut graph, Binary::Mul, x, x).unwrap();
    let cube = binary(&mut graph, Binary::Mul, square, x).unwrap();
    let loss = reduce_all(&mut graph, Reduce::Sum, cube).unwrap();
    let one = graph.one_like(loss).unwrap();
    let first = graph.gradients(loss, one, &[x]).unwrap()[0].unwrap();
    let sum = reduce_all(&mut graph, Reduce::Sum, first).unwrap();
    let second = graph.gradients(sum, one, &[x]).unwrap()[0].unwrap();
    let mut session = Session::new(BYTES);
    let x = session.insert(&Tensor::new(&[3], &[1.0, 2.0, -3.0]).unwrap()).unwrap();
    let done = graph.replay(&mut session, &[x]).unwrap();
    let got = |node: Id| session.get(done[node as usize]).unwrap().get::<f64>().unwrap().to_vec();
    assert_eq!(got(first), [3.0, 12.0, 27.0]);
    assert_eq!(got(second), [6.0, 12.0, -18.0]);
}
