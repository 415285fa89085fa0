//! The arithmetic contract: each operation and its gradients give the same bits inside a plan and in
//! this process, whatever the engine makes of the plan, for all instruction sets and numbers of threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use fedwasm_artifact::Component;
use fedwasm_compute::Session;
use fedwasm_compute::kernels::Parallel;
use fedwasm_compute::kernels::simd::{Level, limit};
use fedwasm_protocol::{Arguments, Value};
use fedwasm_sandbox::{Cancel, DataFacts, Described, InProcessOptions, Limits, Profile, Sandbox};

use crate::support::{guest, workers};

/// The operations of the guest, compiled for this machine.
#[path = "../guests/arithmetic/src/operations.rs"]
mod operations;

/// So many seeds, each with shapes of its own.
const SEEDS: u32 = 48;

/// So many threads, in no order, however small the work.
struct Threads(usize);

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn work_min(&self) -> usize {
        0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0 {
                scope.spawn(|| {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        if nth >= parts {
                            break;
                        }
                        part(parts - 1 - nth);
                    }
                });
            }
        });
    }
}

fn results(seed: u32) -> Vec<(String, Vec<f32>)> {
    operations::results(seed.into(), Session::new)
}

/// What the guest writes as its initial parameters.
fn of_guest(described: &Described, seed: u32) -> Vec<(String, Vec<f32>)> {
    let given = Arguments::from([("model.seed".to_owned(), Value::Integer(seed.into()))]);
    let facts = DataFacts { n_inputs: Some(1), n_classes: None };
    let all = ["model.", "optimizer.", "aggregator."];
    let given = described.metadata().arguments(&given, &facts, &all).unwrap();
    let session = described.session(given).unwrap();
    let guest = session.init([0; 32], &Cancel::new()).unwrap();
    // Parts of bits, which are whole numbers.
    let parts = |values: Vec<f64>| values.into_iter().map(|part| part as f32).collect();
    guest.iter().map(|(name, guest)| (name.to_string(), parts(guest.floats().unwrap()))).collect()
}

fn assert_same(
    place: &str,
    seed: u32,
    found: &[(String, Vec<f32>)],
    expected: &[(String, Vec<f32>)],
) {
    assert_eq!(found.len(), expected.len(), "{place}, seed {seed}");
    for ((name, found), (expected_name, expected)) in found.iter().zip(expected) {
        assert_eq!(name, expected_name, "{place}, seed {seed}");
        assert_eq!(found.len(), expected.len(), "{place}, seed {seed}: `{name}`");
        let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
        assert_eq!(differs, None, "{place}, seed {seed}: a part of an element of `{name}`");
    }
}

#[test]
fn operations_give_the_same_bits_in_a_plan_and_natively() {
    let component = Component::admit(std::fs::read(guest("arithmetic")).unwrap()).unwrap();
    let here = |optimised| {
        let options = InProcessOptions { optimised, ..InProcessOptions::default() };
        Sandbox::in_process_with(options).unwrap()
    };
    let places = [
        ("optimised", here(true)),
        ("not optimised", here(false)),
        ("strict", here(true).with_profile(Profile::Strict)),
        ("in a worker", workers()),
    ];
    for (name, sandbox) in places {
        let described = sandbox.describe(&component, Limits::default()).unwrap();
        for seed in 1..=SEEDS {
            assert_same(name, seed, &of_guest(&described, seed), &results(seed));
        }
        println!("{name}: {SEEDS} seeds");
    }
}

#[test]
fn operations_give_the_same_bits_for_all_instruction_sets_and_threads() {
    let expected: Vec<_> = (1..=SEEDS).map(results).collect();
    for level in [Level::Avx512, Level::Avx2, Level::Neon, Level::Plain] {
        if limit(level) != level {
            continue;
        }
        for threads in [1, 2, 5] {
            for (seed, expected) in (1..=SEEDS).zip(&expected) {
                let session = |bytes| Session::with_threads(bytes, Box::new(Threads(threads)));
                let found = operations::results(seed.into(), session);
                assert_same(&format!("{level:?}, {threads} threads"), seed, &found, expected);
            }
        }
    }
    limit(Level::Avx512);
}

/// There is something to compare: no operation gives the same again and again.
#[test]
fn results_depend_on_the_seed() {
    let all: Vec<_> = (1..=SEEDS).map(results).collect();
    assert_eq!(all[0], results(1));
    for nth in 0..all[0].len() {
        let results: HashSet<Vec<u32>> = all
            .iter()
            .map(|results| results[nth].1.iter().map(|half| half.to_bits()).collect())
            .collect();
        assert!(results.len() > SEEDS as usize / 6, "{}: {}", all[0][nth].0, results.len());
    }
}
