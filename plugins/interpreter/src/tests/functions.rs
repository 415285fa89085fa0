//! Functions.

use fedwasm_graph::{FunctionKind, Value};
use fedwasm_sdk::*;

use super::{assert_bits, flag, integer, integers, real, truth, whole, word, x};
use crate::call;

type Case = (Vec<Tensor>, Vec<Option<fedwasm_graph::Value>>, Vec<Tensor>);

fn one(x: Tensor, attributes: Vec<Option<Value>>, wanted: impl Fn(&Tensor) -> Tensor) -> Case {
    let wanted = vec![wanted(&x)];
    (vec![x], attributes, wanted)
}

fn two(
    x: Tensor,
    y: Tensor,
    attributes: Vec<Option<Value>>,
    wanted: impl Fn(&Tensor, &Tensor) -> Tensor,
) -> Case {
    let wanted = vec![wanted(&x, &y)];
    (vec![x, y], attributes, wanted)
}

fn none(attributes: Vec<Option<Value>>, wanted: Tensor) -> Case {
    (vec![], attributes, vec![wanted])
}

fn windows(stride: u32, padding: u32) -> Window {
    Window { stride: [stride; 3], padding: [padding; 3], ..Window::default() }
}

/// `n` axes of 5 behind [2, 3].
fn image(n: usize) -> Tensor {
    x(&[&[2, 3][..], &vec![5; n]].concat())
}

fn weight(first: usize, second: usize, n: usize) -> Tensor {
    x(&[&[first, second][..], &vec![2; n]].concat())
}

fn conv(n: usize) -> Case {
    let (x, w, b) = (image(n), weight(4, 3, n), x(&[4]));
    let window = Window { dilation: tail(n, [2, 1, 1]), ..padded(n) };
    let wanted = x.conv(&w, Some(&b), window);
    let dilation = &[2, 1, 1][..n];
    let attributes = vec![integers(&[2]), integers(&vec![1; n]), integers(dilation), None];
    (vec![x, w, b], attributes, vec![wanted])
}

/// Strides of 2 and padding of 1 along `n` axes, and nothing along others.
fn padded(n: usize) -> Window {
    let along = |size, other| {
        let mut all = [other; 3];
        all[..n].fill(size);
        all
    };
    Window { stride: along(2, 1), padding: along(1, 0), ..windows(1, 0) }
}

fn tail(n: usize, sizes: [u32; 3]) -> [u32; 3] {
    let mut all = [1; 3];
    all[..n].copy_from_slice(&sizes[..n]);
    all
}

fn conv_transpose(n: usize) -> Case {
    let (x, w) = (image(n), weight(3, 4, n));
    let mut longer = [0; 3];
    longer[..n].fill(1);
    let wanted = x.conv_transpose(&w, None, padded(n), longer);
    let attributes = vec![integers(&[2]), integers(&[1]), integers(&[1])];
    (vec![x, w], attributes, vec![wanted])
}

fn binary(a: Tensor, b: Tensor, wanted: fn(&Tensor, &Tensor) -> Tensor) -> Case {
    two(a, b, vec![], wanted)
}

// long: a case for each function of the table
fn case(kind: FunctionKind) -> Case {
    use FunctionKind as F;
    let a = || x(&[3, 4]);
    let b = || x(&[4, 3]).transpose(0, 1) * 0.5 + 0.25;
    let above = || x(&[3, 4]).abs() + 0.5;
    match kind {
        F::Exp => one(a(), vec![], Tensor::exp),
        F::Log => one(above(), vec![], Tensor::ln),
        F::Sqrt => one(above(), vec![], Tensor::sqrt),
        F::Rsqrt => one(above(), vec![], Tensor::rsqrt),
        F::Reciprocal => one(above(), vec![], Tensor::reciprocal),
        F::Square => one(a(), vec![], Tensor::square),
        F::Abs => one(a(), vec![], Tensor::abs),
        F::Sign => one(a(), vec![], Tensor::sign),
        F::Neg => one(a(), vec![], |x| -x),
        F::Relu => one(a(), vec![], Tensor::relu),
        F::LeakyRelu => one(a(), vec![real(0.25)], |x| x.leaky_relu(0.25)),
        F::Elu => one(a(), vec![], |x| x.elu(1.0)),
        F::Gelu => one(a(), vec![word("tanh")], Tensor::gelu_tanh),
        F::Silu => one(a(), vec![], Tensor::silu),
        F::Sigmoid => one(a(), vec![], Tensor::sigmoid),
        F::Tanh => one(a(), vec![], Tensor::tanh),
        F::Softplus => one(a(), vec![], Tensor::softplus),
        F::Clamp => one(a(), vec![None, real(0.5)], |x| x.minimum(0.5)),
        F::To => one(a(), vec![word("int64")], Tensor::to_i64),
        F::Detach => one(a(), vec![], Tensor::detach),
        // Nothing outside of training.
        F::Dropout => one(a(), vec![real(0.5)], Tensor::clone),
        F::LogicalNot => one(truth(&[3, 4]), vec![], |x| x.to_f32().eq(0.0)),
        F::Add => binary(a(), b(), |a, b| a + b),
        F::Sub => one(a(), vec![real(2.0)], |x| 2.0 - x),
        F::Mul => one(a(), vec![None, integer(3)], |x| x * 3.0),
        F::Div => binary(a(), b(), |a, b| a / b),
        F::Pow => one(above(), vec![None, real(1.5)], |x| x.powf(1.5)),
        F::Maximum => binary(a(), b(), |a, b| a.maximum(b)),
        F::Minimum => one(a(), vec![None, real(0.1)], |x| x.minimum(0.1)),
        F::Eq => binary(a(), a(), |a, b| a.eq(b)),
        F::Ne => binary(a(), b(), |a, b| a.ne(b)),
        F::Lt => one(a(), vec![real(0.1)], |x| x.gt(0.1)),
        F::Le => binary(a(), b(), |a, b| a.le(b)),
        F::Gt => one(a(), vec![None, real(0.1)], |x| x.gt(0.1)),
        F::Ge => one(a(), vec![real(0.1)], |x| x.le(0.1)),
        F::LogicalAnd => {
            binary(truth(&[3, 4]), a().gt(0.0), |a, b| (a.to_f32() * b.to_f32()).eq(1.0))
        }
        F::LogicalOr => {
            binary(truth(&[3, 4]), a().gt(0.0), |a, b| (a.to_f32() + b.to_f32()).gt(0.0))
        }
        F::Where => {
            let wanted = truth(&[3, 4]).where_(0.25, a());
            (vec![truth(&[3, 4]), a()], vec![real(0.25)], vec![wanted])
        }
        F::Sum => one(a(), vec![integers(&[-1]), flag(true)], |x| x.sum_keep(&[1])),
        F::Mean => one(a(), vec![], Tensor::mean_all),
        F::Amax => one(a(), vec![integers(&[0])], |x| x.max(&[0])),
        F::Amin => one(a(), vec![None, flag(true)], |x| x.min_keep(&[0, 1])),
        F::Logsumexp => one(a(), vec![integers(&[1])], |x| x.log_sum_exp(&[1])),
        F::Var => one(a(), vec![integers(&[-1]), flag(true), integer(0)], |x| {
            x.variance(&[1], false).unsqueeze(-1)
        }),
        F::Argmax => one(a(), vec![integer(-1)], |x| x.argmax(1)),
        F::Softmax => one(a(), vec![integer(-1)], |x| x.softmax(1)),
        F::LogSoftmax => one(a(), vec![integer(0)], |x| x.log_softmax(0)),
        F::Normalise => one(a(), vec![integers(&[1]), real(1e-3)], |x| x.normalise(&[1], 1e-3)),
        F::LayerNorm => {
            let (w, b) = (x(&[4]), x(&[4]) + 1.0);
            let wanted = a().normalise(&[1], 1e-5) * &w + &b;
            (vec![a(), w, b], vec![integers(&[4])], vec![wanted])
        }
        F::GroupNorm => one(x(&[2, 4, 3]), vec![integer(2)], |x| {
            x.reshape(&[2, 2, 6]).normalise(&[2], 1e-5).reshape(&[2, 4, 3])
        }),
        F::InstanceNorm => one(x(&[2, 4, 3]), vec![], |x| x.normalise(&[2], 1e-5)),
        F::BatchNorm => {
            let (mean, variance) = (x(&[4]), x(&[4]).abs() + 0.5);
            let wanted = a().batch_norm(&mean, &variance, None, None, 1e-5);
            (vec![a(), mean, variance], vec![], vec![wanted])
        }
        F::Matmul => binary(a(), x(&[4, 2]), Tensor::matmul),
        F::Linear => binary(a(), x(&[2, 4]), |x, w| x.linear(w, None)),
        F::ScaledDotProductAttention => {
            let (q, k, v) = (x(&[2, 3, 4]), x(&[2, 5, 4]), x(&[2, 5, 6]));
            let scores = q.matmul(&k.transpose(1, 2)) * 0.5;
            let wanted = truth(&[3, 5]).where_(scores, f64::NEG_INFINITY).softmax(-1).matmul(&v);
            (vec![q, k, v, truth(&[3, 5])], vec![], vec![wanted])
        }
        F::Reshape => one(a(), vec![integers(&[2, -1])], |x| x.reshape(&[2, 6])),
        F::Flatten => one(x(&[2, 3, 4]), vec![integer(1)], |x| x.reshape(&[2, 12])),
        F::Unsqueeze => one(a(), vec![integer(-1)], |x| x.unsqueeze(2)),
        F::Squeeze => one(x(&[3, 1, 4]), vec![integer(1)], |x| x.squeeze(1)),
        F::Expand => one(x(&[3, 1]), vec![integers(&[2, 3, 4])], |x| x.expand(&[2, 3, 4])),
        F::Permute => one(x(&[2, 3, 4]), vec![integers(&[2, 0, -2])], |x| x.permute(&[2, 0, 1])),
        F::Transpose => one(a(), vec![integer(0), integer(-1)], |x| x.transpose(0, 1)),
        F::Slice => {
            let attributes = vec![integer(1), integer(1), integer(2), integer(2)];
            one(a(), attributes, |x| x.slice_by(1, 1, 2, 2))
        }
        F::Select => one(a(), vec![integer(1), integer(2)], |x| x.select(1, 2)),
        F::Split => (vec![a()], vec![integers(&[1, 3]), integer(-1)], a().split(&[1, 3], 1)),
        F::Chunk => (vec![a()], vec![integer(3), integer(-1)], a().chunk(3, 1)),
        F::Pad => {
            one(a(), vec![integers(&[1, 0, 0, 2]), real(0.5)], |x| x.pad(&[(1, 0), (0, 2)], 0.5))
        }
        F::Gather => binary_at(a(), whole(&[3, 2], 4), |x, at| x.gather(1, at)),
        F::ScatterAdd => {
            let (at, y) = (whole(&[3, 2], 4), x(&[3, 2]));
            let wanted = a().scatter_add(1, &at, &y);
            (vec![a(), at, y], vec![integer(1)], vec![wanted])
        }
        F::Embedding => binary(a(), whole(&[5], 3), Tensor::embedding),
        F::Cat => two(a(), b(), vec![integer(-1)], |a, b| Tensor::concat(&[a, b], 1)),
        F::Stack => two(a(), b(), vec![integer(0)], |a, b| Tensor::stack(&[a, b], 0)),
        F::Full => none(
            vec![integers(&[2, 3]), real(7.0), word("int64")],
            Tensor::full_of(&[2, 3], 7.0, Dtype::I64),
        ),
        F::Zeros => none(vec![integers(&[2])], Tensor::zeros(&[2])),
        F::Ones => none(vec![integers(&[2])], Tensor::ones(&[2])),
        F::Arange => none(vec![integer(5)], Tensor::range(5)),
        F::Constant => none(
            vec![Some(Value::Reals(vec![1.5, 2.0])), integers(&[2, 1])],
            Tensor::from_slice(&[1.5f32, 2.0], &[2, 1]),
        ),
        // Their draws are another test's.
        F::RandnLike | F::RandLike => (vec![a()], vec![], vec![]),
        F::CrossEntropy => {
            let (classes, weights) = (whole(&[3], 4), x(&[4]).abs());
            let options = CrossEntropy {
                weights: Some(weights.clone()),
                ignored: Some(1),
                reduction: Reduction::Sum,
            };
            let wanted = a().cross_entropy_with(&classes, &options);
            (vec![a(), classes, weights], vec![integer(1), word("sum")], vec![wanted])
        }
        F::NllLoss => binary(a(), whole(&[3], 4), Tensor::nll),
        F::MseLoss => two(a(), b(), vec![word("none")], |a, b| (a - b).square()),
        F::L1Loss => binary(a(), b(), Tensor::mae),
        F::HuberLoss => two(a(), b(), vec![real(0.5)], |a, b| a.huber(b, 0.5)),
        F::BceWithLogits => binary(a(), b().sigmoid(), Tensor::bce_with_logits),
        F::KlDiv => binary(a().log_softmax(1), b().softmax(1), Tensor::kl),
        F::DiceLoss => binary(x(&[2, 3, 4]).sigmoid(), x(&[2, 3, 4]).abs(), |a, b| a.dice(b, 1.0)),
        F::Conv1d => conv(1),
        F::Conv2d => conv(2),
        F::Conv3d => conv(3),
        F::ConvTranspose1d => conv_transpose(1),
        F::ConvTranspose2d => conv_transpose(2),
        F::ConvTranspose3d => conv_transpose(3),
        F::MaxPool1d => pool(1, |x, windows| x.max_pool(windows)),
        F::MaxPool2d => pool(2, |x, windows| x.max_pool(windows)),
        F::MaxPool3d => pool(3, |x, windows| x.max_pool(windows)),
        F::AvgPool1d => pool(1, |x, windows| x.avg_pool(windows, true)),
        F::AvgPool2d => pool(2, |x, windows| x.avg_pool(windows, true)),
        F::AvgPool3d => pool(3, |x, windows| x.avg_pool(windows, true)),
        F::AdaptiveMaxPool1d => adaptive(1, |x, windows| x.max_pool(windows)),
        F::AdaptiveMaxPool2d => adaptive(2, |x, windows| x.max_pool(windows)),
        F::AdaptiveMaxPool3d => adaptive(3, |x, windows| x.max_pool(windows)),
        F::AdaptiveAvgPool1d => adaptive(1, |x, windows| x.avg_pool(windows, true)),
        F::AdaptiveAvgPool2d => adaptive(2, |x, windows| x.avg_pool(windows, true)),
        F::AdaptiveAvgPool3d => adaptive(3, |x, windows| x.avg_pool(windows, true)),
        F::Interpolate => one(image(2), vec![integers(&[7, 4]), word("linear_corners")], |x| {
            x.resample(Sampling::LinearCorners, &[7, 4])
        }),
    }
}

fn binary_at(a: Tensor, at: Tensor, wanted: fn(&Tensor, &Tensor) -> Tensor) -> Case {
    two(a, at, vec![integer(1)], wanted)
}

fn pool(n: usize, wanted: fn(&Tensor, Windows) -> Tensor) -> Case {
    one(image(n), vec![integers(&[3]), integers(&vec![2; n])], |x| {
        let (kernel, stride) = (tail(n, [3; 3]), tail(n, [2; 3]));
        wanted(x, Windows::Strided { kernel, stride, padding: [0; 3] })
    })
}

fn adaptive(n: usize, wanted: fn(&Tensor, Windows) -> Tensor) -> Case {
    one(image(n), vec![integers(&[2])], |x| wanted(x, Windows::Adaptive(tail(n, [2; 3]))))
}

#[test]
fn each_function_is_the_method_of_the_sdk() {
    for kind in FunctionKind::ALL {
        let (inputs, attributes, wanted) = case(*kind);
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let got = call(*kind, &inputs, &attributes).unwrap();
        if matches!(kind, FunctionKind::RandnLike | FunctionKind::RandLike) {
            assert_eq!(got[0].shape(), inputs[0].shape());
            continue;
        }
        assert_bits(kind.name(), &got, &wanted);
    }
}

#[test]
fn draws_are_those_of_the_host() {
    let like = Tensor::zeros(&[1000]);
    let uniform = call(FunctionKind::RandLike, &[&like], &[]).unwrap()[0].to_vec::<f32>().unwrap();
    assert!(uniform.iter().all(|x| (0.0..1.0).contains(x)));
    let mean = uniform.iter().sum::<f32>() / 1000.0;
    assert!((mean - 0.5).abs() < 0.05, "{mean}");
    let normal = call(FunctionKind::RandnLike, &[&like], &[]).unwrap()[0].to_vec::<f32>().unwrap();
    let square = normal.iter().map(|x| x * x).sum::<f32>() / 1000.0;
    assert!((square - 1.0).abs() < 0.15, "{square}");
}

#[test]
fn attributes_of_another_form_are_named() {
    use FunctionKind as F;
    let a = x(&[3, 4]);
    let wrong = |kind, inputs: &[&Tensor], attributes: &[Option<Value>]| {
        call(kind, inputs, attributes).map(drop).unwrap_err().to_string()
    };
    let cases = [
        (wrong(F::Softmax, &[&a], &[]), "softmax: dim is missing, expected a whole number"),
        (wrong(F::Softmax, &[&a], &[real(0.5)]), "softmax: dim is Real(0.5)"),
        (wrong(F::Add, &[&a], &[]), "add takes tensors, or a number"),
        (wrong(F::Add, &[&a, &a], &[real(1.0)]), "add takes tensors, or a number"),
        (wrong(F::Add, &[], &[]), "add takes 1 to 2 tensors, not 0"),
        (wrong(F::Relu, &[&a], &[real(1.0)]), "relu takes 0 attributes, not 1"),
        (wrong(F::Gelu, &[&a], &[word("erf")]), "expected none or tanh"),
        (wrong(F::Expand, &[&a], &[integers(&[-1])]), "each at least 0"),
        (wrong(F::Pad, &[&a], &[integers(&[1])]), "pad takes two sizes an axis"),
        (wrong(F::Var, &[&a], &[None, None, integer(2)]), "correction is 2, expected 0 or 1"),
        (wrong(F::MaxPool2d, &[&a], &[integers(&[2])]), "[rows, channels] and 2 more axes"),
        (wrong(F::Conv2d, &[&image(2), &a], &[integers(&[1, 2, 3])]), "one size, or 2"),
        (wrong(F::LayerNorm, &[&a], &[integers(&[3])]), "layer_norm over [3] of a tensor [3, 4]"),
    ];
    for (got, wanted) in cases {
        assert!(got.contains(wanted), "{got}, not {wanted}");
    }
}
