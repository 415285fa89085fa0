//! Rounds through the exports of a plan, against PyTorch, and what optimizers refuse.

use crate::bindings::exports::fedwasm::training_plan::plan::{Default, Guest, Report};
use crate::bindings::fedwasm::training_plan::loader::Batch as Rows;
use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::bindings::fedwasm::training_plan::types::{Dtype as Wit, Tensor as Bytes, Value};
use crate::imports::native::{self, Memory};
use crate::torch_values::{Values, assert_near, torch};
use crate::training::stepper::Stepper;
use crate::*;

pub(super) const TOLERANCE: f32 = 1e-6;

/// All arguments that these announce, with some of them given.
pub(super) fn given(announced: Vec<Argument>, given: &[(&str, Value)]) -> Vec<(String, Value)> {
    let value = |announced: Argument| {
        let wit = announced.into_wit();
        let given = given.iter().find(|(name, _)| wit.name.ends_with(&format!(".{name}")));
        let value = match (given, wit.default) {
            (Some((_, value)), _) => value.clone(),
            (None, Default::Value(default)) => default,
            (None, _) => panic!("{} has no default", wit.name),
        };
        (wit.name, value)
    };
    announced.into_iter().map(value).collect()
}

pub(super) fn real(name: &str, value: f64) -> (&str, Value) {
    (name, Value::Real(value))
}

fn arguments_of<O: Optimizer>(some: &[(&str, Value)]) -> Arguments {
    let all = O::arguments().into_iter().chain(training::arguments());
    Arguments::new(given(all.collect(), some))
}

/// Steps as PyTorch did, through what steps the optimizers of plans.
#[track_caller]
fn assert_steps<O: Optimizer>(name: &str, some: &[(&str, Value)]) {
    engine::set_training(true);
    let (start, gradients) = (torch("optimizers.start"), torch("optimizers.gradients"));
    let parameter = Parameter::new(&start.shape, Init::Zeros);
    parameter.set(&start.tensor());
    let mut stepper = Stepper::new::<O>(&arguments_of::<O>(some), vec![parameter.clone()]).unwrap();
    stepper.start().unwrap();
    let mut values = Vec::new();
    for gradient in gradients.data.chunks_exact(gradients.shape[1]) {
        let gradient = Tensor::from_slice(gradient, &start.shape);
        (parameter.tensor() * gradient).sum_all().backward().unwrap();
        stepper.step().unwrap();
        values.extend(parameter.tensor().to_vec::<f32>().unwrap());
    }
    assert_near(name, &values, &torch(&format!("optimizers.{name}")).data, TOLERANCE);
}

#[test]
fn steps_are_those_of_pytorch() {
    let lr = real("lr", 0.1);
    assert_steps::<Sgd>("sgd", std::slice::from_ref(&lr));
    assert_steps::<Sgd>("sgd_weight_decay", &[lr.clone(), real("weight_decay", 0.25)]);
    let nesterov = ("nesterov", Value::Boolean(true));
    let momentum = [lr, real("momentum", 0.75), real("weight_decay", 0.125), nesterov];
    assert_steps::<Sgd>("sgd_momentum", &momentum[..3]);
    assert_steps::<Sgd>("sgd_nesterov", &momentum);
    let (lr, eps, decay) = (real("lr", 0.05), real("eps", 0.125), real("weight_decay", 0.25));
    let same = [lr.clone(), eps, decay];
    let adam = [&same[..], &[real("beta1", 0.5), real("beta2", 0.75)]].concat();
    assert_steps::<Adam>("adam_options", &adam);
    assert_steps::<AdamW>("adamw_options", &adam);
    assert_steps::<Adagrad>("adagrad_options", &[&same[..], &[real("lr_decay", 0.5)]].concat());
    let alpha = real("alpha", 0.5);
    assert_steps::<RmsProp>(
        "rms_prop_options",
        &[&same[..], std::slice::from_ref(&alpha)].concat(),
    );
    let momentum = [lr, alpha, real("momentum", 0.75), real("weight_decay", 0.125)];
    assert_steps::<RmsProp>("rms_prop_momentum", &momentum);
}

#[test]
fn defaults_are_those_of_pytorch() {
    assert_steps::<Adam>("adam", &[]);
    assert_steps::<AdamW>("adamw", &[]);
    assert_steps::<Adagrad>("adagrad", &[]);
    assert_steps::<RmsProp>("rms_prop", &[]);
}

/// Why an optimizer is not made.
#[track_caller]
fn refusal<O: Optimizer>(some: &[(&str, Value)]) -> String {
    match Stepper::new::<O>(&arguments_of::<O>(some), Vec::new()) {
        Err(PlanError::InvalidArgument(text)) => text,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{some:?} are accepted"),
    }
}

#[test]
fn arguments_out_of_range_are_refused_by_name() {
    fn assert_refused<O: Optimizer>(name: &str, value: f64, range: &str) {
        let error = refusal::<O>(&[real(name, value)]);
        assert!(
            error.contains(&format!("optimizer.{name} is ")) && error.contains(range),
            "{error}"
        );
    }
    fn for_all<O: Optimizer>() {
        // Also those that float32 rounds to 0 or to infinity.
        for lr in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60, 1e60] {
            assert_refused::<O>("lr", lr, "more than 0");
        }
        for name in ["weight_decay", "clip_norm", "clip_value"] {
            for value in [-0.1, f64::NAN, f64::INFINITY, 1e60] {
                assert_refused::<O>(name, value, "at least 0");
            }
        }
    }
    for_all::<Sgd>();
    for_all::<Adam>();
    for_all::<AdamW>();
    for_all::<Adagrad>();
    for_all::<RmsProp>();
    // 0.99999999 is 1 in float32.
    for value in [1.0, -0.1, f64::NAN, 0.999_999_99] {
        assert_refused::<Sgd>("momentum", value, "less than 1");
        assert_refused::<RmsProp>("momentum", value, "less than 1");
        assert_refused::<RmsProp>("alpha", value, "less than 1");
        assert_refused::<Adam>("beta1", value, "less than 1");
        assert_refused::<AdamW>("beta2", value, "less than 1");
    }
    assert_refused::<Adam>("eps", 0.0, "more than 0");
    assert_refused::<RmsProp>("eps", 1e-60, "more than 0");
    assert_refused::<Adagrad>("lr_decay", -1.0, "at least 0");
    let error = refusal::<Sgd>(&[real("momentum", 0.999_999_99)]);
    let text = "momentum is 0.99999999, 1 in float32, expected at least 0 and less than 1";
    assert!(error.contains(text), "{error}");
    let error = refusal::<Sgd>(&[("nesterov", Value::Boolean(true))]);
    assert!(error.contains("set optimizer.momentum, such as 0.9"), "{error}");
    let schedule = |name: &str| ("schedule", Value::Text(name.into()));
    let error = refusal::<Sgd>(&[schedule("slow")]);
    assert!(error.contains("slow, expected constant, step or cosine"), "{error}");
    let error = refusal::<Sgd>(&[schedule("cosine")]);
    assert!(error.contains("needs optimizer.schedule_steps, at least 1"), "{error}");
    let error = refusal::<Sgd>(&[("warmup_steps", Value::Integer(-1))]);
    assert!(error.contains("optimizer.warmup_steps is -1"), "{error}");
}

#[test]
fn rates_follow_warmup_and_schedule() {
    let some = [
        real("lr", 1.0),
        ("schedule", Value::Text("step".into())),
        ("schedule_steps", Value::Integer(2)),
        real("schedule_factor", 0.5),
        ("warmup_steps", Value::Integer(3)),
    ];
    let parameter = Parameter::new(&[1], Init::Zeros);
    parameter.set(&Tensor::zeros(&[1]));
    let mut stepper = Stepper::new::<Sgd>(&arguments_of::<Sgd>(&some), vec![parameter]).unwrap();
    let rate = |_| {
        stepper.step().unwrap();
        stepper.last_rate()
    };
    let rates: Vec<f64> = (0..8).map(rate).collect();
    assert_eq!(rates, [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.5, 0.25]);
}

module! {
    struct Two {
        first: Linear,
        last: Linear,
    }
}

arguments! {
    struct Sizes {
        /// columns
        n_features: usize = 6,
        /// whether the first layer is frozen
        freeze: bool = false,
    }
}

impl TrainingPlan for Two {
    const TASK: Task = Task::Classification;
    const METRICS: &'static [&'static str] = &["rows"];
    type Arguments = Sizes;
    type Optimizer = Sgd;

    fn model(args: &Sizes) -> Result<Self> {
        let plan = Self { first: Linear::new(args.n_features, 5), last: Linear::new(5, 3) };
        if args.freeze {
            plan.first.freeze();
        }
        Ok(plan)
    }

    fn data(&self) -> Data {
        Data::classes(&[self.first.inputs()])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.last.forward(&self.first.forward(&batch.inputs).tanh()))
    }

    fn metrics(&mut self, batch: &Batch) -> Result<Vec<(&'static str, f64)>> {
        Ok(vec![("rows", batch.rows() as f64)])
    }
}

impl Package for Two {
    const NAME: &'static str = "two";
    const VERSION: &'static str = "1.0.0";
}

type Plan = Adapter<Two>;

fn plan_arguments(some: &[(&str, Value)]) -> Vec<(String, Value)> {
    let all = Sizes::announced().into_iter().chain(Sgd::arguments());
    given(all.chain(training::arguments()).collect(), some)
}

pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn stored(slot: Slot, index: u32) -> Vec<f32> {
    let bytes = native::with(|native| native.stores[&(slot, index)].clone());
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The model's parameters as PyTorch had them, and its batches.
fn prepare(values: &str, with_targets: bool) {
    let mut native = Memory::new();
    for (index, name) in NAMES.iter().enumerate() {
        let value = bytes(&torch(&format!("{values}.start.{name}")).data);
        native.stores.insert((Slot::Model, index as u32), value);
    }
    let Values { shape, data } = torch(&format!("{values}.inputs"));
    let targets = torch(&format!("{values}.targets")).data;
    let rows = shape[1];
    let batches = data.chunks_exact(rows * shape[2]).zip(targets.chunks_exact(rows));
    for (index, (inputs, targets)) in batches.enumerate() {
        let classes = targets.iter().flat_map(|class| (*class as i64).to_le_bytes()).collect();
        let shape = vec![rows as u64, shape[2] as u64];
        let inputs = Bytes { dtype: Wit::Float32, shape, data: bytes(inputs) };
        let targets = Bytes { dtype: Wit::Int64, shape: vec![rows as u64], data: classes };
        let targets = if with_targets { vec![("targets".into(), targets)] } else { Vec::new() };
        let inputs = vec![("inputs".into(), inputs)];
        native.batches.push_back(Rows { index: index as u64, rows: rows as u32, inputs, targets });
    }
    native::with(|place| *place = native);
}

const NAMES: [&str; 4] = ["first.weight", "first.bias", "last.weight", "last.bias"];

pub(super) fn metric(report: &Report, name: &str) -> f64 {
    let found = report.metrics.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", report.metrics)).1
}

/// Compares parameters and mean loss of a round with those that PyTorch has under this name.
#[track_caller]
fn assert_end(name: &str, report: &Report) {
    for (index, parameter) in NAMES.iter().enumerate() {
        let wanted = torch(&format!("{name}.end.{parameter}"));
        assert_near(parameter, &stored(Slot::Model, index as u32), &wanted.data, 2e-6);
    }
    let losses = torch(&format!("{name}.losses")).data;
    let mean = losses.iter().sum::<f32>() / losses.len() as f32;
    assert_near("loss", &[metric(report, "loss") as f32], &[mean], 2e-6);
    assert_eq!((report.steps, report.rows), (losses.len() as u64, 8 * losses.len() as u64));
}

#[test]
fn a_round_is_that_of_pytorch() {
    prepare("two", true);
    let some = [real("lr", 0.1), real("momentum", 0.5), real("weight_decay", 0.01)];
    let report = Plan::train(plan_arguments(&some)).unwrap();
    assert_end("two", &report);
    assert_eq!(metric(&report, "optimizer.lr"), 0.1);
    let reported = native::with(|native| native.reported.clone());
    let losses: Vec<f32> = reported.iter().map(|(_, loss)| *loss as f32).collect();
    assert_near("losses", &losses, &torch("two.losses").data, 2e-6);
}

#[test]
fn a_step_asks_the_host_for_little() {
    prepare("two", true);
    let batches = native::with(|native| native.batches.clone());
    native::with(|native| native.batches.extend((0..49).flat_map(|_| batches.clone())));
    Plan::train(plan_arguments(&[])).unwrap();
    // Four operations, and one call each to go to the next batch, read the loss, go backward and
    // step. Parameters are loaded, wanted and written once.
    let once = 3 * NAMES.len() + 1;
    assert_eq!(engine::calls(), once + 300 * 8);
}

#[test]
fn gradients_are_cut_as_pytorch_does() {
    prepare("two", true);
    let some = [real("lr", 0.5), real("clip_value", 0.05), real("clip_norm", 0.1)];
    assert_end("clipped", &Plan::train(plan_arguments(&some)).unwrap());
}

#[test]
fn fedprox_pulls_to_where_the_round_started() {
    prepare("two", true);
    let some = [real("lr", 0.1), real("fedprox_mu", 0.75)];
    assert_end("fedprox", &Plan::train(plan_arguments(&some)).unwrap());
}

#[test]
fn scaffold_corrects_gradients_and_writes_the_next_variates() {
    prepare("two", true);
    let some = plan_arguments(&[real("lr", 0.1), ("scaffold", Value::Boolean(true))]);
    let declared = Plan::declare(some.clone()).unwrap();
    let names: Vec<&str> = declared.aux_in.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names[..2], ["scaffold.global.first.weight", "scaffold.local.first.weight"]);
    assert_eq!((names.len(), declared.aux_out.len()), (8, 4));
    for index in 0..8 {
        let values = bytes(&torch(&format!("scaffold.aux_in.{index}")).data);
        native::with(|native| native.stores.insert((Slot::AuxIn, index), values));
    }
    assert_end("scaffold", &Plan::train(some).unwrap());
    for index in 0..4 {
        let wanted = torch(&format!("scaffold.aux_out.{index}")).data;
        assert_near("next variate", &stored(Slot::AuxOut, index), &wanted, 2e-6);
    }
}

#[test]
fn an_optimizer_goes_on_from_round_to_round() {
    let some = [real("lr", 0.01), ("keep_state", Value::Boolean(true))];
    let some = adam::arguments(&some);
    let declared = adam::Plan::declare(some.clone()).unwrap();
    let names: Vec<&str> = declared.state.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names[..3], ["mean.first.weight", "squares.first.weight", "mean.first.bias"]);
    assert_eq!((names.len(), names[8]), (9, "steps"));
    prepare("two", true);
    let zeros = declared.state.iter().zip(0..).map(|(spec, index)| {
        let len = spec.shape.iter().product::<u64>() as usize;
        ((Slot::State, index), vec![0; 4 * len])
    });
    native::with(|native| native.stores.extend(zeros));
    assert_end("adam_round1", &adam::Plan::train(some.clone()).unwrap());
    assert_eq!(stored(Slot::State, 8), [6.0]);
    let stores = native::with(|native| native.stores.clone());
    prepare("two", true);
    native::with(|native| native.stores = stores);
    assert_end("adam_round2", &adam::Plan::train(some).unwrap());
}

#[test]
fn a_plan_declares_draws_predicts_and_validates() {
    let declared = Plan::declare(plan_arguments(&[("freeze", Value::Boolean(true))])).unwrap();
    let all: Vec<(&str, bool)> =
        declared.model.iter().map(|spec| (spec.name.as_str(), spec.trainable)).collect();
    let trainable = NAMES.map(|name| (name, name.starts_with("last")));
    assert_eq!(all, trainable);
    assert_eq!((declared.model[0].shape.as_slice(), declared.aux_in.len()), (&[5, 6][..], 0));
    assert_eq!((declared.inputs[0].shape.as_slice(), declared.targets.len()), (&[6][..], 1));

    native::with(|native| *native = Memory::new());
    Plan::init(plan_arguments(&[])).unwrap();
    let (weights, bound) = (stored(Slot::Model, 0), 1.0 / 6f32.sqrt());
    assert!(weights.len() == 30 && weights.iter().all(|weight| weight.abs() <= bound));
    assert!(weights.iter().any(|weight| weight.abs() > bound / 2.0));

    prepare("two", false);
    Plan::predict(plan_arguments(&[])).unwrap();
    let emitted = native::with(|native| native.emitted.clone());
    assert_eq!((emitted.len(), emitted[5].0, &emitted[5].1.shape[..]), (6, 5, &[8, 3][..]));

    prepare("two", true);
    let report = Plan::validate(plan_arguments(&[])).unwrap();
    let first = torch("two.losses").data[0];
    // Before the first step the loss of the first batch is that of training.
    assert_eq!((report.steps, report.rows, metric(&report, "rows")), (0, 48, 8.0));
    native::with(|native| native.batches.clear());
    prepare("two", true);
    native::with(|native| native.batches.truncate(1));
    let report = Plan::validate(plan_arguments(&[])).unwrap();
    assert_near("loss", &[metric(&report, "loss") as f32], &[first], 2e-6);
}

#[test]
fn a_frozen_layer_stays_and_is_not_written() {
    prepare("two", true);
    let before = stored(Slot::Model, 0);
    native::with(|native| native.stores.get_mut(&(Slot::Model, 0)).unwrap().push(0));
    Plan::train(plan_arguments(&[("freeze", Value::Boolean(true))])).unwrap();
    // Written, it would be as long as before.
    let after = native::with(|native| native.stores[&(Slot::Model, 0)].clone());
    assert_eq!((&after[..120], after.len()), (&bytes(&before)[..], 121));
    assert_ne!(stored(Slot::Model, 2), torch("two.start.last.weight").data);
}

#[test]
fn mistakes_end_an_export_with_their_line() {
    prepare("two", true);
    // Columns that the model does not take.
    let mut some = plan_arguments(&[]);
    some.iter_mut().find(|(name, _)| name == "model.n_features").unwrap().1 = Value::Integer(5);
    native::with(|native| native.stores.get_mut(&(Slot::Model, 0)).unwrap().truncate(100));
    let error = Plan::train(some.clone()).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, PlanError::Internal(_)) && text.contains("training/tests.rs:"),
        "{text}"
    );
    assert!(text.contains("linear of f32 [8, 6], f32 [5, 5]"), "{text}");
    prepare("two", false);
    let text = Plan::train(plan_arguments(&[])).unwrap_err().to_string();
    assert!(text.contains("a batch that is predicted has no targets"), "{text}");
    prepare("two", true);
    native::with(|native| {
        let weights = native.stores.get_mut(&(Slot::Model, 2)).unwrap();
        weights[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    let error = Plan::train(plan_arguments(&[])).unwrap_err();
    assert!(matches!(error, PlanError::NonFinite(_)), "{error}");
}

/// The same plan with Adam.
mod adam {
    use super::*;

    module! {
        pub(super) struct Other { first: Linear, last: Linear }
    }

    pub(super) type Plan = Adapter<Other>;

    pub(super) fn arguments(some: &[(&str, Value)]) -> Vec<(String, Value)> {
        given(Adam::arguments().into_iter().chain(training::arguments()).collect(), some)
    }

    impl Package for Other {
        const NAME: &'static str = "other";
        const VERSION: &'static str = "1.0.0";
    }

    impl TrainingPlan for Other {
        const TASK: Task = Task::Classification;
        type Arguments = ();
        type Optimizer = Adam;

        fn model((): &()) -> Result<Self> {
            Ok(Self { first: Linear::new(6, 5), last: Linear::new(5, 3) })
        }

        fn data(&self) -> Data {
            Data::classes(&[6])
        }

        fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
            Ok(self.predict(batch)?.cross_entropy(&batch.targets))
        }

        fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
            Ok(self.last.forward(&self.first.forward(&batch.inputs).tanh()))
        }
    }
}
