//! A round of each plan that we ship, from its sources, against PyTorch.

use super::tests::{TOLERANCE, bytes, given, metric, real, stored};
use crate::Argument;
use crate::bindings::exports::fedwasm::training_plan::plan::{Declaration, Metadata, Report};
use crate::bindings::fedwasm::training_plan::loader::Batch;
use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::bindings::fedwasm::training_plan::types::{Dtype, Tensor, Value};
use crate::imports::native::{self, Memory};
use crate::torch_values::{assert_near, torch};

/// In the place of the one that makes a component, of which there can be one.
#[macro_export]
macro_rules! export {
    ($plan:ident) => {
        use $crate::bindings::exports::fedwasm::training_plan::plan as exports;
        use $crate::bindings::fedwasm::training_plan::types::Value as Given;

        impl $crate::Package for $plan {
            const NAME: &'static str = "shipped";
            const VERSION: &'static str = "0.1.0";
        }

        pub(super) fn describe() -> exports::Metadata {
            <$crate::Adapter<$plan> as exports::Guest>::describe()
        }

        pub(super) fn declare(args: Vec<(String, Given)>) -> Result<exports::Declaration> {
            <$crate::Adapter<$plan> as exports::Guest>::declare(args)
        }

        pub(super) fn train(args: Vec<(String, Given)>) -> Result<exports::Report> {
            <$crate::Adapter<$plan> as exports::Guest>::train(args)
        }
    };
}

#[path = "../../../cnn/src/lib.rs"]
mod cnn;
#[path = "../../../linear-regression/src/lib.rs"]
mod linear_regression;
#[path = "../../../linear-svm/src/lib.rs"]
mod linear_svm;
#[path = "../../../logistic-regression/src/lib.rs"]
mod logistic_regression;
#[path = "../../../lstm/src/lib.rs"]
mod lstm;
#[path = "../../../mlp/src/lib.rs"]
mod mlp;
#[path = "../../../transformer/src/lib.rs"]
mod transformer;
#[path = "../../../unet/src/lib.rs"]
mod unet;

/// Trains as PyTorch did, with some arguments given.
#[track_caller]
fn assert_plan(
    name: &str,
    describe: fn() -> Metadata,
    declare: fn(Vec<(String, Value)>) -> crate::Result<Declaration>,
    train: fn(Vec<(String, Value)>) -> crate::Result<Report>,
    some: &[(&str, Value)],
) {
    let announced = describe().arguments.into_iter().map(Argument::of_wit).collect();
    let args = given(announced, some);
    let declared = declare(args.clone()).unwrap();
    let mut native = Memory::new();
    for (spec, index) in declared.model.iter().zip(0..) {
        let start = torch(&format!("plans.{name}.start.{}", spec.name));
        let shape: Vec<u64> = start.shape.iter().map(|size| *size as u64).collect();
        assert_eq!(spec.shape, shape, "{}", spec.name);
        native.stores.insert((Slot::Model, index), bytes(&start.data));
    }
    let inputs = torch(&format!("plans.{name}.inputs"));
    let targets = torch(&format!("plans.{name}.targets"));
    let (steps, rows) = (inputs.shape[0], inputs.shape[1]);
    for step in 0..steps {
        let part = |data: &[f32]| data.chunks_exact(data.len() / steps).nth(step).unwrap().to_vec();
        let shape = |spec: &[u64]| [&[rows as u64], spec].concat();
        let target = &declared.targets[0];
        let data = match target.dtype {
            Dtype::Int64 => {
                part(&targets.data).iter().flat_map(|x| (*x as i64).to_le_bytes()).collect()
            }
            _ => bytes(&part(&targets.data)),
        };
        let targets = Tensor { dtype: target.dtype, shape: shape(&target.shape), data };
        let input = &declared.inputs[0];
        let data = bytes(&part(&inputs.data));
        let inputs = Tensor { dtype: input.dtype, shape: shape(&input.shape), data };
        native.batches.push_back(Batch {
            index: step as u64,
            rows: rows as u32,
            inputs: vec![(input.name.clone(), inputs)],
            targets: vec![(target.name.clone(), targets)],
        });
    }
    native::with(|place| *place = native);
    let report = train(args).unwrap();
    for (spec, index) in declared.model.iter().zip(0..) {
        let end = torch(&format!("plans.{name}.end.{}", spec.name));
        assert_near(&spec.name, &stored(Slot::Model, index), &end.data, 2.0 * TOLERANCE);
    }
    let losses = torch(&format!("plans.{name}.losses")).data;
    let mean = losses.iter().sum::<f32>() / losses.len() as f32;
    assert_near(name, &[metric(&report, "loss") as f32], &[mean], TOLERANCE);
}

macro_rules! assert_plans {
    ($($name:literal $module:ident $some:expr;)*) => {
        $(assert_plan($name, $module::describe, $module::declare, $module::train, $some);)*
    };
}

fn whole(name: &str, value: i64) -> (&str, Value) {
    (name, Value::Integer(value))
}

#[test]
fn a_round_of_each_shipped_plan_is_that_of_pytorch() {
    let [columns, classes] = [whole("n_features", 5), whole("n_classes", 3)];
    let lr = real("lr", 0.05);
    let momentum = [lr.clone(), real("momentum", 0.9), real("weight_decay", 0.01)];
    let with = |some: &[(&'static str, Value)]| [&momentum[..], some].concat();
    let cnn = [whole("size", 16), whole("filters1", 2), whole("filters2", 3), classes.clone()];
    let adam = [lr.clone(), real("eps", 0.125)];
    let lstm = [whole("n_features", 6), whole("step", 2), whole("units", 4), whole("layers", 2)];
    let transformer = [whole("width", 8), whole("heads", 2), whole("hidden", 6)];
    let no_dropout = real("dropout", 0.0);
    let unet = [whole("size", 16), whole("filters", 2), whole("depth", 2), classes.clone()];
    assert_plans! {
        "mlp" mlp &with(&[columns.clone(), classes.clone(), whole("hidden", 7)]);
        "logistic-regression" logistic_regression &with(&[columns.clone(), classes.clone()]);
        "linear-regression" linear_regression &[lr.clone(), columns.clone()];
        "linear-svm" linear_svm &[lr.clone(), columns.clone(), real("lambda", 0.25)];
        "cnn" cnn &with(&cnn);
        "lstm" lstm &[&adam[..], &lstm, std::slice::from_ref(&classes)].concat();
        "transformer" transformer
            &[&adam[..], &transformer, &[columns, classes, no_dropout]].concat();
        "unet" unet &[&adam[..], &unet].concat();
    }
}
