//! Wrong input is an error that names the layer, what it takes and what it got; no input panics.

use super::Drawn;
use crate::{
    AvgPool2d, BatchNorm, Conv2d, Dropout, Embedding, Flatten, Layer, Linear, MaxPool2d, PlanError,
    Relu, Result, Sequential, Sigmoid, Tanh, Tensor,
};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape).unwrap()
}

/// Each layer with a shape that it takes.
fn layers() -> Vec<(Box<dyn Layer>, &'static [usize])> {
    vec![
        (Box::new(Linear::new(3, 2).unwrap()), &[4, 3]),
        (Box::new(Conv2d::new(2, 3, 3).unwrap().padding(1)), &[4, 2, 4, 4]),
        (Box::new(MaxPool2d::new(2)), &[4, 2, 4, 4]),
        (Box::new(AvgPool2d::new(2)), &[4, 2, 4, 4]),
        (Box::new(BatchNorm::new(3).unwrap()), &[4, 3]),
        (Box::new(BatchNorm::new(2).unwrap()), &[4, 2, 3, 3]),
        (Box::new(Relu::new()), &[4, 3]),
        (Box::new(Sigmoid::new()), &[4, 3]),
        (Box::new(Tanh::new()), &[4, 3]),
        (Box::new(Flatten::new()), &[4, 3, 2]),
        (Box::new(Embedding::new(3, 2).unwrap()), &[4, 3]),
        (Box::new(Drawn::new(0.5, vec![zeros(&[4, 3]); 2])), &[4, 3]),
    ]
}

#[test]
fn inputs_of_another_shape_are_refused() {
    fn assert_refused(mut layer: impl Layer, cases: &[(&[usize], &str)]) {
        for (shape, text) in cases {
            let error = layer.forward(zeros(shape)).expect_err(text);
            assert!(matches!(error, PlanError::BadData(_)), "{error:?}");
            assert!(error.to_string().contains(text), "{error}");
            // Nothing was kept of what was refused.
            assert!(layer.backward(zeros(shape)).is_err(), "{text}");
        }
    }
    let conv2d = |kernel| Conv2d::new(2, 1, kernel).unwrap();
    let cases: [(&[usize], &str); 4] = [
        (&[4, 2], "Linear takes shape [rows, 3], not [4, 2]"),
        (&[3], "Linear takes shape [rows, 3], not [3]"),
        (&[], "Linear takes shape [rows, 3], not []"),
        (&[4, 3, 1], "Linear takes shape [rows, 3], not [4, 3, 1]"),
    ];
    assert_refused(Linear::new(3, 2).unwrap(), &cases);
    let cases: [(&[usize], &str); 4] = [
        (&[4, 3, 5, 5], "Conv2d takes [rows, 2, height, width], not [4, 3, 5, 5]"),
        (&[4, 50], "Conv2d takes [rows, 2, height, width], not [4, 50]"),
        (&[4, 2, 2, 5], "no window of 3 x 3 in images of 2 x 5, stride 1, padding 0"),
        (&[4, 2, 5, 0], "no window of 3 x 3 in images of 5 x 0"),
    ];
    assert_refused(conv2d(3), &cases);
    // An image without elements is none, whatever is around it.
    let cases: [(&[usize], &str); 2] = [
        (&[4, 2, 2, 9], "no window of 5 x 5 in images of 2 x 9, stride 2, padding 1"),
        (&[4, 2, 0, 9], "no window of 5 x 5 in images of 0 x 9"),
    ];
    assert_refused(conv2d(5).stride(2).padding(1), &cases);
    assert_refused(conv2d(2).stride(0), &[(&[4, 2, 2, 2], "stride 0")]);
    let text = "MaxPool2d takes [rows, channels, height, width], not [4, 3]";
    assert_refused(MaxPool2d::new(3), &[(&[4, 3], text)]);
    let text = "MaxPool2d: images of 2 x 5 have no window of 0";
    assert_refused(MaxPool2d::new(0), &[(&[4, 1, 2, 5], text)]);
    let text = "AvgPool2d: images of 2 x 5 have no window of 3";
    assert_refused(AvgPool2d::new(3), &[(&[4, 1, 2, 5], text)]);
    let text = "BatchNorm takes [rows, 2] or [rows, 2, height, width], not [4, 3]";
    let cases: [(&[usize], &str); 2] = [(&[4, 3], text), (&[4, 2, 3], "not [4, 2, 3]")];
    assert_refused(BatchNorm::new(2).unwrap(), &cases);
    let text = "Embedding takes [rows, ...], not []";
    assert_refused(Embedding::new(3, 2).unwrap(), &[(&[], text)]);
}

#[test]
fn numbers_that_are_no_entries_are_refused() {
    let mut embedding = Embedding::new(3, 2).unwrap();
    for number in [3.0, -1.0, 0.5, 1e30, -1e30, f32::NAN, f32::INFINITY] {
        let error = embedding.forward(Tensor::new(&[1, 1], vec![number]).unwrap()).unwrap_err();
        let text = format!("{number} is none of the table's entries 0 to 2");
        assert!(error.to_string().contains(&text), "{error}");
    }
}

#[test]
fn gradients_of_another_shape_are_refused() {
    for (mut layer, shape) in layers() {
        layer.set_training(true);
        let outputs = layer.forward(zeros(shape)).unwrap();
        let wrong = [&[5], &outputs.shape()[1..]].concat();
        let error = layer.backward(zeros(&wrong)).unwrap_err().to_string();
        let text = format!("gradient of shape {wrong:?}, outputs of {:?}", outputs.shape());
        assert!(error.contains(&text), "{error}");
    }
}

#[test]
fn backward_needs_a_forward_of_its_own() {
    for (mut layer, shape) in layers() {
        layer.set_training(true);
        let outputs = zeros(layer.forward(zeros(shape)).unwrap().shape());
        layer.backward(outputs.clone()).unwrap();
        for result in [layer.backward(outputs.clone()).map(drop), layer.backward_first(outputs)] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("backward without forward before it"), "{error}");
        }
    }
}

#[test]
fn impossible_layers_are_refused() {
    fn text<T>(result: Result<T>) -> String {
        match result {
            Err(PlanError::InvalidArgument(text)) => text,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        }
    }
    assert_eq!(
        text(Linear::new(0, 2)),
        "Linear of 0 inputs and 2 outputs: both must be at least 1"
    );
    assert_eq!(
        text(Linear::new(2, 0)),
        "Linear of 2 inputs and 0 outputs: both must be at least 1"
    );
    assert!(text(Linear::new(usize::MAX, 2)).contains("too large"));
    let conv2d = text(Conv2d::new(1, 0, 3));
    assert_eq!(conv2d, "Conv2d of 1 channels, 0 filters, kernel 3: all must be at least 1");
    assert!(text(Conv2d::new(usize::MAX, 2, 2)).contains("too large"));
    let embedding = "Embedding of 0 entries of width 2: both must be at least 1";
    assert_eq!(text(Embedding::new(0, 2)), embedding);
    assert!(text(Embedding::new(2, 0)).starts_with("Embedding of 2 entries of width 0"));
    assert_eq!(text(BatchNorm::new(0)), "BatchNorm of 0 channels: there must be at least 1");
    for probability in [1.0, -0.1, f64::NAN] {
        assert!(text(Dropout::new(probability)).contains("expected 0 <= probability < 1"));
    }
}

#[test]
fn one_value_a_channel_cannot_be_normalised() {
    let mut layer = BatchNorm::new(2).unwrap();
    layer.set_training(true);
    for shape in [&[1, 2][..], &[0, 2], &[2, 2, 0, 3]] {
        let error = layer.forward(zeros(shape)).unwrap_err().to_string();
        assert!(error.contains("at least 2 values a channel"), "{error}");
        assert!(error.contains("batch_size"), "{error}");
    }
    assert_eq!(layer.parameters()[2].1.value.data(), [0.0; 2], "running mean");
    layer.set_training(false);
    for shape in [&[1, 2][..], &[0, 2], &[2, 2, 0, 3]] {
        assert_eq!(layer.forward(zeros(shape)).unwrap().shape(), shape);
        layer.backward(zeros(shape)).unwrap();
    }
}

/// Two inputs of one layer, and the gradients of the second only: nobody would notice.
#[test]
fn a_layer_that_runs_twice_before_backward_is_refused_in_training_only() {
    for (mut layer, shape) in layers() {
        layer.set_training(true);
        let outputs = layer.forward(zeros(shape)).unwrap();
        let error = layer.forward(zeros(shape)).unwrap_err().to_string();
        assert!(error.contains("ran twice without `backward` between"), "{error}");
        layer.backward(outputs.clone()).unwrap();
    }
    // Dropout that is given its draws is always in training.
    for (mut layer, shape) in layers().into_iter().rev().skip(1) {
        layer.set_training(false);
        for _ in 0..2 {
            layer.forward(zeros(shape)).unwrap();
        }
        layer.set_training(true);
        let outputs = layer.forward(zeros(shape)).unwrap();
        layer.backward(outputs).unwrap();
    }
}

#[test]
fn an_error_in_a_chain_names_the_layer() {
    let mut network = Sequential::new()
        .then("hidden", Linear::new(3, 2).unwrap())
        .then("output", Linear::new(4, 1).unwrap());
    let error = network.forward(zeros(&[5, 3])).unwrap_err().to_string();
    assert!(error.contains("layer `output`: Linear takes shape [rows, 4], not [5, 2]"), "{error}");
    let mut network = Sequential::new().then("first", Linear::new(3, 2).unwrap());
    let error = network.backward(zeros(&[5, 2])).unwrap_err().to_string();
    assert!(error.contains("layer `first`: Linear: backward without forward"), "{error}");
}

#[test]
fn no_rows_are_no_mistake() {
    let mut layers = layers();
    // Draws have the shape of the inputs.
    layers.pop();
    layers.push((Box::new(Drawn::new(0.5, vec![zeros(&[0, 3])])), &[4, 3]));
    for (mut layer, shape) in layers {
        let none = [&[0], &shape[1..]].concat();
        let outputs = layer.forward(zeros(&none)).unwrap();
        assert_eq!(outputs.shape()[0], 0);
        assert_eq!(layer.backward(outputs).unwrap().shape(), none);
    }
    // Axes that would overflow if there were rows.
    let huge = usize::MAX / 8;
    assert!(Tensor::zeros(&[0, huge, huge]).is_err());
    assert!(Tensor::new(&[0, huge, huge], Vec::new()).is_err());
    assert!(Tensor::empty().reshape(&[huge, 0, huge]).is_err());
}

#[test]
fn extreme_inputs_do_not_panic() {
    for extreme in [1e30, -1e30, f32::MAX, f32::INFINITY, f32::NAN, 1e-40] {
        for (mut layer, shape) in layers() {
            layer.set_training(true);
            let len: usize = shape.iter().product();
            let mixed = (0..len).map(|nth| [extreme, -extreme, 0.0][nth % 3]).collect();
            let Ok(outputs) = layer.forward(Tensor::new(shape, mixed).unwrap()) else { continue };
            let gradient = vec![extreme; outputs.data().len()];
            layer.backward(Tensor::new(outputs.shape(), gradient).unwrap()).unwrap();
        }
    }
    let mut saturated = Sigmoid::new();
    let outputs = saturated.forward(Tensor::new(&[1, 2], vec![1e30, -1e30]).unwrap()).unwrap();
    assert_eq!(outputs.data(), [1.0, 0.0]);
    assert_eq!(saturated.backward(outputs).unwrap().data(), [0.0, 0.0]);
    let outputs = Tanh::new().forward(Tensor::new(&[1, 2], vec![1e30, -1e30]).unwrap()).unwrap();
    assert_eq!(outputs.data(), [1.0, -1.0]);
}
