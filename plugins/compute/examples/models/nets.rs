//! The models: data, weights and losses.

use fedwasm_compute::compose::{
    batch_norm, binary, concat, conv, conv_transpose, cross_entropy, flatten, layer_norm, linear,
    max_pool, mean_pool, permute, reshape, slice, unary,
};
use fedwasm_compute::{
    Apply as _, Binary, Id, Mistake, Op, Optimizer, Reduction, Session, Unary, Window, Windows,
};

const SGD: Optimizer = Optimizer::Sgd { momentum: 0.0, is_nesterov: false, weight_decay: 0.0 };
const MOMENTUM: Optimizer = Optimizer::Sgd { momentum: 0.9, is_nesterov: false, weight_decay: 0.0 };
const ADAM: Optimizer =
    Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0, is_decoupled: false };

/// How a weight starts.
pub(crate) enum Values {
    /// By the rule, within 1 / √inputs.
    Random,
    All(f32),
}

use Values::{All, Random};

pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) rows: usize,
    pub(crate) batch: usize,
    /// Sizes of a row of the input.
    pub(crate) row: &'static [usize],
    /// How many tokens there are, if inputs are tokens.
    pub(crate) tokens: Option<i64>,
    /// Sizes of a row of the target.
    pub(crate) target: &'static [usize],
    pub(crate) classes: i64,
    pub(crate) weights: &'static [(&'static [usize], Values)],
    pub(crate) optimizer: Optimizer,
    pub(crate) rate: f64,
    pub(crate) loss: fn(&mut Session, Id, Id, &[Id]) -> Result<Id, Mistake>,
}

macro_rules! mlp {
    ($name:literal, $rows:literal, $batch:literal, $sizes:literal, $hidden:literal) => {
        Model {
            name: $name,
            rows: $rows,
            batch: $batch,
            row: &[$sizes],
            tokens: None,
            target: &[],
            classes: 10,
            weights: &[
                (&[$hidden, $sizes], Random),
                (&[$hidden], All(0.0)),
                (&[10, $hidden], Random),
                (&[10], All(0.0)),
            ],
            optimizer: SGD,
            rate: 0.05,
            loss: mlp,
        }
    };
}

pub(crate) static MODELS: [Model; 9] = [
    Model {
        name: "logistic",
        rows: 569,
        batch: 32,
        row: &[30],
        tokens: None,
        target: &[],
        classes: 2,
        weights: &[(&[2, 30], Random), (&[2], All(0.0))],
        optimizer: SGD,
        rate: 0.05,
        loss: |session, x, y, w| {
            let scores = linear(session, x, w[0], Some(w[1]))?;
            entropy(session, scores, y)
        },
    },
    mlp!("mlp-64-32-10", 1797, 32, 64, 32),
    mlp!("mlp-784-128-10", 6400, 64, 784, 128),
    mlp!("mlp-784-512-10", 6400, 64, 784, 512),
    Model {
        name: "cnn",
        rows: 6400,
        batch: 64,
        row: &[1, 28, 28],
        tokens: None,
        target: &[],
        classes: 10,
        weights: &[
            (&[8, 1, 5, 5], Random),
            (&[8], All(0.0)),
            (&[16, 8, 5, 5], Random),
            (&[16], All(0.0)),
            (&[10, 256], Random),
            (&[10], All(0.0)),
        ],
        optimizer: SGD,
        rate: 0.01,
        loss: cnn,
    },
    Model {
        name: "resnet",
        rows: 320,
        batch: 32,
        row: &[3, 32, 32],
        tokens: None,
        target: &[],
        classes: 10,
        weights: &[
            (&[16, 3, 3, 3], Random),
            (&[16], All(1.0)),
            (&[16], All(0.0)),
            (&[16, 16, 3, 3], Random),
            (&[16], All(1.0)),
            (&[16], All(0.0)),
            (&[10, 256], Random),
            (&[10], All(0.0)),
        ],
        optimizer: MOMENTUM,
        rate: 0.01,
        loss: resnet,
    },
    Model {
        name: "unet",
        rows: 40,
        batch: 8,
        row: &[1, 64, 64],
        tokens: None,
        target: &[64, 64],
        classes: 2,
        weights: &[
            (&[16, 1, 3, 3], Random),
            (&[16], All(0.0)),
            (&[16, 16, 3, 3], Random),
            (&[16], All(0.0)),
            (&[32, 16, 3, 3], Random),
            (&[32], All(0.0)),
            (&[32, 32, 3, 3], Random),
            (&[32], All(0.0)),
            (&[32, 16, 2, 2], Random),
            (&[16], All(0.0)),
            (&[16, 32, 3, 3], Random),
            (&[16], All(0.0)),
            (&[2, 16, 1, 1], Random),
            (&[2], All(0.0)),
        ],
        optimizer: MOMENTUM,
        rate: 0.01,
        loss: unet,
    },
    Model {
        name: "lstm",
        rows: 160,
        batch: 32,
        row: &[100, 16],
        tokens: None,
        target: &[],
        classes: 10,
        weights: &[
            (&[256, 16], Random),
            (&[256, 64], Random),
            (&[256], All(0.0)),
            (&[10, 64], Random),
            (&[10], All(0.0)),
        ],
        optimizer: ADAM,
        rate: 0.001,
        loss: lstm,
    },
    Model {
        name: "transformer",
        rows: 320,
        batch: 32,
        row: &[64],
        tokens: Some(256),
        target: &[64],
        classes: 256,
        weights: TRANSFORMER,
        optimizer: ADAM,
        rate: 0.001,
        loss: transformer,
    },
];

/// Of a block: norm, queries with keys and values, output, norm, two layers.
const BLOCK: usize = 12;

const TRANSFORMER: &[(&[usize], Values)] = &[
    (&[256, 64], Random),
    (&[64, 64], Random),
    (&[64], All(1.0)),
    (&[64], All(0.0)),
    (&[192, 64], Random),
    (&[192], All(0.0)),
    (&[64, 64], Random),
    (&[64], All(0.0)),
    (&[64], All(1.0)),
    (&[64], All(0.0)),
    (&[256, 64], Random),
    (&[256], All(0.0)),
    (&[64, 256], Random),
    (&[64], All(0.0)),
    (&[64], All(1.0)),
    (&[64], All(0.0)),
    (&[192, 64], Random),
    (&[192], All(0.0)),
    (&[64, 64], Random),
    (&[64], All(0.0)),
    (&[64], All(1.0)),
    (&[64], All(0.0)),
    (&[256, 64], Random),
    (&[256], All(0.0)),
    (&[64, 256], Random),
    (&[64], All(0.0)),
    (&[64], All(1.0)),
    (&[64], All(0.0)),
    (&[256, 64], Random),
    (&[256], All(0.0)),
];

fn entropy(session: &mut Session, scores: Id, y: Id) -> Result<Id, Mistake> {
    cross_entropy(session, scores, y, None, None, Reduction::Mean)
}

/// Of something that nothing else uses, as a caller whose handles end with their names.
fn relu(session: &mut Session, x: Id) -> Result<Id, Mistake> {
    let y = unary(session, Unary::Relu, x)?;
    session.release(x)?;
    Ok(y)
}

fn mlp(session: &mut Session, x: Id, y: Id, w: &[Id]) -> Result<Id, Mistake> {
    let hidden = linear(session, x, w[0], Some(w[1]))?;
    let hidden = relu(session, hidden)?;
    let scores = linear(session, hidden, w[2], Some(w[3]))?;
    entropy(session, scores, y)
}

/// Windows of so many elements along both axes, side by side.
fn squares(size: u32) -> Windows {
    let kernel = [size, size, 1];
    Windows::Strided { kernel, stride: kernel, padding: [0; 3] }
}

/// A convolution that keeps the sizes.
fn same() -> Window {
    Window { padding: [1, 1, 0], ..Window::default() }
}

fn cnn(session: &mut Session, x: Id, y: Id, w: &[Id]) -> Result<Id, Mistake> {
    let mut x = x;
    for layer in [&w[..2], &w[2..4]] {
        x = conv(session, x, layer[0], Some(layer[1]), Window::default())?;
        x = max_pool(session, x, squares(2))?;
        x = relu(session, x)?;
    }
    let x = flatten(session, x, 1)?;
    let scores = linear(session, x, w[4], Some(w[5]))?;
    entropy(session, scores, y)
}

fn resnet(session: &mut Session, x: Id, y: Id, w: &[Id]) -> Result<Id, Mistake> {
    let x = conv(session, x, w[0], None, same())?;
    let x = batch_norm(session, x, Some(w[1]), Some(w[2]), 1e-5)?;
    let x = relu(session, x)?;
    let h = conv(session, x, w[3], None, same())?;
    let h = batch_norm(session, h, Some(w[4]), Some(w[5]), 1e-5)?;
    let x = binary(session, Binary::Add, x, h)?;
    let x = relu(session, x)?;
    let x = mean_pool(session, x, squares(8), true)?;
    let x = flatten(session, x, 1)?;
    let scores = linear(session, x, w[6], Some(w[7]))?;
    entropy(session, scores, y)
}

fn unet(session: &mut Session, x: Id, y: Id, w: &[Id]) -> Result<Id, Mistake> {
    let step = |session: &mut Session, x: Id, nth: usize| {
        let x = conv(session, x, w[nth], Some(w[nth + 1]), same())?;
        relu(session, x)
    };
    let x = step(session, x, 0)?;
    let fine = step(session, x, 2)?;
    let x = max_pool(session, fine, squares(2))?;
    let x = step(session, x, 4)?;
    let x = step(session, x, 6)?;
    let twice = Window { stride: [2, 2, 1], ..Window::default() };
    let x = conv_transpose(session, x, w[8], Some(w[9]), twice, [0; 3])?;
    let x = concat(session, &[fine, x], 1)?;
    let x = step(session, x, 10)?;
    let scores = conv(session, x, w[12], Some(w[13]), Window::default())?;
    entropy(session, scores, y)
}

/// `σ(o) tanh(c)` with `c = σ(f) c + σ(i) tanh(g)` (Hochreiter and Schmidhuber 1997; forget gate of
/// Gers, Schmidhuber and Cummins 2000).
fn lstm(session: &mut Session, x: Id, y: Id, w: &[Id]) -> Result<Id, Mistake> {
    let rows = session.kind(x)?.shape.size(0);
    let mut state = None;
    for nth in 0..100 {
        let now = slice(session, x, 1, nth, 1, 1)?;
        let now = reshape(session, now, &[rows, 16])?;
        let mut gates = linear(session, now, w[0], Some(w[2]))?;
        if let Some((hidden, _)) = state {
            let more = linear(session, hidden, w[1], None)?;
            gates = binary(session, Binary::Add, gates, more)?;
        }
        let mut gate = |nth: usize, f: Unary| {
            let gate = slice(session, gates, 1, 64 * nth, 64, 1)?;
            unary(session, f, gate)
        };
        let [i, f, o] = [0, 1, 3].map(|nth| gate(nth, Unary::Sigmoid));
        let (i, f, o, g) = (i?, f?, o?, gate(2, Unary::Tanh)?);
        let mut cell = binary(session, Binary::Mul, i, g)?;
        if let Some((_, old)) = state {
            let kept = binary(session, Binary::Mul, f, old)?;
            cell = binary(session, Binary::Add, kept, cell)?;
        }
        let out = unary(session, Unary::Tanh, cell)?;
        state = Some((binary(session, Binary::Mul, o, out)?, cell));
    }
    let (hidden, _) = state.expect("a step");
    let scores = linear(session, hidden, w[3], Some(w[4]))?;
    entropy(session, scores, y)
}

fn norm(session: &mut Session, x: Id, w: &[Id]) -> Result<Id, Mistake> {
    layer_norm(session, x, 1, Some(w[0]), Some(w[1]), 1e-5)
}

fn attention(session: &mut Session, x: Id, w: &[Id]) -> Result<Id, Mistake> {
    let (rows, heads) = (session.kind(x)?.shape.size(0), 4);
    let all = linear(session, x, w[0], Some(w[1]))?;
    let all = reshape(session, all, &[rows, 64, 3, heads, 16])?;
    let all = permute(session, all, &[2, 0, 3, 1, 4])?;
    let mut part = |nth: usize| {
        let part = slice(session, all, 0, nth, 1, 1)?;
        reshape(session, part, &[rows, heads, 64, 16])
    };
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let q = unary(session, Unary::MulScalar(0.25), q)?;
    let scores = session.apply(Op::MatMul { left: false, right: true }, &[q, k])?;
    let shares = session.apply(Op::Softmax(3), &[scores])?;
    let out = session.apply(Op::MatMul { left: false, right: false }, &[shares, v])?;
    let out = permute(session, out, &[0, 2, 1, 3])?;
    let out = reshape(session, out, &[rows, 64, 64])?;
    linear(session, out, w[2], Some(w[3]))
}

fn transformer(session: &mut Session, x: Id, y: Id, w: &[Id]) -> Result<Id, Mistake> {
    let tokens = session.kind(x)?.shape.len();
    let x = session.apply(Op::Embedding, &[w[0], x])?;
    let mut x = binary(session, Binary::Add, x, w[1])?;
    for w in w[2..2 + 2 * BLOCK].chunks_exact(BLOCK) {
        let h = norm(session, x, &w[..2])?;
        let h = attention(session, h, &w[2..6])?;
        x = binary(session, Binary::Add, x, h)?;
        let h = norm(session, x, &w[6..8])?;
        let h = linear(session, h, w[8], Some(w[9]))?;
        let h = unary(session, Unary::Gelu, h)?;
        let h = linear(session, h, w[10], Some(w[11]))?;
        x = binary(session, Binary::Add, x, h)?;
    }
    let w = &w[2 + 2 * BLOCK..];
    let x = norm(session, x, &w[..2])?;
    let scores = linear(session, x, w[2], Some(w[3]))?;
    let scores = reshape(session, scores, &[tokens, 256])?;
    let y = reshape(session, y, &[tokens])?;
    entropy(session, scores, y)
}
