//! Every limit of a call: what reaches it is allowed, one more is not. And the
//! same bytes out of every engine.

use std::sync::{Arc, Mutex};

use fedwasm_artifact::Component;
use fedwasm_params::Params;
use fedwasm_protocol::Arguments;
use fedwasm_sandbox::{
    Cancel, DataFacts, Error, FaultKind, InProcessOptions, Limits, Outcome, PlanEvent, Profile,
    Sandbox, Session, Start,
};

use crate::hostile::with_module_field;
use crate::support::{Rows, plan, workers};

/// The skeleton with one more field.
fn guest(field: &str) -> Component {
    Component::admit(with_module_field(field)).unwrap()
}

fn session(sandbox: &Sandbox, component: &Component, limits: Limits) -> Result<Session, Error> {
    let described = sandbox.describe(component, limits)?;
    let facts = DataFacts { n_inputs: Some(3), n_classes: Some(2) };
    let all = ["model.", "optimizer.", "aggregator."];
    described.session(described.metadata().arguments(&Arguments::new(), &facts, &all).unwrap())
}

fn train_with(
    sandbox: &Sandbox,
    component: &Component,
    limits: Limits,
    events: impl FnMut(PlanEvent) + Send + 'static,
) -> Result<Outcome, Error> {
    let session = session(sandbox, component, limits)?;
    let cancel = Cancel::new();
    let model = session.init([7; 32], &cancel)?;
    let start = Start { model, ..Start::default() };
    session.train(start, [0; 32], Box::new(Rows(5)), Box::new(events), &cancel)
}

fn train(component: &Component, limits: Limits) -> Result<Outcome, Error> {
    train_with(&workers(), component, limits, drop)
}

fn predict(component: &Component, limits: Limits) -> Result<Outcome, Error> {
    let session = session(&workers(), component, limits)?;
    let cancel = Cancel::new();
    let model = session.init([7; 32], &cancel)?;
    session.predict(model, [0; 32], Box::new(Rows(5)), &cancel)
}

fn kind(result: Result<Outcome, Error>) -> FaultKind {
    match result {
        Err(Error::Fault(fault)) => fault.kind,
        other => panic!("no fault: {other:?}"),
    }
}

#[test]
fn memory_calls_and_fuel_are_bounded_exactly() {
    // Training is what takes most.
    let good = guest(
        "(func $before_training (param $args i32) (param $n_args i32) (local $n i32)
           (loop $again
             (local.set $n (i32.add (local.get $n) (i32.const 1)))
             (br_if $again (i32.lt_u (local.get $n) (i32.const 1000000)))))",
    );
    let sandbox = workers().with_profile(Profile::Strict);
    let usage = train_with(&sandbox, &good, Limits::default(), drop).unwrap().usage;
    let (memory, calls) = (usage.memory_bytes as usize, usage.host_calls);
    let fuel = usage.fuel.unwrap();
    assert!(memory >= 2 << 16 && calls >= 6 && fuel > 100, "{usage:?}");

    let at = |memory_bytes_max| Limits { memory_bytes_max, ..Limits::default() };
    assert!(train(&good, at(memory)).is_ok());
    assert_eq!(kind(train(&good, at(memory - 1))), FaultKind::OutOfMemory);

    let at = |host_calls_max| Limits { host_calls_max, ..Limits::default() };
    assert!(train(&good, at(calls)).is_ok());
    assert_eq!(kind(train(&good, at(calls - 1))), FaultKind::LimitExceeded);

    // Giving a budget asks for the strict profile; no other counts fuel.
    let at = |fuel_max| Limits { fuel_max: Some(fuel_max), ..Limits::default() };
    let most = train(&good, at(u64::MAX)).unwrap().usage.fuel;
    assert_eq!(most, Some(fuel));
    assert!(train(&good, at(fuel)).is_ok());
    assert_eq!(kind(train(&good, at(fuel - 1))), FaultKind::OutOfFuel);
    assert_eq!(train(&good, Limits::default()).unwrap().usage.fuel, None);
}

#[test]
fn bytes_of_tensors_predictions_and_calls_end_at_their_limits() {
    let good = guest("(data $nothing \"\")");
    // `w`: float32 [3, 2]; `s`: float32 [1].
    let at = |declared_bytes_max| Limits { declared_bytes_max, ..Limits::default() };
    assert!(train(&good, at(24 + 4)).is_ok());
    assert_eq!(kind(train(&good, at(24 + 3))), FaultKind::BadOutput);

    // Five batches of two rows with two float32 scores each.
    let at = |prediction_bytes_max| Limits { prediction_bytes_max, ..Limits::default() };
    assert!(predict(&good, at(5 * 2 * 2 * 4)).is_ok());
    let error = predict(&good, at(5 * 2 * 2 * 4 - 1));
    assert!(matches!(error, Err(Error::Fault(_))), "{error:?}");

    // The bytes that a plan hands over in one call: `n` of a log line.
    let line = |n: usize| {
        guest(&format!(
            "(func $before_training (param $args i32) (param $n_args i32)
               (call $monitor_log (i32.const 1) (call $zeros (i32.const {n})) (i32.const {n})))"
        ))
    };
    let at = Limits { host_call_bytes_max: 100_000, ..Limits::default() };
    assert!(train(&line(100_000), at.clone()).is_ok());
    assert_eq!(kind(train(&line(100_001), at)), FaultKind::LimitExceeded);
}

#[test]
fn tables_and_handles_end_at_their_limits() {
    let table = |n: usize| guest(&format!("(table $many {n} funcref)"));
    // The toolchain adds a table of its own.
    let fits = |n| train(&table(n), Limits { table_elements_max: 1_000, ..Limits::default() });
    let own = (0..64).find(|own| fits(1_000 - own).is_ok()).unwrap();
    assert_eq!(kind(fits(1_001 - own)), FaultKind::OutOfMemory);

    // A plan that makes handles of its own before it says what it is.
    let text = std::fs::read_to_string(
        crate::support::root().join("tests/guests/hostile/resource-flood.wat"),
    );
    let flood = Component::admit(wat::parse_str(text.unwrap()).unwrap()).unwrap();
    let limits = Limits { handles_max: 10, ..Limits::default() };
    let Err(Error::Fault(fault)) = workers().describe(&flood, limits) else { panic!("no fault") };
    assert_eq!(fault.kind, FaultKind::LimitExceeded);
    assert_eq!(fault.detail, "it holds more than 10 handles (`handles_max`)");
}

#[test]
fn lines_and_numbers_are_dropped_above_their_limits_and_training_goes_on() {
    let good = guest("(data $nothing \"\")");
    for (scalars_max, expected) in [(5, 5), (4, 4), (0, 0)] {
        let seen = Arc::new(Mutex::new(0));
        let count = Arc::clone(&seen);
        let events = move |event| {
            if let PlanEvent::Scalars { .. } = event {
                *count.lock().unwrap() += 1;
            }
        };
        let limits = Limits { scalars_max, ..Limits::default() };
        let result = train_with(&workers(), &good, limits, events);
        assert_eq!(result.unwrap().report.unwrap().steps, 5);
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[test]
fn compiling_has_a_limit_of_its_own() {
    let component = Component::admit(std::fs::read(plan()).unwrap()).unwrap();
    let describe = |limits| workers().describe(&component, limits);
    let limits = Limits { compile_ms_max: 1, ..Limits::default() };
    let Err(Error::Fault(fault)) = describe(limits) else { panic!("no fault") };
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded);
    assert_eq!(fault.detail, "compiling it took longer than 1 ms (`compile_ms_max`)");
    assert!(describe(Limits { compile_ms_max: 60_000, ..Limits::default() }).is_ok());
    // Less than the process itself has to start with.
    let limits = Limits {
        compile_bytes_max: 1,
        memory_bytes_max: 0,
        declared_bytes_max: 0,
        prediction_bytes_max: 0,
        ..Limits::default()
    };
    // The floor is the room of the process: this plan compiles in it, and has no memory then.
    let Err(Error::Fault(fault)) = describe(limits) else { panic!("no fault") };
    assert_eq!(fault.kind, FaultKind::OutOfMemory);
}

/// The same round in every engine: in a worker and in this process, with code
/// made well and made quickly, standard and strict, twice each.
#[test]
fn the_same_round_gives_the_same_bytes_in_every_engine() {
    let component = Component::admit(std::fs::read(plan()).unwrap()).unwrap();
    let unoptimised = InProcessOptions { optimised: false, ..InProcessOptions::default() };
    let places =
        [workers(), Sandbox::in_process().unwrap(), Sandbox::in_process_with(unoptimised).unwrap()];
    let mut results: Vec<(Params, Vec<(String, f64)>)> = Vec::new();
    let mut fuels = Vec::new();
    for place in &places {
        for profile in [Profile::Standard, Profile::Strict] {
            for _ in 0..2 {
                let sandbox = place.with_profile(profile);
                let outcome = train_with(&sandbox, &component, Limits::default(), drop).unwrap();
                let metrics = outcome.report.unwrap().metrics.into_iter().collect();
                results.push((outcome.model, metrics));
                fuels.extend(outcome.usage.fuel);
            }
        }
    }
    assert_eq!(results.len(), 12);
    assert!(results.iter().all(|result| *result == results[0]));
    // A budget means the same everywhere.
    assert!(fuels.len() == 6 && fuels.iter().all(|fuel| *fuel == fuels[0]), "{fuels:?}");
}
