//! Outputs, gradients and buffers against PyTorch.

use super::Drawn;
use crate::torch_values::{assert_torch, find, torch};
use crate::{
    AvgPool2d, BatchNorm, Conv2d, Embedding, Flatten, Layer, Linear, MaxPool2d, Relu, Sigmoid, Tanh,
};

/// Of the largest element. Sums of up to 60 products, each rounded to 24 bits.
const TOLERANCE: f32 = 1e-6;

/// Gives a layer the parameters of that name.
fn fill(name: &str, layer: &mut impl Layer) {
    for (key, parameter) in layer.parameters() {
        let value = torch(&format!("{name}.{key}"));
        assert_eq!(parameter.value.shape(), value.shape(), "{name}.{key}");
        parameter.value = value;
    }
}

/// Runs the layer forward and backward and compares all that comes out.
fn assert_step(name: &str, layer: &mut impl Layer) {
    let (inputs, gradient) = (torch(&format!("{name}.inputs")), torch(&format!("{name}.gradient")));
    for (_, parameter) in layer.parameters() {
        parameter.gradient.data_mut().fill(0.0);
    }
    let outputs = layer.forward(inputs.clone()).unwrap();
    assert_torch(&format!("{name}.outputs"), &outputs, TOLERANCE);
    let back = layer.backward(gradient.clone()).unwrap();
    match find(&format!("{name}.inputs_gradient")) {
        Some(_) => assert_torch(&format!("{name}.inputs_gradient"), &back, TOLERANCE),
        // Numbers of entries: nothing flows back through them.
        None => assert!(back.shape() == inputs.shape() && back.data().iter().all(|x| *x == 0.0)),
    }
    for (key, parameter) in layer.parameters() {
        if !parameter.is_buffer() {
            let key = format!("{name}.{key}_gradient");
            assert_torch(&key, &parameter.gradient, TOLERANCE);
        }
    }
}

/// As [`assert_step`], with parameters; and the shortcut of a first layer, which must give the same
/// bits, and add to the gradients that are there.
fn assert_layer(name: &str, mut layer: impl Layer) {
    fill(name, &mut layer);
    assert_step(name, &mut layer);
    let once: Vec<_> = layer.parameters().into_iter().map(|(_, p)| p.gradient.clone()).collect();
    for (_, parameter) in layer.parameters() {
        parameter.gradient.data_mut().fill(0.0);
    }
    let (inputs, gradient) = (torch(&format!("{name}.inputs")), torch(&format!("{name}.gradient")));
    for times in [1.0, 2.0] {
        layer.forward(inputs.clone()).unwrap();
        layer.backward_first(gradient.clone()).unwrap();
        for ((key, parameter), once) in layer.parameters().into_iter().zip(&once) {
            for (sum, once) in parameter.gradient.data().iter().zip(once.data()) {
                let is_sum = (sum - times * once).abs() <= TOLERANCE * once.abs().max(1.0);
                assert!(if times == 1.0 { sum == once } else { is_sum }, "{name}.{key}");
            }
        }
    }
}

#[test]
fn layers_are_those_of_pytorch() {
    let conv2d = |channels, filters, kernel| Conv2d::new(channels, filters, kernel).unwrap();
    assert_layer("linear", Linear::new(7, 5).unwrap());
    assert_layer("conv2d", conv2d(2, 3, 3));
    assert_layer("conv2d_stride_2", conv2d(2, 2, 3).stride(2));
    assert_layer("conv2d_padding_1", conv2d(1, 3, 3).padding(1));
    assert_layer("conv2d_stride_3_padding_2", conv2d(2, 2, 4).stride(3).padding(2));
    assert_layer("conv2d_kernel_1", conv2d(3, 2, 1).stride(2));
    assert_layer("max_pool2d_2", MaxPool2d::new(2));
    assert_layer("max_pool2d_3", MaxPool2d::new(3));
    assert_layer("avg_pool2d_2", AvgPool2d::new(2));
    assert_layer("avg_pool2d_3", AvgPool2d::new(3));
    assert_layer("relu", Relu::new());
    assert_layer("sigmoid", Sigmoid::new());
    assert_layer("tanh", Tanh::new());
    assert_layer("flatten", Flatten::new());
    assert_layer("embedding", Embedding::new(5, 3).unwrap());
    let draws = torch("dropout.draws");
    assert_layer("dropout", Drawn::new(0.375, vec![draws; 3]));
}

#[test]
fn batch_normalisation_trains_and_predicts_as_that_of_pytorch() {
    for (name, channels) in [("batch_norm1d", 4), ("batch_norm2d", 3)] {
        let mut layer = BatchNorm::new(channels).unwrap();
        fill(name, &mut layer);
        layer.set_training(true);
        for step in [1, 2] {
            let step = format!("{name}.{step}");
            assert_step(&step, &mut layer);
            for (key, parameter) in layer.parameters() {
                if parameter.is_buffer() {
                    assert_torch(&format!("{step}.{key}"), &parameter.value, TOLERANCE);
                }
            }
        }
        layer.set_training(false);
        assert_step(&format!("{name}.prediction"), &mut layer);
    }
}
