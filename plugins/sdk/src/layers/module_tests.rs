//! Modules against PyTorch: outputs, gradients, names of parameters and where they start.

use super::tests::{assert_layer, assert_step};
use crate::torch_values::{assert_torch, fill, find, names, torch};
use crate::*;

const TOLERANCE: f32 = 2e-6;

/// A layer that computes something else than its `forward`.
struct By<'a, M>(&'a M, &'a dyn Fn(&M, &Tensor) -> Tensor);

impl<M: Module> Module for By<'_, M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }
}

impl<M: Module> Layer for By<'_, M> {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.1(self.0, x)
    }
}

fn names_of(module: &(impl Module + ?Sized)) -> Vec<String> {
    module.parameters().into_iter().map(|(name, _)| name).collect()
}

/// The keys of the `state_dict` in the file, in their order.
fn keys(name: &str) -> Vec<String> {
    let prefix = format!("{name}.");
    let all = names().filter_map(|of| of.strip_prefix(&prefix));
    all.take_while(|key| *key != "inputs").map(str::to_owned).collect()
}

#[track_caller]
fn assert_all(layers: &[(&str, &dyn Layer)]) {
    for (name, layer) in layers {
        assert_eq!(names_of(*layer), keys(name), "parameters of {name}");
        assert_layer(name, *layer);
    }
}

#[test]
fn convolutions_are_those_of_pytorch() {
    assert_all(&[
        ("conv1d", &Conv1d::new(2, 3, 3).stride(2).padding(1).dilation(2)),
        (
            "conv2d_groups",
            &Conv2d::new(4, 6, [2, 3]).stride([2, 1]).padding([0, 2]).dilation([1, 2]).groups(2),
        ),
        ("conv3d", &Conv3d::new(1, 2, 2).padding(1).without_bias()),
        ("conv_transpose1d", &ConvTranspose1d::new(3, 2, 3).stride(2)),
        (
            "conv_transpose2d",
            &ConvTranspose2d::new(4, 2, 3).stride(2).padding(1).output_padding([1, 0]).groups(2),
        ),
        ("conv_transpose3d", &ConvTranspose3d::new(2, 1, 2).dilation(2).without_bias()),
    ]);
    assert_layer("conv2d", &Conv2d::new(2, 3, 3));
    assert_layer("conv2d_stride_2", &Conv2d::new(2, 2, 3).stride(2));
    assert_layer("conv2d_padding_1", &Conv2d::new(1, 3, 3).padding(1));
    assert_layer("conv2d_stride_3_padding_2", &Conv2d::new(2, 2, 4).stride(3).padding(2));
    assert_layer("conv2d_kernel_1", &Conv2d::new(3, 2, 1).stride(2));
}

#[test]
fn pooling_is_that_of_pytorch() {
    assert_all(&[
        ("max_pool1d", &MaxPool1d::new(3).stride(2).padding(1)),
        ("max_pool2d", &MaxPool2d::new([2, 3]).stride([1, 2])),
        ("max_pool3d", &MaxPool3d::new(2)),
        ("avg_pool1d", &AvgPool1d::new(3).stride(2).padding(1)),
        ("avg_pool2d", &AvgPool2d::new(3).stride(2).padding(1).without_padding_in_mean()),
        ("avg_pool3d", &AvgPool3d::new(2)),
        ("adaptive_avg_pool1d", &AdaptiveAvgPool1d::new(3)),
        ("adaptive_avg_pool2d", &AdaptiveAvgPool2d::new([2, 3])),
        ("adaptive_avg_pool3d", &AdaptiveAvgPool3d::new(1)),
        ("adaptive_max_pool2d", &AdaptiveMaxPool2d::new(2)),
        ("upsample_nearest1d", &Upsample::nearest(3)),
        ("upsample_linear2d", &Upsample::linear(2)),
        ("upsample_linear3d", &Upsample::linear(2)),
    ]);
    // Windows with equal elements.
    assert_layer("max_pool2d_2", &MaxPool2d::new(2));
    assert_layer("max_pool2d_3", &MaxPool2d::new(3));
    assert_layer("avg_pool2d_2", &AvgPool2d::new(2));
    assert_layer("avg_pool2d_3", &AvgPool2d::new(3));
}

#[test]
fn activations_are_those_of_pytorch() {
    assert_all(&[
        ("leaky_relu", &LeakyRelu(0.25)),
        ("elu", &Elu(0.5)),
        ("gelu", &Gelu),
        ("silu", &Silu),
        ("softplus", &Softplus),
    ]);
}

#[test]
fn batch_normalisation_is_that_of_pytorch() {
    for (name, norm) in [
        ("batch_norm1d", BatchNorm::new(4)),
        ("batch_norm2d", BatchNorm::new(3)),
        ("batch_norm3d", BatchNorm::new(3).epsilon(0.125).momentum(0.25)),
        ("batch_norm_plain", BatchNorm::new(2).without_affine()),
    ] {
        engine::set_training(true);
        fill(name, &norm.parameters());
        for nth in ["1", "2"] {
            assert_step(&format!("{name}.{nth}"), &norm);
            for (key, buffer) in norm.parameters().iter().filter(|(_, of)| of.is_buffer()) {
                assert_torch(&format!("{name}.{nth}.{key}"), &buffer.tensor(), TOLERANCE);
            }
        }
        // A frozen one normalises as in prediction, and its weights have no gradients.
        norm.freeze();
        let after = norm.running_mean.tensor().to_vec::<f32>().unwrap();
        let x = torch(&format!("{name}.prediction.inputs")).tensor();
        let y = norm.forward(&x);
        assert_torch(&format!("{name}.prediction.outputs"), &y, TOLERANCE);
        assert_eq!(norm.running_mean.tensor().to_vec::<f32>().unwrap(), after);
        engine::set_training(false);
        let again = norm.forward(&x).to_vec::<f32>().unwrap();
        assert_eq!(again, y.to_vec::<f32>().unwrap());
    }
    let local = BatchNorm::new(2).share_buffers(false);
    let is_local = |(name, of): (String, Parameter)| (of.is_local(), name.starts_with("running"));
    assert!(local.parameters().into_iter().map(is_local).all(|(is, should)| is == should));
}

#[test]
fn other_normalisations_are_those_of_pytorch() {
    assert_all(&[
        ("layer_norm", &LayerNorm::new(6)),
        ("layer_norm_two", &LayerNorm::over(&[3, 4]).epsilon(0.125)),
        ("layer_norm_plain", &LayerNorm::new(5).without_affine()),
        ("group_norm", &GroupNorm::new(2, 4)),
        ("group_norm_plain", &GroupNorm::new(3, 3).without_affine()),
        ("instance_norm", &InstanceNorm::new(3)),
        ("instance_norm_affine", &InstanceNorm::new(3).affine()),
    ]);
}

#[test]
fn embedding_is_that_of_pytorch() {
    assert_layer("embedding", &Embedding::new(5, 3));
    assert_all(&[("embedding_padding", &Embedding::new(4, 3).padding(1))]);
    // Numbers of a table with decimals.
    let table = Embedding::new(5, 3);
    fill("embedding", &table.parameters());
    let y = table.forward(&torch("embedding.inputs").tensor());
    assert_torch("embedding.outputs", &y, 0.0);
}

#[test]
fn recurrent_layers_are_those_of_pytorch() {
    assert_all(&[
        ("rnn", &Rnn::new(3, 4)),
        ("rnn_deep", &Rnn::new(3, 2).layers(2).bidirectional()),
        ("lstm", &Lstm::new(3, 4)),
        ("lstm_deep", &Lstm::new(3, 2).bidirectional().layers(2)),
        ("gru", &Gru::new(3, 4)),
        ("gru_deep", &Gru::new(3, 2).layers(2).bidirectional()),
        ("gru_long", &Gru::new(1, 1)),
    ]);
}

#[test]
fn states_of_recurrent_layers_are_those_of_pytorch() {
    type Run<'a> = &'a dyn Fn(&Tensor, &States) -> (Tensor, States);
    let (rnn, lstm, gru) =
        (Rnn::new(2, 3).layers(2), Lstm::new(2, 3).layers(2), Gru::new(2, 3).layers(2));
    let all: [(&str, &dyn Module, Run<'_>); 3] = [
        ("rnn_states", &rnn, &|x, start| rnn.run_from(x, start)),
        ("lstm_states", &lstm, &|x, start| lstm.run_from(x, start)),
        ("gru_states", &gru, &|x, start| gru.run_from(x, start)),
    ];
    for (name, module, run) in all {
        engine::set_training(true);
        fill(name, &module.parameters());
        let value = |of: &str| find(&format!("{name}.{of}")).map(|values| values.tensor());
        let start = |of: &str| match value(of) {
            Some(tensor) => tensor.requires_grad(),
            None => Tensor::absent("there is none"),
        };
        let start = States { hidden: start("start.hidden"), cell: start("start.cell") };
        let (_, last) = run(&value("inputs").unwrap(), &start);
        let mut loss = Tensor::zeros(&[]);
        for (of, last) in [("last.hidden", &last.hidden), ("last.cell", &last.cell)] {
            let Some(gradient) = value(&format!("{of}_gradient")) else { continue };
            assert_torch(&format!("{name}.{of}"), last, TOLERANCE);
            loss = loss + (last * gradient).sum_all();
        }
        loss.backward().unwrap();
        let mut wanted = vec![("start.hidden".to_owned(), start.hidden)];
        if name == "lstm_states" {
            wanted.push(("start.cell".to_owned(), start.cell));
        }
        wanted.extend(module.parameters().into_iter().map(|(key, of)| (key, of.tensor())));
        for (key, of) in wanted {
            let gradient = of.take_gradient().unwrap().unwrap();
            assert_torch(&format!("{name}.{key}_gradient"), &gradient, TOLERANCE);
        }
    }
}

#[test]
fn attention_is_that_of_pytorch() {
    let attention = MultiheadAttention::new(6, 2);
    let tensor = |name: &str| torch(name).tensor();
    let (keys, values) = (tensor("attention_masked.keys"), tensor("attention_masked.values"));
    let mask = Tensor::from_fn(&[2, 1, 1, 4], |at| at[0] == 1 && at[3] == 3);
    let added = tensor("attention_added.mask");
    assert_layer(
        "attention_masked",
        &By(&attention, &|layer, x| layer.attend(x, &keys, &values, Some(&mask))),
    );
    assert_layer(
        "attention_added",
        &By(&attention, &|layer, x| layer.forward_with(x, Some(&added))),
    );
    assert_layer("attention", &By(&attention, &|layer, x| layer.attend(x, x, x, None)));
    let first = TransformerEncoderLayer::new(6, 2, 5).dropout(0.0).norm_first().gelu();
    assert_all(&[
        ("attention", &attention),
        ("attention_causal", &MultiheadAttention::new(6, 2).causal()),
        ("encoder_layer", &TransformerEncoderLayer::new(6, 3, 5).dropout(0.0)),
        ("encoder_layer_first", &first),
    ]);
}

/// Mean and standard deviation of each parameter over many modules.
#[test]
fn parameters_start_as_those_of_pytorch() {
    fn assert_start<M: Module>(name: &str, module: impl Fn() -> M) {
        let mut random = Random::new();
        let n_parameters = module().parameters().len();
        let of_name = format!("start.{name}.");
        assert_eq!(names().filter(|key| key.starts_with(&of_name)).count(), n_parameters);
        for nth in 0..n_parameters {
            let (mut values, mut key) = (Vec::new(), String::new());
            for _ in 0..200 {
                let (name, of) = module().parameters().swap_remove(nth);
                of.init(&mut random).unwrap();
                values.extend(of.tensor().to_vec::<f32>().unwrap().into_iter().map(f64::from));
                key = name;
            }
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
            let [of_torch, deviation] = torch(&format!("start.{name}.{key}")).data[..] else {
                panic!("mean and deviation")
            };
            let (of_torch, deviation) = (f64::from(of_torch), f64::from(deviation));
            // Five standard errors of a mean; that of a deviation is smaller.
            let most = 5.0 * deviation / n.sqrt();
            let got = ((mean - of_torch).abs(), ((squares / n).sqrt() - deviation).abs());
            assert!(got.0 <= most && got.1 <= most, "{name}.{key}: off by {got:?}, most {most}");
        }
    }
    assert_start("linear", || Linear::new(7, 5));
    assert_start("conv2d", || Conv2d::new(4, 6, 3).groups(2));
    assert_start("conv_transpose2d", || ConvTranspose2d::new(4, 6, 3).groups(2));
    assert_start("batch_norm", || BatchNorm::new(3));
    assert_start("layer_norm", || LayerNorm::new(3));
    assert_start("embedding", || Embedding::new(5, 3));
    assert_start("lstm", || Lstm::new(3, 5));
    assert_start("attention", || MultiheadAttention::new(6, 2));
    assert_start("encoder_layer", || TransformerEncoderLayer::new(6, 2, 5));
}

#[test]
fn dropout_leaves_out_a_share_in_training_only() {
    let dropout = Dropout::new(0.25);
    let x = Tensor::full(&[100, 100], 3.0).requires_grad();
    engine::set_training(true);
    let y = dropout.forward(&x);
    let values = y.to_vec::<f32>().unwrap();
    assert!(values.iter().all(|y| *y == 0.0 || *y == 4.0));
    // 0.25 with a standard error of 0.0043.
    let left_out = values.iter().filter(|y| **y == 0.0).count();
    assert!((2300..2700).contains(&left_out), "{left_out}");
    assert_ne!(dropout.forward(&x).to_vec::<f32>().unwrap(), values, "another chance");
    y.sum_all().backward().unwrap();
    let gradient = x.take_gradient().unwrap().unwrap().to_vec::<f32>().unwrap();
    assert!(gradient.iter().zip(values).all(|(gradient, y)| *gradient == y / 3.0));
    dropout.freeze();
    assert_eq!(dropout.forward(&x).to_vec::<f32>().unwrap(), [3.0; 10_000]);
    engine::set_training(false);
    assert_eq!(Dropout::new(0.5).forward(&x).to_vec::<f32>().unwrap(), [3.0; 10_000]);
}

#[test]
fn dropout_between_recurrent_layers_is_of_training() {
    let gru = Gru::new(2, 3).layers(2).dropout(0.5);
    gru.parameters().iter().for_each(|(_, of)| of.set(&Tensor::full(&of.shape(), 0.5)));
    let x = Tensor::ones(&[2, 4, 2]);
    let outputs = || gru.forward(&x).to_vec::<f32>().unwrap();
    engine::set_training(true);
    assert_ne!(outputs(), outputs());
    engine::set_training(false);
    assert_eq!(outputs(), outputs());
}

/// The mistake of a layer that is given an input in training, at this place.
#[track_caller]
fn mistake(layer: &dyn Layer, x: &Tensor) -> PlanError {
    engine::set_training(true);
    layer.parameters().iter().for_each(|(_, of)| of.set(&Tensor::ones(&of.shape())));
    let error = layer.forward(x).sum_all().item().unwrap_err();
    engine::reset();
    error
}

#[test]
fn wrong_inputs_are_named_with_the_line_of_the_plan() {
    let wrong: [(&dyn Layer, &[usize], &str); 10] = [
        (
            &Conv2d::new(3, 2, 3),
            &[2, 3, 4],
            "Conv2d takes [rows, 3] and 2 more axes, not [2, 3, 4]",
        ),
        (&ConvTranspose1d::new(3, 2, 3), &[2, 2, 4], "ConvTranspose1d takes [rows, 3] and 1 more"),
        (&Conv2d::new(1, 2, 3), &[2, 1, 2, 2], "the kernel must not be larger"),
        (&MaxPool2d::new(2), &[2, 3, 4], "MaxPool2d takes [rows, channels] and 2 more axes"),
        (&AdaptiveAvgPool3d::new(2), &[2, 3, 4], "AvgPool3d takes"),
        (&BatchNorm::new(4), &[3, 1, 2], "BatchNorm takes [rows, 4] and up to 3 more axes"),
        (&LayerNorm::new(4), &[3, 1], "LayerNorm takes last axes of [4], not [3, 1]"),
        (&GroupNorm::new(2, 4), &[3, 1, 2], "GroupNorm takes [rows, 4, ..]"),
        (&Lstm::new(3, 2), &[2, 3], "takes [rows, steps, 3], one step or more, not [2, 3]"),
        (&MultiheadAttention::new(4, 2), &[2, 4], "takes [rows, positions, 4], not [2, 4]"),
    ];
    for (layer, shape, text) in wrong {
        let error = mistake(layer, &Tensor::zeros(shape));
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains("module_tests.rs"), "{error}");
    }
    let error = mistake(&TransformerEncoderLayer::new(4, 2, 3), &Tensor::zeros(&[2, 4]));
    assert!(error.to_string().contains("MultiheadAttention takes"), "{error}");
}

#[test]
fn impossible_modules_are_mistakes_of_the_arguments() {
    let wrong: [(&dyn Fn(), &str); 9] = [
        (&|| drop(Conv2d::new(1, 0, 3)), "a parameter of shape [0, 1, 3, 3]"),
        (&|| drop(Conv2d::new(3, 4, 3).groups(2)), "3 channels and 4 filters has no 2 groups"),
        (&|| drop(Conv1d::new(3, 3, 3).groups(0)), "has no 0 groups"),
        (&|| drop(GroupNorm::new(3, 4)), "GroupNorm of 4 channels has no 3 groups"),
        (&|| drop(Embedding::new(3, 2).padding(3)), "has no entry 3 for padding"),
        (&|| drop(Dropout::new(1.0)), "dropout of 1, expected 0 <= rate < 1"),
        (&|| drop(Dropout::new(f64::NAN)), "dropout of NaN"),
        (&|| drop(MultiheadAttention::new(5, 2)), "attention of width 5 has no 2 heads"),
        (&|| drop(Gru::new(usize::MAX, usize::MAX).layers(2).bidirectional()), "a parameter of"),
    ];
    for (make, text) in wrong {
        make();
        let error = engine::check().unwrap_err();
        assert!(matches!(&error, PlanError::InvalidArgument(of) if of.contains(text)), "{error}");
        engine::reset();
    }
}

#[test]
fn batches_that_cannot_be_computed_are_bad_data() {
    let one_row = mistake(&BatchNorm::new(2), &Tensor::zeros(&[1, 2]));
    let bad = |error: &PlanError| matches!(error, PlanError::BadData(_));
    assert!(bad(&one_row) && one_row.to_string().contains("at least 2 values a channel"));
    for number in [3.0, -1.0, 0.5, f64::NAN, f64::INFINITY, 1e30] {
        let error = mistake(&Embedding::new(3, 2), &Tensor::full(&[2], number));
        assert!(bad(&error) && error.to_string().contains("is not in 0..3"), "{number}: {error}");
    }
    let error = mistake(&Embedding::new(3, 2), &Tensor::from_slice(&[0i64, 3], &[2]));
    assert!(bad(&error) && error.to_string().contains("index 3 is not in 0..3"), "{error}");
}
