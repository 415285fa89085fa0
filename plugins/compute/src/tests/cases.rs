//! The operations of PyTorch's cases, by the names of `tests/torch_values.py`.

use crate::compose::*;
use crate::op::{Binary, Compare, Op, Reduce, Reduction, Sampling, Unary, Window, Windows};
use crate::{Apply, Axes, Id, Mistake, Session, Tensor};

/// The output of a case.
pub(super) fn output(session: &mut Session, name: &str, inputs: &[Id]) -> Result<Id, Mistake> {
    let name = name.strip_prefix("odd_").or_else(|| name.strip_prefix("empty_")).unwrap_or(name);
    for group in [elementwise, reductions, products, windows, norms, layout, losses] {
        if let Some(output) = group(session, name, inputs) {
            return output;
        }
    }
    panic!("the case {name} is not known");
}

type Output = Option<Result<Id, Mistake>>;

fn elementwise(s: &mut Session, name: &str, i: &[Id]) -> Output {
    let f = match name {
        "neg" => Unary::Neg,
        "exp" => Unary::Exp,
        "square" => Unary::Square,
        "abs" => Unary::Abs,
        "sign" => Unary::Sign,
        "add_scalar" => Unary::AddScalar(1.25),
        "mul_scalar" => Unary::MulScalar(-0.75),
        "clamp" => Unary::Clamp(-1.0, 0.5),
        "relu" => Unary::Relu,
        "leaky_relu" => Unary::LeakyRelu(0.125),
        "elu" => Unary::Elu(1.5),
        "gelu" => Unary::Gelu,
        "gelu_tanh" => Unary::GeluTanh,
        "silu" => Unary::Silu,
        "sigmoid" => Unary::Sigmoid,
        "tanh" => Unary::Tanh,
        "softplus" => Unary::Softplus,
        "pow_scalar_3" => Unary::PowScalar(3.0),
        "pow_scalar_2" => Unary::PowScalar(2.0),
        "pow_scalar_half" => Unary::PowScalar(0.5),
        "pow_scalar_any" => Unary::PowScalar(-1.7),
        "ln" => Unary::Ln,
        "sqrt" => Unary::Sqrt,
        "rsqrt" => Unary::Rsqrt,
        "reciprocal" => Unary::Reciprocal,
        _ => return two(s, name, i),
    };
    Some(unary(s, f, i[0]))
}

fn two(s: &mut Session, name: &str, i: &[Id]) -> Output {
    if let Some(by) = name.strip_prefix("compare_") {
        let by = match by {
            "eq" => Compare::Equal,
            "ne" => Compare::NotEqual,
            "lt" => Compare::Less,
            "le" => Compare::LessEqual,
            "gt" => Compare::Greater,
            _ => Compare::GreaterEqual,
        };
        return Some(compare(s, by, i[0], i[1]));
    }
    let f = match name.strip_suffix("_broadcast").unwrap_or(name) {
        "add" => Binary::Add,
        "sub" => Binary::Sub,
        "mul" => Binary::Mul,
        "div" => Binary::Div,
        "pow" => Binary::Pow,
        "max" => Binary::Max,
        "min" => Binary::Min,
        "where" | "where_scalar" => return Some(s.apply(Op::Where, i)),
        _ => return None,
    };
    Some(binary(s, f, i[0], i[1]))
}

fn reductions(s: &mut Session, name: &str, i: &[Id]) -> Output {
    Some(match name {
        "variance_0" => variance(s, i[0], &[0, 2], false, false),
        "variance_1" => variance(s, i[0], &[0, 2], true, false),
        "variance_all" => s.apply(Op::Variance { axes: Axes::ALL, keep: false, correction: 1 }, i),
        "argmax" | "argmax_1" => s.apply(Op::ArgMax { axis: 1, keep: false }, i),
        "argmax_0" => s.apply(Op::ArgMax { axis: 0, keep: true }, i),
        _ => {
            let (by, how) = name.split_once('_').unwrap_or((name, "1"));
            let by = match by {
                "sum" => Reduce::Sum,
                "mean" => Reduce::Mean,
                "amax" => Reduce::Max,
                "amin" => Reduce::Min,
                "logsumexp" => Reduce::LogSumExp,
                _ => return None,
            };
            match how {
                "1" => reduce(s, by, i[0], &[1], false),
                "02_keep" => reduce(s, by, i[0], &[0, 2], true),
                _ => reduce_all(s, by, i[0]),
            }
        }
    })
}

fn products(s: &mut Session, name: &str, i: &[Id]) -> Output {
    Some(match name {
        "matmul_left" => s.apply(Op::MatMul { left: true, right: false }, i),
        "matmul_right" => s.apply(Op::MatMul { left: false, right: true }, i),
        "matmul_both" => s.apply(Op::MatMul { left: true, right: true }, i),
        _ if name.starts_with("matmul") => matmul(s, i[0], i[1]),
        _ if name.starts_with("linear") => linear(s, i[0], i[1], i.get(2).copied()),
        _ => return None,
    })
}

fn window(stride: &[usize], padding: &[usize], dilation: &[usize], groups: u32) -> Window {
    let (stride, padding) = (sizes(stride, 1), sizes(padding, 0));
    Window { stride, padding, dilation: sizes(dilation, 1), groups }
}

fn strided(kernel: &[usize], stride: &[usize], padding: &[usize]) -> Windows {
    let (kernel, stride) = (sizes(kernel, 1), sizes(stride, 1));
    Windows::Strided { kernel, stride, padding: sizes(padding, 0) }
}

fn windows(s: &mut Session, name: &str, i: &[Id]) -> Output {
    if name.starts_with("conv_transpose") {
        return transposed(s, name, i);
    }
    if name.starts_with("up_") {
        return Some(up(s, name, i[0]));
    }
    let window = match name {
        "conv" | "conv1d" | "conv2d" => Window::default(),
        "conv1d_all" => window(&[2], &[2], &[2], 2),
        "conv2d_stride" => window(&[2, 3], &[1, 2], &[], 1),
        "conv2d_dilation" => window(&[], &[2, 2], &[2, 1], 1),
        "conv2d_depthwise" => window(&[], &[1, 1], &[], 3),
        "conv3d" => window(&[1, 2, 1], &[0, 1, 1], &[], 1),
        _ => return pools(s, name, i[0]),
    };
    Some(conv(s, i[0], i[1], i.get(2).copied(), window))
}

fn transposed(s: &mut Session, name: &str, i: &[Id]) -> Output {
    let (window, longer) = match name {
        "conv_transpose1d" => (Window::default(), [0; 3]),
        "conv_transpose2d" => (window(&[2, 2], &[1, 1], &[], 1), [1, 1, 0]),
        "conv_transpose2d_all" => (window(&[2, 3], &[1, 0], &[2, 1], 2), [1, 2, 0]),
        _ => (window(&[2, 2, 2], &[], &[], 1), [0; 3]),
    };
    Some(conv_transpose(s, i[0], i[1], i.get(2).copied(), window, longer))
}

fn up(s: &mut Session, name: &str, x: Id) -> Result<Id, Mistake> {
    let by = match name {
        _ if name.contains("nearest") => Sampling::Nearest,
        _ if name.ends_with("corners") => Sampling::LinearCorners,
        _ => Sampling::Linear,
    };
    let to: &[usize] = match s.kind(x)?.shape.rank() {
        3 => &[8],
        4 => &[7, 3],
        _ => &[3, 4, 5],
    };
    resample(s, x, by, to)
}

fn pools(s: &mut Session, name: &str, x: Id) -> Output {
    Some(match name {
        "max_pool1d" => max_pool(s, x, strided(&[3], &[2], &[1])),
        "max_pool2d" => max_pool(s, x, strided(&[2, 2], &[2, 2], &[])),
        "max_pool2d_all" => max_pool(s, x, strided(&[3, 2], &[1, 2], &[1, 0])),
        "max_pool3d" => max_pool(s, x, strided(&[2, 2, 2], &[], &[])),
        "avg_pool1d" => mean_pool(s, x, strided(&[3], &[2], &[1]), true),
        "avg_pool2d" => mean_pool(s, x, strided(&[2, 2], &[2, 2], &[]), true),
        "avg_pool2d_existing" => mean_pool(s, x, strided(&[3, 3], &[2, 2], &[1, 1]), false),
        "avg_pool3d" => mean_pool(s, x, strided(&[2, 2, 2], &[], &[]), true),
        "adaptive_avg1d" => mean_pool(s, x, Windows::Adaptive([3, 1, 1]), false),
        "adaptive_avg2d" => mean_pool(s, x, Windows::Adaptive([3, 2, 1]), false),
        "adaptive_avg3d" => mean_pool(s, x, Windows::Adaptive([2, 1, 3]), false),
        "adaptive_max2d" => max_pool(s, x, Windows::Adaptive([3, 2, 1])),
        _ => return None,
    })
}

fn norms(s: &mut Session, name: &str, i: &[Id]) -> Output {
    let pair = || (i.get(1).copied(), i.get(2).copied());
    Some(match name {
        "batch_norm" => batch_norm(s, i[0], pair().0, pair().1, 1e-5),
        "batch_norm_rows" => batch_norm(s, i[0], pair().0, pair().1, 1e-3),
        "batch_norm_by" => {
            let moments = Moments { mean: i[1], variance: i[2] };
            batch_norm_by(s, i[0], moments, Some(i[3]), Some(i[4]), 1e-5)
        }
        "layer_norm" => layer_norm(s, i[0], 1, pair().0, pair().1, 1e-5),
        "layer_norm_2" => layer_norm(s, i[0], 2, pair().0, pair().1, 1e-3),
        "group_norm" => group_norm(s, i[0], 2, pair().0, pair().1, 1e-5),
        "instance_norm" => instance_norm(s, i[0], pair().0, pair().1, 1e-5),
        "softmax" => s.apply(Op::Softmax(1), i),
        "softmax_0" => s.apply(Op::Softmax(0), i),
        "log_softmax" | "log_softmax_1" => s.apply(Op::LogSoftmax(1), i),
        _ => return None,
    })
}

fn layout(s: &mut Session, name: &str, i: &[Id]) -> Output {
    Some(match name {
        "embedding" => s.apply(Op::Embedding, i),
        "gather" => s.apply(Op::Gather(1), i),
        "gather_0" => s.apply(Op::Gather(0), i),
        "scatter_add" => s.apply(Op::ScatterAdd(1), i),
        "concat" => concat(s, i, 1),
        "stack" => stack(s, i, 1),
        "split" => split(s, i[0], &[1, 2, 1], 1).and_then(|x| concat(s, &[x[0], x[2]], 1)),
        "slice" => slice(s, i[0], 1, 1, 3, 3),
        "pad" => pad(s, i[0], &[(0, 1), (1, 2)], 0.5),
        "permute" => permute(s, i[0], &[2, 0, 1]),
        "permute_4" => transpose(s, i[0], 1, 2),
        "reshape" => reshape(s, i[0], &[4, 3]),
        "expand" => expand(s, i[0], &[3, 2, 4]),
        _ => return None,
    })
}

fn losses(s: &mut Session, name: &str, i: &[Id]) -> Output {
    let weights = [0.5, 2.0, 0.25, 1.5];
    let weights = match s.kind(i[0]).unwrap().dtype {
        crate::Dtype::F64 => Tensor::new(&[4], &weights).unwrap(),
        _ => Tensor::new(&[4], &weights.map(|x| x as f32)).unwrap(),
    };
    let weights = s.insert(&weights).unwrap();
    let mean = Reduction::Mean;
    Some(match name {
        "cross_entropy_mean" | "cross_entropy_large" => {
            cross_entropy(s, i[0], i[1], None, None, mean)
        }
        "cross_entropy_sum" => cross_entropy(s, i[0], i[1], None, None, Reduction::Sum),
        "cross_entropy_none" => cross_entropy(s, i[0], i[1], None, None, Reduction::None),
        "cross_entropy_weights" => cross_entropy(s, i[0], i[1], Some(weights), Some(-100), mean),
        "cross_entropy_pixels" => cross_entropy(s, i[0], i[1], Some(weights), Some(1), mean),
        "nll" => nll(s, i[0], i[1], Some(weights), Some(-100), mean),
        "mse_mean" => mse(s, i[0], i[1], mean),
        "mse_sum" => mse(s, i[0], i[1], Reduction::Sum),
        "mse_none" => mse(s, i[0], i[1], Reduction::None),
        "bce" => bce_with_logits(s, i[0], i[1], mean),
        "mae" => mae(s, i[0], i[1], mean),
        "huber" => huber(s, i[0], i[1], 0.75, mean),
        "kl" => kl(s, i[0], i[1], mean),
        "dice" => dice(s, i[0], i[1], 1.0),
        _ => return None,
    })
}
