//! Gradients against central finite differences.

use super::Drawn;
use crate::finite_differences::{assert_gradient, uniform};
use crate::{
    AvgPool2d, BatchNorm, Conv2d, Embedding, Flatten, Layer, Linear, MaxPool2d, Relu, Sequential,
    Sigmoid, Tanh, Tensor,
};

/// Compares the gradients of inputs and parameters of what `make` gives, which must give the same
/// each time.
fn assert_gradients<L: Layer>(name: &str, make: impl Fn() -> L, inputs: &Tensor) {
    let make = || {
        let mut layer = make();
        layer.set_training(true);
        for (seed, (_, parameter)) in (7..).zip(layer.parameters()) {
            let len = parameter.value.data().len();
            if !parameter.is_buffer() {
                parameter.value.data_mut().copy_from_slice(&uniform(seed, len));
            }
        }
        layer
    };
    // The sum of the outputs, each with a weight of its own.
    let value = |layer: &mut L, inputs: Tensor| -> f64 {
        let outputs = layer.forward(inputs).unwrap();
        let weights = uniform(99, outputs.data().len());
        outputs.data().iter().zip(&weights).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
    };
    let mut layer = make();
    let outputs = layer.forward(inputs.clone()).unwrap();
    let weights = uniform(99, outputs.data().len());
    let back = layer.backward(Tensor::new(outputs.shape(), weights).unwrap()).unwrap();
    assert_eq!(back.shape(), inputs.shape(), "{name}");
    assert_gradient(name, inputs.data(), back.data(), |data| {
        value(&mut make(), Tensor::new(inputs.shape(), data.to_vec()).unwrap())
    });
    for (nth, (key, parameter)) in layer.parameters().into_iter().enumerate() {
        if parameter.is_buffer() {
            continue;
        }
        let name = format!("{name}.{key}");
        assert_gradient(&name, parameter.value.data(), parameter.gradient.data(), |data| {
            let mut layer = make();
            layer.parameters()[nth].1.value.data_mut().copy_from_slice(data);
            value(&mut layer, inputs.clone())
        });
    }
}

fn smooth(shape: &[usize]) -> Tensor {
    Tensor::new(shape, uniform(5, shape.iter().product())).unwrap()
}

/// Elements that are 1/10 apart from each other, in no order, and 1/20 from 0: no step changes
/// which one of a window is the largest, or a sign.
fn apart(shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    let data = (0..len).map(|nth| ((nth * 29 % len) as f32 - len as f32 / 2.0 + 0.5) / 10.0);
    Tensor::new(shape, data.collect()).unwrap()
}

#[test]
fn gradients_are_slopes() {
    let conv2d =
        |stride, padding| move || Conv2d::new(2, 3, 3).unwrap().stride(stride).padding(padding);
    assert_gradients("linear", || Linear::new(5, 4).unwrap(), &smooth(&[3, 5]));
    for (stride, padding) in [(1, 0), (2, 0), (1, 1), (2, 2), (3, 1)] {
        let name = format!("conv2d of stride {stride} and padding {padding}");
        assert_gradients(&name, conv2d(stride, padding), &smooth(&[2, 2, 5, 6]));
    }
    assert_gradients("max pool", || MaxPool2d::new(2), &apart(&[1, 2, 4, 5]));
    assert_gradients("mean pool", || AvgPool2d::new(3), &smooth(&[2, 1, 4, 7]));
    assert_gradients("relu", Relu::new, &apart(&[3, 4]));
    assert_gradients("sigmoid", Sigmoid::new, &smooth(&[3, 4]));
    assert_gradients("tanh", Tanh::new, &smooth(&[3, 4]));
    assert_gradients("flatten", Flatten::new, &smooth(&[2, 3, 2]));
    let draws = smooth(&[4, 3]);
    assert_gradients("dropout", || Drawn::new(0.25, vec![draws.clone()]), &apart(&[4, 3]));
    assert_gradients("batch norm", || BatchNorm::new(3).unwrap(), &apart(&[4, 3]));
    assert_gradients("batch norm of images", || BatchNorm::new(2).unwrap(), &apart(&[3, 2, 2, 2]));
}

/// Its inputs are no real numbers, so only the table has slopes.
#[test]
fn gradients_of_an_embedding_are_slopes() {
    struct Fixed(Embedding);
    impl Layer for Fixed {
        fn forward(&mut self, inputs: Tensor) -> crate::Result<Tensor> {
            let _ = inputs;
            self.0.forward(Tensor::new(&[2, 3], vec![0.0, 3.0, 1.0, 3.0, 3.0, 0.0]).unwrap())
        }
        fn backward(&mut self, gradient: Tensor) -> crate::Result<Tensor> {
            self.0.backward(gradient).map(|_| Tensor::empty())
        }
        fn parameters(&mut self) -> Vec<(&'static str, &mut crate::Parameter)> {
            self.0.parameters()
        }
    }
    assert_gradients("embedding", || Fixed(Embedding::new(4, 2).unwrap()), &Tensor::empty());
}

/// Layers on layers: the chain itself.
#[test]
fn gradients_of_a_chain_are_slopes() {
    struct Chain(Sequential);
    impl Layer for Chain {
        fn forward(&mut self, inputs: Tensor) -> crate::Result<Tensor> {
            self.0.forward(inputs)
        }
        fn backward(&mut self, gradient: Tensor) -> crate::Result<Tensor> {
            let mut layers = self.0.layers();
            layers.iter_mut().rev().try_fold(gradient, |back, (_, layer)| layer.backward(back))
        }
        fn parameters(&mut self) -> Vec<(&'static str, &mut crate::Parameter)> {
            self.0.layers().into_iter().flat_map(|(_, layer)| layer.parameters()).collect()
        }
        fn set_training(&mut self, is_training: bool) {
            self.0.layers().into_iter().for_each(|(_, layer)| layer.set_training(is_training));
        }
    }
    let chain = || {
        let chain = Sequential::new()
            .then("conv", Conv2d::new(1, 2, 3).unwrap().padding(1))
            .then("norm", BatchNorm::new(2).unwrap())
            .then("tanh", Tanh::new())
            .then("pool", AvgPool2d::new(2))
            .then("flatten", Flatten::new())
            .then("linear", Linear::new(8, 3).unwrap())
            .then("sigmoid", Sigmoid::new());
        Chain(chain)
    };
    assert_gradients("chain", chain, &smooth(&[3, 1, 4, 5]));
}
