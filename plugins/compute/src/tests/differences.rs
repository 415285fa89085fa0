//! Every derivative against central differences in float64, over shapes by chance: empty ones,
//! axes of size 1, and broadcasting among them. All numbers are released before the way back, so
//! that only what the tape keeps is there.

extern crate std;

use std::boxed::Box;
use std::vec::Vec;
use std::{format, vec};

use super::trials::*;
use super::{BYTES, Random, elements, gradient, leaf};
use crate::compose::*;
use crate::op::{Binary, Op, Reduce, Unary};
use crate::{Apply, Dtype, Id, Session, Shape, Tensor};

/// Σ seed · output.
fn value(function: &Function, inputs: &[Input], seed: &[f64]) -> f64 {
    let mut session = Session::new(BYTES);
    session.set_recording(false);
    let ids: Vec<Id> = inputs.iter().map(|x| leaf(&mut session, &x.0, &x.1)).collect();
    let output = function(&mut session, &ids).unwrap();
    elements(session.get(output).unwrap()).iter().zip(seed).map(|(x, s)| x * s).sum()
}

fn check(name: &str, random: &mut Random, (inputs, function): Trial) {
    let mut session = Session::new(BYTES);
    let leaves: Vec<Id> = inputs.iter().map(|x| leaf(&mut session, &x.0, &x.1)).collect();
    let same = |session: &mut Session, id: Id| unary(session, Unary::MulScalar(1.0), id).unwrap();
    let ids: Vec<Id> = leaves.iter().map(|id| same(&mut session, *id)).collect();
    let output = function(&mut session, &ids).unwrap_or_else(|e| panic!("{name}: {e}"));
    let end = same(&mut session, output);
    ids.iter().for_each(|id| session.release(*id).unwrap());
    // An operation that does nothing gives its input.
    if !ids.contains(&output) {
        session.release(output).unwrap();
    }
    let kind = session.kind(end).unwrap();
    let seed = random.units(kind.shape.len());
    let sizes: Vec<usize> = kind.shape.sizes().collect();
    let seed_id = session.insert(&Tensor::new(&sizes, &seed).unwrap()).unwrap();
    session.backward_with(end, seed_id).unwrap_or_else(|e| panic!("{name}: {e}"));
    for (nth, id) in leaves.iter().enumerate() {
        let gradient = gradient(&mut session, *id);
        for _ in 0..gradient.len().min(6) {
            let at = random.below(gradient.len());
            let around = |step: f64| {
                let mut changed = inputs.clone();
                changed[nth].1[at] += step;
                value(&function, &changed, &seed)
            };
            let slope = (around(1e-5) - around(-1e-5)) / 2e-5;
            let error = (slope - gradient[at]).abs();
            assert!(
                error <= 1e-7 * slope.abs().max(1.0),
                "{name}: gradient {} of input {nth} [{at}], slope {slope}, inputs {inputs:?}",
                gradient[at]
            );
        }
    }
}

#[test]
fn gradients_are_slopes() {
    let groups: [(&str, Draw, usize); 11] = [
        ("unary", unaries, 300),
        ("binary", binaries, 300),
        ("select", selects, 60),
        ("reduction", reductions, 200),
        ("norm", norms, 150),
        ("product", products, 200),
        ("convolution", convolutions, 200),
        ("pooling", pools, 200),
        ("index", indexed, 150),
        ("layout", layouts, 200),
        ("loss", losses, 100),
    ];
    for (name, trial, n) in groups {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for nth in 0..n {
            let trial = trial(&mut random);
            check(&format!("{name} {nth}"), &mut random, trial);
        }
    }
}

/// Many layers that share a weight: gradients of all uses are added.
#[test]
fn a_deep_net_has_the_slopes_of_its_values() {
    let mut random = Random(77);
    let inputs = vec![input(&mut random, &[3, 4]), input(&mut random, &[4, 4])];
    let function = |session: &mut Session, x: &[Id]| {
        let mut y = x[0];
        for nth in 0..6 {
            let z = linear(session, y, x[1], None)?;
            let z = layer_norm(session, z, 1, None, None, 1e-2)?;
            let f = [Unary::Tanh, Unary::Gelu, Unary::Silu][nth % 3];
            let z = unary(session, f, z)?;
            y = binary(session, Binary::Add, y, z)?;
        }
        reduce_all(session, Reduce::Mean, y)
    };
    check("deep", &mut random, (inputs, Box::new(function)));
}

/// The derivative of a derivative, where both are operations with one.
#[test]
fn zeros_and_casts_have_gradients_too() {
    let mut session = Session::new(BYTES);
    let x = leaf(&mut session, &[3], &[1.0, 2.0, 3.0]);
    let single = session.apply(Op::Cast(Dtype::F32), &[x]).unwrap();
    let square = unary(&mut session, Unary::Square, single).unwrap();
    let zeros = full(&mut session, &[3], Dtype::F32, 0.0).unwrap();
    let sum = binary(&mut session, Binary::Add, square, zeros).unwrap();
    let loss = reduce_all(&mut session, Reduce::Sum, sum).unwrap();
    assert_eq!(session.kind(loss).unwrap().shape, Shape::SCALAR);
    session.backward(loss).unwrap();
    assert_eq!(gradient(&mut session, x), [2.0, 4.0, 6.0]);
}
