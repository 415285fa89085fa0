//! What an epoch of small nets costs on one thread: forward, loss, backward and SGD of each batch,
//! with batches that are copied in. The least time of a step, times the steps of an epoch, since
//! other programs are on the machine, too.
//!
//! `cargo run --release --example epoch`

use std::time::Instant;

use fedwasm_compute::compose::{conv, cross_entropy, flatten, linear, max_pool, unary};
use fedwasm_compute::{
    Apply, Axes, Binary, Id, Mistake, Op, Optimizer, Reduce, Reduction, Session, Tensor, Trained,
    Unary, Window, Windows,
};

type Net = fn(&mut Session, Id, &[Id]) -> Result<Id, Mistake>;

/// Name, net, sizes of a batch and of weights, and steps of an epoch.
type Row<'a> = (&'a str, Net, &'a [usize], &'a [&'a [usize]], f64);

/// Small numbers by a fixed rule.
fn tensor(sizes: &[usize]) -> Tensor {
    let n: usize = sizes.iter().product();
    let of = |nth: usize| ((nth * 7919 % 1009) as f32 / 1009.0 - 0.5) * 0.2;
    Tensor::new(sizes, &(0..n).map(of).collect::<Vec<f32>>()).expect("small shapes")
}

fn mlp(session: &mut Session, x: Id, w: &[Id]) -> Result<Id, Mistake> {
    let hidden = linear(session, x, w[0], Some(w[1]))?;
    let hidden = unary(session, Unary::Relu, hidden)?;
    linear(session, hidden, w[2], Some(w[3]))
}

fn cnn(session: &mut Session, x: Id, w: &[Id]) -> Result<Id, Mistake> {
    let two = [2, 2, 1];
    let halves = Windows::Strided { kernel: two, stride: two, padding: [0; 3] };
    let mut x = x;
    for layer in [&w[..2], &w[2..4]] {
        x = conv(session, x, layer[0], Some(layer[1]), Window::default())?;
        x = unary(session, Unary::Relu, x)?;
        x = max_pool(session, x, halves)?;
    }
    let x = flatten(session, x, 1)?;
    linear(session, x, w[4], Some(w[5]))
}

/// The least milliseconds of a step, over `rounds`.
fn least(net: Net, x: &[usize], weights: &[&[usize]], rounds: usize) -> Result<f64, Mistake> {
    let session = &mut Session::new(1 << 30);
    let mut all = Vec::new();
    for sizes in weights {
        let id = session.insert(&tensor(sizes))?;
        session.keep(id)?;
        session.want_gradient(id, true)?;
        all.push(id);
    }
    let trained: Vec<Trained> =
        all.iter().map(|value| Trained { value: *value, buffers: &[] }).collect();
    let rule = Optimizer::Sgd { momentum: 0.0, is_nesterov: false, weight_decay: 0.0 };
    let batch = tensor(x);
    let classes: Vec<i64> = (0..x[0] as i64).map(|nth| nth % 10).collect();
    let classes = Tensor::new(&[x[0]], &classes).expect("classes");
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        session.next_batch();
        let x = session.insert(&batch)?;
        let classes = session.insert(&classes)?;
        let scores = net(session, x, &all)?;
        let loss = cross_entropy(session, scores, classes, None, None, Reduction::Mean)?;
        session.backward(loss)?;
        session.step(&rule, 0.01, 1, &trained)?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

fn main() -> Result<(), Mistake> {
    let wide: &[&[usize]] = &[&[128, 784], &[128], &[10, 128], &[10]];
    let wider: &[&[usize]] = &[&[512, 784], &[512], &[10, 512], &[10]];
    let small: &[&[usize]] = &[&[32, 64], &[32], &[10, 32], &[10]];
    let filters: &[&[usize]] = &[&[8, 1, 5, 5], &[8], &[16, 8, 5, 5], &[16], &[10, 256], &[10]];
    let nets: [Row; 4] = [
        ("MLP 64-32-10, batch 32, 1,797 rows", mlp, &[32, 64], small, 57.0),
        ("MLP 784-128-10, batch 64, 6,400 rows", mlp, &[64, 784], wide, 100.0),
        ("MLP 784-512-10, batch 64, 6,400 rows", mlp, &[64, 784], wider, 100.0),
        ("CNN, batch 64, 6,400 rows", cnn, &[64, 1, 28, 28], filters, 100.0),
    ];
    for (name, net, x, weights, steps) in nets {
        let step = least(net, x, weights, 2000)?;
        println!("{name}: {:.2} ms an epoch, {:.1} us a step", step * steps, step * 1e3);
    }
    let session = &mut Session::new(1 << 30);
    let x = session.insert(&tensor(&[64, 64, 64]))?;
    let row = session.insert(&tensor(&[64]))?;
    let last = Axes::from_bits(4);
    let ops: [(&str, Op, &[Id]); 14] = [
        ("relu", Op::Unary(Unary::Relu), &[x]),
        ("exp", Op::Unary(Unary::Exp), &[x]),
        ("tanh", Op::Unary(Unary::Tanh), &[x]),
        ("gelu", Op::Unary(Unary::Gelu), &[x]),
        ("gradient of gelu", Op::UnaryGradient(Unary::Gelu), &[x, x]),
        ("add", Op::Binary(Binary::Add), &[x, x]),
        ("add a row", Op::Binary(Binary::Add), &[x, row]),
        ("sum of rows", Op::Reduce(Reduce::Sum, Axes::from_bits(3), false), &[x]),
        ("softmax", Op::Softmax(2), &[x]),
        ("gradient of softmax", Op::SoftmaxGradient(2), &[x, x]),
        ("layer norm", Op::Normalise { axes: last, epsilon: 1e-5 }, &[x]),
        ("gradient of it", Op::NormaliseGradient { axes: last, epsilon: 1e-5 }, &[x, x]),
        ("batch norm", Op::Normalise { axes: Axes::from_bits(5), epsilon: 1e-5 }, &[x]),
        ("permute", Op::Permute([0, 2, 1, 0, 0, 0, 0, 0]), &[x]),
    ];
    for (name, op, inputs) in ops {
        let mut best = f64::INFINITY;
        for _ in 0..100 {
            let start = Instant::now();
            let id = session.apply(op, inputs)?;
            best = best.min(start.elapsed().as_secs_f64());
            session.release(id)?;
        }
        println!("{name}: {:.2} G elements a second", (1 << 18) as f64 / best / 1e9);
    }
    Ok(())
}
