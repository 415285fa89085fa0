//! A model with every layer, trained as PyTorch trained it.

use super::Drawn;
use crate::optimizers::Stepper;
use crate::torch_values::{assert_torch, torch};
use crate::{
    AvgPool2d, BatchNorm, Conv2d, Embedding, Flatten, Layer, Linear, MaxPool2d, Parameter, Relu,
    Result, Sequential, Sgd, Sigmoid, Tanh, Targets, Tensor, cross_entropy,
};

const TOLERANCE: f32 = 1e-5;

/// [rows, height, width] as images of one channel.
struct Images;

impl Layer for Images {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        let &[rows, height, width] = inputs.shape() else { panic!("{:?}", inputs.shape()) };
        inputs.reshape(&[rows, 1, height, width])
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        let &[rows, _, height, width] = gradient.shape() else { panic!("{:?}", gradient.shape()) };
        gradient.reshape(&[rows, height, width])
    }
}

/// Batches that lie one after the other in the tensor of this name.
fn batches(name: &str) -> Vec<Tensor> {
    let all = torch(name);
    let shape = &all.shape()[1..];
    let each = all.data().chunks_exact(shape.iter().product());
    each.map(|data| Tensor::new(shape, data.to_vec()).unwrap()).collect()
}

fn network() -> Sequential {
    Sequential::new()
        .then("embedding", Embedding::new(6, 6).unwrap())
        .then("images", Images)
        .then("conv1", Conv2d::new(1, 3, 3).unwrap().padding(1))
        .then("norm1", BatchNorm::new(3).unwrap())
        .then("relu", Relu::new())
        .then("max_pool", MaxPool2d::new(2))
        .then("conv2", Conv2d::new(3, 4, 2).unwrap())
        .then("tanh", Tanh::new())
        .then("avg_pool", AvgPool2d::new(2))
        .then("flatten", Flatten::new())
        .then("linear1", Linear::new(4, 5).unwrap())
        .then("norm2", BatchNorm::new(5).unwrap())
        .then("sigmoid", Sigmoid::new())
        .then("dropout", Drawn::new(0.25, batches("model.draws")))
        .then("linear2", Linear::new(5, 3).unwrap())
}

/// The parameters with their names in `torch_values.txt`.
fn parameters(network: &mut Sequential) -> (Vec<String>, Vec<&mut Parameter>) {
    let (mut names, mut parameters) = (Vec::new(), Vec::new());
    for (layer, of_layer) in network.layers() {
        for (name, parameter) in of_layer.parameters() {
            names.push(format!("{layer}.{name}"));
            parameters.push(parameter);
        }
    }
    (names, parameters)
}

#[test]
fn all_layers_together_train_as_in_pytorch() {
    let mut network = network();
    network.layers().into_iter().for_each(|(_, layer)| layer.set_training(true));
    let (names, mut all) = parameters(&mut network);
    assert_eq!(names.len(), 17);
    for (name, parameter) in names.iter().zip(&mut all) {
        parameter.value = torch(&format!("model.start.{name}"));
    }
    let rule = Sgd { lr: 0.1, momentum: 0.5, is_nesterov: false, weight_decay: 0.01 };
    let mut stepper = Stepper::new(rule, &all);
    let mut losses = Vec::new();
    for (inputs, targets) in batches("model.inputs").into_iter().zip(batches("model.targets")) {
        let targets = Targets::Classes(targets.data().iter().map(|x| *x as i64).collect());
        let scores = network.forward(inputs).unwrap();
        let (loss, gradient) = cross_entropy(&scores, &targets).unwrap();
        network.backward(gradient).unwrap();
        stepper.step(&mut parameters(&mut network).1);
        losses.push(loss);
    }
    let losses = Tensor::new(&[losses.len()], losses).unwrap();
    assert_torch("model.losses", &losses, TOLERANCE);
    let (names, all) = parameters(&mut network);
    for (name, parameter) in names.iter().zip(all) {
        assert_torch(&format!("model.end.{name}"), &parameter.value, TOLERANCE);
    }
}
