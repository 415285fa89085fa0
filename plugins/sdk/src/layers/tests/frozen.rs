//! Frozen layers stay as they are, and those before them learn as if they were not.

use super::Drawn;
use crate::finite_differences::uniform;
use crate::optimizers::Stepper;
use crate::{
    BatchNorm, Layer, Layers, Linear, Parameter, Relu, Sequential, Sgd, Targets, Tensor,
    cross_entropy,
};

fn network(is_frozen: bool) -> Sequential {
    let draws = vec![Tensor::zeros(&[4, 3]).unwrap(); 3];
    let mut network = Sequential::new()
        .then("first", Linear::new(2, 3).unwrap())
        .then("relu", Relu::new())
        .then("normal", BatchNorm::new(3).unwrap().frozen(is_frozen))
        .then("dropout", Drawn::new(0.0, draws))
        .then("middle", Linear::new(3, 3).unwrap().frozen(is_frozen))
        .then("last", Linear::new(3, 2).unwrap());
    for (nth, (_, layer)) in network.layers().into_iter().enumerate() {
        layer.set_training(true);
        for (_, parameter) in layer.parameters() {
            let len = parameter.value.data().len();
            let drawn = uniform(7 + nth as u32, len);
            parameter.value.data_mut().iter_mut().zip(drawn).for_each(|(to, by)| *to += by.abs());
        }
    }
    network
}

fn named<'a>(layers: Layers<'a>) -> Vec<(String, &'a mut Parameter)> {
    let mut all = Vec::new();
    for (layer, of_layer) in layers {
        let of_layer = of_layer.parameters().into_iter();
        all.extend(of_layer.map(|(name, parameter)| (format!("{layer}.{name}"), parameter)));
    }
    all
}

/// Three steps; the names of what they changed.
fn changed(network: &mut Sequential) -> Vec<String> {
    let values = |network: &mut Sequential| -> Vec<(String, Vec<u32>)> {
        let bits = |p: &Parameter| p.value.data().iter().map(|x| x.to_bits()).collect();
        named(network.layers()).into_iter().map(|(name, p)| (name, bits(p))).collect()
    };
    let before = values(network);
    let mut all: Vec<&mut Parameter> = named(network.layers()).into_iter().map(|p| p.1).collect();
    let mut stepper = Stepper::new(Sgd::with_lr(0.1), &all);
    all.clear();
    for seed in 1..4 {
        let inputs = Tensor::new(&[4, 2], uniform(seed, 8)).unwrap();
        let scores = network.forward(inputs).unwrap();
        let targets = Targets::Classes(vec![0, 1, 1, 0]);
        network.backward(cross_entropy(&scores, &targets).unwrap().1).unwrap();
        let mut all: Vec<&mut Parameter> =
            named(network.layers()).into_iter().map(|p| p.1).collect();
        stepper.step(&mut all);
        assert!(all.iter().all(|p| p.gradient.data().iter().all(|x| *x == 0.0)));
    }
    let pairs = before.into_iter().zip(values(network));
    pairs.filter(|(before, after)| before != after).map(|((name, _), _)| name).collect()
}

#[test]
fn frozen_layers_stay_bit_for_bit_and_others_learn() {
    let trained = ["first.weight", "first.bias", "last.weight", "last.bias"];
    assert_eq!(changed(&mut network(true)), trained);
    let mut network = network(false);
    assert_eq!(changed(&mut network).len(), 10);
    assert!(named(network.layers()).iter().all(|(_, parameter)| !parameter.is_frozen));
}

#[test]
fn gradients_go_through_a_frozen_layer_as_through_any_other() {
    let mut layers = [false, true].map(|is_frozen| {
        let mut layer = Linear::new(3, 2).unwrap().frozen(is_frozen);
        for (_, parameter) in layer.parameters() {
            let len = parameter.value.data().len();
            parameter.value.data_mut().copy_from_slice(&uniform(3, len));
        }
        layer.set_training(true);
        layer
    });
    let inputs = Tensor::new(&[4, 3], uniform(5, 12)).unwrap();
    let gradient = Tensor::new(&[4, 2], uniform(6, 8)).unwrap();
    let [free, frozen] = layers.each_mut().map(|layer| {
        let outputs = layer.forward(inputs.clone()).unwrap();
        (outputs, layer.backward(gradient.clone()).unwrap())
    });
    assert_eq!(free, frozen);
    for (_, parameter) in layers[1].parameters() {
        assert!(parameter.is_frozen && parameter.gradient.data().iter().all(|x| *x == 0.0));
    }
    // What is frozen has no gradient of its own to compute.
    layers[1].forward(inputs.clone()).unwrap();
    layers[1].backward_first(gradient).unwrap();
    layers[1].forward(inputs.clone()).unwrap();
    let twice = layers[1].forward(inputs).unwrap_err();
    assert!(twice.to_string().contains("Frozen ran twice"), "{twice}");
}

#[test]
fn a_frozen_parameter_keeps_its_place_among_others() {
    let mut frozen = Parameter::zeros(&[2]).unwrap();
    frozen.is_frozen = true;
    let mut moved = Parameter::zeros(&[1]).unwrap();
    let mut all = [&mut frozen, &mut moved];
    let mut stepper = Stepper::new(Sgd { momentum: 0.5, ..Sgd::with_lr(1.0) }, &all);
    for _ in 0..2 {
        for parameter in &mut all {
            parameter.gradient.data_mut().fill(1.0);
        }
        stepper.step(&mut all);
    }
    assert_eq!(frozen.value.data(), [0.0, 0.0]);
    assert_eq!(moved.value.data(), [-2.5]);
}
