//! Plans whose tensors are at the host: the guest `computes` against a session of the library in
//! this process, bit for bit, and what it must not get.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fedwasm_artifact::{Component, Contract};
use fedwasm_compute::compose::{cross_entropy, linear, unary};
use fedwasm_compute::{Id, Optimizer, Reduction, Tensor, Trained, Unary};
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, Value};
use fedwasm_sandbox::{
    Cancel, DataFacts, Error, FaultKind, Limits, Loader as _, Outcome, Profile, Sandbox, Session,
    Start,
};

use crate::models::Watched;
use crate::support::{Rows, fedwasm, guest, workers};

/// Batches of a training.
const BATCHES: u32 = 7;

fn component() -> Component {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| std::fs::read(guest("computes")).unwrap());
    Component::admit(bytes.clone()).unwrap()
}

fn session_in(sandbox: &Sandbox, deed: &str, n: i64, limits: Limits) -> Session {
    let described = sandbox.describe(&component(), limits).unwrap();
    let given = Arguments::from([
        ("model.deed".to_owned(), Value::Text(deed.to_owned())),
        ("model.n".to_owned(), Value::Integer(n)),
    ]);
    let facts = DataFacts { n_inputs: Some(3), n_classes: None };
    let arguments = described.metadata().arguments(&given, &facts, &["model."]).unwrap();
    described.session(arguments).unwrap()
}

fn train_in(session: &Session, state: Option<Params>) -> Result<Outcome, Error> {
    let cancel = Cancel::new();
    let model = session.init([7; 32], &cancel).unwrap();
    let start = Start { model, state, ..Start::default() };
    session.train(start, [0; 32], Box::new(Rows(BATCHES)), Box::new(drop), &cancel)
}

/// Trains in a worker and in this process.
fn both(deed: &str, n: i64, limits: &Limits) -> [Result<Outcome, Error>; 2] {
    [workers(), Sandbox::in_process().unwrap()]
        .map(|sandbox| train_in(&session_in(&sandbox, deed, n, limits.clone()), None))
}

fn fault(result: Result<Outcome, Error>) -> (FaultKind, String) {
    match result {
        Err(Error::Fault(fault)) => (fault.kind, fault.detail),
        other => panic!("no fault: {other:?}"),
    }
}

fn tensor(tensor: &fedwasm_params::Tensor) -> Tensor {
    let sizes: Vec<usize> = tensor.shape().iter().map(|size| *size as usize).collect();
    let shape = fedwasm_compute::Shape::new(&sizes).unwrap();
    let dtype = match tensor.dtype() {
        fedwasm_params::DType::Float32 => fedwasm_compute::Dtype::F32,
        _ => fedwasm_compute::Dtype::I64,
    };
    let mut to = Tensor::zeros(fedwasm_compute::Kind { dtype, shape });
    to.fill_from_bytes(tensor.data()).unwrap();
    to
}

/// What the guest does, without a guest: the parameters' bytes, and the last loss.
fn native(model: &Params) -> (Vec<Vec<u8>>, f64) {
    let mut session = fedwasm_compute::Session::new(1 << 30);
    let (mut values, mut momenta) = (Vec::new(), Vec::new());
    for (_, value) in model.iter() {
        let value = session.insert(&tensor(value)).unwrap();
        session.want_gradient(value, true).unwrap();
        let zeros = Tensor::zeros(session.get(value).unwrap().kind());
        let momentum = session.insert(&zeros).unwrap();
        session.keep(value).unwrap();
        session.keep(momentum).unwrap();
        values.push(value);
        momenta.push([momentum]);
    }
    let trained = values.iter().zip(&momenta);
    let trained: Vec<Trained> =
        trained.map(|(value, buffers)| Trained { value: *value, buffers }).collect();
    let rule = Optimizer::Sgd { momentum: 0.9, is_nesterov: false, weight_decay: 0.01 };
    let (mut rows, mut steps, mut last) = (Rows(BATCHES), 0, 0.0);
    while let Some(batch) = rows.next().unwrap() {
        session.next_batch();
        let x: Id = session.insert(&tensor(&batch.inputs[0].1)).unwrap();
        let y = session.insert(&tensor(&batch.targets[0].1)).unwrap();
        let hidden = linear(&mut session, x, values[0], Some(values[1])).unwrap();
        let hidden = unary(&mut session, Unary::Relu, hidden).unwrap();
        let scores = linear(&mut session, hidden, values[2], Some(values[3])).unwrap();
        let loss = cross_entropy(&mut session, scores, y, None, None, Reduction::Mean).unwrap();
        last = session.item(loss).unwrap();
        session.backward(loss).unwrap();
        session.clip_by_norm(&values, 1.0).unwrap();
        steps += 1;
        session.step(&rule, 0.05, steps, &trained).unwrap();
    }
    (values.iter().map(|id| session.get(*id).unwrap().to_bytes()).collect(), last)
}

#[test]
fn a_training_has_the_bits_of_the_library_in_a_worker_and_here_with_any_threads() {
    assert_eq!(component().contract(), Contract::V0_2);
    let mut usages = Vec::new();
    for sandbox in [workers(), Sandbox::in_process().unwrap()] {
        for profile in [Profile::Standard, Profile::Strict] {
            for threads in [1, 2] {
                let sandbox = sandbox.with_profile(profile);
                let limits = Limits { threads, ..Limits::default() };
                let session = session_in(&sandbox, "none", 0, limits);
                let cancel = Cancel::new();
                let model = session.init([7; 32], &cancel).unwrap();
                let distinct: std::collections::BTreeSet<u8> =
                    model.iter().flat_map(|(_, tensor)| tensor.data().to_vec()).collect();
                assert!(distinct.len() > 3, "{distinct:?}");
                let outcome = train_in(&session, None).unwrap();
                let (expected, loss) = native(&model);
                let got = outcome.model.iter().map(|(_, tensor)| tensor.data().to_vec());
                assert_eq!(got.collect::<Vec<_>>(), expected);
                assert_ne!(outcome.model, model);
                let report = outcome.report.unwrap();
                assert_eq!((report.steps, report.rows), (7, 14));
                assert_eq!(report.metrics, [("loss".to_owned(), loss)].into());
                assert_eq!((outcome.rows, outcome.batches), (14, 7));
                let scored =
                    session.predict(outcome.model.clone(), [0; 32], Box::new(Rows(3)), &cancel);
                let scored = scored.unwrap();
                assert_eq!(scored.predictions.len(), 3);
                assert_eq!(scored.predictions[0].shape(), [2, 2]);
                let validated =
                    session.validate(outcome.model, [0; 32], Box::new(Rows(3)), &cancel).unwrap();
                assert_eq!(validated.report.unwrap().rows, 6);
                let mut usage = outcome.usage;
                usage.processor_us = 0;
                assert_eq!(usage.fuel.is_some(), profile == Profile::Strict);
                usages.push((profile == Profile::Strict, usage));
            }
        }
    }
    // Memory, calls and fuel are the same everywhere.
    usages.sort_by_key(|(is_strict, _)| *is_strict);
    assert!(usages[..4].iter().all(|usage| *usage == usages[0]), "{usages:?}");
    assert!(usages[4..].iter().all(|usage| *usage == usages[4]), "{usages:?}");
}

#[test]
fn closed_functions_say_so() {
    for outcome in both("closed", 0, &Limits::default()) {
        outcome.unwrap();
    }
}

#[test]
fn numbers_without_a_tensor_and_operations_that_are_none_are_mistakes() {
    let sandbox = Sandbox::in_process().unwrap();
    let limits = Limits { memory_bytes_max: 3 << 30, ..Limits::default() };
    train_in(&session_in(&sandbox, "numbers", 0, limits.clone()), None).unwrap();
    train_in(&session_in(&sandbox, "shapes", 0, limits), None).unwrap();
    train_in(&session_in(&workers(), "numbers", 0, Limits::default()), None).unwrap();
}

#[test]
fn a_number_of_another_call_has_no_tensor() {
    for sandbox in [workers(), Sandbox::in_process().unwrap()] {
        let session = session_in(&sandbox, "of-another-call", 0, Limits::default());
        let first = train_in(&session, None).unwrap();
        assert_ne!(first.state.iter().next().unwrap().1.data(), [0; 8]);
        train_in(&session, Some(first.state)).unwrap();
    }
}

/// Tapes and numbers without an end keep to the memory of the plan.
#[test]
fn what_grows_without_an_end_runs_out_of_memory() {
    let limits = Limits { memory_bytes_max: 24 << 20, ..Limits::default() };
    for deed in ["tape", "hoard"] {
        for outcome in both(deed, 0, &limits) {
            let (kind, detail) = fault(outcome);
            assert_eq!(kind, FaultKind::OutOfMemory, "{deed}: {detail}");
            let max = 24 << 20;
            let words = format!("its memory and its tensors may have {max} bytes together");
            assert_eq!(detail, format!("{words} (`memory_bytes_max`)"), "{deed}");
        }
    }
}

/// What the system gives a process and its workers follows the bound, not only what is counted.
#[test]
fn resident_memory_follows_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|n| format!("{n},{},{},{}\n", n % 3, n % 5, n % 2)).collect();
    std::fs::write(dir.path().join("rows.csv"), format!("a,b,c,class\n{rows}")).unwrap();
    let peak = |deed: &str, mib: u64| {
        let args = format!(
            "[data]\ntarget = \"class\"\n[training]\nepochs = 1\n[model]\ndeed = \"{deed}\"\n\
             [limits]\nmemory_bytes_max = {}\n",
            mib << 20
        );
        std::fs::write(dir.path().join("args.toml"), args).unwrap();
        let job = fedwasm(&["--json", "local", "--data", "rows.csv", "--args", "args.toml"]);
        let job = job.arg("--plan").arg(guest("computes")).current_dir(dir.path());
        let running = job.arg("--out").arg(dir.path().join(format!("{deed}-{mib}"))).start();
        let watched = Watched::start(running.child.id());
        let (code, events) = running.end();
        assert_eq!(code, if deed == "none" { 0 } else { 4 }, "{events:?}");
        watched.end()
    };
    // Programs, engine and compiled plan.
    let base = peak("none", 512);
    for deed in ["tape", "hoard"] {
        let peak = peak(deed, 512);
        let of_plan = peak.saturating_sub(base);
        assert!(of_plan < (512 + 64) << 20, "{deed}: {of_plan} bytes over {base}");
        assert!(peak > 256 << 20, "{deed}: {peak} bytes in all");
    }
}

/// The least memory that a plan needs is the same in a worker and here, and one byte less is not
/// enough.
#[test]
fn memory_is_bounded_to_the_byte() {
    let n = 5 << 20;
    let sandbox = Sandbox::in_process().unwrap();
    let at = |sandbox: &Sandbox, memory_bytes_max| {
        let limits = Limits { memory_bytes_max, ..Limits::default() };
        train_in(&session_in(sandbox, "fill", n, limits), None)
    };
    let usage = at(&sandbox, 1 << 30).unwrap().usage;
    let (mut less, mut least) = (4 * n as usize, usage.memory_bytes as usize);
    while least - less > 1 {
        let middle = less.midpoint(least);
        match at(&sandbox, middle) {
            Ok(outcome) => {
                assert!(outcome.usage.memory_bytes <= middle as u64);
                least = middle;
            }
            Err(_) => less = middle,
        }
    }
    assert!(least > 4 * n as usize + (1 << 16), "{least}");
    for sandbox in [workers(), sandbox] {
        assert!(at(&sandbox, least).unwrap().usage.memory_bytes <= least as u64);
        assert_eq!(fault(at(&sandbox, least - 1)).0, FaultKind::OutOfMemory);
    }
}

#[test]
fn operations_on_nothing_end_with_the_calls() {
    let limits = Limits { host_calls_max: 100_000, ..Limits::default() };
    for outcome in both("spin", 0, &limits) {
        assert_eq!(
            fault(outcome),
            (
                FaultKind::LimitExceeded,
                "it made more than 100000 calls to the host (`host_calls_max`)".into()
            )
        );
    }
}

#[test]
fn large_operations_end_at_the_deadline_and_when_the_fuel_is_used() {
    let limits = Limits { time_ms_max: 1_500, ..Limits::default() };
    let start = Instant::now();
    for outcome in both("work", 0, &limits) {
        assert_eq!(fault(outcome).0, FaultKind::DeadlineExceeded);
    }
    assert!(start.elapsed() < Duration::from_secs(60));
    // A product is 2^33 units: two fit.
    let limits = Limits { fuel_max: Some((2 << 33) + (1 << 32)), ..Limits::default() };
    for outcome in both("work", 0, &limits) {
        let (kind, detail) = fault(outcome);
        assert_eq!(kind, FaultKind::OutOfFuel, "{detail}");
        assert_eq!(detail, format!("its budget is {} (`fuel_max`)", (2u64 << 33) + (1 << 32)));
    }
}
