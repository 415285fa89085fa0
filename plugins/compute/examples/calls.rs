//! What an operation costs beside its arithmetic: on tensors of one element, with and without the
//! tape, and a step of a net so small that calls are all that it costs. Least of many rounds.
//!
//! `cargo run --release --example calls`

use std::time::Instant;

use fedwasm_compute::compose::{binary, cross_entropy, linear, unary};
use fedwasm_compute::{
    Binary, Dtype, Id, Kind, Mistake, Optimizer, Reduction, Session, Shape, Tensor, Trained, Unary,
};

/// The least nanoseconds of `f` over rounds, each of `n` calls.
fn least(n: u32, mut f: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..n).for_each(|_| f());
        start.elapsed().as_nanos() as f64 / f64::from(n)
    };
    (0..200).map(round).fold(f64::INFINITY, f64::min)
}

type Call = Box<dyn FnMut(&mut Session) -> Result<Id, Mistake>>;

fn filled(session: &mut Session, sizes: &[usize], is_trained: bool) -> Result<Id, Mistake> {
    let shape = Shape::new(sizes).expect("small shapes");
    let id = session.insert(&Tensor::zeros(Kind { dtype: Dtype::F32, shape }))?;
    session.keep(id)?;
    session.want_gradient(id, is_trained)?;
    Ok(id)
}

fn main() -> Result<(), Mistake> {
    let session = &mut Session::new(1 << 30);
    let (x, w) = (filled(session, &[1, 1], false)?, filled(session, &[1, 1], true)?);
    let bias = filled(session, &[1], true)?;
    let classes = session.insert(&Tensor::new(&[1], &[0i64]).expect("one class"))?;
    session.keep(classes)?;
    let mut calls: Vec<(&str, Call)> = vec![
        ("relu", Box::new(move |s| unary(s, Unary::Relu, x))),
        ("add", Box::new(move |s| binary(s, Binary::Add, x, x))),
        ("linear", Box::new(move |s| linear(s, x, w, Some(bias)))),
    ];
    for is_recording in [false, true] {
        session.set_recording(is_recording);
        for (name, call) in &mut calls {
            let ns = least(100, || {
                for _ in 0..10 {
                    let id = call(session).expect("it fits");
                    session.release(id).expect("it is there");
                }
                session.next_batch();
            });
            println!("{name}, recording {is_recording}: {:.0} ns", ns / 10.0);
        }
    }
    let w2 = filled(session, &[1, 1], true)?;
    let rule = Optimizer::Sgd { momentum: 0.0, is_nesterov: false, weight_decay: 0.0 };
    let trained = [w, bias, w2].map(|value| Trained { value, buffers: &[] });
    let step = least(100, || {
        session.next_batch();
        let mut run = || -> Result<(), Mistake> {
            let hidden = linear(session, x, w, Some(bias))?;
            let hidden = unary(session, Unary::Relu, hidden)?;
            let scores = linear(session, hidden, w2, None)?;
            let loss = cross_entropy(session, scores, classes, None, None, Reduction::Mean)?;
            session.backward(loss)?;
            session.step(&rule, 0.1, 1, &trained)
        };
        run().expect("it fits");
    });
    println!("a step of linear, relu, linear, cross entropy, sgd: {step:.0} ns");
    Ok(())
}
