//! Numbers of tensors, the tape, buffers and bounds.

extern crate std;

use std::boxed::Box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;

use super::{BYTES, Random, elements, gradient, kind, leaf, text};
use crate::compose::*;
use crate::kernels::Parallel;
use crate::op::{Binary, Op, Reduce, Reduction, Unary};
use crate::{Apply, Dtype, Id, Mistake, Optimizer, Rule, Session, Tensor, Trained};

#[test]
fn gradients_are_added_over_uses_and_over_ways_back() {
    let mut session = Session::new(BYTES);
    let x = leaf(&mut session, &[2], &[3.0, 5.0]);
    for _ in 0..2 {
        // x² + x, and a part that counts for nothing.
        let square = binary(&mut session, Binary::Mul, x, x).unwrap();
        let sum = binary(&mut session, Binary::Add, square, x).unwrap();
        let unused = unary(&mut session, Unary::Exp, sum).unwrap();
        let loss = reduce_all(&mut session, Reduce::Sum, sum).unwrap();
        session.backward(loss).unwrap();
        session.release(unused).unwrap();
    }
    assert_eq!(gradient(&mut session, x), [14.0, 22.0]);
    assert_eq!(session.take_gradient(x).unwrap(), None);
}

#[test]
fn frozen_and_detached_tensors_have_no_gradient() {
    let mut session = Session::new(BYTES);
    let x = leaf(&mut session, &[1], &[3.0]);
    let w = leaf(&mut session, &[1], &[4.0]);
    session.want_gradient(w, false).unwrap();
    let apart = session.detach(x).unwrap();
    let y = binary(&mut session, Binary::Mul, x, w).unwrap();
    let y = binary(&mut session, Binary::Mul, y, apart).unwrap();
    session.backward(y).unwrap();
    assert_eq!(session.take_gradient(w).unwrap(), None);
    assert_eq!(session.take_gradient(apart).unwrap(), None);
    assert_eq!(gradient(&mut session, x), [12.0]);
    session.set_recording(false);
    let y = binary(&mut session, Binary::Mul, x, w).unwrap();
    session.backward(y).unwrap();
    assert_eq!(session.take_gradient(x).unwrap(), None);
}

#[test]
fn numbers_end_with_the_batch_unless_they_are_kept() {
    let mut session = Session::new(BYTES);
    let kept = leaf(&mut session, &[1], &[2.0]);
    session.keep(kept).unwrap();
    session.keep(kept).unwrap();
    let gone = unary(&mut session, Unary::Exp, kept).unwrap();
    session.next_batch();
    let wrong = std::format!("tensor: there is no tensor {gone}");
    assert_eq!(text(session.get(gone)), wrong);
    assert_eq!(text(session.keep(gone)), wrong);
    assert_eq!(text(session.release(gone)), wrong);
    assert_eq!(text(session.backward(gone)), wrong);
    assert_eq!(
        text(binary(&mut session, Binary::Add, kept, gone)),
        std::format!("add of f64 [1]: there is no tensor {gone}")
    );
    let new = unary(&mut session, Unary::Square, kept).unwrap();
    assert!(new > gone, "numbers are never given out again");
    assert_eq!(elements(session.get(new).unwrap()), [4.0]);
    session.release(kept).unwrap();
    assert_eq!(text(session.get(kept)), std::format!("tensor: there is no tensor {kept}"));
    assert_eq!(text(session.get(u32::MAX)), "tensor: there is no tensor 4294967295");
    session.next_batch();
    assert_eq!(session.buffers().bytes(), 0);
}

#[test]
fn released_while_the_tape_needs_them_they_are_still_read() {
    let mut session = Session::new(BYTES);
    let x = leaf(&mut session, &[2], &[1.0, 2.0]);
    session.keep(x).unwrap();
    let y = unary(&mut session, Unary::Square, x).unwrap();
    let z = unary(&mut session, Unary::Exp, y).unwrap();
    let loss = reduce_all(&mut session, Reduce::Sum, z).unwrap();
    session.release(y).unwrap();
    session.release(z).unwrap();
    assert_eq!(
        text(session.change(x, |_| Ok(()))),
        "tensor of f64 [2]: the tape still reads it; call backward first"
    );
    session.backward(loss).unwrap();
    session.change(x, |_| Ok(())).unwrap();
    let got = gradient(&mut session, x);
    let expected = [2.0 * 1.0f64.exp(), 4.0 * 4.0f64.exp()];
    assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
}

/// Losses of some steps of a small net, and its weights' bytes.
fn train(session: &mut Session, steps: u64) -> Result<Vec<u8>, Mistake> {
    let mut random = Random(5);
    let mut single = |session: &mut Session, sizes: &[usize]| {
        let n: usize = sizes.iter().product();
        let x: Vec<f32> = random.units(n).iter().map(|x| *x as f32).collect();
        session.insert(&Tensor::new(sizes, &x).unwrap())
    };
    let (w1, w2) = (single(session, &[16, 8])?, single(session, &[3, 16])?);
    let rule = Optimizer::Sgd { momentum: 0.9, is_nesterov: false, weight_decay: 0.01 };
    let mut momenta = Vec::new();
    for w in [w1, w2] {
        session.keep(w)?;
        session.want_gradient(w, true)?;
        let momentum = session.insert(&Tensor::zeros(session.kind(w)?))?;
        session.keep(momentum)?;
        momenta.push(momentum);
    }
    for nth in 1..=steps {
        session.next_batch();
        let x = single(session, &[10, 8])?;
        let classes =
            session.insert(&Tensor::new(&[10], &[0i64, 1, 2, 0, 1, 2, 0, 1, 2, 0]).unwrap())?;
        let hidden = linear(session, x, w1, None)?;
        let hidden = unary(session, Unary::Relu, hidden)?;
        let scores = linear(session, hidden, w2, None)?;
        let loss = cross_entropy(session, scores, classes, None, None, Reduction::Mean)?;
        session.backward(loss)?;
        session.clip_by_norm(&[w1, w2], 1.0)?;
        let trained = [(w1, &momenta[..1]), (w2, &momenta[1..])];
        let trained = trained.map(|(value, buffers)| Trained { value, buffers });
        session.step(&rule, 0.05, nth, &trained)?;
    }
    let mut bytes = session.get(w1)?.to_bytes();
    bytes.extend(session.get(w2)?.to_bytes());
    Ok(bytes)
}

/// A list may name one large gradient again and again.
#[test]
fn clipping_by_norm_counts_each_gradient_that_it_reads() {
    let mut session = Session::new(BYTES);
    let x = leaf(&mut session, &[1_000], &[1.0; 1_000]);
    let loss = reduce_all(&mut session, Reduce::Sum, x).unwrap();
    session.backward(loss).unwrap();
    let before = session.work();
    session.clip_by_norm(&[x; 10], 1e9).unwrap();
    assert_eq!(session.work() - before, 10_000);
    session.set_work_max(session.work() + 5_500);
    assert!(text(session.clip_by_norm(&[x; 10], 1e9)).starts_with("clipping of f64 [1000]: "));
}

#[test]
fn buffers_are_used_again_from_step_to_step() {
    let mut session = Session::new(BYTES);
    train(&mut session, 3).unwrap();
    let peak = session.buffers().bytes_peak();
    let mut longer = Session::new(BYTES);
    train(&mut longer, 500).unwrap();
    assert_eq!(longer.buffers().bytes_peak(), peak);
    // And the bound is exact: with it the same comes out, and with less a mistake says how much.
    let expected = train(&mut Session::new(BYTES), 20).unwrap();
    assert_eq!(train(&mut Session::new(peak), 20).unwrap(), expected);
    let mut least = 0;
    let mut most = peak;
    while least + 1 < most {
        let middle = (least + most) / 2;
        match train(&mut Session::new(middle), 20) {
            Ok(bytes) => {
                assert_eq!(bytes, expected);
                most = middle;
            }
            Err(Mistake { rule: Rule::Memory { needed, most }, .. }) => {
                assert!(needed > most && most == middle);
                least = middle;
            }
            Err(other) => panic!("{other}"),
        }
    }
    std::println!("peak {peak} bytes, least {most}");
}

/// Threads as a worker has them, from few multiplications on.
struct Threads(usize);

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn work_min(&self) -> usize {
        64
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            (0..parts).for_each(|nth| drop(scope.spawn(move || part(nth))));
        });
    }
}

/// Rows that lie side by side are normalised in another way than columns.
#[test]
fn normalisation_has_the_same_bits_along_any_axis() {
    let mut session = Session::new(BYTES);
    let mut random = Random(8);
    let x: Vec<f32> = random.units(11 * 37).iter().map(|x| *x as f32).collect();
    let x = session.insert(&Tensor::new(&[11, 37], &x).unwrap()).unwrap();
    session.want_gradient(x, true).unwrap();
    let mut all = Vec::new();
    for axis in [1, 0] {
        let y = if axis == 1 { x } else { transpose(&mut session, x, 0, 1).unwrap() };
        let op = Op::Normalise { axes: crate::Axes::from_bits(1 << axis), epsilon: 1e-5 };
        let y = session.apply(op, &[y]).unwrap();
        let y = if axis == 1 { y } else { transpose(&mut session, y, 0, 1).unwrap() };
        all.push(session.get(y).unwrap().to_bytes());
        let cube = unary(&mut session, Unary::PowScalar(3.0), y).unwrap();
        let loss = reduce_all(&mut session, Reduce::Sum, cube).unwrap();
        session.backward(loss).unwrap();
        let gradient = session.take_gradient(x).unwrap().unwrap();
        all.push(session.get(gradient).unwrap().to_bytes());
    }
    assert_eq!(all[..2], all[2..]);
}

#[test]
fn threads_change_no_bit() {
    let expected = train(&mut Session::new(BYTES), 5).unwrap();
    for threads in [2, 3, 5] {
        let mut session = Session::with_threads(BYTES, Box::new(Threads(threads)));
        assert_eq!(train(&mut session, 5).unwrap(), expected, "{threads} threads");
    }
}

#[test]
fn a_session_goes_on_after_a_mistake() {
    let mut session = Session::new(1 << 16);
    let before = session.buffers().bytes();
    for _ in 0..1000 {
        let wrong = full(&mut session, &[1 << 20], Dtype::F32, 1.0).unwrap_err();
        assert!(matches!(wrong.rule, Rule::Memory { most: 65536, .. }), "{wrong}");
        let wrong = session.apply(Op::Reduce(Reduce::Sum, crate::Axes::ALL, false), &[]);
        assert_eq!(text(wrong), "sum: expected one input");
        session.create(kind(Dtype::F32, &[4]), |_| Err(Rule::Broadcast)).unwrap_err();
    }
    assert_eq!(session.buffers().bytes(), before);
    let x = leaf(&mut session, &[1], &[1.0]);
    let many = session.apply(Op::Concat(0), &[x; 65]);
    assert_eq!(text(many), "concat: expected at most 64 inputs");
    session.apply(Op::Concat(0), &[x; 64]).unwrap();
}

#[test]
fn a_tape_of_a_million_operations_needs_no_stack_and_keeps_to_the_bound() {
    let mut session = Session::new(1 << 30);
    let x = leaf(&mut session, &[1], &[1.0]);
    let mut y = x;
    for _ in 0..1_000_000 {
        let next = unary(&mut session, Unary::AddScalar(0.5), y).unwrap();
        if y != x {
            session.release(y).unwrap();
        }
        y = next;
    }
    session.backward(y).unwrap();
    assert_eq!(gradient(&mut session, x), [1.0]);
    // Without an end it meets the bound, and all is well after the batch.
    let mut session = Session::new(1 << 22);
    let x = leaf(&mut session, &[1], &[1.0]);
    session.keep(x).unwrap();
    let mut y = Ok(x);
    let mut n = 0;
    while let Ok(id) = y {
        y = unary(&mut session, Unary::AddScalar(0.5), id);
        n += 1;
    }
    assert!(matches!(y.unwrap_err().rule, Rule::Memory { .. }) && n > 1000, "{n}");
    assert!(session.buffers().bytes_peak() <= 1 << 22);
    session.next_batch();
    unary(&mut session, Unary::AddScalar(0.5), x).unwrap();
}

#[test]
fn work_is_counted_and_bounded_before_it_is_done() {
    let mut session = Session::new(BYTES);
    let x = full(&mut session, &[10, 20], Dtype::F32, 1.0).unwrap();
    let w = full(&mut session, &[30, 20], Dtype::F32, 1.0).unwrap();
    let before = session.work();
    linear(&mut session, x, w, None).unwrap();
    let units = 10 * 20 * 30 + 10 * 20 + 20 * 30 + 10 * 30 + crate::CALL;
    assert_eq!(session.work() - before, units);
    session.set_work_max(session.work() + units - 1);
    let wrong = linear(&mut session, x, w, None).unwrap_err();
    assert!(matches!(wrong.rule, Rule::Work { .. }), "{wrong}");
    session.set_work_max(session.work() + units);
    linear(&mut session, x, w, None).unwrap();
}

#[test]
fn a_session_stops_when_it_is_told_to() {
    let (mut session, stop) = (Session::new(BYTES), Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&stop);
    session.set_stop(Box::new(move || flag.load(Ordering::Relaxed)));
    let x = leaf(&mut session, &[2], &[1.0, 2.0]);
    let y = unary(&mut session, Unary::Gelu, x).unwrap();
    let loss = reduce_all(&mut session, Reduce::Sum, y).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert_eq!(text(unary(&mut session, Unary::Gelu, x)), "gelu of f64 [2]: it was told to stop");
    assert_eq!(session.backward(loss).unwrap_err().rule, Rule::Stopped);
}

#[test]
fn optimizers_refuse_what_does_not_fit() {
    let mut session = Session::new(BYTES);
    let x = leaf(&mut session, &[2], &[1.0, 2.0]);
    let (momentum, other) =
        (leaf(&mut session, &[2], &[0.0; 2]), leaf(&mut session, &[3], &[0.0; 3]));
    let rule = Optimizer::Sgd { momentum: 0.9, is_nesterov: false, weight_decay: 0.0 };
    let mut step = |rate: f64, buffers: &[Id]| {
        let y = unary(&mut session, Unary::Square, x).unwrap();
        let loss = reduce_all(&mut session, Reduce::Sum, y).unwrap();
        session.backward(loss).unwrap();
        session.step(&rule, rate, 1, &[Trained { value: x, buffers }])
    };
    let one_kind = "optimizer of f64 [2]: value, gradient and all buffers must be of one kind";
    assert_eq!(text(step(0.1, &[])), one_kind);
    assert_eq!(text(step(0.1, &[other])), one_kind);
    assert_eq!(text(step(0.1, &[x])), std::format!("optimizer of f64 [2]: there is no tensor {x}"));
    assert!(text(step(f64::NAN, &[momentum])).contains("the rate must be at least 0"));
    step(0.5, &[momentum]).unwrap();
    assert_eq!(elements(session.get(x).unwrap()), [0.0, 0.0]);
    let wrong = [
        Optimizer::Sgd { momentum: 1.0, is_nesterov: false, weight_decay: 0.0 },
        Optimizer::Sgd { momentum: 0.0, is_nesterov: true, weight_decay: 0.0 },
        Optimizer::Sgd { momentum: 0.0, is_nesterov: false, weight_decay: -1.0 },
        Optimizer::Adam {
            betas: [0.9, 0.999_999_999],
            epsilon: 1e-8,
            weight_decay: 0.0,
            is_decoupled: true,
        },
        Optimizer::Adam { betas: [0.9; 2], epsilon: 1e-60, weight_decay: 0.0, is_decoupled: true },
        Optimizer::Adagrad { rate_decay: f64::NAN, epsilon: 1e-8, weight_decay: 0.0 },
        Optimizer::RmsProp { alpha: f64::NAN, epsilon: 1e-8, momentum: 0.0, weight_decay: 0.0 },
    ];
    assert!(wrong.iter().all(|rule| rule.check().is_err()));
}

#[test]
fn a_mask_keeps_as_many_as_the_rate_says() {
    let mut random = Random(4);
    let bytes: Vec<u8> = (0..40_000).map(|_| random.bits() as u8).collect();
    let mut mask = std::vec![false; 10_000];
    keep_mask(&mut mask, 0.25, &bytes).unwrap();
    let kept = mask.iter().filter(|is_kept| **is_kept).count();
    assert!((7_300..7_700).contains(&kept), "{kept}");
    let ends = [u32::MAX / 4, u32::MAX / 4 + 1].map(u32::to_le_bytes).concat();
    keep_mask(&mut mask[..2], 0.25, &ends).unwrap();
    assert_eq!(mask[..2], [false, true]);
    assert!(keep_mask(&mut mask[..2], 0.25, &ends[1..]).is_err());
}

/// An entry of the tape and a slot cost memory for each operation of a batch.
#[test]
fn what_is_kept_for_each_operation_is_small() {
    let sizes = [size_of::<Op>(), size_of::<crate::Kind>(), size_of::<Tensor>()];
    assert!(sizes[0] <= 64 && sizes[1] <= 40 && sizes[2] <= 48, "{sizes:?}");
    let entry = size_of::<crate::session::Entry>();
    let slot = crate::table::SLOT_BYTES / 2;
    assert!(entry <= 96 && slot <= 160, "{entry}, {slot}");
}
