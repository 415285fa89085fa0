//! The arithmetic contract: every kernel gives the same bits inside a plan and in this process,
//! whatever the engine makes of the plan.

use std::collections::HashSet;

use fedwasm_artifact::Component;
use fedwasm_protocol::{Arguments, Value};
use fedwasm_sandbox::{Cancel, DataFacts, Described, InProcessOptions, Limits, Profile, Sandbox};

use crate::support::{guest, workers};

/// The arithmetic of the guest, compiled for this machine.
#[path = "../guests/arithmetic/src/kernels.rs"]
mod kernels;

/// So many seeds, each with shapes of its own.
const SEEDS: u32 = 48;

/// Compares what the guest writes as its initial parameters with what is computed here.
fn assert_same_bits(described: &Described, seed: u32) {
    let given = Arguments::from([("model.seed".to_owned(), Value::Integer(seed.into()))]);
    let facts = DataFacts { n_inputs: Some(1), n_classes: None };
    let all = ["model.", "optimizer.", "aggregator."];
    let given = described.metadata().arguments(&given, &facts, &all).unwrap();
    let session = described.session(given).unwrap();
    let guest = session.init([0; 32], &Cancel::new()).unwrap();
    let here = kernels::results(seed);
    assert_eq!(guest.len(), here.len(), "seed {seed}");
    for ((name, guest), (here_name, here)) in guest.iter().zip(here) {
        assert_eq!(name, here_name, "seed {seed}");
        // Halves of bits, which are whole numbers.
        let guest = guest.floats().unwrap();
        let mut pairs = guest.iter().zip(&here);
        let differs = pairs.position(|(guest, here)| *guest != f64::from(*here));
        assert_eq!(differs, None, "seed {seed}: half an element of `{name}`");
        assert_eq!(guest.len(), here.len(), "seed {seed}: `{name}`");
    }
}

#[test]
fn kernels_give_the_same_bits_in_a_plan_and_natively() {
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
            assert_same_bits(&described, seed);
        }
        println!("{name}: {SEEDS} seeds");
    }
}

/// There is something to compare: no kernel gives the same again and again. (Sums of any bits are
/// mostly NaN.)
#[test]
fn results_depend_on_the_seed() {
    let all: Vec<_> = (1..=SEEDS).map(kernels::results).collect();
    assert_eq!(all[0], kernels::results(1));
    for nth in 0..all[0].len() {
        let results: HashSet<Vec<u32>> = all
            .iter()
            .map(|results| results[nth].1.iter().map(|half| half.to_bits()).collect())
            .collect();
        assert!(results.len() > SEEDS as usize / 6, "{}: {}", all[0][nth].0, results.len());
    }
}
