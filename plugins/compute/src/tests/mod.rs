//! Values and gradients against PyTorch and central differences; wrong and hostile input.

extern crate std;

mod cases;
mod differences;
mod graph;
mod hostile;
mod outside;
mod session;
mod torch;
mod trials;

use std::vec::Vec;

use trials::Random;

use crate::{Apply, Dtype, Id, Kind, Mistake, Session, Shape, Tensor};

/// Bytes that tests of numbers have.
const BYTES: usize = 1 << 28;

/// A floating-point tensor of a dtype from float64.
fn floats(dtype: Dtype, sizes: &[usize], elements: &[f64]) -> Tensor {
    if dtype == Dtype::F64 {
        return Tensor::new(sizes, elements).unwrap();
    }
    let single: Vec<f32> = elements.iter().map(|x| *x as f32).collect();
    Tensor::new(sizes, &single).unwrap()
}

/// All elements as float64.
fn elements(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        Dtype::F32 => tensor.get::<f32>().unwrap().iter().map(|x| f64::from(*x)).collect(),
        Dtype::F64 => tensor.get::<f64>().unwrap().to_vec(),
        Dtype::I64 => tensor.get::<i64>().unwrap().iter().map(|x| *x as f64).collect(),
        Dtype::Bool => tensor.get::<bool>().unwrap().iter().map(|x| f64::from(*x as u8)).collect(),
    }
}

fn kind(dtype: Dtype, sizes: &[usize]) -> Kind {
    Kind { dtype, shape: Shape::new(sizes).unwrap() }
}

/// A floating-point tensor that gradients are wanted for.
fn leaf(session: &mut Session, sizes: &[usize], elements: &[f64]) -> Id {
    let id = session.insert(&floats(Dtype::F64, sizes, elements)).unwrap();
    session.want_gradient(id, true).unwrap();
    id
}

/// The text of a mistake.
fn text<T>(result: Result<T, Mistake>) -> std::string::String {
    std::string::ToString::to_string(&result.err().unwrap())
}

/// The gradient of a tensor, or zeros.
fn gradient(session: &mut Session, id: Id) -> Vec<f64> {
    let len = session.kind(id).unwrap().shape.len();
    match session.take_gradient(id).unwrap() {
        Some(gradient) => elements(session.get(gradient).unwrap()),
        None => std::vec![0.0; len],
    }
}
