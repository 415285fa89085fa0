//! Each layer against PyTorch: outputs, and gradients of inputs and parameters.

use crate::torch_values::{assert_torch, fill, find, torch};
use crate::*;

const TOLERANCE: f32 = 2e-6;

/// One forward and backward in training, from values of the file called `name.*`.
#[track_caller]
pub(crate) fn assert_layer(name: &str, layer: &dyn Layer) {
    engine::set_training(true);
    fill(name, &layer.parameters());
    assert_step(name, layer);
}

/// As [`assert_layer`], with the parameters as they are.
#[track_caller]
pub(crate) fn assert_step(name: &str, layer: &dyn Layer) {
    let wants_inputs = find(&format!("{name}.inputs_gradient")).is_some();
    let inputs = torch(&format!("{name}.inputs"));
    let x = if wants_inputs { inputs.tensor().requires_grad() } else { inputs.whole() };
    let y = layer.forward(&x);
    assert_torch(&format!("{name}.outputs"), &y, TOLERANCE);
    let gradient = torch(&format!("{name}.gradient")).tensor();
    (y * gradient).sum_all().backward().unwrap();
    if wants_inputs {
        let gradient = x.take_gradient().unwrap().unwrap();
        assert_torch(&format!("{name}.inputs_gradient"), &gradient, TOLERANCE);
    }
    for (parameter, of) in layer.parameters() {
        if of.is_trained() {
            let gradient = of.take_gradient().unwrap().unwrap();
            assert_torch(&format!("{name}.{parameter}_gradient"), &gradient, TOLERANCE);
        }
    }
}

#[test]
fn linear_is_that_of_pytorch() {
    assert_layer("linear", &Linear::new(7, 5));
}

#[test]
fn activations_are_those_of_pytorch() {
    assert_layer("relu", &Relu);
    assert_layer("sigmoid", &Sigmoid);
    assert_layer("tanh", &Tanh);
    assert_layer("flatten", &Flatten);
}

#[test]
fn a_frozen_layer_has_no_gradients_and_lets_them_through() {
    engine::set_training(true);
    let network = Sequential::new().then("first", Linear::new(2, 3)).then("relu", Relu);
    let last = Linear::new(3, 1);
    last.freeze();
    let all = network.parameters().into_iter().chain(last.parameters());
    for (_, parameter) in all {
        parameter.set(&Tensor::ones(&parameter.shape()));
    }
    let loss = last.forward(&network.forward(&Tensor::ones(&[4, 2]))).sum_all();
    loss.backward().unwrap();
    assert!(last.weight.is_frozen() && last.weight.take_gradient().unwrap().is_none());
    let (_, first) = &network.parameters()[0];
    assert_eq!(first.take_gradient().unwrap().unwrap().to_vec::<f32>().unwrap(), [4.0; 6]);
}

#[test]
fn parameters_are_called_by_their_paths_and_listed_once() {
    module! {
        struct Block { layers: Vec<Linear>, tied: Parameter, scale: f64, none: Option<Linear> }
    }
    let first = Linear::new(2, 3);
    let block = Block {
        tied: first.weight.clone(),
        layers: vec![first, Linear::without_bias(3, 1)],
        scale: 1.0,
        none: None,
    };
    let network = Sequential::new().then("block", Flatten).then("last", Linear::new(1, 1));
    let names = |module: &dyn Module| {
        module.parameters().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(block.scale, 1.0);
    assert_eq!(names(&block), ["layers.0.weight", "layers.0.bias", "layers.1.weight"]);
    assert_eq!(names(&network), ["last.weight", "last.bias"]);
    block.keep_local();
    assert!(block.parameters().iter().all(|(_, parameter)| parameter.is_local()));
}
