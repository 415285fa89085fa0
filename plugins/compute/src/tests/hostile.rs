//! Wrong and hostile input: a mistake that names operation, inputs and rule, and no panic.

extern crate std;

use std::vec::Vec;
use std::{println, vec};

use super::{Random, text};
use crate::compose::*;
use crate::op::{
    Binary, ClassLoss, Compare, Op, Pooling, Reduce, Reduction, Sampling, Side, Unary, Window,
    Windows,
};
use crate::{Apply, Axes, Dtype, Id, RANK_MAX, Session, Shape, Tensor};

/// Bytes and units of work of a session with strangers.
const BYTES: usize = 1 << 22;
const WORK: u64 = 1 << 24;

fn session() -> Session {
    let mut session = Session::new(BYTES);
    session.set_work_max(WORK);
    session
}

fn some(session: &mut Session, sizes: &[usize]) -> Id {
    full(session, sizes, Dtype::F32, 0.5).unwrap()
}

#[test]
fn mistakes_name_operation_inputs_and_rule() {
    let s = &mut session();
    let (a, b) = (some(s, &[2, 3]), some(s, &[4, 5]));
    let double = full(s, &[2, 3], Dtype::F64, 0.0).unwrap();
    let index = s.insert(&Tensor::new(&[2], &[0i64, 7]).unwrap()).unwrap();
    let expected = [
        (
            text(matmul(s, a, b)),
            "matmul of f32 [2, 3], f32 [4, 5]: columns on the left must equal rows on the right",
        ),
        (
            text(binary(s, Binary::Add, a, b)),
            "add of f32 [2, 3], f32 [4, 5]: sizes differ and neither is 1",
        ),
        (
            text(binary(s, Binary::Add, a, double)),
            "add of f32 [2, 3], f64 [2, 3]: f32 and f64 are not the same dtype",
        ),
        (text(unary(s, Unary::Exp, index)), "exp of i64 [2]: expected f32 or f64"),
        (text(s.apply(Op::Softmax(2), &[a])), "softmax of f32 [2, 3]: axis 2 is not below 2"),
        (
            text(s.apply(Op::Embedding, &[a, index])),
            "embedding of f32 [2, 3], i64 [2]: index 7 is not in 0..2",
        ),
        (
            text(cross_entropy(s, a, index, None, None, Reduction::Mean)),
            "cross entropy of f32 [2, 3], i64 [2]: index 7 is not in 0..3",
        ),
        (
            text(full(s, &[usize::MAX, 8], Dtype::F32, 0.0)),
            "full: a tensor has at most 2^28 elements",
        ),
        (
            text(reshape(s, a, &[7])),
            "reshape of f32 [2, 3]: there must be as many elements before as after",
        ),
        (
            text(conv(s, a, b, None, Window::default())),
            "convolution of f32 [2, 3], f32 [4, 5]: expected [n, channels] and then one to three axes",
        ),
        (text(reduce(s, Reduce::Max, a, &[3], false)), "max of f32 [2, 3]: axis 3 is not below 2"),
        (text(split(s, a, &[1, 3], 1)), "split of f32 [2, 3]: the parts must cover the axis"),
    ];
    for (got, expected) in expected {
        assert_eq!(got, expected);
    }
    let empty = some(s, &[0]);
    assert!(text(reduce_all(s, Reduce::Max, empty)).contains("there must be elements"));
    let wrong = s.backward(a).unwrap_err();
    assert_eq!(
        std::format!("{wrong}"),
        "backward of f32 [2, 3]: a loss must be a single floating-point number"
    );
}

#[test]
fn what_has_no_derivative_says_so() {
    let s = &mut session();
    let x = some(s, &[1, 1, 4]);
    s.want_gradient(x, true).unwrap();
    let g = s.apply(Op::ConvWeights(Window::default(), [3, 1, 1]), &[x, x]);
    assert!(g.is_err(), "the gradient has another shape");
    let g = s.apply(Op::UnaryGradient(Unary::Gelu), &[x, x]).unwrap();
    let loss = reduce_all(s, Reduce::Sum, g).unwrap();
    let wrong = text(s.backward(loss));
    assert!(wrong.ends_with("f32 [1, 1, 4]: it has no derivative"), "{wrong}");
}

/// Numbers that attributes could be, small and beyond all bounds.
fn number(random: &mut Random) -> u32 {
    let all = [0, 1, 2, 3, 4, 5, 7, 8, 63, 1 << 12, 1 << 28, 1 << 31, u32::MAX - 1, u32::MAX];
    let most = if random.below(4) == 0 { all.len() } else { 5 };
    all[random.below(most)]
}

fn real(random: &mut Random) -> f64 {
    let all = [0.0, 1.0, -1.0, 0.5, 1e-5, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    all[random.below(all.len())]
}

fn shape(random: &mut Random) -> Shape {
    loop {
        let rank = random.below(6);
        let sizes: Vec<usize> = (0..rank).map(|_| number(random) as usize).collect();
        if let Ok(shape) = Shape::new(&sizes) {
            return shape;
        }
    }
}

fn unary_by_chance(random: &mut Random) -> Unary {
    match random.below(10) {
        0 => Unary::AddScalar(real(random)),
        1 => Unary::MulScalar(real(random)),
        2 => Unary::PowScalar(real(random)),
        3 => Unary::Clamp(real(random), real(random)),
        4 => Unary::LeakyRelu(real(random)),
        5 => Unary::Elu(real(random)),
        6 => Unary::Gelu,
        7 => Unary::Relu,
        8 => Unary::Softplus,
        _ => Unary::Rsqrt,
    }
}

fn window(random: &mut Random) -> Window {
    Window {
        stride: [0; 3].map(|_| number(random)),
        padding: [0; 3].map(|_| number(random)),
        dilation: [0; 3].map(|_| number(random)),
        groups: number(random),
    }
}

fn windows(random: &mut Random) -> Windows {
    let mut three = || [0; 3].map(|_| number(random));
    let (kernel, stride, padding) = (three(), three(), three());
    if kernel[0] == 1 {
        Windows::Adaptive(stride)
    } else {
        Windows::Strided { kernel, stride, padding }
    }
}

/// An operation by chance, with attributes that are wrong at times.
pub(super) fn op(random: &mut Random) -> Op {
    let axes = Axes::from_bits(random.bits() as u8);
    let keep = random.below(2) == 0;
    let dtype = [Dtype::F32, Dtype::F64, Dtype::I64, Dtype::Bool][random.below(4)];
    let binary = [
        Binary::Add,
        Binary::Div,
        Binary::Max,
        Binary::Pow,
        Binary::Kl,
        Binary::Huber(real(random)),
    ];
    let binary = binary[random.below(6)];
    let side = [Side::Left, Side::Right][random.below(2)];
    let by = [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min, Reduce::LogSumExp];
    let pooling = [Pooling::Max, Pooling::Mean(true), Pooling::Mean(false)][random.below(3)];
    let sampling = [Sampling::Nearest, Sampling::Linear, Sampling::LinearCorners][random.below(3)];
    let three = [0; 3].map(|_| number(random));
    let [a, b, c] = [0; 3].map(|_| number(random));
    let loss = ClassLoss {
        is_log: keep,
        ignored: [None, Some(i64::MIN)][random.below(2)],
        reduction: [Reduction::None, Reduction::Sum, Reduction::Mean][random.below(3)],
    };
    let (real, axis) = (real(random), number(random));
    match random.below(40) {
        0 => Op::Full { shape: shape(random), dtype, value: real },
        1 => Op::Range(a),
        2 => Op::Cast(dtype),
        3 | 4 => Op::Unary(unary_by_chance(random)),
        5 => Op::UnaryGradient(unary_by_chance(random)),
        6 | 7 => Op::Binary(binary),
        8 => Op::BinaryGradient(binary, side),
        9 => Op::Compare(Compare::LessEqual),
        10 => Op::Where,
        11 => Op::Reduce(by[random.below(5)], axes, keep),
        12 => Op::Variance { axes, keep, correction: a },
        13 => Op::ArgMax { axis, keep },
        14 => Op::MatMul { left: keep, right: a == 1 },
        15 => Op::Linear,
        16 | 17 => Op::Conv(window(random)),
        18 => Op::ConvTranspose(window(random), three),
        19 => Op::ConvWeights(window(random), three),
        20 => Op::Pool(pooling, windows(random)),
        21 => Op::PoolGradient(pooling, windows(random), three),
        22 => Op::Resample(sampling, three),
        23 => Op::ResampleGradient(sampling, three),
        24 => Op::Normalise { axes, epsilon: real },
        25 => Op::NormaliseGradient { axes, epsilon: real },
        26 => Op::Softmax(axis),
        27 => Op::LogSoftmaxGradient(axis),
        28 => Op::Embedding,
        29 => Op::EmbeddingGradient(a),
        30 => Op::Gather(axis),
        31 => Op::ScatterAdd(axis),
        32 => Op::Concat(axis),
        33 => Op::Slice { axis, start: a, len: b, step: c },
        34 => Op::SliceGradient { axis, start: a, size: b, step: c },
        35 => Op::Pad { axis, before: a, after: b, value: real },
        36 => Op::Permute([0; RANK_MAX].map(|_| random.below(4) as u8)),
        37 => Op::Reshape(shape(random)),
        38 => Op::Expand(shape(random)),
        _ if keep => Op::ClassLoss(loss),
        _ => Op::Dropout(real),
    }
}

/// A tensor by chance, small; its indices are out of range at times.
fn tensor(session: &mut Session, random: &mut Random) -> Option<Id> {
    let rank = random.below(6);
    let sizes: Vec<usize> = (0..rank).map(|_| random.below(5)).collect();
    let n = sizes.iter().product();
    let tensor = match random.below(6) {
        0 => Tensor::new(&sizes, &(0..n).map(|_| random.below(6) as i64 - 1).collect::<Vec<_>>()),
        1 => Tensor::new(&sizes, &(0..n).map(|_| random.below(2) == 0).collect::<Vec<_>>()),
        2 => Tensor::new(&sizes, &random.units(n)),
        _ => Tensor::new(&sizes, &vec![f32::NAN; n]),
    };
    let id = session.insert(&tensor.unwrap()).ok()?;
    if random.below(2) == 0 {
        let _ = session.want_gradient(id, true);
    }
    Some(id)
}

/// As many inputs as the operation has, most of the time, and often the same one twice.
fn inputs(op: &Op, ids: &[Id], random: &mut Random) -> Vec<Id> {
    let usual = match op {
        Op::Full { .. } | Op::Range(_) => 0,
        Op::UnaryGradient(_) | Op::Binary(_) | Op::Compare(_) | Op::MatMul { .. } => 2,
        Op::Linear | Op::Conv(_) | Op::ConvTranspose(..) | Op::Embedding | Op::Gather(_) => 2,
        Op::NormaliseGradient { .. } | Op::LogSoftmaxGradient(_) | Op::Dropout(_) => 2,
        Op::ConvWeights(..) | Op::EmbeddingGradient(_) | Op::ClassLoss(_) | Op::Concat(_) => 2,
        Op::BinaryGradient(..) | Op::Where | Op::ScatterAdd(_) => 3,
        _ => 1,
    };
    let n = if random.below(8) == 0 { random.below(4) } else { usual };
    let first = ids[random.below(ids.len())];
    let other = |_| if random.below(3) == 0 { ids[random.below(ids.len())] } else { first };
    (0..n).map(other).collect()
}

#[test]
fn operations_by_chance_are_done_or_refused() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut done, mut n) = (0, 0);
    for _ in 0..3000 {
        let mut session = session();
        let mut ids: Vec<Id> = (0..4).filter_map(|_| tensor(&mut session, &mut random)).collect();
        ids.push(random.bits() as Id);
        for _ in 0..20 {
            let op = op(&mut random);
            let inputs = inputs(&op, &ids, &mut random);
            n += 1;
            if let Ok(id) = session.apply(op, &inputs) {
                done += 1;
                ids.push(id);
            }
            match random.below(12) {
                0 => drop(session.release(ids[random.below(ids.len())])),
                1 => drop(session.keep(ids[random.below(ids.len())])),
                2 => drop(session.backward(ids[random.below(ids.len())])),
                3 => session.next_batch(),
                _ => {}
            }
        }
        assert!(session.buffers().bytes_peak() <= BYTES && session.work() <= WORK);
        let kept = ids.iter().filter(|id| session.release(**id).is_ok()).count();
        session.next_batch();
        assert_eq!(session.buffers().bytes(), 0, "{kept} were kept");
    }
    println!("{done} of {n} operations were done");
    assert!(done > n / 20);
}
