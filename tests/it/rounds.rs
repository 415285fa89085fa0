//! Rounds that hold out folds, and rounds that are stopped and resumed.

use std::sync::{Arc, Mutex};

use fedwasm_dataset::Dataset;
use fedwasm_params::{Params, Tensor, to_safetensors};
use fedwasm_protocol::{Arguments, DataArgs, Evaluation, TrainingArgs, Value};
use fedwasm_researcher::load_plan;
use fedwasm_sandbox::{Cancel, DataFacts, Limits};
use fedwasm_training::{Before, Events, Examples, Fold, Round, RoundEvent, Trained, Turn};

use crate::support::{Edit, data, plan, root, workers};

/// The shipped plan on breast cancer data.
struct Bench {
    round: Round,
    file: Dataset,
    data: DataArgs,
    turn: Turn,
}

impl Bench {
    fn new(training: &str, keeps_state: bool) -> Self {
        let mut training = TrainingArgs::parse(training.parse().unwrap()).unwrap();
        let component = load_plan(&plan()).unwrap();
        let described = workers().describe(&component, Limits::default()).unwrap();
        if keeps_state {
            let mut names = described.metadata().arguments.iter().map(|argument| &argument.name);
            let keep = names.find(|name| name.starts_with("optimizer.keep_")).unwrap().clone();
            training.optimizer_args.insert(keep, Value::Boolean(true));
        }
        let facts = DataFacts { n_inputs: Some(30), n_classes: Some(2) };
        let none = Arguments::new();
        Self {
            round: Round::new(&described, &none, &training, &none, &facts).unwrap(),
            file: Dataset::open(&data("breast_cancer.csv"), None).unwrap(),
            data: DataArgs::of("benign"),
            turn: Turn { random_seed: 42, round: 1, node: "local".parse().unwrap() },
        }
    }

    fn examples(&self) -> Examples {
        Examples::read(&self.file, &self.data, &self.round, &self.turn).unwrap()
    }

    fn train(&self, examples: &Examples, before: Before, events: Events) -> Trained {
        self.round.train(examples, before, &self.turn, events, &Cancel::new()).unwrap()
    }

    fn score(&self, examples: &Examples, params: &Params) -> Evaluation {
        self.round.evaluate(examples, params, None, 42, &Cancel::new()).unwrap()
    }
}

/// The start values of the NumPy twins.
fn start() -> Params {
    let value = |c: usize, k: usize| ((7 * c + 3 * k) % 11) as f32 / 64.0 - 5.0 / 64.0;
    let weight: Vec<f32> = (0..60).map(|i| value(i / 30, i % 30)).collect();
    let named = vec![
        ("linear.weight".into(), Tensor::from_f32(vec![2, 30], &weight).unwrap()),
        ("linear.bias".into(), Tensor::from_f32(vec![2], &[0.25, -0.125]).unwrap()),
    ];
    Params::new(named).unwrap()
}

fn from(params: Params) -> Before {
    Before { params, ..Before::default() }
}

/// tests/oracles/folds_numpy.py made the numbers, in float64, with folds of its own.
#[test]
fn a_cross_validation_equals_numpy() {
    let bench = Bench::new(
        "epochs = 2\nloader_args = { shuffle = false }\n\
         optimizer_args = { lr = 0.1, momentum = 0.9 }",
        false,
    );
    let twin = std::fs::read(root().join("tests/data/folds_numpy.json")).unwrap();
    let twin: serde_json::Value = serde_json::from_slice(&twin).unwrap();
    let twin = twin["folds"].as_array().unwrap();
    for (index, expected) in (1..).zip(twin) {
        let fold = Fold { index, count: twin.len() as u32 };
        let Bench { file, data, round, turn } = &bench;
        let examples = Examples::read_fold(file, data, round, turn, fold).unwrap();
        let trained = bench.train(&examples, from(start()), Box::new(drop));
        let scores = bench.score(&examples, &trained.params);
        assert_eq!(scores.n_rows, expected["rows"].as_u64().unwrap());
        for key in ["loss", "accuracy"] {
            let (got, expected) = (scores.metrics[key], expected[key].as_f64().unwrap());
            assert!((got - expected).abs() < 1e-5, "fold {index}, {key}: {got} {expected}");
        }
    }
}

/// Wherever the break is, in the middle of an epoch too.
#[test]
fn an_interrupted_round_equals_an_uninterrupted_one() {
    for (optimizer, keeps_state) in [("lr = 0.1", false), ("lr = 0.05, momentum = 0.9", true)] {
        let training = |length: &str| {
            format!("{length}\ntest_ratio = 0.2\noptimizer_args = {{ {optimizer} }}")
        };
        let bytes = |params: &Params| to_safetensors(params).unwrap();
        let whole = Bench::new(&training("epochs = 4"), keeps_state);
        let examples = whole.examples();
        // 456 rows in batches of 32.
        assert_eq!(whole.round.length(&examples).batches, 60);
        assert_eq!(whole.round.length(&examples).rows_until(60), 4 * 456);
        let expected = whole.train(&examples, from(start()), Box::new(drop));
        assert_eq!(expected.kept.is_some(), keeps_state);
        for until in [15, 22, 30] {
            let first = Bench::new(&training(&format!("num_updates = {until}")), keeps_state);
            let reached = first.train(&examples, from(start()), Box::new(drop));
            assert_eq!(reached.n_batches, until);
            assert_ne!(bytes(&reached.params), bytes(&expected.params));
            let Trained { params, kept, n_batches: batches, .. } = reached;
            let before = Before { params, kept, batches, ..Before::default() };
            let first_step = Arc::new(Mutex::new(None));
            let seen = Arc::clone(&first_step);
            let events = Box::new(move |event| {
                if let RoundEvent::Step { step, steps_max, .. } = event {
                    seen.lock().unwrap().get_or_insert((step, steps_max));
                }
            });
            let last = whole.train(&examples, before, events);
            assert_eq!(last.n_batches, 60 - until);
            assert_eq!(*first_step.lock().unwrap(), Some((until + 1, 60)));
            assert_eq!(bytes(&last.params), bytes(&expected.params), "{optimizer} {until}");
            assert_eq!(last.kept, expected.kept, "{optimizer} {until}");
        }
    }
}

/// A stopped round has the parameters of as many batches without a stop.
#[test]
fn a_round_that_is_stopped_is_a_shorter_round() {
    let stop = Cancel::new();
    let training = "epochs = 1000000\noptimizer_args = { lr = 0.1 }";
    let mut bench = Bench::new(training, false);
    bench.round = bench.round.with_stop(&stop);
    let examples = bench.examples();
    let events = Box::new(move |event| {
        if matches!(event, RoundEvent::Step { step: 20.., .. }) {
            stop.cancel();
        }
    });
    let stopped = bench.train(&examples, from(start()), events);
    assert!((20..1_000_000).contains(&stopped.n_batches), "{}", stopped.n_batches);
    assert_eq!(stopped.n_steps, stopped.n_batches);
    let training = training.edit("epochs = 1000000", &format!("num_updates = {}", stopped.n_steps));
    let asked = Bench::new(&training, false).train(&examples, from(start()), Box::new(drop));
    assert_eq!(stopped.params, asked.params);
}
