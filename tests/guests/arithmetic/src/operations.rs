//! Operations by chance and their gradients, as bits. Compiled into the guest and into the test.

use fedwasm_compute::{Apply as _, Dtype, Id, Rule, Session, Tensor};

#[path = "../../../../plugins/compute/src/tests/trials.rs"]
mod trials;

use trials::{Draw, Input, Random, Trial};

/// Bytes that a trial has.
const BYTES: usize = 1 << 26;

const GROUPS: [(&str, Draw); 11] = [
    ("unary", trials::unaries),
    ("binary", trials::binaries),
    ("select", trials::selects),
    ("reduction", trials::reductions),
    ("norm", trials::norms),
    ("product", trials::products),
    ("convolution", trials::convolutions),
    ("pooling", trials::pools),
    ("index", trials::indexed),
    ("layout", trials::layouts),
    ("loss", trials::losses),
];

/// Bits of outputs and gradients of one operation of each group, in both precisions. `session` makes
/// a session of so many bytes.
pub(crate) fn results(seed: u64, session: impl Fn(usize) -> Session) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    for (name, draw) in GROUPS {
        for (dtype, precision) in [(Dtype::F32, "f32"), (Dtype::F64, "f64")] {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let trial = draw(&mut random);
            all.push((format!("{name}.{precision}"), done(trial, dtype, &mut session(BYTES))));
        }
    }
    all
}

/// The output of a trial and the gradients of its inputs.
fn done((inputs, function): Trial, dtype: Dtype, session: &mut Session) -> Vec<f32> {
    let mut bits = vec![0.0];
    // Some are made of float64 alone, and are a mistake with float32.
    let mut ids: Vec<Id> = Vec::new();
    for input in &inputs {
        let Some(id) = insert(session, input, dtype) else { return bits };
        let _ = session.want_gradient(id, true);
        ids.push(id);
    }
    let Ok(output) = function(session, &ids) else { return bits };
    add(session, output, &mut bits);
    let Ok(kind) = session.kind(output) else { return bits };
    let seed: Vec<f64> = (0..kind.shape.len()).map(|nth| 0.5 + (nth % 7) as f64 / 8.0).collect();
    let sizes: Vec<usize> = kind.shape.sizes().collect();
    let seed = insert(session, &(sizes, seed), kind.dtype);
    if seed.is_some_and(|seed| session.backward_with(output, seed).is_ok()) {
        for id in ids {
            if let Ok(Some(gradient)) = session.take_gradient(id) {
                add(session, gradient, &mut bits);
            }
        }
    }
    bits
}

fn tensor((sizes, elements): &Input, dtype: Dtype) -> Result<Tensor, Rule> {
    match dtype {
        Dtype::F64 => Tensor::new(sizes, elements),
        _ => Tensor::new(sizes, &elements.iter().map(|x| *x as f32).collect::<Vec<_>>()),
    }
}

/// Puts a tensor into the session.
fn insert(session: &mut Session, input: &Input, dtype: Dtype) -> Option<Id> {
    tensor(input, dtype).ok().and_then(|tensor| session.insert(&tensor).ok())
}

/// Adds the 16-bit parts of each element as whole numbers: parameters are finite, results need not
/// be. NaN is one, since its bits are open.
fn add(session: &Session, id: Id, bits: &mut Vec<f32>) {
    let Ok(tensor) = session.get(id) else { return };
    let mut part = |bits_of: u64| {
        (0..4).for_each(|nth| bits.push((bits_of >> (16 * nth) & 0xffff) as f32));
    };
    if let Some(elements) = tensor.get::<f32>() {
        elements.iter().for_each(|x| part(if x.is_nan() { 1 } else { u64::from(x.to_bits()) }));
    }
    if let Some(elements) = tensor.get::<f64>() {
        elements.iter().for_each(|x| part(if x.is_nan() { 1 } else { x.to_bits() }));
    }
}
