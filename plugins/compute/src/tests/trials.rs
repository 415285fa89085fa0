//! Operations on inputs by chance: shapes with empty axes, axes of size 1, and broadcasting. A plan of
//! the host's tests has them, too, to compare bits.

extern crate std;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use fedwasm_compute::compose::*;
use fedwasm_compute::{
    Apply, Axes, Binary, ClassLoss, Id, Mistake, Op, Pooling, Reduce, Reduction, Sampling, Session,
    Tensor, Unary, Window, Windows,
};

/// Numbers in (-1, 1), the same for a seed (xorshift, Marsaglia 2003).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 33) as usize % n
    }

    pub(super) fn units(&mut self, len: usize) -> Vec<f64> {
        (0..len).map(|_| self.unit()).collect()
    }
}

/// Sizes and elements of an input.
pub(super) type Input = (Vec<usize>, Vec<f64>);
pub(super) type Function = Box<dyn Fn(&mut Session, &[Id]) -> Result<Id, Mistake>>;

pub(super) type Draw = fn(&mut Random) -> Trial;

/// Inputs by chance, and what is done with them.
pub(super) type Trial = (Vec<Input>, Function);

pub(super) fn input(random: &mut Random, sizes: &[usize]) -> Input {
    let elements = random.units(sizes.iter().product());
    (sizes.to_vec(), elements.iter().map(|x| 2.0 * x).collect())
}

/// Elements in 0.25..2.25.
fn positive(random: &mut Random, sizes: &[usize]) -> Input {
    let (sizes, elements) = input(random, sizes);
    (sizes, elements.iter().map(|x| x.abs() + 0.25).collect())
}

/// Sizes in 0..=4, rarely 0.
fn sizes(random: &mut Random, rank: usize) -> Vec<usize> {
    (0..rank).map(|_| if random.below(12) == 0 { 0 } else { 1 + random.below(4) }).collect()
}

/// Sizes that can be repeated to `sizes`.
fn repeatable(random: &mut Random, sizes: &[usize]) -> Vec<usize> {
    let first = random.below(sizes.len() + 1);
    let size = |size: &usize| if random.below(3) == 0 { 1 } else { *size };
    sizes[first..].iter().map(size).collect()
}

fn done(op: Op) -> Function {
    Box::new(move |session, inputs| session.apply(op, inputs))
}

pub(super) fn unaries(random: &mut Random) -> Trial {
    let all = [
        Unary::Neg,
        Unary::Exp,
        Unary::Square,
        Unary::Abs,
        Unary::Sign,
        Unary::AddScalar(0.5),
        Unary::MulScalar(-1.5),
        Unary::PowScalar(3.0),
        Unary::PowScalar(0.0),
        Unary::Clamp(-0.7, 0.9),
        Unary::Relu,
        Unary::LeakyRelu(0.1),
        Unary::Elu(0.8),
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Silu,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Softplus,
        Unary::Ln,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Reciprocal,
        Unary::PowScalar(-1.3),
        Unary::PowScalar(0.5),
    ];
    let (nth, rank) = (random.below(all.len()), random.below(4));
    let sizes = sizes(random, rank);
    let x = if nth < 19 { input(random, &sizes) } else { positive(random, &sizes) };
    (vec![x], done(Op::Unary(all[nth])))
}

pub(super) fn binaries(random: &mut Random) -> Trial {
    let all = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Max,
        Binary::Min,
        Binary::Bce,
        Binary::Huber(0.6),
        Binary::Div,
        Binary::Pow,
        Binary::Kl,
    ];
    let (nth, rank) = (random.below(all.len()), random.below(4));
    let whole = sizes(random, rank);
    let (mut left, mut right) = (whole.clone(), repeatable(random, &whole));
    if random.below(2) == 0 {
        core::mem::swap(&mut left, &mut right);
    }
    let a = if nth == 8 { positive(random, &left) } else { input(random, &left) };
    let b = if nth >= 7 { positive(random, &right) } else { input(random, &right) };
    (vec![a, b], done(Op::Binary(all[nth])))
}

pub(super) fn selects(random: &mut Random) -> Trial {
    let rank = random.below(4);
    let whole = sizes(random, rank);
    let mask: Vec<bool> = (0..whole.iter().product()).map(|_| random.below(2) == 0).collect();
    let mask = Tensor::new(&whole, &mask).unwrap();
    if random.below(2) == 0 {
        let x = input(random, &whole);
        let f = move |session: &mut Session, x: &[Id]| {
            let mask = session.insert(&mask)?;
            dropout(session, x[0], mask, 0.25)
        };
        return (vec![x], Box::new(f));
    }
    let (left, right) = (repeatable(random, &whole), repeatable(random, &whole));
    let inputs = vec![input(random, &left), input(random, &right)];
    let f = move |session: &mut Session, x: &[Id]| {
        let mask = session.insert(&mask)?;
        session.apply(Op::Where, &[mask, x[0], x[1]])
    };
    (inputs, Box::new(f))
}

pub(super) fn reductions(random: &mut Random) -> Trial {
    let rank = random.below(5);
    let mut sizes = sizes(random, rank);
    let (axes, keep) = (random.below(1 << rank) as u8, random.below(2) == 0);
    let by = random.below(6);
    // There is no largest of none.
    if (2..=3).contains(&by) {
        sizes.iter_mut().for_each(|size| *size = (*size).max(1));
    }
    let axes = Axes::from_bits(axes);
    let op = match by {
        0 => Op::Reduce(Reduce::Sum, axes, keep),
        1 => Op::Reduce(Reduce::Mean, axes, keep),
        2 => Op::Reduce(Reduce::Max, axes, keep),
        3 => Op::Reduce(Reduce::Min, axes, keep),
        4 => Op::Reduce(Reduce::LogSumExp, axes, keep),
        _ => Op::Variance { axes, keep, correction: 0 },
    };
    (vec![input(random, &sizes)], done(op))
}

pub(super) fn norms(random: &mut Random) -> Trial {
    let rank = 1 + random.below(3);
    let sizes = sizes(random, rank);
    let axis = random.below(rank) as u32;
    let op = match random.below(3) {
        0 => Op::Softmax(axis),
        1 => Op::LogSoftmax(axis),
        _ => {
            let axes = Axes::from_bits(1 + random.below((1 << rank) - 1) as u8);
            Op::Normalise { axes, epsilon: 0.1 }
        }
    };
    (vec![input(random, &sizes)], done(op))
}

pub(super) fn products(random: &mut Random) -> Trial {
    let s = sizes(random, 3);
    let (left, right) = (random.below(2) == 0, random.below(2) == 0);
    let n = random.below(3);
    let batch = sizes(random, n);
    let mut a = repeatable(random, &batch);
    let mut b = if random.below(2) == 0 { repeatable(random, &batch) } else { batch };
    a.extend(if left { [s[1], s[0]] } else { [s[0], s[1]] });
    b.extend(if right { [s[2], s[1]] } else { [s[1], s[2]] });
    if random.below(2) == 0 {
        let inputs = vec![input(random, &a), input(random, &b)];
        return (inputs, done(Op::MatMul { left, right }));
    }
    let rank = 1 + random.below(3);
    let mut x = sizes(random, rank);
    x[rank - 1] = s[1];
    let mut inputs = vec![input(random, &x), input(random, &[s[2], s[1]])];
    if random.below(2) == 0 {
        inputs.push(input(random, &[s[2]]));
    }
    (inputs, done(Op::Linear))
}

pub(super) fn convolutions(random: &mut Random) -> Trial {
    let (n_axes, groups) = (1 + random.below(3), 1 + random.below(2));
    let mut three = |least: usize, n: usize| [0; 3].map(|_| (least + random.below(n)) as u32);
    let (kernel, stride, padding, dilation) = (three(1, 3), three(1, 3), three(0, 3), three(1, 2));
    let window = Window { stride, padding, dilation, groups: groups as u32 };
    let reach = |axis: usize| ((kernel[axis] - 1) * dilation[axis] + 1) as usize;
    let (rows, channels) = (random.below(3), groups * (1 + random.below(2)));
    let filters = groups * (1 + random.below(2));
    let is_transposed = random.below(2) == 0;
    let mut x = vec![rows, if is_transposed { filters } else { channels }];
    let mut w = vec![filters, channels / groups];
    for axis in 0..n_axes {
        // At least one window; what padding takes off a transposed one is there.
        let least = if is_transposed { 1 + 2 * padding[axis] as usize } else { reach(axis) };
        x.push(least + random.below(3));
        w.push(kernel[axis] as usize);
    }
    let mut inputs = vec![input(random, &x), input(random, &w)];
    let longer = stride.map(|stride| random.below(stride as usize) as u32);
    let op = if is_transposed { Op::ConvTranspose(window, longer) } else { Op::Conv(window) };
    if random.below(2) == 0 {
        inputs.push(input(random, &[if is_transposed { channels } else { filters }]));
    }
    (inputs, done(op))
}

pub(super) fn pools(random: &mut Random) -> Trial {
    let n_axes = 1 + random.below(3);
    let mut three = |least: usize, n: usize| [0; 3].map(|_| (least + random.below(n)) as u32);
    let (kernel, stride, to) = (three(1, 3), three(1, 3), three(1, 4));
    let padding = kernel.map(|size| random.below(size as usize / 2 + 1) as u32);
    let mut x = vec![random.below(3), 1 + random.below(2)];
    (0..n_axes).for_each(|axis| x.push(kernel[axis] as usize + random.below(4)));
    let windows = match random.below(2) {
        0 => Windows::Adaptive(to),
        _ => Windows::Strided { kernel, stride, padding },
    };
    let op = match random.below(6) {
        0 | 1 => Op::Pool(Pooling::Max, windows),
        2 => Op::Pool(Pooling::Mean(true), windows),
        3 => Op::Pool(Pooling::Mean(false), windows),
        4 => Op::Resample([Sampling::Nearest, Sampling::Linear][random.below(2)], to),
        _ => Op::Resample(Sampling::LinearCorners, to),
    };
    (vec![input(random, &x)], done(op))
}

fn indices(random: &mut Random, sizes: &[usize], below: usize) -> Tensor {
    let n: usize = sizes.iter().product();
    let all: Vec<i64> = (0..n).map(|_| random.below(below) as i64).collect();
    Tensor::new(sizes, &all).unwrap()
}

pub(super) fn indexed(random: &mut Random) -> Trial {
    let rank = 1 + random.below(3);
    let mut x: Vec<usize> = sizes(random, rank);
    x.iter_mut().for_each(|size| *size = (*size).max(1));
    let axis = random.below(rank);
    let mut index: Vec<usize> = x.iter().map(|size| 1 + random.below(*size)).collect();
    index[axis] = random.below(6);
    let places = indices(random, &index, x[axis]);
    match random.below(3) {
        0 => {
            let rank = random.below(3);
            let sizes = sizes(random, rank);
            let rows = indices(random, &sizes, x[0]);
            let f = move |session: &mut Session, x: &[Id]| {
                let rows = session.insert(&rows)?;
                session.apply(Op::Embedding, &[x[0], rows])
            };
            (vec![input(random, &x)], Box::new(f))
        }
        1 => {
            let f = move |session: &mut Session, x: &[Id]| {
                let places = session.insert(&places)?;
                session.apply(Op::Gather(axis as u32), &[x[0], places])
            };
            (vec![input(random, &x)], Box::new(f))
        }
        _ => {
            let f = move |session: &mut Session, x: &[Id]| {
                let places = session.insert(&places)?;
                session.apply(Op::ScatterAdd(axis as u32), &[x[0], places, x[1]])
            };
            (vec![input(random, &x), input(random, &index)], Box::new(f))
        }
    }
}

pub(super) fn layouts(random: &mut Random) -> Trial {
    let rank = 1 + random.below(3);
    let sizes = sizes(random, rank);
    let axis = random.below(rank);
    let x = input(random, &sizes);
    let f: Function = match random.below(7) {
        0 => {
            let n = 1 + random.below(3);
            let part = |random: &mut Random| {
                let mut sizes = sizes.clone();
                sizes[axis] = random.below(4);
                input(random, &sizes)
            };
            let inputs = (0..n).map(|_| part(random)).collect();
            return (inputs, Box::new(move |session, x| concat(session, x, axis)));
        }
        1 => {
            let step = 1 + random.below(3);
            let start = random.below(sizes[axis] + 1);
            let most = (sizes[axis] - start).div_ceil(step);
            let len = random.below(most + 1);
            Box::new(move |session, x| slice(session, x[0], axis, start, len, step))
        }
        2 => {
            let around = [(random.below(3), random.below(3))];
            Box::new(move |session, x| pad(session, x[0], &around, 0.5))
        }
        3 => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.rotate_left(random.below(rank));
            order.swap(0, axis);
            Box::new(move |session, x| permute(session, x[0], &order))
        }
        4 => Box::new(move |session, x| flatten(session, x[0], axis)),
        5 => {
            let from = repeatable(random, &sizes);
            let x = input(random, &from);
            return (vec![x], Box::new(move |session, x| expand(session, x[0], &sizes)));
        }
        _ => return (vec![x.clone(), x], Box::new(move |session, x| stack(session, x, axis))),
    };
    (vec![x], f)
}

pub(super) fn losses(random: &mut Random) -> Trial {
    let n_axes = random.below(3);
    let sizes = sizes(random, 1 + n_axes);
    let n_classes = 1 + random.below(4);
    let mut scores = sizes.clone();
    scores.insert(1, n_classes);
    let classes = indices(random, &sizes, n_classes);
    let weights = positive(random, &[n_classes]);
    let weights = (random.below(2) == 0).then(|| Tensor::new(&weights.0, &weights.1).unwrap());
    let loss = ClassLoss {
        is_log: random.below(2) == 0,
        ignored: [None, Some(0)][random.below(2)],
        reduction: [Reduction::None, Reduction::Sum][random.below(2)],
    };
    let f = move |session: &mut Session, x: &[Id]| {
        let mut inputs = vec![x[0], session.insert(&classes)?];
        if let Some(weights) = &weights {
            inputs.push(session.insert(weights)?);
        }
        session.apply(Op::ClassLoss(loss), &inputs)
    };
    (vec![input(random, &scores)], Box::new(f))
}
