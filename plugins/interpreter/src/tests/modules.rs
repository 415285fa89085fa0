//! Modules, and layers that texts describe.

use fedwasm_graph::{ModuleKind, Value};
use fedwasm_sdk::*;

use super::{assert_bits, flag, integer, integers, real, whole, word, x};
use crate::{Callable, module};

/// A layer of the SDK, in the place of what the table makes.
struct Wanted<L>(L);

impl<L: Layer> Module for Wanted<L> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }
}

impl<L: Layer> Callable for Wanted<L> {
    fn call(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.0.forward(inputs[0])])
    }
}

type Case = (Vec<Option<Value>>, Box<dyn Callable>, Tensor);

fn layer(attributes: Vec<Option<Value>>, layer: impl Layer + 'static, x: Tensor) -> Case {
    (attributes, Box::new(Wanted(layer)), x)
}

fn image(n: usize) -> Tensor {
    x(&[&[2, 4][..], &vec![6; n]].concat())
}

/// Channels, filters, kernel, stride, padding, dilation, groups, bias.
fn conv<const N: usize>() -> Case {
    let conv: Conv<N, false> = Conv::new(4, 6, 3);
    let conv = conv.groups(2).stride(2).padding(1).without_bias();
    let attributes = vec![
        integer(4),
        integer(6),
        integers(&[3]),
        integers(&[2; N]),
        integers(&[1]),
        None,
        integer(2),
        flag(false),
    ];
    layer(attributes, conv, image(N))
}

fn conv_transpose<const N: usize>() -> Case {
    let conv: Conv<N, true> = Conv::new(4, 6, 3);
    let conv = conv.stride(2).padding(1).output_padding(1);
    let (two, one) = (integers(&[2]), integers(&[1]));
    let attributes = vec![integer(4), integer(6), integers(&[3; N]), two, one.clone(), one];
    layer(attributes, conv, image(N))
}

fn pool<const N: usize, const IS_MAX: bool>() -> Case {
    let pool = Pool::<N, IS_MAX>::new(3).stride(2).padding(1);
    layer(vec![integers(&[3]), integers(&[2]), integers(&[1])], pool, image(N))
}

fn adaptive<const N: usize, const IS_MAX: bool>() -> Case {
    layer(vec![integers(&[2])], AdaptivePool::<N, IS_MAX>::new(2), image(N))
}

fn texts(texts: &[&str]) -> Option<Value> {
    Some(Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect()))
}

// long: a case for each module of the table
fn case(kind: ModuleKind) -> Case {
    use ModuleKind as M;
    let flat = || x(&[3, 4]);
    let steps = || x(&[2, 5, 4]);
    match kind {
        M::Linear => {
            layer(vec![integer(4), integer(5), flag(false)], Linear::without_bias(4, 5), flat())
        }
        M::Conv1d => conv::<1>(),
        M::Conv2d => conv::<2>(),
        M::Conv3d => conv::<3>(),
        M::ConvTranspose1d => conv_transpose::<1>(),
        M::ConvTranspose2d => conv_transpose::<2>(),
        M::ConvTranspose3d => conv_transpose::<3>(),
        M::Embedding => layer(
            vec![integer(7), integer(3), integer(5)],
            Embedding::new(7, 3).padding(5),
            whole(&[2, 4], 7),
        ),
        M::BatchNorm => layer(
            vec![integer(4), real(0.01), real(0.2), flag(true), flag(false)],
            BatchNorm::new(4).epsilon(0.01).momentum(0.2).share_buffers(false),
            flat(),
        ),
        M::LayerNorm => layer(
            vec![integers(&[5, 4]), real(0.01), flag(false)],
            LayerNorm::over(&[5, 4]).epsilon(0.01).without_affine(),
            steps(),
        ),
        M::GroupNorm => layer(vec![integer(2), integer(4)], GroupNorm::new(2, 4), image(1)),
        M::InstanceNorm => {
            layer(vec![integer(4), None, flag(true)], InstanceNorm::new(4).affine(), image(1))
        }
        M::Dropout => layer(vec![real(0.25)], Dropout::new(0.25), flat()),
        M::Rnn => layer(vec![integer(4), integer(3)], Rnn::new(4, 3), steps()),
        M::Lstm => layer(
            vec![integer(4), integer(3), integer(2), None, flag(true)],
            Lstm::new(4, 3).layers(2).bidirectional(),
            steps(),
        ),
        M::Gru => layer(vec![integer(4), integer(3)], Gru::new(4, 3), steps()),
        M::MultiheadAttention => layer(
            vec![integer(4), integer(2), None, flag(true)],
            MultiheadAttention::new(4, 2).causal(),
            steps(),
        ),
        M::TransformerEncoderLayer => layer(
            vec![integer(4), integer(2), integer(6), real(0.0), word("gelu"), flag(true)],
            TransformerEncoderLayer::new(4, 2, 6).dropout(0.0).gelu().norm_first(),
            steps(),
        ),
        M::MaxPool1d => pool::<1, true>(),
        M::MaxPool2d => pool::<2, true>(),
        M::MaxPool3d => pool::<3, true>(),
        M::AvgPool1d => pool::<1, false>(),
        M::AvgPool2d => pool::<2, false>(),
        M::AvgPool3d => pool::<3, false>(),
        M::AdaptiveMaxPool1d => adaptive::<1, true>(),
        M::AdaptiveMaxPool2d => adaptive::<2, true>(),
        M::AdaptiveMaxPool3d => adaptive::<3, true>(),
        M::AdaptiveAvgPool1d => adaptive::<1, false>(),
        M::AdaptiveAvgPool2d => adaptive::<2, false>(),
        M::AdaptiveAvgPool3d => adaptive::<3, false>(),
        M::Upsample => layer(vec![integer(2), word("linear")], Upsample::linear(2), image(2)),
        M::Relu => layer(vec![], Relu, flat()),
        M::LeakyRelu => layer(vec![], LeakyRelu(0.01), flat()),
        M::Elu => layer(vec![real(0.5)], Elu(0.5), flat()),
        M::Gelu => layer(vec![], Gelu, flat()),
        M::Silu => layer(vec![], Silu, flat()),
        M::Sigmoid => layer(vec![], Sigmoid, flat()),
        M::Tanh => layer(vec![], Tanh, flat()),
        M::Softplus => layer(vec![], Softplus, flat()),
        M::Flatten => layer(vec![], Flatten, image(2)),
        M::Described => layer(
            vec![integers(&[4]), texts(&["linear 5", "relu", "linear outputs"]), integer(3)],
            Sequential::new()
                .then("0", Linear::new(4, 5))
                .then("1", Relu)
                .then("2", Linear::new(5, 3)),
            flat(),
        ),
    }
}

/// Values that follow from the place among the parameters.
fn set(module: &dyn Callable) -> Vec<(String, Vec<usize>, bool, bool)> {
    let parameters = module.parameters();
    for (nth, (_, parameter)) in parameters.iter().enumerate() {
        parameter.set(&(x(&parameter.shape()) * 0.5 + (0.6 + nth as f64 * 0.01)));
    }
    let of = |(name, parameter): &(String, Parameter)| {
        (name.clone(), parameter.shape(), parameter.is_buffer(), parameter.is_local())
    };
    parameters.iter().map(of).collect()
}

#[test]
fn each_module_is_the_layer_of_the_sdk() {
    for kind in ModuleKind::ALL {
        let (attributes, wanted, x) = case(*kind);
        let got = module(*kind, &attributes).unwrap();
        let [draws, wanted_draws] = [&got, &wanted].map(|module| {
            native::with_host(
                std::rc::Rc::new(std::cell::RefCell::new(native::Memory::new())),
                || {
                    module.draw(&mut Random::new()).unwrap();
                    let of = |(_, parameter): &(String, Parameter)| parameter.tensor();
                    module.parameters().iter().map(of).collect::<Vec<_>>()
                },
            )
        });
        assert_bits(kind.name(), &draws, &wanted_draws);
        assert_eq!(set(&*got), set(&*wanted), "{}", kind.name());
        for is_training in [false, true] {
            native::set_training(is_training);
            // What is drawn is another's draw the second time.
            if !(is_training && *kind == ModuleKind::Dropout) {
                let [got, wanted] = [&got, &wanted].map(|module| module.call(&[&x]).unwrap());
                assert_bits(kind.name(), &got[..1], &wanted);
            }
        }
        native::set_training(false);
        // Running means moved alike.
        let values = |module: &dyn Callable| -> Vec<Tensor> {
            module.parameters().iter().map(|(_, parameter)| parameter.tensor()).collect()
        };
        assert_bits(kind.name(), &values(&*got), &values(&*wanted));
        assert!(native::take_mistake().is_none(), "{}", kind.name());
    }
}

#[test]
fn recurrent_layers_give_and_take_states() {
    let attributes = [integer(4), integer(3)];
    let lstm = module(ModuleKind::Lstm, &attributes).unwrap();
    set(&*lstm);
    let (first, second) = (x(&[2, 5, 4]), x(&[2, 3, 4]));
    let both = Tensor::concat(&[&first, &second], 1);
    let all = lstm.call(&[&both]).unwrap();
    let begun = lstm.call(&[&first]).unwrap();
    let ended = lstm.call(&[&second, &begun[1], &begun[2]]).unwrap();
    assert_bits("states", &ended[1..], &all[1..]);
    assert_bits("outputs", &ended[..1], &[all[0].slice(1, 5, 3)]);
    let gru = module(ModuleKind::Gru, &attributes).unwrap();
    set(&*gru);
    let begun = gru.call(&[&first]).unwrap();
    let ended = gru.call(&[&second, &begun[1]]).unwrap();
    assert_bits("states", &ended[1..], &gru.call(&[&both]).unwrap()[1..]);
    assert!(gru.call(&[&first, &first, &first]).is_err());
}

#[test]
fn attention_takes_others_and_a_mask() {
    let attention = module(ModuleKind::MultiheadAttention, &[integer(4), integer(2)]).unwrap();
    set(&*attention);
    let (x, others) = (x(&[2, 5, 4]), x(&[2, 3, 4]));
    let nothing = Tensor::zeros(&[2, 1, 1, 5]);
    let plain = attention.call(&[&x]).unwrap();
    assert_bits("mask", &attention.call(&[&x, &nothing]).unwrap(), &plain);
    assert_bits("itself", &attention.call(&[&x, &x, &x]).unwrap(), &plain);
    let of_others = attention.call(&[&x, &others, &others]).unwrap();
    assert_eq!(of_others[0].shape(), [2, 5, 4]);
    let mask = Tensor::zeros(&[2, 1, 1, 3]);
    assert_bits("4", &attention.call(&[&x, &others, &others, &mask]).unwrap(), &of_others);
}

/// The shape behind layers that texts describe, of rows of this shape.
fn described(inputs: &[i64], layers: &[&str]) -> Result<Vec<usize>, String> {
    let attributes = [integers(inputs), texts(layers), integer(3)];
    let made = module(ModuleKind::Described, &attributes).map_err(|error| error.to_string())?;
    set(&*made);
    let shape: Vec<usize> =
        std::iter::once(2).chain(inputs.iter().map(|size| *size as usize)).collect();
    let y = made.call(&[&x(&shape).abs()]).unwrap();
    match native::take_mistake() {
        Some(mistake) => Err(mistake.to_string()),
        None => Ok(y[0].shape()),
    }
}

#[test]
fn texts_describe_layers() {
    let conv = ["conv 8 3 1 1", "batch_norm", "relu", "max_pool 2", "flatten", "linear outputs"];
    assert_eq!(described(&[1, 8, 8], &conv).unwrap(), [2, 3]);
    let digits = ["reshape 1 8 8", "conv 4 3", "avg_pool 2", "flatten", "linear outputs"];
    assert_eq!(described(&[64], &digits).unwrap(), [2, 3]);
    let one = ["conv 4 3 2", "group_norm 2", "upsample 2", "adaptive_avg_pool 1", "flatten"];
    assert_eq!(described(&[3, 9], &one).unwrap(), [2, 4]);
    let lstm = ["lstm 6", "gru 5", "rnn 4", "last", "layer_norm", "linear 2", "softplus"];
    assert_eq!(described(&[7, 3], &lstm).unwrap(), [2, 2]);
    let words = ["embedding 5 6", "dropout 0.1", "flatten", "linear 4", "elu 0.5", "leaky_relu"];
    let table = module(ModuleKind::Described, &[integers(&[3]), texts(&words), None]).unwrap();
    set(&*table);
    assert_eq!(table.call(&[&whole(&[2, 3], 5)]).unwrap()[0].shape(), [2, 4]);
    for (layers, rule) in [
        (&["linear"][..], "layer 0, `linear`: a number is missing"),
        (&["linear 0"], "`0` is not a whole number, at least 1"),
        (&["linear 99999999999999999999"], "is not a whole number"),
        (&["linear 4294967296", "linear 4294967296"], "a parameter of shape"),
        (&["linear 3 3"], "it takes 1 numbers at most"),
        (&["Linear 3"], "no layer has this name"),
        (&["relu", "conv 3 3"], "layer 1, `conv 3 3`: a row has shape [4], expected [channels]"),
        (&["reshape 2 3"], "a row has shape [4], expected as many elements as [2, 3]"),
        (&["dropout x"], "`x` is not a number"),
        (&["dropout 1.5"], "dropout of 1.5"),
        (&[], "0 layers, expected 1 to 256"),
    ] {
        let error = described(&[4], layers).unwrap_err();
        assert!(error.contains(rule), "{error}, not {rule}");
    }
    let error = described(&[1, 4], &["max_pool 9"]).unwrap_err();
    assert!(error.contains("a row [1, 4] has no window of 9"), "{error}");
}
