//! What PyTorch computes: `torch_values.txt`, written by `tests/torch_values.py`.

extern crate std;

use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;
use std::{println, vec};

use super::{BYTES, cases, elements, floats, gradient};
use crate::kernels::OneThread;
use crate::{Dtype, Id, Optimizer, Schedule, Session, Tensor, Warmup};

const FILE: &str = include_str!("torch_values.txt");

struct Part {
    dtype: char,
    sizes: Vec<usize>,
    elements: Vec<f64>,
}

impl Part {
    fn tensor(&self, dtype: Dtype) -> Tensor {
        let is_one = |x: &f64| *x == 1.0;
        match self.dtype {
            'f' => floats(dtype, &self.sizes, &self.elements),
            'i' => {
                let whole: Vec<i64> = self.elements.iter().map(|x| *x as i64).collect();
                Tensor::new(&self.sizes, &whole).unwrap()
            }
            _ => {
                let truths: Vec<bool> = self.elements.iter().map(is_one).collect();
                Tensor::new(&self.sizes, &truths).unwrap()
            }
        }
    }
}

type Case = BTreeMap<&'static str, Part>;

fn all() -> Vec<(&'static str, Case)> {
    let mut cases: Vec<(&str, Case)> = Vec::new();
    for line in FILE.lines() {
        let (head, elements) = line.split_once(" :").unwrap();
        let mut words = head.split(' ');
        let (name, part) = (words.next().unwrap(), words.next().unwrap());
        let dtype = words.next().unwrap().chars().next().unwrap();
        let sizes = words.map(|size| size.parse().unwrap()).collect();
        let elements = elements.split_whitespace().map(|x| x.parse().unwrap()).collect();
        if cases.last().is_none_or(|last| last.0 != name) {
            cases.push((name, BTreeMap::new()));
        }
        let part_of = &mut cases.last_mut().unwrap().1;
        part_of.insert(part, Part { dtype, sizes, elements });
    }
    cases
}

/// Each element may be off by `tolerance` times the largest magnitude, 1 at least.
#[track_caller]
fn assert_near(name: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    near(name, got, expected, tolerance).unwrap();
}

/// As [`assert_near`]; returns the largest error.
fn near(name: &str, got: &[f64], expected: &[f64], tolerance: f64) -> Result<f64, String> {
    assert_eq!(got.len(), expected.len(), "elements of {name}");
    let finite = expected.iter().filter(|x| x.is_finite());
    let largest = finite.fold(1.0f64, |most, x| most.max(x.abs()));
    let mut worst = 0.0f64;
    for (nth, (got, expected)) in got.iter().zip(expected).enumerate() {
        let is_same = got == expected || got.is_nan() && expected.is_nan();
        let error = if is_same { 0.0 } else { (got - expected).abs() / largest };
        // A NaN is no small error.
        if error.is_nan() || error > tolerance {
            return Err(std::format!("{name}[{nth}] is {got}, PyTorch has {expected}"));
        }
        worst = worst.max(error);
    }
    Ok(worst)
}

fn run(name: &str, case: &Case, dtype: Dtype, tolerance: f64) -> Result<f64, String> {
    let mut session = Session::new(BYTES);
    let names = ["in0", "in1", "in2", "in3", "in4"];
    let parts: Vec<&Part> = names.iter().map_while(|name| case.get(name)).collect();
    let mut ids: Vec<Id> = Vec::new();
    for part in &parts {
        let id = session.insert(&part.tensor(dtype)).unwrap();
        if part.dtype == 'f' {
            session.want_gradient(id, true).unwrap();
        }
        ids.push(id);
    }
    let output =
        cases::output(&mut session, name, &ids).map_err(|e| std::format!("{name}: {e}"))?;
    let expected = &case["out"];
    let got = session.get(output).unwrap();
    assert_eq!(got.shape().sizes().collect::<Vec<_>>(), expected.sizes, "shape of {name}");
    let mut worst = near(name, &elements(got), &expected.elements, tolerance)?;
    let Some(seed) = case.get("seed") else { return Ok(worst) };
    let seed = session.insert(&seed.tensor(dtype)).unwrap();
    session.backward_with(output, seed).map_err(|e| std::format!("{name}: {e}"))?;
    for (nth, id) in ids.iter().enumerate() {
        if let Some(expected) = case.get(std::format!("g{nth}").as_str()) {
            let got = gradient(&mut session, *id);
            let name = std::format!("{name}.g{nth}");
            worst = worst.max(near(&name, &got, &expected.elements, tolerance)?);
        }
    }
    Ok(worst)
}

const TOLERANCES: [(Dtype, f64); 2] = [(Dtype::F64, 1e-12), (Dtype::F32, 2e-6)];

fn is_operation(name: &str) -> bool {
    !["optim_", "clip_", "schedule_"].iter().any(|prefix| name.starts_with(prefix))
}

#[test]
fn operations_and_gradients_are_those_of_pytorch() {
    let all = all();
    let operations = all.iter().filter(|(name, _)| is_operation(name));
    let (mut n, mut failed) = (0, Vec::new());
    let mut worst = [(0.0f64, ""); 2];
    for (name, case) in operations {
        for (nth, (dtype, tolerance)) in TOLERANCES.into_iter().enumerate() {
            match run(name, case, dtype, tolerance) {
                Ok(error) if error > worst[nth].0 => worst[nth] = (error, name),
                Ok(_) => {}
                Err(text) => failed.push(std::format!("{dtype}: {text}")),
            }
        }
        n += 1;
    }
    println!("{n} cases, furthest off in f64 {:?}, in f32 {:?}", worst[0], worst[1]);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(n >= 180);
}

fn optimizer(name: &str) -> (Optimizer, f64) {
    let sgd = |momentum, is_nesterov, weight_decay| Optimizer::Sgd {
        momentum,
        is_nesterov,
        weight_decay,
    };
    let adam = |betas, epsilon, weight_decay, is_decoupled| {
        (Optimizer::Adam { betas, epsilon, weight_decay, is_decoupled }, 0.01)
    };
    match name {
        "optim_sgd" => (sgd(0.0, false, 0.0), 0.1),
        "optim_sgd_decay" => (sgd(0.0, false, 0.25), 0.1),
        "optim_sgd_momentum" => (sgd(0.9, false, 0.25), 0.1),
        "optim_sgd_nesterov" => (sgd(0.9, true, 0.0), 0.1),
        "optim_adam" => adam([0.9, 0.999], 1e-8, 0.0, false),
        "optim_adam_decay" => adam([0.8, 0.99], 1e-6, 0.25, false),
        "optim_adamw" => adam([0.9, 0.999], 1e-8, 0.25, true),
        "optim_adagrad" => {
            (Optimizer::Adagrad { rate_decay: 0.5, epsilon: 1e-10, weight_decay: 0.25 }, 0.1)
        }
        "optim_rmsprop" => {
            let (alpha, epsilon) = (0.99, 1e-8);
            (Optimizer::RmsProp { alpha, epsilon, momentum: 0.0, weight_decay: 0.0 }, 0.01)
        }
        "optim_rmsprop_momentum" => {
            let (alpha, epsilon) = (0.9, 1e-6);
            (Optimizer::RmsProp { alpha, epsilon, momentum: 0.5, weight_decay: 0.25 }, 0.01)
        }
        _ => panic!("the optimizer {name} is not known"),
    }
}

#[test]
fn optimizers_are_those_of_pytorch() {
    let mut n = 0;
    for (name, case) in all().iter().filter(|(name, _)| name.starts_with("optim_")) {
        for (dtype, tolerance) in [(Dtype::F64, 1e-12), (Dtype::F32, 1e-6)] {
            let (rule, rate) = optimizer(name);
            let mut value = case["in0"].tensor(dtype);
            let mut buffers = vec![Tensor::zeros(value.kind()); rule.buffers().len()];
            for step in 0..4 {
                let seed = case[std::format!("seed{step}").as_str()].tensor(dtype);
                let nth = step + 1;
                rule.step(rate, nth, &mut value, &seed, &mut buffers, &OneThread).unwrap();
                let expected = &case[std::format!("out{step}").as_str()].elements;
                assert_near(name, &elements(&value), expected, tolerance);
            }
        }
        n += 1;
    }
    assert_eq!(n, 10);
}

#[test]
fn clipping_is_that_of_pytorch() {
    for (name, case) in all().iter().filter(|(name, _)| name.starts_with("clip_")) {
        let mut session = Session::new(BYTES);
        let mut ids = Vec::new();
        for part in ["in0", "in1"] {
            let seed = case[part].tensor(Dtype::F64);
            let value = session.insert(&Tensor::zeros(seed.kind())).unwrap();
            session.want_gradient(value, true).unwrap();
            let seed = session.insert(&seed).unwrap();
            session.backward_with(value, seed).unwrap();
            ids.push(value);
        }
        match *name {
            "clip_value" => session.clip_by_value(&ids, 0.5).unwrap(),
            _ => {
                let most = if *name == "clip_norm" { 1.5 } else { 1e3 };
                let norm = session.clip_by_norm(&ids, most).unwrap();
                assert_near(name, &[norm], &case["norm"].elements, 1e-14);
            }
        }
        for (id, part) in ids.into_iter().zip(["out0", "out1"]) {
            let got = gradient(&mut session, id);
            assert_near(name, &got, &case[part].elements, 1e-14);
        }
    }
}

#[test]
fn schedules_are_those_of_pytorch() {
    let step = Schedule::Step { every: 3, factor: 0.5 };
    let cosine = Schedule::Cosine { steps: 8, least: 0.1 };
    let warmup = Warmup { steps: 4, first: 0.25 };
    let rates: BTreeMap<String, Vec<f64>> = all()
        .into_iter()
        .filter(|(name, _)| name.starts_with("schedule_"))
        .map(|(name, case)| (String::from(name), case["out"].elements.clone()))
        .collect();
    let got = |f: &dyn Fn(u64) -> f64| (0..9).map(f).collect::<Vec<_>>();
    assert_near("step", &got(&|done| step.factor(done)), &rates["schedule_step"], 1e-15);
    assert_near("cosine", &got(&|done| cosine.factor(done)), &rates["schedule_cosine"], 1e-15);
    let factor = |done| Schedule::Constant.factor_after(warmup, done);
    assert_near("warm-up", &got(&factor), &rates["schedule_warmup"], 1e-15);
    assert_eq!(cosine.factor(99), cosine.factor(8));
    assert!(Schedule::Step { every: 0, factor: 0.5 }.check().is_err());
    assert!(Schedule::Cosine { steps: 1, least: f64::NAN }.check().is_err());
}
