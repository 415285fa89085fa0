//! Every optimizer with each of its options against PyTorch, and what it refuses.

use super::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd, Stepper};
use crate::bindings::exports::fedwasm::training_plan::plan::Default;
use crate::bindings::fedwasm::training_plan::types::Value;
use crate::torch_values::{assert_torch, torch};
use crate::{Arguments, Parameter, Result, Tensor};

const TOLERANCE: f32 = 1e-6;

/// What the optimizer announces, with some of its arguments given.
fn optimizer<O: Optimizer>(given: &[(&str, f64)]) -> Result<O> {
    let value = |announced: crate::Argument| {
        let wit = announced.into_wit();
        let Default::Value(default) = wit.default else { panic!("{} has no default", wit.name) };
        let given = given.iter().find(|(name, _)| wit.name == format!("optimizer.{name}"));
        let value = match (given, default) {
            (Some((_, value)), Value::Boolean(_)) => Value::Boolean(*value != 0.0),
            (Some((_, value)), _) => Value::Real(*value),
            (None, default) => default,
        };
        (wit.name, value)
    };
    O::from_arguments(&Arguments::new(O::arguments().into_iter().map(value).collect()))
}

/// Steps as PyTorch did, through what steps the optimizers of plans.
fn assert_steps<O: Optimizer>(name: &str, given: &[(&str, f64)]) {
    let (start, gradients) = (torch("optimizers.start"), torch("optimizers.gradients"));
    let mut parameter = Parameter::zeros(start.shape()).unwrap();
    parameter.value = start;
    // One without a gradient in front must not shift the buffers.
    let mut buffer = Parameter::buffer(torch("optimizers.start"));
    let mut parameters = [&mut buffer, &mut parameter];
    let mut stepper = Stepper::new(optimizer::<O>(given).unwrap(), &parameters);
    let mut values = Vec::new();
    for gradient in gradients.data().chunks_exact(gradients.shape()[1]) {
        parameters[1].gradient.data_mut().copy_from_slice(gradient);
        stepper.step(&mut parameters);
        assert!(parameters[1].gradient.data().iter().all(|x| *x == 0.0), "{name}: gradient left");
        values.extend_from_slice(parameters[1].value.data());
    }
    let values = Tensor::new(gradients.shape(), values).unwrap();
    assert_torch(&format!("optimizers.{name}"), &values, TOLERANCE);
    assert_eq!(buffer.value, torch("optimizers.start"), "{name}");
}

#[test]
fn steps_are_those_of_pytorch() {
    assert_steps::<Sgd>("sgd", &[("lr", 0.1)]);
    assert_steps::<Sgd>("sgd_weight_decay", &[("lr", 0.1), ("weight_decay", 0.25)]);
    let momentum = [("lr", 0.1), ("momentum", 0.75), ("weight_decay", 0.125), ("nesterov", 1.0)];
    assert_steps::<Sgd>("sgd_momentum", &momentum[..3]);
    assert_steps::<Sgd>("sgd_nesterov", &momentum);
    let adam =
        [("lr", 0.05), ("beta1", 0.5), ("beta2", 0.75), ("eps", 0.125), ("weight_decay", 0.25)];
    assert_steps::<Adam>("adam_options", &adam);
    assert_steps::<AdamW>("adamw_options", &adam);
    let adagrad = [("lr", 0.05), ("lr_decay", 0.5), ("eps", 0.125), ("weight_decay", 0.25)];
    assert_steps::<Adagrad>("adagrad_options", &adagrad);
    let rms_prop = [("lr", 0.05), ("alpha", 0.5), ("eps", 0.125), ("weight_decay", 0.25)];
    assert_steps::<RmsProp>("rms_prop_options", &rms_prop);
    let momentum = [("lr", 0.05), ("alpha", 0.5), ("momentum", 0.75), ("weight_decay", 0.125)];
    assert_steps::<RmsProp>("rms_prop_momentum", &momentum);
}

#[test]
fn defaults_are_those_of_pytorch() {
    assert_steps::<Adam>("adam", &[]);
    assert_steps::<AdamW>("adamw", &[]);
    assert_steps::<Adagrad>("adagrad", &[]);
    assert_steps::<RmsProp>("rms_prop", &[]);
}

#[test]
fn arguments_out_of_range_are_refused_by_name() {
    fn assert_refused<O: Optimizer>(given: (&str, f64), range: &str) {
        let Err(error) = optimizer::<O>(&[given]) else { panic!("{given:?} is accepted") };
        let error = error.to_string();
        assert!(error.contains(&format!("optimizer.{} is ", given.0)), "{error}");
        assert!(error.contains(range), "{error}");
    }
    fn for_all<O: Optimizer>() {
        // Also those that float32 rounds to 0 or to infinity.
        for lr in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60, 1e60] {
            assert_refused::<O>(("lr", lr), "more than 0");
        }
        for decay in [-0.1, f64::NAN, f64::INFINITY, 1e60] {
            assert_refused::<O>(("weight_decay", decay), "at least 0");
        }
    }
    for_all::<Sgd>();
    for_all::<Adam>();
    for_all::<AdamW>();
    for_all::<Adagrad>();
    for_all::<RmsProp>();
    // 0.99999999 is 1 in float32.
    for value in [1.0, -0.1, f64::NAN, 0.999_999_99] {
        assert_refused::<Sgd>(("momentum", value), "less than 1");
        assert_refused::<RmsProp>(("momentum", value), "less than 1");
        assert_refused::<RmsProp>(("alpha", value), "less than 1");
        assert_refused::<Adam>(("beta1", value), "less than 1");
        assert_refused::<AdamW>(("beta2", value), "less than 1");
    }
    assert_refused::<Adam>(("eps", 0.0), "more than 0");
    assert_refused::<RmsProp>(("eps", 1e-60), "more than 0");
    assert_refused::<Adagrad>(("lr_decay", -1.0), "at least 0");
    let error = optimizer::<Sgd>(&[("momentum", 0.999_999_99)]).unwrap_err().to_string();
    let text =
        "optimizer.momentum is 0.99999999, 1 in float32, expected at least 0 and less than 1";
    assert!(error.contains(text), "{error}");
    let error = optimizer::<Sgd>(&[("lr", -0.1)]).unwrap_err().to_string();
    assert!(error.contains("optimizer.lr is -0.1, expected more than 0"), "{error}");
    let error = optimizer::<Sgd>(&[("nesterov", 1.0)]).unwrap_err().to_string();
    assert!(error.contains("set optimizer.momentum, such as 0.9"), "{error}");
}

#[test]
fn extreme_gradients_do_not_panic() {
    fn step<O: Optimizer>(given: &[(&str, f64)]) {
        for gradient in [1e30, -1e30, f32::MAX, f32::INFINITY, f32::NAN, 1e-40, 0.0] {
            let mut parameter = Parameter::zeros(&[300]).unwrap();
            let mut stepper = Stepper::new(optimizer::<O>(given).unwrap(), &[&mut parameter]);
            for _ in 0..3 {
                parameter.gradient.data_mut().fill(gradient);
                stepper.step(&mut [&mut parameter]);
            }
            let is_finite = parameter.value.data().iter().all(|x| x.is_finite());
            assert!(is_finite || gradient.abs() > 1.0 || gradient.is_nan(), "{gradient}");
        }
        // No elements, and no parameters.
        let mut none = Parameter::zeros(&[0]).unwrap();
        Stepper::new(optimizer::<O>(given).unwrap(), &[&mut none]).step(&mut [&mut none]);
        Stepper::new(optimizer::<O>(given).unwrap(), &[]).step(&mut []);
    }
    step::<Sgd>(&[("momentum", 0.9), ("nesterov", 1.0)]);
    step::<Adam>(&[]);
    step::<AdamW>(&[]);
    step::<Adagrad>(&[]);
    step::<RmsProp>(&[("momentum", 0.9)]);
}
