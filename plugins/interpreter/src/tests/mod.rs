//! Each entry of the tables does the same bits as the SDK's method, called directly.

mod functions;
mod modules;
mod numbers;

use fedwasm_graph::Value;
use fedwasm_sdk::{Dtype, Tensor};

/// Numbers between -1 and 1, and no two alike.
fn x(shape: &[usize]) -> Tensor {
    let of = |at: &[usize]| {
        let place = at.iter().zip(shape).fold(0, |place, (at, size)| place * size + at);
        ((place * 37 + 11) % 101) as f32 / 50.5 - 1.0
    };
    Tensor::from_fn(shape, of)
}

/// Whole numbers below `n`.
fn whole(shape: &[usize], n: usize) -> Tensor {
    Tensor::from_fn(shape, |at: &[usize]| (at.iter().sum::<usize>() * 5 % n) as i64)
}

fn truth(shape: &[usize]) -> Tensor {
    Tensor::from_fn(shape, |at: &[usize]| at.iter().sum::<usize>() % 3 == 1)
}

/// Shape, dtype and bits.
fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u64>) {
    let bits = match tensor.dtype() {
        Dtype::F32 => {
            tensor.to_vec::<f32>().unwrap().iter().map(|x| u64::from(x.to_bits())).collect()
        }
        Dtype::F64 => tensor.to_vec::<f64>().unwrap().iter().map(|x| x.to_bits()).collect(),
        Dtype::I64 => tensor.to_vec::<i64>().unwrap().iter().map(|x| *x as u64).collect(),
        Dtype::Bool => tensor.to_vec::<bool>().unwrap().iter().map(|x| u64::from(*x)).collect(),
    };
    (tensor.shape(), bits)
}

fn assert_bits(name: &str, got: &[Tensor], wanted: &[Tensor]) {
    assert_eq!(got.len(), wanted.len(), "{name}");
    for (got, wanted) in got.iter().zip(wanted) {
        assert_eq!(got.dtype(), wanted.dtype(), "{name}");
        assert_eq!(bits(got), bits(wanted), "{name}");
    }
}

fn real(value: f64) -> Option<Value> {
    Some(Value::Real(value))
}

fn integer(value: i64) -> Option<Value> {
    Some(Value::Integer(value))
}

fn integers(values: &[i64]) -> Option<Value> {
    Some(Value::Integers(values.to_vec()))
}

fn flag(value: bool) -> Option<Value> {
    Some(Value::Boolean(value))
}

fn word(text: &str) -> Option<Value> {
    Some(Value::Text(text.into()))
}
