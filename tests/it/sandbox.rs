//! Bounds of the sandbox, with a guest that does not keep them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_params::{Params, Tensor};
use fedwasm_protocol::{Arguments, Value};
use fedwasm_sandbox::{
    Cancel, DataFacts, Error, FaultKind, Limits, Outcome, PlanEvent, Session, Start,
};

use crate::support::{Rows, misbehaves, workers};

fn session(deed: &str, limits: Limits) -> Session {
    let component = Component::admit(std::fs::read(misbehaves()).unwrap()).unwrap();
    let described = workers().describe(&component, limits).unwrap();
    let given = Arguments::from([("model.deed".to_owned(), Value::Text(deed.to_owned()))]);
    let facts = DataFacts { n_inputs: Some(3), n_classes: None };
    let metadata = described.metadata();
    let all = ["model.", "optimizer.", "aggregator."];
    described.session(metadata.arguments(&given, &facts, &all).unwrap()).unwrap()
}

fn train(
    deed: &str,
    limits: Limits,
    n_batches: u32,
    events: impl FnMut(PlanEvent) + Send + 'static,
) -> Result<Outcome, Error> {
    let session = session(deed, limits);
    let cancel = Cancel::new();
    let model = session.init([7; 32], &cancel).unwrap();
    let start = Start { model, ..Start::default() };
    let (loader, events) = (Box::new(Rows(n_batches)), Box::new(events));
    session.train(start, [0; 32], loader, events, &cancel)
}

fn fault(result: Result<Outcome, Error>) -> (FaultKind, String) {
    match result {
        Err(Error::Fault(fault)) => {
            assert_eq!(
                (fault.plan.name.as_str(), fault.plan.version.as_str()),
                ("misbehaves", "0.1.0")
            );
            (fault.kind, fault.detail)
        }
        other => panic!("no fault: {other:?}"),
    }
}

#[test]
fn infinite_loop_hits_deadline() {
    let limits = Limits { time_ms_max: 300, ..Limits::default() };
    let start = Instant::now();
    let (kind, detail) = fault(train("loop", limits, 1, drop));
    assert_eq!(kind, FaultKind::DeadlineExceeded);
    assert_eq!(detail, "`train` took longer than 300 ms (`time_ms_max`)");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn memory_ends_at_its_limit() {
    let limits = Limits { memory_bytes_max: 32 << 20, ..Limits::default() };
    let (kind, detail) = fault(train("hoard", limits, 1, drop));
    assert_eq!(kind, FaultKind::OutOfMemory);
    let words = format!("its memory and its tensors may have {} bytes together", 32 << 20);
    assert_eq!(detail, format!("{words} (`memory_bytes_max`)"));
}

#[test]
fn scalars_above_the_limit_are_dropped_and_training_goes_on() {
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let limits = Limits { scalars_max: 3, ..Limits::default() };
    let events = move |event| {
        if let PlanEvent::Scalars { .. } = event {
            *count.lock().unwrap() += 1;
        }
    };
    let outcome = train("none", limits, 10, events).unwrap();
    assert_eq!(outcome.report.unwrap().steps, 10);
    assert_eq!(*seen.lock().unwrap(), 3);
}

#[test]
fn log_lines_are_cut_and_cleaned() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let collect = Arc::clone(&lines);
    let limits = Limits { log_line_bytes_max: 20, ..Limits::default() };
    let events = move |event| {
        if let PlanEvent::Log(_, line) = event {
            collect.lock().unwrap().push(line);
        }
    };
    let (kind, _) = fault(train("panic", limits, 1, events));
    assert_eq!(kind, FaultKind::Panicked);
    assert_eq!(*lines.lock().unwrap(), ["panicked at misbehav"]);
}

#[test]
fn initial_parameters_follow_from_the_seed() {
    let session = session("none", Limits::default());
    let init = |seed| session.init([seed; 32], &Cancel::new()).unwrap();
    assert_eq!(init(1), init(1));
    assert_ne!(init(1), init(2));
}

#[test]
fn parameters_of_another_model_are_refused() {
    let session = session("none", Limits::default());
    let other = Tensor::from_f32(vec![2, 4], &[0.0; 8]).unwrap();
    let bias = Tensor::from_f32(vec![2], &[0.0; 2]).unwrap();
    let tensors = vec![("linear.weight".to_owned(), other), ("linear.bias".to_owned(), bias)];
    let params = Params::new(tensors).unwrap();
    let result = session.predict(params, [0; 32], Box::new(Rows(1)), &Cancel::new());
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("`linear.weight` is float32 [2, 4], expected float32 [2, 3]"),
        "{error}"
    );
}

#[test]
fn component_of_a_test_is_admitted_only_whole() {
    let bytes = std::fs::read(misbehaves()).unwrap();
    for len in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(Component::admit(bytes[..len].to_vec()).is_err(), "{len}");
    }
}
