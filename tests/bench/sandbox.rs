//! What the walls cost, as medians and as ratios within one run:
//!
//! ```text
//! cargo bench -p fedwasm --bench sandbox
//! ```
//!
//! Each comparison takes turns, so that what else the machine does falls on
//! both sides.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use std::path::Path;
use std::time::Instant;

use fedwasm_artifact::Component;
use fedwasm_dataset::Dataset;
use fedwasm_protocol::{Arguments, DataArgs, TrainingArgs};
use fedwasm_sandbox::{
    Cancel, DataFacts, InProcessOptions, Limits, Profile, Sandbox, WorkerOptions,
};
use fedwasm_training::{Before, Examples, Round, Turn};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let plan = std::fs::read(root.join("plugins/dist/logistic-regression.wasm")).unwrap();
    let plan = Component::admit(plan).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let private = cache.path().join("compiled");
    let program = Some(env!("CARGO_BIN_EXE_fedwasm").into());
    let cached = WorkerOptions { program: program.clone(), cache: Some(private) };
    let cached = Sandbox::new(cached).unwrap();
    let uncached = Sandbox::new(WorkerOptions { program, cache: None }).unwrap();

    let describe = |sandbox: &Sandbox| {
        let start = Instant::now();
        let described = sandbox.describe(&plan, Limits::default()).unwrap();
        let time = ms(start);
        drop(described);
        time
    };
    describe(&cached);
    let [warm, cold] = take_turns(40, [&mut || describe(&cached), &mut || describe(&uncached)]);
    println!("worker: start to the plan's first answer, compiled before  {warm:8.3} ms");
    println!("worker: the same, compiling                                {cold:8.3} ms");

    let here = Sandbox::in_process().unwrap();
    let deaf = InProcessOptions { interruptible: false, ..InProcessOptions::default() };
    let deaf = Sandbox::in_process_with(deaf).unwrap();
    let facts = DataFacts { n_inputs: Some(64), n_classes: Some(10) };
    let prefixes = ["model.", "optimizer.", "aggregator."];
    let declare = |sandbox: &Sandbox| {
        let described = sandbox.describe(&plan, Limits::default()).unwrap();
        let given = described.metadata().arguments(&Arguments::new(), &facts, &prefixes).unwrap();
        move || {
            let start = Instant::now();
            described.session(given.clone()).unwrap();
            ms(start)
        }
    };
    let (mut inside, mut outside) = (declare(&here), declare(&cached));
    let [inside, outside] = take_turns(200, [&mut inside, &mut outside]);
    println!("instance, call and answer (declare), in process            {inside:8.3} ms");
    println!("the same in a warm worker                                  {outside:8.3} ms");

    println!("\nten epochs of digits (1,438 rows x 64, batches of 32), a step:");
    let strict = here.with_profile(Profile::Strict);
    let step = |sandbox: &Sandbox| epoch(sandbox, &plan, &root.join("examples/data/digits.csv"));
    let (mut with, mut without) = (step(&here), step(&deaf));
    let (mut strict, mut worker) = (step(&strict), step(&cached));
    let [with, without, strict, worker] =
        take_turns(30, [&mut with, &mut without, &mut strict, &mut worker]);
    let line = |what: &str, time: f64| {
        println!("{what:<42} {:8.1} us  {:5.2} x", time * 1e3, time / without);
    };
    line("in process, without looking at the clock", without);
    line("in process, looking at the clock (epochs)", with);
    line("in process, strict profile", strict);
    line("in a worker", worker);
}

/// Trains for ten epochs and returns the milliseconds of a step.
fn epoch(sandbox: &Sandbox, plan: &Component, data: &Path) -> impl FnMut() -> f64 + use<> {
    let described = sandbox.describe(plan, Limits::default()).unwrap();
    let training =
        "epochs = 10\ntest_ratio = 0.2\nrandom_seed = 1\nloader_args = { batch_size = 32 }";
    let training = TrainingArgs::parse(training.parse().unwrap()).unwrap();
    let facts = DataFacts { n_inputs: Some(64), n_classes: Some(10) };
    let none = Arguments::new();
    let round = Round::new(&described, &none, &training, &none, &facts).unwrap();
    let turn = Turn { random_seed: 1, round: 1, node: "n".parse().unwrap() };
    let columns = DataArgs::of("digit");
    let file = Dataset::open(data, None).unwrap();
    let examples = Examples::read(&file, &columns, &round, &turn).unwrap();
    let params = round.initial_params(1, &Cancel::new()).unwrap();
    move || {
        let before = Before { params: params.clone(), ..Before::default() };
        let start = Instant::now();
        let trained = round.train(&examples, before, &turn, Box::new(drop), &Cancel::new());
        ms(start) / trained.unwrap().n_steps as f64
    }
}

/// Medians of what each gives, called in turns.
fn take_turns<const N: usize>(times: usize, mut each: [&mut dyn FnMut() -> f64; N]) -> [f64; N] {
    let mut taken: [Vec<f64>; N] = [const { Vec::new() }; N];
    for _ in 0..times {
        for (call, taken) in each.iter_mut().zip(&mut taken) {
            taken.push(call());
        }
    }
    taken.map(|mut taken| {
        taken.sort_by(f64::total_cmp);
        taken[taken.len() / 2]
    })
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
