//! Time per epoch of plans in workers, at the host and in the guest, against the same models on the
//! tensor library without a plan, what the machine could do at most, and PyTorch where there is one:
//!
//! ```text
//! cargo bench -p fedwasm --bench training [MODEL..]
//! ```
//!
//! The multilayer perceptrons are there as traced plans, too: the same model as a graph in the shipped
//! runtime. All take turns, so that what else the machine does falls on all, and the fastest of each counts.
//! With one thread, times are processor times: of the worker, of this thread, of Python's process.
//! `wall` is what passes meanwhile for a plan at the host: waiting for rows, which this process reads
//! and sends, is in it. All cores are compared by it.
//! Models, data and first weights are those of `plugins/compute/examples/models`, whose `models.py`
//! is the PyTorch side: batches as slices of tensors, no DataLoader. The last loss of the first epoch
//! must be the library's, bit by bit, and PyTorch's up to rounding. `FEDWASM_BENCH_PYTHON` names
//! the interpreter, `python3` unless said. With `FEDWASM_BENCH_LEVEL=avx2` neither side uses more, and with
//! `FEDWASM_BENCH_GUEST` plans that compute in the guest are measured, too, which takes minutes.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    dead_code,
    reason = "this is what a benchmark is for; the models have a program of their own, too"
)]

#[path = "../it/mlp_graph.rs"]
mod mlp_graph;
#[path = "../../plugins/compute/examples/models/nets.rs"]
mod nets;
#[path = "training/plan.rs"]
mod plan;
#[path = "training/torch.rs"]
mod torch;
#[path = "../../plugins/compute/examples/models/training.rs"]
mod training;

use std::path::{Path, PathBuf};
use std::time::Instant;

use fedwasm_artifact::Component;
use fedwasm_artifact::traced::{NEWEST, splice};
use fedwasm_compute::Session;
use fedwasm_compute::kernels::simd::{Level, level, limit, peak};
use fedwasm_sandbox::{Limits, Sandbox, WORKER_ARGUMENT, WorkerOptions, serve_worker};

use nets::MODELS;
use plan::{Plan, Setup};
use torch::Torch;
use training::Training;

/// What is measured of a model.
struct Case {
    /// In [`MODELS`].
    name: &'static str,
    /// The crate of its plan, and the plan's arguments.
    plan: &'static str,
    arguments: &'static str,
    /// Multiplications, each with an addition, of one row forward.
    products: usize,
    /// Of those, in first layers, which have no gradient of the inputs.
    of_first: usize,
}

const MLP: &str = "plugins/mlp";
const MODELS_PLAN: &str = "tests/guests/models";

/// For each token of the transformer: projections, attention to all tokens, and two layers.
const OF_TOKEN: usize = 2 * (64 * (192 + 64 + 2 * 256) + 2 * 64 * 64) + 64 * 256;

const CASES: [Case; 9] = {
    const fn case(name: &'static str, plan: &'static str, arguments: &'static str) -> Case {
        Case { name, plan, arguments, products: 0, of_first: 0 }
    }
    const fn with(case: Case, products: usize, of_first: usize) -> Case {
        Case { products, of_first, ..case }
    }
    let wide = "[model]\nhidden = 512";
    let narrow = "[model]\nhidden = 32";
    [
        with(case("logistic", "plugins/logistic-regression", ""), 60, 60),
        with(case("mlp-64-32-10", MLP, narrow), 64 * 32 + 320, 64 * 32),
        with(case("mlp-784-128-10", MLP, ""), 784 * 128 + 1280, 784 * 128),
        with(case("mlp-784-512-10", MLP, wide), 784 * 512 + 5120, 784 * 512),
        with(case("cnn", "plugins/cnn", ""), 200 * 576 + 3200 * 64 + 2560, 200 * 576),
        with(
            case("resnet", MODELS_PLAN, "[model]\nnet = \"resnet\""),
            (432 + 2304) * 1024 + 2560,
            432 * 1024,
        ),
        with(
            case("unet", MODELS_PLAN, "[model]\nnet = \"unet\""),
            (144 + 2304 + 4608 + 32) * 4096 + (4608 + 9216 + 2048) * 1024,
            144 * 4096,
        ),
        with(
            case("lstm", MODELS_PLAN, "[model]\nnet = \"lstm\""),
            256 * (1600 + 99 * 64) + 640,
            256 * 1600,
        ),
        with(case("transformer", MODELS_PLAN, "[model]\nnet = \"transformer\""), 64 * OF_TOKEN, 0),
    ]
};

/// Turns that are taken.
const TURNS: usize = 7;
/// About how long each contender of a turn runs, ms.
const TURN_MS: f64 = 200.0;

/// Something that trains so many epochs, and returns the least times of one so far.
type Contender<'a> = Box<dyn FnMut(usize) -> Times + 'a>;

/// Milliseconds.
#[derive(Clone, Copy)]
struct Times {
    wall: f64,
    processor: f64,
}

impl Times {
    const NONE: Self = Self { wall: f64::NAN, processor: f64::NAN };

    /// The lesser of both; that of a number and none is the number.
    fn least(self, other: Self) -> Self {
        let (wall, processor) = (self.wall.min(other.wall), self.processor.min(other.processor));
        Self { wall, processor }
    }

    /// What so many took more.
    fn each_beyond(self, base: Self, n: usize) -> Self {
        let each = |more: f64, base: f64| (more - base) / n as f64;
        Self { wall: each(self.wall, base.wall), processor: each(self.processor, base.processor) }
    }
}

fn main() {
    let own: PathBuf = std::env::args_os().next().unwrap().into();
    if std::env::args_os().nth(1).is_some_and(|word| word == WORKER_ARGUMENT) {
        // A worker has no environment: its name says how far it may go.
        if own.ends_with("avx2") {
            limit(Level::Avx2);
        }
        return serve_worker().unwrap();
    }
    if std::env::var("FEDWASM_BENCH_LEVEL").is_ok_and(|level| level == "avx2") {
        limit(Level::Avx2);
    }
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join(if level() == Level::Avx2 { "avx2" } else { "all" });
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &program).unwrap();
    let options = WorkerOptions { program: Some(program), cache: Some(dir.path().join("code")) };
    let setup = Setup { sandbox: Sandbox::new(options).unwrap(), dir: dir.path() };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let flops = flops();
    println!("{:?}, {threads} cores, {:.1} GFLOP/s in registers", level(), flops / 1e9);
    let names: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    if is_wanted("calls") {
        calls(&setup);
    }
    let torch = Torch::version();
    println!("PyTorch: {}", torch.as_deref().unwrap_or("cannot be imported"));
    // It takes minutes.
    let wants_guest = std::env::var_os("FEDWASM_BENCH_GUEST").is_some();
    println!("\nmilliseconds an epoch");
    println!(
        "{:<16}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}",
        "",
        "in guest",
        "host",
        "traced",
        "wall",
        "all cores",
        "library",
        "machine",
        "PyTorch",
        "all cores",
        "times",
        "all"
    );
    for case in CASES.iter().filter(|case| is_wanted(case.name)) {
        measure(case, &setup, (threads, flops), torch.is_some(), wants_guest);
    }
}

fn measure(
    case: &Case,
    setup: &Setup,
    (threads, flops): (usize, f64),
    has_torch: bool,
    wants_guest: bool,
) {
    let model = MODELS.iter().find(|model| model.name == case.name).unwrap();
    let start = Training::new(model, Session::new(1 << 31)).unwrap();
    setup.write_data(&start);
    let plan = |is_in_guest: bool, threads: usize| {
        let limits = Limits { threads, ..Limits::default() };
        let component = setup.build(case.plan, is_in_guest);
        Plan::new(setup, &component, case.arguments, limits, model, &start)
    };
    let mut traced = (case.plan == MLP).then(|| {
        let component = splice(NEWEST, &fedwasm_graph::encode(&mlp_graph::mlp())).unwrap();
        let component = Component::admit(component).unwrap();
        Plan::new(setup, &component, case.arguments, Limits::default(), model, &start)
    });
    let (mut one, mut all) = (plan(false, 1), plan(false, threads));
    let mut library = Training::new(model, Session::new(1 << 31)).unwrap();
    let mut torches = if has_torch {
        vec![Torch::new(model.name, 1), Torch::new(model.name, threads)]
    } else {
        vec![]
    };
    let (loss, first) = timed(|| library.epoch().unwrap());
    for plan in [&one, &all].into_iter().chain(&traced) {
        assert_eq!(plan.loss_of_first_epoch(), loss, "{}: plan and library", case.name);
    }
    for torch in &mut torches {
        let (_, other) = torch.epoch();
        assert!((other - loss).abs() <= 1e-3 * loss.abs(), "{}: {loss} {other}", case.name);
    }
    let epochs = (TURN_MS / first.wall).clamp(1.0, 500.0) as usize;
    let mut least = Times::NONE;
    let library = move |epochs| {
        let train = || (0..epochs).for_each(|_| assert!(library.epoch().is_ok()));
        let zero = Times { wall: 0.0, processor: 0.0 };
        least = least.least(timed(train).1.each_beyond(zero, epochs));
        least
    };
    let mut contenders: Vec<Contender> = vec![
        Box::new(move |epochs| one.least_of(epochs)),
        Box::new(move |epochs| traced.as_mut().map_or(Times::NONE, |plan| plan.least_of(epochs))),
        Box::new(move |epochs| all.least_of(epochs)),
        Box::new(library),
    ];
    contenders.extend(
        torches
            .into_iter()
            .map(|mut torch| Box::new(move |epochs| torch.least_of(epochs)) as Contender),
    );
    let mut times = [Times::NONE; 6];
    for _ in 0..TURNS {
        for (time, contender) in times.iter_mut().zip(&mut contenders) {
            *time = contender(epochs);
        }
    }
    let [host, traced, all, library, torch, torch_all] = times;
    let in_guest = if wants_guest { plan(true, 1).epoch_of_few_batches() } else { f64::NAN };
    // Forward once, backward twice, but for the gradient of the first layer's inputs.
    let products = (3 * case.products - case.of_first) * model.rows;
    let machine = 2e3 * products as f64 / flops;
    print!("{:<16}", case.name);
    for time in [
        in_guest,
        host.processor,
        traced.processor,
        host.wall,
        all.wall,
        library.processor,
        machine,
        torch.processor,
        torch_all.wall,
    ] {
        print!("{:>10}", figures(time));
    }
    let (one, all) = (torch.processor / host.processor, torch_all.wall / all.wall);
    println!("{:>8}{:>8}", figures(one), figures(all));
}

/// Three figures.
fn figures(x: f64) -> String {
    let digits = (2.0 - x.abs().log10().floor()).clamp(0.0, 3.0) as usize;
    if x.is_nan() { "-".into() } else { format!("{x:.digits$}") }
}

/// What calls of the host cost, at one: bare, of an operation on one element, and the same through
/// the SDK.
fn calls(setup: &Setup) {
    println!("a call of the host, ns:");
    for (what, plan, arguments) in [
        ("bare", "tests/guests/computes", "[model]\ndeed = \"kind\"\nfeatures = 1"),
        (
            "an operation on one element",
            "tests/guests/computes",
            "[model]\ndeed = \"apply\"\nfeatures = 1",
        ),
        ("the same through the SDK", MODELS_PLAN, "[model]\nnet = \"calls\""),
    ] {
        println!("  {what:<30} {:6.0}", plan::call(setup, plan, arguments));
    }
}

/// Floating-point operations a second of fused multiply-adds that wait for nothing.
fn flops() -> f64 {
    let once = || {
        let (operations, times) = timed(|| peak(10_000_000));
        operations as f64 / times.processor * 1e3
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}

/// What `f` returns, and what it took on this thread.
fn timed<T>(f: impl FnOnce() -> T) -> (T, Times) {
    let processor = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    };
    let (start, before) = (Instant::now(), processor());
    let value = f();
    let (processor, wall) = (processor() - before, start.elapsed().as_secs_f64() * 1e3);
    (value, Times { wall, processor })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
